//! Check digits, as on cards, accounts and travel documents: is a number right, which digit belongs there, and what it would be
//! with one character corrected.

mod corrector;
mod iban;
mod icao;
mod luhn;

pub use corrector::Corrector;
pub use luhn::{luhn_remainder, luhn_substitute, luhn_term};

use crate::Check;

/// A way of computing check digits.
///
/// | | over | finds | misses |
/// |---|---|---|---|
/// | [`Luhn`](CheckDigit::Luhn) | digits, the check digit last | each digit in the place of another; swapped neighbours but 09 and 90 | about one in ten of all else |
/// | [`Icao9303`](CheckDigit::Icao9303) | `0`–`9`, `A`–`Z`, `<`, the check digit last | each digit in the place of another; swapped digits but those that differ by 5 | characters that differ by 10 or 20, as `0`, `A`, `K`, `U` and `<`; about one in ten of all else |
/// | [`Iban`](CheckDigit::Iban) | country, two check digits, up to 30 of `0`–`9`, `A`–`Z` | each digit in the place of another, and each letter; swapped digits, swapped letters | about one in 97 of all else |
///
/// A number that is valid may be wrong all the same, and so may a correction: measure what is undetected.
///
/// ```
/// use eddyline_handlers::check_digit::CheckDigit;
///
/// assert!(CheckDigit::Luhn.valid("79927398713"));
/// assert_eq!(CheckDigit::Icao9303.digits_for("AB2134<<<").as_deref(), Some("5"));
/// assert_eq!(CheckDigit::Iban.digits_for("GBWEST12345698765432").as_deref(), Some("82"));
///
/// // The third digit is the doubtful one.
/// assert_eq!(CheckDigit::Luhn.corrections("79327398713", 2), ["79927398713"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CheckDigit {
    /// ISO/IEC 7812-1, annex B: cards, many accounts, IMEI numbers.
    Luhn,
    /// ICAO Doc 9303, part 3, section 4.9, weights 7-3-1: each field of a machine-readable zone with its check digit, and the lines'
    /// composite ones.
    Icao9303,
    /// ISO 13616-1 with ISO/IEC 7064, MOD 97-10: bank accounts, written without spaces and in capitals. A country's own length and
    /// form are not looked at: add a [`pattern`](Check::pattern).
    Iban,
}

impl CheckDigit {
    /// Whether `text` has the right check digits. What has other characters, or is too short or too long to be one of these
    /// numbers, is not valid.
    pub fn valid(self, text: &str) -> bool {
        match self {
            CheckDigit::Luhn => luhn::valid(text),
            CheckDigit::Icao9303 => icao::valid(text),
            CheckDigit::Iban => iban::valid(text),
        }
    }

    /// The check digits for a number that is written without them; none where it cannot have any.
    pub fn digits_for(self, body: &str) -> Option<String> {
        match self {
            CheckDigit::Luhn => luhn::digits_for(body),
            CheckDigit::Icao9303 => icao::digits_for(body),
            CheckDigit::Iban => iban::digits_for(body),
        }
    }

    /// All valid numbers that differ from `text` only in the character at `place` (from 0), digits first; none where `text` has no
    /// such place.
    ///
    /// By Luhn there is at most one. Where letters may stand there can be several: say which are possible with
    /// [`Corrector::allowing`].
    pub fn corrections(self, text: &str, place: usize) -> Vec<String> {
        let Some((at, old)) = text.char_indices().nth(place) else { return Vec::new() };
        let (before, after) = (&text[..at], &text[at + old.len_utf8()..]);
        self.alphabet()
            .filter(|&new| new != old)
            .map(|new| format!("{before}{new}{after}"))
            .filter(|corrected| self.valid(corrected))
            .collect()
    }

    /// A handler that corrects one character of what does not fit, at the place that is least certain. `text` gives the number,
    /// `least_certain` the place (characters, from 0; none to leave it uncorrected), `corrected` puts the right number in.
    ///
    /// What fits is left alone. Where not exactly one character makes it fit, the value is rejected, or what
    /// [`Corrector::or_else`] says.
    ///
    /// ```
    /// use eddyline_handlers::{Verdict, check_digit::CheckDigit, testing};
    ///
    /// #[derive(Clone, Debug, PartialEq)]
    /// struct Number { read: String, confidences: Vec<f64> }
    ///
    /// let corrector = CheckDigit::Luhn.corrector(
    ///     |n: &Number| &n.read,
    ///     |n| (0..n.confidences.len()).min_by(|&a, &b| n.confidences[a].total_cmp(&n.confidences[b])),
    ///     |n, read| n.read = read,
    /// );
    /// let number = |read: &str| Number { read: read.to_owned(), confidences: vec![0.9, 0.9, 0.2, 0.9, 0.9] };
    /// let verdicts = testing::judge(corrector, [number("18200"), number("18300")]);
    /// assert_eq!(verdicts, [Verdict::Abstain, Verdict::Replace(number("18200"))]);
    /// ```
    pub fn corrector<T>(
        self,
        text: impl Fn(&T) -> &str + Send + 'static,
        least_certain: impl Fn(&T) -> Option<usize> + Send + 'static,
        corrected: impl Fn(&mut T, String) + Send + 'static,
    ) -> Corrector<T> {
        Corrector::new(self, text, least_certain, corrected)
    }

    fn alphabet(self) -> impl Iterator<Item = char> {
        let (letters, filler) = match self {
            CheckDigit::Luhn => (None, None),
            CheckDigit::Icao9303 => (Some('A'..='Z'), Some('<')),
            CheckDigit::Iban => (Some('A'..='Z'), None),
        };
        ('0'..='9').chain(letters.into_iter().flatten()).chain(filler)
    }
}

impl<T> Check<T> {
    /// The number `name` has the right check digits.
    ///
    /// ```
    /// use eddyline_handlers::{Check, check_digit::CheckDigit};
    ///
    /// let check = Check::new().check_digit("account", |a: &String| a, CheckDigit::Iban);
    /// assert_eq!(check.violations(&"GB83WEST12345698765432".to_owned()), ["check digit of account does not fit"]);
    /// ```
    #[must_use]
    pub fn check_digit(
        self,
        name: &str,
        text: impl Fn(&T) -> &str + Send + 'static,
        scheme: CheckDigit,
    ) -> Self {
        self.rule(format!("check digit of {name} does not fit"), move |value| scheme.valid(text(value)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A scheme, a valid number of it, and the places that its user fills in.
    fn numbers() -> impl Strategy<Value = (CheckDigit, String)> {
        let with = |scheme: CheckDigit| {
            move |body: String| {
                let digits = scheme.digits_for(&body).unwrap();
                let number = match scheme {
                    CheckDigit::Iban => format!("{}{digits}{}", &body[..2], &body[2..]),
                    _ => body + &digits,
                };
                (scheme, number)
            }
        };
        prop_oneof![
            "[0-9]{1,20}".prop_map(with(CheckDigit::Luhn)),
            "[0-9A-Z<]{1,20}".prop_map(with(CheckDigit::Icao9303)),
            "[A-Z]{2}[0-9A-Z]{1,30}".prop_map(with(CheckDigit::Iban)),
        ]
    }

    proptest! {
        #[test]
        fn what_has_its_digits_is_valid((scheme, number) in numbers()) {
            prop_assert!(scheme.valid(&number), "{}", number);
        }

        #[test]
        fn a_digit_in_the_place_of_another_is_found_and_corrected(
            (scheme, number) in numbers(), place in any::<prop::sample::Index>(), new in 0..10_u8,
        ) {
            let place = place.index(number.len());
            let (old, new) = (number.as_bytes()[place], b'0' + new);
            prop_assume!(old.is_ascii_digit() && old != new);
            let mut wrong = number.clone().into_bytes();
            wrong[place] = new;
            let wrong = String::from_utf8(wrong).unwrap();
            prop_assert!(!scheme.valid(&wrong), "{} for {}", wrong, number);
            let corrections = scheme.corrections(&wrong, place);
            prop_assert!(corrections.contains(&number));
            prop_assert!(scheme != CheckDigit::Luhn || corrections.len() == 1);
            prop_assert!(corrections.iter().all(|c| scheme.valid(c) && c.len() == number.len()));
        }

        #[test]
        fn swapped_neighbours_are_found_but_for_the_few_that_are_named(
            (scheme, number) in numbers(), place in any::<prop::sample::Index>(),
        ) {
            let place = place.index(number.len() - 1);
            let mut swapped = number.clone().into_bytes();
            swapped.swap(place, place + 1);
            let (a, b) = (swapped[place], swapped[place + 1]);
            let found = match scheme {
                CheckDigit::Luhn => [a.min(b), a.max(b)] != *b"09",
                CheckDigit::Icao9303 => a.is_ascii_digit() && b.is_ascii_digit() && a.abs_diff(b) != 5,
                CheckDigit::Iban => a.is_ascii_digit() == b.is_ascii_digit(),
            };
            prop_assume!(a != b && found);
            prop_assert!(!scheme.valid(std::str::from_utf8(&swapped).unwrap()), "{} at {}", number, place);
        }

        #[test]
        fn any_text_and_place_has_an_answer(text in ".{0,12}", place in 0..14_usize) {
            for scheme in [CheckDigit::Luhn, CheckDigit::Icao9303, CheckDigit::Iban] {
                scheme.digits_for(&text);
                prop_assert!(scheme.corrections(&text, place).iter().all(|corrected| scheme.valid(corrected)));
            }
        }
    }
}
