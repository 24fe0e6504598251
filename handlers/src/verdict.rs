//! What can be said of a record.

use crate::{Ancestor, Question};

/// The retry value of a handler that has no loop to send records back to. It has no values, so
/// [`Verdict::Retry`] cannot be made where there is no feedback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLoop {}

/// What is to become of a record with a value of type `T`; `R` is what its loop, if any, takes back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict<T, R = NoLoop> {
    /// It goes on as it is.
    Pass,
    /// It goes on with this value.
    Replace(T),
    /// It goes back to the feedback point with this value and spends one of its rounds there. Where no rounds are left it
    /// ends in quarantine with the reason "rounds spent".
    Retry(R),
    /// What it was made of is to be this value: all that was made of it is withdrawn, this record too, and made again. Spends
    /// a round like a retry. See [`Ancestors`](crate::Ancestors).
    Revise(Ancestor<R>, R),
    /// Beside what it was made of there is to be this value too; it goes on as it is. What is added has one round less than it, and
    /// is taken back if it is. Where no rounds are left, what would be added goes into quarantine.
    Append(Ancestor<R>, R),
    /// What it was made of is not to be: all that was made of it is withdrawn, this record too. It ends as dropped.
    Delete(Ancestor<R>),
    /// It goes on as these; none at all ends it as dropped.
    Split(Vec<T>),
    /// It ends in quarantine, where it is kept with this reason.
    Reject(String),
    /// It ends, and is not kept.
    Drop(String),
    /// It goes another way out of the handler, of this name: in a workflow, that of `.rerouted(name)` behind it.
    Reroute(String),
    /// A person is to say what becomes of it; the others do not wait. Needs a desk behind the handler: in a workflow,
    /// `.escalate_to(name)`.
    Escalate(Question<T>),
    /// This handler has no opinion; the record goes on as it is.
    Abstain,
}

impl<T, R> Verdict<T, R> {
    /// Another way out of the handler.
    pub fn reroute(way: impl Into<String>) -> Self {
        Verdict::Reroute(way.into())
    }

    /// Into quarantine with this reason.
    pub fn reject(reason: impl Into<String>) -> Self {
        Verdict::Reject(reason.into())
    }

    /// Thrown away with this reason.
    pub fn drop(reason: impl Into<String>) -> Self {
        Verdict::Drop(reason.into())
    }
}
