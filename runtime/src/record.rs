//! A record: a value, who it is, and what it carries along.
//!
//! Most records of most graphs need nothing beside their id. What a record carries along (its [`Trail`]) exists only
//! behind the operators that make it necessary: fan-out, loops, scatter. A record without a trail is the source record
//! itself and the only descendant of it.

use std::{
    collections::HashSet,
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use thiserror::Error;

use crate::{epochs::Span, fate::Fate, origin::Mark, quarantine::Beside, scope::Membership};

/// The identity of a record within a run: the source it came from and its place there, or a number of its own.
///
/// As text, `3-17` is the record at place 17 of the source whose node has the number 3, and `made-12` one that an operator made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RecordId(u64);

const SEQ_BITS: u32 = 48;
const MADE_INSIDE: u64 = 0xFFFF;

impl RecordId {
    /// The record at place `seq` (from 0) of the source with this node number.
    pub fn of_source(node: u32, seq: u64) -> Self {
        Self((u64::from(node) << SEQ_BITS) | seq)
    }

    /// A record that an operator made.
    pub(crate) fn made_inside(number: u64) -> Self {
        Self((MADE_INSIDE << SEQ_BITS) | number)
    }

    /// The source's node number, where the record came from a source.
    pub fn source(self) -> Option<u32> {
        let node = self.0 >> SEQ_BITS;
        (node != MADE_INSIDE).then_some(node as u32)
    }

    /// Place in the source, or the record's own number.
    pub fn seq(self) -> u64 {
        self.0 & ((1 << SEQ_BITS) - 1)
    }

    /// The one so far behind it.
    pub(crate) fn behind(self, distance: usize) -> Self {
        Self(self.0 + distance as u64)
    }

    /// So many, of which it is the first.
    pub(crate) fn run(self, count: usize) -> impl Iterator<Item = Self> {
        (self.0..self.0 + count as u64).map(Self)
    }

    /// How far it comes behind `first`, if it does.
    pub(crate) fn distance(self, first: Self) -> Option<usize> {
        self.0.checked_sub(first.0).and_then(|distance| usize::try_from(distance).ok())
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source() {
            Some(node) => write!(f, "{node}-{}", self.seq()),
            None => write!(f, "made-{}", self.seq()),
        }
    }
}

impl From<RecordId> for String {
    fn from(id: RecordId) -> Self {
        id.to_string()
    }
}

/// A text that names no record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` names no record; write `3-17` for the record at place 17 of the source with the id 3, or `made-12` for one that was made inside"
)]
pub struct NoRecordId(String);

impl FromStr for RecordId {
    type Err = NoRecordId;

    fn from_str(text: &str) -> Result<Self, NoRecordId> {
        let id = text.split_once('-').and_then(|(node, seq)| {
            let seq = seq.parse::<u64>().ok().filter(|seq| *seq < 1 << SEQ_BITS)?;
            match node {
                "made" => Some(Self::made_inside(seq)),
                _ => {
                    let node = node.parse::<u32>().ok().filter(|node| u64::from(*node) < MADE_INSIDE)?;
                    Some(Self::of_source(node, seq))
                }
            }
        });
        id.ok_or_else(|| NoRecordId(text.to_owned()))
    }
}

impl TryFrom<String> for RecordId {
    type Error = NoRecordId;

    fn try_from(text: String) -> Result<Self, NoRecordId> {
        text.parse()
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source() {
            Some(node) => write!(f, "{node}#{}", self.seq()),
            None => write!(f, "made#{}", self.seq()),
        }
    }
}

/// A feedback point's number within its graph.
pub type FeedbackId = u32;

/// What a record carries along. Shared, so that copying a record copies a pointer.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// The source records it descends from; empty where it *is* the source record and has no siblings.
    pub roots: SmallVec<[Arc<Root>; 1]>,
    /// How often it has been sent back, per feedback point.
    pub rounds: SmallVec<[(FeedbackId, u32); 1]>,
    /// The scatters that it is inside of, outermost first.
    pub scopes: SmallVec<[Membership; 1]>,
    /// The family that it left when it was sent back: it counts there until it has come to its feedback, so that no gather
    /// makes a whole of what is about to be withdrawn.
    pub returning: Option<Membership>,
    /// What it was made of that may be, or might have been, revised: at most one mark per origin.
    pub marks: SmallVec<[Mark; 1]>,
    /// The epochs that it was made of, where somebody asks for order.
    pub epochs: SmallVec<[Span; 1]>,
    /// Which child it is of which child of its source record, where somebody asks for order.
    pub path: SmallVec<[u32; 4]>,
    /// Its time in milliseconds, where its source gives times: the latest of what it was made of.
    pub time: Option<i64>,
}

impl Trail {
    /// Carries the marks of `other` too.
    pub fn add_marks(&mut self, other: &Trail) {
        for mark in &other.marks {
            if !self.marks.contains(mark) {
                self.marks.push(mark.clone());
            }
        }
    }

    /// Names each root once: where there are many, in time that grows with their number only.
    pub(crate) fn merge_roots(&mut self) {
        const FEW: usize = 16;
        if self.roots.len() > FEW {
            let mut seen = HashSet::with_capacity(self.roots.len());
            self.roots.retain(|root| seen.insert(Arc::as_ptr(root)));
            return;
        }
        let mut at = 1;
        while at < self.roots.len() {
            let (before, rest) = self.roots.split_at(at);
            if before.iter().any(|root| Arc::ptr_eq(root, &rest[0])) {
                self.roots.remove(at);
            } else {
                at += 1;
            }
        }
    }

    /// All rounds spent, over all feedback points.
    pub fn rounds(&self) -> u32 {
        self.rounds.iter().map(|(_, n)| n).sum()
    }

    /// Rounds spent at `feedback`.
    pub fn rounds_at(&self, feedback: FeedbackId) -> u32 {
        self.rounds.iter().find(|(id, _)| *id == feedback).map_or(0, |(_, n)| *n)
    }

    /// Spends one more round at `feedback`.
    pub fn spend_round(&mut self, feedback: FeedbackId) {
        match self.rounds.iter_mut().find(|(id, _)| *id == feedback) {
            Some((_, n)) => *n += 1,
            None => self.rounds.push((feedback, 1)),
        }
    }

    /// Takes the pointwise worst of both records' rounds, so that derived records cannot launder spent ones.
    pub fn worst_rounds(&mut self, other: &Trail) {
        for &(id, n) in &other.rounds {
            match self.rounds.iter_mut().find(|(mine, _)| *mine == id) {
                Some((_, m)) => *m = (*m).max(n),
                None => self.rounds.push((id, n)),
            }
        }
    }
}

/// Who a record is, without its value.
#[derive(Clone, Debug)]
pub struct Tag {
    /// Its identity.
    pub id: RecordId,
    /// What it carries along, if anything.
    pub trail: Option<Arc<Trail>>,
}

impl Tag {
    /// A record that carries nothing along.
    pub fn plain(id: RecordId) -> Self {
        Self { id, trail: None }
    }

    /// Rounds spent at `feedback`.
    pub fn rounds_at(&self, feedback: FeedbackId) -> u32 {
        self.trail.as_ref().map_or(0, |t| t.rounds_at(feedback))
    }

    /// All rounds spent, over all feedback points.
    pub fn rounds(&self) -> u32 {
        self.trail.as_ref().map_or(0, |t| t.rounds())
    }

    /// The trail, to be changed; a shared one is copied first.
    pub fn trail_mut(&mut self) -> &mut Trail {
        Arc::make_mut(self.trail.get_or_insert_with(Arc::default))
    }
}

/// A source record while several records descend from it: how many of them live, and the best end so far.
///
/// One word, changed by compare-and-set, because descendants end in different actors.
#[derive(Debug)]
pub struct Root {
    id: RecordId,
    /// live descendants << 8 | best fate so far
    state: AtomicU64,
    beside: Option<Box<Beside>>,
}

impl Root {
    /// A source record with `live` descendants.
    pub fn new(id: RecordId, live: u64) -> Arc<Self> {
        Arc::new(Self::made(id, live, None))
    }

    /// A source record without descendants but itself, of which more is known.
    pub fn with_beside(id: RecordId, beside: Beside) -> Arc<Self> {
        Arc::new(Self::made(id, 1, Some(Box::new(beside))))
    }

    fn made(id: RecordId, live: u64, beside: Option<Box<Beside>>) -> Self {
        Self { id, state: AtomicU64::new((live << 8) | u64::from(Fate::WORST)), beside }
    }

    /// What is known of it beside its id.
    pub(crate) fn beside(&self) -> Option<&Beside> {
        self.beside.as_deref()
    }

    /// The source record's id.
    pub fn id(&self) -> RecordId {
        self.id
    }

    /// `n` more records descend from it.
    pub fn more(&self, n: u64) {
        self.state.fetch_add(n << 8, Ordering::Relaxed);
    }

    /// One descendant ended. Gives the root's fate if it was the last.
    pub fn less(&self, fate: Fate) -> Option<Fate> {
        let step = |s: u64| ((s >> 8) - 1) << 8 | (s & 0xFF).min(u64::from(fate.rank()));
        let before = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |s| Some(step(s)));
        let after = step(before.unwrap_or_else(|s| s));
        let fate = (after >> 8 == 0).then(|| Fate::of_rank((after & 0xFF) as u8));
        if let (Some(fate), Some(told)) = (fate, self.beside().and_then(|beside| beside.told.as_ref())) {
            told.ended(fate);
        }
        fate
    }
}

/// Spends rounds for the rows of one batch: rows that carry the same go on sharing it.
#[derive(Debug)]
pub struct Spent {
    feedback: FeedbackId,
    known: SmallVec<[BeforeAndAfter; 4]>,
}

/// What rows carried before, and what they carry after.
type BeforeAndAfter = (Option<Arc<Trail>>, Arc<Trail>);

impl Spent {
    /// At this feedback.
    pub fn at(feedback: FeedbackId) -> Self {
        Self { feedback, known: SmallVec::new() }
    }

    /// The record spends one more round.
    pub fn spend(&mut self, tag: &mut Tag) {
        if let Some(trail) = tag.trail.as_mut().and_then(Arc::get_mut) {
            return trail.spend_round(self.feedback);
        }
        let same = |before: &Option<Arc<Trail>>| match (before, &tag.trail) {
            (None, None) => true,
            (Some(before), Some(trail)) => Arc::ptr_eq(before, trail),
            _ => false,
        };
        if let Some((_, after)) = self.known.iter().rev().take(4).find(|(before, _)| same(before)) {
            tag.trail = Some(Arc::clone(after));
            return;
        }
        let before = tag.trail.clone();
        tag.trail_mut().spend_round(self.feedback);
        self.known.extend(tag.trail.clone().map(|after| (before, after)));
    }
}

/// A record as its operator sees it: a view of a row.
#[derive(Debug)]
pub struct Record<'a, T> {
    /// The value.
    pub value: &'a T,
    /// Who it is.
    pub tag: &'a Tag,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roots_fate_is_the_best_of_its_descendants() {
        let root = Root::new(RecordId::of_source(0, 7), 2);
        root.more(1);
        assert_eq!(root.less(Fate::Dropped), None);
        assert_eq!(root.less(Fate::Emitted), None);
        assert_eq!(root.less(Fate::Filtered), Some(Fate::Emitted));
    }

    #[test]
    fn each_root_is_named_once() {
        let all: Vec<_> = (0..40).map(|seq| Root::new(RecordId::of_source(0, seq), 1)).collect();
        for many in [0, 1, 3, 40] {
            let mut trail = Trail::default();
            trail.roots.extend(all[..many].iter().chain(&all[..many / 2]).cloned());
            trail.merge_roots();
            let seqs: Vec<u64> = trail.roots.iter().map(|root| root.id().seq()).collect();
            assert_eq!(seqs, (0..many as u64).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_join_takes_the_worst_rounds() {
        let mut left = Trail { rounds: [(0, 1), (1, 3)].into_iter().collect(), ..Trail::default() };
        let right = Trail { rounds: [(0, 2), (2, 1)].into_iter().collect(), ..Trail::default() };
        left.worst_rounds(&right);
        assert_eq!((left.rounds_at(0), left.rounds_at(1), left.rounds_at(2)), (2, 3, 1));
    }

    #[test]
    fn rows_that_carry_the_same_go_on_sharing_it() {
        let mut tags: Vec<Tag> = (0..3).map(|seq| Tag::plain(RecordId::of_source(0, seq))).collect();
        for rounds in 1..4 {
            let mut spent = Spent::at(7);
            tags.iter_mut().for_each(|tag| spent.spend(tag));
            drop(spent);
            assert!(tags.iter().all(|tag| tag.rounds_at(7) == rounds));
            let trails: Vec<_> = tags.iter().filter_map(|tag| tag.trail.as_ref()).collect();
            assert!(trails.len() == 3 && trails.iter().all(|trail| Arc::ptr_eq(trail, trails[0])));
        }
        let mut alone = tags[0].clone();
        Spent::at(7).spend(&mut alone);
        assert_eq!((alone.rounds_at(7), tags[0].rounds_at(7)), (4, 3), "the others keep theirs");
    }

    #[test]
    fn ids_know_where_they_came_from() {
        let id = RecordId::of_source(3, 41);
        assert_eq!((id.source(), id.seq()), (Some(3), 41));
        assert_eq!(RecordId::made_inside(5).source(), None);
    }

    #[test]
    fn ids_can_be_read_as_they_are_written() {
        for id in [RecordId::of_source(3, 41), RecordId::of_source(0, 0), RecordId::made_inside(5)] {
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(serde_json::from_value::<RecordId>(serde_json::to_value(id).unwrap()).unwrap(), id);
        }
        for wrong in ["", "3", "3-", "x-1", "3-x", "-1", "65535-1", "made-281474976710656", "3-4-5"] {
            assert!(wrong.parse::<RecordId>().is_err(), "{wrong}");
        }
    }
}
