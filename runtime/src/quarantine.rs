//! The quarantine as a place where faults are kept: what is kept of one, how some are asked for, what a store is to a run, and
//! how a record comes back.
//!
//! Without a [`Store`] a run keeps its faults in memory ([`FaultLog`](crate::fault::FaultLog)) and answers the same questions
//! about them. A store has a thread of its own: a step only hands over what it has to keep.

use std::{fmt, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::{
    data,
    fate::Fate,
    fault::FaultKind,
    graph::Graph,
    record::{RecordId, Root},
};

/// A fault on its way into a store.
#[derive(Clone, Debug)]
pub struct Filing {
    /// Its number in its run, by which it can be withdrawn.
    pub number: u64,
    /// The operator.
    pub operator: Arc<str>,
    /// What kind of fault.
    pub kind: FaultKind,
    /// The reason in words.
    pub reason: Arc<str>,
    /// The record's own id, as text: `0-17`, `made-203`.
    pub record: String,
    /// The source record that it descends from, or the place that its source names: `numbers #17`, `rows.csv line 17`.
    pub origin: String,
    /// How often it had been sent back.
    pub rounds: u32,
    /// Milliseconds of Unix time.
    pub at_unix_ms: u64,
    /// The Rust type of the value, without its path; empty where there is none.
    pub type_name: String,
    /// The value as the operator was given it, as JSON; none where the author's code had taken it, as a `map` does.
    pub value: Option<Box<str>>,
    /// The source records that it descends from.
    pub roots: Vec<KeptRoot>,
}

/// A source record that a fault descends from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRoot {
    /// The source.
    pub source: String,
    /// Its place there, from 0.
    pub place: u64,
    /// What the source brought, as JSON, where the source keeps it.
    pub value: Option<Box<str>>,
    /// The fault of which this source record was a replay: its number in the quarantine.
    pub replay_of: Option<u64>,
}

/// A fault as a quarantine keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the quarantine.
    pub id: u64,
    /// The run, numbered from 1.
    pub run: u64,
    /// The workflow that ran.
    pub workflow: String,
    /// The operator.
    pub operator: String,
    /// What kind of fault.
    pub kind: FaultKind,
    /// The reason in words.
    pub reason: String,
    /// The record's own id.
    pub record: String,
    /// The source record that it descends from, for people.
    pub origin: String,
    /// How often it had been sent back.
    pub rounds: u32,
    /// When, in milliseconds of Unix time.
    pub at_unix_ms: u64,
    /// The Rust type of the value, without its path; empty where there is none.
    pub type_name: String,
    /// The value as the operator was given it, as JSON.
    pub value: Option<Box<str>>,
    /// The source records that it descends from.
    pub roots: Vec<KeptRoot>,
    /// When it was replayed, and what came of it, oldest first.
    pub replays: Vec<Replayed>,
}

/// A replay of a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// The run in which it came back.
    pub run: u64,
    /// How it ended there; none while it is under way, and where that run was stopped before.
    pub fate: Option<Fate>,
}

impl Entry {
    /// The handler that gave this verdict, if it is one.
    pub fn handler(&self) -> Option<&str> {
        self.kind.is_a_verdict().then_some(&self.operator)
    }

    /// Everything as JSON: whole values, or ones cut for people to look at, with small pictures.
    pub fn to_json(&self, whole: bool) -> Value {
        let value = |text: &Option<Box<str>>| match text {
            None => Value::Null,
            Some(text) if whole => serde_json::from_str(text).unwrap_or_else(|_| text.as_ref().into()),
            Some(text) => data::pictured_of(text, SHOWN),
        };
        let root = |root: &KeptRoot| {
            serde_json::json!({
                "source": root.source, "place": root.place, "value": value(&root.value), "replay_of": root.replay_of,
            })
        };
        serde_json::json!({
            "id": self.id, "run": self.run, "workflow": self.workflow, "operator": self.operator, "handler": self.handler(),
            "kind": self.kind.name(), "reason": self.reason, "record": self.record, "origin": self.origin,
            "rounds": self.rounds, "at_unix_ms": self.at_unix_ms, "type": self.type_name, "value": value(&self.value),
            "roots": self.roots.iter().map(root).collect::<Vec<_>>(), "replays": self.replays,
        })
    }
}

const SHOWN: usize = 4000;

/// Which faults are asked for: all that every given field fits.
///
/// ```
/// use eddyline_runtime::quarantine::Filter;
/// let filter = Filter::new().operator("confident").reason("blank").newest(20);
/// # assert_eq!(filter.most, Some(20));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Of this run; of all where none is given.
    pub run: Option<u64>,
    /// At this operator.
    pub operator: Option<String>,
    /// By a verdict of this handler.
    pub handler: Option<String>,
    /// Of this kind, by its [name](FaultKind::name).
    pub kind: Option<String>,
    /// With this text in the reason, whichever its letters' case.
    pub reason: Option<String>,
    /// Those that were replayed, or those that were not.
    pub replayed: Option<bool>,
    /// With one of these numbers.
    pub ids: Option<Vec<u64>>,
    /// With a number below this one: the next page.
    pub before: Option<u64>,
    /// So many, the newest.
    pub most: Option<usize>,
}

impl Filter {
    /// All faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of this run.
    pub fn run(self, run: u64) -> Self {
        Self { run: Some(run), ..self }
    }

    /// At this operator.
    pub fn operator(self, name: impl Into<String>) -> Self {
        Self { operator: Some(name.into()), ..self }
    }

    /// By a verdict of this handler.
    pub fn handler(self, name: impl Into<String>) -> Self {
        Self { handler: Some(name.into()), ..self }
    }

    /// Of this kind.
    pub fn kind(self, kind: FaultKind) -> Self {
        Self { kind: Some(kind.name().to_owned()), ..self }
    }

    /// With this text in the reason.
    pub fn reason(self, text: impl Into<String>) -> Self {
        Self { reason: Some(text.into()), ..self }
    }

    /// Those that were replayed.
    pub fn replayed(self) -> Self {
        Self { replayed: Some(true), ..self }
    }

    /// Those that were not replayed yet.
    pub fn not_replayed(self) -> Self {
        Self { replayed: Some(false), ..self }
    }

    /// With these numbers.
    pub fn ids(self, ids: impl IntoIterator<Item = u64>) -> Self {
        Self { ids: Some(ids.into_iter().collect()), ..self }
    }

    /// The newest of them, so many.
    pub fn newest(self, most: usize) -> Self {
        Self { most: Some(most), ..self }
    }

    /// Whether a fault fits, but for `most`: its number, run, operator, kind and reason, and whether it was replayed.
    pub(crate) fn fits(
        &self,
        (id, run): (u64, u64),
        operator: &str,
        kind: FaultKind,
        reason: &str,
        replayed: impl FnOnce() -> bool,
    ) -> bool {
        let is = |wanted: &Option<String>, it: &str| wanted.as_ref().is_none_or(|wanted| wanted == it);
        self.run.is_none_or(|wanted| wanted == run)
            && is(&self.operator, operator)
            && self.handler.as_ref().is_none_or(|wanted| wanted == operator && kind.is_a_verdict())
            && is(&self.kind, kind.name())
            && self
                .reason
                .as_ref()
                .is_none_or(|text| reason.to_ascii_lowercase().contains(&text.to_ascii_lowercase()))
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&id))
            && self.before.is_none_or(|before| id < before)
            && self.replayed.is_none_or(|wanted| wanted == replayed())
    }
}

/// Where a run's faults are kept beyond it. Opened before the run; written by a thread of its own.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// A run of this workflow begins.
    ///
    /// # Errors
    /// It cannot be written.
    fn begin(&self, workflow: &str, at_unix_ms: u64) -> Result<(), StoreError>;

    /// Keeps a fault. Waits for a moment where very many are on their way; what cannot be written is counted in
    /// [`state`](Self::state).
    fn file(&self, fault: Filing);

    /// Takes a fault of this run out again, by its number there.
    fn withdraw(&self, number: u64);

    /// A fault of the store, by its number there, comes back into the present run. What is given is told of its end.
    fn replayed(&self, id: u64) -> Arc<dyn Told>;

    /// The faults that fit, newest first.
    ///
    /// # Errors
    /// They cannot be read.
    fn find(&self, filter: &Filter) -> Result<Vec<Entry>, StoreError>;

    /// Where it is.
    fn path(&self) -> &Path;

    /// Whether that is this file.
    fn is_at(&self, path: &Path) -> bool {
        self.path() == path || path.canonicalize().is_ok_and(|path| path == self.path())
    }

    /// How it stands.
    fn state(&self) -> StoreState;

    /// The run is over: writes what is still to be written. Blocks.
    fn finish(&self);
}

/// How a store stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreState {
    /// Where it is.
    pub path: String,
    /// The number of the present run.
    pub run: u64,
    /// Faults of this run that are written and not withdrawn.
    pub written: u64,
    /// Faults of this run that could not be written; they are counted and, up to a limit, kept in memory like those of a run without a store.
    pub missing: u64,
    /// Why they could not.
    pub problem: Option<String>,
}

/// Why a store cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what}; {advice}")]
pub struct StoreError {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub advice: String,
}

/// Who is told how a source record ended.
pub trait Told: Send + Sync + 'static {
    /// It has ended.
    fn ended(&self, fate: Fate);
}

/// A value that a source brought, kept until its record has ended so that it can be kept with its faults.
pub trait Brought: Send + Sync + 'static {
    /// As JSON.
    fn json(&self) -> Option<Box<str>>;
}

impl<T: Serialize + Send + Sync + 'static> Brought for T {
    fn json(&self) -> Option<Box<str>> {
        serde_json::to_string(self).ok().map(Into::into)
    }
}

/// What a source record has beside its id: only that of a source that can be replayed, or of one that is a replay.
#[derive(Default)]
pub struct Beside {
    /// What its source brought.
    pub brought: Option<Arc<dyn Brought>>,
    /// The fault of which it is a replay.
    pub replay_of: Option<u64>,
    /// Who is told of its end.
    pub told: Option<Arc<dyn Told>>,
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (brought, told) = (self.brought.is_some(), self.told.is_some());
        write!(f, "replay of {:?}, value kept: {brought}, told: {told}", self.replay_of)
    }
}

impl Root {
    /// What is kept of it with a fault; `named` says what its source is called.
    pub(crate) fn kept(&self, named: impl Fn(RecordId) -> String) -> KeptRoot {
        let beside = self.beside();
        KeptRoot {
            source: named(self.id()),
            place: self.id().seq(),
            value: beside.and_then(|beside| beside.brought.as_ref()?.json()),
            replay_of: beside.and_then(|beside| beside.replay_of),
        }
    }
}

/// A source into which records of the quarantine may come back while it runs.
pub trait Replays: Send + Sync + 'static {
    /// Brings the value in as a new source record, with what it has beside it; that is asked for only where the record comes in.
    ///
    /// # Errors
    /// The source is at its end, too many wait already, or this is no value of its type.
    fn replay(&self, json: &str, beside: &mut dyn FnMut() -> Beside) -> Result<(), ReplayError>;
}

/// What a run is asked to replay did not come back whole.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The source brings nothing more.
    #[error(
        "the source `{0}` is at its end: replay it in a run of its own, with `flow.replay(name, &faults)`"
    )]
    AtItsEnd(String),
    /// The source is not one that can be replayed.
    #[error("what `{0}` brought is not kept: put `.replayable()` straight behind the source")]
    NotKept(String),
    /// Its value is not of the source's type any more.
    #[error("the value is not what `{source_name}` brings now: {why}")]
    OtherType {
        /// The source.
        source_name: String,
        /// What the reader said.
        why: String,
    },
    /// Many wait to come in.
    #[error("{0} replays wait at this source already; ask again when they are in")]
    TooMany(usize),
    /// The run is not running, or no longer.
    #[error("the run is not running now: replay in a run of its own, with `flow.replay(name, &faults)`")]
    NotRunning,
    /// The quarantine cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came of asking for replays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReplayedNow {
    /// Faults of which every source record came back.
    pub replayed: u64,
    /// Those of which none or not all did, with the reason.
    pub refused: Vec<(u64, String)>,
}

impl Graph {
    /// Records may come back at this source.
    pub fn open_replays(&self, node: u32, replays: Arc<dyn Replays>) {
        self.inner.lock().replays.push((node, replays));
    }

    /// In this store the run marks what comes back from it, beside the one in which it keeps its own faults.
    pub fn also_mark(&self, store: Arc<dyn Store>) {
        self.inner.lock().stores.push(store);
    }

    /// All stores that a run writes to, each file once, its own first.
    pub(crate) fn stores(&self, own: Option<&Arc<dyn Store>>) -> Vec<Arc<dyn Store>> {
        let mut stores: Vec<Arc<dyn Store>> = own.cloned().into_iter().collect();
        for store in &self.inner.lock().stores {
            if stores.iter().all(|other| !other.is_at(store.path())) {
                stores.push(Arc::clone(store));
            }
        }
        stores
    }

    /// The source of this name, if records may come back there.
    pub(crate) fn replays_at(&self, name: &str) -> Option<Arc<dyn Replays>> {
        let inner = self.inner.lock();
        let at = |(node, _): &&(u32, Arc<dyn Replays>)| inner.nodes[*node as usize].name == name;
        inner.replays.iter().find(at).map(|(_, replays)| Arc::clone(replays))
    }
}
