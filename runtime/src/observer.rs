//! Who may look at a run: the page, a test, a log. A run never waits for its observer.

use std::{future::Future, pin::Pin, sync::Arc};

use thiserror::Error;

use crate::{
    lineage::History,
    people::{AnswerError, QuestionView},
    quarantine::{Entry, Filter, ReplayError, ReplayedNow, StoreError},
    record::RecordId,
    slots::{Filling, SlotError, SlotView},
    view::{GraphView, Snapshot},
};

/// A boxed future, as an object-safe trait needs it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A run as an observer holds it. Cheap to share; looking costs the run nothing but a short pause between two batches.
pub trait Watch: Send + Sync + 'static {
    /// The graph.
    fn graph(&self) -> GraphView;
    /// How the run stands now.
    fn snapshot(&self) -> Snapshot;
    /// Ask the sources to stop; what is inside runs out and the run ends by itself. What is paused goes on.
    fn drain(&self);
    /// Stop at once; what is inside is counted as in flight.
    fn stop(&self);
    /// Have the whole run or one operator take no input: nothing is lost, the edges into it fill, and those before it wait.
    /// What comes back by itself, such as a model's answers, is still taken in.
    ///
    /// # Errors
    /// The run is not running, or has no such operator.
    fn pause(&self, part: Part) -> Result<(), SteerError>;
    /// Have the whole run or one operator go on.
    ///
    /// # Errors
    /// The run is not running, or has no such operator.
    fn resume(&self, part: Part) -> Result<(), SteerError>;
    /// What happened to a record and to what it was made of: whoever wants it asks on a thread that may be busy for some
    /// milliseconds. `None` where the run has not begun.
    fn history(&self, record: RecordId) -> Option<History>;
    /// The questions that wait for people: of each desk the oldest first, at most `most` in all.
    fn questions(&self, most: usize) -> Vec<QuestionView>;
    /// The whole value that a question is about, as JSON: the node of the desk and its number there.
    ///
    /// # Errors
    /// It does not wait for an answer.
    fn question(&self, node: u32, number: u64) -> Result<serde_json::Value, AnswerError> {
        let _ = number;
        Err(AnswerError::NoSuchDesk(node))
    }
    /// Answers a question: the node of the desk, its number there, and the answer as
    /// [`Questions::answer`](crate::people::Questions::answer) wants it.
    ///
    /// # Errors
    /// It does not wait for an answer, or this is none.
    fn answer(&self, node: u32, number: u64, answer: serde_json::Value) -> Result<(), AnswerError>;
    /// The places of the graph into which handlers can be put.
    fn slots(&self) -> Vec<SlotView> {
        Vec::new()
    }
    /// Puts a handler into the slot of this node, changes its parameters, has it obeyed, or takes it away.
    ///
    /// # Errors
    /// There is no such slot or handler, its parameters are wrong, it has not been in shadow, or the run is not running.
    fn fill(&self, node: u32, filling: Filling) -> Result<(), SlotError> {
        let _ = filling;
        Err(SlotError::NoSuchSlot(node))
    }
    /// The faults that fit, newest first: of the run's [store](crate::quarantine::Store), or the first 100,000 of the run where it
    /// has none. May read a file.
    ///
    /// # Errors
    /// The store cannot be read.
    fn quarantine(&self, filter: &Filter) -> Result<Vec<Entry>, StoreError> {
        let _ = filter;
        Ok(Vec::new())
    }
    /// Has what the sources brought of these faults come in again, each at its source, as new source records: the newest 10,000 at
    /// most.
    ///
    /// # Errors
    /// The run is not running, or the store cannot be read. What cannot come in by itself is told one by one.
    fn replay(&self, filter: &Filter) -> Result<ReplayedNow, ReplayError> {
        let _ = filter;
        Err(ReplayError::NotRunning)
    }
}

/// What is to pause or to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Every operator.
    All,
    /// The operator with this [`id`](crate::view::NodeView::id).
    Node(u32),
}

/// Why a run cannot be steered as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SteerError {
    /// It is still loading its models, or it is over.
    #[error("the run is not running now, so that nothing of it can be paused or resumed")]
    NotRunning,
    /// It has no such operator.
    #[error("the run has no operator with the id {0}; its graph lists them")]
    NoSuchNode(u32),
}

/// Looks at one run from before its start until after its end.
pub trait Observer: Send + 'static {
    /// Called before anything runs: bind an address, open a file.
    fn open(&mut self) -> BoxFuture<'_, Result<(), ObserverError>>;
    /// The run exists; it may still be loading its models.
    fn started(&mut self, run: Arc<dyn Watch>);
    /// The run is over. The author's `run_with` returns when this does.
    fn finished(&mut self, ending: Ending) -> BoxFuture<'_, ()>;
}

/// How a run came to be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, or because an observer drained or stopped it.
    Done,
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// It never began: its graph lists the errors.
    Refused,
}

/// Nobody looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Observer for Unwatched {
    fn open(&mut self) -> BoxFuture<'_, Result<(), ObserverError>> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn started(&mut self, _run: Arc<dyn Watch>) {}
    fn finished(&mut self, _ending: Ending) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// An observer that cannot do its work.
#[derive(Debug, Error)]
#[error("{what}; {advice}")]
pub struct ObserverError {
    /// What is wrong.
    pub what: String,
    /// What to do next.
    pub advice: String,
}
