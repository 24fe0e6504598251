//! A node: an operator with its ends, and everything that is the same for all operators.
//!
//! One step sends what waits, lets the operator do what woke it, takes one batch, and settles: counts, permits, overflow,
//! room. Nodes belong to the run and not to their actors, so that what is inside can be counted at any time and outlives an
//! actor.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crate::{
    batch::MAX_ROWS,
    clock::Moment,
    lineage::Notes,
    loops::{Change, Loop},
    operator::{Cx, Holding, NodeCore, Operator, Stats},
    ports::{Inputs, Outputs},
    record::{RecordId, Trail},
    schedule::Seeded,
    shared::Shared,
};

/// What an actor does after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// There may be more to do at once.
    Again,
    /// There may be more to do, but the step was long: others first.
    AgainLater,
    /// Nothing to do until woken, at the latest at this time.
    Idle(Option<Moment>),
    /// All is done; never call again.
    Done,
}

/// What a step came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stepped {
    pub next: Next,
    /// How long it took, where it did something.
    pub took: Duration,
    /// Rows that it took in.
    pub rows: usize,
}

/// A node without its types.
pub(crate) trait AnyNode: Send {
    /// Does one step, which begins now.
    fn step(&mut self, now: Moment, shared: &Shared) -> Stepped;
    /// Looks at every record in the operator's state and in its outlets.
    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>));
    /// Records in the operator's state, and those in its overflow.
    fn kept(&self) -> (usize, usize);
    /// Lets go of what is outside of the graph: the run is over.
    fn stop(&mut self);
}

pub(crate) struct Node<Op: Operator> {
    core: Arc<NodeCore>,
    op: Op,
    inputs: Op::In,
    outputs: Op::Out,
    /// Its loop and its place there.
    inside: Option<(Arc<Loop>, usize)>,
    flushed: bool,
    /// What a step writes down.
    notes: Notes,
    /// Most rows of a step: few where the author's code is slow, so that a stop, a snapshot and the next operator do not wait.
    most: usize,
}

/// A step that took longer than this took too many rows…
const SLOW: Duration = Duration::from_millis(4);
/// …and one that took less could have taken more.
const QUICK: Duration = Duration::from_millis(1);

impl<Op: Operator> Node<Op> {
    pub fn new(
        core: Arc<NodeCore>,
        op: Op,
        inputs: Op::In,
        outputs: Op::Out,
        inside: Option<(Arc<Loop>, usize)>,
    ) -> Self {
        Self { core, op, inputs, outputs, inside, flushed: false, notes: Notes::default(), most: 1 }
    }

    /// Sends what waits and commits what the step changed.
    ///
    /// Inside a loop the change is committed before anything is sent, so that the loop never looks empty while records are
    /// on their way.
    fn settle(&mut self, permits: usize, held_before: usize, flushed: bool, taken: bool, shared: &Shared) {
        let Some((loop_, member)) = &self.inside else {
            self.outputs.send(usize::MAX);
            return;
        };
        let holding = self.op.holding();
        let waiting = self.outputs.waiting_inside();
        let mut available = (permits + held_before).saturating_sub(with_permits(&holding, shared));
        if waiting > available {
            available += loop_.extend(waiting - available);
        }
        let sending = waiting.min(available);
        let inputs_finished = if taken { 0 } else { self.inputs.newly_finished() };
        loop_.commit(
            *member,
            Change {
                released: available - sending,
                overflow: waiting - sending,
                parked: holding.parked,
                waiting: holding.waiting,
                noticed: self.core.attention.take_given(),
                inputs_finished,
                flushed,
            },
        );
        self.outputs.send(sending);
    }
}

/// Records in an operator's state that hold a permit: those that it works on, not those that wait.
fn with_permits(holding: &Holding, shared: &Shared) -> usize {
    let at_rest = if shared.rules.parked_rows_return_permits { 0 } else { holding.parked + holding.waiting };
    holding.held + at_rest
}

impl<Op: Operator> AnyNode for Node<Op> {
    fn step(&mut self, begun: Moment, shared: &Shared) -> Stepped {
        let idle = |next| Stepped { next, took: Duration::ZERO, rows: 0 };
        let core = &self.core;
        let place = self.inside.as_ref().map(|(loop_, member)| (loop_.as_ref(), *member));
        let most = shared.seeded.as_ref().map_or(self.most, Seeded::rows).min(self.op.room());
        let notes = shared.lineage.as_ref().map(|_| &mut self.notes);
        let mut cx = Cx { node: core, shared, inside: place, most, permits: 0, notes };
        let held = with_permits(&self.op.holding(), shared);

        if self.inside.is_none() {
            self.outputs.send(usize::MAX);
        }
        if self.outputs.is_blocked() {
            if self.inside.is_some() {
                self.outputs.send(0);
            }
            if self.outputs.is_blocked() {
                core.stats.blocked.store(true, Ordering::Relaxed);
                return idle(Next::Idle(None));
            }
        }
        core.stats.blocked.store(false, Ordering::Relaxed);

        let notices = core.take_notices();
        if !notices.is_empty() {
            self.op.notice(&notices, &mut self.outputs, &mut cx);
        }
        let woken = self.op.wake(&mut self.outputs, &mut cx);
        let mut busy = woken || !notices.is_empty();
        let awake = (woken && self.op.is_awake()) || !notices.is_empty();
        let (mut taken, mut rows) = (false, 0);
        // A paused node still takes in what comes back by itself and lets go of what is due.
        if !cx.is_paused()
            && self.op.is_ready()
            && let Some(batch) = self.inputs.take(&mut cx)
        {
            rows = Op::In::rows(&batch);
            Stats::add(&core.stats.records_in, rows as u64);
            self.op.process(batch, &mut self.outputs, &mut cx);
            taken = true;
            busy = true;
        }

        // Let go of what waits for more, once nothing more can come.
        let asked = self.inside.as_ref().is_some_and(|(loop_, member)| loop_.asks_to_flush(*member));
        if asked {
            self.op.flush(&mut self.outputs, &mut cx);
        }
        let ended = match &self.inside {
            Some((loop_, _)) => loop_.is_closed(),
            None => !taken && !self.op.is_open() && self.inputs.all_finished(),
        };
        let flushed = ended && !self.flushed;
        if flushed {
            self.op.flush(&mut self.outputs, &mut cx);
            self.flushed = true;
            busy = true;
        }

        let permits = cx.permits;
        if let Some(log) = &shared.lineage {
            log.add(core.id, begun, &mut self.notes);
        }
        self.settle(permits, held, asked, taken, shared);
        let mut took = Duration::ZERO;
        if busy {
            took = shared.clock.now() - begun;
            Stats::add(&self.core.stats.busy_ns, took.as_nanos() as u64);
            if taken {
                self.most = match took {
                    _ if took > SLOW => (self.most / 2).max(1),
                    _ if took < QUICK => (self.most * 2).min(MAX_ROWS),
                    _ => self.most,
                };
            }
        }

        let holding = self.op.holding();
        let kept = holding.parked + holding.waiting + holding.held + self.outputs.waiting_inside();
        if ended && self.flushed && kept == 0 && !self.outputs.is_blocked() {
            self.outputs.close();
            self.core.stats.done.store(true, Ordering::Relaxed);
            return Stepped { next: Next::Done, took, rows };
        }
        let next = if self.outputs.is_blocked() {
            self.core.stats.blocked.store(true, Ordering::Relaxed);
            Next::Idle(None)
        } else if awake || asked || flushed || (taken && self.inputs.is_waiting()) {
            if took > QUICK { Next::AgainLater } else { Next::Again }
        } else {
            Next::Idle(self.op.next_wake())
        };
        Stepped { next, took, rows }
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        self.op.visit(visit);
        self.outputs.visit(visit);
    }

    fn kept(&self) -> (usize, usize) {
        let holding = self.op.holding();
        (holding.parked + holding.waiting + holding.held, self.outputs.waiting_inside())
    }

    fn stop(&mut self) {
        self.op.stop();
    }
}
