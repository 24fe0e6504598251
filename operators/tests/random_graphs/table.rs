//! What handlers have asked for so far, and what they may ask for: the versions of origins, and what was added beside them.

use std::collections::{BTreeMap, BTreeSet};

/// A feedback point and a record that came to it, by its identity.
pub type Origin = (usize, u64);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub number: u32,
    /// `None` if it was deleted.
    pub x: Option<u64>,
    pub rounds: BTreeMap<usize, u32>,
}

/// A record that a handler added, of which this is the judged one, beside an origin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Added {
    pub by: u64,
    pub x: u64,
    pub id: u64,
    pub roots: BTreeSet<usize>,
    pub sources: BTreeSet<usize>,
    pub rounds: BTreeMap<usize, u32>,
    pub marks: Vec<(Origin, u32)>,
    pub path: Vec<u32>,
    /// What stood at the origins that it carries.
    pub values: Vec<(Origin, u64)>,
    pub time: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Table {
    pub versions: BTreeMap<Origin, Version>,
    pub added: BTreeMap<Origin, Vec<Added>>,
}

impl Table {
    pub fn is_current(&self, marks: &[(Origin, u32)]) -> bool {
        marks.iter().all(|(origin, version)| self.versions.get(origin).map_or(1, |v| v.number) == *version)
    }

    pub fn and(&self, verdicts: &[&Asked]) -> Self {
        let mut table = self.clone();
        verdicts.iter().for_each(|verdict| table.obey(verdict));
        table
    }

    pub fn obey(&mut self, verdict: &Asked) {
        match verdict.what.clone() {
            What::Revise(next) => {
                self.versions.insert(verdict.origin, next);
            }
            What::Append(added) => {
                let all = self.added.entry(verdict.origin).or_default();
                all.push(added);
                all.sort();
            }
        }
    }
}

/// What a handler asks for, and what the judged record was made of.
pub struct Asked {
    pub origin: Origin,
    pub what: What,
    pub marks: Vec<(Origin, u32)>,
    pub roots: BTreeSet<usize>,
}

#[derive(Clone)]
pub enum What {
    Revise(Version),
    Append(Added),
}

impl Asked {
    /// Whether obeying this one withdraws the record of the other. Of what is added that is not known: a whole may be made again.
    pub fn withdraws(&self, other: &Asked) -> bool {
        matches!(self.what, What::Append(_)) || self.revises(other)
    }

    /// Whether it makes a new version of what the record of the other was made of.
    pub fn revises(&self, other: &Asked) -> bool {
        matches!(self.what, What::Revise(_)) && other.marks.iter().any(|(origin, _)| *origin == self.origin)
    }
}
