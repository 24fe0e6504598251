//! Two readings of one thing: of two models, two cameras, two channels.

use crate::{Check, Handler, NoLoop, Seen, Verdict, by};

/// Which of two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first.
    First,
    /// The second.
    Second,
}

/// Two readings of one thing should be the same. The judged value has both, as what a join puts together has.
///
/// Where they agree the handler abstains. That is not proof: two models that learned from the same data are wrong together.
///
/// ```
/// use eddyline_handlers::{Agreement, Side, Verdict, testing};
///
/// #[derive(Clone, Debug, PartialEq)]
/// struct Read { text: &'static str, confidence: f64 }
/// type Both = (Read, Read);
/// let read = |text, confidence| Read { text, confidence };
///
/// let better = Agreement::of(|b: &Both| b.0.text == b.1.text).or_better(
///     |b| (b.0.confidence, b.1.confidence),
///     0.2,
///     |b, better| match better {
///         Side::First => (b.0.clone(), b.0.clone()),
///         Side::Second => (b.1.clone(), b.1.clone()),
///     },
/// );
/// let same = (read("7", 0.9), read("7", 0.4));
/// let clear = (read("7", 0.3), read("1", 0.9));
/// let close = (read("7", 0.8), read("1", 0.9));
/// assert_eq!(
///     testing::judge(better, [same, clear, close]),
///     [
///         Verdict::Abstain,
///         Verdict::Replace((read("1", 0.9), read("1", 0.9))),
///         Verdict::reject("the readings disagree, and neither is clearly better"),
///     ]
/// );
/// ```
pub struct Agreement<T> {
    agree: Box<dyn Fn(&T) -> bool + Send>,
}

impl<T: 'static> Agreement<T> {
    /// Two readings that `agree` says are the same.
    pub fn of(agree: impl Fn(&T) -> bool + Send + 'static) -> Self {
        Self { agree: Box::new(agree) }
    }

    /// Where they disagree: goes on as what `take` makes of the better one, by `confidences`, of which one must be ahead by more
    /// than `margin` (0 or more, on their scale); otherwise it is rejected. Both confidences must be on one scale; two models' are only
    /// where both have been calibrated.
    pub fn or_better<N: Into<f64>>(
        self,
        confidences: impl Fn(&T) -> (N, N) + Send + 'static,
        margin: f64,
        take: impl Fn(&T, Side) -> T + Send + 'static,
    ) -> impl Handler<T, Retry = NoLoop> {
        self.or_else(move |value, _| {
            let (first, second) = confidences(value);
            let ahead = first.into() - second.into();
            if ahead > margin {
                Verdict::Replace(take(value, Side::First))
            } else if -ahead > margin {
                Verdict::Replace(take(value, Side::Second))
            } else {
                Verdict::reject("the readings disagree, and neither is clearly better")
            }
        })
    }

    /// Where they disagree: what `otherwise` says, for instance a retry with a third model.
    pub fn or_else<R: 'static>(
        self,
        mut otherwise: impl FnMut(&T, &Seen) -> Verdict<T, R> + Send + 'static,
    ) -> impl Handler<T, Retry = R> {
        by(
            move |value: &T, seen: &Seen| {
                if (self.agree)(value) { Verdict::Abstain } else { otherwise(value, seen) }
            },
        )
    }

    /// The same as a [`Check`], to stand beside other rules.
    pub fn check(self) -> Check<T> {
        Check::new().rule("the readings disagree".to_owned(), self.agree)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::judge;

    fn better(margin: f64) -> impl Handler<[(u8, f64); 2], Retry = NoLoop> {
        Agreement::of(|r: &[(u8, f64); 2]| r[0].0 == r[1].0).or_better(
            |r| (r[0].1, r[1].1),
            margin,
            |r, better| [r[better as usize]; 2],
        )
    }

    proptest! {
        #[test]
        fn what_disagrees_becomes_the_more_confident_or_is_rejected(
            a in (0..3_u8, 0.0..1.0), b in (0..3_u8, 0.0..1.0), margin in 0.0..0.5,
        ) {
            let verdict = judge(better(margin), [[a, b]]).remove(0);
            match verdict {
                Verdict::Abstain => prop_assert_eq!(a.0, b.0),
                Verdict::Replace([taken, _]) => {
                    prop_assert!(a.0 != b.0 && (a.1 - b.1).abs() > margin);
                    prop_assert_eq!(taken.1, a.1.max(b.1));
                }
                Verdict::Reject(_) => prop_assert!(a.0 != b.0 && (a.1 - b.1).abs() <= margin),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn a_confidence_that_is_not_a_number_is_not_better() {
        assert!(matches!(judge(better(0.0), [[(1, f64::NAN), (2, 0.1)]])[..], [Verdict::Reject(_)]));
    }

    #[test]
    fn it_is_a_rule_beside_others() {
        let check = Agreement::of(|r: &(u8, u8)| r.0 == r.1).check().range("first", |r| r.0, ..5);
        assert_eq!(check.violations(&(7, 1)), ["the readings disagree", "first is not in ..5"]);
    }
}
