//! The default: time on every device and link of a way is reserved before a batch leaves.
//!
//! * Of a model's pipelines the one where the first of the queue would wait the least, in a full batch.
//! * A full batch goes at once. A smaller one waits for company until waiting longer would make it late.
//! * What could not be done in time in a full batch by any pipeline when it is first looked at is declined at once
//!   ([`small_batches`](Reservation::small_batches)); *full* is what idle devices would do in the time that is left.
//! * Where devices of other stages are lent, they are looked at when its own would be too late.
//!
//! While devices keep to their profiles nothing that was launched is late. After *PPipe* (USENIX ATC 2025, §5), with gaps used, all
//! pipelines tried before declining, and borrowed devices.

use std::collections::HashSet;

use smallvec::SmallVec;

use super::{Cause, Decision, Policy};
use crate::serving::state::{Ask, Path, State};

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
        let lends = model.pipelines.iter().flat_map(|way| &way.stages).any(|stage| !stage.lent.is_empty());
        let look = |lend: bool| Look { now, state, model: queue, deadline: head.deadline, by, lend };
        let decision = look(false).decide(first).or_else(|| look(true).decide(first).filter(|_| lends));
        let decision = decision.unwrap_or_else(|| {
            Decision::Decline(match (head.deadline < now, first && look(lends).decide(false).is_some()) {
                (true, _) => Cause::Expired,
                (_, true) => Cause::SmallBatch,
                (_, false) => Cause::Busy,
            })
        });
        let gone = match &decision {
            Decision::Launch { items, .. } => *items,
            Decision::Decline(_) => 1,
            Decision::Wait(_) => 0,
        };
        for waiting in state.queue(queue).iter().take(gone) {
            self.looked_at.remove(&waiting.item);
        }
        decision
    }
}

/// A pipeline as a full batch would find it.
struct Way {
    late: bool,
    waits: u64,
    pipeline: usize,
    batch: usize,
    path: Path,
}

/// A look at the first of a model's queue.
struct Look<'a> {
    now: u64,
    state: &'a State,
    model: usize,
    deadline: u64,
    /// When it is to be done, with room for what may come between.
    by: u64,
    lend: bool,
}

impl Look<'_> {
    fn ask(&self, pipeline: usize, items: usize) -> Option<Path> {
        let Self { model, lend, now, .. } = *self;
        let ask = Ask { model, pipeline, stage: 0, items, ready: now, input_on: None, lend, is_here: false };
        self.state.probe(ask)
    }

    fn in_time(&self, pipeline: usize, items: usize) -> Option<Path> {
        self.ask(pipeline, items).filter(|path| path.finish() <= self.by)
    }

    /// What to do, if it can be in time; at the first look only in a batch as full as it could be on idle devices.
    fn decide(&self, first: bool) -> Option<Decision> {
        let waiting = self.state.queue(self.model).len();
        let pipelines = &self.state.fleet().models[self.model].pipelines;
        // What waits least in a full batch; what would be late so only where nothing else is left.
        let mut ways: SmallVec<[Way; 4]> = SmallVec::new();
        for (at, way) in pipelines.iter().enumerate().filter(|(_, way)| self.lend || !way.overflow) {
            let left = self.by.saturating_sub(self.now);
            let batch = (2..=way.batch).rev().find(|items| way.work_us(*items) <= left).unwrap_or(1);
            let Some(path) = self.ask(at, batch) else { continue };
            let waits = (path.finish() - self.now).saturating_sub(way.work_us(batch));
            ways.push(Way { late: path.finish() > self.by, waits, pipeline: at, batch, path });
        }
        ways.sort_unstable_by_key(|way| (way.late, way.waits, way.pipeline));
        ways.into_iter().filter(|way| !(first && way.late)).find_map(|way| {
            let at = way.pipeline;
            let (items, path) = if way.late {
                let most = way.batch.min(waiting);
                (1..=most).rev().find_map(|items| Some((items, self.in_time(at, items)?)))?
            } else {
                (way.batch, way.path)
            };
            if waiting >= items {
                return Some(Decision::Launch { items, path });
            }
            // One more must still find room when it comes.
            let until = self.in_time(at, waiting + 1).map(|path| {
                let waits = (path.finish() - self.now).saturating_sub(pipelines[at].work_us(waiting + 1));
                self.by - path.finish() + waits + self.now + 1
            });
            match until.filter(|until| *until > self.now + 1 && self.deadline > self.now) {
                Some(until) => Some(Decision::Wait(Some(until))),
                None => Some(Decision::Launch { items: waiting, path: self.in_time(at, waiting)? }),
            }
        })
    }
}
