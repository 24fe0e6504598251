//! What a policy decides by: what waits, what is promised on every device and link, and how fast devices turned out to be.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::{
    fleet::{Fleet, FleetStage},
    lane::{Lane, Slot, earliest_on_both},
};

/// An item that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// 0 is served first.
    pub priority: u8,
    /// When it is to be done, µs.
    pub deadline: u64,
    /// Who it is.
    pub item: u32,
}

/// What a queue is before: a stage of a pipeline, or a whole model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The model.
    pub model: usize,
    /// The pipeline and its stage, ≥ 1; `None` before the model, where the pipeline is still to be chosen.
    pub stage: Option<(usize, usize)>,
}

/// A stop of a launch: its slot on a device, and on links before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The device.
    pub device: u32,
    /// When its input is there.
    pub ready: u64,
    /// Computing from here.
    pub from: u64,
    /// Computing until then.
    pub until: u64,
    /// What brings its input from the device before.
    pub send: Option<Send>,
}

/// A slot on two links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Send {
    /// Sent on this one.
    pub uplink: usize,
    /// Received on this one.
    pub downlink: usize,
    /// From here.
    pub from: u64,
    /// Until then.
    pub until: u64,
}

/// A way through some or all stages of a pipeline, from one of them on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The pipeline.
    pub pipeline: usize,
    /// The stage of the first hop.
    pub stage: usize,
    /// One per stage.
    pub hops: SmallVec<[Hop; 3]>,
}

impl Path {
    /// When it ends.
    pub fn finish(&self) -> u64 {
        self.hops.last().map_or(0, |hop| hop.until)
    }
}

/// What [`State::probe`] looks for.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// The model.
    pub model: usize,
    /// The pipeline.
    pub pipeline: usize,
    /// The first stage.
    pub stage: usize,
    /// Items in the launch.
    pub items: usize,
    /// When it could begin there at the earliest.
    pub ready: u64,
    /// Where its input is, if that is on a device.
    pub input_on: Option<u32>,
    /// Whether devices of others are looked at as well.
    pub lend: bool,
    /// Whether its input really is where it says, so that in the first stage promises to what comes later give way.
    pub is_here: bool,
}

/// How fast a device or a stage is beside its profile, and how far ends are from promises.
#[derive(Clone, Debug)]
struct Pace {
    stages: Vec<f64>,
    devices: Vec<f64>,
    /// Per model: mean and mean square of end less promise, µs.
    misses: Vec<(f64, f64)>,
}

/// Weights of the latest measurement.
const LEARN_STAGE: f64 = 0.1;
const LEARN_DEVICE: f64 = 0.3;
const LEARN_MISS: f64 = 0.02;

/// See the module.
#[derive(Clone, Debug)]
pub struct State {
    fleet: Fleet,
    devices: Vec<Lane>,
    ups: Vec<Lane>,
    downs: Vec<Lane>,
    fenced: Vec<bool>,
    spots: Vec<Spot>,
    queues: Vec<VecDeque<Waiting>>,
    /// Per model, pipeline and stage: its place among stages.
    stage_at: Vec<Vec<usize>>,
    pace: Pace,
}

impl State {
    /// Nothing waits and nothing is promised.
    pub fn new(fleet: Fleet) -> Self {
        let (mut stage_at, mut stages) = (Vec::new(), 0);
        let mut spots: Vec<Spot> = (0..fleet.models.len()).map(|model| Spot { model, stage: None }).collect();
        for (model, of) in fleet.models.iter().enumerate() {
            let mut firsts = Vec::with_capacity(of.pipelines.len());
            for (pipeline, way) in of.pipelines.iter().enumerate() {
                firsts.push(stages);
                stages += way.stages.len();
                spots.extend(
                    (1..way.stages.len()).map(|stage| Spot { model, stage: Some((pipeline, stage)) }),
                );
            }
            stage_at.push(firsts);
        }
        let (devices, links, models) = (fleet.devices.len(), fleet.links, fleet.models.len());
        Self {
            fleet,
            devices: vec![Lane::default(); devices],
            ups: vec![Lane::default(); links],
            downs: vec![Lane::default(); links],
            fenced: vec![false; devices],
            queues: vec![VecDeque::new(); spots.len()],
            spots,
            stage_at,
            pace: Pace {
                stages: vec![1.0; stages],
                devices: vec![1.0; devices],
                misses: vec![(0.0, 0.0); models],
            },
        }
    }

    /// What there is.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// What is before each queue; those of whole models come first, in the models' order.
    pub fn spots(&self) -> &[Spot] {
        &self.spots
    }

    /// The queue before a stage, or before its model.
    pub fn queue_before(&self, model: usize, pipeline: usize, stage: usize) -> usize {
        let same = |spot: &Spot| spot.model == model && spot.stage == Some((pipeline, stage));
        if stage == 0 { model } else { self.spots.iter().position(same).unwrap_or(model) }
    }

    /// What waits, first to be served first.
    pub fn queue(&self, queue: usize) -> &VecDeque<Waiting> {
        &self.queues[queue]
    }

    /// One more waits.
    pub fn push(&mut self, queue: usize, waiting: Waiting) {
        let line = &mut self.queues[queue];
        let at = line.iter().rposition(|other| *other <= waiting).map_or(0, |at| at + 1);
        line.insert(at, waiting);
    }

    /// The first so many are taken out.
    pub fn take(&mut self, queue: usize, items: usize) -> impl Iterator<Item = Waiting> + '_ {
        let line = &mut self.queues[queue];
        let items = items.min(line.len());
        line.drain(..items)
    }

    /// What is promised on a device.
    pub fn lane(&self, device: u32) -> &Lane {
        &self.devices[device as usize]
    }

    /// The same, to be changed by whoever carries it out.
    pub fn lane_mut(&mut self, device: u32) -> &mut Lane {
        &mut self.devices[device as usize]
    }

    /// What is promised on a link to be sent.
    pub fn uplink(&self, link: usize) -> &Lane {
        &self.ups[link]
    }

    /// Whether a device is not to be used.
    pub fn is_fenced(&self, device: u32) -> bool {
        self.fenced[device as usize]
    }

    /// A device is not to be used any more, or again.
    pub fn fence(&mut self, device: u32, fenced: bool) {
        self.fenced[device as usize] = fenced;
        // Whoever comes back is as fast as its profile until it has shown otherwise.
        self.pace.devices[device as usize] = 1.0;
    }

    fn stage(&self, model: usize, pipeline: usize, stage: usize) -> &FleetStage {
        &self.fleet.models[model].pipelines[pipeline].stages[stage]
    }

    /// µs that a launch of that stage is expected to take on a device.
    pub fn expected_us(&self, model: usize, pipeline: usize, stage: usize, device: u32, items: usize) -> u64 {
        let len = self.stage(model, pipeline, stage).len_us(items);
        let of_stage = self.pace.stages[self.stage_at[model][pipeline] + stage];
        let pace = of_stage * self.pace.devices[device as usize];
        if pace == 1.0 { len } else { (len as f64 * pace).round().max(1.0) as u64 }
    }

    /// A launch took so long on a device.
    pub fn learn(
        &mut self,
        model: usize,
        pipeline: usize,
        stage: usize,
        device: u32,
        items: usize,
        took_us: u64,
    ) {
        let seen = took_us as f64 / self.stage(model, pipeline, stage).len_us(items).max(1) as f64;
        let of_stage = &mut self.pace.stages[self.stage_at[model][pipeline] + stage];
        let of_device = &mut self.pace.devices[device as usize];
        // One slow device says little of a stage that many run.
        *of_stage += LEARN_STAGE * ((seen / *of_device).clamp(0.5, 2.0) - *of_stage);
        *of_device += LEARN_DEVICE * (seen / *of_stage - *of_device);
    }

    /// A launch of a model ended so long after it was promised to, or before.
    pub fn learn_miss(&mut self, model: usize, miss_us: f64) {
        let (mean, square) = &mut self.pace.misses[model];
        *mean += LEARN_MISS * (miss_us - *mean);
        *square += LEARN_MISS * (miss_us * miss_us - *square);
    }

    /// An item of a model was declined: what is not launched teaches nothing, so promises are trusted a little more.
    pub fn trust(&mut self, model: usize) {
        let (mean, square) = &mut self.pace.misses[model];
        (*mean, *square) = (*mean * (1.0 - LEARN_MISS), *square * (1.0 - LEARN_MISS));
    }

    /// By how much a promise must be before the deadline, µs: the mean of what ends missed promises by, and 0.3
    /// of its standard deviation, at most a quarter of the objective. To decline too much costs as much as to be late, so it is little. 0
    /// while every promise is kept.
    pub fn guard_us(&self, model: usize) -> u64 {
        let (mean, square) = self.pace.misses[model];
        let spread = (square - mean * mean).max(0.0).sqrt();
        ((mean + 0.3 * spread).max(0.0) as u64).min(self.fleet.models[model].slo_us / 4)
    }

    /// The way through a pipeline that finishes first, stage by stage: in each the device whose time-line ends it earliest and whose
    /// link is then free; of equal ones the one that is left idle for the least time before. Gaps are used. `None` where
    /// every device of a stage is fenced.
    pub fn probe(&self, ask: Ask) -> Option<Path> {
        let way = &self.fleet.models[ask.model].pipelines[ask.pipeline];
        let (mut ready, mut input_on) = (ask.ready, ask.input_on);
        let mut hops: SmallVec<[Hop; 3]> = SmallVec::new();
        for (at, stage) in way.stages.iter().enumerate().skip(ask.stage) {
            let sent = input_on.filter(|_| at > 0).map(|from| {
                let net = way.stages[at - 1].send_us * ask.items as u64;
                (self.fleet.devices[from as usize].uplink, net)
            });
            let goes_on = stage.send_us * ask.items as u64;
            let mut best: Option<(u64, (bool, u64), Hop)> = None;
            let lent = if ask.lend { self.idle_elsewhere(stage, ready, ask.items) } else { SmallVec::new() };
            for &device in stage.devices.iter().chain(&lent) {
                if self.fenced[device as usize] {
                    continue;
                }
                let len = self.expected_us(ask.model, ask.pipeline, at, device, ask.items);
                let lane = &self.devices[device as usize];
                let net = sent.map_or(0, |(_, net)| net);
                let gives_way = ask.is_here && at == ask.stage;
                let soonest = if gives_way { ready + net } else { lane.earliest(ready + net, len) } + len;
                if best.as_ref().is_some_and(|(key, _, _)| soonest > *key) {
                    continue;
                }
                let here = &self.fleet.devices[device as usize];
                let send = sent.filter(|(_, net)| *net > 0).map(|(uplink, net)| {
                    let (up, down) = (&self.ups[uplink], &self.downs[here.downlink]);
                    let from = match gives_way {
                        true => up.turn(ready).max(down.turn(ready)),
                        false => earliest_on_both(up, down, ready, net),
                    };
                    Send { uplink, downlink: here.downlink, from, until: from + net }
                });
                let there = send.map_or(ready, |send| send.until);
                let from = if gives_way { lane.turn(there) } else { lane.earliest(there, len) };
                let until = from + len;
                let key = if goes_on > 0 { self.ups[here.uplink].earliest(until, goes_on) } else { until };
                if best.as_ref().is_some_and(|(other, _, _)| key > *other) {
                    continue;
                }
                // Of equal ones first those where nobody has to give way.
                let idle = (gives_way && lane.earliest(there, len) > from, lane.idle_before(from, ask.ready));
                if best.as_ref().is_none_or(|(other, gap, _)| (key, idle) < (*other, *gap)) {
                    best = Some((key, idle, Hop { device, ready: there, from, until, send }));
                }
            }
            let (_, _, hop) = best?;
            (ready, input_on) = (hop.until, Some(hop.device));
            hops.push(hop);
        }
        Some(Path { pipeline: ask.pipeline, stage: ask.stage, hops })
    }

    /// Devices of other stages that have nothing to do from `ready` on for so long; each pool keeps one of them for itself.
    fn idle_elsewhere(&self, stage: &FleetStage, ready: u64, items: usize) -> SmallVec<[u32; 8]> {
        let len = stage.len_us(items);
        let mut lent = SmallVec::new();
        for pool in &stage.lent {
            let is_idle = |device: &u32| {
                !self.fenced[*device as usize] && self.devices[*device as usize].earliest(ready, len) == ready
            };
            lent.extend(pool.iter().copied().filter(is_idle).skip(1));
        }
        lent
    }

    /// Promises every slot of a path. In its first stage, if its input is there, promises to what comes later give way.
    pub fn book(&mut self, path: &Path, owner: u32, now: u64, is_here: bool) {
        for (at, hop) in path.hops.iter().enumerate() {
            if let Some(Send { uplink, downlink, from, until }) = hop.send {
                for lane in [&mut self.ups[uplink], &mut self.downs[downlink]] {
                    lane.forget_before(now);
                    match is_here && at == 0 {
                        true => lane.squeeze_in(Slot { from, until, ready: now, owner }),
                        false => lane.book(Slot { from, until, ready: from, owner }),
                    }
                }
            }
            let lane = &mut self.devices[hop.device as usize];
            let slot = Slot { from: hop.from, until: hop.until, ready: hop.ready, owner };
            if is_here && at == 0 { lane.squeeze_in(slot) } else { lane.book(slot) }
        }
    }

    /// Whether a hop's slots are still where they were promised.
    pub fn holds(&self, hop: &Hop, owner: u32) -> bool {
        let same =
            |lane: &Lane, from: u64| lane.slots().iter().any(|slot| slot.owner == owner && slot.from == from);
        let sent = |send: Send| {
            same(&self.ups[send.uplink], send.from) && same(&self.downs[send.downlink], send.from)
        };
        same(&self.devices[hop.device as usize], hop.from) && hop.send.is_none_or(sent)
    }

    /// Takes back the slots of some hops.
    pub fn cancel(&mut self, hops: &[Hop], owner: u32) {
        for hop in hops {
            if let Some(send) = hop.send {
                self.ups[send.uplink].cancel(owner);
                self.downs[send.downlink].cancel(owner);
            }
            self.devices[hop.device as usize].cancel(owner);
        }
    }

    /// Sends a result on as soon as its link is free; says when it is there.
    pub fn send(&mut self, device: u32, send_us: u64, owner: u32, now: u64) -> u64 {
        let lane = &mut self.ups[self.fleet.devices[device as usize].uplink];
        lane.forget_before(now);
        let from = lane.earliest(now, send_us);
        lane.book(Slot { from, until: from + send_us, ready: now, owner });
        from + send_us
    }
}
