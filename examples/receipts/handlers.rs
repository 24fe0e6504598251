//! The handlers: what is wrong with a page or with what was read of it, and what to do about it.

use std::error::Error;

use eddyline::{
    check_digit::CheckDigit,
    handlers::{Dictionary, DictionaryError, Spelling},
    prelude::*,
};

use crate::{
    boxes,
    fields::Fields,
    flow::{Found, Reading},
    page::Page,
    picture,
    receipt::{self, money},
};

/// More degrees than this are straightened.
const LEVEL: f32 = 0.7;

/// Sends a page back turned by the slope that its text has.
pub fn straighten(found: &Found, seen: &Seen) -> Verdict<Found, Page> {
    let slope = boxes::slope(&found.boxes);
    if slope.abs() < LEVEL || seen.rounds_left == 0 {
        return Verdict::Pass;
    }
    Verdict::Retry(found.page.with(picture::turned(&found.page.image, -slope)))
}

/// What must hold of a receipt.
pub fn plausible() -> Result<Check<Reading>, DictionaryError> {
    let merchants = Dictionary::of(receipt::MERCHANTS, 2)?;
    Ok(Check::new()
        .known_word("merchant", |r: &Reading| r.fields.merchant.as_deref().unwrap_or_default(), &merchants)
        .required("date", |r| r.fields.date.is_some())
        .holds("the date is one", |r| r.fields.date.as_deref().is_none_or(is_date))
        .required("number", |r| r.fields.number.is_some())
        .check_digit("number", |r| r.fields.number.as_deref().unwrap_or("0"), CheckDigit::Luhn)
        .required("subtotal", |r| r.fields.subtotal.is_some())
        .required("tax", |r| r.fields.tax.is_some())
        .required("total", |r| r.fields.total.is_some())
        .sum("the items add up to the total", |r| f64::from(r.fields.sum()), |r| cents(r.fields.total), 0.5)
        .sum(
            "subtotal and tax add up to the total",
            |r| cents(r.fields.subtotal) + cents(r.fields.tax),
            |r| cents(r.fields.total),
            0.5,
        ))
}

fn cents(amount: Option<u32>) -> f64 {
    amount.map_or(f64::NAN, f64::from)
}

fn is_date(text: &str) -> bool {
    let part = |range: std::ops::Range<usize>| text.get(range).and_then(|part| part.parse::<u32>().ok());
    let is_in = |part: Option<u32>, range: std::ops::RangeInclusive<u32>| part.is_some_and(|p| range.contains(&p));
    is_in(part(0..4), 2015..=2030) && is_in(part(5..7), 1..=12) && is_in(part(8..10), 1..=31)
}

/// Puts the names of merchants and items right that are nearly known.
pub fn spelling() -> Result<impl Handler<Reading, Retry = NoLoop>, DictionaryError> {
    let merchants = Dictionary::of(receipt::MERCHANTS, 3)?;
    let items = Dictionary::of(receipt::ITEMS, 3)?;
    let right = |name: &str, known: &Dictionary| match known.look_up(name) {
        Spelling::Nearest(name) => Some(name),
        _ => None,
    };
    Ok(by(move |reading: &Reading, _: &Seen| {
        let mut fields = reading.fields.clone();
        if let Some(name) = fields.merchant.as_deref().and_then(|name| right(name, &merchants)) {
            fields.merchant = Some(name);
        }
        for item in &mut fields.items {
            if let Some(name) = right(&item.name, &items) {
                item.name = name;
            }
        }
        replaced(reading, fields)
    }))
}

/// A total is on a receipt three times: as itself, as the sum of its items, and as subtotal and tax. Where two agree, so shall the
/// third.
pub fn amounts() -> impl Handler<Reading, Retry = NoLoop> {
    by(|reading: &Reading, _: &Seen| {
        let mut fields = reading.fields.clone();
        let parts = fields.subtotal.zip(fields.tax).map(|(subtotal, tax)| subtotal + tax);
        let sum = Some(fields.sum()).filter(|sum| *sum > 0);
        if sum.is_some() && (sum == fields.total || sum == parts) {
            let total = fields.sum();
            fields.total = Some(total);
            fields.tax = Some(receipt::tax_in(total));
            fields.subtotal = Some(total - receipt::tax_in(total));
        }
        replaced(reading, fields)
    })
}

fn replaced(reading: &Reading, fields: Fields) -> Verdict<Reading> {
    if fields == reading.fields {
        Verdict::Abstain
    } else {
        Verdict::Replace(Reading { fields, ..reading.clone() })
    }
}

/// Has what is not plausible looked at in another way, and in the end by a person.
pub fn look_again() -> Result<impl Handler<Reading, Retry = NextAlternative>, Box<dyn Error>> {
    Ok(plausible()?.or_else(|reading, violations, seen| match seen.alternatives_left {
        0 => Verdict::Escalate(question(reading, violations)),
        _ => Verdict::NextAlternative,
    }))
}

fn question(reading: &Reading, violations: &[&str]) -> Question<Reading> {
    let total = reading.fields.total.map_or("unreadable".to_owned(), money);
    Question::new(
        format!("Receipt {}, total {total}: {}", reading.page.number, violations.join("; ")),
        Duration::from_secs(60),
        Answer::reject("nobody looked at it"),
    )
}
