//! Trying a handler out on a list of values, without a workflow.

use crate::{Confusion, Handler, Seen, Verdict, confusion::Change};

/// What `handler` says of each value, in order; no rounds are left.
///
/// ```
/// use eddyline_handlers::{Handler, Seen, Verdict, testing};
///
/// struct Positive;
/// impl Handler<i32> for Positive {
///     type Retry = eddyline_handlers::NoLoop;
///     fn judge(&mut self, x: &i32, _: &Seen) -> Verdict<i32> {
///         if *x > 0 { Verdict::Pass } else { Verdict::reject("not positive") }
///     }
/// }
/// assert_eq!(testing::judge(Positive, [3, -2]), [Verdict::Pass, Verdict::reject("not positive")]);
/// ```
pub fn judge<T, H: Handler<T>>(handler: H, values: impl IntoIterator<Item = T>) -> Vec<Verdict<T, H::Retry>> {
    judge_seen(handler, Seen::default(), values)
}

/// What `handler` says of each value, in order, where every record has been round its loop as `seen` says.
pub fn judge_seen<T, H: Handler<T>>(
    mut handler: H,
    seen: Seen,
    values: impl IntoIterator<Item = T>,
) -> Vec<Verdict<T, H::Retry>> {
    values.into_iter().map(|value| handler.judge(&value, &seen)).collect()
}

/// What `handler` does to right and wrong values, in numbers; no rounds are left. `right` says whether a value is right, before and
/// after.
///
/// ```
/// use eddyline_handlers::{Check, testing};
///
/// // (what was read, what is true)
/// let handler = Check::new().range("digit", |(read, _): &(i32, i32)| *read, 0..10).or_replace(|&(_, truth)| (0, truth));
/// let values = [(3, 3), (7, 1), (12, 0), (11, 5)];
/// let confusion = testing::confusion(handler, values, |(read, truth)| read == truth);
/// assert_eq!((confusion.right.left, confusion.undetected(), confusion.repaired()), (1, 1, 1));
/// assert_eq!(confusion.wrong.to_wrong, 1);
/// assert_eq!((confusion.precision(), confusion.recall()), (Some(1.0), Some(2.0 / 3.0)));
/// println!("{confusion}");
/// ```
pub fn confusion<T, H: Handler<T>>(
    handler: H,
    values: impl IntoIterator<Item = T>,
    right: impl Fn(&T) -> bool,
) -> Confusion {
    confusion_seen(handler, Seen::default(), values, right)
}

/// The same where every record has been round its loop as `seen` says.
pub fn confusion_seen<T, H: Handler<T>>(
    mut handler: H,
    seen: Seen,
    values: impl IntoIterator<Item = T>,
    right: impl Fn(&T) -> bool,
) -> Confusion {
    let mut confusion = Confusion::default();
    for value in values {
        let verdict = handler.judge(&value, &seen);
        confusion.count(Change::of(&value, &verdict, |value| Some(right(value))));
    }
    confusion
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{NoLoop, by};

    proptest! {
        #[test]
        fn every_value_is_counted_once_and_left_ones_stay_what_they_are(values in prop::collection::vec((0..4_u8, any::<bool>()), 0..40)) {
            let handler = by(|&(kind, right): &(u8, bool), _: &Seen| -> Verdict<(u8, bool), NoLoop> {
                match kind {
                    0 => Verdict::Pass,
                    1 => Verdict::Replace((1, !right)),
                    2 => Verdict::Split(vec![(2, right), (2, true)]),
                    _ => Verdict::reject("three"),
                }
            });
            let count = |kind: u8, right: bool| values.iter().filter(|v| **v == (kind, right)).count() as u64;
            let confusion = confusion(handler, values.clone(), |value| value.1);
            prop_assert_eq!(confusion.right.all() + confusion.wrong.all(), values.len() as u64);
            prop_assert_eq!((confusion.right.left, confusion.undetected()), (count(0, true), count(0, false)));
            prop_assert_eq!((confusion.harmed(), confusion.repaired()), (count(1, true), count(1, false)));
            prop_assert_eq!((confusion.right.to_right, confusion.wrong.to_wrong), (count(2, true), count(2, false)));
            prop_assert_eq!(confusion.withheld(), count(3, true));
        }
    }
}
