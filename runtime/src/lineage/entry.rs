//! What a step writes down.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::{data::Written, fate::Fate, fault::FaultKind, record::RecordId};

/// Most bytes of a value that is kept.
const MOST_VALUE: usize = 4000;

/// Some records.
#[derive(Debug)]
pub(crate) enum Ids {
    /// Consecutive ones, as a source brings them.
    Run { first: RecordId, count: usize },
    /// Any.
    Many(SmallVec<[RecordId; 2]>),
}

impl Ids {
    pub fn of(ids: &[RecordId]) -> Self {
        match ids {
            [first, _, ..] if ids.windows(2).all(|two| two[1].is_next_of(two[0])) => {
                Self::Run { first: *first, count: ids.len() }
            }
            _ => Self::Many(SmallVec::from_slice(ids)),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Many(ids) if ids.spilled() => ids.capacity() * size_of::<RecordId>(),
            _ => 0,
        }
    }

    /// The places of those of which `is_it` says `true`.
    pub fn find(&self, mut is_it: impl FnMut(RecordId) -> bool, mut found: impl FnMut(usize, RecordId)) {
        let mut look = |(place, id): (usize, RecordId)| {
            if is_it(id) {
                found(place, id);
            }
        };
        match self {
            Self::Run { first, count } => first.run(*count).enumerate().for_each(&mut look),
            Self::Many(ids) => ids.iter().copied().enumerate().for_each(&mut look),
        }
    }

    /// The consecutive ones, where they are.
    pub fn as_run(&self) -> Option<(RecordId, usize)> {
        match self {
            Self::Run { first, count } => Some((*first, *count)),
            Self::Many(_) => None,
        }
    }
}

/// How a model's call went.
#[derive(Debug)]
pub(crate) struct Called {
    pub device: Arc<str>,
    pub items: u32,
    pub launches: u32,
    pub waited_us: u64,
    pub ran_us: u64,
}

/// Something that a step did.
#[derive(Debug)]
pub(crate) enum Entry {
    /// So many records came in from outside, from this one on.
    Entered { first: RecordId, count: usize },
    /// These were taken in. Values only where they are kept.
    In { ids: Ids, values: Box<[Written]> },
    /// Each first record was made of the second one.
    Forked(Vec<(RecordId, RecordId)>),
    /// A record was made of several; or is from now on.
    Made { record: RecordId, of: Box<[RecordId]> },
    /// A record takes the place of what was made of `of`, because `because` was sent back.
    Version { record: RecordId, version: u32, of: RecordId, because: RecordId },
    /// A handler said something other than that a record may pass; with the rounds that it has spent where it goes, if it was
    /// sent back.
    Said { record: RecordId, verdict: &'static str, why: Box<str>, rounds: u32 },
    /// A record went into quarantine.
    Failed { record: RecordId, kind: FaultKind, reason: Box<str> },
    /// A model worked on these.
    Called { ids: Ids, call: Box<Called> },
    /// These ended.
    Ended { ids: Ids, fate: Fate },
    /// One that had ended was withdrawn afterwards.
    Withdrawn(RecordId),
}

impl Entry {
    /// About the memory that it takes.
    pub fn bytes(&self) -> usize {
        let own = match self {
            Entry::Entered { .. } | Entry::Version { .. } | Entry::Withdrawn(_) => 0,
            Entry::In { ids, values } => {
                ids.bytes() + values.iter().map(|value| size_of::<Written>() + value.bytes()).sum::<usize>()
            }
            Entry::Forked(pairs) => pairs.capacity() * size_of::<(RecordId, RecordId)>(),
            Entry::Made { of, .. } => size_of_val(&**of),
            Entry::Said { why: text, .. } | Entry::Failed { reason: text, .. } => text.len(),
            Entry::Called { ids, call } => ids.bytes() + size_of_val(&**call),
            Entry::Ended { ids, .. } => ids.bytes(),
        };
        size_of::<Self>() + own
    }
}

/// What a step has written down so far.
#[derive(Debug, Default)]
pub(crate) struct Notes(pub Vec<Entry>);

impl Notes {
    // Not a part of those who call it: where nothing is written down, these have nothing but a test to carry.
    #[inline(never)]
    pub fn took_in<T: serde::Serialize>(&mut self, ids: &[RecordId], values: &[T]) {
        let values = values.iter().map(|value| Written::new(value, MOST_VALUE)).collect();
        self.0.push(Entry::In { ids: Ids::of(ids), values });
    }

    #[inline(never)]
    pub fn forked(&mut self, record: RecordId, of: RecordId) {
        match self.0.last_mut() {
            Some(Entry::Forked(pairs)) => pairs.push((record, of)),
            _ => self.0.push(Entry::Forked(vec![(record, of)])),
        }
    }

    #[inline(never)]
    pub fn ended(&mut self, record: RecordId, fate: Fate) {
        match self.0.last_mut() {
            Some(Entry::Ended { ids: Ids::Many(ids), fate: same }) if *same == fate => ids.push(record),
            _ => self.0.push(Entry::Ended { ids: Ids::Many(smallvec![record]), fate }),
        }
    }

    #[inline(never)]
    pub fn said(&mut self, record: RecordId, verdict: &'static str, why: &str, rounds: u32) {
        self.0.push(Entry::Said { record, verdict, why: why.into(), rounds });
    }

    #[inline(never)]
    pub fn failed(&mut self, record: RecordId, kind: FaultKind, reason: &str) {
        self.0.push(Entry::Failed { record, kind, reason: reason.into() });
    }

    #[inline(never)]
    pub fn all_ended(&mut self, ids: &[RecordId], fate: Fate) {
        if !ids.is_empty() {
            self.0.push(Entry::Ended { ids: Ids::of(ids), fate });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seq: u64) -> RecordId {
        RecordId::of_source(1, seq)
    }

    #[test]
    fn consecutive_ids_are_one_line() {
        let ids = Ids::of(&[id(4), id(5), id(6)]);
        assert_eq!(ids.as_run(), Some((id(4), 3)));
        let mut found = Vec::new();
        ids.find(|other| other == id(6), |place, id| found.push((place, id)));
        assert_eq!(found, [(2, id(6))]);
        for others in [vec![id(4), id(6)], vec![id(4)], vec![id(5), id(4)], vec![]] {
            assert_eq!(Ids::of(&others).as_run(), None, "{others:?}");
        }
    }

    #[test]
    fn ends_in_a_row_with_one_fate_are_one_line() {
        let mut notes = Notes::default();
        notes.ended(id(1), Fate::Emitted);
        notes.ended(id(3), Fate::Emitted);
        notes.ended(id(2), Fate::Dropped);
        assert_eq!(notes.0.len(), 2);
    }
}
