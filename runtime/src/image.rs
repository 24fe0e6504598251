//! A picture that records may carry: cheap to clone, and the page knows how to show it.

use std::{path::Path, sync::Arc};

use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct};
use thiserror::Error;

use crate::picture;

/// A picture in RGB, 8 bits per channel, rows from the top.
///
/// As JSON it is `{"name", "width", "height", "png"}`, where `png` is a data URI without loss; of up to 16,384 pixels a side it is
/// read again. One with its bytes as a list in `rgb` is read too.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Form")]
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

impl Serialize for Image {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut form = to.serialize_struct("Image", 4)?;
        form.serialize_field("name", &self.name)?;
        form.serialize_field("width", &self.width)?;
        form.serialize_field("height", &self.height)?;
        // What is no picture, as its bytes are too few, can be written too: somebody may look at it to find out why.
        match picture::png(&self.rgb, self.width, self.height) {
            Some(png) => form.serialize_field("png", &png)?,
            None => form.serialize_field("rgb", &self.rgb)?,
        }
        form.end()
    }
}

/// A picture as it comes in.
#[derive(Deserialize)]
struct Form {
    name: Arc<str>,
    width: u32,
    height: u32,
    png: Option<String>,
    rgb: Option<Arc<[u8]>>,
}

impl TryFrom<Form> for Image {
    type Error = String;

    fn try_from(Form { name, width, height, png, rgb }: Form) -> Result<Self, String> {
        let rgb = match (png, rgb) {
            (Some(png), _) => {
                let read =
                    picture::read(&png).map_err(|why| format!("`png` cannot be read: {why}"))?.into_rgb8();
                if (read.width(), read.height()) != (width, height) {
                    let (w, h) = (read.width(), read.height());
                    return Err(format!("`png` has {w}×{h} pixels, and is to have {width}×{height}"));
                }
                read.into_raw().into()
            }
            (None, Some(rgb)) => rgb,
            (None, None) => {
                return Err("a picture has `png`, a data URI, or `rgb`, a list of bytes".to_owned());
            }
        };
        Ok(Self { name, width, height, rgb })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn nothing_is_lost_in_writing(
            (width, height, rgb) in (0..20_u32, 0..20_u32).prop_flat_map(|(w, h)| {
                (Just(w), Just(h), prop::collection::vec(any::<u8>(), (3 * w * h) as usize))
            }),
        ) {
            let image = Image { name: "a".into(), width, height, rgb: rgb.into() };
            let json = serde_json::to_value(&image).unwrap();
            prop_assert_eq!(json.get("png").is_some(), width > 0 && height > 0);
            prop_assert_eq!(serde_json::from_value::<Image>(json).unwrap(), image);
        }
    }

    #[test]
    fn a_list_of_bytes_is_read_and_what_is_no_picture_is_refused() {
        let with = |field: &str, value: serde_json::Value| {
            let mut json = json!({ "name": "a", "width": 1, "height": 1 });
            json[field] = value;
            serde_json::from_value::<Image>(json)
        };
        assert_eq!(*with("rgb", json!([1, 2, 3])).unwrap().rgb, [1, 2, 3]);
        let two = picture::png(&[0; 6], 2, 1).unwrap();
        for (field, value, why) in [
            ("rbg", json!([1, 2, 3]), "a picture has `png`"),
            ("png", json!("data:image/png;base64,AAAA"), "`png` cannot be read"),
            ("png", json!(two), "`png` has 2×1 pixels, and is to have 1×1"),
        ] {
            let error = with(field, value).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
