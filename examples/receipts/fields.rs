//! From lines of text to the fields of a receipt.

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::{boxes::TextBox, models::Text, receipt::Item};

/// What was read. Amounts are in cents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fields {
    pub merchant: Option<String>,
    pub date: Option<String>,
    pub number: Option<String>,
    pub items: Vec<Item>,
    pub subtotal: Option<u32>,
    pub tax: Option<u32>,
    pub total: Option<u32>,
}

/// Text and where it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Piece {
    pub place: TextBox,
    pub read: Text,
}

/// Puts pieces side by side that are at the same height, from the top.
pub fn lines(pieces: &[Piece]) -> Vec<String> {
    let mut by_height: Vec<&Piece> = pieces.iter().filter(|piece| !piece.read.text.is_empty()).collect();
    by_height.sort_by(|a, b| a.place.y.total_cmp(&b.place.y));
    let mut lines: Vec<Vec<&Piece>> = Vec::new();
    for piece in by_height {
        match lines.last_mut() {
            Some(line) if line.first().is_some_and(|first| are_level(first, piece)) => line.push(piece),
            _ => lines.push(vec![piece]),
        }
    }
    let joined = |mut line: Vec<&Piece>| {
        line.sort_by(|a, b| a.place.x.total_cmp(&b.place.x));
        line.iter().map(|piece| piece.read.text.as_str()).collect::<Vec<_>>().join(" ")
    };
    lines.into_iter().map(joined).collect()
}

fn are_level(a: &Piece, b: &Piece) -> bool {
    (a.place.y - b.place.y).abs() < 0.5 * a.place.height.min(b.place.height)
}

fn pattern(text: &str) -> Regex {
    #[expect(clippy::expect_used, reason = "they are written below")]
    Regex::new(text).expect("a pattern that can be read")
}

static DATE: LazyLock<Regex> = LazyLock::new(|| pattern(r"(\d{4}-\d{2}-\d{2})"));
static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)receipt\s*no\s*(\d+)"));
static PRICED: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(.*\S)\s+(\d+)\s*\.\s*(\d{2})$"));

impl Fields {
    /// Reads the fields from lines, the first of which is the merchant's name.
    pub fn of(lines: &[String]) -> Self {
        let mut fields = Fields { merchant: lines.first().cloned(), ..Fields::default() };
        for line in lines.iter().skip(1) {
            if let Some(found) = DATE.captures(line) {
                fields.date = Some(found[1].to_owned());
            } else if let Some(found) = NUMBER.captures(line) {
                fields.number = Some(found[1].to_owned());
            } else if let Some(found) = PRICED.captures(line) {
                let Ok(cents) = format!("{}{}", &found[2], &found[3]).parse() else { continue };
                match found[1].to_uppercase().replace(' ', "").as_str() {
                    "SUBTOTAL" => fields.subtotal = Some(cents),
                    "TOTAL" => fields.total = Some(cents),
                    "VAT20%" => fields.tax = Some(cents),
                    _ => fields.items.push(Item { name: found[1].to_owned(), price: cents }),
                }
            }
        }
        fields
    }

    /// The prices of all items together.
    pub fn sum(&self) -> u32 {
        self.items.iter().map(|item| item.price).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str, x: f32, y: f32) -> Piece {
        let place = TextBox { x, y, width: 100.0, height: 20.0, slope: 0.0 };
        Piece { place, read: Text { text: text.to_owned(), confidence: 1.0 } }
    }

    #[test]
    fn pieces_at_one_height_are_one_line() {
        let pieces = [
            piece("9.95", 300.0, 52.0),
            piece("CITY", 100.0, 20.0),
            piece("Tea", 100.0, 50.0),
            piece("", 0.0, 0.0),
        ];
        assert_eq!(lines(&pieces), ["CITY", "Tea 9.95"]);
    }

    #[test]
    fn fields_are_found_by_their_form() {
        let lines = [
            "CITY HARDWARE",
            "7 Mill Lane",
            "Date 2024-03-05",
            "Receipt No 1234566",
            "Wood screws 50 9.95",
            "SUBTOTAL 8.29",
            "VAT 20% 1 .66",
            "TOTAL 9.95",
            "Thank you",
        ];
        let fields = Fields::of(&lines.map(str::to_owned));
        assert_eq!(fields.merchant.as_deref(), Some("CITY HARDWARE"));
        assert_eq!(fields.date.as_deref(), Some("2024-03-05"));
        assert_eq!(fields.number.as_deref(), Some("1234566"));
        assert_eq!(fields.items, [Item { name: "Wood screws 50".to_owned(), price: 995 }]);
        assert_eq!((fields.subtotal, fields.tax, fields.total), (Some(829), Some(166), Some(995)));
        assert_eq!(Fields::of(&[]), Fields::default());
    }
}
