//! The rules of the published simulator (*PPipe*, USENIX ATC 2025, artefact), to compare with: one moment per device and link up to
//! which it is taken, no gaps; at the first look at an item a full batch must be in time.

use std::collections::HashSet;

use smallvec::SmallVec;

use super::{Cause, Decision, Policy};
use crate::serving::state::{Hop, Path, Send, State};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Parity {
    devices: Vec<u64>,
    ups: Vec<u64>,
    downs: Vec<u64>,
    looked_at: HashSet<u32>,
}

impl Parity {
    /// The way whose every stage is taken by the device that ends first, its link counted.
    fn probe(&self, now: u64, state: &State, model: usize, pipeline: usize, items: usize) -> Path {
        let fleet = state.fleet();
        let stages = &fleet.models[model].pipelines[pipeline].stages;
        let (mut at, mut before, mut net) = (now, None, 0);
        let mut hops: SmallVec<[Hop; 3]> = SmallVec::new();
        for (d, stage) in stages.iter().enumerate() {
            let (len, last) = (stage.len_us(items), d + 1 == stages.len());
            let mut best: Option<(u64, Hop)> = None;
            for &device in &stage.devices {
                let here = &fleet.devices[device as usize];
                let send = before.map(|uplink: usize| {
                    let from = self.ups[uplink].max(self.downs[here.downlink]).max(at);
                    Send { uplink, downlink: here.downlink, from, until: from + net }
                });
                let ready = send.map_or(at, |send| send.until);
                let from = self.devices[device as usize].max(ready);
                let until = from + len;
                let key = if last { until } else { until.max(self.ups[here.uplink]) };
                if best.as_ref().is_none_or(|(other, _)| key < *other) {
                    best = Some((key, Hop { device, ready, from, until, send }));
                }
            }
            let Some((_, hop)) = best else { break };
            before = Some(fleet.devices[hop.device as usize].uplink);
            (at, net) = (hop.until, stage.send_us * items as u64);
            hops.push(hop);
        }
        Path { pipeline, stage: 0, hops }
    }

    fn reserve(&mut self, path: &Path) {
        for hop in &path.hops {
            self.devices[hop.device as usize] = hop.until;
            if let Some(send) = hop.send {
                self.ups[send.uplink] = send.until;
                self.downs[send.downlink] = send.until;
            }
        }
    }
}

impl Policy for Parity {
    fn name(&self) -> &'static str {
        "parity"
    }

    fn decide(&mut self, now: u64, state: &State, queue: usize) -> Decision {
        let Some(head) = state.queue(queue).front().copied() else { return Decision::Wait(None) };
        let fleet = state.fleet();
        self.devices.resize(fleet.devices.len(), 0);
        self.ups.resize(fleet.links, 0);
        self.downs.resize(fleet.links, 0);
        let model = &fleet.models[queue];
        let waits =
            |path: &Path, items: usize| path.finish() - now - model.pipelines[path.pipeline].work_us(items);
        let cost = |at: usize| {
            let batch = model.pipelines[at].batch;
            let path = self.probe(now, state, queue, at, batch);
            let late = batch == 1 && path.finish() > head.deadline;
            waits(&path, batch) + if late { model.slo_us } else { 0 }
        };
        let Some(at) = (0..model.pipelines.len()).min_by_key(|at| cost(*at)) else {
            return Decision::Wait(None);
        };
        let batch = model.pipelines[at].batch;
        let in_time = |rules: &Self, items: usize| {
            let path = rules.probe(now, state, queue, at, items);
            (path.finish() <= head.deadline).then_some((items, path))
        };
        if !self.looked_at.contains(&head.item) {
            // Up to nine items this asks for the full batch. Halves go to even there and away from zero here, which no batch meets.
            let least = (0.95 * batch as f64).round() as usize;
            if (least..=batch).rev().all(|items| in_time(self, items).is_none()) {
                return Decision::Decline(Cause::SmallBatch);
            }
            self.looked_at.insert(head.item);
        }
        let Some((items, path)) = (1..=batch).rev().find_map(|items| in_time(self, items)) else {
            self.looked_at.remove(&head.item);
            return Decision::Decline(Cause::Busy);
        };
        let waiting = state.queue(queue).len();
        if waiting >= items {
            self.reserve(&path);
            for gone in state.queue(queue).iter().take(items) {
                self.looked_at.remove(&gone.item);
            }
            return Decision::Launch { items, path };
        }
        let Some((more, path)) = in_time(self, waiting + 1) else {
            self.looked_at.remove(&head.item);
            return Decision::Decline(Cause::Busy);
        };
        Decision::Wait(Some(now + head.deadline - path.finish() + waits(&path, more) + 1))
    }
}
