//! Eddyline runs machine-learning workflows as a river with eddies: records flow down through operators and models, and
//! error handlers turn wrong ones back up to be corrected, in flight, while the rest of the stream runs on.
//!
//! ```
//! use eddyline::prelude::*;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), RunError> {
//! let flow = Workflow::new("hello");
//! let (numbers, again) = flow.source("numbers", 1..=6).feedback("halve again", Rounds::at_most(3));
//! let odd = numbers
//!     .map(|n| if n % 2 == 0 { n / 2 } else { n })
//!     .handle_or_retry("odd", again, |n| if n % 2 == 0 { Verdict::Retry(*n) } else { Verdict::Pass })
//!     .collect();
//!
//! let mut report = flow.run().await?;
//! let mut odd = report.take(odd);
//! odd.sort();
//! assert_eq!(odd, [1, 1, 1, 3, 3, 5]);
//! # Ok(())
//! # }
//! ```
//!
//! # Map
//!
//! | to | read |
//! |---|---|
//! | begin a workflow, bring records in, run it | [`Workflow`] |
//! | work on records: `map`, `par_map`, `map_async`, `filter`, `join`, `scatter`, `model`, `handle`… | [`Stream`] |
//! | ask for time: `timestamps`, `interval_join`, `group_by` over windows | [`Stream`], [`Window`] |
//! | put a model into it | [`Model`]; run again what differs and no more: [`Memo`] |
//! | judge records | [`Verdict`], [`Handler`], [`testing`] |
//! | judge them by rules that are built in, count and limit who judges | [`handlers`] |
//! | leave a place for a handler that is put there while it runs | [`Stream::slot`], [`handlers::Handlers`], [`Workflow::slots`] |
//! | send records back | [`Stream::feedback`], [`Rounds`] |
//! | see what may still be taken back, and where that is waited for | [`Workflow::auxiliary`] |
//! | revise, delete or add to what a record was made of | [`Stream::keep`], [`Stream::handle_kept`], [`Ancestors`] |
//! | keep what failed in a file, and replay it | [`Workflow::quarantine`], [`Quarantine`], [`Workflow::replay`], [`Stream::replayable`] |
//! | ask a person | [`Stream::escalate_to`], [`Question`], [`Desk`] |
//! | try a step in several ways | [`Stream::alternatives`], [`Stream::model_cascade`], [`Stream::handle_or_next`] |
//! | go round until something is done | [`Stream::iterate`] |
//! | read the results | [`Report`], [`Output`] |
//! | ask why a result is what it is | [`Workflow::lineage`], [`History`] |
//! | place models on devices | [`Plan`], [`Workflow::placed`] |
//! | write an operator of your own | [`Stream::apply`] and [`eddyline_runtime::operator`] |
//! | look at it live | [`web_ui`] (feature `page`, on by default) |

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

mod alternatives;
mod at_rest;
mod auxiliary;
mod batch;
mod cascade;
mod catch;
mod changes;
mod compare;
mod csv_rows;
mod desk;
mod escalate;
mod feedback;
mod filter;
mod flat_map;
mod gather;
mod group_by;
mod handle;
mod handle_next;
mod handler_table;
mod inspect;
mod interval_join;
mod iterate;
mod join;
mod judged;
mod kept;
mod lists;
mod map;
mod map_async;
mod memo;
mod merge;
mod model;
mod model_op;
mod onward;
mod ordered;
mod oscillation;
#[doc = include_str!("../PROMISES.md")]
pub mod promises {}
mod par_map;
#[cfg(feature = "quarantine")]
mod quarantine;
mod replayable;
mod report;
mod rows;
mod scan;
mod scatter;
mod sink;
mod slot;
mod slots;
mod source;
mod split;
mod stream;
mod timestamps;
mod try_map;
mod waiting;
mod window;
mod workflow;

pub use eddyline_handlers as handlers;
pub use eddyline_handlers::{
    Ancestor, Ancestors, Answer, Chain, Check, Handler, NextAlternative, NoLoop, Question, Seen, Verdict, by,
    check_digit, testing,
};
pub use eddyline_planner::Plan;
#[cfg(feature = "quarantine")]
pub use eddyline_quarantine::{Faults, Filter, Quarantine};
pub use eddyline_runtime as runtime;
pub use eddyline_runtime::{
    Data,
    fate::Fate,
    fault::{Fault, FaultKind},
    graph::{BuildError, BuildErrors},
    image::Image,
    lineage::{self, Histories, History, Lineage},
    observer::{Observer, Unwatched},
    people::AnswerError,
    record::RecordId,
    run::{LineageOff, RunError},
    tensor::Tensor,
};
#[cfg(feature = "page")]
pub use eddyline_web_ui as web_ui;

pub use alternatives::{Alternatives, Tried};
pub use auxiliary::{Auxiliary, AuxiliaryEdge, Delta};
pub use catch::Failed;
pub use changes::Change;
pub use compare::{Cell, Comparison};
pub use desk::{Desk, OpenQuestion};
pub use feedback::{Feedback, Rounds};
pub use gather::{Child, Children};
pub use group_by::Group;
pub use handle_next::Keys;
pub use handler_table::{HandlerRow, HandlerTable};
pub use iterate::Step;
pub use kept::Kept;
pub use memo::{Memo, MemoSeen};
pub use model::{Model, OnnxBuilder, OnnxInput};
pub use report::{Output, Report, Sink};
pub use scatter::Gather;
pub use slots::Slots;
pub use stream::Stream;
pub use window::Window;
pub use workflow::Workflow;

/// Everything that a workflow usually needs: `use eddyline::prelude::*`.
pub mod prelude {
    #[cfg(feature = "page")]
    pub use crate::web_ui;
    pub use crate::{
        Ancestors, Answer, Chain, Check, Children, Data, Desk, Failed, Fate, Fault, Feedback, Gather, Group,
        Handler, Image, Kept, Lineage, Memo, Model, NextAlternative, NoLoop, Output, Plan, Question, Report,
        Rounds, RunError, Seen, Step, Stream, Tensor, Tried, Verdict, Window, Workflow, by,
    };
    #[cfg(feature = "quarantine")]
    pub use crate::{Faults, Filter, Quarantine};
    pub use std::time::Duration;
}
