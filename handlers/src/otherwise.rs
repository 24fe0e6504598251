//! What is to become of a value that does not fit its check: makes a handler of a [`Check`].

use crate::{Check, Handler, NextAlternative, NoLoop, OrAgain, Question, Seen, Verdict, by};

impl<T: 'static> Check<T> {
    /// What does not fit ends in quarantine; the reason names all rules that do not hold.
    ///
    /// ```
    /// # use eddyline_handlers::{Check, Verdict, testing};
    /// let small = Check::new().range("count", |n: &i32| *n, ..10).or_reject();
    /// assert_eq!(testing::judge(small, [3, 12]), [Verdict::Abstain, Verdict::reject("count is not in ..10")]);
    /// ```
    pub fn or_reject(self) -> impl Handler<T, Retry = NoLoop> {
        self.or_else(|_, violations, _| reject(violations))
    }

    /// What does not fit ends, and is not kept.
    pub fn or_drop(self) -> impl Handler<T, Retry = NoLoop> {
        self.or_else(|_, violations, _| Verdict::drop(reason(violations)))
    }

    /// What does not fit goes on with another value.
    ///
    /// ```
    /// # use eddyline_handlers::{Check, Verdict, testing};
    /// let clamped = Check::new().range("count", |n: &i32| *n, ..10).or_replace(|_| 9);
    /// assert_eq!(testing::judge(clamped, [3, 12]), [Verdict::Abstain, Verdict::Replace(9)]);
    /// ```
    pub fn or_replace(
        self,
        mut with: impl FnMut(&T) -> T + Send + 'static,
    ) -> impl Handler<T, Retry = NoLoop> {
        self.or_else(move |value, _, _| Verdict::Replace(with(value)))
    }

    /// What does not fit goes back to the feedback point of the handler's key, as the value that `again` makes of it. Where no
    /// rounds are left it is rejected with the rules that do not hold, or what is said behind this becomes of it: see [`OrAgain`].
    ///
    /// ```
    /// # use eddyline_handlers::{Check, Seen, Verdict, testing};
    /// let make = || Check::new().range("count", |n: &i32| *n, ..10).or_retry(|n| n / 2);
    /// assert_eq!(testing::judge_seen(make(), Seen::after(0, 1), [12]), [Verdict::Retry(6)]);
    /// assert_eq!(testing::judge_seen(make(), Seen::after(1, 0), [12]), [Verdict::reject("count is not in ..10")]);
    /// ```
    pub fn or_retry<R: 'static>(self, mut again: impl FnMut(&T) -> R + Send + 'static) -> OrAgain<T, R> {
        OrAgain::new(self, move |value, seen| (seen.rounds_left > 0).then(|| again(value)))
    }

    /// What does not fit has the step whose key the handler holds try its next alternative. Where none is left it is rejected
    /// with the rules that do not hold, or what is said behind this becomes of it, as in `.or_next().or_ask(…)`: see [`OrAgain`].
    ///
    /// ```
    /// # use eddyline_handlers::{Check, Seen, Verdict, testing};
    /// let make = || Check::new().range("sure", |read: &(&str, f64)| read.1, 0.8..).or_next();
    /// let left = Seen::default().with_alternatives_left(1);
    /// assert_eq!(testing::judge_seen(make(), left, [("7", 0.4)]), [Verdict::NextAlternative]);
    /// assert_eq!(testing::judge(make(), [("7", 0.4)]), [Verdict::reject("sure is not in 0.8..")]);
    /// ```
    pub fn or_next(self) -> OrAgain<T, NextAlternative> {
        OrAgain::new(self, |_, seen| (seen.alternatives_left > 0).then_some(NextAlternative))
    }

    /// What does not fit is a question for a person. `ask` gets the value and the rules that do not hold. In a workflow it needs a
    /// desk behind the handler: `.escalate_to(name)`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use eddyline_handlers::{Answer, Check, Question, Verdict, testing};
    /// let check = Check::new().range("count", |n: &i32| *n, ..10);
    /// let asked = check.or_ask(|_, violations| {
    ///     let hour = Duration::from_secs(3600);
    ///     Question::new(violations.join("; "), hour, Answer::reject("nobody answered"))
    /// });
    /// let verdicts = testing::judge(asked, [12]);
    /// assert!(matches!(&verdicts[..], [Verdict::Escalate(q)] if q.text == "count is not in ..10"));
    /// ```
    pub fn or_ask(
        self,
        mut ask: impl FnMut(&T, &[&str]) -> Question<T> + Send + 'static,
    ) -> impl Handler<T, Retry = NoLoop> {
        self.or_else(move |value, violations, _| Verdict::Escalate(ask(value, violations)))
    }

    /// What does not fit is what `otherwise` says of it, who gets the value, the rules that do not hold (one at least), and what
    /// handlers see.
    ///
    /// ```
    /// # use eddyline_handlers::{Check, Verdict, testing};
    /// let check = Check::new().range("count", |n: &i32| *n, ..10).holds("even", |n| n % 2 == 0);
    /// let handler = check.or_else(|n, violations, _| match violations.len() {
    ///     1 => Verdict::Replace(n / 2),
    ///     _ => Verdict::drop("hopeless"),
    /// });
    /// let verdicts: [Verdict<i32>; 3] = [Verdict::Replace(6), Verdict::drop("hopeless"), Verdict::Abstain];
    /// assert_eq!(testing::judge(handler, [12, 13, 4]), verdicts);
    /// ```
    pub fn or_else<R: 'static>(
        self,
        mut otherwise: impl FnMut(&T, &[&str], &Seen) -> Verdict<T, R> + Send + 'static,
    ) -> impl Handler<T, Retry = R> {
        by(move |value: &T, seen: &Seen| {
            let violations = self.violations(value);
            if violations.is_empty() { Verdict::Abstain } else { otherwise(value, &violations, seen) }
        })
    }
}

fn reason(violations: &[&str]) -> String {
    violations.join("; ")
}

pub(crate) fn reject<T, R>(violations: &[&str]) -> Verdict<T, R> {
    Verdict::Reject(reason(violations))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        Answer, Said,
        testing::{judge, judge_seen},
    };

    fn even() -> Check<i32> {
        Check::new().holds("even", |n: &i32| n % 2 == 0)
    }

    proptest! {
        #[test]
        fn every_policy_fires_on_what_does_not_fit_and_on_nothing_else(n in any::<i32>(), left in 0..3_u32) {
            let seen = Seen::after(1, left).with_alternatives_left(left);
            let question = || Question::new("?", Duration::from_secs(1), Answer::Pass);
            let said = [
                Said::of(&judge_seen(even().or_reject(), seen, [n])[0]),
                Said::of(&judge_seen(even().or_drop(), seen, [n])[0]),
                Said::of(&judge_seen(even().or_replace(|n| n & !1), seen, [n])[0]),
                Said::of(&judge_seen(even().or_retry(|n| n & !1), seen, [n])[0]),
                Said::of(&judge_seen(even().or_next(), seen, [n])[0]),
                Said::of(&judge_seen(even().or_ask(move |_, _| question()), seen, [n])[0]),
            ];
            // Where nothing is left to go back to, it ends.
            let back = if left > 0 { Said::Returned } else { Said::Rejected };
            let fired = [Said::Rejected, Said::Dropped, Said::Corrected, back, back, Said::Escalated];
            prop_assert_eq!(said, if n % 2 == 0 { [Said::Abstained; 6] } else { fired });
        }
    }

    #[test]
    fn what_fits_is_left_alone_by_every_policy() {
        assert_eq!(judge(even().or_reject(), [2]), [Verdict::Abstain]);
        assert_eq!(judge(even().or_drop(), [2]), [Verdict::Abstain]);
        assert_eq!(judge(even().or_replace(|n| n + 1), [2]), [Verdict::Abstain]);
        assert_eq!(judge_seen(even().or_retry(|n| n + 1), Seen::after(0, 1), [2]), [Verdict::Abstain]);
        assert_eq!(
            judge_seen(even().or_next(), Seen::default().with_alternatives_left(1), [2]),
            [Verdict::Abstain]
        );
    }

    #[test]
    fn the_next_alternative_is_asked_for_while_there_is_one() {
        let left = Seen::default().with_alternatives_left(1);
        assert_eq!(judge_seen(even().or_next(), left, [3]), [Verdict::NextAlternative]);
        assert_eq!(judge(even().or_next(), [3]), [Verdict::reject("does not hold: even")]);
        assert_eq!(judge(even().or_drop(), [3]), [Verdict::drop("does not hold: even")]);
    }
}
