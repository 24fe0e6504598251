//! Records that will not go on: where, why, and what they were.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    clock::Moment,
    data::{Written, preview_of, shorten_type_name},
    fate::Fate,
    quarantine::{self, Filter, KeptRoot, Replayed, Told},
    record::RecordId,
    shared::Shared,
    view::{FaultView, FaultsView, ReasonView},
};

/// Why a record will not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A handler rejected it.
    Rejected,
    /// A handler wanted to send it back, but its rounds are spent.
    RoundsSpent,
    /// A handler wanted another result of an earlier step, but every alternative has been tried.
    AlternativesSpent,
    /// It was sent back with a value that it had before at the same feedback point.
    Oscillation,
    /// The author's code gave an `Err`.
    Error,
    /// The author's code panicked.
    Panic,
    /// The author's code took longer than she allows.
    TimeOut,
    /// A model or the dispatcher failed on it.
    Model,
    /// It could not be read from its source.
    Unreadable,
    /// It could not be written to its sink.
    Unwritable,
    /// It is older than its source's watermark: what it belongs to may be closed.
    Late,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [FaultKind; 11] = [
        FaultKind::Rejected,
        FaultKind::RoundsSpent,
        FaultKind::AlternativesSpent,
        FaultKind::Oscillation,
        FaultKind::Error,
        FaultKind::Panic,
        FaultKind::TimeOut,
        FaultKind::Model,
        FaultKind::Unreadable,
        FaultKind::Unwritable,
        FaultKind::Late,
    ];

    /// The kind with this [name](Self::name).
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its name on the page and in reports.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Rejected => "rejected",
            FaultKind::RoundsSpent => "rounds spent",
            FaultKind::AlternativesSpent => "alternatives spent",
            FaultKind::Oscillation => "oscillation",
            FaultKind::Error => "error",
            FaultKind::Panic => "panic",
            FaultKind::TimeOut => "time-out",
            FaultKind::Model => "model",
            FaultKind::Unreadable => "unreadable",
            FaultKind::Unwritable => "unwritable",
            FaultKind::Late => "late",
        }
    }

    /// Whether it is a handler's opinion rather than a failure.
    pub fn is_a_verdict(self) -> bool {
        use FaultKind::{AlternativesSpent, Oscillation, Rejected, RoundsSpent};
        matches!(self, Rejected | RoundsSpent | AlternativesSpent | Oscillation)
    }

    /// What an author can do about it.
    pub fn advice(self) -> &'static str {
        match self {
            FaultKind::Rejected => {
                "a handler's verdict; look at the values and decide whether the rule is right"
            }
            FaultKind::RoundsSpent => {
                "give the feedback more rounds, or decide when none are left: \
                 `.handle_or_retry_with(name, key, by(|value, seen| …))` sees `seen.rounds_left`"
            }
            FaultKind::AlternativesSpent => {
                "give the step one more alternative, or decide when none is left: \
                 `.handle_or_next_with(name, keys, by(|value, seen| …))` sees `seen.alternatives_left`"
            }
            FaultKind::Oscillation => {
                "what is sent back must differ from what was there before; where it need not, since something in the loop is \
                 drawn at random, leave `.distinct()` out"
            }
            FaultKind::Error => "your code returned an Err for this record; mend the data or the code",
            FaultKind::Panic => {
                "your code panicked on this record only; mend it at the place named, or use `try_map` and return an Err"
            }
            FaultKind::TimeOut => "find out what your code waits for on this record, or allow it more time",
            FaultKind::Model => {
                "check the model's input for this record against the shape and type that it declares"
            }
            FaultKind::Unreadable => "mend the row that is named, or change the type that rows are read into",
            FaultKind::Unwritable => {
                "check that the file can be written and that the value has only plain columns"
            }
            FaultKind::Late => {
                "allow records of this source more lateness: the second argument of `.timestamps(…)`"
            }
        }
    }
}

/// A record that will not go on.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    /// The operator's node number.
    pub node: u32,
    /// The operator.
    pub operator: Arc<str>,
    /// What kind of fault.
    pub kind: FaultKind,
    /// The reason in words.
    pub reason: Arc<str>,
    /// The record.
    pub record: RecordId,
    /// The source record that it descends from, for people: `numbers #17`, counted from 0.
    pub origin: String,
    /// How often it had been sent back.
    pub rounds: u32,
    /// Its value as JSON, where it was still there; long ones are cut.
    pub value: Option<Value>,
    /// What its source brought, where that is kept (`.replayable()`), likewise.
    pub source_value: Option<Value>,
    /// When, since the run started.
    pub at: Moment,
}

/// A fault as it is filed: what is only for people is made when somebody reads it.
#[derive(Debug)]
pub(crate) struct Filed {
    pub node: u32,
    pub operator: Arc<str>,
    pub kind: FaultKind,
    pub record: RecordId,
    pub from: Whence,
    pub rounds: u32,
    pub value: Option<Written>,
    /// The full name of the value's type.
    pub type_name: &'static str,
    /// Its source records, where more is known of them than their ids.
    pub roots: Vec<KeptRoot>,
    pub at: Moment,
}

/// Where a record came from.
#[derive(Clone, Debug)]
pub(crate) enum Whence {
    /// This source record.
    Root(RecordId),
    /// A place that its source names: `rows.csv line 17`.
    Place(String),
}

/// How a source record is called.
pub(crate) type Names<'a> = &'a dyn Fn(RecordId) -> String;

impl Whence {
    pub(crate) fn named(&self, names: Names<'_>) -> String {
        match self {
            Whence::Root(root) => names(*root),
            Whence::Place(place) => place.clone(),
        }
    }
}

/// Bytes of what sources brought, and of pictures, that are kept in memory with faults; further faults cannot be replayed, and their
/// pictures are words.
const KEPT_BYTES: usize = 64 << 20;
/// Faults that are kept whole; of further ones only the counts are kept.
pub const KEPT_FAULTS: usize = 100_000;
const REASONS: usize = 1_000;
const SHOWN: usize = 50;
const OTHERS: &str = "other reasons";

/// The run's quarantine: every fault counted by reason, the first [`KEPT_FAULTS`] kept whole.
#[derive(Debug, Default)]
pub struct FaultLog {
    state: Mutex<Log>,
    /// Of faults of this log that came back into the run: what came of it.
    replays: Arc<Mutex<Replays>>,
}

type Replays = HashMap<u64, Vec<Replayed>>;

/// Is told of the end of a replay.
struct Mark {
    replays: Arc<Mutex<Replays>>,
    fault: u64,
    nth: usize,
}

impl Told for Mark {
    fn ended(&self, fate: Fate) {
        let mut replays = self.replays.lock();
        if let Some(replayed) = replays.get_mut(&self.fault).and_then(|all| all.get_mut(self.nth)) {
            // Of several source records the best end counts.
            replayed.fate = Some(replayed.fate.map_or(fate, |known| known.min(fate)));
        }
    }
}

/// A filed fault and its reason.
type Entry = Arc<(Filed, Arc<str>)>;

#[derive(Debug, Default)]
struct Log {
    total: u64,
    next: u64,
    /// Bytes of what sources brought, and of pictures.
    bytes: usize,
    kept: Kept,
    recent: VecDeque<(u64, Entry)>,
    reasons: HashMap<(u32, FaultKind), Reasons, RandomState>,
    /// Different reasons among them.
    different: usize,
}

/// The faults that are kept whole, by number.
#[derive(Debug, Default)]
struct Kept {
    /// Ascending, since a fault's number is higher than that of the one before; nothing where one was taken out.
    all: Vec<(u64, Option<Entry>)>,
    /// How many are there.
    count: usize,
}

impl Kept {
    /// Keeps a fault, if there is room.
    fn add(&mut self, number: u64, entry: Entry) {
        if self.count == KEPT_FAULTS {
            return;
        }
        if self.all.len() == 2 * KEPT_FAULTS {
            self.all.retain(|(_, entry)| entry.is_some());
        }
        self.all.push((number, Some(entry)));
        self.count += 1;
    }

    fn remove(&mut self, number: u64) -> Option<Entry> {
        let at = self.all.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        let entry = self.all[at].1.take()?;
        self.count -= 1;
        Some(entry)
    }

    /// Oldest first.
    fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Entry)> {
        self.all.iter().filter_map(|(number, entry)| Some((*number, entry.as_ref()?)))
    }
}

/// How often each reason was given.
type Reasons = HashMap<Arc<str>, Counted, RandomState>;

/// How often a reason was given, and for which record first.
#[derive(Debug)]
struct Counted {
    times: u64,
    first: Whence,
}

impl Log {
    /// Counts a reason, and gives it back as one that others share.
    fn count(&mut self, fault: &Filed, reason: &str) -> Arc<str> {
        let counted = self.reasons.entry((fault.node, fault.kind)).or_default();
        if let Some((known, _)) = counted.get_key_value(reason) {
            let known = Arc::clone(known);
            if let Some(counted) = counted.get_mut(reason) {
                counted.times += 1;
            }
            return known;
        }
        let reason: Arc<str> = reason.into();
        let key = if self.different < REASONS { Arc::clone(&reason) } else { OTHERS.into() };
        let counted = counted.entry(key).or_insert_with(|| {
            self.different += 1;
            Counted { times: 0, first: fault.from.clone() }
        });
        counted.times += 1;
        reason
    }

    fn count_less(&mut self, fault: &Filed, reason: &str) {
        let Some(counted) = self.reasons.get_mut(&(fault.node, fault.kind)) else { return };
        let reason = if counted.contains_key(reason) { reason } else { OTHERS };
        if let Some(one) = counted.get_mut(reason) {
            one.times -= 1;
            if one.times == 0 {
                counted.remove(reason);
                self.different -= 1;
            }
        }
    }
}

impl FaultLog {
    /// Files a fault under a number, by which it can be withdrawn. Gives the reason as one that others share too.
    pub(crate) fn file(&self, mut fault: Filed, reason: &str) -> (u64, Arc<str>) {
        let mut log = self.state.lock();
        let number = log.next;
        log.next += 1;
        log.total += 1;
        let reason = log.count(&fault, reason);
        let brought: usize = fault.roots.iter().filter_map(|root| root.value.as_deref()).map(str::len).sum();
        let bytes = brought + fault.value.as_ref().map_or(0, Written::picture_bytes);
        if log.bytes + bytes > KEPT_BYTES {
            fault.roots.iter_mut().for_each(|root| root.value = None);
            fault.value.iter_mut().for_each(Written::put_into_words);
        } else {
            log.bytes += bytes;
        }
        let entry = Arc::new((fault, Arc::clone(&reason)));
        if log.recent.len() == SHOWN {
            log.recent.pop_front();
        }
        log.recent.push_back((number, Arc::clone(&entry)));
        log.kept.add(number, entry);
        (number, reason)
    }

    /// The faults that were kept whole and fit, newest first.
    pub(crate) fn find(&self, filter: &Filter, workflow: &str, shared: &Shared) -> Vec<quarantine::Entry> {
        let started_unix_ms = shared.clock.started_unix_ms();
        let entries: Vec<(u64, Entry)> =
            self.state.lock().kept.iter().rev().map(|(number, entry)| (number, Arc::clone(entry))).collect();
        let whole = |(number, entry): (u64, Entry)| {
            let (fault, reason) = entry.as_ref();
            let root = match &fault.from {
                Whence::Root(root) => vec![KeptRoot {
                    source: shared.source_of(*root),
                    place: root.seq(),
                    value: None,
                    replay_of: None,
                }],
                Whence::Place(_) => Vec::new(),
            };
            quarantine::Entry {
                id: number,
                run: 1,
                workflow: workflow.to_owned(),
                operator: fault.operator.to_string(),
                kind: fault.kind,
                reason: reason.to_string(),
                record: fault.record.to_string(),
                origin: fault.from.named(&|root| shared.origin_of(root)),
                rounds: fault.rounds,
                at_unix_ms: started_unix_ms + fault.at.as_millis() as u64,
                type_name: shorten_type_name(fault.type_name),
                value: fault.value.as_ref().map(|value| match value.whole() {
                    Some(text) => text.into(),
                    None => value.pictured().to_string().into(),
                }),
                roots: if fault.roots.is_empty() { root } else { fault.roots.clone() },
                replays: self.replays.lock().get(&number).cloned().unwrap_or_default(),
            }
        };
        let fits = |(number, entry): &(u64, Entry)| {
            let (fault, reason) = entry.as_ref();
            let replayed = || self.replays.lock().contains_key(number);
            filter.fits((*number, 1), &fault.operator, fault.kind, reason, replayed)
        };
        entries.into_iter().filter(fits).take(filter.most.unwrap_or(usize::MAX)).map(whole).collect()
    }

    /// A fault of this log comes back into the run. What is given is told of its end.
    pub(crate) fn replayed(&self, number: u64) -> Arc<dyn Told> {
        let mut all = self.replays.lock();
        let of_it = all.entry(number).or_default();
        of_it.push(Replayed { run: 1, fate: None });
        Arc::new(Mark { replays: Arc::clone(&self.replays), fault: number, nth: of_it.len() - 1 })
    }

    /// Takes a fault out again: what it was made of has been revised. One that was only counted stays counted by reason.
    pub(crate) fn withdraw(&self, number: u64) {
        let mut log = self.state.lock();
        log.total -= 1;
        log.recent.retain(|(other, _)| *other != number);
        if let Some(entry) = log.kept.remove(number) {
            log.count_less(&entry.0, &entry.1);
        }
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.state.lock().total
    }

    /// The faults that were kept whole, oldest first.
    pub(crate) fn kept(&self, names: Names<'_>) -> Vec<Fault> {
        let entries: Vec<Entry> = self.state.lock().kept.iter().map(|(_, entry)| Arc::clone(entry)).collect();
        let whole = |entry: &Entry| {
            let (fault, reason) = entry.as_ref();
            Fault {
                node: fault.node,
                operator: Arc::clone(&fault.operator),
                kind: fault.kind,
                reason: Arc::clone(reason),
                record: fault.record,
                origin: fault.from.named(names),
                rounds: fault.rounds,
                value: fault.value.as_ref().map(Written::shown),
                source_value: fault
                    .roots
                    .iter()
                    .find_map(|root| root.value.as_deref())
                    .map(|text| preview_of(text, 4000)),
                at: fault.at,
            }
        };
        entries.iter().map(whole).collect()
    }

    pub(crate) fn view(&self, names: Names<'_>) -> FaultsView {
        let log = self.state.lock();
        let mut by_reason = Vec::new();
        for ((node, kind), counted) in &log.reasons {
            by_reason.extend(counted.iter().map(|(reason, counted)| ReasonView {
                node: *node,
                kind: kind.name(),
                reason: reason.to_string(),
                first: counted.first.named(names),
                count: counted.times,
                advice: kind.advice().to_owned(),
            }));
        }
        by_reason.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.reason.cmp(&b.reason)));
        by_reason.truncate(SHOWN);
        let (total, recent) = (log.total, log.recent.clone());
        drop(log);
        let recent = recent.iter().rev().map(|(_, entry)| FaultView {
            at_us: entry.0.at.as_micros() as u64,
            node: entry.0.node,
            kind: entry.0.kind.name(),
            reason: entry.1.to_string(),
            record: entry.0.from.named(names),
            id: entry.0.record,
            value: entry.0.value.as_ref().map(Written::shown),
        });
        FaultsView { total, by_reason, recent: recent.collect(), store: None }
    }
}
