//! Pictures within JSON: texts that are data URIs. A browser shows them as they are; where they are large it gets smaller ones.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    io::Cursor,
    sync::LazyLock,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use image::{
    DynamicImage, ImageEncoder, ImageError, ImageReader, Limits,
    codecs::{
        jpeg::JpegEncoder,
        png::{CompressionType, FilterType, PngEncoder},
    },
};
use parking_lot::Mutex;
use serde_json::Value;

const PNG: &str = "data:image/png;base64,";
const JPEG: &str = "data:image/jpeg;base64,";

/// A text of so many bytes is shown as it is.
const SMALL: usize = 16 << 10;
/// Pixels of the longer side of a picture that is made smaller, and how good it is (1 to 100).
const SIDE: u32 = 240;
const QUALITY: u8 = 60;
/// Pictures that come in are at most so many pixels wide or high.
const MOST_SIDE: u32 = 16_384;

/// Rows of red, green and blue as the data URI of a PNG: nothing is lost. None where these are no picture.
pub(crate) fn png(rgb: &[u8], width: u32, height: u32) -> Option<String> {
    let mut bytes = Vec::new();
    let png = PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive);
    let fits = rgb.len() as u64 == 3 * u64::from(width) * u64::from(height);
    (fits && png.write_image(rgb, width, height, image::ExtendedColorType::Rgb8).is_ok())
        .then(|| PNG.to_owned() + &BASE64_STANDARD.encode(bytes))
}

/// The picture of a data URI.
pub(crate) fn read(uri: &str) -> Result<DynamicImage, String> {
    let base64 = uri.strip_prefix(PNG).or_else(|| uri.strip_prefix(JPEG));
    let base64 = base64.ok_or_else(|| format!("a picture begins with `{PNG}` or `{JPEG}`"))?;
    let bytes = BASE64_STANDARD.decode(base64).map_err(|error| error.to_string())?;
    let mut reader = ImageReader::new(Cursor::new(bytes));
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MOST_SIDE), Some(MOST_SIDE));
    reader.limits(limits);
    let read = || reader.with_guessed_format().map_err(ImageError::IoError)?.decode();
    read().map_err(|error| error.to_string())
}

/// How pictures are shown in a value that people look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pictures {
    /// As pictures, so many; made smaller where they are large.
    Shown(usize),
    /// As words: where there is only text.
    InWords,
}

/// Pictures of one value that are shown; others are words.
pub(crate) const FEW: Pictures = Pictures::Shown(4);

impl Pictures {
    /// Shows a text that is a picture, and says how many bytes of it are to be counted as none; `None` where it is no picture.
    pub fn show(&mut self, text: &mut String) -> Option<usize> {
        if !(text.starts_with(PNG) || text.starts_with(JPEG)) {
            return None;
        }
        match self {
            Pictures::Shown(left @ 1..) => {
                *left -= 1;
                if text.len() > SMALL {
                    *text = smaller(text);
                }
                Some(text.len())
            }
            _ => {
                *text = in_words(text);
                Some(0)
            }
        }
    }
}

fn in_words(uri: &str) -> String {
    format!("a picture of {} KB", uri.len().div_ceil(1000))
}

/// Puts words in the place of pictures.
pub(crate) fn put_into_words(json: &mut Value) {
    match json {
        Value::String(text) => {
            Pictures::InWords.show(text);
        }
        Value::Array(entries) => entries.iter_mut().for_each(put_into_words),
        Value::Object(fields) => fields.values_mut().for_each(put_into_words),
        _ => {}
    }
}

/// Small pictures that were made, by the hash of the large one: whoever looks at a list looks at it again in a second.
struct Made {
    hash: RandomState,
    all: Mutex<VecDeque<(u64, String)>>,
}

const MOST_MADE: usize = 256;

static MADE: LazyLock<Made> = LazyLock::new(|| Made { hash: RandomState::new(), all: Mutex::default() });

/// The same picture with a longer side of at most `SIDE` pixels; words where it cannot be read.
fn smaller(uri: &str) -> String {
    let hash = MADE.hash.hash_one(uri);
    if let Some((_, small)) = MADE.all.lock().iter().find(|(other, _)| *other == hash) {
        return small.clone();
    }
    let small = shrunk(uri).unwrap_or_else(|why| format!("{} that cannot be read: {why}", in_words(uri)));
    let mut all = MADE.all.lock();
    if all.len() == MOST_MADE {
        all.pop_front();
    }
    all.push_back((hash, small.clone()));
    small
}

fn shrunk(uri: &str) -> Result<String, String> {
    let small = read(uri)?.thumbnail(SIDE, SIDE).into_rgb8();
    let mut bytes = Vec::new();
    let jpeg = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    let written = jpeg.write_image(&small, small.width(), small.height(), image::ExtendedColorType::Rgb8);
    written.map_err(|error| error.to_string())?;
    Ok(JPEG.to_owned() + &BASE64_STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As noisy as can be.
    fn noise(width: u32, height: u32) -> Vec<u8> {
        let next = |state: &mut u32, ()| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some((*state >> 24) as u8)
        };
        std::iter::repeat_n((), (3 * width * height) as usize).scan(7, next).collect()
    }

    #[test]
    fn a_large_picture_is_shown_smaller_and_a_small_one_as_it_is() {
        let large = png(&noise(400, 300), 400, 300).unwrap();
        let mut shown = large.clone();
        assert_eq!({ FEW }.show(&mut shown), Some(shown.len()));
        assert!(shown.starts_with(JPEG) && shown.len() < 60_000, "{}", shown.len());
        let small = read(&shown).unwrap();
        assert_eq!((small.width(), small.height()), (240, 180));
        assert_eq!(smaller(&large), shown, "the same again");
        let icon = png(&noise(16, 16), 16, 16).unwrap();
        let mut shown = icon.clone();
        { FEW }.show(&mut shown);
        assert_eq!(shown, icon);
    }

    #[test]
    fn no_more_than_some_are_shown_and_what_is_broken_is_said() {
        let mut pictures = Pictures::Shown(1);
        let icon = png(&noise(4, 4), 4, 4).unwrap();
        let (mut first, mut second) = (icon.clone(), icon.clone());
        pictures.show(&mut first);
        pictures.show(&mut second);
        assert_eq!((first.as_str(), second.as_str()), (icon.as_str(), "a picture of 1 KB"));
        let mut broken = PNG.to_owned() + &"A".repeat(SMALL);
        { FEW }.show(&mut broken);
        assert!(broken.contains("cannot be read"), "{broken}");
        assert_eq!({ FEW }.show(&mut "data:text/plain,no".to_owned()), None);
    }

    #[test]
    fn what_is_no_picture_is_not_written_as_one() {
        assert_eq!(png(&[1, 2, 3], 2, 1), None);
        assert_eq!(png(&[], 0, 0), None);
        assert!(read("data:image/gif;base64,AAAA").is_err());
    }
}
