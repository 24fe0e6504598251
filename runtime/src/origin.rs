//! Change: where a record may be revised, its versions, and what happens to all that was made of an older one.
//!
//! Behind a point from which records may be revised (a feedback) every record carries an [`Origin`] and the version of it
//! that it was made from: a [`Mark`]. The origin is one object that all of them share. To revise it is to raise its current
//! version; from that moment whoever meets a record with an older one, anywhere, ends it as withdrawn. So a withdrawal is
//! not a message that must catch up with what it withdraws: it cannot be overtaken, needs no permit, passes no queue, and
//! nothing must be remembered of it longer than somebody carries the origin. Only what *rests* must be told: rows in the
//! state of a join, a gather or a sink get a [`Notice`], and ends that were counted already are turned into withdrawn ones.
//!
//! An origin can be revised as long as a record that carries it is inside its loop. These *carriers* are counted; when the
//! last has ended or left, the origin is *settled*: what carries its current version is final.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use smallvec::SmallVec;

use crate::{
    fate::Fate,
    lineage::Entry,
    operator::NodeCore,
    record::{FeedbackId, RecordId, Root, Tag, Trail},
    scope::Family,
    shared::Shared,
    sync::{AtomicBool, AtomicU32, AtomicUsize, Mutex},
};

/// A record as it first came to a point from which it may be revised.
pub struct Origin {
    number: u64,
    point: FeedbackId,
    /// The number of the loop in which it may be revised.
    loop_: Option<u32>,
    /// What every version of it carries besides its own mark.
    entry: Tag,
    current: AtomicU32,
    carriers: AtomicUsize,
    settled: AtomicBool,
    dependents: Mutex<Dependents>,
}

/// Who must be told when the origin is revised or settled.
#[derive(Default)]
struct Dependents {
    ends: Vec<Arc<ProvisionalEnd>>,
    holders: SmallVec<[Arc<NodeCore>; 2]>,
    /// Families of which a whole stands that was made of it.
    families: Vec<Arc<Family>>,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "origin {} at {} (version {})",
            self.number,
            self.point,
            self.current.load(Ordering::Relaxed)
        )
    }
}

/// How far a record can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing can withdraw it any more.
    Final,
    /// It may be withdrawn.
    Provisional,
    /// It was made from a version that has been revised.
    Withdrawn,
}

/// An origin and the version of it that a record was made from.
#[derive(Clone, Debug)]
pub struct Mark {
    pub(crate) origin: Arc<Origin>,
    pub(crate) version: u32,
}

impl PartialEq for Mark {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.origin, &other.origin) && self.version == other.version
    }
}

impl Mark {
    /// Where its origin may be revised.
    pub fn point(&self) -> FeedbackId {
        self.origin.point
    }

    /// The number of its origin.
    pub fn origin(&self) -> u64 {
        self.origin.number
    }

    /// The number of the loop in which it may be revised.
    pub(crate) fn loop_(&self) -> Option<u32> {
        self.origin.loop_
    }

    /// The version, from 1.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Whether nothing, something or everything is open about it.
    pub fn standing(&self) -> Standing {
        // Settled is read first: a version does not change any more once it is set.
        let settled = self.origin.settled.load(Ordering::Acquire);
        match self.origin.current.load(Ordering::Acquire) {
            current if current != self.version => Standing::Withdrawn,
            _ if settled => Standing::Final,
            _ => Standing::Provisional,
        }
    }
}

impl Trail {
    /// How far the record can be relied on: as far as every origin that it carries.
    pub fn standing(&self) -> Standing {
        let mut standing = Standing::Final;
        for mark in &self.marks {
            match mark.standing() {
                Standing::Withdrawn => return Standing::Withdrawn,
                Standing::Provisional => standing = Standing::Provisional,
                Standing::Final => {}
            }
        }
        standing
    }
}

impl Origin {
    /// The origin of the record of `entry`, which is the carrier of its version 1.
    pub(crate) fn new(number: u64, point: FeedbackId, loop_: Option<u32>, entry: Tag) -> Arc<Self> {
        Arc::new(Self {
            number,
            point,
            loop_,
            entry,
            current: AtomicU32::new(1),
            carriers: AtomicUsize::new(1),
            settled: AtomicBool::new(false),
            dependents: Mutex::default(),
        })
    }

    /// A number that no other origin of the run has.
    pub fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn current(&self) -> u32 {
        self.current.load(Ordering::Acquire)
    }

    pub(crate) fn entry(&self) -> &Tag {
        &self.entry
    }

    /// One more record inside the loop carries it.
    pub(crate) fn more(&self) {
        self.carriers.fetch_add(1, Ordering::Relaxed);
    }

    /// One record inside the loop that carried it has ended or left.
    pub(crate) fn less(self: &Arc<Self>, shared: &Shared) {
        let carriers = self.carriers.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(carriers > 0, "more records left {self:?} than carried it");
        if carriers == 1 {
            self.settle(shared);
        }
    }

    /// Makes the next version the current one, if `version` still is. Everything made from older ones is withdrawn.
    ///
    /// `enter` counts the record of the next version wherever it will count; it is called before anybody is told, so that
    /// nobody who is told finds neither the old record nor the new one.
    pub(crate) fn revise(self: &Arc<Self>, version: u32, shared: &Shared, enter: impl FnOnce()) -> bool {
        let Dependents { ends, holders, .. } = {
            let mut dependents = self.dependents.lock();
            if self.current.load(Ordering::Acquire) != version {
                return false;
            }
            debug_assert!(!self.settled.load(Ordering::Acquire), "nobody carries {self:?} any more");
            enter();
            dependents.families.iter().for_each(|family| family.disturb());
            self.current.store(version + 1, Ordering::Release);
            std::mem::take(&mut *dependents)
        };
        for end in ends {
            end.withdraw(shared);
        }
        for holder in holders.iter().filter(|_| shared.rules.withdrawals_reach_rows) {
            holder.post(Notice { origin: self.number, change: Change::Revised(version + 1) });
        }
        true
    }

    fn settle(self: &Arc<Self>, shared: &Shared) {
        let Dependents { ends, holders, .. } = {
            let mut dependents = self.dependents.lock();
            self.settled.store(true, Ordering::Release);
            std::mem::take(&mut *dependents)
        };
        for end in ends {
            end.settle(shared);
        }
        for holder in holders {
            holder.post(Notice { origin: self.number, change: Change::Settled });
        }
    }
}

/// What has become of an origin, for those who hold a record that carries it.
#[derive(Clone, Debug)]
pub struct Notice {
    origin: u64,
    /// What has become of it.
    pub change: Change,
}

/// See [`Notice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has been revised: what was made from versions below this one is withdrawn.
    Revised(u32),
    /// It cannot be revised any more.
    Settled,
}

impl Notice {
    /// The number of the origin.
    pub fn origin(&self) -> u64 {
        self.origin
    }

    /// Whether it is about a record that was made from this version.
    pub fn is_about(&self, version: u32) -> bool {
        match self.change {
            Change::Revised(current) => version < current,
            Change::Settled => true,
        }
    }
}

/// Has `node` told of what becomes of the origins of what it holds: of a whole, if a family is given. Says how that stands now.
pub(crate) fn hold<'m>(
    marks: impl IntoIterator<Item = &'m Mark>,
    node: &Arc<NodeCore>,
    whole_of: Option<&Arc<Family>>,
) -> Standing {
    let mut standing = Standing::Final;
    for mark in marks {
        let mut dependents = mark.origin.dependents.lock();
        match mark.standing() {
            Standing::Withdrawn => return Standing::Withdrawn,
            Standing::Final => {}
            Standing::Provisional => {
                if !dependents.holders.iter().any(|holder| Arc::ptr_eq(holder, node)) {
                    dependents.holders.push(Arc::clone(node));
                }
                if let Some(family) = whole_of
                    && !dependents.families.iter().any(|known| Arc::ptr_eq(known, family))
                {
                    dependents.families.push(Arc::clone(family));
                }
                standing = Standing::Provisional;
            }
        }
    }
    standing
}

/// An end that was counted while an origin of the record was still open.
pub(crate) struct ProvisionalEnd {
    number: u64,
    record: RecordId,
    node: Arc<NodeCore>,
    fate: Fate,
    roots: SmallVec<[Arc<Root>; 1]>,
    /// Its number in the quarantine, if it is there.
    fault: Option<u64>,
    state: Mutex<EndState>,
}

struct EndState {
    open: usize,
    over: bool,
}

impl ProvisionalEnd {
    /// Files an end; it becomes final, or withdrawn, with the origins of its record. One whose origins are settled is final at once.
    pub fn file(
        record: RecordId,
        trail: &Trail,
        fate: Fate,
        fault: Option<u64>,
        node: &Arc<NodeCore>,
        shared: &Shared,
    ) {
        let number = shared.number();
        let end = Arc::new(Self {
            number,
            record,
            node: Arc::clone(node),
            fate,
            roots: trail.roots.clone(),
            fault,
            // One for the filing itself, so that it is not over before it is filed everywhere.
            state: Mutex::new(EndState { open: 1, over: false }),
        });
        shared.provisional.lock().insert(number, Arc::clone(&end));
        for mark in &trail.marks {
            let mut dependents = mark.origin.dependents.lock();
            match mark.standing() {
                Standing::Final => {}
                Standing::Provisional => {
                    end.state.lock().open += 1;
                    dependents.ends.push(Arc::clone(&end));
                }
                Standing::Withdrawn => {
                    drop(dependents);
                    return end.withdraw(shared);
                }
            }
        }
        end.settle(shared);
    }

    pub fn roots(&self) -> impl Iterator<Item = RecordId> + '_ {
        self.roots.iter().map(|root| root.id())
    }

    /// One of its origins is settled.
    fn settle(&self, shared: &Shared) {
        {
            let mut state = self.state.lock();
            state.open -= 1;
            if state.open > 0 || state.over {
                return;
            }
            state.over = true;
        }
        self.end_roots(self.fate, shared);
    }

    fn withdraw(&self, shared: &Shared) {
        {
            let mut state = self.state.lock();
            if std::mem::replace(&mut state.over, true) {
                return;
            }
        }
        if shared.rules.withdrawals_reach_ends {
            self.node.stats.ended.turn(self.fate, Fate::Withdrawn);
            if let Some(log) = &shared.lineage {
                log.add_one(self.node.id, shared.clock.now(), Entry::Withdrawn(self.record));
            }
            if let Some(fault) = self.fault {
                shared.faults.withdraw(fault);
                if let Some(store) = &shared.store {
                    store.withdraw(fault);
                }
            }
            self.end_roots(Fate::Withdrawn, shared);
        } else {
            self.end_roots(self.fate, shared);
        }
    }

    fn end_roots(&self, fate: Fate, shared: &Shared) {
        shared.provisional.lock().remove(&self.number);
        for root in &self.roots {
            if let Some(fate) = root.less(fate) {
                self.node.stats.roots_ended.add(fate, 1);
            }
        }
    }
}

impl fmt::Debug for ProvisionalEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}, provisionally", self.fate.name(), self.node.name)
    }
}
