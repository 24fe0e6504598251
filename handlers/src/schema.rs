//! What a single field must be: there, in a range, one of a list, of a length.

use std::{collections::BTreeSet, fmt::Debug, ops::RangeBounds};

use crate::Check;

impl<T> Check<T> {
    /// The field `name` is there; `is_there` says whether.
    ///
    /// ```
    /// # use eddyline_handlers::Check;
    /// let check = Check::new().required("date", |r: &Option<u32>| r.is_some());
    /// assert_eq!(check.violations(&None), ["date is missing"]);
    /// ```
    #[must_use]
    pub fn required(self, name: &str, is_there: impl Fn(&T) -> bool + Send + 'static) -> Self {
        self.rule(format!("{name} is missing"), is_there)
    }

    /// The field `name` is in `range`: a number, a date, whatever has an order. It may be an `Option`: one that is not there is
    /// not judged, that is [`required`](Check::required). What is not a number is in no range.
    ///
    /// ```
    /// # use eddyline_handlers::Check;
    /// struct Reading { degrees: f64, height: Option<u32> }
    ///
    /// let check = Check::new()
    ///     .range("degrees", |r: &Reading| r.degrees, -40.0..=60.0)
    ///     .range("height", |r| r.height, ..9_000);
    /// assert!(check.violations(&Reading { degrees: 21.5, height: None }).is_empty());
    /// let both = Reading { degrees: 68.0, height: Some(12_000) };
    /// assert_eq!(check.violations(&both), ["degrees is not in -40.0..=60.0", "height is not in ..9000"]);
    /// ```
    #[must_use]
    pub fn range<N: PartialOrd, V: Into<Option<N>>>(
        self,
        name: &str,
        field: impl Fn(&T) -> V + Send + 'static,
        range: impl RangeBounds<N> + Debug + Send + 'static,
    ) -> Self {
        let violation = format!("{name} is not in {range:?}");
        self.rule(violation, move |value| field(value).into().is_none_or(|n| range.contains(&n)))
    }

    /// The text `name` is one of `allowed`, letter by letter.
    ///
    /// ```
    /// # use eddyline_handlers::Check;
    /// let check = Check::new().one_of("currency", |c: &String| c, ["EUR", "USD"]);
    /// assert_eq!(check.violations(&"BTC".to_owned()), ["currency is not one of EUR, USD"]);
    /// ```
    #[must_use]
    pub fn one_of<W: Into<String>>(
        self,
        name: &str,
        text: impl Fn(&T) -> &str + Send + 'static,
        allowed: impl IntoIterator<Item = W>,
    ) -> Self {
        let allowed: Vec<String> = allowed.into_iter().map(Into::into).collect();
        let violation = format!("{name} is not one of {}", allowed.join(", "));
        let allowed: BTreeSet<String> = allowed.into_iter().collect();
        self.rule(violation, move |value| allowed.contains(text(value)))
    }

    /// The text `name` has so many characters (Unicode scalar values, not bytes).
    ///
    /// ```
    /// # use eddyline_handlers::Check;
    /// let check = Check::new().length("number", |n: &String| n, 10..=10);
    /// assert_eq!(check.violations(&"123".to_owned()), ["length of number is not in 10..=10"]);
    /// ```
    #[must_use]
    pub fn length(
        self,
        name: &str,
        text: impl Fn(&T) -> &str + Send + 'static,
        characters: impl RangeBounds<usize> + Debug + Send + 'static,
    ) -> Self {
        let name = format!("length of {name}");
        self.range(&name, move |value| text(value).chars().count(), characters)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_fits_if_and_only_if_the_range_contains_it(n in any::<f64>(), a in -1e6..1e6, b in -1e6..1e6) {
            let check = Check::new().range("n", |n: &f64| *n, a..b);
            prop_assert_eq!(check.violations(&n).is_empty(), a <= n && n < b);
        }

        #[test]
        fn length_counts_characters(text in ".{0,12}", limit in 0_usize..12) {
            let check = Check::new().length("text", |t: &String| t, ..=limit);
            prop_assert_eq!(check.violations(&text).is_empty(), text.chars().count() <= limit);
        }

        #[test]
        fn only_what_is_listed_is_one_of_the_list(words in prop::collection::vec("[ab]{0,2}", 0..4), word in "[ab]{0,2}") {
            let check = Check::new().one_of("word", |w: &String| w, words.clone());
            prop_assert_eq!(check.violations(&word).is_empty(), words.contains(&word));
        }
    }

    #[test]
    fn what_is_not_a_number_is_in_no_range_and_what_is_not_there_is_not_judged() {
        let check = Check::new().range("n", |n: &Option<f64>| *n, f64::NEG_INFINITY..=f64::INFINITY);
        assert_eq!(check.violations(&Some(f64::NAN)), ["n is not in -inf..=inf"]);
        assert!(check.violations(&None).is_empty());
    }
}
