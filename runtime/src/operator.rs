//! What an operator is to the runtime: a step on one batch. The runtime knows no operator by name.
//!
//! An [`Operator`] says what comes in ([`Inputs`]), what goes out ([`Outputs`]) and what to do with one batch. Everything
//! else (taking input back edge first, credit, permits, overflow, counting, timers, ending) is done by the node
//! around it. Through its [`Cx`] an operator gives every record that does not go on its one end.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use serde::Serialize;

use crate::{
    clock::{Clock, Moment},
    data,
    fate::{Fate, Tally},
    fault::{Fault, FaultKind},
    loops::Loop,
    ports::{Inputs, Outputs},
    record::{RecordId, Root, Tag, Trail},
    scope::Membership,
    shared::Shared,
    view::{ModelCounts, VerdictCounts},
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
        true
    }

    /// Whether it may bring records by itself: a source that is not at its end, a gather whose parts are still on their way.
    fn is_open(&self) -> bool {
        false
    }

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
    /// Wakes its actor.
    pub waker: Arc<Waker>,
    pub(crate) stats: Stats,
    pub(crate) meters: Arc<Meters>,
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
}

impl Stats {
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

/// What operators of some roles count beside the totals that all have.
#[derive(Debug, Default)]
pub struct Meters {
    /// Kept by handlers.
    pub verdicts: parking_lot::Mutex<Option<VerdictCounts>>,
    /// Kept by models.
    pub model: parking_lot::Mutex<Option<ModelCounts>>,
}

/// What an operator may do beside sending records on: end them, make them, ask for the time.
pub struct Cx<'a> {
    pub(crate) node: &'a NodeCore,
    pub(crate) shared: &'a Shared,
    /// Its loop and its place there, if it is in one.
    pub(crate) inside: Option<(&'a Loop, usize)>,
    /// Most rows to take in this step.
    pub(crate) most: usize,
    /// Permits that came with the records taken in this step.
    pub(crate) permits: usize,
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

    /// Whether sources have been asked to stop.
    pub fn is_draining(&self) -> bool {
        self.shared.is_draining()
    }

    /// Counts records that come from outside, and gives them their ids: `count` of them from place `first`.
    pub fn enter(&mut self, first: u64, count: usize) -> Vec<RecordId> {
        Stats::add(&self.node.stats.created, count as u64);
        Stats::add(&self.node.stats.roots_created, count as u64);
        (first..first + count as u64).map(|seq| RecordId::of_source(self.node.id, seq)).collect()
    }

    /// Ends a record.
    pub fn end(&mut self, tag: &Tag, fate: Fate) {
        let stats = &self.node.stats;
        stats.ended.add(fate, 1);
        let Some(trail) = tag.trail.as_deref() else { return stats.roots_ended.add(fate, 1) };
        if trail.roots.is_empty() {
            stats.roots_ended.add(fate, 1);
        }
        for root in &trail.roots {
            if let Some(fate) = root.less(fate) {
                stats.roots_ended.add(fate, 1);
            }
        }
        if let Some(scope) = trail.scopes.last() {
            scope.family.ended(scope.place, fate);
        }
    }

    /// Ends `count` records that carry nothing along.
    pub fn end_plain(&mut self, count: usize, fate: Fate) {
        self.node.stats.ended.add(fate, count as u64);
        self.node.stats.roots_ended.add(fate, count as u64);
    }

    /// Ends a child that has arrived at its gather: like [`end`](Self::end) as absorbed, but its family learns that it arrived.
    pub fn arrive(&mut self, tag: &Tag, scope: &Membership) {
        let stats = &self.node.stats;
        stats.ended.add(Fate::Absorbed, 1);
        for root in tag.trail.iter().flat_map(|t| &t.roots) {
            if let Some(fate) = root.less(Fate::Absorbed) {
                stats.roots_ended.add(fate, 1);
            }
        }
        scope.family.arrived();
    }

    /// Ends a record as a fault: into quarantine, with its reason and what is known of its value.
    pub fn fault<T: Serialize>(&mut self, tag: &Tag, kind: FaultKind, reason: &str, value: Option<&T>) {
        let root = tag.trail.as_ref().and_then(|t| t.roots.first()).map_or(tag.id, |root| root.id());
        let origin = self.shared.origin_of(root);
        self.fault_from(tag, kind, reason, value, origin);
    }

    /// The same where more is known of the origin than source and number.
    pub fn fault_from<T: Serialize>(
        &mut self,
        tag: &Tag,
        kind: FaultKind,
        reason: &str,
        value: Option<&T>,
        origin: String,
    ) {
        let rejected = matches!(kind, FaultKind::Rejected | FaultKind::RoundsSpent);
        self.end(tag, if rejected { Fate::Rejected } else { Fate::Failed });
        self.shared.faults.file(Fault {
            node: self.node.id,
            operator: Arc::clone(&self.node.name),
            kind,
            reason: reason.into(),
            record: tag.id,
            origin,
            rounds: tag.rounds(),
            value: value.map(|v| data::preview(v, 4000)),
            at: self.shared.clock.now(),
        });
    }

    /// A further record made from that of `tag`: same roots, rounds and scopes, its own id.
    pub fn fork(&mut self, tag: &mut Tag) -> Tag {
        let child = self.fork_outside(tag);
        if let Some(scope) = tag.trail.as_ref().and_then(|t| t.scopes.last()) {
            scope.family.more(1);
        }
        child
    }

    /// A child of `parent` that starts a scope of its own.
    pub fn fork_into(&mut self, parent: &mut Tag, scope: Membership) -> Tag {
        let mut child = self.fork_outside(parent);
        child.trail_mut().scopes.push(scope);
        child
    }

    /// One record made of several that all still have to end (as absorbed, usually).
    ///
    /// It descends from all their roots and has the pointwise worst of their rounds.
    pub fn combine<'t>(&mut self, parents: impl IntoIterator<Item = &'t mut Tag>) -> Tag {
        let mut made = self.make();
        let mut first = true;
        for parent in parents {
            ensure_root(parent);
            let Some(theirs) = parent.trail.as_deref() else { continue };
            let trail = made.trail_mut();
            for root in &theirs.roots {
                if !trail.roots.iter().any(|r| Arc::ptr_eq(r, root)) {
                    root.more(1);
                    trail.roots.push(Arc::clone(root));
                }
            }
            trail.worst_rounds(theirs);
            if std::mem::take(&mut first) {
                trail.scopes.clone_from(&theirs.scopes);
                if let Some(scope) = trail.scopes.last() {
                    scope.family.more(1);
                }
            }
        }
        made
    }

    fn fork_outside(&mut self, tag: &mut Tag) -> Tag {
        ensure_root(tag);
        for root in tag.trail.iter().flat_map(|t| &t.roots) {
            root.more(1);
        }
        Tag { id: self.make().id, trail: tag.trail.clone() }
    }

    fn make(&mut self) -> Tag {
        Stats::add(&self.node.stats.created, 1);
        Tag::plain(RecordId::made_inside(self.shared.next_id.fetch_add(1, Ordering::Relaxed)))
    }

    /// Changes the handler's counts.
    pub fn count_verdicts(&self, change: impl FnOnce(&mut VerdictCounts)) {
        change(self.node.meters.verdicts.lock().get_or_insert_default());
    }

    /// Changes the model's counts.
    pub fn count_model(&self, change: impl FnOnce(&mut ModelCounts)) {
        change(self.node.meters.model.lock().get_or_insert_default());
    }
}

/// A record that is about to have siblings needs its root counted.
fn ensure_root(tag: &mut Tag) {
    if tag.trail.as_ref().is_none_or(|t| t.roots.is_empty()) {
        let root = Root::new(tag.id, 1);
        tag.trail_mut().roots.push(root);
    }
}
