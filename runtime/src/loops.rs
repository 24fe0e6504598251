//! A loop: a strongly connected component of the graph, and the permits that bound it.
//!
//! Every record on an edge inside the loop holds a permit, and so does one that a model inside it works on. Permits are
//! taken where records enter and given back where they leave, end, or park in the state of a join or gather. Since inner
//! edges hold as many records as there are permits, nothing inside can wait for room inside; since parked records give
//! their permits back, nothing waits for a partner that cannot enter. Further outputs of one record (a flat map, a
//! scatter) take a free permit or wait in their actor's overflow, which comes before new records from outside.
//!
//! One lock, taken once per step, so that "nothing is inside" is never seen by mistake.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use crate::{
    rules::Rules,
    sync::{Mutex, Rule, holds},
    view::LoopSnapshot,
    waker::Waker,
};

/// Permits of a loop unless it is told otherwise.
pub const DEFAULT_PERMITS: usize = 4096;

/// A strongly connected component with its permits.
#[derive(Debug)]
pub struct Loop {
    permits: usize,
    /// Node numbers of the members, ascending, with their wakers in the same order.
    members: Vec<u32>,
    wakers: Vec<Arc<Waker>>,
    names: Vec<String>,
    rules: Rules,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    used: usize,
    /// Per member: records that wait for a permit.
    overflow: Vec<usize>,
    /// Most that waited at once, over all members.
    most_overflow: usize,
    /// Per member: records in its state, without permits, that a flush lets go of.
    parked: Vec<usize>,
    /// Per member: records in its state, without permits, that go on by themselves.
    waiting_for_others: Vec<usize>,
    /// Per member: what it has been told of and has not looked at.
    notices: Vec<usize>,
    /// Edges from outside that may still bring records.
    open_inputs: usize,
    /// The member that is to let go of its parked records.
    flushing: Option<usize>,
    /// Members that want to be woken when permits are free.
    waiting: Vec<usize>,
    closed: bool,
}

/// What one step of a member changed, committed in one update.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change {
    /// Permits given back.
    pub released: usize,
    /// Its overflow after the step.
    pub overflow: usize,
    /// Its parked records after the step.
    pub parked: usize,
    /// Its records after the step that wait for others to end.
    pub waiting: usize,
    /// What it was told of and has looked at in the step.
    pub noticed: usize,
    /// Edges from outside that it found finished.
    pub inputs_finished: usize,
    /// Whether it did the flush that it was asked for.
    pub flushed: bool,
}

impl Loop {
    pub(crate) fn new(
        permits: usize,
        rules: Rules,
        members: Vec<(u32, Arc<Waker>)>,
        names: Vec<String>,
        open_inputs: usize,
    ) -> Arc<Self> {
        let n = members.len();
        let (members, wakers) = members.into_iter().unzip();
        let state = State {
            used: 0,
            overflow: vec![0; n],
            most_overflow: 0,
            parked: vec![0; n],
            waiting_for_others: vec![0; n],
            notices: vec![0; n],
            open_inputs,
            flushing: None,
            waiting: Vec::new(),
            closed: false,
        };
        Arc::new(Self { permits: permits.max(1), members, wakers, names, rules, state: Mutex::new(state) })
    }

    /// Permits in all.
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// Node numbers of the members, ascending.
    pub(crate) fn members(&self) -> &[u32] {
        &self.members
    }

    /// The place of a node among the members.
    pub(crate) fn place_of(&self, node: u32) -> Option<usize> {
        self.members.binary_search(&node).ok()
    }

    /// Takes up to `want` permits for records that come from outside; none while overflow waits.
    pub(crate) fn admit(&self, member: usize, want: usize) -> usize {
        let mut state = self.state.lock();
        let free = self.permits - state.used;
        let behind_others = self.rules.overflow_comes_first && state.overflow.iter().any(|&n| n > 0);
        let granted = if behind_others { 0 } else { want.min(free) };
        if granted == 0 && !state.waiting.contains(&member) {
            state.waiting.push(member);
        }
        state.used += granted;
        granted
    }

    /// Takes up to `want` permits for further outputs of records that are inside.
    pub(crate) fn extend(&self, want: usize) -> usize {
        let mut state = self.state.lock();
        let granted = want.min(self.permits - state.used);
        state.used += granted;
        granted
    }

    /// Whether this member is to let go of its parked records, since nothing else is left inside.
    pub(crate) fn asks_to_flush(&self, member: usize) -> bool {
        self.state.lock().flushing == Some(member)
    }

    /// Whether nothing is inside and nothing can come.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Commits what one step changed, and wakes whoever can go on because of it.
    pub(crate) fn commit(&self, member: usize, change: Change) {
        let mut wake: Vec<usize> = Vec::new();
        {
            let mut state = self.state.lock();
            state.used -= change.released;
            if change.overflow > state.overflow[member] {
                let others = state.overflow.iter().sum::<usize>() - state.overflow[member];
                state.most_overflow = state.most_overflow.max(others + change.overflow);
            }
            state.overflow[member] = change.overflow;
            state.parked[member] = change.parked;
            state.waiting_for_others[member] = change.waiting;
            if self.rules.notices_count {
                state.notices[member] -= change.noticed;
            }
            state.open_inputs -= change.inputs_finished;
            if change.flushed && state.flushing == Some(member) {
                state.flushing = None;
            }
            if state.used < self.permits {
                let starved = (0..state.overflow.len()).filter(|&m| state.overflow[m] > 0);
                wake.extend(starved);
                let mut rule = Rule::PermitsWakeOverflow;
                if wake.is_empty() || !self.rules.overflow_comes_first {
                    wake.append(&mut state.waiting);
                    rule = Rule::PermitsWakeIngress;
                }
                if !holds(rule) {
                    wake.clear();
                }
            }
            let quiet = state.open_inputs == 0
                && state.used == 0
                && state.overflow.iter().chain(&state.notices).all(|&n| n == 0);
            if quiet && !state.closed && state.flushing.is_none() {
                let parked = state.parked.iter().position(|&n| n > 0);
                match parked.filter(|_| holds(Rule::ParkedRowsAreFlushed)) {
                    Some(next) => {
                        state.flushing = Some(next);
                        wake.push(next);
                    }
                    // Their parts are outside of the loop, or parked there.
                    None if state.waiting_for_others.iter().any(|&n| n > 0) => {}
                    None => {
                        state.closed = true;
                        wake = (0..self.wakers.len()).collect();
                    }
                }
            }
        }
        for member in wake {
            self.wakers[member].wake();
        }
    }

    fn notify(&self, member: usize) {
        if self.rules.notices_count {
            self.state.lock().notices[member] += 1;
        }
    }

    pub(crate) fn snapshot(&self) -> LoopSnapshot {
        let state = self.state.lock();
        LoopSnapshot {
            nodes: self.members.clone(),
            names: self.names.clone(),
            permits: self.permits as u64,
            used: state.used as u64,
            overflow_most: state.most_overflow as u64,
        }
    }
}

/// How a node is told that something waits for it that is not on an edge, so that its loop knows of it too.
#[derive(Debug, Default)]
pub(crate) struct Attention {
    waker: Arc<Waker>,
    inside: OnceLock<(Arc<Loop>, usize)>,
    given: AtomicUsize,
}

impl Attention {
    /// For the node of this waker.
    pub fn new(waker: Arc<Waker>) -> Arc<Self> {
        Arc::new(Self { waker, ..Self::default() })
    }

    /// The node is in this loop.
    pub fn put_inside(&self, loop_: Arc<Loop>, member: usize) {
        // Set once, by the run that owns the graph.
        let _ = self.inside.set((loop_, member));
    }

    /// Something is put where the node will look.
    pub fn ask(&self, put: impl FnOnce()) {
        if let Some((loop_, member)) = self.inside.get() {
            loop_.notify(*member);
        }
        put();
        self.waker.wake();
    }

    /// The node has looked at `n` things in this step.
    pub fn given(&self, n: usize) {
        self.given.fetch_add(n, Ordering::Relaxed);
    }

    /// What the node has looked at since the last call.
    pub fn take_given(&self) -> usize {
        self.given.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_members(permits: usize) -> Arc<Loop> {
        Loop::new(permits, Rules::default(), vec![(3, Waker::new()), (5, Waker::new())], vec![], 1)
    }

    #[test]
    fn overflow_comes_before_new_records() {
        let l = two_members(4);
        assert_eq!(l.admit(0, 3), 3);
        l.commit(1, Change { released: 2, overflow: 5, ..Change::default() });
        assert_eq!(l.admit(0, 3), 0, "overflow waits");
        assert_eq!(l.extend(5), 3);
        l.commit(1, Change { overflow: 0, ..Change::default() });
        assert_eq!(l.admit(0, 3), 0, "no permit is free");
    }

    #[test]
    fn parked_records_are_flushed_before_it_closes() {
        let l = two_members(4);
        assert_eq!(l.admit(0, 1), 1);
        l.commit(1, Change { released: 1, parked: 1, ..Change::default() });
        assert!(!l.is_closed());
        l.commit(0, Change { inputs_finished: 1, ..Change::default() });
        assert!(l.asks_to_flush(1) && !l.is_closed());
        l.commit(1, Change { flushed: true, ..Change::default() });
        assert!(l.is_closed());
    }

    #[test]
    fn what_a_member_was_told_keeps_it_open_until_it_has_looked() {
        let closes_early = |rules: Rules| {
            let l = Loop::new(4, rules, vec![(3, Waker::new()), (5, Waker::new())], vec![], 1);
            let attention = Attention::new(Waker::new());
            attention.put_inside(Arc::clone(&l), 1);
            attention.ask(|| ());
            l.commit(0, Change { inputs_finished: 1, ..Change::default() });
            let early = l.is_closed();
            l.commit(1, Change { noticed: 1, ..Change::default() });
            assert!(l.is_closed());
            early
        };
        assert!(!closes_early(Rules::default()));
        assert!(
            closes_early(Rules { notices_count: false, ..Rules::default() }),
            "the rule is what keeps it open"
        );
    }

    #[test]
    fn what_waits_for_its_parts_is_not_flushed_and_keeps_it_open() {
        let l = two_members(4);
        assert_eq!(l.admit(0, 1), 1);
        l.commit(0, Change { inputs_finished: 1, waiting: 1, ..Change::default() });
        l.commit(1, Change { released: 1, parked: 2, ..Change::default() });
        assert!(l.asks_to_flush(1) && !l.asks_to_flush(0));
        l.commit(1, Change { flushed: true, ..Change::default() });
        assert!(!l.is_closed() && !l.asks_to_flush(0));
        l.commit(0, Change::default());
        assert!(l.is_closed());
    }
}
