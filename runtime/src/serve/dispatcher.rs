//! The dispatcher: one actor that decides which batch goes when, and where, under reservations.
//!
//! For each model it holds a first-in first-out queue, for each device a [`Timeline`]. A batch is launched
//!
//! * when as many items wait as the plan's batch takes and a device of the first stage has promised less than
//!   [`AHEAD`] launches beyond the running one;
//! * or when such a device is idle for as long as the launch takes: nothing waits only for more items;
//! * or when the oldest has waited for [`LINGER`] and the device is shared with another model, which could otherwise
//!   keep it busy with full batches for ever.
//!
//! Models take turns: next is the one that has had the least device time since it last had nothing to do. Among the devices of a pool the one that finishes first is taken,
//! by its time-line and the profiled time (without a profile, the time seen so far). Every stage of a pipeline is
//! reserved at once. With a deadline the batch is cut until its earliest deadline is met at the end of the last stage;
//! an item that cannot be met even alone is declined.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::{
    call::Part,
    placement::Placement,
    queue::Queue,
    stage::{self, Hop, Launch, Route},
    timeline::{Purpose, Timeline},
};
use crate::{
    clock::{Clock, Moment},
    engine::{
        ItemError, ItemErrorKind,
        thread::{Output, Ran},
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

pub(crate) enum Message {
    /// New work for a model.
    Submit { model: usize, parts: Vec<Part> },
    /// Calls of a model have been given up: what waits of them need not run.
    GivenUp { model: usize },
    /// A launch has started on a device.
    Began { route: Arc<Route>, hop: usize, at: Moment },
    /// A launch has ended on a device.
    Ended(Box<Ended>),
    /// Something waits for this moment.
    Tick,
}

pub(crate) struct Ended {
    route: Arc<Route>,
    hop: usize,
    from: Moment,
    until: Moment,
    /// Items that ran.
    batch: u32,
    /// Items that go on, and how many of them have been round a loop.
    alive: (u32, u32),
    /// Why none goes on.
    failure: Option<String>,
}

impl Message {
    /// What the dispatcher needs to know of a launch that has ended.
    pub fn ended(launch: &Launch, ran: &Ran) -> Self {
        let errors: Vec<Option<&ItemError>> = match &ran.output {
            Output::Items(items) => items.iter().map(|item| item.as_ref().err()).collect(),
            Output::Calls(calls) => calls.iter().map(|call| call.as_ref().err()).collect(),
        };
        let mut alive = (0, 0);
        for (ticket, _) in launch.tickets.iter().zip(&errors).filter(|(_, error)| error.is_none()) {
            alive = (alive.0 + ticket.items, alive.1 + ticket.retries);
        }
        let failure = errors.iter().flatten().next().filter(|_| errors.iter().all(Option::is_some));
        Message::Ended(Box::new(Ended {
            route: launch.route.clone(),
            hop: launch.hop,
            from: ran.from,
            until: ran.until,
            batch: launch.tickets.iter().map(|ticket| ticket.items).sum(),
            alive,
            failure: failure.map(|error| error.message.clone()),
        }))
    }
}

pub(crate) struct Dispatcher;

pub(crate) struct State {
    clock: Clock,
    models: Vec<Model>,
    devices: Vec<Device>,
    rules: Rules,
    next_reservation: u64,
    /// The earliest tick under way.
    tick_at: Option<Moment>,
}

struct Model {
    name: Arc<str>,
    queue: Queue,
    pipelines: Vec<PipelineState>,
    /// Device time promised to it; a model that starts anew is level with the least served one.
    served: Duration,
}

struct PipelineState {
    batch: u32,
    stages: Vec<StageState>,
}

struct StageState {
    places: Vec<PlaceState>,
    /// Most open reservations on one of its devices at which a further one is promised.
    most_open: usize,
}

struct PlaceState {
    device: usize,
    pace: Option<Pace>,
    /// Time per item seen so far, where there is no profile.
    per_item: Option<Duration>,
    actor: ActorRef<stage::Message>,
}

struct Device {
    timeline: Arc<Mutex<Timeline>>,
    shared: bool,
}

/// A way through a pipeline: the place chosen in each stage with the expected time, and when the last one ends.
struct Way {
    places: Vec<(usize, Moment, Duration)>,
    finish: Moment,
}

/// What the dispatcher starts with. It starts the stage actors itself, in the order of [`Placement`]: models, pipelines,
/// stages, devices of the pool.
pub(crate) struct Start {
    pub placement: Placement,
    /// One per device of the placement.
    pub timelines: Vec<Arc<Mutex<Timeline>>>,
    pub clock: Clock,
    pub rules: Rules,
    pub stages: Box<dyn FnOnce(ActorRef<Message>) -> Vec<stage::Stage> + Send>,
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
pub(crate) fn most_open(first_pool: usize, stage: usize, pool: usize) -> usize {
    let own = 1 + AHEAD;
    if stage == 0 { own } else { own + (own * first_pool).div_ceil(pool.max(1)) }
}

impl State {
    /// `None` where there are fewer actors than places.
    fn new(
        placement: Placement,
        timelines: Vec<Arc<Mutex<Timeline>>>,
        clock: Clock,
        rules: Rules,
        actors: Vec<ActorRef<stage::Message>>,
    ) -> Option<Self> {
        let mut actors = actors.into_iter();
        let mut models = Vec::with_capacity(placement.models.len());
        for model in placement.models {
            let mut pipelines = Vec::with_capacity(model.pipelines.len());
            for pipeline in model.pipelines {
                let first = pipeline.stages.first().map_or(0, |stage| stage.places.len());
                let mut stages = Vec::with_capacity(pipeline.stages.len());
                for (at, stage) in pipeline.stages.into_iter().enumerate() {
                    let most_open = most_open(first, at, stage.places.len());
                    let places = stage.places.into_iter().map(|place| {
                        let actor = actors.next()?;
                        Some(PlaceState { device: place.device, pace: place.pace, per_item: None, actor })
                    });
                    stages.push(StageState { places: places.collect::<Option<_>>()?, most_open });
                }
                pipelines.push(PipelineState { batch: pipeline.batch, stages });
            }
            models.push(Model {
                name: model.name,
                queue: Queue::default(),
                pipelines,
                served: Duration::ZERO,
            });
        }
        let devices = placement.devices.iter().zip(timelines);
        let devices =
            devices.map(|(device, timeline)| Device { timeline, shared: device.is_shared() }).collect();
        Some(Self { clock, models, devices, rules, next_reservation: 0, tick_at: None })
    }

    /// Files new work under its model.
    ///
    /// What must wait so long for what was there before it that its deadline will have passed is declined right away.
    fn submit(&mut self, at: usize, parts: Vec<Part>) {
        let now = self.clock.now();
        let others = self
            .models
            .iter()
            .enumerate()
            .filter(|(other_at, other)| *other_at != at && !other.queue.is_empty());
        let level = others.map(|(_, other)| other.served).min().unwrap_or_default();
        let Some(model) = self.models.get_mut(at) else { return };
        if model.queue.is_empty() {
            model.served = model.served.max(level);
        }
        for part in parts {
            match part.deadline.map(|deadline| (deadline, self.backlog(at, now))) {
                Some((deadline, best)) if best > deadline => {
                    part.ticket.answer(Err(declined(deadline, Some(best), now)));
                }
                _ => self.models[at].queue.push(part),
            }
        }
    }

    /// When one more item would be done at the earliest if everything that waits went before it in full batches, as
    /// fast as the slowest stages allow. Never later than the truth: other models take their turns too.
    fn backlog(&self, model: usize, now: Moment) -> Moment {
        let of = &self.models[model];
        let (mut earliest, mut at_once, mut rate_per_s) = (None, 0.0, 0.0);
        for (at, pipeline) in of.pipelines.iter().enumerate() {
            let Some(way) = self.way(model, at, 1, now, |_, _, _| true) else { continue };
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
    fn pump(&mut self) {
        let now = self.clock.now();
        loop {
            let mut waiting: Vec<(Duration, usize)> = Vec::new();
            for at in 0..self.models.len() {
                self.decline(at, now);
                let model = &self.models[at];
                waiting.extend((!model.queue.is_empty()).then_some((model.served, at)));
            }
            waiting.sort_unstable();
            if !waiting.into_iter().any(|(_, model)| self.launch(model, now)) {
                return;
            }
        }
    }

    /// Refuses the oldest items as long as they cannot be met even if they were the next to run, alone.
    fn decline(&mut self, model: usize, now: Moment) {
        while let Some((Some(deadline), items)) = self.models[model].queue.front() {
            let pipelines = 0..self.models[model].pipelines.len();
            let best = pipelines
                .filter_map(|p| self.way(model, p, items, now, |_, _, _| true))
                .map(|way| way.finish)
                .min();
            if best.is_some_and(|finish| finish <= deadline) {
                return;
            }
            self.models[model].queue.refuse(declined(deadline, best, now));
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
        let (tickets, work) = self.models[model].queue.take(parts);
        let batch = tickets.iter().map(|ticket| ticket.items).sum();
        let retries = tickets.iter().map(|ticket| ticket.retries).sum();
        let mut hops = Vec::with_capacity(way.places.len());
        for (stage, (place, ready, len)) in way.places.into_iter().enumerate() {
            let chosen = &self.models[model].pipelines[pipeline].stages[stage].places[place];
            let actor = chosen.actor.clone();
            let purpose =
                Purpose { model: self.models[model].name.clone(), stage: stage as u32, batch, retries };
            self.next_reservation += 1;
            let reservation = self.next_reservation;
            self.devices[chosen.device].timeline.lock().reserve(now, reservation, purpose, ready, len);
            hops.push(Hop { device: chosen.device, place, reservation, actor });
            self.models[model].served += len;
        }
        let route = Arc::new(Route { model, pipeline, hops });
        if let Some(first) = route.hops.first() {
            let launch = Launch { route: route.clone(), hop: 0, tickets };
            let _ = first.actor.cast(stage::Message::Run(launch, work));
        }
        true
    }

    /// What a pipeline would do with the queue now: how many parts, which way.
    fn propose(&self, model: usize, pipeline: usize, now: Moment) -> Option<(usize, Way)> {
        let of = &self.models[model];
        let pipe = &of.pipelines[pipeline];
        let mut head = of.queue.head(pipe.batch)?;
        let full = of.queue.items() >= u64::from(pipe.batch);
        let lingered = now >= head.since + LINGER;
        let may = |stage: usize, device: usize, len: Duration| {
            let device = &self.devices[device];
            let mut line = device.timeline.lock();
            line.open() < pipe.stages[stage].most_open
                && (stage > 0
                    || full
                    || (self.rules.models_linger && line.is_idle_for(now, len))
                    || (self.rules.models_linger && lingered && device.shared && !line.promises(&of.name)))
        };
        loop {
            let way = self.way(model, pipeline, head.items, now, may)?;
            if head.deadline.is_none_or(|deadline| way.finish <= deadline) {
                return Some((head.parts, way));
            }
            // Fewer items finish sooner; the oldest alone is known to be met by some device, if not by one with room.
            head = of.queue.head(head.items.checked_sub(1).filter(|_| head.parts > 1)?)?;
        }
    }

    /// The way through a pipeline that finishes first: in each stage, the device whose time-line ends it earliest.
    fn way(
        &self,
        model: usize,
        pipeline: usize,
        items: u32,
        now: Moment,
        may: impl Fn(usize, usize, Duration) -> bool,
    ) -> Option<Way> {
        let mut ready = now;
        let mut places = Vec::new();
        for (at, stage) in self.models[model].pipelines[pipeline].stages.iter().enumerate() {
            let options =
                stage.places.iter().enumerate().map(|(index, place)| (index, place, place.expected(items)));
            let allowed = options.filter(|(_, place, len)| may(at, place.device, *len));
            let ends = allowed.map(|(index, place, len)| {
                (self.devices[place.device].timeline.lock().probe(now, ready, len) + len, index, len)
            });
            let (finish, index, len) = ends.min()?;
            places.push((index, ready, len));
            ready = finish;
        }
        Some(Way { places, finish: ready })
    }

    fn began(&mut self, route: &Route, hop: usize, at: Moment) {
        let Some(here) = route.hops.get(hop) else { return };
        let mut until = self.devices[here.device].timeline.lock().started(here.reservation, at);
        for later in route.hops.iter().skip(hop + 1) {
            let Some(ready) = until else { return };
            until = self.devices[later.device].timeline.lock().ready(later.reservation, ready, at);
        }
    }

    fn ended(&mut self, ended: &Ended) {
        let Ended { route, hop, from, until, batch, alive, failure } = ended;
        let Some(here) = route.hops.get(*hop) else { return };
        let stages = &mut self.models[route.model].pipelines[route.pipeline].stages;
        stages[*hop].places[here.place].learn(*batch, until.saturating_sub(*from));
        self.devices[here.device].timeline.lock().ended(here.reservation, *from, *until, failure.clone());
        let mut ready = Some(*until);
        for (at, later) in route.hops.iter().enumerate().skip(hop + 1) {
            let mut line = self.devices[later.device].timeline.lock();
            if alive.0 == 0 {
                line.cancel(later.reservation, *until);
                continue;
            }
            if alive.0 < *batch {
                let len = stages[at].places[later.place].expected(alive.0);
                line.shrink(later.reservation, alive.0, alive.1, len);
            }
            ready = ready.and_then(|ready| line.ready(later.reservation, ready, *until));
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

impl Actor for Dispatcher {
    type Msg = Message;
    type State = State;
    type Arguments = Start;

    async fn pre_start(&self, myself: ActorRef<Message>, start: Start) -> Result<State, ActorProcessingErr> {
        let mut actors = Vec::new();
        for stage in (start.stages)(myself.clone()) {
            let (actor, _) = Actor::spawn_linked(None, stage::StageActor, stage, myself.get_cell()).await?;
            actors.push(actor);
        }
        State::new(start.placement, start.timelines, start.clock, start.rules, actors)
            .ok_or_else(|| ActorProcessingErr::from("a stage has no actor"))
    }

    /// A stage that dies leaves a hole that nobody here can mend: the dispatcher dies of it, and the run is told.
    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Message>,
        event: SupervisionEvent,
        _state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(_, error) => Err(error),
            _ => Ok(()),
        }
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Submit { model, parts } => state.submit(model, parts),
            Message::GivenUp { model } => {
                if let Some(model) = state.models.get_mut(model) {
                    model.queue.drop_given_up();
                }
            }
            Message::Began { route, hop, at } => {
                state.began(&route, hop, at);
                return Ok(());
            }
            Message::Ended(ended) => state.ended(&ended),
            Message::Tick => state.tick_at = None,
        }
        state.pump();
        let now = state.clock.now();
        if let Some(at) = state.next_tick(now).filter(|at| state.tick_at.is_none_or(|armed| *at < armed)) {
            state.tick_at = Some(at);
            let clock = state.clock.clone();
            tokio::spawn(async move {
                clock.sleep_until(at).await;
                let _ = myself.cast(Message::Tick);
            });
        }
        Ok(())
    }
}
