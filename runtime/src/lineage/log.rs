//! What a run keeps: one queue of steps, the oldest of which are forgotten when it takes more memory than it may.
//!
//! A step is put at the end before anything of it is sent on. So what an operator did to a record stands before what the next
//! one did, and what was made of a record behind the record.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;

use super::{Entry, Lineage, Notes};
use crate::clock::Moment;

/// What a node did in one step.
#[derive(Debug)]
pub(crate) struct Step {
    pub node: u32,
    pub at: Moment,
    pub entries: Vec<Entry>,
    bytes: usize,
}

/// The steps of a run.
#[derive(Debug)]
pub(crate) struct Log {
    pub lineage: Lineage,
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    steps: VecDeque<Arc<Step>>,
    bytes: usize,
    since: Moment,
}

impl Log {
    /// One that takes about so many bytes at most; none where nothing is to be kept.
    pub fn new(lineage: Lineage, limit: usize) -> Option<Self> {
        (lineage != Lineage::Off).then(|| Self { lineage, limit, kept: Mutex::default() })
    }

    /// Puts down what a node has written.
    pub fn add(&self, node: u32, at: Moment, notes: &mut Notes) {
        if !notes.0.is_empty() {
            notes.0.iter_mut().for_each(Entry::tidy);
            // A new list has the room that this one needed: steps of a node are alike.
            let empty = Vec::with_capacity(notes.0.len());
            self.add_step(node, at, std::mem::replace(&mut notes.0, empty));
        }
    }

    /// Puts down something that did not happen in a step of this node.
    pub fn add_one(&self, node: u32, at: Moment, entry: Entry) {
        self.add_step(node, at, vec![entry]);
    }

    fn add_step(&self, node: u32, at: Moment, entries: Vec<Entry>) {
        // A step, its list and its place in the queue each have some bytes of their own.
        let bytes = 128 + entries.iter().map(Entry::bytes).sum::<usize>();
        let step = Arc::new(Step { node, at, entries, bytes });
        // Given back when nothing is locked.
        let mut forgotten: Vec<Arc<Step>> = Vec::new();
        let mut kept = self.kept.lock();
        kept.bytes += bytes;
        kept.steps.push_back(step);
        while kept.bytes > self.limit
            && let Some(oldest) = kept.steps.pop_front()
        {
            kept.bytes -= oldest.bytes;
            kept.since = oldest.at;
            forgotten.push(oldest);
        }
        drop(kept);
    }

    /// All that is kept, the oldest first, and what came before has been forgotten up to when, if anything has.
    pub fn steps(&self) -> (Vec<Arc<Step>>, Option<Moment>) {
        let kept = self.kept.lock();
        let since = (kept.since > Moment::ZERO).then_some(kept.since);
        (kept.steps.iter().cloned().collect(), since)
    }

    /// About the memory that it takes now.
    pub fn bytes(&self) -> usize {
        self.kept.lock().bytes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::RecordId;

    #[test]
    fn the_oldest_steps_are_forgotten_first() {
        let log = Log::new(Lineage::Ids, 2000).unwrap();
        for seq in 1..=100 {
            let entry = Entry::Entered { first: RecordId::of_source(0, seq), count: 1 };
            log.add_one(0, Duration::from_micros(seq), entry);
            assert!(log.bytes() <= 2000);
        }
        let (steps, since) = log.steps();
        let first = 101 - steps.len() as u64;
        assert!(steps.len() > 5);
        assert_eq!(steps[0].at, Duration::from_micros(first));
        assert_eq!(since, Some(Duration::from_micros(first - 1)));
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_to_be() {
        assert!(Log::new(Lineage::Off, 2000).is_none());
    }
}
