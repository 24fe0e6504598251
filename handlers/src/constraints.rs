//! What must hold between fields: sums, and order.

use crate::Check;

impl<T> Check<T> {
    /// `sum` and `total` differ by `tolerance` at most. `statement` is what must hold, in words.
    ///
    /// Where one of them is not a number it does not hold. Sums of cents as `f64` are off by far less than a cent: half of
    /// one is a good tolerance.
    ///
    /// ```
    /// use eddyline_handlers::Check;
    ///
    /// struct Receipt { items: Vec<f64>, total: f64 }
    ///
    /// let check = Check::new().sum(
    ///     "the items add up to the total",
    ///     |r: &Receipt| r.items.iter().sum(),
    ///     |r| r.total,
    ///     0.005,
    /// );
    /// assert!(check.violations(&Receipt { items: vec![0.1, 0.2], total: 0.3 }).is_empty());
    /// let wrong = Receipt { items: vec![0.1, 0.2], total: 0.8 };
    /// assert_eq!(check.violations(&wrong), ["does not hold: the items add up to the total"]);
    /// ```
    #[must_use]
    pub fn sum(
        self,
        statement: &str,
        sum: impl Fn(&T) -> f64 + Send + 'static,
        total: impl Fn(&T) -> f64 + Send + 'static,
        tolerance: f64,
    ) -> Self {
        self.holds(statement, move |value| (sum(value) - total(value)).abs() <= tolerance)
    }

    /// None of the values that `fields` gives is less than the one before: dates, times, numbers. `statement` is what must hold, in
    /// words. Fields that may be missing can be left out with `.into_iter().flatten()`.
    ///
    /// ```
    /// use eddyline_handlers::Check;
    ///
    /// struct Card { issued: u32, expires: Option<u32> }
    ///
    /// let check = Check::new()
    ///     .in_order("issued before it expires", |c: &Card| [Some(c.issued), c.expires].into_iter().flatten());
    /// assert!(check.violations(&Card { issued: 2024, expires: Some(2034) }).is_empty());
    /// assert!(check.violations(&Card { issued: 2024, expires: None }).is_empty());
    /// let wrong = Card { issued: 2034, expires: Some(2024) };
    /// assert_eq!(check.violations(&wrong), ["does not hold: issued before it expires"]);
    /// ```
    #[must_use]
    pub fn in_order<D: PartialOrd, I: IntoIterator<Item = D>>(
        self,
        statement: &str,
        fields: impl Fn(&T) -> I + Send + 'static,
    ) -> Self {
        self.holds(statement, move |value| fields(value).into_iter().is_sorted())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn order_holds_if_no_pair_of_neighbours_falls(fields in prop::collection::vec(0..5, 0..5)) {
            let check = Check::new().in_order("order", |f: &Vec<i32>| f.clone());
            let falls = fields.windows(2).any(|pair| pair[0] > pair[1]);
            prop_assert_eq!(check.violations(&fields).is_empty(), !falls);
        }

        #[test]
        fn cents_add_up_whatever_their_order(mut cents in prop::collection::vec(0..100_000_u32, 0..30), off in 1..1_000_u32) {
            let total = f64::from(cents.iter().sum::<u32>()) / 100.0;
            cents.reverse();
            let check = Check::new().sum(
                "sum",
                |(cents, _): &(Vec<u32>, f64)| cents.iter().map(|c| f64::from(*c) / 100.0).sum(),
                |(_, total)| *total,
                0.005,
            );
            prop_assert!(check.violations(&(cents.clone(), total)).is_empty());
            prop_assert_eq!(check.violations(&(cents, total + f64::from(off) / 100.0)).len(), 1);
        }
    }

    #[test]
    fn what_is_not_a_number_adds_up_to_nothing() {
        let check = Check::new().sum("sum", |n: &f64| *n, |n| *n, 0.0);
        assert_eq!(check.violations(&f64::NAN).len(), 1);
        assert!(check.violations(&1.0).is_empty());
    }
}
