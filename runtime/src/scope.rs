//! Scatter and gather: how a gather learns that every child of a parent has arrived or ended.
//!
//! A child carries a [`Membership`] for each scatter that it is inside of. Wherever it ends, or leaves for where its gather
//! cannot be reached, its family counts one less; the family that reaches zero tells its gather.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::{
    fate::Fate,
    loops::Attention,
    origin::{Mark, Standing},
    record::{Tag, Trail},
};

/// One scatter–gather pair of a graph.
#[derive(Debug)]
pub struct Scope {
    id: u32,
    gather: Arc<Attention>,
    complete: Mutex<Vec<Arc<Family>>>,
}

impl Scope {
    /// A scope whose complete families ask for the attention of their gather.
    pub(crate) fn new(id: u32, gather: Arc<Attention>) -> Arc<Self> {
        Arc::new(Self { id, gather, complete: Mutex::default() })
    }

    /// The families that have become complete since the last call.
    pub fn take_complete(&self) -> Vec<Arc<Family>> {
        let complete = std::mem::take(&mut *self.complete.lock());
        self.gather.given(complete.len());
        complete
    }
}

/// The children of one parent.
#[derive(Debug)]
pub struct Family {
    scope: Arc<Scope>,
    number: u64,
    /// What the parent was made of.
    marks: SmallVec<[Mark; 1]>,
    children: u64,
    live: AtomicU64,
    lost: Mutex<Vec<Lost>>,
}

/// A child that ended, or left, before its gather.
#[derive(Debug)]
struct Lost {
    place: u32,
    /// `None` if it left.
    fate: Option<Fate>,
    marks: SmallVec<[Mark; 1]>,
}

impl Family {
    /// The `children` of the record `parent`. A family without children is complete at once.
    pub(crate) fn new(scope: &Arc<Scope>, number: u64, parent: &Tag, children: u64) -> Arc<Self> {
        let family = Arc::new(Self {
            scope: Arc::clone(scope),
            number,
            marks: parent.trail.as_ref().map(|t| t.marks.clone()).unwrap_or_default(),
            children,
            live: AtomicU64::new(children),
            lost: Mutex::default(),
        });
        if children == 0 {
            family.completed();
        }
        family
    }

    /// A number that no other family has: two versions of one parent have a family each.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Children in all.
    pub fn children(&self) -> usize {
        self.children as usize
    }

    /// Whether the parent was made from a version that has been revised.
    pub fn is_withdrawn(&self) -> bool {
        self.marks.iter().any(|mark| mark.standing() == Standing::Withdrawn)
    }

    /// The number of its scope.
    pub(crate) fn scope(&self) -> u32 {
        self.scope.id
    }

    /// Whether this family belongs to `scope`.
    pub fn belongs_to(&self, scope: &Arc<Scope>) -> bool {
        Arc::ptr_eq(&self.scope, scope)
    }

    /// The children that ended elsewhere, with their fate, or left for elsewhere. What was withdrawn is not among them.
    pub fn lost(&self) -> Vec<(u32, Option<Fate>)> {
        let stands = |lost: &&Lost| lost.marks.iter().all(|mark| mark.standing() != Standing::Withdrawn);
        self.lost.lock().iter().filter(stands).map(|lost| (lost.place, lost.fate)).collect()
    }

    /// One child became `n` more records.
    pub(crate) fn more(&self, n: u64) {
        self.live.fetch_add(n, Ordering::Relaxed);
    }

    /// A child arrived at its gather.
    pub fn arrived(self: &Arc<Self>) {
        if self.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.completed();
        }
    }

    /// A child ended before its gather, or left (no fate).
    pub(crate) fn gone(self: &Arc<Self>, place: u32, fate: Option<Fate>, trail: &Trail) {
        if !matches!(fate, Some(Fate::Withdrawn | Fate::Superseded)) {
            self.lost.lock().push(Lost { place, fate, marks: trail.marks.clone() });
        }
        self.arrived();
    }

    fn completed(self: &Arc<Self>) {
        self.scope.gather.ask(|| self.scope.complete.lock().push(Arc::clone(self)));
    }
}

/// A child's place in its family.
#[derive(Clone, Debug)]
pub struct Membership {
    /// Its siblings and itself.
    pub family: Arc<Family>,
    /// Which child of its parent it is, from 0.
    pub place: u32,
}
