//! Completion: what may still come, so that order can be promised.
//!
//! An *epoch* is a run of consecutive records of one source: those that it brought in one step. For each operator that asks
//! for completion (`ordered`), every epoch counts the records made of it that can still reach that operator. Like a loop or
//! a scope, this is decided by where a record is: it stops counting on the edge from which there is no way to the operator.
//! An epoch is complete when what still counts has arrived there, and the operator's *frontier* is the longest run of
//! complete epochs. A record made of several epochs of a source holds the lowest open and is complete with the highest.
//!
//! Time is told by the same counts: an epoch keeps the *watermark* of its source when it began, below which no record of it or of
//! a later one has its time. So no record with a time below the watermark of the first epoch that is not complete can still
//! come, however long those that can are on their way, and round whatever loops.
//!
//! A source brings no more while [`OPEN_EPOCHS`] epochs have a record that can move. Rows parked in a join cannot (they wait
//! for what the source may still bring), nor can those that wait for their turn.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

use crate::{loops::Attention, record::Trail, waker::Waker};

/// Epochs with records that can move, at most, per source and operator that asks for completion.
pub const OPEN_EPOCHS: usize = 64;

/// A run of consecutive records of one source.
#[derive(Debug)]
pub struct Epoch {
    pub(crate) source: u32,
    pub(crate) number: u64,
    /// No record of it, or of a later one, has an earlier time.
    watermark: i64,
    counts: Box<[Counts]>,
}

/// Of one epoch, for one operator that asks for completion.
#[derive(Debug, Default)]
struct Counts {
    /// Records that can reach it, or are there.
    live: AtomicI64,
    /// Of these, the ones that are there and wait for their turn.
    arrived: AtomicI64,
    /// Of these, the ones parked in joins.
    parked: AtomicI64,
}

impl Counts {
    fn is_complete(&self) -> bool {
        // What has arrived is part of what lives: it is counted later and given back sooner.
        self.arrived.load(Ordering::Acquire) >= self.live.load(Ordering::Acquire)
    }

    fn is_over(&self) -> bool {
        self.live.load(Ordering::Acquire) <= 0
    }

    fn can_move(&self) -> bool {
        let still = self.arrived.load(Ordering::Acquire) + self.parked.load(Ordering::Acquire);
        self.live.load(Ordering::Acquire) > still
    }
}

/// The epochs of one source that a record was made of.
#[derive(Clone, Debug)]
pub struct Span {
    /// Held open by the record.
    pub(crate) lowest: Arc<Epoch>,
    /// The record is complete when this one is.
    pub(crate) highest: Arc<Epoch>,
}

impl Trail {
    /// Was made of what `other` was made of too.
    pub(crate) fn add_epochs(&mut self, other: &Trail) {
        for span in &other.epochs {
            match self.epochs.iter_mut().find(|mine| mine.lowest.source == span.lowest.source) {
                None => self.epochs.push(span.clone()),
                Some(mine) => {
                    if span.lowest.number < mine.lowest.number {
                        mine.lowest = Arc::clone(&span.lowest);
                    }
                    if span.highest.number > mine.highest.number {
                        mine.highest = Arc::clone(&span.highest);
                    }
                }
            }
        }
    }
}

/// Who asks for completion, and what each source has brought.
#[derive(Debug, Default)]
pub(crate) struct Board {
    targets: Vec<Target>,
    sources: HashMap<u32, Progress>,
    most_open: usize,
}

/// Who asks.
#[derive(Debug)]
struct Target {
    attention: Arc<Attention>,
    /// It has been told that something is complete, and has not looked yet.
    told: AtomicBool,
    /// Those that ask for the same node, itself among them.
    kin: Vec<u32>,
}

impl Target {
    fn tell(&self) {
        if !self.told.swap(true, Ordering::AcqRel) {
            self.attention.ask(|| ());
        }
    }

    /// It is about to look.
    fn looks(&self) {
        if self.told.swap(false, Ordering::AcqRel) {
            self.attention.given(1);
        }
    }
}

/// Of one source.
#[derive(Debug)]
struct Progress {
    waker: Arc<Waker>,
    /// Who can be reached from it.
    targets: Vec<u32>,
    next: AtomicU64,
    /// No record that is still to come has an earlier time.
    watermark: AtomicI64,
    /// The same while it had not ended.
    newest: AtomicI64,
    /// It has brought nothing for a while: what it is still to bring holds back nobody.
    idle: AtomicBool,
    open: Mutex<VecDeque<Arc<Epoch>>>,
}

/// Something that a count of an epoch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moves {
    /// One more record can reach the operator.
    More,
    /// One no longer can.
    Less,
    /// It is parked in a join.
    Parks,
    /// It is no longer.
    Unparks,
    /// It has arrived.
    Arrives,
    /// It is about to go on.
    Goes,
}

impl Progress {
    /// The epochs from the first on that somebody still counts records of: what has arrived at a join may yet be made into more.
    fn open_epochs(&self) -> MutexGuard<'_, VecDeque<Arc<Epoch>>> {
        let mut open = self.open.lock();
        while open.front().is_some_and(|epoch| epoch.counts.iter().all(Counts::is_over)) {
            open.pop_front();
        }
        open
    }
}

impl Board {
    /// For these operators, and these sources with the operators that each can reach.
    pub fn new(
        targets: Vec<Arc<Attention>>,
        sources: impl IntoIterator<Item = (u32, Arc<Waker>, Vec<u32>)>,
        most_open: usize,
    ) -> Self {
        let progress = |(id, waker, targets)| {
            let (next, watermark) = (AtomicU64::new(0), AtomicI64::new(i64::MIN));
            let (newest, idle) = (AtomicI64::new(i64::MIN), AtomicBool::new(false));
            (id, Progress { waker, targets, next, watermark, newest, idle, open: Mutex::default() })
        };
        let kin = |of: &Arc<Attention>| -> Vec<u32> {
            let same = (0..).zip(&targets).filter(|(_, other)| Arc::ptr_eq(other, of));
            same.map(|(number, _)| number).collect()
        };
        let target = |attention: &Arc<Attention>| Target {
            attention: Arc::clone(attention),
            told: AtomicBool::new(false),
            kin: kin(attention),
        };
        Self {
            targets: targets.iter().map(target).collect(),
            sources: sources.into_iter().map(progress).collect(),
            most_open: most_open.max(1),
        }
    }

    /// The source brings `count` records: their epoch, if anybody asks for completion.
    pub fn enter(&self, source: u32, count: usize) -> Option<Span> {
        let progress = self.sources.get(&source).filter(|progress| !progress.targets.is_empty())?;
        let counts = self.targets.iter().map(|_| Counts::default()).collect();
        let number = progress.next.load(Ordering::Acquire);
        let watermark = progress.watermark.load(Ordering::Acquire);
        let epoch = Arc::new(Epoch { source, number, watermark, counts });
        for &target in &progress.targets {
            epoch.counts[target as usize].live.store(count as i64, Ordering::Release);
        }
        progress.open.lock().push_back(Arc::clone(&epoch));
        progress.next.store(number + 1, Ordering::Release);
        Some(Span { lowest: Arc::clone(&epoch), highest: epoch })
    }

    /// What the source brings from now on has no time below `watermark`. Called behind [`enter`](Self::enter), whose epoch is
    /// why it rose and, when complete, tells whoever asks.
    pub fn raise_watermark(&self, source: u32, watermark: i64) {
        if let Some(progress) = self.sources.get(&source) {
            progress.watermark.fetch_max(watermark, Ordering::AcqRel);
            if watermark < i64::MAX {
                progress.newest.fetch_max(watermark, Ordering::AcqRel);
            }
        }
    }

    /// The source has brought nothing for a while, or brings something again: called before [`enter`](Self::enter).
    pub fn set_idle(&self, source: u32, idle: bool) {
        if let Some(progress) = self.sources.get(&source) {
            progress.idle.store(idle, Ordering::Release);
        }
        if idle {
            self.tell_targets_of(source);
        }
    }

    /// The source brings nothing more.
    pub fn leave(&self, source: u32) {
        self.raise_watermark(source, i64::MAX);
        self.tell_targets_of(source);
    }

    fn tell_targets_of(&self, source: u32) {
        for target in self.sources.get(&source).iter().flat_map(|progress| &progress.targets) {
            self.targets[*target as usize].tell();
        }
    }

    /// No record with an earlier time can still come to `target`. Without `looks_inside` only what the sources are still to
    /// bring counts, and not what is on its way.
    pub fn time_at(&self, target: u32, looks_inside: bool) -> i64 {
        self.targets[target as usize].looks();
        let reaching = self.sources.values().filter(|progress| progress.targets.contains(&target));
        let time = |progress: &Progress| {
            // Read first: an epoch that comes after does not begin below it.
            let to_come = match progress.idle.load(Ordering::Acquire) {
                true => self.newest(target).max(progress.watermark.load(Ordering::Acquire)),
                false => progress.watermark.load(Ordering::Acquire),
            };
            let open = progress.open_epochs();
            let mut open = open.iter().filter(|_| looks_inside);
            let first = open.find(|epoch| !epoch.counts[target as usize].is_complete());
            first.map_or(to_come, |epoch| epoch.watermark)
        };
        reaching.map(time).min().unwrap_or(i64::MAX)
    }

    /// The newest watermark of all sources whose records meet where `target` is; of those that have ended, their last.
    fn newest(&self, target: u32) -> i64 {
        let kin = &self.targets[target as usize].kin;
        let meets = |progress: &&Progress| progress.targets.iter().any(|target| kin.contains(target));
        let newest = |progress: &Progress| progress.newest.load(Ordering::Acquire);
        self.sources.values().filter(meets).map(newest).max().unwrap_or(i64::MIN)
    }

    /// Whether the source may bring more; if not, it is woken when it may.
    pub fn may_enter(&self, source: u32) -> bool {
        let Some(progress) = self.sources.get(&source) else { return true };
        let open = progress.open_epochs();
        let moving = |epoch: &&Arc<Epoch>| epoch.counts.iter().any(Counts::can_move);
        open.iter().filter(moving).count() < self.most_open
    }

    /// Changes what an epoch counts for `targets`, and wakes whoever can go on because of it.
    pub fn count(&self, epoch: &Arc<Epoch>, targets: &[u32], moves: Moves) {
        for &target in targets {
            let counts = &epoch.counts[target as usize];
            let (counter, by) = match moves {
                Moves::More => (&counts.live, 1),
                Moves::Less => (&counts.live, -1),
                Moves::Parks => (&counts.parked, 1),
                Moves::Unparks => (&counts.parked, -1),
                Moves::Arrives => (&counts.arrived, 1),
                Moves::Goes => (&counts.arrived, -1),
            };
            counter.fetch_add(by, Ordering::AcqRel);
            if matches!(moves, Moves::More | Moves::Unparks | Moves::Goes) {
                continue;
            }
            if counts.is_complete() {
                self.targets[target as usize].tell();
            }
            if !counts.can_move()
                && let Some(progress) = self.sources.get(&epoch.source)
            {
                progress.waker.wake();
            }
        }
    }

    /// For `target`, the first epoch of `source` that is not complete.
    fn frontier(&self, target: u32, source: u32) -> u64 {
        let Some(progress) = self.sources.get(&source) else { return u64::MAX };
        // Read first: an epoch that comes after is not complete.
        let next = progress.next.load(Ordering::Acquire);
        let open = progress.open_epochs();
        let first = open.iter().find(|epoch| !epoch.counts[target as usize].is_complete());
        first.map_or(next, |epoch| epoch.number)
    }

    /// The frontier of every source, for `target`.
    pub fn frontiers(&self, target: u32) -> Frontiers {
        self.targets[target as usize].looks();
        Frontiers(self.sources.keys().map(|&source| (source, self.frontier(target, source))).collect())
    }
}

/// Per source, the first epoch that is not complete.
#[derive(Debug)]
pub struct Frontiers(SmallVec<[(u32, u64); 2]>);

impl Frontiers {
    /// Whether everything that the record was made of is complete.
    pub fn include(&self, trail: &Trail) -> bool {
        trail.epochs.iter().all(|span| {
            let highest = &span.highest;
            self.0.iter().all(|(source, first)| *source != highest.source || highest.number < *first)
        })
    }
}
