//! Judgement: what is to become of a record.
//!
//! A [`Handler`] looks at a value and says a [`Verdict`]. It never learns what a stream is, so it can be tested with a list
//! of values: see [`testing::judge`].
//!
//! | to learn about | read |
//! |---|---|
//! | what can be said of a record | [`Verdict`] |
//! | asking a person | [`Question`], [`Answer`] |
//! | asking for another result of an earlier step | [`NextAlternative`] |
//! | who says it, and what it sees | [`Handler`], [`Seen`] |
//! | what it was made of, and how to revise that | [`Ancestors`], [`Ancestor`] |
//! | ready-made parts | [`check_digit`] |
//! | trying one out | [`testing`] |

mod ancestors;
pub mod check_digit;
mod handler;
mod next;
mod question;
pub mod testing;
mod verdict;

pub use ancestors::{Ancestor, Ancestors};
pub use handler::{FnHandler, Handler, Seen, by};
pub use next::NextAlternative;
pub use question::{Answer, Question};
pub use verdict::{NoLoop, Verdict};
