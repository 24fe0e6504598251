//! How records end, and the counters from which both balances are read.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};

/// How a record ended. In order of rank: where several records descend from one source record, the best end is its fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Reached a sink.
    Emitted,
    /// Somebody was asked what is to become of it: it went on from there as a new source record.
    Escalated,
    /// Put into quarantine by a handler's verdict.
    Rejected,
    /// Put into quarantine because code or a model failed on it.
    Failed,
    /// Thrown away by a handler's verdict.
    Dropped,
    /// Went into another record (a batch, a gathered parent, the other side of a join), whose end counts for more.
    Absorbed,
    /// A filter said no, or a join found no partner in its time.
    Filtered,
    /// Another record took its place: the next version of what was sent back, or what a gather made of a parent and its parts.
    Superseded,
    /// Made from a version that has been revised since.
    Withdrawn,
}

impl Fate {
    /// All fates, best first.
    pub const ALL: [Fate; 9] = [
        Fate::Emitted,
        Fate::Escalated,
        Fate::Rejected,
        Fate::Failed,
        Fate::Dropped,
        Fate::Absorbed,
        Fate::Filtered,
        Fate::Superseded,
        Fate::Withdrawn,
    ];
    pub(crate) const WORST: u8 = Self::ALL.len() as u8 - 1;

    pub(crate) fn rank(self) -> u8 {
        self as u8
    }

    pub(crate) fn of_rank(rank: u8) -> Self {
        Self::ALL[usize::from(rank.min(Self::WORST))]
    }

    /// Its name on the page and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Fate::Emitted => "emitted",
            Fate::Escalated => "escalated",
            Fate::Absorbed => "absorbed",
            Fate::Rejected => "rejected",
            Fate::Failed => "failed",
            Fate::Dropped => "dropped",
            Fate::Filtered => "filtered",
            Fate::Superseded => "superseded",
            Fate::Withdrawn => "withdrawn",
        }
    }
}

/// A count per fate, written by one actor and read by anyone.
#[derive(Debug, Default)]
pub struct Tally([AtomicU64; Fate::ALL.len()]);

impl Tally {
    /// Adds `n` ends.
    pub fn add(&self, fate: Fate, n: u64) {
        self.0[fate as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// An end that was counted as `from` turns out to be `to`.
    pub(crate) fn turn(&self, from: Fate, to: Fate) {
        self.0[from as usize].fetch_sub(1, Ordering::Relaxed);
        self.add(to, 1);
    }

    /// Adds this tally to totals by name; fates that never occurred are left out.
    pub fn add_to(&self, totals: &mut BTreeMap<&'static str, u64>) {
        for fate in Fate::ALL {
            let n = self.0[fate as usize].load(Ordering::Relaxed);
            if n > 0 {
                *totals.entry(fate.name()).or_default() += n;
            }
        }
    }
}
