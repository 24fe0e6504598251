//! What may travel in a stream.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::picture::{self, Pictures};

/// A value that may travel in a stream: everything that is `Clone`, serialisable and safe to share between threads.
///
/// There is nothing to implement: `#[derive(Clone, Serialize, Deserialize)]` is enough.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel in a stream",
    label = "this stream's type lacks a derive",
    note = "put `#[derive(Clone, serde::Serialize, serde::Deserialize)]` on `{Self}`"
)]
pub trait Data: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static> Data for T {}

/// The name of `T` without module paths: `Vec<Digit>` rather than `alloc::vec::Vec<my_flow::Digit>`.
pub fn short_type_name<T: ?Sized>() -> String {
    shorten_type_name(std::any::type_name::<T>())
}

pub(crate) fn shorten_type_name(full: &str) -> String {
    let mut short = String::with_capacity(full.len());
    let mut word = String::new();
    for c in full.chars() {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
        } else if c == ':' {
            word.clear();
        } else {
            short.push_str(&word);
            word.clear();
            short.push(c);
        }
    }
    short + &word
}

/// A value as JSON for a person to read: long lists and texts are shortened, pictures are words, and the whole is at most `limit`
/// bytes.
pub fn preview<T: Serialize>(value: &T, limit: usize) -> Value {
    match serde_json::to_value(value) {
        Ok(json) => shown(json, limit, Pictures::InWords).0,
        Err(error) => unshowable(&error),
    }
}

/// The same for a page, with a few small pictures beside the `limit` (`data:image/…`).
pub fn pictured<T: Serialize>(value: &T, limit: usize) -> Value {
    match serde_json::to_value(value) {
        Ok(json) => shown(json, limit, picture::FEW).0,
        Err(error) => unshowable(&error),
    }
}

/// What [`preview`] makes of a value that is JSON already.
pub fn preview_of(json: &str, limit: usize) -> Value {
    match serde_json::from_str(json) {
        Ok(json) => shown(json, limit, Pictures::InWords).0,
        Err(error) => unshowable(&error),
    }
}

/// What [`pictured`] makes of a value that is JSON already.
pub fn pictured_of(json: &str, limit: usize) -> Value {
    match serde_json::from_str(json) {
        Ok(json) => shown(json, limit, picture::FEW).0,
        Err(error) => unshowable(&error),
    }
}

/// A value without its pictures, for where it is printed.
pub(crate) fn in_words(value: &Value) -> Value {
    let mut value = value.clone();
    picture::put_into_words(&mut value);
    value
}

fn unshowable(error: &serde_json::Error) -> Value {
    Value::String(format!("cannot be shown: {error}"))
}

/// Also the bytes of it that are pictures.
fn shown(mut json: Value, limit: usize, mut pictures: Pictures) -> (Value, usize) {
    let uncounted = shorten(&mut json, &mut pictures);
    let text = json.to_string();
    if text.len() <= limit.saturating_add(uncounted) {
        return (json, uncounted);
    }
    picture::put_into_words(&mut json);
    (Value::String(cut(&json.to_string(), limit)), 0)
}

/// A value that is kept for people, written so that it is made readable only when somebody reads it.
#[derive(Clone, Debug)]
pub(crate) enum Written {
    /// As JSON.
    Whole(Box<str>),
    /// Cut by now, since it is long.
    Shown {
        value: Value,
        /// Bytes of it that are pictures.
        pictures: usize,
    },
}

impl Written {
    /// Writes a value; of a long one it keeps what [`pictured`] makes of it.
    pub fn new<T: Serialize>(value: &T, limit: usize) -> Self {
        match serde_json::to_string(value) {
            Ok(text) => Self::of(&text, limit),
            Err(error) => Self::unshowable(&error),
        }
    }

    /// What cannot be written.
    pub fn unshowable(error: &serde_json::Error) -> Self {
        Self::Shown { value: unshowable(error), pictures: 0 }
    }

    /// The same of a value that is JSON already.
    pub fn of(json: &str, limit: usize) -> Self {
        if json.len() <= limit {
            return Self::Whole(json.into());
        }
        match serde_json::from_str(json) {
            Ok(value) => {
                let (value, pictures) = shown(value, limit, picture::FEW);
                Self::Shown { value, pictures }
            }
            Err(error) => Self::unshowable(&error),
        }
    }

    /// About the memory that it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Whole(text) => text.len(),
            Self::Shown { value, .. } => value.to_string().len(),
        }
    }

    /// How much of that are pictures that are beside the limit.
    pub fn picture_bytes(&self) -> usize {
        match self {
            Self::Whole(_) => 0,
            Self::Shown { pictures, .. } => *pictures,
        }
    }

    /// Keeps words in the place of such pictures.
    pub fn put_into_words(&mut self) {
        if let Self::Shown { value, pictures: pictures @ 1.. } = self {
            picture::put_into_words(value);
            *pictures = 0;
        }
    }

    /// What [`preview`] makes of it.
    pub fn shown(&self) -> Value {
        match self {
            Self::Whole(text) => preview_of(text, usize::MAX),
            Self::Shown { value, .. } => in_words(value),
        }
    }

    /// What [`pictured`] makes of it.
    pub fn pictured(&self) -> Value {
        match self {
            Self::Shown { value, .. } => value.clone(),
            Self::Whole(text) => pictured_of(text, usize::MAX),
        }
    }

    /// As JSON, where it is whole.
    pub fn whole(&self) -> Option<&str> {
        match self {
            Self::Whole(text) => Some(text),
            Self::Shown { .. } => None,
        }
    }
}

const SHOWN_ENTRIES: usize = 16;
const SHOWN_TEXT: usize = 400;

/// Shortens, and says how many bytes of what is left are pictures.
fn shorten(json: &mut Value, pictures: &mut Pictures) -> usize {
    if let Some(summary) = tensor_summary(json) {
        *json = Value::String(summary);
        return 0;
    }
    match json {
        Value::Number(number) if number.is_f64() => {
            if let Some(rounded) = number.as_f64().map(four_digits).and_then(serde_json::Number::from_f64) {
                *number = rounded;
            }
            0
        }
        Value::Array(entries) => {
            let more = entries.len().saturating_sub(SHOWN_ENTRIES);
            entries.truncate(SHOWN_ENTRIES);
            let uncounted = entries.iter_mut().map(|entry| shorten(entry, pictures)).sum();
            if more > 0 {
                entries.push(Value::String(format!("… {more} more")));
            }
            uncounted
        }
        Value::Object(fields) => fields.values_mut().map(|field| shorten(field, pictures)).sum(),
        Value::String(text) => pictures.show(text).unwrap_or_else(|| {
            if text.len() > SHOWN_TEXT {
                *text = cut(text, SHOWN_TEXT);
            }
            0
        }),
        _ => 0,
    }
}

/// `x` to four significant digits.
fn four_digits(x: f64) -> f64 {
    format!("{x:.3e}").parse().unwrap_or(x)
}

/// A tensor as `f32[1,8,8], 0 to 15.93`.
fn tensor_summary(json: &Value) -> Option<String> {
    let fields = json.as_object().filter(|fields| fields.len() == 2)?;
    let shape: Vec<String> = fields.get("shape")?.as_array()?.iter().map(Value::to_string).collect();
    let (dtype, values) = fields.get("data")?.as_object().filter(|data| data.len() == 1)?.iter().next()?;
    let values = values.as_array()?.iter().filter_map(Value::as_f64);
    let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
    let range = if least <= most {
        format!(", {} to {}", four_digits(least), four_digits(most))
    } else {
        String::new()
    };
    Some(format!("{dtype}[{}]{range}", shape.join(",")))
}

fn cut(text: &str, limit: usize) -> String {
    let end = (0..=limit).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    format!("{}… ({} bytes in all)", &text[..end], text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names_lose_their_paths() {
        assert_eq!(short_type_name::<Vec<Option<String>>>(), "Vec<Option<String>>");
        assert_eq!(short_type_name::<(u8, [String; 2])>(), "(u8, [String; 2])");
    }

    #[test]
    fn previews_are_cut_at_a_character() {
        let long = "é".repeat(100);
        let Value::String(text) = preview(&long, 50) else { panic!("cut values are text") };
        assert!(text.contains("bytes in all"), "{text}");
        let list = preview(&vec![1; 100], 1000);
        assert_eq!(list.as_array().map(Vec::len), Some(17), "{list}");
        assert_eq!(preview(&7, 50), serde_json::json!(7));
        let tensor = crate::tensor::Tensor::vector(vec![0.5f32, 2.0]);
        assert_eq!(preview(&tensor, 50), serde_json::json!("f32[2], 0.5 to 2"));
        assert_eq!(preview(&1.23456789, 50), serde_json::json!(1.235));
        let lists: [Vec<f32>; 3] = [vec![0.1, 1.23456], vec![1.0; 20], vec![0.5; 10_000]];
        for list in lists {
            assert_eq!(Written::new(&list, 200).shown(), preview(&list, 200));
        }
    }

    #[test]
    fn pictures_are_beside_the_limit_where_they_are_shown_and_words_elsewhere() {
        let icon = picture::png(&[7; 48], 4, 4).unwrap();
        let value = serde_json::json!({ "page": icon, "lines": ["a", "b"] });
        assert_eq!(pictured(&value, 60), value);
        let words = serde_json::json!({ "page": "a picture of 1 KB", "lines": ["a", "b"] });
        assert_eq!(preview(&value, 60), words);
        for limit in [60, 1000] {
            assert_eq!(Written::new(&value, limit).pictured(), value);
            assert_eq!(Written::new(&value, limit).shown(), words);
        }
        let Value::String(cut) = pictured(&value, 20) else { panic!("cut values are text") };
        assert!(!cut.contains("data:") && cut.len() < 80, "{cut}");
    }
}
