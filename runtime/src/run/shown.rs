//! What a run shows of itself: counts at a barrier, what each node does, and hints where something looks wrong.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;

use super::{Live, steering};
use crate::{
    actor::NodeSlot,
    fate::Fate,
    operator::NodeCore,
    view::{BalanceView, Balances, NodeSnapshot, ProblemView, RunState, Snapshot},
};

/// How long a snapshot waits for a step to end before it shows the balances of the last barrier.
const BARRIER: Duration = Duration::from_millis(5);
/// Records that a handler must have passed before the page says that it never fires.
const NEVER_FIRES: u64 = 1000;

impl Live {
    /// `slots` are the nodes into which handlers can be put.
    pub(super) fn fill(&self, snapshot: &mut Snapshot, last: &Mutex<Balances>, slots: &[u32]) {
        if let Some(_barrier) = self.shared.gate.try_write_for(BARRIER) {
            *last.lock() = self.count();
        }
        snapshot.balances = last.lock().clone();
        snapshot.nodes = self.nodes.iter().map(|(slot, _)| node_snapshot(slot)).collect();
        snapshot.edges = self.edges.iter().map(|edge| edge.snapshot()).collect();
        snapshot.loops = self.loops.iter().map(|loop_| loop_.snapshot()).collect();
        snapshot.faults = self.shared.faults.view(&|root| self.shared.origin_of(root));
        snapshot.faults.store = self.shared.store.as_ref().map(|store| store.state());
        snapshot.stalls = self.shared.stalls();
        snapshot.devices = self.serving.devices();
        if snapshot.state == RunState::Finished {
            snapshot.hints.extend(nothing_came_out(&snapshot.balances.roots));
        }
        snapshot.hints.extend(snapshot.faults.store.as_ref().and_then(steering::not_written));
        snapshot.hints.extend(stalled(snapshot.stalls));
        snapshot.hints.extend(self.nodes.iter().filter_map(|(slot, _)| started_again(slot)));
        for ((slot, _), node) in self.nodes.iter().zip(&snapshot.nodes) {
            if let Some(hint) = never_fires(&slot.core, node, slots) {
                snapshot.hints.push(hint);
            }
        }
    }

    /// Counts both balances: what ended by the tallies, what is in flight by looking at every edge and node.
    pub(super) fn count(&self) -> Balances {
        let mut records = BalanceView::default();
        let mut roots = BalanceView::default();
        for (slot, _) in &self.nodes {
            let stats = &slot.core.stats;
            records.created += stats.created.load(Ordering::Relaxed);
            roots.created += stats.roots_created.load(Ordering::Relaxed);
            stats.ended.add_to(&mut records.ended);
            stats.roots_ended.add_to(&mut roots.ended);
        }
        let mut open = HashSet::new();
        let mut visit = |id, trail: Option<&crate::record::Trail>| {
            records.in_flight += 1;
            match trail {
                Some(trail) if !trail.roots.is_empty() => {
                    open.extend(trail.roots.iter().map(|root| root.id()))
                }
                _ => {
                    open.insert(id);
                }
            }
        };
        for edge in &self.edges {
            edge.visit(&mut visit);
        }
        for (slot, _) in &self.nodes {
            slot.node.lock().visit(&mut visit);
        }
        for end in self.shared.provisional.lock().values() {
            open.extend(end.roots());
        }
        roots.in_flight = open.len() as u64;
        for balance in [&mut records, &mut roots] {
            balance.holds = balance.created == balance.ended.values().sum::<u64>() + balance.in_flight;
        }
        Balances { at_us: self.shared.clock.now_us(), records, roots }
    }
}

fn node_snapshot(slot: &NodeSlot) -> NodeSnapshot {
    let stats = &slot.core.stats;
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    // A node in a long step is not waited for.
    let (parked, overflow) = slot.node.try_lock().map_or((0, 0), |node| node.kept());
    let mut ended = Default::default();
    stats.ended.add_to(&mut ended);
    NodeSnapshot {
        records_in: load(&stats.records_in),
        records_out: load(&stats.records_out),
        ended,
        parked: parked as u64,
        overflow: overflow as u64,
        busy_us: load(&stats.busy_ns) / 1000,
        blocked: stats.blocked.load(Ordering::Relaxed),
        done: stats.done.load(Ordering::Relaxed),
        paused: slot.is_paused(),
        verdicts: *slot.core.meters.verdicts.lock(),
        latency: slot.core.meters.latency.lock().view(),
        model: slot.core.meters.model.lock().clone(),
        people: *slot.core.meters.people.lock(),
    }
}

fn nothing_came_out(roots: &BalanceView) -> Option<ProblemView> {
    let out =
        roots.ended.contains_key(Fate::Emitted.name()) || roots.ended.contains_key(Fate::Absorbed.name());
    (roots.created > 0 && !out).then(|| {
        let ends: Vec<String> = roots.ended.iter().map(|(fate, n)| format!("{n} {fate}")).collect();
        ProblemView {
            node: None,
            location: String::new(),
            what: format!("nothing reached a sink: of {} source records {}", roots.created, ends.join(", ")),
            advice: "look at the faults by reason, and at where the counts along the graph fall to 0"
                .to_owned(),
        }
    })
}

fn stalled(stalls: u64) -> Option<ProblemView> {
    (stalls > 0).then(|| ProblemView {
        node: None,
        location: String::new(),
        what: format!("the run stalled {stalls} times: records are inside and nothing moved them"),
        advice: "this is a fault of Eddyline, not of the workflow: keep the workflow and report it"
            .to_owned(),
    })
}

fn started_again(slot: &NodeSlot) -> Option<ProblemView> {
    let restarts = slot.restarts();
    (restarts > 0).then(|| ProblemView {
        node: Some(slot.core.id),
        location: String::new(),
        what: format!("an actor of `{}` died and was started again: {restarts} times so far", slot.core.name),
        advice: "no record was lost; this is a fault of Eddyline, not of the workflow: please report it"
            .to_owned(),
    })
}

fn never_fires(core: &NodeCore, node: &NodeSnapshot, slots: &[u32]) -> Option<ProblemView> {
    let verdicts = node.verdicts?;
    let quiet = verdicts.passed + verdicts.abstained == verdicts.judged;
    // A handler that panicked on some records has done something, and its faults say what.
    let quiet = quiet && node.ended.is_empty();
    let enough = verdicts.judged >= NEVER_FIRES || (node.done && verdicts.judged > 0);
    if !(quiet && enough) {
        return None;
    }
    if slots.contains(&core.id) {
        return Some(ProblemView {
            node: Some(core.id),
            location: String::new(),
            what: format!("the slot `{}` has changed none of {} records", core.name, verdicts.judged),
            advice: "it is empty, or what is there judges in shadow or lets everything pass; fill it, and have it obeyed, on the page, \
                     over HTTP (`/api/slots`) or with `flow.slots()`"
                .to_owned(),
        });
    }
    Some(ProblemView {
        node: Some(core.id),
        location: String::new(),
        what: format!(
            "the handler `{}` has never fired: it passed all {} records",
            core.name, verdicts.judged
        ),
        advice: "if it should have, look at the values on the edge into it and at its threshold; \
                 `eddyline::testing::judge` runs a handler on a list of values"
            .to_owned(),
    })
}
