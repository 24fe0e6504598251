//! A fleet on a virtual clock: the policy decides, made-up devices and links do. Whole µs; the same seed gives the same bytes.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use smallvec::SmallVec;

use super::{
    faults::{Fault, Trouble},
    fleet::Fleet,
    lane::Slot,
    outcome::{BIN_US, ModelOutcome, Outcome, Ran},
    policy::{Cause, Decision, Policy},
    scenario::Scenario,
    state::{Ask, Hop, Path, State, Waiting},
};

/// Of a launch that takes so many times as long as expected, and a millisecond, nothing more is expected.
const PATIENCE: u64 = 3;
const PATIENCE_US: u64 = 1_000;
/// Items that come in the first millisecond are not counted, as published.
const WARM_US: u64 = 1_000;

/// An item on its way.
#[derive(Clone, Copy)]
struct Item {
    model: u32,
    stream_priority: u8,
    came: u64,
    deadline: u64,
    ended: bool,
}

/// A launch on its way.
struct Flight {
    /// Raised whenever what was said of it no longer holds.
    turn: u32,
    model: usize,
    path: Path,
    hop: usize,
    items: SmallVec<[u32; 4]>,
    input_is_here: bool,
    running_since: Option<u64>,
    /// When it was promised to end.
    promised: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The input of a launch is on its next device.
    Input { flight: u32, turn: u32 },
    /// A launch ends on its device.
    End { flight: u32, turn: u32 },
    /// A launch should long have ended.
    Overdue { flight: u32, turn: u32 },
    /// A result is at the queue before the next stage.
    Join { flight: u32 },
    /// A queue is to be looked at.
    Look { queue: u32 },
    /// Something goes wrong.
    Fault { fault: u32 },
    /// A device that stood still goes on.
    Back { device: u32 },
    /// A device may begin with who is there, if who comes before is late.
    Begin { device: u32 },
}

/// How a device really is.
#[derive(Clone, Copy)]
struct Truth {
    dead: bool,
    still_until: u64,
    slow: f64,
}

struct World<'a> {
    state: State,
    policy: &'a mut dyn Policy,
    scenario: &'a Scenario,
    now: u64,
    items: Vec<Item>,
    flights: Vec<Flight>,
    free: Vec<u32>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    next_event: u64,
    look_at: Vec<u64>,
    truth: Vec<Truth>,
    /// Per model, pipeline and stage: true latency ÷ profile.
    true_pace: Vec<Vec<Vec<f64>>>,
    rng: StdRng,
    busy_us: Vec<u64>,
    outcome: Outcome,
    /// Whether some launch has ended at another moment than promised.
    is_inexact: bool,
    /// Queues that a device may serve, where items queue up before each stage.
    served_by: Vec<Vec<u32>>,
}

/// Runs a scenario on a fleet under a policy.
pub fn simulate(fleet: &Fleet, policy: &mut dyn Policy, scenario: &Scenario, seed: u64) -> Outcome {
    let mut world = World::new(fleet, policy, scenario, seed);
    world.run();
    world.into_outcome()
}

impl<'a> World<'a> {
    fn new(fleet: &Fleet, policy: &'a mut dyn Policy, scenario: &'a Scenario, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut items: Vec<Item> = Vec::new();
        for (at, stream) in scenario.streams.iter().enumerate() {
            let slo = stream.slo_us.unwrap_or(fleet.models[stream.model].slo_us);
            let came = scenario.arrivals.moments_us(stream.rate_per_s, scenario.run_us, seed, at as u64);
            items.extend(came.into_iter().map(|came| Item {
                model: stream.model as u32,
                stream_priority: stream.priority,
                came,
                deadline: came + slo,
                ended: false,
            }));
        }
        items.sort_by_key(|item| item.came);
        let error = scenario.deviation.profile;
        let mut pace = || if error == 0.0 { 1.0 } else { 1.0 + error * (2.0 * rng.random::<f64>() - 1.0) };
        let true_pace = fleet.models.iter().map(|model| {
            model.pipelines.iter().map(|way| way.stages.iter().map(|_| pace()).collect()).collect()
        });
        let true_pace = true_pace.collect();
        let state = State::new(fleet.clone());
        let mut served_by = vec![Vec::new(); fleet.devices.len()];
        if !policy.books_ahead() {
            for (queue, spot) in state.spots().iter().enumerate() {
                let ways = fleet.models[spot.model].pipelines.iter().enumerate();
                let stages = ways.filter_map(|(at, way)| match spot.stage {
                    None => way.stages.first(),
                    Some((pipeline, stage)) => way.stages.get(stage).filter(|_| at == pipeline),
                });
                for device in stages.flat_map(|stage| &stage.devices) {
                    served_by[*device as usize].push(queue as u32);
                }
            }
        }
        let models = fleet.models.iter().map(|model| ModelOutcome {
            model: model.name.clone(),
            over_time: vec![(0, 0); scenario.run_us.div_ceil(BIN_US) as usize],
            ..ModelOutcome::default()
        });
        let outcome = Outcome {
            policy: policy.name().to_owned(),
            seed,
            run_us: scenario.run_us,
            models: models.collect(),
            use_of: BTreeMap::new(),
            launches: 0,
            batches: 0,
            fenced: 0,
            ran: Vec::new(),
        };
        let mut world = Self {
            look_at: vec![u64::MAX; state.spots().len()],
            truth: vec![Truth { dead: false, still_until: 0, slow: 1.0 }; fleet.devices.len()],
            busy_us: vec![0; fleet.devices.len()],
            state,
            policy,
            scenario,
            now: 0,
            items,
            flights: Vec::new(),
            free: Vec::new(),
            events: BinaryHeap::new(),
            next_event: 0,
            true_pace,
            rng,
            outcome,
            is_inexact: false,
            served_by,
        };
        for (fault, of) in scenario.faults.iter().enumerate() {
            world.at(of.at_us, Event::Fault { fault: fault as u32 });
        }
        world
    }

    fn at(&mut self, at: u64, event: Event) {
        self.next_event += 1;
        self.events.push(Reverse((at, self.next_event, event)));
    }

    fn run(&mut self) {
        let mut arriving = 0;
        loop {
            let arrives = self.items.get(arriving).map(|item| item.came);
            match (self.events.peek().map(|Reverse((at, ..))| *at), arrives) {
                (Some(at), came) if came.is_none_or(|came| at <= came) => {
                    let Some(Reverse((_, _, event))) = self.events.pop() else { break };
                    self.now = at;
                    self.happens(event);
                }
                (_, Some(came)) => {
                    self.now = came;
                    self.arrives(arriving);
                    arriving += 1;
                }
                (_, None) => break,
            }
        }
        // Nothing happens any more: what waits, or is on a device that is gone, has nobody left to serve it.
        for item in 0..self.items.len() as u32 {
            if !self.items[item as usize].ended {
                self.declines(item, Cause::Failed);
            }
        }
    }

    fn arrives(&mut self, at: usize) {
        let Item { model, stream_priority: priority, deadline, came, .. } = self.items[at];
        if came >= WARM_US {
            let outcome = &mut self.outcome.models[model as usize];
            outcome.came += 1;
            outcome.over_time[(came / BIN_US) as usize].0 += 1;
        }
        self.state.push(model as usize, Waiting { priority, deadline, item: at as u32 });
        self.ask(model as usize);
    }

    fn happens(&mut self, event: Event) {
        let same = |world: &Self, flight: u32, turn: u32| world.flights[flight as usize].turn == turn;
        match event {
            Event::Input { flight, turn } if same(self, flight, turn) => {
                let of = &mut self.flights[flight as usize];
                of.input_is_here = true;
                let device = of.path.hops[of.hop].device;
                self.begin(device);
            }
            Event::End { flight, turn } if same(self, flight, turn) => self.ends(flight),
            Event::Overdue { flight, turn } if same(self, flight, turn) => {
                let of = &self.flights[flight as usize];
                if of.running_since.is_some() {
                    self.is_missing(of.path.hops[of.hop].device);
                }
            }
            Event::Input { .. } | Event::End { .. } | Event::Overdue { .. } => {}
            Event::Join { flight } => {
                let of = &mut self.flights[flight as usize];
                let stage = of.path.stage + of.hop + 1;
                let queue = self.state.queue_before(of.model, of.path.pipeline, stage);
                let items = std::mem::take(&mut of.items);
                self.release(flight);
                for item in items {
                    let Item { stream_priority: priority, deadline, .. } = self.items[item as usize];
                    self.state.push(queue, Waiting { priority, deadline, item });
                }
                self.ask(queue);
            }
            Event::Look { queue } => {
                if self.look_at[queue as usize] == self.now {
                    self.look_at[queue as usize] = u64::MAX;
                    self.ask(queue as usize);
                }
            }
            Event::Begin { device } => self.begin(device),
            Event::Fault { fault } => self.goes_wrong(self.scenario.faults[fault as usize]),
            Event::Back { device } => {
                let truth = self.truth[device as usize];
                if truth.still_until <= self.now && !truth.dead {
                    self.state.fence(device, false);
                    self.begin(device);
                    self.falls_idle(device);
                }
            }
        }
    }

    /// Lets the policy decide about a queue until it has nothing more to say.
    fn ask(&mut self, queue: usize) {
        while !self.state.queue(queue).is_empty() {
            match self.policy.decide(self.now, &self.state, queue) {
                Decision::Launch { items, path } => self.launches(queue, items, path),
                Decision::Decline(cause) => {
                    let declined: SmallVec<[Waiting; 1]> = self.state.take(queue, 1).collect();
                    declined.into_iter().for_each(|waiting| self.declines(waiting.item, cause));
                    self.state.trust(self.state.spots()[queue].model);
                }
                Decision::Wait(until) => {
                    if let Some(until) = until.map(|until| until.max(self.now + 1))
                        && self.look_at[queue] != until
                    {
                        self.look_at[queue] = until;
                        self.at(until, Event::Look { queue: queue as u32 });
                    }
                    return;
                }
            }
        }
    }

    fn declines(&mut self, item: u32, cause: Cause) {
        let of = &mut self.items[item as usize];
        debug_assert!(!of.ended, "an item ends once");
        of.ended = true;
        if of.came >= WARM_US {
            *self.outcome.models[of.model as usize].declined.entry(cause).or_default() += 1;
        }
    }

    fn launches(&mut self, queue: usize, items: usize, path: Path) {
        let items: SmallVec<[u32; 4]> = self.state.take(queue, items).map(|waiting| waiting.item).collect();
        let model = self.state.spots()[queue].model;
        self.outcome.batches += u64::from(path.stage == 0);
        let promised = path.finish();
        let flight = Flight {
            turn: 0,
            model,
            path,
            hop: 0,
            items,
            input_is_here: true,
            running_since: None,
            promised,
        };
        let at = self.keep(flight);
        self.state.book(&self.flights[at as usize].path, at, self.now, false);
        self.begin(self.flights[at as usize].path.hops[0].device);
    }

    fn keep(&mut self, mut flight: Flight) -> u32 {
        match self.free.pop() {
            Some(at) => {
                flight.turn = self.flights[at as usize].turn + 1;
                self.flights[at as usize] = flight;
                at
            }
            None => {
                self.flights.push(flight);
                self.flights.len() as u32 - 1
            }
        }
    }

    fn release(&mut self, flight: u32) {
        self.flights[flight as usize].turn += 1;
        self.free.push(flight);
    }

    /// A device begins with what is next, if its input is there.
    fn begin(&mut self, device: u32) {
        let truth = self.truth[device as usize];
        if self.state.is_fenced(device) {
            return;
        }
        let lane = self.state.lane(device);
        let Some(first) = lane.next().copied() else { return };
        let may = |slot: &&Slot| {
            let of = &self.flights[slot.owner as usize];
            let is_here =
                of.input_is_here && of.running_since.is_none() && of.path.hops[of.hop].device == device;
            // Who is not first may go before who is late.
            is_here && (slot.owner == first.owner || first.from < self.now)
        };
        let Some(at) = lane.slots().iter().find(may).map(|slot| slot.owner) else {
            // Whoever is here goes on when the first turns out to be late, or two could wait for each other.
            if self.is_inexact && first.from >= self.now {
                self.at(first.from.max(self.now) + 1, Event::Begin { device });
            }
            return;
        };
        let of = &self.flights[at as usize];
        let hop = of.path.hops[of.hop];
        let (model, pipeline, stage, items) =
            (of.model, of.path.pipeline, of.path.stage + of.hop, of.items.len());
        let expected = hop.until - hop.from;
        let len = self.state.fleet().models[model].pipelines[pipeline].stages[stage].len_us(items);
        let mut pace = self.true_pace[model][pipeline][stage] * truth.slow;
        if self.scenario.deviation.jitter > 0.0 {
            pace *= (1.0 + self.scenario.deviation.jitter * normal(&mut self.rng).clamp(-3.0, 3.0)).max(0.1);
        }
        let takes = if pace == 1.0 { len } else { (len as f64 * pace).round().max(1.0) as u64 };
        let turn = of.turn;
        self.flights[at as usize].running_since = Some(self.now);
        self.state.lane_mut(device).begin(at, self.now);
        let begins = self.now.max(truth.still_until);
        if !truth.dead {
            self.at(begins + takes, Event::End { flight: at, turn });
        }
        if takes > expected || truth.dead || begins > self.now {
            let overdue = self.now + PATIENCE * expected + PATIENCE_US;
            self.at(overdue, Event::Overdue { flight: at, turn });
        }
    }

    /// A launch ends on its device.
    fn ends(&mut self, at: u32) {
        let of = &mut self.flights[at as usize];
        let hop = of.path.hops[of.hop];
        let (device, since) = (hop.device, of.running_since.take().unwrap_or(self.now));
        let truth = self.truth[device as usize];
        if truth.dead {
            return self.flights[at as usize].running_since = Some(since);
        }
        if truth.still_until > self.now {
            of.running_since = Some(since);
            let (turn, until) = (of.turn, truth.still_until);
            return self.at(until, Event::End { flight: at, turn });
        }
        let (model, pipeline, stage, items) =
            (of.model, of.path.pipeline, of.path.stage + of.hop, of.items.len());
        self.state.lane_mut(device).finish(self.now);
        self.state.learn(model, pipeline, stage, device, items, self.now - since);
        self.outcome.launches += 1;
        let run = self.scenario.run_us;
        self.busy_us[device as usize] += self.now.min(run) - since.min(run);
        if self.scenario.record {
            self.outcome.ran.push(Ran {
                device,
                model: model as u32,
                stage: stage as u32,
                items: items as u32,
                from_us: since,
                until_us: self.now,
            });
        }
        let way = &self.state.fleet().models[model].pipelines[pipeline];
        if stage + 1 == way.stages.len() {
            self.is_done(at);
        } else if self.policy.books_ahead() {
            self.goes_on(at, hop);
        } else {
            let send_us = way.stages[stage].send_us * items as u64;
            let there = self.state.send(device, send_us, at, self.now);
            self.at(there, Event::Join { flight: at });
        }
        self.begin(device);
        self.falls_idle(device);
    }

    fn falls_idle(&mut self, device: u32) {
        let mut queues: SmallVec<[(Option<Waiting>, u32); 4]> = SmallVec::new();
        for queue in &self.served_by[device as usize] {
            if let Some(head) = self.state.queue(*queue as usize).front() {
                queues.push((Some(*head), *queue));
            }
        }
        queues.sort_unstable();
        queues.into_iter().for_each(|(_, queue)| self.ask(queue as usize));
    }

    /// A launch goes on to its next stage: as promised, or, where it is early or late, as is best now.
    fn goes_on(&mut self, at: u32, hop: Hop) {
        let of = &mut self.flights[at as usize];
        of.input_is_here = false;
        of.turn += 1;
        let next = of.hop + 1;
        let promised = of.path.hops[next];
        if self.now == hop.until && self.state.holds(&promised, at) && !self.state.is_fenced(promised.device)
        {
            of.hop = next;
            let there = promised.send.map_or(self.now, |send| send.until);
            let turn = of.turn;
            return self.at(there, Event::Input { flight: at, turn });
        }
        self.is_inexact = true;
        self.books_again(at, next, Some(hop.device));
    }

    /// Promises the rest of a launch's way anew, from one of its hops on.
    fn books_again(&mut self, at: u32, from: usize, input_on: Option<u32>) {
        let of = &mut self.flights[at as usize];
        of.turn += 1;
        of.input_is_here = false;
        of.running_since = None;
        let rest: SmallVec<[Hop; 3]> = of.path.hops.drain(from..).collect();
        let (stage, items, turn) = (of.path.stage + from, of.items.len(), of.turn);
        let (model, pipeline) = (of.model, of.path.pipeline);
        self.state.cancel(&rest, at);
        let probe = |lend| {
            self.state.probe(Ask {
                model,
                pipeline,
                stage,
                items,
                ready: self.now,
                input_on,
                lend,
                is_here: true,
            })
        };
        let last =
            self.flights[at as usize].items.iter().map(|item| self.items[*item as usize].deadline).max();
        let path = probe(false).filter(|path| Some(path.finish()) <= last).or_else(|| probe(true));
        let Some(path) = path.filter(|path| from > 0 || Some(path.finish()) <= last) else {
            let items = std::mem::take(&mut self.flights[at as usize].items);
            self.release(at);
            return items.into_iter().for_each(|item| self.declines(item, Cause::Failed));
        };
        self.state.book(&path, at, self.now, true);
        let of = &mut self.flights[at as usize];
        of.hop = from;
        of.path.hops.extend(path.hops);
        let there = of.path.hops[from].send.map_or(self.now, |send| send.until);
        self.at(there, Event::Input { flight: at, turn });
        // What came behind a slot that was taken back may begin.
        rest.iter().for_each(|hop| self.begin(hop.device));
    }

    fn is_done(&mut self, at: u32) {
        let of = &mut self.flights[at as usize];
        let (model, items) = (of.model, std::mem::take(&mut of.items));
        let miss = self.now as f64 - of.promised as f64;
        if self.policy.books_ahead() {
            self.state.learn_miss(model, miss);
        }
        self.release(at);
        let outcome = &mut self.outcome.models[model];
        for item in items {
            let of = &mut self.items[item as usize];
            debug_assert!(!of.ended, "an item ends once");
            of.ended = true;
            if of.came < WARM_US {
                continue;
            }
            let in_time = self.now <= of.deadline;
            outcome.in_time += u64::from(in_time);
            outcome.late += u64::from(!in_time);
            outcome.over_time[(of.came / BIN_US) as usize].1 += u32::from(in_time);
            outcome.latencies_us.push(self.now - of.came);
        }
    }

    fn goes_wrong(&mut self, fault: Fault) {
        let truth = &mut self.truth[fault.device as usize];
        match fault.what {
            Trouble::Dies => truth.dead = true,
            Trouble::Slows(factor) => truth.slow = factor,
            Trouble::Stalls(us) | Trouble::Starts(us) => {
                truth.still_until = self.now + us;
                self.at(self.now + us, Event::Back { device: fault.device });
            }
        }
        // Who is not there yet is known; who falls silent is found out.
        if let Trouble::Starts(_) = fault.what {
            self.state.fence(fault.device, true);
        }
        if let Some(slot) = self.state.lane(fault.device).slots().first()
            && let Some(of) = self.flights.get(slot.owner as usize)
            && let Some(since) = of.running_since
        {
            let hop = of.path.hops[of.hop];
            let overdue = since + PATIENCE * (hop.until - hop.from) + PATIENCE_US;
            let (flight, turn) = (slot.owner, of.turn);
            self.at(overdue.max(self.now), Event::Overdue { flight, turn });
        }
    }

    /// A device does not report: it is fenced, and what was promised on it goes elsewhere.
    fn is_missing(&mut self, device: u32) {
        self.outcome.fenced += 1;
        self.state.fence(device, true);
        let owners: SmallVec<[u32; 8]> =
            self.state.lane(device).slots().iter().map(|slot| slot.owner).collect();
        for at in owners {
            let of = &self.flights[at as usize];
            let Some(lost) =
                of.path.hops.iter().position(|hop| hop.device == device).filter(|lost| *lost >= of.hop)
            else {
                continue;
            };
            if !self.policy.books_ahead() {
                self.state.lane_mut(device).cancel(at);
                let of = &mut self.flights[at as usize];
                let queue = self.state.queue_before(of.model, of.path.pipeline, of.path.stage);
                let items = std::mem::take(&mut of.items);
                self.release(at);
                for item in items {
                    let Item { stream_priority: priority, deadline, .. } = self.items[item as usize];
                    self.state.push(queue, Waiting { priority, deadline, item });
                }
                self.ask(queue);
            } else if lost > of.hop {
                // Its hop before goes on; the rest is looked for when that ends.
                let rest: SmallVec<[Hop; 3]> = of.path.hops[lost..].iter().copied().collect();
                self.state.cancel(&rest, at);
            } else {
                let before = lost.checked_sub(1).map(|before| of.path.hops[before].device);
                self.books_again(at, lost, before);
            }
        }
        // It has come back meanwhile; who is dead never does.
        let truth = self.truth[device as usize];
        if truth.still_until > 0 && truth.still_until <= self.now && !truth.dead {
            self.state.fence(device, false);
        }
    }

    fn into_outcome(mut self) -> Outcome {
        let mut time: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for (device, busy) in self.state.fleet().devices.iter().zip(&self.busy_us) {
            let part = 1.0 / f64::from(device.parts);
            let (used, all) = time.entry(device.kind.clone()).or_default();
            *used += *busy as f64 * part;
            *all += self.scenario.run_us as f64 * part;
        }
        self.outcome.use_of =
            time.into_iter().map(|(kind, (used, all))| (kind, used / all.max(1.0))).collect();
        self.outcome.models.iter_mut().for_each(|model| model.latencies_us.sort_unstable());
        self.outcome
    }
}

/// A draw from the standard normal distribution (Box and Muller).
fn normal(rng: &mut StdRng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}
