//! Corrects one character of a number whose check digit does not fit.

use super::CheckDigit;
use crate::{
    Handler, NoLoop, Seen, Verdict,
    text::{Get, Put},
};

type Place<T> = Box<dyn Fn(&T) -> Option<usize> + Send>;
type Allowed<T> = Box<dyn Fn(&T, char) -> bool + Send>;
type Otherwise<T, R> = Box<dyn FnMut(&T, &[String], &Seen) -> Verdict<T, R> + Send>;

/// See [`CheckDigit::corrector`].
///
/// Only the place that is least certain is tried: by Luhn there is a digit for every place that makes a wrong number fit, and all
/// but one of them are wrong. To rank all places by what a model thinks of each digit, see the example `account-numbers`.
pub struct Corrector<T, R = NoLoop> {
    scheme: CheckDigit,
    text: Get<T>,
    least_certain: Place<T>,
    corrected: Put<T>,
    allowed: Allowed<T>,
    otherwise: Otherwise<T, R>,
}

impl<T> Corrector<T> {
    pub(super) fn new(
        scheme: CheckDigit,
        text: impl Fn(&T) -> &str + Send + 'static,
        least_certain: impl Fn(&T) -> Option<usize> + Send + 'static,
        corrected: impl Fn(&mut T, String) + Send + 'static,
    ) -> Self {
        Self {
            scheme,
            text: Box::new(text),
            least_certain: Box::new(least_certain),
            corrected: Box::new(corrected),
            allowed: Box::new(|_, _| true),
            otherwise: Box::new(|_, candidates, _| match candidates {
                [] => Verdict::reject(
                    "check digit does not fit, and no character at the doubtful place makes it fit",
                ),
                _ => Verdict::reject("check digit does not fit, and several characters would make it fit"),
            }),
        }
    }
}

impl<T, R> Corrector<T, R> {
    /// Only these characters may stand at the doubtful place: what the field's form allows, or what the model thinks possible.
    ///
    /// ```
    /// use eddyline_handlers::{Verdict, check_digit::CheckDigit, testing};
    ///
    /// // A document number of which a 1 was read as I. To 7-3-1, `1`, `B`, `L` and `V` are the same.
    /// let candidates = ["AB2134<<<5", "AB2B34<<<5", "AB2L34<<<5", "AB2V34<<<5"];
    /// assert_eq!(CheckDigit::Icao9303.corrections("AB2I34<<<5", 3), candidates);
    /// let digits = CheckDigit::Icao9303
    ///     .corrector(|n: &String| n, |_| Some(3), |n, right| *n = right)
    ///     .allowing(|_, c| c.is_ascii_digit());
    /// let verdicts = testing::judge(digits, ["AB2I34<<<5".to_owned()]);
    /// assert_eq!(verdicts, [Verdict::Replace("AB2134<<<5".to_owned())]);
    /// ```
    #[must_use]
    pub fn allowing(self, allowed: impl Fn(&T, char) -> bool + Send + 'static) -> Self {
        Self { allowed: Box::new(allowed), ..self }
    }

    /// Where not exactly one character makes it fit: what `otherwise` says, who gets the value and the numbers that would fit, none
    /// or several.
    #[must_use]
    pub fn or_else<S>(
        self,
        otherwise: impl FnMut(&T, &[String], &Seen) -> Verdict<T, S> + Send + 'static,
    ) -> Corrector<T, S> {
        let Corrector { scheme, text, least_certain, corrected, allowed, otherwise: _ } = self;
        Corrector { scheme, text, least_certain, corrected, allowed, otherwise: Box::new(otherwise) }
    }
}

impl<T: Clone + 'static, R: 'static> Handler<T> for Corrector<T, R> {
    type Retry = R;

    fn judge(&mut self, value: &T, seen: &Seen) -> Verdict<T, R> {
        let text = (self.text)(value);
        if self.scheme.valid(text) {
            return Verdict::Abstain;
        }
        let mut candidates = Vec::new();
        if let Some(place) = (self.least_certain)(value) {
            candidates = self.scheme.corrections(text, place);
            candidates
                .retain(|corrected| corrected.chars().nth(place).is_some_and(|c| (self.allowed)(value, c)));
        }
        match &mut candidates[..] {
            [only] => {
                let mut right = value.clone();
                (self.corrected)(&mut right, std::mem::take(only));
                Verdict::Replace(right)
            }
            _ => (self.otherwise)(value, &candidates, seen),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{judge, judge_seen};

    fn corrector(place: Option<usize>) -> Corrector<String> {
        CheckDigit::Luhn.corrector(|n: &String| n, move |_| place, |n, right| *n = right)
    }

    #[test]
    fn what_fits_is_left_alone_and_what_does_not_is_corrected_at_its_place() {
        let verdicts = judge(corrector(Some(2)), ["79927398713".to_owned(), "79027398713".to_owned()]);
        assert_eq!(verdicts, [Verdict::Abstain, Verdict::Replace("79927398713".to_owned())]);
    }

    #[test]
    fn where_there_is_no_place_or_no_number_it_is_rejected() {
        let none = "check digit does not fit, and no character at the doubtful place makes it fit";
        let wrong = || "79027398713".to_owned();
        assert_eq!(judge(corrector(None), [wrong()]), [Verdict::reject(none)]);
        assert_eq!(judge(corrector(Some(99)), [wrong()]), [Verdict::reject(none)]);
        assert_eq!(judge(corrector(Some(0)), ["7x".to_owned()]), [Verdict::reject(none)]);
    }

    #[test]
    fn an_author_may_send_back_what_cannot_be_corrected() {
        let again = corrector(None).or_else(|n, _, _| Verdict::Retry(n.len()));
        assert_eq!(judge_seen(again, Seen::after(0, 1), ["70".to_owned()]), [Verdict::Retry(2)]);
    }
}
