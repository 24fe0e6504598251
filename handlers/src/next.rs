//! Asking for the next alternative of a step further up.

use crate::Verdict;

/// What a handler sends back that wants another result of an earlier step: nothing but the wish, since the step has kept its
/// input.
///
/// It is the retry type of handlers that hold the key of such a step, and of no others; so
/// [`Verdict::NextAlternative`] cannot be said where there is nothing to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextAlternative;

impl<T> Verdict<T, NextAlternative> {
    /// The step whose key the handler holds is to try its next alternative on what it made this of. Where none is left the
    /// record ends in quarantine with the reason "alternatives spent".
    ///
    /// ```
    /// use eddyline_handlers::{NextAlternative, Seen, Verdict, by, testing};
    ///
    /// let strict = by(|x: &i32, _: &Seen| -> Verdict<i32, NextAlternative> {
    ///     if *x > 0 { Verdict::Pass } else { Verdict::NextAlternative }
    /// });
    /// assert_eq!(testing::judge(strict, [1, -1]), [Verdict::Pass, Verdict::NextAlternative]);
    /// ```
    #[allow(non_upper_case_globals, reason = "it is said where the other verdicts are said")]
    pub const NextAlternative: Self = Verdict::Retry(NextAlternative);
}
