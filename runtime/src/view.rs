//! What an observer sees of a run: plain data, ready to be sent to a browser.
//!
//! [`GraphView`] says what the graph is and changes only with its `version`; [`Snapshot`] says how it stands at one
//! moment. Counts are totals since the start, so a reader computes rates from two snapshots and misses nothing when it
//! skips one. All durations are microseconds on the run's [`Clock`](crate::clock::Clock), which starts at zero.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{latency::LatencyView, quarantine::StoreState, record::RecordId};

/// The graph as it runs: laid out once per `version` by whoever draws it.
#[derive(Clone, Debug, Serialize)]
pub struct GraphView {
    /// The workflow's name.
    pub workflow: String,
    /// Grows when operators or edges change.
    pub version: u64,
    /// One entry per operator.
    pub nodes: Vec<NodeView>,
    /// One entry per edge; back edges included.
    pub edges: Vec<EdgeView>,
    /// The errors for which the workflow was refused; empty where it runs.
    pub errors: Vec<ProblemView>,
}

/// How a node is to be drawn. The runtime knows no operator by name, only these roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Brings records in from outside.
    Source,
    /// Works on records: map, filter, join and the like.
    Operator,
    /// Runs a model through the dispatcher.
    Model,
    /// Judges records.
    Handler,
    /// Where people are asked; their answers come in from outside.
    Desk,
    /// The point where a back edge re-enters.
    Feedback,
    /// Where records leave.
    Sink,
}

/// One operator.
#[derive(Clone, Debug, Serialize)]
pub struct NodeView {
    /// Index of the node; edges refer to it.
    pub id: u32,
    /// The author's name for it, or `map@main.rs:12`.
    pub name: String,
    /// The operator's kind as the author knows it: `map`, `join`, `handle`…
    pub kind: String,
    /// How it is to be drawn.
    pub role: Role,
    /// `file:line` where the author wrote it.
    pub location: String,
    /// Short facts worth showing beside it: `rounds ≤ 2`, `within 5 s`, `light.onnx`.
    pub notes: Vec<String>,
}

/// One edge.
#[derive(Clone, Debug, Serialize)]
pub struct EdgeView {
    /// Index of the edge; [`EdgeSnapshot`]s come in the same order.
    pub id: u32,
    /// Producing node.
    pub from: u32,
    /// Consuming node.
    pub to: u32,
    /// Whether this edge closes a loop.
    pub back: bool,
    /// What the producer calls this way out: empty for its main output, `retry` for a back edge, `rest` for a split.
    pub label: String,
    /// The Rust type of the records on it, without its path.
    pub type_name: String,
    /// Most records it holds; a back edge is bounded by the permits of its loop instead.
    pub capacity: u64,
}

/// Something that is wrong and what to do about it.
#[derive(Clone, Debug, Serialize)]
pub struct ProblemView {
    /// The node it belongs to, if any.
    pub node: Option<u32>,
    /// `file:line`, or empty.
    pub location: String,
    /// What is wrong.
    pub what: String,
    /// What to do next.
    pub advice: String,
}

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Models are being loaded.
    Starting,
    /// Records flow.
    Running,
    /// Every operator has been asked to take no input, and none does until the run is resumed, drained or stopped.
    Paused,
    /// Sources have been told to stop; what is inside runs out.
    Draining,
    /// Every record has ended.
    Finished,
    /// Stopped before every record had ended.
    Stopped,
    /// The machinery failed; see the problems.
    Failed,
    /// The workflow was refused before it ran.
    Refused,
}

/// How a run stands at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// The state of the run.
    pub state: RunState,
    /// When this was taken, µs since the run started.
    pub at_us: u64,
    /// The two balances.
    pub balances: Balances,
    /// In the order of [`GraphView::nodes`].
    pub nodes: Vec<NodeSnapshot>,
    /// In the order of [`GraphView::edges`].
    pub edges: Vec<EdgeSnapshot>,
    /// The loops, with their permits.
    pub loops: Vec<LoopSnapshot>,
    /// What went wrong so far.
    pub faults: FaultsView,
    /// The devices with their latest reservations.
    pub devices: Vec<DeviceView>,
    /// How often the watchdog found that nothing moved though something was inside. Should be 0 for ever.
    pub stalls: u64,
    /// Things an author should look at: a handler that never fires, a model that could not be loaded.
    pub hints: Vec<ProblemView>,
}

/// Both balances, as counted at one barrier.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Balances {
    /// When they were counted, µs since the run started.
    pub at_us: u64,
    /// Every record.
    pub records: BalanceView,
    /// Source records: one fate each.
    pub roots: BalanceView,
}

impl Default for BalanceView {
    /// Before the first count: nothing came to be, and nothing is missing.
    fn default() -> Self {
        Self { created: 0, ended: BTreeMap::new(), in_flight: 0, holds: true }
    }
}

/// `created = Σ ended + in flight`. What is in flight is counted where it is, never computed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BalanceView {
    /// Records that came to be.
    pub created: u64,
    /// Records that ended, by fate.
    pub ended: BTreeMap<&'static str, u64>,
    /// Records found on edges, in actors and in parked state.
    pub in_flight: u64,
    /// Whether the equation holds.
    pub holds: bool,
}

/// One operator's totals.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NodeSnapshot {
    /// Records taken in.
    pub records_in: u64,
    /// Records put out, over all outputs.
    pub records_out: u64,
    /// Records that ended here, by fate.
    pub ended: BTreeMap<&'static str, u64>,
    /// Records held in its state: a join's rows, a gather's parents, a model's calls.
    pub parked: u64,
    /// Records that wait in its overflow for a permit.
    pub overflow: u64,
    /// Time spent in its steps, µs.
    pub busy_us: u64,
    /// Whether it waits for room downstream.
    pub blocked: bool,
    /// Whether all its work is done.
    pub done: bool,
    /// Whether it has been asked to take no input.
    pub paused: bool,
    /// Present for handlers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdicts: Option<VerdictCounts>,
    /// Present for handlers: how long they take for a value; one of sixteen is timed, and the first of each batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyView>,
    /// Present for models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelCounts>,
    /// Present where people are asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<PeopleCounts>,
}

/// What a handler has said so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerdictCounts {
    /// Records judged.
    pub judged: u64,
    /// Left as they were.
    pub passed: u64,
    /// Given a new value.
    pub replaced: u64,
    /// Sent back to a feedback point.
    pub retried: u64,
    /// Made of something that was revised because of it.
    pub revised: u64,
    /// Passed on after something was put beside what it was made of.
    pub appended: u64,
    /// Made of something that was deleted because of it.
    pub deleted: u64,
    /// Sent back for the next alternative of an earlier step.
    pub next_alternative: u64,
    /// Cut into several.
    pub split: u64,
    /// Put into quarantine.
    pub rejected: u64,
    /// Thrown away.
    pub dropped: u64,
    /// Left to a person.
    pub escalated: u64,
    /// Sent another way.
    pub rerouted: u64,
    /// Left to the next handler.
    pub abstained: u64,
    /// Those for which the handler's time was up; they are also counted as what was said of them then.
    pub late: u64,
}

/// What became of the questions at a desk. What is asked and none of the others waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PeopleCounts {
    /// Questions asked.
    pub asked: u64,
    /// Those that were answered, and whose record went on or ended by it.
    pub answered: u64,
    /// Those that nobody answered in time, or that were more than may wait.
    pub expired: u64,
    /// Those whose record was withdrawn.
    pub withdrawn: u64,
}

/// What a model operator has done so far.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ModelCounts {
    /// Items sent to the dispatcher (a pre-step may make several of a record).
    pub items: u64,
    /// Items that need not be sent, since what the model gives for them is remembered.
    pub remembered: u64,
    /// Items that came back as errors.
    pub failed: u64,
    /// Records given up because the model took longer than it may.
    pub late: u64,
    /// Items now with the dispatcher.
    pub waiting: u64,
    /// Launches on a device.
    pub launches: u64,
}

/// One edge's totals.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct EdgeSnapshot {
    /// Records that went over it.
    pub records: u64,
    /// Records on it now.
    pub queued: u64,
    /// Most records that were on it at once.
    pub most: u64,
}

/// One loop (strongly connected component) and its permits.
#[derive(Clone, Debug, Serialize)]
pub struct LoopSnapshot {
    /// Its nodes.
    pub nodes: Vec<u32>,
    /// Its feedback points.
    pub names: Vec<String>,
    /// Permits in all.
    pub permits: u64,
    /// Permits held by records inside.
    pub used: u64,
    /// Most records that waited for a permit inside at once: what operators made of others, beyond what there were permits for.
    pub overflow_most: u64,
}

/// Faults so far.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FaultsView {
    /// All of them.
    pub total: u64,
    /// By operator and reason, most frequent first, at most 50.
    pub by_reason: Vec<ReasonView>,
    /// The latest, newest first, at most 50.
    pub recent: Vec<FaultView>,
    /// Where they are kept beyond the run, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreState>,
}

/// How often one reason was given at one operator.
#[derive(Clone, Debug, Serialize)]
pub struct ReasonView {
    /// The operator.
    pub node: u32,
    /// `rejected`, `panic`, `error`, `rounds spent`…
    pub kind: &'static str,
    /// The reason in words.
    pub reason: String,
    /// The first record that it was given for.
    pub first: String,
    /// How often.
    pub count: u64,
    /// What to do about it.
    pub advice: String,
}

/// One fault.
#[derive(Clone, Debug, Serialize)]
pub struct FaultView {
    /// When, µs since the run started.
    pub at_us: u64,
    /// The operator.
    pub node: u32,
    /// `rejected`, `panic`, `error`, `rounds spent`…
    pub kind: &'static str,
    /// The reason in words.
    pub reason: String,
    /// Which record: `numbers #17`, `rows line 204`.
    pub record: String,
    /// Its id, for its [history](crate::observer::Watch::history).
    pub id: RecordId,
    /// The value, where it was kept, as JSON; cut where it is long.
    pub value: Option<serde_json::Value>,
}

/// One device.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceView {
    /// Its name in the plan.
    pub name: String,
    /// `cpu`, `throttled`, `simulated`, `cuda`.
    pub engine: String,
    /// The stages placed on it: `heavy 1/1`.
    pub stages: Vec<String>,
    /// Time it has been busy since the start, µs.
    pub busy_us: u64,
    /// Items run.
    pub items: u64,
    /// Launches (batches).
    pub launches: u64,
    /// What its models take.
    pub memory: MemoryView,
    /// What went wrong on it, if anything.
    pub problem: Option<ProblemView>,
    /// The latest reservations, oldest first, at most 200. Those in the future are promises.
    pub reservations: Vec<ReservationView>,
}

/// What the models on a device take of its memory.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct MemoryView {
    /// Bytes of their files, which are mostly weights.
    pub weight_bytes: u64,
    /// Most bytes that a launch holds at once beside them, by the shapes of its tensors; 0 where that is not known.
    pub call_bytes: u64,
    /// Bytes that there are: what the plan says, or what the machine has.
    pub limit_bytes: Option<u64>,
}

/// A slot promised on a device.
#[derive(Clone, Debug, Serialize)]
pub struct ReservationView {
    /// Number of the reservation; a launch on several stages has one each.
    pub id: u64,
    /// Start, µs since the run started; corrected with what really happened.
    pub from_us: u64,
    /// End, likewise.
    pub until_us: u64,
    /// The model.
    pub model: String,
    /// Which of its stages, from 0.
    pub stage: u32,
    /// Items in the batch.
    pub batch: u32,
    /// How many of these items have been round a loop before.
    pub retries: u32,
    /// `promised`, `running`, `done`, `failed`.
    pub state: &'static str,
}
