//! What is to become of a value that has been tried again, and still does not fit.

use crate::{Check, Handler, Question, Seen, Verdict, otherwise::reject};

/// A check behind which values that do not fit go back: to a feedback point ([`Check::or_retry`]), or to the next alternative of a
/// step ([`Check::or_next`]). Once nothing is left to go back to they are rejected, unless something else is said behind it:
///
/// | behind `or_retry(…)` or `or_next()` | in the end, what does not fit |
/// |---|---|
/// | nothing | is rejected with the rules that do not hold |
/// | [`or_ask`](OrAgain::or_ask) | waits for a person |
/// | [`or_replace`](OrAgain::or_replace) | goes on with another value |
/// | [`or_drop`](OrAgain::or_drop) | ends, and is not kept |
/// | [`or_else`](OrAgain::or_else) | is what your closure says |
///
/// ```
/// # use std::time::Duration;
/// # use eddyline_handlers::{Answer, Check, Question, Seen, Verdict, testing};
/// let make = || {
///     Check::new().range("sure", |read: &(&str, f64)| read.1, 0.8..).or_next().or_ask(|read, _| {
///         Question::new(format!("is this {}?", read.0), Duration::from_secs(3600), Answer::reject("nobody looked"))
///     })
/// };
/// let left = |n| Seen::default().with_alternatives_left(n);
/// assert_eq!(testing::judge_seen(make(), left(1), [("7", 0.4)]), [Verdict::NextAlternative]);
/// let asked = testing::judge_seen(make(), left(0), [("7", 0.4)]);
/// assert!(matches!(&asked[..], [Verdict::Escalate(question)] if question.text == "is this 7?"));
/// ```
pub struct OrAgain<T, R> {
    check: Check<T>,
    again: Again<T, R>,
    spent: Spent<T, R>,
}

/// What goes back, as long as something is left to go back to.
type Again<T, R> = Box<dyn FnMut(&T, &Seen) -> Option<R> + Send>;
type Spent<T, R> = Box<dyn FnMut(&T, &[&str], &Seen) -> Verdict<T, R> + Send>;

impl<T: 'static, R: 'static> OrAgain<T, R> {
    pub(crate) fn new(check: Check<T>, again: impl FnMut(&T, &Seen) -> Option<R> + Send + 'static) -> Self {
        Self { check, again: Box::new(again), spent: Box::new(|_, violations, _| reject(violations)) }
    }

    /// In the end it is a question for a person, which `ask` makes of the value and the rules that do not hold. In a workflow it needs
    /// a desk behind the handler: `.escalate_to(name)`.
    #[must_use]
    pub fn or_ask(self, mut ask: impl FnMut(&T, &[&str]) -> Question<T> + Send + 'static) -> Self {
        self.or_else(move |value, violations, _| Verdict::Escalate(ask(value, violations)))
    }

    /// In the end it goes on with another value.
    ///
    /// ```
    /// # use eddyline_handlers::{Check, Seen, Verdict, testing};
    /// let small = Check::new().range("count", |n: &i32| *n, ..10).or_retry(|n| n / 2).or_replace(|_| 9);
    /// assert_eq!(testing::judge_seen(small, Seen::after(2, 0), [3, 12]), [Verdict::Abstain, Verdict::Replace(9)]);
    /// ```
    #[must_use]
    pub fn or_replace(self, mut with: impl FnMut(&T) -> T + Send + 'static) -> Self {
        self.or_else(move |value, _, _| Verdict::Replace(with(value)))
    }

    /// In the end it ends, and is not kept.
    #[must_use]
    pub fn or_drop(self) -> Self {
        self.or_else(|_, violations, _| Verdict::drop(violations.join("; ")))
    }

    /// In the end it is what `otherwise` says of it, who gets the value, the rules that do not hold (one at least), and what handlers
    /// see.
    ///
    /// ```
    /// # use eddyline_handlers::{Check, Verdict, testing};
    /// let check = Check::new().range("sure", |read: &(&str, f64)| read.1, 0.8..);
    /// let in_two_ways = check.or_next().or_else(|_, _, _| Verdict::reroute("by hand"));
    /// assert_eq!(testing::judge(in_two_ways, [("7", 0.4)]), [Verdict::reroute("by hand")]);
    /// ```
    #[must_use]
    pub fn or_else(
        self,
        otherwise: impl FnMut(&T, &[&str], &Seen) -> Verdict<T, R> + Send + 'static,
    ) -> Self {
        Self { spent: Box::new(otherwise), ..self }
    }
}

impl<T: 'static, R: 'static> Handler<T> for OrAgain<T, R> {
    type Retry = R;

    fn judge(&mut self, value: &T, seen: &Seen) -> Verdict<T, R> {
        let violations = self.check.violations(value);
        if violations.is_empty() {
            return Verdict::Abstain;
        }
        match (self.again)(value, seen) {
            Some(again) => Verdict::Retry(again),
            None => (self.spent)(value, &violations, seen),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{Answer, Said, testing::judge_seen};

    fn even() -> Check<i32> {
        Check::new().holds("even", |n: &i32| n % 2 == 0)
    }

    proptest! {
        #[test]
        fn it_goes_back_as_long_as_it_can_and_then_what_was_said_becomes_of_it(n in any::<i32>(), left in 0..3_u32) {
            let seen = Seen::after(1, left).with_alternatives_left(left);
            let question = || Question::new("?", Duration::from_secs(1), Answer::Pass);
            let said = [
                Said::of(&judge_seen(even().or_next().or_ask(move |_, _| question()), seen, [n])[0]),
                Said::of(&judge_seen(even().or_next().or_drop(), seen, [n])[0]),
                Said::of(&judge_seen(even().or_next().or_replace(|_| 0), seen, [n])[0]),
                Said::of(&judge_seen(even().or_retry(|n| n & !1).or_replace(|_| 0), seen, [n])[0]),
                Said::of(&judge_seen(even().or_retry(|n| n & !1).or_else(|_, _, _| Verdict::Pass), seen, [n])[0]),
            ];
            let end = [Said::Escalated, Said::Dropped, Said::Corrected, Said::Corrected, Said::Passed];
            prop_assert_eq!(said, match (n % 2 == 0, left) {
                (true, _) => [Said::Abstained; 5],
                (false, 0) => end,
                (false, _) => [Said::Returned; 5],
            });
        }
    }
}
