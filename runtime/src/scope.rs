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
    origin::{Mark, Origin, Standing},
    record::{Tag, Trail},
    shared::Shared,
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
    hands: Mutex<Hands>,
}

/// A child that ended, or left, before its gather.
#[derive(Debug)]
struct Lost {
    place: u32,
    /// `None` if it left.
    fate: Option<Fate>,
    /// What it carried then.
    trail: Arc<Trail>,
}

/// What a gather holds open for the wholes that are still to be made.
///
/// A part that has arrived can be revised from behind its gather, where the whole carries what the part was made of. While
/// there is no whole, or it is about to be made again, nobody would carry it: then the family does.
#[derive(Debug)]
struct Hands {
    origins: Vec<Arc<Origin>>,
    /// Whether the family carries them: from the start, and whenever a child is on its way again.
    carries: bool,
    /// How often it had to begin to.
    disturbed: u64,
    /// Whose versions the wholes of this family are.
    whole: Option<Arc<Origin>>,
    /// What the parent counts for while the family carries; otherwise the whole counts in its place.
    parent: Parent,
}

/// What a parent counts for that waits at its gather: were it to count while its whole is on its way, two parents could wait
/// for each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parent {
    /// Origins of its own loop.
    pub origins: Vec<Arc<Origin>>,
    /// The family that it is in.
    pub family: Option<Arc<Family>>,
}

impl Parent {
    fn more(&self) {
        self.origins.iter().for_each(|origin| origin.more());
        if let Some(family) = &self.family {
            family.more(1);
        }
    }

    fn less(&self, shared: &Shared) {
        self.origins.iter().for_each(|origin| origin.less(shared));
        if let Some(family) = &self.family {
            family.less();
        }
    }
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
            hands: Mutex::new(Hands {
                origins: Vec::new(),
                carries: true,
                disturbed: 0,
                whole: None,
                parent: Parent::default(),
            }),
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

    /// Whether every child has arrived, ended or left.
    pub fn is_complete(&self) -> bool {
        self.live.load(Ordering::Acquire) == 0
    }

    /// Whether a whole stands that was made of all that is there: no child is on its way, nor has one been since.
    pub fn is_at_rest(&self) -> bool {
        !self.hands.lock().carries
    }

    /// The children that ended elsewhere, with their fate. What was withdrawn is not among them.
    pub fn lost(&self) -> Vec<(u32, Fate)> {
        let lost = self.lost.lock();
        lost.iter().filter(|lost| lost.stands()).filter_map(|lost| Some((lost.place, lost.fate?))).collect()
    }

    /// What the children carried that ended elsewhere or left, and were not withdrawn.
    pub fn trails_of_lost(&self) -> Vec<Arc<Trail>> {
        self.lost.lock().iter().filter(|lost| lost.stands()).map(|lost| Arc::clone(&lost.trail)).collect()
    }

    /// Adds those of a child's marks that may still be revised and that neither its parent has nor the list.
    pub fn add_open_marks<'m>(&self, marks: impl IntoIterator<Item = &'m Mark>, open: &mut Vec<Mark>) {
        for mark in marks {
            if mark.standing() != Standing::Final && !self.marks.contains(mark) && !open.contains(mark) {
                open.push(mark.clone());
            }
        }
    }

    /// One child became `n` more records, or is on its way again.
    pub(crate) fn more(&self, n: u64) {
        if self.live.fetch_add(n, Ordering::AcqRel) == 0 {
            self.disturb();
        }
    }

    /// The whole that stands is about to be withdrawn: the family carries again what that carried.
    pub(crate) fn disturb(&self) {
        let mut hands = self.hands.lock();
        hands.disturbed += 1;
        if !std::mem::replace(&mut hands.carries, true) {
            hands.origins.iter().for_each(|origin| origin.more());
            hands.parent.more();
        }
    }

    /// How often it has been disturbed. Whoever makes a whole asks before looking at the parts.
    pub fn disturbed(&self) -> u64 {
        self.hands.lock().disturbed
    }

    /// A child of these marks, which could be revised from behind the gather, is about to have arrived.
    pub(crate) fn keep<'m>(&self, marks: impl IntoIterator<Item = &'m Mark>) {
        let mut hands = self.hands.lock();
        for mark in marks.into_iter().filter(|mark| !self.marks.contains(mark)) {
            if hands.carries {
                mark.origin.more();
            }
            hands.origins.push(Arc::clone(&mark.origin));
        }
    }

    /// A part of these marks that had arrived has been revised.
    pub(crate) fn forget<'m>(&self, marks: impl IntoIterator<Item = &'m Mark>, shared: &Shared) {
        let mut forgotten = Vec::new();
        {
            let mut hands = self.hands.lock();
            for mark in marks {
                let is_it = |origin: &Arc<Origin>| Arc::ptr_eq(origin, &mark.origin);
                if let Some(place) = hands.origins.iter().position(is_it) {
                    let origin = hands.origins.swap_remove(place);
                    forgotten.extend(hands.carries.then_some(origin));
                }
            }
        }
        forgotten.iter().for_each(|origin| origin.less(shared));
    }

    /// A whole carries what the parts were made of, of which these are all that are there, and counts in the parent's place;
    /// unless the family has been disturbed since the whole was begun, so that it is stale already.
    pub(crate) fn let_go<'m>(
        &self,
        disturbed: u64,
        marks: impl IntoIterator<Item = &'m Mark>,
        shared: &Shared,
    ) {
        let mine = marks.into_iter().filter(|mark| !self.marks.contains(mark));
        let origins: Vec<_> = mine.map(|mark| Arc::clone(&mark.origin)).collect();
        // Told when nothing is locked: who is the last to carry an origin tells others.
        let (old, parent) = {
            let mut hands = self.hands.lock();
            let carries = !self.is_complete() || hands.disturbed != disturbed;
            if carries {
                origins.iter().for_each(|origin| origin.more());
            }
            let old = std::mem::replace(&mut hands.origins, origins);
            let carried = std::mem::replace(&mut hands.carries, carries);
            (
                old.into_iter().filter(|_| carried).collect::<Vec<_>>(),
                (carried && !carries).then(|| hands.parent.clone()),
            )
        };
        old.iter().for_each(|origin| origin.less(shared));
        if let Some(parent) = parent {
            parent.less(shared);
        }
    }

    /// No more wholes will be made. Says whether the parent counts for what it is in.
    pub(crate) fn finish(&self, shared: &Shared) -> bool {
        let (old, carried) = {
            let mut hands = self.hands.lock();
            hands.parent = Parent::default();
            // What comes later is stale: nothing is carried for it.
            (std::mem::take(&mut hands.origins), std::mem::replace(&mut hands.carries, true))
        };
        if carried {
            old.iter().for_each(|origin| origin.less(shared));
        }
        carried
    }

    /// The wholes of this family are the versions of `origin`.
    pub(crate) fn set_whole(&self, origin: &Arc<Origin>, parent: Parent) {
        let mut hands = self.hands.lock();
        hands.whole = Some(Arc::clone(origin));
        hands.parent = parent;
    }

    /// Whether the mark is that of a whole of this family.
    pub(crate) fn makes(&self, mark: &Mark) -> bool {
        self.hands.lock().whole.as_ref().is_some_and(|whole| Arc::ptr_eq(whole, &mark.origin))
    }

    /// A child arrived at its gather, or counts elsewhere now.
    pub fn less(self: &Arc<Self>) {
        if self.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.completed();
        }
    }

    /// A child ended before its gather, or left for where there is no way to it (no fate).
    pub(crate) fn lose(self: &Arc<Self>, place: u32, fate: Option<Fate>, trail: &Arc<Trail>) {
        if !matches!(fate, Some(Fate::Withdrawn | Fate::Superseded)) {
            self.lost.lock().push(Lost { place, fate, trail: Arc::clone(trail) });
        }
        self.less();
    }

    fn completed(self: &Arc<Self>) {
        self.scope.gather.ask(|| self.scope.complete.lock().push(Arc::clone(self)));
    }
}

impl Lost {
    fn stands(&self) -> bool {
        self.trail.standing() != Standing::Withdrawn
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
