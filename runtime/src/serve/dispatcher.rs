//! The dispatcher: decides which batch goes when, and where, under reservations.
//!
//! For each model it holds a first-in first-out queue, for each device a [`Timeline`]. A batch is launched
//!
//! * when as many items wait as the plan's batch takes and a device of the first stage has promised less than
//!   [`AHEAD`] launches beyond the running one;
//! * or when such a device is idle for as long as the launch takes: nothing waits only for more items;
//! * or when the oldest has waited for [`LINGER`] and the device is shared with another model, which could otherwise
//!   keep it busy with full batches for ever.
//!
//! Of a function that has no profile a launch runs as many batches, one after the other, as turn out to take [`QUICK`] together.
//!
//! Models take turns: next is the one that has had the least device time since it last had nothing to do. Among the devices of a pool the
//! one that finishes first is taken, by its time-line and the profiled time (without a profile, the time seen so far). Every stage of a pipeline is
//! reserved at once. With a deadline the batch is cut until its earliest deadline is met at the end of the last stage;
//! an item that cannot be met even alone is declined.
//!
//! Pure: the time is an argument, and nothing here waits, calls or wakes. What a call comes to is left in the [`Effects`]
//! for whoever made it.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use smallvec::SmallVec;

use super::{
    call::{Hints, Part, Ticket, note_begin, note_run},
    placement::PlacedModel,
    queue::Queue,
    timeline::{Purpose, Timeline},
};
use crate::{
    clock::Moment,
    engine::{
        Item, ItemError, ItemErrorKind,
        stop::Stop,
        thread::{Order, Output, Ran, Work},
        throttled::Pace,
    },
    rules::Rules,
};

/// Launches promised on a device beyond the running one.
pub(crate) const AHEAD: usize = 2;
/// How long items wait for company on a busy device that other models use as well.
pub(crate) const LINGER: Duration = Duration::from_millis(2);
/// What an item is taken to last before one was seen.
const FIRST_GUESS: Duration = Duration::from_millis(1);
/// A caller should keep so much work with a model beyond what its devices are at, so that it need not be told of each launch.
const SUPPLY: Duration = Duration::from_millis(2);
/// Full batches of a function that together take no longer are one launch: what else a launch costs would be felt.
const QUICK: Duration = Duration::from_micros(500);
/// Most batches for one device that a caller is told to keep with a model.
const MOST_BATCHES: u32 = 64;

/// The state of the dispatcher.
pub(crate) struct Dispatcher {
    models: Vec<Model>,
    devices: Vec<Device>,
    rules: Rules,
    next_reservation: u64,
    /// When somebody will look again.
    tick_at: Option<Moment>,
    stopped: bool,
    effects: Effects,
}

/// What is to be done for the dispatcher, after it was asked something.
#[derive(Default)]
pub(crate) struct Effects {
    /// Answers to be given.
    pub answers: Vec<(Ticket, Result<Item, ItemError>)>,
    /// Parts and launches that nobody wants any more: to be dropped.
    pub dropped: (Vec<Part>, Vec<Launch>),
    /// Launches that run and that nobody wants any more: to be ended.
    pub stops: SmallVec<[Stop; 2]>,
    /// Devices for which there is something ready.
    pub ready: SmallVec<[usize; 2]>,
    /// Ask again at this moment, by [`Dispatcher::tick`].
    pub tick_at: Option<Moment>,
}

/// What is ready for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// When the first of it is expected to end.
    pub until: Moment,
    /// Whether more is ready behind that.
    pub more: bool,
}

struct Model {
    name: Arc<str>,
    queue: Queue,
    pipelines: Vec<PipelineState>,
    /// Device time promised to it; a model that starts anew is level with the least served one.
    served: Duration,
    /// Items that a caller should keep with it at least.
    least_in_flight: usize,
    hints: Arc<Hints>,
}

struct PipelineState {
    batch: u32,
    /// Most full batches of a function that one launch runs, one after the other: several where they are quick.
    together: u32,
    stages: Vec<StageState>,
}

struct StageState {
    places: Vec<PlaceState>,
    /// Most open reservations on one of its devices at which a further one is promised.
    most_open: usize,
}

struct PlaceState {
    device: usize,
    session: usize,
    pace: Option<Pace>,
    /// Time per item seen so far, where there is no profile.
    per_item: Option<Duration>,
}

struct Device {
    name: Arc<str>,
    timeline: Timeline,
    /// Whether several models use it.
    shared: bool,
    /// Launches whose input is there, in turn.
    ready: VecDeque<Launch>,
    running: Option<Running>,
    /// Most bytes that a launch held so far, or will hold, beside the weights.
    call_bytes: u64,
}

/// A batch that may run.
pub(crate) struct Launch {
    route: Arc<Route>,
    hop: usize,
    /// One per item or function of the work, in its order.
    tickets: Vec<Ticket>,
    work: Work,
}

/// A batch that runs.
struct Running {
    route: Arc<Route>,
    hop: usize,
    tickets: Vec<Ticket>,
    /// When it was taken.
    from: Moment,
    stop: Stop,
}

impl Running {
    /// Whether nobody wants what it gives any more.
    fn is_given_up(&self) -> bool {
        self.tickets.iter().all(Ticket::is_given_up)
    }
}

/// Where a launch goes.
struct Route {
    model: usize,
    pipeline: usize,
    hops: SmallVec<[Hop; 2]>,
}

/// One stop of a launch on its way through the stages.
struct Hop {
    device: usize,
    place: usize,
    reservation: u64,
}

/// A way through a pipeline: the place chosen in each stage with the expected time, and when the last one ends.
struct Way {
    places: SmallVec<[(usize, Moment, Duration); 2]>,
    finish: Moment,
}

impl PlaceState {
    fn expected(&self, items: u32) -> Duration {
        match &self.pace {
            Some(pace) => pace(items as usize),
            None => self.per_item.unwrap_or(FIRST_GUESS) * items,
        }
    }

    fn learn(&mut self, items: u32, took: Duration) {
        let seen = took / items.max(1);
        self.per_item = Some(self.per_item.map_or(seen, |known| (known * 7 + seen) / 8));
    }
}

/// How many reservations a device of each stage may hold open. The first stage has the running launch and those ahead;
/// a later one also those that are still in the first, shared among its devices.
fn most_open(first_pool: usize, stage: usize, pool: usize) -> usize {
    let own = 1 + AHEAD;
    if stage == 0 { own } else { own + (own * first_pool).div_ceil(pool.max(1)) }
}

impl Model {
    fn new(placed: PlacedModel) -> Self {
        let mut pipelines = Vec::with_capacity(placed.pipelines.len());
        let mut in_flight = 0;
        for pipeline in placed.pipelines {
            let first = pipeline.stages.first().map_or(0, |stage| stage.places.len());
            in_flight += 2 * pipeline.batch as usize * first.max(1);
            let stages = pipeline.stages.into_iter().enumerate().map(|(at, stage)| {
                let most_open = most_open(first, at, stage.places.len());
                let places = stage.places.into_iter().map(|place| PlaceState {
                    device: place.device,
                    session: place.session,
                    pace: place.pace,
                    per_item: None,
                });
                StageState { places: places.collect(), most_open }
            });
            pipelines.push(PipelineState { batch: pipeline.batch, together: 1, stages: stages.collect() });
        }
        Self {
            name: placed.name,
            queue: Queue::default(),
            pipelines,
            served: Duration::ZERO,
            least_in_flight: in_flight,
            hints: Arc::new(Hints { in_flight: in_flight.into(), together: 1.into() }),
        }
    }

    /// Says how it is best called, now that its devices have shown how fast they are.
    fn tell_hints(&mut self) {
        let mut supply = 0;
        for pipeline in &mut self.pipelines {
            let Some(first) = pipeline.stages.first() else { continue };
            let Some(len) = first.places.iter().map(|place| place.expected(pipeline.batch)).min() else {
                continue;
            };
            let times = |span: Duration| span.as_nanos() as u64 / (len.as_nanos() as u64).max(1);
            // A profile says how long a batch takes, and nothing of several.
            if pipeline.stages.len() == 1 && first.places.iter().all(|place| place.pace.is_none()) {
                pipeline.together = times(QUICK).clamp(1, u64::from(MOST_BATCHES)) as u32;
            }
            // Beyond what is promised, so that a batch that is not full can still be filled.
            let promised = (1 + AHEAD) * pipeline.together as usize;
            let each = promised + times(SUPPLY).min(u64::from(MOST_BATCHES)) as usize;
            supply += each * pipeline.batch as usize * first.places.len();
        }
        let together = self.pipelines.iter().map(|pipeline| pipeline.together).max().unwrap_or(1);
        self.hints.in_flight.store(self.least_in_flight + supply, Ordering::Relaxed);
        self.hints.together.store(together as usize, Ordering::Relaxed);
    }
}

impl PipelineState {
    /// The way through it that finishes first: in each stage, the device whose time-line ends it earliest.
    fn way(
        &self,
        devices: &mut [Device],
        items: u32,
        now: Moment,
        may: impl Fn(usize, &mut Device, Duration) -> bool,
    ) -> Option<Way> {
        let mut ready = now;
        let mut places = SmallVec::with_capacity(self.stages.len());
        for (at, stage) in self.stages.iter().enumerate() {
            let mut best: Option<(Moment, usize, Duration)> = None;
            for (index, place) in stage.places.iter().enumerate() {
                let len = place.expected(items);
                let device = &mut devices[place.device];
                if may(at, device, len) {
                    let end = (device.timeline.probe(now, ready, len) + len, index, len);
                    best = Some(best.map_or(end, |other| other.min(end)));
                }
            }
            let (finish, index, len) = best?;
            places.push((index, ready, len));
            ready = finish;
        }
        Some(Way { places, finish: ready })
    }
}

impl Dispatcher {
    /// For these models on these devices, of which each has a name and may be shared by several models.
    pub fn new(models: Vec<PlacedModel>, devices: Vec<(Arc<str>, bool)>, rules: Rules) -> Self {
        let device = |(name, shared)| Device {
            name,
            timeline: Timeline::default(),
            shared,
            ready: VecDeque::new(),
            running: None,
            call_bytes: 0,
        };
        Self {
            devices: devices.into_iter().map(device).collect(),
            models: models.into_iter().map(Model::new).collect(),
            rules,
            next_reservation: 0,
            tick_at: None,
            stopped: false,
            effects: Effects::default(),
        }
    }

    /// What is to be done now.
    pub fn effects(&mut self) -> Effects {
        std::mem::take(&mut self.effects)
    }

    /// How a model is best called. There must be such a model.
    pub fn hints(&self, model: usize) -> Arc<Hints> {
        Arc::clone(&self.models[model].hints)
    }

    /// The reservations of a device.
    pub fn timeline(&self, device: usize) -> &Timeline {
        &self.devices[device].timeline
    }

    /// A launch on a device holds so many bytes, beside the weights.
    pub fn holds(&mut self, device: usize, call_bytes: u64) {
        let most = &mut self.devices[device].call_bytes;
        *most = call_bytes.max(*most);
    }

    /// Most bytes that a launch on a device held so far, or will hold.
    pub fn call_bytes(&self, device: usize) -> u64 {
        self.devices[device].call_bytes
    }

    /// Whether nothing is launched any more.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// New work for a model.
    ///
    /// What must wait so long for what was there before it that its deadline will have passed is declined right away.
    pub fn submit(&mut self, now: Moment, at: usize, parts: Vec<Part>) {
        let others = self.models.iter().enumerate();
        let busy = others.filter(|(other_at, other)| *other_at != at && !other.queue.is_empty());
        let level = busy.map(|(_, other)| other.served).min().unwrap_or_default();
        let Some(model) = self.models.get_mut(at).filter(|_| !self.stopped) else {
            self.effects.dropped.0.extend(parts);
            return;
        };
        if model.queue.is_empty() {
            model.served = model.served.max(level);
        }
        for part in parts {
            match part.deadline.map(|deadline| (deadline, self.backlog(at, now))) {
                Some((deadline, best)) if best > deadline => {
                    let declined = declined(deadline, Some(best), now);
                    self.effects.answers.push((part.ticket, Err(declined)));
                }
                _ => self.models[at].queue.push(part),
            }
        }
        self.pump(now);
    }

    /// More items for the function that came last, if it still waits and a launch has room for so many; `is_it` knows it.
    pub fn top_up(
        &mut self,
        now: Moment,
        model: usize,
        is_it: impl Fn(&Ticket) -> bool,
        items: u32,
        retries: u32,
    ) -> bool {
        let Some(of) = self.models.get_mut(model) else { return false };
        let most = of.pipelines.iter().map(|pipeline| pipeline.batch).max().unwrap_or(1);
        let done = of.queue.top_up(is_it, items, retries, most);
        if done {
            self.pump(now);
        }
        done
    }

    /// Calls of a model have been given up: what waits of them need not run, and what runs for nobody else is ended.
    pub fn drop_given_up(&mut self, now: Moment, model: usize) {
        let Some(of) = self.models.get_mut(model) else { return };
        of.queue.take_given_up(&mut self.effects.dropped.0);
        let running = self.devices.iter().filter_map(|device| device.running.as_ref());
        let given_up = running.filter(|running| running.route.model == model && running.is_given_up());
        self.effects.stops.extend(given_up.map(|running| running.stop.clone()));
        self.pump(now);
    }

    /// The moment has come at which something was to be looked at again.
    pub fn tick(&mut self, now: Moment) {
        self.tick_at = None;
        self.pump(now);
    }

    /// What a device would begin with.
    pub fn next(&self, device: usize) -> Option<Next> {
        let Device { ready, timeline, .. } = &self.devices[device];
        let Launch { route, hop, .. } = ready.front()?;
        let until = timeline.until(route.hops[*hop].reservation)?;
        Some(Next { until, more: ready.len() > 1 })
    }

    /// A device is free and begins with what is ready for it.
    pub fn take(&mut self, now: Moment, device: usize) -> Option<Order> {
        let Launch { route, hop, tickets, work } = self.devices[device].ready.pop_front()?;
        note_begin(&tickets, now);
        self.began(&route, hop, now);
        let stages = &self.models[route.model].pipelines[route.pipeline].stages;
        let session = stages[hop].places[route.hops[hop].place].session;
        let stop = Stop::default();
        let running = Running { route, hop, tickets, from: now, stop: stop.clone() };
        if running.is_given_up() {
            self.effects.stops.push(stop.clone());
        }
        self.devices[device].running = Some(running);
        Some(Order { session, work, from: now, stop })
    }

    /// A device has run what it took.
    pub fn ended(&mut self, now: Moment, device: usize, ran: Ran) {
        self.holds(device, ran.call_bytes);
        let Some(running) = self.devices[device].running.take() else { return };
        let results = match ran.output {
            Output::Items(items) => items,
            Output::Calls(calls) => calls.into_iter().map(|call| call.map(|()| Item::default())).collect(),
        };
        self.end(running, device, (ran.from, ran.until), results);
        self.pump(now);
    }

    /// A device's thread has died: what it was at has failed.
    pub fn died(&mut self, now: Moment, device: usize, why: &str) {
        let Some(running) = self.devices[device].running.take() else { return };
        let message =
            format!("the thread of device `{}` died: {why}; report this", self.devices[device].name);
        let error = ItemError::new(ItemErrorKind::Engine, message);
        let results = vec![Err(error); running.tickets.len()];
        let from = running.from;
        self.end(running, device, (from, now), results);
        self.pump(now);
    }

    /// Nothing is launched any more, what waits is dropped, and what runs is ended.
    pub fn stop(&mut self) {
        self.stopped = true;
        for model in &mut self.models {
            self.effects.dropped.0.extend(std::mem::take(&mut model.queue).into_parts());
        }
        for (at, device) in self.devices.iter_mut().enumerate() {
            self.effects.dropped.1.extend(device.ready.drain(..));
            self.effects.stops.extend(device.running.as_ref().map(|running| running.stop.clone()));
            self.effects.ready.push(at);
        }
    }

    /// A launch has left a device: its reservations are corrected, what failed or is finished is answered, the rest goes on.
    fn end(
        &mut self,
        running: Running,
        device: usize,
        (from, until): (Moment, Moment),
        results: Vec<Result<Item, ItemError>>,
    ) {
        let Running { route, hop, tickets, stop, .. } = running;
        note_run(&tickets, &self.devices[device].name, hop == 0, from, until);
        let batch = tickets.iter().map(|ticket| ticket.items).sum();
        let failed = results.iter().filter(|result| result.is_err()).count();
        let failure = results.iter().find_map(|result| result.as_ref().err());
        let failure = failure.filter(|_| failed == results.len() && !stop.is_stopped());
        let failure = failure.map(|error| error.message.clone());
        self.devices[device].timeline.ended(route.hops[hop].reservation, from, until, failure);
        let model = &mut self.models[route.model];
        // One that was ended early says nothing of how long it takes.
        if !stop.is_stopped() {
            model.pipelines[route.pipeline].stages[hop].places[route.hops[hop].place]
                .learn(batch, until.saturating_sub(from));
            if hop == 0 {
                model.tell_hints();
            }
        }
        let answered = tickets.into_iter().zip(results);
        if route.hops.len() == hop + 1 {
            self.effects.answers.extend(answered);
            return;
        }
        let (mut going, mut items) = (Vec::new(), Vec::new());
        for (ticket, result) in answered {
            match result {
                Ok(item) => {
                    going.push(ticket);
                    items.push(item);
                }
                Err(_) => self.effects.answers.push((ticket, result)),
            }
        }
        self.correct(&route, hop, until, batch, &going);
        if self.stopped || going.is_empty() {
            // Dropped without an answer they end as stopped.
            return self.effects.dropped.1.push(Launch {
                route,
                hop,
                tickets: going,
                work: Work::Items(items),
            });
        }
        self.make_ready(Launch { route, hop: hop + 1, tickets: going, work: Work::Items(items) });
    }

    /// Corrects the reservations behind a hop that has ended: so many go on, at that time.
    fn correct(&mut self, route: &Route, hop: usize, until: Moment, batch: u32, going: &[Ticket]) {
        let alive: u32 = going.iter().map(|ticket| ticket.items).sum();
        let retries: u32 = going.iter().map(|ticket| ticket.retries).sum();
        let stages = &self.models[route.model].pipelines[route.pipeline].stages;
        let mut ready = Some(until);
        for (at, later) in route.hops.iter().enumerate().skip(hop + 1) {
            let line = &mut self.devices[later.device].timeline;
            if alive == 0 {
                line.cancel(later.reservation, until);
                continue;
            }
            if alive < batch {
                let len = stages[at].places[later.place].expected(alive);
                line.shrink(later.reservation, alive, retries, len);
            }
            ready = ready.and_then(|ready| line.ready(later.reservation, ready, until));
        }
    }

    /// A launch starts, which corrects what comes behind it.
    fn began(&mut self, route: &Route, hop: usize, at: Moment) {
        let Some(here) = route.hops.get(hop) else { return };
        let mut until = self.devices[here.device].timeline.started(here.reservation, at);
        for later in route.hops.iter().skip(hop + 1) {
            let Some(ready) = until else { return };
            until = self.devices[later.device].timeline.ready(later.reservation, ready, at);
        }
    }

    fn make_ready(&mut self, launch: Launch) {
        let Some(hop) = launch.route.hops.get(launch.hop) else { return };
        let device = hop.device;
        self.devices[device].ready.push_back(launch);
        if !self.effects.ready.contains(&device) {
            self.effects.ready.push(device);
        }
    }

    /// When one more item would be done at the earliest if everything that waits went before it in full batches, as
    /// fast as the slowest stages allow. Never later than the truth: other models take their turns too.
    fn backlog(&mut self, model: usize, now: Moment) -> Moment {
        let of = &self.models[model];
        let (mut earliest, mut at_once, mut rate_per_s) = (None, 0.0, 0.0);
        for pipeline in &of.pipelines {
            let Some(way) = pipeline.way(&mut self.devices, 1, now, |_, _, _| true) else { continue };
            earliest = Some(earliest.map_or(way.finish, |other: Moment| other.min(way.finish)));
            let batch = f64::from(pipeline.batch);
            let rates = pipeline.stages.iter().filter_map(|stage| {
                let len = stage.places.first()?.expected(pipeline.batch).as_secs_f64();
                Some(stage.places.len() as f64 * batch / len.max(1e-9))
            });
            rate_per_s += rates.fold(f64::INFINITY, f64::min);
            at_once += batch * pipeline.stages.first().map_or(0, |stage| stage.places.len()) as f64;
        }
        let waits = (of.queue.items() as f64 + 1.0 - at_once).max(0.0) / rate_per_s;
        earliest.unwrap_or(now) + Duration::try_from_secs_f64(waits).unwrap_or_default()
    }

    /// Launches everything that may be launched now, the model that was served least first.
    fn pump(&mut self, now: Moment) {
        if self.stopped {
            return;
        }
        let mut waiting: SmallVec<[(Duration, usize); 4]> = SmallVec::new();
        loop {
            waiting.clear();
            for at in 0..self.models.len() {
                self.decline(at, now);
                let model = &self.models[at];
                waiting.extend((!model.queue.is_empty()).then_some((model.served, at)));
            }
            waiting.sort_unstable();
            if !waiting.iter().any(|(_, model)| self.launch(*model, now)) {
                break;
            }
        }
        if let Some(at) = self.next_tick(now).filter(|at| self.tick_at.is_none_or(|armed| *at < armed)) {
            self.tick_at = Some(at);
            self.effects.tick_at = Some(at);
        }
    }

    /// Refuses the oldest items as long as they cannot be met even if they were the next to run, alone.
    fn decline(&mut self, model: usize, now: Moment) {
        let of = &mut self.models[model];
        while let Some((Some(deadline), items)) = of.queue.front() {
            let ways =
                of.pipelines.iter().filter_map(|p| p.way(&mut self.devices, items, now, |_, _, _| true));
            let best = ways.map(|way| way.finish).min();
            if best.is_some_and(|finish| finish <= deadline) {
                return;
            }
            let Some(part) = of.queue.pop() else { return };
            self.effects.answers.push((part.ticket, Err(declined(deadline, best, now))));
        }
    }

    /// Launches one batch of this model, if one may be launched.
    fn launch(&mut self, model: usize, now: Moment) -> bool {
        let mut best: Option<(usize, usize, Way)> = None;
        for pipeline in 0..self.models[model].pipelines.len() {
            let Some((parts, way)) = self.propose(model, pipeline, now) else { continue };
            if best.as_ref().is_none_or(|(_, _, other)| way.finish < other.finish) {
                best = Some((pipeline, parts, way));
            }
        }
        let Some((pipeline, parts, way)) = best else { return false };
        let of = &mut self.models[model];
        let (tickets, work) = of.queue.take(parts);
        let batch = tickets.iter().map(|ticket| ticket.items).sum();
        let retries = tickets.iter().map(|ticket| ticket.retries).sum();
        let mut hops = SmallVec::with_capacity(way.places.len());
        for (stage, (place, ready, len)) in way.places.into_iter().enumerate() {
            let device = of.pipelines[pipeline].stages[stage].places[place].device;
            let purpose = Purpose { model: of.name.clone(), stage: stage as u32, batch, retries };
            self.next_reservation += 1;
            let reservation = self.next_reservation;
            self.devices[device].timeline.reserve(now, reservation, purpose, ready, len);
            hops.push(Hop { device, place, reservation });
            of.served += len;
        }
        let route = Arc::new(Route { model, pipeline, hops });
        self.make_ready(Launch { route, hop: 0, tickets, work });
        true
    }

    /// What a pipeline would do with the queue now: how many parts, which way.
    fn propose(&mut self, model: usize, pipeline: usize, now: Moment) -> Option<(usize, Way)> {
        let of = &self.models[model];
        let pipe = &of.pipelines[pipeline];
        let together = if of.queue.is_of_functions() { pipe.together } else { 1 };
        let mut head = of.queue.head(pipe.batch.saturating_mul(together))?;
        let full = of.queue.items() >= u64::from(pipe.batch);
        let lingered = now >= head.since + LINGER;
        let may = |stage: usize, device: &mut Device, len: Duration| {
            let (line, lingers) = (&mut device.timeline, self.rules.models_linger);
            line.open() < pipe.stages[stage].most_open
                && (stage > 0
                    || full
                    || (lingers && line.is_idle_for(now, len))
                    || (lingers && lingered && device.shared && !line.promises(&of.name)))
        };
        loop {
            let way = pipe.way(&mut self.devices, head.items, now, may)?;
            if head.deadline.is_none_or(|deadline| way.finish <= deadline) {
                return Some((head.parts, way));
            }
            // Fewer items finish sooner; the oldest alone is known to be met by some device, if not by one with room.
            head = of.queue.head(head.items.checked_sub(1).filter(|_| head.parts > 1)?)?;
        }
    }

    /// When something must be looked at again although nothing happens: a linger ends, or a deadline passes.
    fn next_tick(&self, now: Moment) -> Option<Moment> {
        let mut next: Option<Moment> = None;
        for model in &self.models {
            let Some(head) = model.queue.head(1) else { continue };
            let first_devices = model.pipelines.iter().flat_map(|p| p.stages.first()).flat_map(|s| &s.places);
            let shared = first_devices.map(|place| &self.devices[place.device]).any(|device| device.shared);
            let linger = Some(head.since + LINGER).filter(|at| shared && *at > now);
            let deadline = head.deadline.filter(|at| *at > now);
            next = [next, linger, deadline].into_iter().flatten().min();
        }
        next
    }
}

/// Why an item is declined.
fn declined(deadline: Moment, best: Option<Moment>, now: Moment) -> ItemError {
    let left = deadline.saturating_sub(now).as_micros();
    let needs = best.map_or(0, |finish| finish.saturating_sub(now).as_micros());
    let message = format!(
        "declined: {left} µs are left until its deadline and the earliest end is in {needs} µs; \
         send it to a faster model, or give more devices or a later deadline"
    );
    ItemError::new(ItemErrorKind::Declined, message)
}
