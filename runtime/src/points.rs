//! Points of change: what a record carries when it comes to a place from which it may be revised, when it is sent back
//! there, and when a gather makes a whole of parts that may be revised.

use std::sync::Arc;

use crate::{
    fate::Fate,
    operator::{Cx, Stats, ensure_root},
    origin::{self, Mark, Origin, Standing},
    record::{FeedbackId, RecordId, Tag, Trail},
    scope::{Family, Parent},
};

/// Stands for the gathers among the points: nothing is sent back there, the gather itself revises its wholes.
const GATHER: FeedbackId = FeedbackId::MAX;
/// Stands for the operators that only want to know when nothing of a record is inside the loop any more.
const WATCH: FeedbackId = FeedbackId::MAX - 1;

impl Cx<'_> {
    /// A record comes to a point from which it may be revised, for the first time.
    pub fn enter_point(&mut self, tag: &mut Tag, point: FeedbackId) {
        ensure_root(tag);
        let origin = Origin::new(self.shared.number(), point, self.node.regions.loop_, tag.clone());
        tag.trail_mut().marks.push(Mark { origin, version: 1 });
    }

    /// The record gets an origin that nothing is sent back to: it is settled when nothing made of the record is inside the loop any
    /// more, or what was has come to its gather.
    pub fn watch(&mut self, tag: &mut Tag) {
        self.enter_point(tag, WATCH);
    }

    /// The marks that a family holds open for its wholes: those of its loop. What is only watched has come to its end when it has
    /// arrived; were it held, its parts would wait for their whole, and the whole for them.
    pub(crate) fn marks_for_wholes<'t>(&self, trail: &'t Trail) -> impl Iterator<Item = &'t Mark> + use<'t> {
        self.own_marks(trail).filter(|mark| mark.point() != WATCH)
    }

    /// So many records that were sent back come to their point in a loop where each is alone: each goes on as the next version
    /// of itself. See [`linear`](crate::linear).
    pub fn go_round(&mut self, records: usize) {
        Stats::add(&self.node.stats.created, records as u64);
        self.node.stats.ended.add(Fate::Superseded, records as u64);
    }

    /// A record that was sent back comes to its point: gives the next version, to go on in its place. `None` where the
    /// record's version was no longer current and it has been ended as withdrawn.
    ///
    /// The next version carries what the first one carried when it came, and the worst rounds of the record that was judged.
    pub fn reenter_point(&mut self, mut judged: Tag, point: FeedbackId) -> Option<Tag> {
        // Another record of the same batch may have revised what this one was made of.
        if self.end_if_withdrawn(&judged) {
            return None;
        }
        let Some(mark) = open_mark(&judged, |mark| mark.point() == point) else {
            // It came into the loop behind the point.
            self.leave_family_behind(&mut judged);
            self.enter_point(&mut judged, point);
            return Some(judged);
        };
        self.reenter(judged, &mark)
    }

    /// The same where the record that was judged may carry several origins of a point, and is to revise that of this number.
    pub fn reenter_origin(&mut self, judged: Tag, origin: u64) -> Option<Tag> {
        if self.end_if_withdrawn(&judged) {
            return None;
        }
        let Some(mark) = open_mark(&judged, |mark| mark.origin() == origin) else {
            self.end(&judged, Fate::Withdrawn);
            return None;
        };
        self.reenter(judged, &mark)
    }

    fn reenter(&mut self, judged: Tag, mark: &Mark) -> Option<Tag> {
        let mut version = mark.version;
        if !self.shared.rules.stale_records_end {
            version = mark.origin.current();
        }
        // Versions are told apart: what was made of an older one may still be on its way.
        let entry = mark.origin.entry();
        let mut next = Tag { id: RecordId::made_inside(self.shared.number()), trail: entry.trail.clone() };
        let trail = next.trail_mut();
        if let Some(judged) = judged.trail.as_deref() {
            trail.rounds.clone_from(&judged.rounds);
            trail.add_epochs(judged);
            if !self.shared.rules.entries_are_restored {
                trail.marks.clone_from(&judged.marks);
                trail.marks.retain(|other| !Arc::ptr_eq(&other.origin, &mark.origin));
            }
        }
        trail.marks.push(Mark { origin: Arc::clone(&mark.origin), version: version + 1 });
        if !mark.origin.revise(version, self.shared, || self.count_more(&next)) {
            self.end(&judged, Fate::Withdrawn);
            return None;
        }
        Stats::add(&self.node.stats.created, 1);
        self.note_version(&next, version + 1, entry.id, judged.id);
        self.end(&judged, Fate::Superseded);
        Some(next)
    }

    /// A record that this handler adds to what the judged one was made of. In order it comes behind all that is made of that.
    pub fn append(&mut self, judged: &mut Tag) -> Tag {
        let mut added = self.fork(judged);
        self.is_child(&mut added, u32::MAX as usize - 1);
        self.is_child(&mut added, self.node.id as usize);
        added
    }

    /// A record that a handler has added comes to the point, to stand there beside the one of `origin`. `None` where what made
    /// the handler add it has been withdrawn, and with it the record.
    ///
    /// It carries what the record carried that was judged, and goes with it; only the wholes that it becomes a part of do not
    /// withdraw it.
    pub fn append_at(&mut self, mut made: Tag, point: FeedbackId, origin: u64) -> Option<Tag> {
        if self.end_if_withdrawn(&made) {
            return None;
        }
        if let Some(mark) = open_mark(&made, |mark| mark.origin() == origin) {
            let beside = mark.origin.entry().trail.clone().unwrap_or_default();
            let before = made.trail.as_deref().and_then(|trail| self.node.regions.family_of(trail)).cloned();
            let trail = made.trail_mut();
            let becomes_part_of = |mark: &Mark| beside.scopes.iter().any(|scope| scope.family.makes(mark));
            let wholes: Vec<Mark> =
                trail.marks.iter().filter(|mark| becomes_part_of(mark)).cloned().collect();
            trail.marks.retain(|mark| !wholes.contains(mark));
            // What is sent back without a name is meant for the one that it stands beside.
            trail.marks.sort_by_key(|other| beside.marks.contains(other) || *other == mark);
            for mark in wholes.iter().filter(|mark| mark.loop_() == self.node.regions.loop_) {
                mark.origin.less(self.shared);
            }
            trail.scopes.clone_from(&beside.scopes);
            let after = self.node.regions.family_of(trail).cloned();
            let same = match (&before, &after) {
                (Some(before), Some(after)) => Arc::ptr_eq(&before.family, &after.family),
                (before, after) => before.is_none() && after.is_none(),
            };
            if !same {
                if let Some(scope) = after {
                    scope.family.more(1);
                }
                if let Some(scope) = before {
                    scope.family.less();
                }
            }
        }
        self.leave_family_behind(&mut made);
        self.enter_point(&mut made, point);
        Some(made)
    }

    fn leave_family_behind(&mut self, tag: &mut Tag) {
        if tag.trail.as_deref().is_some_and(|trail| trail.returning.is_some())
            && let Some(scope) = tag.trail_mut().returning.take()
        {
            scope.family.less();
        }
    }

    /// Has this operator told of what becomes of these origins; see [`hold`](Self::hold).
    pub fn hold_marks<'m>(&mut self, marks: impl IntoIterator<Item = &'m Mark>) -> Standing {
        origin::hold(marks, self.node, None)
    }

    /// The same for what a whole of `family` is about to be made of: when it is revised, the family carries again what its wholes
    /// carried.
    pub fn hold_for_whole<'m>(
        &mut self,
        marks: impl IntoIterator<Item = &'m Mark>,
        family: &Arc<Family>,
    ) -> Standing {
        origin::hold(marks, self.node, Some(family))
    }

    /// The whole that a gather makes of `parent` and its parts, of which some may still be revised: the parent stays, and makes
    /// another when they are. `before` is what this gave the last time; the whole that it stands for is withdrawn.
    ///
    /// It carries the marks of its parts, so that it is withdrawn with any of them, and that of its own version.
    pub fn whole(
        &mut self,
        parent: &mut Tag,
        family: &Family,
        of_parts: &[Mark],
        before: Option<Mark>,
    ) -> (Tag, Mark) {
        ensure_root(parent);
        let version = match before {
            Some(mark) => {
                mark.origin.revise(mark.version, self.shared, || ());
                Mark { version: mark.version + 1, ..mark }
            }
            None => {
                let origin =
                    Origin::new(self.shared.number(), GATHER, self.node.regions.loop_, parent.clone());
                let trail = parent.trail.as_deref();
                let outer = trail.and_then(|trail| self.node.regions.family_of(trail));
                let origins = trail.into_iter().flat_map(|trail| self.own_marks(trail));
                let counts = Parent {
                    origins: origins.map(|mark| Arc::clone(&mark.origin)).collect(),
                    family: outer.map(|outer| Arc::clone(&outer.family)),
                };
                family.set_whole(&origin, counts);
                Mark { origin, version: 1 }
            }
        };
        let mut made = Tag { trail: parent.trail.clone(), ..self.make() };
        let trail = made.trail_mut();
        trail.marks.extend(of_parts.iter().cloned());
        trail.marks.push(version.clone());
        self.count_more(&made);
        (made, version)
    }

    /// Takes the pointwise worst of its own rounds and those of a part that it was made of.
    pub fn spend_rounds_of(&mut self, made: &mut Tag, part: &Trail) {
        if self.shared.rules.worst_rounds && part.rounds.iter().any(|(id, n)| made.rounds_at(*id) < *n) {
            made.trail_mut().worst_rounds(part);
        }
    }

    /// No more wholes will be made of the parent's family, and the parent goes on.
    pub fn finish_family(&mut self, family: &Family, whole: Option<&Mark>) {
        family.finish(self.shared);
        if let Some(whole) = whole {
            whole.origin.revise(whole.version, self.shared, || ());
            whole.origin.less(self.shared);
        }
    }

    /// No more wholes will be made of the parent's family, and the parent ends. What was made stands, unless the parent is
    /// withdrawn.
    pub fn end_parent(&mut self, parent: &Tag, fate: Fate, family: Option<&Family>, whole: Option<&Mark>) {
        // Before there was a whole it counts like any record.
        if family.is_none_or(|family| family.finish(self.shared)) {
            self.end(parent, fate);
        } else {
            self.count_fate(parent, fate, None);
        }
        if let Some(whole) = whole {
            whole.origin.less(self.shared);
        }
    }

    /// A part that had arrived has been revised.
    pub fn forget_part(&mut self, family: &Family, trail: &Trail) {
        family.forget(self.marks_for_wholes(trail), self.shared);
    }

    /// A whole stands that was made of all parts that are there, of which `trails` are those that may be revised: from now on it
    /// holds open what they were made of. `disturbed` is how often the family had been when the whole was begun.
    pub fn let_go_of_parts<'t>(
        &mut self,
        family: &Family,
        disturbed: u64,
        trails: impl IntoIterator<Item = &'t Trail>,
    ) {
        let origins = trails.into_iter().flat_map(|trail| self.marks_for_wholes(trail));
        family.let_go(disturbed, origins, self.shared);
    }
}

/// The last of the origins that may be revised of those that the record was made of.
///
/// What is settled stays so, though a whole is made once more of it because something else that it was made of was revised.
fn open_mark(tag: &Tag, is_it: impl Fn(&Mark) -> bool) -> Option<Mark> {
    let marks = &tag.trail.as_deref()?.marks;
    marks.iter().rev().find(|mark| is_it(mark) && mark.standing() != Standing::Final).cloned()
}
