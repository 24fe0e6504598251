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

mod agreement;
mod ancestors;
mod breaker;
mod budget;
mod calibrated;
mod chain;
mod check;
pub mod check_digit;
mod confidence;
mod confusion;
mod consistency;
mod constraints;
mod dictionary;
mod handler;
mod in_loop;
mod meter;
mod next;
mod otherwise;
mod pattern;
mod question;
mod said;
mod schema;
mod shadow;
pub mod testing;
mod text;
mod verdict;

pub use agreement::{Agreement, Reading};
pub use ancestors::{Ancestor, Ancestors};
pub use breaker::{Breaker, BreakerState, Broken};
pub use budget::{Budget, Budgeted, BudgetedEach, EachBudget, Spent};
pub use calibrated::{CalibratedClass, Calibration, CalibrationError};
pub use chain::Chain;
pub use check::Check;
pub use confusion::{Confusion, Outcomes};
pub use consistency::{Consistency, Correction, Finding, Gap, Kind};
pub use dictionary::{Dictionary, DictionaryError, Spelling, SpellingCorrector};
pub use handler::{FnHandler, Handler, Seen, by};
pub use in_loop::InLoop;
pub use meter::{Counts, Meter, MeterReport, Metered};
pub use next::NextAlternative;
pub use pattern::{Pattern, PatternError};
pub use question::{Answer, Question};
pub use said::Said;
pub use shadow::Shadow;
pub use verdict::{NoLoop, Verdict};
