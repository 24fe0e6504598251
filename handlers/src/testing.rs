//! Trying a handler out on a list of values, without a workflow.

use crate::{Handler, Seen, Verdict};

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
