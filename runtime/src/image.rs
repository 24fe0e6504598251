//! A picture that records may carry: cheap to clone, and the page knows how to show it.

use std::{path::Path, sync::Arc};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A picture in RGB, 8 bits per channel, rows from the top.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its file's name, where it came from a file.
    pub name: Arc<str>,
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `3 · width · height` bytes: red, green, blue of each pixel.
    pub rgb: Arc<[u8]>,
}

/// A picture that cannot be read.
#[derive(Debug, Error)]
#[error("the picture {path} cannot be read: {why}; it must be a whole PNG or JPEG file")]
pub struct ImageError {
    /// The file.
    pub path: String,
    /// What the decoder says.
    pub why: String,
}

impl Image {
    /// Reads a PNG or JPEG file.
    ///
    /// # Errors
    /// Where the file is missing, damaged, or of another format.
    pub fn read(path: &Path) -> Result<Self, ImageError> {
        let fail = |why: &dyn std::fmt::Display| ImageError {
            path: path.display().to_string(),
            why: why.to_string(),
        };
        let reader = image::ImageReader::open(path).map_err(|e| fail(&e))?;
        let picture =
            reader.with_guessed_format().map_err(|e| fail(&e))?.decode().map_err(|e| fail(&e))?.into_rgb8();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self {
            name: name.into(),
            width: picture.width(),
            height: picture.height(),
            rgb: picture.into_raw().into(),
        })
    }
}
