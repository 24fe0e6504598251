//! What an operator is to the runtime: a step on one batch. The runtime knows no operator by name.
//!
//! An [`Operator`] says what comes in ([`Inputs`]), what goes out ([`Outputs`]) and what to do with one batch. Everything
//! else (taking input back edge first, credit, permits, overflow, counting, timers, ending) is done by the node
//! around it. Through its [`Cx`] an operator gives every record that does not go on its one end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use smallvec::SmallVec;

use crate::{
    batch::MAX_ROWS,
    clock::{Clock, Moment},
    epochs::{Frontiers, Moves},
    fate::{Fate, Tally},
    fault::{FaultKind, Whence},
    ids::Ids,
    latency::Latency,
    lineage::{Entry, Notes},
    loops::{Attention, Loop},
    origin::{self, Mark, Notice, ProvisionalEnd, Standing},
    ports::{Inputs, Outputs},
    record::{RecordId, Root, Tag, Trail},
    regions::{Crossing, Regions},
    scope::{Family, Membership, Scope},
    shared::Shared,
    view::{ModelCounts, PeopleCounts, VerdictCounts},
    waker::Waker,
};

/// A step of the dataflow. Called by one actor at a time; never waits.
pub trait Operator: Send + 'static {
    /// [`Inlet`](crate::ports::Inlet), a pair of them, or `()`.
    type In: Inputs;
    /// [`Outlet`](crate::ports::Outlet), a pair of them, or `()`.
    type Out: Outputs;

    /// Works on one batch. Every record of it goes out, is kept (see [`holding`](Self::holding)) or is ended through `cx`.
    fn process(&mut self, batch: <Self::In as Inputs>::Batch, out: &mut Self::Out, cx: &mut Cx<'_>);

    /// Called before input is taken: a timer has passed, a call has come back, a source has something. Says whether it did
    /// something, so that it is called again.
    fn wake(&mut self, out: &mut Self::Out, cx: &mut Cx<'_>) -> bool {
        let _ = (out, cx);
        false
    }

    /// Whether [`wake`](Self::wake) would do something now. Asked after it has; one that says no must be sure to be woken.
    fn is_awake(&self) -> bool {
        true
    }

    /// Called before anything else of a step: origins of records that it holds (see [`Cx::hold`]) have been revised or settled.
    fn notice(&mut self, notices: &[Notice], out: &mut Self::Out, cx: &mut Cx<'_>) {
        let _ = (notices, out, cx);
    }

    /// No more input can come: let go of everything that waits for more. What comes back by itself (a model's call) may stay.
    fn flush(&mut self, out: &mut Self::Out, cx: &mut Cx<'_>) {
        let _ = (out, cx);
    }

    /// How many records it keeps.
    fn holding(&self) -> Holding {
        Holding::default()
    }

    /// Looks at the identity of each record that it keeps; as many as [`holding`](Self::holding) says.
    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        let _ = visit;
    }

    /// Whether it takes input now. One that says no must be sure to be woken.
    fn is_ready(&self) -> bool {
        self.room() > 0
    }

    /// Most records that it takes in the next step.
    fn room(&self) -> usize {
        MAX_ROWS
    }

    /// Whether it may bring records by itself: a source that is not at its end, a gather whose parts are still on their way.
    fn is_open(&self) -> bool {
        false
    }

    /// The run is over, though records may be inside: let go of threads, files and what else is outside of the graph. What is
    /// kept stays, since it is counted as in flight. Called by whoever finds the run over first, and perhaps again.
    fn stop(&mut self) {}

    /// When it wants to be woken, if nothing comes before.
    fn next_wake(&self) -> Option<Moment> {
        None
    }
}

/// How many records an operator keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Waiting for other records, without a permit, and let go of in [`flush`](Operator::flush): a join's rows.
    pub parked: usize,
    /// Waiting for records that exist, without a permit, and going on by itself when they have ended: a gather's parents.
    pub waiting: usize,
    /// Being worked on; these keep their permits: a model's calls.
    pub held: usize,
}

/// The constant part and the counters of one node.
#[derive(Debug)]
pub struct NodeCore {
    /// Index in the graph.
    pub id: u32,
    /// The author's name for it.
    pub name: Arc<str>,
    /// Whether this run goes without it.
    pub is_off: bool,
    /// Wakes its actor.
    pub waker: Arc<Waker>,
    pub(crate) stats: Stats,
    pub(crate) meters: Arc<Meters>,
    pub(crate) regions: Regions,
    pub(crate) attention: Arc<Attention>,
    pub(crate) notices: Notices,
}

/// Notices that the operator has not been given.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    waiting: parking_lot::Mutex<Vec<Notice>>,
    /// Whether there may be any; looked at before every step.
    any: AtomicBool,
}

impl NodeCore {
    pub(crate) fn post(&self, notice: Notice) {
        self.attention.ask(|| {
            let mut waiting = self.notices.waiting.lock();
            waiting.push(notice);
            self.notices.any.store(true, Ordering::Release);
        });
    }

    pub(crate) fn take_notices(&self) -> Vec<Notice> {
        if !self.notices.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let notices = {
            let mut waiting = self.notices.waiting.lock();
            self.notices.any.store(false, Ordering::Release);
            std::mem::take(&mut *waiting)
        };
        if !notices.is_empty() {
            self.attention.given(notices.len());
        }
        notices
    }
}

/// Totals of one node; written by its actor within a step, read at a barrier.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub created: AtomicU64,
    pub roots_created: AtomicU64,
    pub ended: Tally,
    pub roots_ended: Tally,
    pub records_in: AtomicU64,
    pub records_out: AtomicU64,
    pub busy_ns: AtomicU64,
    pub blocked: AtomicBool,
    pub done: AtomicBool,
    /// Whether it has been asked to take no input.
    pub paused: AtomicBool,
}

impl Stats {
    /// Of a counter that only the node's own steps change, of which there is one at a time: reading and writing it costs less
    /// than to do both at once.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }
}

/// What operators of some roles count beside the totals that all have.
#[derive(Debug, Default)]
pub struct Meters {
    /// Kept by handlers.
    pub verdicts: parking_lot::Mutex<Option<VerdictCounts>>,
    /// Kept by handlers: how long they take for a value.
    pub latency: parking_lot::Mutex<Latency>,
    /// Kept by models.
    pub model: parking_lot::Mutex<Option<ModelCounts>>,
    /// Kept where people are asked.
    pub people: parking_lot::Mutex<Option<PeopleCounts>>,
}

/// What an operator may do beside sending records on: end them, make them, ask for the time.
pub struct Cx<'a> {
    pub(crate) node: &'a Arc<NodeCore>,
    pub(crate) shared: &'a Shared,
    /// Its loop and its place there, if it is in one.
    pub(crate) inside: Option<(&'a Loop, usize)>,
    /// Most rows to take in this step.
    pub(crate) most: usize,
    /// Permits that came with the records taken in this step.
    pub(crate) permits: usize,
    /// Where is written what happens to records, if it is.
    pub(crate) notes: Option<&'a mut Notes>,
}

impl Cx<'_> {
    /// The run's clock.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// The operator's name.
    pub fn name(&self) -> &str {
        &self.node.name
    }

    /// The operator's waker, for calls that come back.
    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.node.waker)
    }

    /// Most records that a source is to bring in this step.
    pub fn most(&self) -> usize {
        if self.shared.seeded.is_some() { self.most } else { MAX_ROWS }
    }

    /// Whether the operator has been asked to pause: it is given no input, and a source is to bring none.
    pub fn is_paused(&self) -> bool {
        self.node.stats.paused.load(Ordering::SeqCst)
    }

    /// Whether sources have been asked to stop.
    pub fn is_draining(&self) -> bool {
        self.shared.is_draining()
    }

    /// Whether a source may bring records now; one that may not is woken when it may.
    pub fn may_enter(&self) -> bool {
        self.shared.board.may_enter(self.node.id)
    }

    /// Counts records that come from outside: `count` of them from place `first`. Gives them their ids, and what all of them
    /// carry along.
    pub fn enter(&mut self, first: u64, count: usize) -> (Ids, Option<Arc<Trail>>) {
        Stats::add(&self.node.stats.created, count as u64);
        Stats::add(&self.node.stats.roots_created, count as u64);
        if let Some(notes) = &mut self.notes {
            notes.0.push(Entry::Entered { first: RecordId::of_source(self.node.id, first), count });
        }
        let ids = Ids::Run { first: RecordId::of_source(self.node.id, first), len: count };
        let span = self.shared.board.enter(self.node.id, count);
        let trail = span.map(|span| Trail { epochs: [span].into_iter().collect(), ..Trail::default() });
        (ids, trail.map(Arc::new))
    }

    /// Ends a record. One that may still be withdrawn ends provisionally.
    pub fn end(&mut self, tag: &Tag, fate: Fate) {
        self.end_filed(tag, fate, None);
    }

    pub(crate) fn end_filed(&mut self, tag: &Tag, fate: Fate, fault: Option<u64>) {
        let family = |trail: &Trail| self.node.regions.family_of(trail).cloned();
        let family = tag.trail.as_deref().and_then(family);
        self.count_end(tag, fate, fault);
        if let (Some(scope), Some(trail)) = (family, tag.trail.as_ref()) {
            scope.family.lose(scope.place, Some(fate), trail);
        }
        if let Some(scope) = tag.trail.as_deref().and_then(|trail| trail.returning.as_ref()) {
            scope.family.less();
        }
    }

    fn count_end(&mut self, tag: &Tag, fate: Fate, fault: Option<u64>) {
        self.count_fate(tag, fate, fault);
        for mark in tag.trail.iter().flat_map(|trail| self.own_marks(trail)) {
            mark.origin.less(self.shared);
        }
    }

    /// Counts an end everywhere but in the families and origins of the record.
    pub(crate) fn count_fate(&mut self, tag: &Tag, fate: Fate, fault: Option<u64>) {
        if let Some(notes) = &mut self.notes {
            notes.ended(tag.id, fate);
        }
        let stats = &self.node.stats;
        stats.ended.add(fate, 1);
        let Some(trail) = tag.trail.as_deref() else { return stats.roots_ended.add(fate, 1) };
        if trail.roots.is_empty() {
            stats.roots_ended.add(fate, 1);
        }
        let over = matches!(fate, Fate::Withdrawn | Fate::Superseded);
        if over || trail.standing() == Standing::Final {
            for root in &trail.roots {
                if let Some(fate) = root.less(fate) {
                    stats.roots_ended.add(fate, 1);
                }
            }
        } else {
            ProvisionalEnd::file(tag.id, trail, fate, fault, self.node, self.shared);
        }
        self.count_epochs(trail, &self.node.regions.targets, Moves::Less);
    }

    pub(crate) fn count_epochs(&self, trail: &Trail, targets: &[u32], moves: Moves) {
        if !targets.is_empty() {
            let lowest = self.shared.rules.lowest_epochs_are_held;
            for epoch in trail.epochs.iter().map(|span| if lowest { &span.lowest } else { &span.highest }) {
                self.shared.board.count(epoch, targets, moves);
            }
        }
    }

    /// A record that this operator keeps waits for others, as in a join or a gather, and cannot move by itself: it does not
    /// keep sources from bringing more.
    pub fn park(&mut self, tag: &Tag) {
        self.count_at_rest(tag, Moves::Parks);
    }

    /// It no longer does.
    pub fn unpark(&mut self, tag: &Tag) {
        self.count_at_rest(tag, Moves::Unparks);
    }

    fn count_at_rest(&mut self, tag: &Tag, moves: Moves) {
        if self.shared.rules.parked_epochs_do_not_count
            && let Some(trail) = tag.trail.as_deref()
        {
            self.count_epochs(trail, &self.node.regions.targets, moves);
        }
    }

    /// Nobody waits any more for what this record may yet come to: what is made of it enters anew. It has to be outside of
    /// every loop and scope.
    pub fn leave_epochs(&mut self, tag: &mut Tag) {
        if let Some(trail) = tag.trail.as_deref().filter(|trail| !trail.epochs.is_empty()) {
            self.count_epochs(trail, &self.node.regions.targets, Moves::Less);
            tag.trail_mut().epochs.clear();
        }
    }

    /// A record has arrived at the operator that asked for completion under this number.
    pub fn arrive_at(&mut self, target: u32, tag: &Tag) {
        self.wait_at(&[target], tag, Moves::Arrives, Moves::Parks);
    }

    /// It is about to go on, or to end.
    pub fn go_from(&mut self, target: u32, tag: &Tag) {
        self.wait_at(&[target], tag, Moves::Goes, Moves::Unparks);
    }

    /// What waits for its turn here has arrived here, and rests as far as operators behind it are concerned.
    pub(crate) fn wait_at(&self, targets: &[u32], tag: &Tag, here: Moves, behind: Moves) {
        if let Some(trail) = tag.trail.as_deref() {
            let others = self.node.regions.targets.iter().filter(|other| !targets.contains(other));
            let others: SmallVec<[u32; 4]> = others.copied().collect();
            self.count_epochs(trail, targets, here);
            self.count_epochs(trail, &others, behind);
        }
    }

    /// What is complete for the operator that asked under this number.
    pub fn frontiers(&self, target: u32) -> Frontiers {
        self.shared.board.frontiers(target)
    }

    /// The marks whose origin may be revised by a record that is here: those of its own loop.
    pub(crate) fn own_marks<'t>(&self, trail: &'t Trail) -> impl Iterator<Item = &'t Mark> + use<'t> {
        let here = self.node.regions.loop_;
        trail.marks.iter().filter(move |mark| here.is_some() && mark.loop_() == here)
    }

    /// Whether the operator is inside a loop.
    pub fn is_in_loop(&self) -> bool {
        self.node.regions.loop_.is_some()
    }

    /// Whether nothing of what the record was made of can be revised but by the record itself: where its standing is not
    /// final, only its own loop can change that.
    pub fn is_final_but_for_its_loop(&self, tag: &Tag) -> bool {
        let here = self.node.regions.loop_;
        tag.trail.as_deref().is_none_or(|trail| {
            let outside = |mark: &&Mark| here.is_none() || mark.loop_() != here;
            trail.marks.iter().filter(outside).all(|mark| mark.standing() == Standing::Final)
        })
    }

    /// Whether sinks that append are to wait for final records.
    #[doc(hidden)]
    pub fn waits_for_finality(&self) -> bool {
        self.shared.rules.sinks_wait
    }

    /// Whether an answer is to wait until nothing can withdraw its question.
    #[doc(hidden)]
    pub fn answers_wait(&self) -> bool {
        self.shared.rules.answers_wait
    }

    /// Has this operator told, through [`Operator::notice`], of what becomes of a record that it holds. One that says
    /// [`Standing::Withdrawn`] is to be ended as such at once.
    pub fn hold(&mut self, tag: &Tag) -> Standing {
        tag.trail.as_deref().map_or(Standing::Final, |trail| origin::hold(&trail.marks, self.node, None))
    }

    /// Ends the record if it was made from a version that has been revised. Says whether it did.
    pub fn end_if_withdrawn(&mut self, tag: &Tag) -> bool {
        let gone = self.shared.rules.stale_records_end
            && tag.trail.as_deref().is_some_and(|trail| trail.standing() == Standing::Withdrawn);
        if gone {
            self.end(tag, Fate::Withdrawn);
        }
        gone
    }

    /// One more record like this is here: its roots, origins and family count it.
    pub(crate) fn count_more(&self, tag: &Tag) {
        let Some(trail) = tag.trail.as_deref() else { return };
        for root in &trail.roots {
            root.more(1);
        }
        for mark in self.own_marks(trail) {
            mark.origin.more();
        }
        if let Some(scope) = self.node.regions.family_of(trail) {
            scope.family.more(1);
        }
        self.count_epochs(trail, &self.node.regions.targets, Moves::More);
    }

    /// A record goes over an edge on which it leaves a region. On its way back it leaves its family only at the end.
    pub(crate) fn cross(&mut self, trail: &mut Arc<Trail>, crossing: &Crossing, back: bool) {
        if crossing.leaves_loop {
            for mark in self.own_marks(trail) {
                mark.origin.less(self.shared);
            }
        }
        let (old, new) = (crossing.from.family_of(trail), crossing.to.family_of(trail));
        if let Some(old) = old
            && new.is_none_or(|new| !Arc::ptr_eq(&new.family, &old.family))
        {
            if let Some(new) = new {
                new.family.more(1);
            }
            if back {
                let old = old.clone();
                Arc::make_mut(trail).returning = Some(old);
            } else {
                old.family.lose(old.place, None, trail);
            }
        }
        self.count_epochs(trail, &crossing.left, Moves::Less);
    }

    /// Ends `count` records that carry nothing along. Which they are is only asked where [lineage](crate::lineage) is kept.
    pub fn end_plain(&mut self, count: usize, fate: Fate, ids: impl IntoIterator<Item = RecordId>) {
        if let Some(notes) = &mut self.notes {
            let ids: Vec<RecordId> = ids.into_iter().collect();
            debug_assert_eq!(ids.len(), count);
            notes.all_ended(&ids, fate);
        }
        self.node.stats.ended.add(fate, count as u64);
        self.node.stats.roots_ended.add(fate, count as u64);
    }

    /// Ends a child that has arrived at its gather: like [`end`](Self::end) as absorbed, but its family learns that it arrived.
    ///
    /// What it was made of can be revised from behind the gather until the whole is made, which then carries it.
    pub fn arrive(&mut self, tag: &Tag, scope: &Membership) {
        if let Some(trail) = tag.trail.as_deref() {
            scope.family.keep(self.marks_for_wholes(trail));
        }
        self.count_end(tag, Fate::Absorbed, None);
        scope.family.less();
    }

    /// Ends a record as a fault: into quarantine, with its reason and what is known of its value.
    pub fn fault<T: Serialize>(&mut self, tag: &Tag, kind: FaultKind, reason: &str, value: Option<&T>) {
        let root = tag.trail.as_ref().and_then(|t| t.roots.first()).map_or(tag.id, |root| root.id());
        self.file_fault(tag, kind, reason, value, Whence::Root(root));
    }

    /// The same where its source names the place that it comes from.
    pub fn fault_from<T: Serialize>(
        &mut self,
        tag: &Tag,
        kind: FaultKind,
        reason: &str,
        value: Option<&T>,
        place: String,
    ) {
        self.file_fault(tag, kind, reason, value, Whence::Place(place));
    }

    /// The record is child number `nth` of what it was made from, where somebody asks for order.
    pub fn is_child(&self, tag: &mut Tag, nth: usize) {
        if tag.trail.as_ref().is_some_and(|trail| !trail.epochs.is_empty()) {
            tag.trail_mut().path.push(nth as u32);
        }
    }

    /// A further record made from that of `tag`: it carries the same, and has its own id.
    pub fn fork(&mut self, tag: &mut Tag) -> Tag {
        ensure_root(tag);
        self.count_more(tag);
        let id = self.make().id;
        if let Some(notes) = &mut self.notes {
            notes.forked(id, tag.id);
        }
        Tag { id, trail: tag.trail.clone() }
    }

    /// The family of `children` that `parent` is about to have.
    pub fn new_family(&mut self, scope: &Arc<Scope>, parent: &Tag, children: usize) -> Arc<Family> {
        Family::new(scope, self.shared.number(), parent, children as u64)
    }

    /// A child of `parent` that starts a scope of its own.
    pub fn fork_into(&mut self, parent: &mut Tag, scope: Membership) -> Tag {
        ensure_root(parent);
        let mut child = Tag { id: self.make().id, trail: parent.trail.clone() };
        if let Some(notes) = &mut self.notes {
            notes.forked(child.id, parent.id);
        }
        if let Some(trail) = child.trail.as_deref() {
            for root in &trail.roots {
                root.more(1);
            }
            for mark in self.own_marks(trail) {
                mark.origin.more();
            }
            self.count_epochs(trail, &self.node.regions.targets, Moves::More);
        }
        child.trail_mut().scopes.push(scope);
        child
    }

    /// Whether this run goes without the operator, a handler: it is to let all pass.
    pub fn is_off(&self) -> bool {
        self.node.is_off
    }

    /// One record made of several that all still have to end (as absorbed, usually).
    ///
    /// It descends from all their roots, carries all their marks, has the pointwise worst of their rounds and the latest of their
    /// times.
    pub fn combine<'t>(&mut self, parents: impl IntoIterator<Item = &'t mut Tag>) -> Tag {
        let mut made = self.make();
        let mut first = true;
        let mut of: SmallVec<[RecordId; 2]> = SmallVec::new();
        for parent in parents {
            ensure_root(parent);
            if self.notes.is_some() {
                of.push(parent.id);
            }
            let Some(theirs) = parent.trail.as_deref() else { continue };
            let is_first = std::mem::take(&mut first);
            let trail = made.trail_mut();
            trail.roots.extend(theirs.roots.iter().cloned());
            if self.shared.rules.worst_rounds || is_first {
                trail.worst_rounds(theirs);
            }
            if self.shared.rules.marks_are_joined || is_first {
                trail.add_marks(theirs);
            }
            trail.add_epochs(theirs);
            trail.time = trail.time.max(theirs.time);
            if !theirs.epochs.is_empty() {
                let seq = theirs.roots.iter().map(|root| root.id().seq()).max();
                // No child has this number, so no place of one made of several is a place of a child.
                trail.path.extend([u32::MAX, seq.unwrap_or_default() as u32]);
                trail.path.extend_from_slice(&theirs.path);
            }
            if is_first {
                trail.scopes.clone_from(&theirs.scopes);
            }
        }
        made.trail_mut().merge_roots();
        self.note_made_of(&made, of);
        self.count_more(&made);
        made
    }

    pub(crate) fn make(&mut self) -> Tag {
        Stats::add(&self.node.stats.created, 1);
        Tag::plain(RecordId::made_inside(self.shared.number()))
    }

    /// Changes the handler's counts.
    pub fn count_verdicts(&self, change: impl FnOnce(&mut VerdictCounts)) {
        change(self.node.meters.verdicts.lock().get_or_insert_default());
    }

    /// Counts how long some of the handler's calls took, each with the calls that it stands for.
    pub fn count_latency(&self, took: impl IntoIterator<Item = (Duration, u32)>) {
        let mut latency = self.node.meters.latency.lock();
        took.into_iter().for_each(|(took, calls)| latency.add(took, calls));
    }

    /// Changes the model's counts.
    pub fn count_model(&self, change: impl FnOnce(&mut ModelCounts)) {
        change(self.node.meters.model.lock().get_or_insert_default());
    }

    /// Changes the counts of a desk.
    pub fn count_people(&self, change: impl FnOnce(&mut PeopleCounts)) {
        change(self.node.meters.people.lock().get_or_insert_default());
    }
}

/// A record that is about to have siblings needs its root counted.
pub(crate) fn ensure_root(tag: &mut Tag) {
    if tag.trail.as_ref().is_none_or(|t| t.roots.is_empty()) {
        let root = Root::new(tag.id, 1);
        tag.trail_mut().roots.push(root);
    }
}
