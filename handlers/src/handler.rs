//! Who judges, and what it sees beside the value.

use serde::Serialize;

use crate::Verdict;

/// What a handler sees beside the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Seen {
    /// How often this record has been sent back to the handler's feedback point.
    pub rounds: u32,
    /// How often it can still be sent back; 0 where there is no feedback.
    pub rounds_left: u32,
    /// How many further alternatives [`Verdict::NextAlternative`] can ask for at the step that it would ask; 0 where there is no
    /// such step.
    pub alternatives_left: u32,
}

impl Seen {
    /// A record that has been sent back `rounds` times and can be sent back `rounds_left` times more.
    pub fn after(rounds: u32, rounds_left: u32) -> Self {
        Self { rounds, rounds_left, ..Self::default() }
    }

    /// The same where `left` alternatives are left.
    pub fn with_alternatives_left(self, left: u32) -> Self {
        Self { alternatives_left: left, ..self }
    }
}

/// Judges values of type `T`.
///
/// Its fields are its state; it is called by one actor at a time. A panic in it is a fault of the record that it judged.
pub trait Handler<T>: Send + 'static {
    /// What it may send back: the type of its feedback point, [`NextAlternative`](crate::NextAlternative), or
    /// [`NoLoop`](crate::NoLoop).
    type Retry;

    /// Judges one value.
    fn judge(&mut self, value: &T, seen: &Seen) -> Verdict<T, Self::Retry>;
}

/// A closure as a handler; see [`by`].
#[derive(Clone, Debug)]
pub struct FnHandler<F>(F);

/// Makes a handler of a closure that also wants to see the rounds.
///
/// ```
/// use eddyline_handlers::{NoLoop, Seen, Verdict, by, testing};
///
/// let strict = by(|x: &i32, seen: &Seen| -> Verdict<i32, i32> {
///     if *x > 0 { Verdict::Pass } else if seen.rounds_left > 0 { Verdict::Retry(-x) } else { Verdict::reject("not positive") }
/// });
/// assert_eq!(testing::judge(strict, [1, -1]), [Verdict::Pass, Verdict::reject("not positive")]);
/// ```
pub fn by<T, R, F>(judge: F) -> FnHandler<F>
where
    F: FnMut(&T, &Seen) -> Verdict<T, R> + Send + 'static,
{
    FnHandler(judge)
}

impl<T, R, F> Handler<T> for FnHandler<F>
where
    F: FnMut(&T, &Seen) -> Verdict<T, R> + Send + 'static,
    R: 'static,
{
    type Retry = R;

    fn judge(&mut self, value: &T, seen: &Seen) -> Verdict<T, R> {
        (self.0)(value, seen)
    }
}
