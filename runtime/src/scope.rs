//! Scatter and gather: how a gather learns that every child of a parent has arrived or ended.
//!
//! A child carries a [`Membership`] for each scatter that it is inside of. Wherever it ends, its family counts one less;
//! the family that reaches zero tells its gather.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use crate::{fate::Fate, record::RecordId, waker::Waker};

/// One scatter–gather pair of a graph.
#[derive(Debug)]
pub struct Scope {
    gather: Arc<Waker>,
    complete: Mutex<Vec<Arc<Family>>>,
}

impl Scope {
    /// A scope whose complete families wake `gather`.
    pub fn new(gather: Arc<Waker>) -> Arc<Self> {
        Arc::new(Self { gather, complete: Mutex::default() })
    }

    /// The families that have become complete since the last call.
    pub fn take_complete(&self) -> Vec<Arc<Family>> {
        std::mem::take(&mut *self.complete.lock())
    }

    /// Whether a complete family waits for its gather.
    pub fn has_complete(&self) -> bool {
        !self.complete.lock().is_empty()
    }
}

/// The children of one parent.
#[derive(Debug)]
pub struct Family {
    scope: Arc<Scope>,
    parent: RecordId,
    live: AtomicU64,
    lost: Mutex<Vec<(u32, Fate)>>,
}

impl Family {
    /// The `children` of `parent`. A family without children is complete at once.
    pub fn new(scope: &Arc<Scope>, parent: RecordId, children: u64) -> Arc<Self> {
        let family = Arc::new(Self {
            scope: Arc::clone(scope),
            parent,
            live: AtomicU64::new(children),
            lost: Mutex::default(),
        });
        if children == 0 {
            family.completed();
        }
        family
    }

    /// The parent's id.
    pub fn parent(&self) -> RecordId {
        self.parent
    }

    /// Whether this family belongs to `scope`.
    pub fn belongs_to(&self, scope: &Arc<Scope>) -> bool {
        Arc::ptr_eq(&self.scope, scope)
    }

    /// The children that ended elsewhere: place and fate.
    pub fn lost(&self) -> Vec<(u32, Fate)> {
        self.lost.lock().clone()
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

    /// A child ended before its gather.
    pub(crate) fn ended(self: &Arc<Self>, place: u32, fate: Fate) {
        self.lost.lock().push((place, fate));
        self.arrived();
    }

    fn completed(self: &Arc<Self>) {
        self.scope.complete.lock().push(Arc::clone(self));
        self.scope.gather.wake();
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
