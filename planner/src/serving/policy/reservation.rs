//! The default: time on every device and link of a way is reserved before a batch leaves.
//!
//! * Of a model's pipelines the one where the first of the queue would wait the least, in a full batch.
//! * A full batch goes at once. A smaller one waits for company until waiting longer would make it late.
//! * A batch is cut until its first is done in time; what not even alone would be, by any pipeline, is declined at once.
//! * Where devices of other stages are lent, they are looked at when its own would be too late.
//!
//! While devices keep to their profiles nothing that was launched is late. After *PPipe* (USENIX ATC 2025, §5), with gaps used, all
//! pipelines tried before declining, and borrowed devices.

use std::collections::HashSet;

use super::{Cause, Decision, Policy};
use crate::serving::state::{Ask, Path, State, Waiting};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Reservation {
    kept_per_priority: f64,
    small_batches: bool,
    looked_at: HashSet<u32>,
}

impl Reservation {
    /// Keeps room for those above: an item must be early by this part of its objective, 0 to 1, per step of its priority below the
    /// first.
    pub fn keeping(self, part: f64) -> Self {
        Self { kept_per_priority: part.clamp(0.0, 1.0), ..self }
    }

    /// Whether an item may go in a smaller batch although a full one that begins with it would already be late when it is first
    /// looked at. By default it is declined then: a small batch takes more time per item, which others would lack.
    pub fn small_batches(self, small: bool) -> Self {
        Self { small_batches: small, ..self }
    }
}

/// A batch that a pipeline could take.
struct Offer {
    items: usize,
    path: Path,
}

impl Policy for Reservation {
    fn name(&self) -> &'static str {
        "reservation"
    }

    fn decide(&mut self, now: u64, state: &State, queue: usize) -> Decision {
        let Some(head) = state.queue(queue).front().copied() else { return Decision::Wait(None) };
        let model = &state.fleet().models[queue];
        let kept = (f64::from(head.priority) * self.kept_per_priority * model.slo_us as f64) as u64;
        let by = head.deadline.saturating_sub(state.guard_us(queue) + kept);
        let first = !self.small_batches && self.looked_at.insert(head.item);
        for lend in [false, true] {
            if lend && model.pipelines.iter().flat_map(|way| &way.stages).all(|stage| stage.lent.is_empty()) {
                break;
            }
            if let Some(decision) = decide_among(now, state, queue, &head, by, lend, first) {
                return decision;
            }
        }
        Decision::Decline(if head.deadline < now { Cause::Expired } else { Cause::Busy })
    }
}

/// What to do, if the first of the queue can be in time.
fn decide_among(
    now: u64,
    state: &State,
    model: usize,
    head: &Waiting,
    by: u64,
    lend: bool,
    first: bool,
) -> Option<Decision> {
    let waiting = state.queue(model).len();
    let pipelines = &state.fleet().models[model].pipelines;
    let ask = |pipeline: usize, items: usize| {
        state.probe(Ask {
            model,
            pipeline,
            stage: 0,
            items,
            ready: now,
            input_on: None,
            lend,
            is_here: false,
        })
    };
    // What waits least in a full batch; what would be late so only where nothing else is left.
    let mut ways: Vec<(bool, u64, usize, Path)> = Vec::with_capacity(pipelines.len());
    for (at, way) in pipelines.iter().enumerate().filter(|(_, way)| lend || !way.overflow) {
        let Some(path) = ask(at, way.batch) else { continue };
        let finish = path.finish();
        let waits = (finish - now).saturating_sub(way.work_us(way.batch));
        ways.push((finish > by, waits, at, path));
    }
    ways.sort_unstable_by_key(|(late, waits, at, _)| (*late, *waits, *at));
    for (late, _, at, full) in ways {
        let batch = pipelines[at].batch;
        if late && first {
            continue;
        }
        let best = if late {
            largest(batch.min(waiting.max(1)), by, |items| ask(at, items))
        } else {
            Some(Offer { items: batch, path: full })
        };
        let Some(Offer { items, path }) = best else { continue };
        if waiting >= items {
            return Some(Decision::Launch { items, path });
        }
        // One more must still find room when it comes.
        let with_more = ask(at, waiting + 1).filter(|path| path.finish() <= by);
        let until = with_more.map(|path| {
            let waits = (path.finish() - now).saturating_sub(pipelines[at].work_us(waiting + 1));
            by - path.finish() + waits + now + 1
        });
        if let Some(until) = until.filter(|until| *until > now + 1 && head.deadline > now) {
            return Some(Decision::Wait(Some(until)));
        }
        let Some(path) = ask(at, waiting).filter(|path| path.finish() <= by) else { continue };
        return Some(Decision::Launch { items: waiting, path });
    }
    None
}

/// The largest batch up to `most` that is done in time.
fn largest(most: usize, by: u64, ask: impl Fn(usize) -> Option<Path>) -> Option<Offer> {
    (1..=most).rev().find_map(|items| {
        let path = ask(items).filter(|path| path.finish() <= by)?;
        Some(Offer { items, path })
    })
}
