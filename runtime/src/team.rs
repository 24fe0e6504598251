//! A team: neighbouring nodes that one actor steps in turn.
//!
//! What a member puts on an edge to another is taken by the same thread while it is still in its cache, and without a message.
//! To the graph nothing changes: members have their edges, counts, faults, permits and pauses as before, and who steps when was
//! never promised. All that the nodes of a workflow that are connected need is one team, until one turns out to be slow: it
//! then gets an actor of its own, so that the others need not wait for it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::{
    actor::NodeSlot,
    clock::Moment,
    node::{Next, Stepped},
    shared::Shared,
    waker::Waker,
};

/// A step that took longer than this…
const SLOW_STEP: Duration = Duration::from_micros(100);
/// …and longer than this for each row would gain more from a thread of its own than handing a row to one costs.
const SLOW_ROW: Duration = Duration::from_nanos(500);
/// So many slow steps more than quick ones: one alone may have been interrupted by something else.
const TOO_MANY: u32 = 4;

/// The nodes that one actor steps.
pub(crate) struct Team {
    waker: Arc<Waker>,
    /// In the order in which records pass them.
    members: Vec<Member>,
    /// Members that are to be woken at a time.
    timers: Vec<(Arc<Waker>, Moment)>,
}

struct Member {
    slot: NodeSlot,
    timer: Option<Moment>,
    /// Slow steps of late.
    slow: u32,
}

/// What is to be done after a turn.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Somebody has more to do.
    pub more: bool,
    /// A step was long: others first.
    pub later: bool,
    /// When the last step was over.
    now: Moment,
}

impl Team {
    /// A team of these nodes.
    pub fn new(slots: Vec<NodeSlot>) -> Self {
        let members = slots.into_iter().map(|slot| Member { slot, timer: None, slow: 0 });
        Self { waker: Waker::new(), members: members.collect(), timers: Vec::new() }
    }

    /// What wakes its actor.
    pub fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    /// Its actor is there: everybody looks for work.
    pub fn begin(&self) {
        self.members.iter().for_each(|member| member.slot.core.waker.attach_team(Arc::clone(&self.waker)));
    }

    /// Whether all its members are done.
    pub fn is_done(&self) -> bool {
        self.members.is_empty()
    }

    /// Steps each member once that has been woken.
    pub fn turn(&mut self, shared: &Shared) -> Turn {
        let mut turn = Turn { more: false, later: false, now: shared.clock.now() };
        let Self { members, timers, .. } = self;
        members.retain_mut(|member| !member.step(shared, &mut turn, timers));
        turn.more = self.members.iter().any(|member| member.slot.core.waker.is_pending());
        turn
    }

    /// Nobody has more to do. Says whether somebody has been woken since, so that the actor must go on.
    pub fn rest(&self) -> bool {
        // Whoever is woken from now on wakes the team.
        self.waker.taken();
        let woken = self.members.iter().any(|member| member.slot.core.waker.is_pending());
        woken && self.waker.claim()
    }

    /// Takes out who is to be woken at a time.
    pub fn take_timers(&mut self) -> Vec<(Arc<Waker>, Moment)> {
        std::mem::take(&mut self.timers)
    }

    /// Whether there is something to be done beside turns: it is done, a timer is to be set, or a member is too slow for it.
    pub fn needs_its_actor(&self) -> bool {
        self.is_done()
            || !self.timers.is_empty()
            || (self.members.len() > 1 && self.members.iter().any(|member| member.slow >= TOO_MANY))
    }

    /// Takes out the members that are too slow for the others to wait for them.
    pub fn take_slow(&mut self) -> Vec<NodeSlot> {
        if self.members.len() < 2 {
            return Vec::new();
        }
        self.members.extract_if(.., |member| member.slow >= TOO_MANY).map(|member| member.slot).collect()
    }

    /// Lets go of what is outside of the graph: the run is over.
    pub fn stop(&self) {
        self.members.iter().for_each(|member| member.slot.stop());
    }
}

impl Member {
    /// Steps if it has been woken. Says whether it is done.
    fn step(&mut self, shared: &Shared, turn: &mut Turn, timers: &mut Vec<(Arc<Waker>, Moment)>) -> bool {
        let waker = &self.slot.core.waker;
        if !waker.is_pending() {
            return false;
        }
        waker.taken();
        let Stepped { next, took, rows } = self.slot.step(turn.now, shared);
        turn.now += took;
        if rows > 0 {
            let slow = took > SLOW_STEP && took > SLOW_ROW * rows as u32;
            self.slow = if slow { self.slow + 1 } else { self.slow.saturating_sub(1) };
        }
        match next {
            Next::Again => waker.mark(),
            Next::AgainLater => {
                waker.mark();
                turn.later = true;
            }
            Next::Idle(None) => {}
            Next::Idle(Some(at)) => {
                let now = shared.clock.now();
                if self.timer.is_none_or(|set| set <= now || at < set) {
                    self.timer = Some(at);
                    timers.push((Arc::clone(waker), at));
                }
            }
            Next::Done => {
                shared.node_done();
                return true;
            }
        }
        false
    }
}

/// Who is in a team with whom: all nodes that edges connect, but for those that are to be alone.
pub(crate) fn teams(nodes: usize, edges: &[(u32, u32)], alone: &[bool]) -> Vec<Vec<u32>> {
    let mut teams = Vec::new();
    let mut seen = alone.to_vec();
    for first in 0..nodes {
        let mut team = vec![first as u32];
        if !std::mem::replace(&mut seen[first], true) {
            let mut next = VecDeque::from([first as u32]);
            while let Some(node) = next.pop_front() {
                let neighbours = edges.iter().filter_map(|&(from, to)| match node {
                    _ if from == node => Some(to),
                    _ if to == node => Some(from),
                    _ => None,
                });
                for other in neighbours {
                    if !std::mem::replace(&mut seen[other as usize], true) {
                        team.push(other);
                        next.push_back(other);
                    }
                }
            }
            // Operators are written in the order in which records pass them.
            team.sort_unstable();
            teams.push(team);
        } else if alone[first] {
            teams.push(team);
        }
    }
    teams
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_connected_is_in_one_team_unless_alone() {
        // 0 → 1 → 3, 2 → 3 → 4 (alone) → 5; 6 → 7.
        let edges = [(0, 1), (1, 3), (2, 3), (3, 4), (4, 5), (6, 7)];
        let mut alone = [false; 8];
        alone[4] = true;
        let expected: [&[u32]; 4] = [&[0, 1, 2, 3], &[4], &[5], &[6, 7]];
        assert_eq!(teams(8, &edges, &alone), expected);
        assert_eq!(teams(3, &[(0, 1), (1, 2)], &[true; 3]).len(), 3);
    }
}
