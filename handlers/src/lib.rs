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
//! | one that remembers, and hands on what it has learned | [`stateful`], [`Handler::state`] |
//! | several by name, whose parameters are given while a workflow runs | [`Handlers`] |
//! | trying one out | [`testing`] |
//!
//! # Built in
//!
//! A [`Check`] is a list of rules; behind it stands what is to become of a value that breaks one: [`or_reject`](Check::or_reject),
//! [`or_retry`](Check::or_retry), [`or_next`](Check::or_next), [`or_ask`](Check::or_ask), [`or_else`](Check::or_else); and behind those
//! that send back, what becomes of it in the end: [`OrAgain`].
//!
//! | what is wrong | read |
//! |---|---|
//! | a model is not sure | [`Check::confidence`]; per class, fitted on labelled results: [`Calibration`], [`Check::calibrated`]; so that a rate of errors is kept in what comes later: [`Conformal`], [`Check::conformal`] |
//! | a field is missing, or not what it may be | [`Check::required`], [`Check::range`], [`Check::one_of`], [`Check::length`] |
//! | a text does not look right | [`Check::pattern`]; is not a known word: [`Check::known_word`], corrected by [`Dictionary`] |
//! | a number does not fit its check digit | [`Check::check_digit`], corrected by [`CheckDigit`](check_digit::CheckDigit): Luhn, ICAO 9303, IBAN |
//! | fields do not fit one another | [`Check::sum`], [`Check::in_order`], [`Check::holds`] |
//! | two readings differ | [`Agreement`] |
//! | what comes is no longer like what the models were made for | [`Drift`], [`Check::steady`] |
//! | objects vanish, flicker or change from frame to frame | [`Consistency`] |
//! | a handler takes too long | [`Handler::within`]; a step: `model.within(limit)`, `.map_async_within(…)`, `.par_map_within(…)` |
//!
//! # Around a handler
//!
//! | to | read |
//! |---|---|
//! | ask several, the first with an opinion decides | [`Chain`] |
//! | limit how often it corrects: in a run, per record | [`Handler::budget`], [`Handler::budget_each`] |
//! | let no record wait for one that takes long | [`Handler::within`] |
//! | stop one that does too much, or harm, or is late too often | [`Handler::breaker`] |
//! | try one out beside the others, without effect | [`Handler::shadow`] |
//! | count what it says, what it repairs and what it harms | [`Handler::metered`], [`Meter`]; on a list: [`testing::confusion`] |

mod agreement;
mod ancestors;
mod breaker;
mod budget;
mod calibrated;
mod chain;
mod check;
pub mod check_digit;
mod confidence;
mod conformal;
mod confusion;
pub mod consistency;
mod constraints;
mod dictionary;
mod drift;
mod handler;
mod in_loop;
mod meter;
mod next;
mod or_again;
mod otherwise;
mod pattern;
mod question;
pub mod registry;
mod said;
mod schema;
mod shadow;
mod stateful;
pub mod testing;
mod text;
mod verdict;
mod within;

pub use agreement::{Agreement, Side};
pub use ancestors::{Ancestor, Ancestors};
pub use breaker::{Breaker, BreakerState, Guarded};
pub use budget::{Budget, Budgeted, BudgetedEach, EachBudget, Spent};
pub use calibrated::{CalibratedClass, Calibration, CalibrationError};
pub use chain::Chain;
pub use check::Check;
pub use conformal::{Accepted, Conformal, ConformalClass};
pub use confusion::{Confusion, Outcomes};
pub use consistency::Consistency;
pub use dictionary::{Dictionary, DictionaryError, Spelling, SpellingCorrector};
pub use drift::{Drift, DriftError, DriftSeen};
pub use handler::{FnHandler, Handler, Seen, by};
pub use in_loop::InLoop;
pub use meter::{Counts, Meter, MeterReport, Metered};
pub use next::NextAlternative;
pub use or_again::OrAgain;
pub use pattern::{Pattern, PatternError};
pub use question::{Answer, Question};
pub use registry::{Handlers, RegistryError};
pub use said::Said;
pub use shadow::Shadow;
pub use stateful::{Stateful, stateful};
pub use verdict::{NoLoop, Verdict};
pub use within::Within;
