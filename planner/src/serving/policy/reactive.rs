//! Without reservations: items queue up before every stage, and a device that falls idle takes what waits.

use smallvec::smallvec;

use super::{Cause, Decision, Policy};
use crate::serving::state::{Hop, Path, State};

/// The largest batch whose first is in time if later stages take no longer than planned; what would only be in time in less than 95 %
/// of the planned batch is dropped (*PPipe*, USENIX ATC 2025, §7, baseline).
#[derive(Clone, Copy, Debug, Default)]
pub struct Reactive;

/// As much as waits, up to the planned batch; only what is too late in any case is dropped.
#[derive(Clone, Copy, Debug, Default)]
pub struct EarliestDeadline;

/// An idle device of the stage before which a queue is. Of several pipelines the first that has one.
pub(super) fn idle(state: &State, queue: usize) -> Option<(usize, usize, u32)> {
    let spot = state.spots()[queue];
    let pipelines = &state.fleet().models[spot.model].pipelines;
    let free = |pipeline: usize, stage: usize| {
        let devices = &pipelines[pipeline].stages[stage].devices;
        let device = devices.iter().find(|at| state.lane(**at).is_empty() && !state.is_fenced(**at))?;
        Some((pipeline, stage, *device))
    };
    match spot.stage {
        Some((pipeline, stage)) => free(pipeline, stage),
        None => (0..pipelines.len()).find_map(|pipeline| free(pipeline, 0)),
    }
}

/// A launch on that device, now.
pub(super) fn launch(
    now: u64,
    state: &State,
    queue: usize,
    at: (usize, usize, u32),
    items: usize,
) -> Decision {
    let (pipeline, stage, device) = at;
    let len = state.expected_us(state.spots()[queue].model, pipeline, stage, device, items);
    let hop = Hop { device, ready: now, from: now, until: now + len, send: None };
    Decision::Launch { items, path: Path { pipeline, stage, hops: smallvec![hop] } }
}

/// µs from the start of a launch of so many to its end in the last stage, later stages at the planned batch.
fn left_us(state: &State, queue: usize, at: (usize, usize, u32), items: usize) -> u64 {
    let (pipeline, stage, device) = at;
    let model = state.spots()[queue].model;
    let way = &state.fleet().models[model].pipelines[pipeline];
    let later = way.stages.iter().skip(stage + 1);
    let later: u64 = later.map(|of| of.len_us(way.batch) + of.send_us * way.batch as u64).sum();
    let here = state.expected_us(model, pipeline, stage, device, items);
    here + way.stages[stage].send_us * items as u64 + later
}

impl Policy for Reactive {
    fn name(&self) -> &'static str {
        "reactive"
    }

    fn books_ahead(&self) -> bool {
        false
    }

    fn decide(&mut self, now: u64, state: &State, queue: usize) -> Decision {
        let line = state.queue(queue);
        let (Some(at), Some(head)) = (idle(state, queue), line.front()) else { return Decision::Wait(None) };
        let batch = state.fleet().models[state.spots()[queue].model].pipelines[at.0].batch;
        let fits = |items: &usize| now + left_us(state, queue, at, *items) <= head.deadline;
        match (1..=batch).rev().find(fits) {
            Some(items) if items as f64 >= (0.95 * batch as f64).round() => {
                launch(now, state, queue, at, items.min(line.len()))
            }
            _ => Decision::Decline(if head.deadline < now { Cause::Expired } else { Cause::SmallBatch }),
        }
    }
}

impl Policy for EarliestDeadline {
    fn name(&self) -> &'static str {
        "earliest-deadline"
    }

    fn books_ahead(&self) -> bool {
        false
    }

    fn decide(&mut self, now: u64, state: &State, queue: usize) -> Decision {
        let line = state.queue(queue);
        let (Some(at), Some(head)) = (idle(state, queue), line.front()) else { return Decision::Wait(None) };
        if now + left_us(state, queue, at, 1) > head.deadline {
            return Decision::Decline(Cause::Expired);
        }
        let batch = state.fleet().models[state.spots()[queue].model].pipelines[at.0].batch;
        launch(now, state, queue, at, line.len().min(batch))
    }
}
