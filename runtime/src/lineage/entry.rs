//! What a step writes down.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::{data::Written, fate::Fate, fault::FaultKind, ids::Ids, record::RecordId};

/// Most bytes of a value that is kept.
const MOST_VALUE: usize = 4000;

/// Some records.
#[derive(Debug)]
pub(crate) enum Records {
    /// Ascending ones, as a source brings them and filters leave them.
    Runs { first: RecordId, last: RecordId, count: u32, runs: SmallVec<[Run; 2]> },
    /// Any.
    Many(SmallVec<[RecordId; 2]>),
}

/// Consecutive records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// How far its first one comes behind the last one of the run before; 0 for the first run.
    gap: u32,
    count: u32,
}

impl Records {
    /// Of a batch's rows.
    pub fn of_rows(ids: &Ids) -> Self {
        match ids {
            Ids::Column(ids) => Self::of(ids),
            Ids::Run { first, len } => match u32::try_from(*len) {
                Ok(count @ 1..) => {
                    let last = first.behind(count as usize - 1);
                    Self::Runs { first: *first, last, count, runs: smallvec![Run { gap: 0, count }] }
                }
                _ => Self::of(&first.run(*len).collect::<Vec<_>>()),
            },
        }
    }

    pub fn of(ids: &[RecordId]) -> Self {
        let (Some((&first, rest)), Ok(count)) = (ids.split_first(), u32::try_from(ids.len())) else {
            return Self::Many(SmallVec::from_slice(ids));
        };
        // Counted first, so that memory is asked for once, and no more than is needed.
        let gaps = ids.windows(2).filter(|pair| pair[1].distance(pair[0]) != Some(1)).count();
        let mut runs = SmallVec::with_capacity(gaps + 1);
        let (mut last, mut run) = (first, Run { gap: 0, count: 1 });
        for &id in rest {
            match id.distance(last) {
                Some(1) => run.count += 1,
                Some(gap @ 2..=0xFFFF_FFFF) => {
                    runs.push(run);
                    run = Run { gap: gap as u32, count: 1 };
                }
                _ => return Self::Many(SmallVec::from_slice(ids)),
            }
            last = id;
        }
        runs.push(run);
        Self::Runs { first, last, count, runs }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Runs { runs, .. } if runs.spilled() => runs.capacity() * size_of::<Run>(),
            Self::Many(ids) if ids.spilled() => ids.capacity() * size_of::<RecordId>(),
            _ => 0,
        }
    }

    /// How many.
    pub fn count(&self) -> usize {
        match self {
            Self::Runs { count, .. } => *count as usize,
            Self::Many(ids) => ids.len(),
        }
    }

    /// The place of this one among them.
    pub fn place_of(&self, record: RecordId) -> Option<usize> {
        match self {
            Self::Many(ids) => ids.iter().position(|id| *id == record),
            Self::Runs { first, last, runs, .. } if (*first..=*last).contains(&record) => {
                // Where it would be if there were no gaps, and how many are missing before it.
                let mut from_run = record.distance(*first)?;
                let mut before = 0;
                for Run { gap, count } in runs {
                    if before > 0 {
                        // The run's first one is `gap` behind the last one before.
                        from_run = from_run.checked_sub(*gap as usize - 1)?;
                    }
                    if from_run < *count as usize {
                        return Some(before + from_run);
                    }
                    from_run -= *count as usize;
                    before += *count as usize;
                }
                None
            }
            Self::Runs { .. } => None,
        }
    }

    /// All, in order.
    pub fn all(&self) -> Vec<RecordId> {
        match self {
            Self::Many(ids) => ids.to_vec(),
            Self::Runs { first, runs, .. } => {
                let mut next = *first;
                let mut all = Vec::with_capacity(self.count());
                for Run { gap, count } in runs {
                    next = next.behind((*gap as usize).saturating_sub(1));
                    all.extend(next.run(*count as usize));
                    next = next.behind(*count as usize);
                }
                all
            }
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
    In { ids: Records, values: Box<[Written]> },
    /// Each first record was made of the second one.
    Forked(Vec<(RecordId, RecordId)>),
    /// A record was made of several; or is from now on.
    Made { record: RecordId, of: Box<[RecordId]> },
    /// A record takes the place of what was made of `of`, because `because` was sent back.
    Version { record: RecordId, version: u32, of: RecordId, because: RecordId },
    /// A handler said something other than that these may pass; with the rounds that they have spent where they go, if they
    /// were sent back.
    Said { ids: Records, verdict: &'static str, why: Box<str>, rounds: u32 },
    /// A record went into quarantine.
    Failed { record: RecordId, kind: FaultKind, reason: Box<str> },
    /// A model worked on these.
    Called { ids: Records, call: Box<Called> },
    /// What a model gives for the items of a record was remembered.
    Remembered { record: RecordId, items: u32 },
    /// These ended.
    Ended { ids: Records, fate: Fate },
    /// One that had ended was withdrawn afterwards.
    Withdrawn(RecordId),
}

impl Entry {
    /// About the memory that it takes.
    pub fn bytes(&self) -> usize {
        let own = match self {
            Entry::Entered { .. }
            | Entry::Version { .. }
            | Entry::Remembered { .. }
            | Entry::Withdrawn(_) => 0,
            Entry::In { ids, values } => {
                ids.bytes() + values.iter().map(|value| size_of::<Written>() + value.bytes()).sum::<usize>()
            }
            Entry::Forked(pairs) => pairs.capacity() * size_of::<(RecordId, RecordId)>(),
            Entry::Made { of, .. } => size_of_val(&**of),
            Entry::Said { ids, why, .. } => ids.bytes() + why.len(),
            Entry::Failed { reason, .. } => reason.len(),
            Entry::Called { ids, call } => ids.bytes() + size_of_val(&**call),
            Entry::Ended { ids, .. } => ids.bytes(),
        };
        size_of::<Self>() + own
    }

    /// Writes what was written one by one in less room.
    pub fn tidy(&mut self) {
        const MANY: usize = 16;
        if let Entry::Ended { ids, .. } | Entry::Said { ids, .. } = self
            && let Records::Many(all) = ids
            && all.len() > MANY
        {
            *ids = Records::of(all);
        }
    }
}

/// What a step has written down so far.
#[derive(Debug, Default)]
pub(crate) struct Notes(pub Vec<Entry>);

impl Notes {
    // Not a part of those who call it: where nothing is written down, these have nothing but a test to carry.
    #[inline(never)]
    pub fn took_in<T: serde::Serialize>(&mut self, ids: &Ids, values: &[T]) {
        let values = values.iter().map(|value| Written::new(value, MOST_VALUE)).collect();
        self.0.push(Entry::In { ids: Records::of_rows(ids), values });
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
            Some(Entry::Ended { ids: Records::Many(ids), fate: same }) if *same == fate => ids.push(record),
            _ => self.0.push(Entry::Ended { ids: Records::Many(smallvec![record]), fate }),
        }
    }

    #[inline(never)]
    pub fn said(&mut self, record: RecordId, verdict: &'static str, why: &str, rounds: u32) {
        match self.0.last_mut() {
            Some(Entry::Said { ids: Records::Many(ids), verdict: same, why: because, rounds: spent })
                if (*same, &**because, *spent) == (verdict, why, rounds) =>
            {
                ids.push(record);
            }
            _ => self.0.push(Entry::Said {
                ids: Records::Many(smallvec![record]),
                verdict,
                why: why.into(),
                rounds,
            }),
        }
    }

    #[inline(never)]
    pub fn failed(&mut self, record: RecordId, kind: FaultKind, reason: &str) {
        self.0.push(Entry::Failed { record, kind, reason: reason.into() });
    }

    #[inline(never)]
    pub fn all_ended(&mut self, ids: &[RecordId], fate: Fate) {
        if !ids.is_empty() {
            self.0.push(Entry::Ended { ids: Records::of(ids), fate });
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
    fn ids_are_found_however_they_are_written() {
        let lists: [&[u64]; 7] = [
            &[],
            &[4],
            &[4, 5, 6],
            &[1, 2, 5, 6, 7, 20],
            &[9, 3, 4],
            &[3, 3],
            &[0, 2, 5_000_000_000, 5_000_000_001],
        ];
        for seqs in lists {
            let ids: Vec<RecordId> = seqs.iter().map(|seq| id(*seq)).collect();
            let written = Records::of(&ids);
            assert_eq!((written.all(), written.count()), (ids.clone(), ids.len()));
            for seq in 0..25 {
                let place = ids.iter().position(|other| *other == id(seq));
                assert_eq!(written.place_of(id(seq)), place, "{seq} in {seqs:?}");
            }
        }
        let thousand: Vec<RecordId> = (0..1000).filter(|seq| seq % 10 != 3).map(id).collect();
        assert!(Records::of(&thousand).bytes() < 2 * thousand.len());
    }

    #[test]
    fn what_is_said_of_several_in_a_row_is_one_line() {
        let mut notes = Notes::default();
        notes.ended(id(1), Fate::Emitted);
        notes.ended(id(3), Fate::Emitted);
        notes.ended(id(2), Fate::Dropped);
        assert_eq!(notes.0.len(), 2);
        for (seq, rounds) in [(4, 1), (5, 1), (6, 2)] {
            notes.said(id(seq), "sent back", "", rounds);
        }
        assert_eq!(notes.0.len(), 4);
    }
}
