//! The handlers: what is wrong with a page or with what was read of it, and what to do about it.

use std::{collections::HashMap, error::Error};

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
const LEVEL: f32 = 1.0;
/// Pixels whose colours differ by more than `COLOURFUL` make a page coloured from this share on.
const COLOURED: f64 = 0.01;
const COLOURFUL: u8 = 60;

/// Shows a page on which there is colour through red glass, through which red ink is not seen. It can be told from the picture, so
/// no model needs to look first.
pub fn through_red_glass(page: &Page) -> Verdict<Page> {
    if picture::share(&page.image, |[red, green, blue]| {
        red.abs_diff(green).max(red.abs_diff(blue)) > COLOURFUL
    }) < COLOURED
    {
        return Verdict::Pass;
    }
    Verdict::Replace(page.with(picture::red(&page.image)))
}

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
    let (merchants, items) = (Names::of(&receipt::MERCHANTS)?, Names::of(&receipt::ITEMS)?);
    Ok(Check::new()
        .holds("the merchant is known", move |r: &Reading| {
            r.fields.merchant.as_ref().is_some_and(|merchant| merchants.meant(merchant).is_some())
        })
        .holds("all items are known", move |r| {
            r.fields.items.iter().all(|item| items.meant(&item.name).is_some())
        })
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
    let is_in =
        |part: Option<u32>, range: std::ops::RangeInclusive<u32>| part.is_some_and(|p| range.contains(&p));
    is_in(part(0..4), 2015..=2030) && is_in(part(5..7), 1..=12) && is_in(part(8..10), 1..=31)
}

/// Names that are known, to be found again in spite of what readers mix up.
#[derive(Clone)]
struct Names {
    /// Of names as [`folded`] writes them.
    dictionary: Dictionary,
    names: HashMap<String, &'static str>,
}

impl Names {
    fn of(names: &[&'static str]) -> Result<Self, DictionaryError> {
        let names: HashMap<_, _> = names.iter().map(|name| (folded(name), *name)).collect();
        Ok(Self { dictionary: Dictionary::of(names.keys(), 3)?, names })
    }

    /// The name that is meant, where only one can be.
    fn meant(&self, name: &str) -> Option<String> {
        let folded = folded(name);
        let name = match self.dictionary.look_up(&folded) {
            Spelling::Known => self.names.get(&folded),
            Spelling::Nearest(name) => self.names.get(&name),
            _ => None,
        };
        name.map(|name| (*name).to_owned())
    }
}

/// Without spaces and points, and with one letter for those that look alike.
fn folded(name: &str) -> String {
    let letters = name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase);
    let folded = letters.map(|letter| match letter {
        '0' => 'o',
        '1' | 'i' => 'l',
        '5' => 's',
        '8' => 'b',
        letter => letter,
    });
    folded.collect()
}

/// Puts the names of merchants and items right that are nearly known.
pub fn spelling() -> Result<impl Handler<Reading, Retry = NoLoop>, DictionaryError> {
    let (merchants, items) = (Names::of(&receipt::MERCHANTS)?, Names::of(&receipt::ITEMS)?);
    Ok(by(move |reading: &Reading, _: &Seen| {
        let mut fields = reading.fields.clone();
        if let Some(merchant) = &mut fields.merchant {
            *merchant = merchants.meant(merchant).unwrap_or_else(|| merchant.clone());
        }
        for item in &mut fields.items {
            item.name = items.meant(&item.name).unwrap_or_else(|| item.name.clone());
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
    Ok(plausible()?.or_next().or_ask(question))
}

fn question(reading: &Reading, violations: &[&str]) -> Question<Reading> {
    let total = reading.fields.total.map_or("unreadable".to_owned(), money);
    Question::new(
        format!("Receipt {}, total {total}: {}", reading.page.number, violations.join("; ")),
        Duration::from_secs(60),
        Answer::reject("nobody looked at it"),
    )
}

#[cfg(test)]
mod tests {
    use eddyline::testing;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{draw::Fault, receipt::Receipt};

    /// A reading of a receipt in which everything is right.
    fn reading() -> Reading {
        let truth = Receipt::invented(&mut StdRng::seed_from_u64(7));
        let fields = Fields::of(&truth.lines());
        let page =
            Page { number: 0, image: picture::blank(32, 32), heavily: false, fault: Fault::Clean, truth };
        Reading { lines: page.truth.lines(), fields, page }
    }

    fn corrected(handler: impl Handler<Reading, Retry = NoLoop>, reading: Reading) -> Fields {
        match testing::judge(handler, [reading]).pop() {
            Some(Verdict::Replace(right)) => right.fields,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_right_is_plausible_and_nothing_is_corrected() {
        let right = reading();
        let check = plausible().unwrap();
        assert!(check.violations(&right).is_empty(), "{:?}", check.violations(&right));
        assert_eq!(testing::judge(spelling().unwrap(), [right.clone()]), [Verdict::Abstain]);
        assert_eq!(testing::judge(amounts(), [right]), [Verdict::Abstain]);
    }

    #[test]
    fn each_wrong_field_is_seen() {
        let spoil: [fn(&mut Fields); 8] = [
            |f| f.merchant = Some("SOMEBODY ELSE".to_owned()),
            |f| f.date = None,
            |f| f.date = Some("2024-13-05".to_owned()),
            |f| f.number = Some("1234567".to_owned()),
            |f| f.items[0].price += 1,
            |f| f.items[0].name = "A thing".to_owned(),
            |f| f.tax = None,
            |f| f.total = Some(1),
        ];
        let check = plausible().unwrap();
        for (nth, spoil) in spoil.iter().enumerate() {
            let mut wrong = reading();
            spoil(&mut wrong.fields);
            assert!(!check.violations(&wrong).is_empty(), "{nth}");
        }
    }

    #[test]
    fn names_are_found_again_and_amounts_follow_from_the_items() {
        let right = reading();
        let mut wrong = right.clone();
        wrong.fields.merchant = right.fields.merchant.as_ref().map(|name| name.replace('O', "0"));
        wrong.fields.items[0].name = wrong.fields.items[0].name.replace('e', "c");
        assert_eq!(corrected(spelling().unwrap(), wrong), right.fields);
        let mut wrong = right.clone();
        wrong.fields.tax = Some(1);
        assert_eq!(corrected(amounts(), wrong), right.fields);
        // A wrong item: nobody can say which.
        let mut wrong = right;
        wrong.fields.items[0].price += 5;
        assert_eq!(testing::judge(amounts(), [wrong]), [Verdict::Abstain]);
    }

    #[test]
    fn red_is_seen_and_grey_is_not() {
        let grey = reading().page;
        let red = grey.with(picture::recoloured(&grey.image, |_| [250, 40, 50]));
        assert_eq!(through_red_glass(&grey), Verdict::Pass);
        assert!(
            matches!(through_red_glass(&red), Verdict::Replace(page) if page.image.rgb.iter().all(|v| *v == 250))
        );
    }
}
