//! Records that will not go on: where, why, and what they were.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    clock::Moment,
    record::RecordId,
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
    /// The source record that it descends from, for people: `numbers #17`.
    pub origin: String,
    /// How often it had been sent back.
    pub rounds: u32,
    /// Its value as JSON, where it was still there; long ones are cut.
    pub value: Option<Value>,
    /// When, since the run started.
    pub at: Moment,
}

/// Faults that are kept whole; of further ones only the counts are kept.
pub const KEPT_FAULTS: usize = 100_000;
const REASONS: usize = 1_000;
const SHOWN: usize = 50;

/// The run's quarantine: every fault counted by reason, the first [`KEPT_FAULTS`] kept whole.
#[derive(Debug, Default)]
pub struct FaultLog {
    state: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    total: u64,
    next: u64,
    kept: BTreeMap<u64, Fault>,
    recent: VecDeque<(u64, Fault)>,
    /// How often, and the first record.
    reasons: HashMap<(u32, FaultKind, Arc<str>), (u64, String)>,
}

impl FaultLog {
    /// Files a fault under a number, by which it can be withdrawn.
    pub(crate) fn file(&self, fault: Fault) -> u64 {
        let mut log = self.state.lock();
        let number = log.next;
        log.next += 1;
        log.total += 1;
        let key = (fault.node, fault.kind, Arc::clone(&fault.reason));
        let known = log.reasons.len() < REASONS || log.reasons.contains_key(&key);
        let key = if known { key } else { (fault.node, fault.kind, "other reasons".into()) };
        log.reasons.entry(key).or_insert_with(|| (0, fault.origin.clone())).0 += 1;
        if log.recent.len() == SHOWN {
            log.recent.pop_front();
        }
        log.recent.push_back((number, fault.clone()));
        if log.kept.len() < KEPT_FAULTS {
            log.kept.insert(number, fault);
        }
        number
    }

    /// Takes a fault out again: what it was made of has been revised. One that was only counted stays counted by reason.
    pub(crate) fn withdraw(&self, number: u64) {
        let mut log = self.state.lock();
        log.total -= 1;
        log.recent.retain(|(other, _)| *other != number);
        let Some(fault) = log.kept.remove(&number) else { return };
        let key = (fault.node, fault.kind, Arc::clone(&fault.reason));
        let known = log.reasons.contains_key(&key);
        let key = if known { key } else { (fault.node, fault.kind, "other reasons".into()) };
        if let Some((count, _)) = log.reasons.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                log.reasons.remove(&key);
            }
        }
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.state.lock().total
    }

    /// The faults that were kept whole, oldest first.
    pub fn kept(&self) -> Vec<Fault> {
        self.state.lock().kept.values().cloned().collect()
    }

    pub(crate) fn view(&self) -> FaultsView {
        let log = self.state.lock();
        let mut by_reason: Vec<ReasonView> = log
            .reasons
            .iter()
            .map(|((node, kind, reason), (count, first))| ReasonView {
                node: *node,
                kind: kind.name(),
                reason: reason.to_string(),
                first: first.clone(),
                count: *count,
                advice: kind.advice().to_owned(),
            })
            .collect();
        by_reason.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.reason.cmp(&b.reason)));
        by_reason.truncate(SHOWN);
        let recent = log.recent.iter().rev().map(|(_, fault)| FaultView {
            at_us: fault.at.as_micros() as u64,
            node: fault.node,
            kind: fault.kind.name(),
            reason: fault.reason.to_string(),
            record: fault.origin.clone(),
            value: fault.value.clone(),
        });
        FaultsView { total: log.total, by_reason, recent: recent.collect() }
    }
}
