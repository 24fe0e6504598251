//! What happened to a record and to what it was made of, ready to be read, printed or sent to a browser.

use serde::Serialize;
use serde_json::Value;

use super::Lineage;
use crate::{fate::Fate, fault::FaultKind, record::RecordId};

/// What happened to a record and to everything that it was made of, as far as it has not been forgotten.
///
/// Printed, it is a time-line of each record: the one that was asked for first, then those that it was made of, the latest first.
#[derive(Clone, Debug, Serialize)]
pub struct History {
    /// The record that was asked for.
    pub record: RecordId,
    /// How much was written down.
    pub lineage: Lineage,
    /// What happened before has been forgotten, µs since the run started; `None` where nothing has.
    pub since_us: Option<u64>,
    /// The record, and then what it was made of, the latest first.
    pub lives: Vec<Life>,
    /// Further records that it was made of, which are left out since there are so many.
    pub left_out: usize,
}

/// What happened to one record.
#[derive(Clone, Debug, Serialize)]
pub struct Life {
    /// Which record.
    pub record: RecordId,
    /// For people: `numbers #17`, or `record 12` for one that was made inside.
    pub name: String,
    /// Whether it came in from outside by a source.
    pub is_root: bool,
    /// Whether the record that was asked for was not made of it, but takes the place of something because of it.
    pub is_cause: bool,
    /// In order.
    pub events: Vec<Event>,
}

/// Something that happened to a record.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// When, in µs since the run started.
    pub at_us: u64,
    /// The operator's [`id`](crate::view::NodeView::id).
    pub node: u32,
    /// The operator's name.
    pub operator: String,
    /// What.
    #[serde(flatten)]
    pub what: What,
    /// The value that came to the operator, with [`Lineage::Values`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The value with which it came to the next operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// See [`Event`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// It came in from outside.
    Entered,
    /// It was made of these; where it had been there before, it is a whole of these from now on.
    Made {
        /// Records.
        of: Vec<RecordId>,
    },
    /// It takes the place of what had been made of another one, which is withdrawn.
    Version {
        /// Which version it is, from 2.
        version: u32,
        /// The record as it first came there.
        of: RecordId,
        /// The record that was sent back.
        because: RecordId,
    },
    /// The operator took it in.
    TakenIn,
    /// This was made of it.
    WentInto {
        /// A record.
        record: RecordId,
    },
    /// A handler judged it.
    Judged {
        /// `passed`, `replaced`, `sent back`, `dropped`, `split`, `rerouted`, `escalated`…
        verdict: &'static str,
        /// Why, in words; empty where nothing was said.
        why: String,
        /// How many rounds it has spent with this one, where it was sent back.
        rounds: Option<u32>,
    },
    /// A model worked on it.
    Called {
        /// The device that ran the last part.
        device: String,
        /// Items of the call that it was a part of.
        items: u32,
        /// Over how many launches the call was spread.
        launches: u32,
        /// From the call to the start of its first launch, µs.
        waited_us: u64,
        /// On devices, all stages, µs.
        ran_us: u64,
    },
    /// What a model gives for it was remembered.
    Remembered {
        /// Items of the record.
        items: u32,
    },
    /// It went into quarantine.
    Failed {
        /// What kind of fault.
        kind: FaultKind,
        /// Why, in words.
        reason: String,
    },
    /// It ended.
    Ended {
        /// How.
        fate: Fate,
    },
    /// It had ended, and was withdrawn afterwards: what it was made of has been revised.
    Withdrawn,
}

impl History {
    /// Whether anything is known of the record.
    pub fn is_known(&self) -> bool {
        self.lives.first().is_some_and(|life| !life.events.is_empty())
    }

    /// What happened to the record itself, in order.
    pub fn events(&self) -> &[Event] {
        self.lives.first().map_or(&[], |life| &life.events)
    }

    /// The records that it was made of, itself among them, and not those because of which it takes the place of others.
    pub fn ancestors(&self) -> impl Iterator<Item = &Life> {
        self.lives.iter().filter(|life| !life.is_cause)
    }

    /// The source records that it was made of, ascending.
    pub fn roots(&self) -> Vec<RecordId> {
        let mut roots: Vec<RecordId> =
            self.ancestors().filter(|life| life.is_root).map(|life| life.record).collect();
        roots.sort_unstable();
        roots
    }

    /// The names of the operators that it and its ancestors passed, in order of time, each once.
    pub fn operators(&self) -> Vec<&str> {
        let mut events: Vec<&Event> = self.ancestors().flat_map(|life| &life.events).collect();
        events.sort_by_key(|event| event.at_us);
        let mut names: Vec<&str> = Vec::new();
        for event in events {
            if !names.contains(&event.operator.as_str()) {
                names.push(&event.operator);
            }
        }
        names
    }

    /// How often something was sent back on the way to this record: verdicts on itself, and those because of which it or an ancestor
    /// is another version.
    pub fn rounds(&self) -> usize {
        let sent_back = |event: &&Event| matches!(event.what, What::Judged { rounds: Some(_), .. });
        self.lives.iter().flat_map(|life| &life.events).filter(sent_back).count()
    }

    /// The devices on which models worked on it or an ancestor, each once.
    pub fn devices(&self) -> Vec<&str> {
        let mut devices = Vec::new();
        for event in self.ancestors().flat_map(|life| &life.events) {
            if let What::Called { device, .. } = &event.what
                && !devices.contains(&device.as_str())
            {
                devices.push(device.as_str());
            }
        }
        devices
    }

    /// The life of a record that is part of it.
    pub fn life(&self, record: RecordId) -> Option<&Life> {
        self.lives.iter().find(|life| life.record == record)
    }
}

impl Life {
    /// How it ended, so far as is known; `None` where it is under way.
    pub fn fate(&self) -> Option<Fate> {
        self.events.iter().rev().find_map(|event| match event.what {
            What::Ended { fate } => Some(fate),
            What::Withdrawn => Some(Fate::Withdrawn),
            What::Failed { kind, .. } => {
                Some(if kind.is_a_verdict() { Fate::Rejected } else { Fate::Failed })
            }
            _ => None,
        })
    }
}
