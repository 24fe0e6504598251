//! Serving models: *plan → dispatcher → stage actors → engine*, even where the plan is one stage on one processor.
//!
//! [`Serving::start`] prepares every stage of a [`Plan`] on its devices; a [`ModelClient`] takes [`Call`]s; the
//! dispatcher cuts and merges them into launches under reservations; a stage actor per stage and device hands them to
//! the device's own thread and their output straight to the next stage. A failure stays with its item.
//!
//! * `placement`: from the plan to what is prepared where; `division`: a graph into the plan's blocks. Pure.
//! * `timeline`: the reservations of one device. Pure.
//! * `queue`: the waiting parts of one model. Pure.
//! * `dispatcher`: which batch goes when, and where.
//! * `stage`: the actor of one stage on one device.
//! * `call`: what callers see.

mod call;
mod dispatcher;
mod division;
mod placement;
mod queue;
mod stage;
#[cfg(test)]
mod tests;
mod timeline;

use std::sync::{Arc, atomic::AtomicBool, atomic::Ordering, mpsc::SyncSender};
use std::thread::JoinHandle;

use eddyline_planner::Plan;
use parking_lot::Mutex;
use ractor::{Actor, ActorCell, ActorRef};
use thiserror::Error;

use call::Late;
pub use call::{Call, CallResult, ModelClient, Outcome, Sent, Work};

use crate::{
    clock::Clock,
    engine::{
        PrepareError,
        thread::{DeviceThread, Order},
    },
    onnx::OnnxModel,
    rules::Rules,
    view::{DeviceView, ProblemView},
};
use placement::{PlacedDevice, Placement};
use timeline::Timeline;

/// A model that a workflow calls.
#[derive(Clone, Debug)]
pub enum ServedModel {
    /// One ONNX graph, which is cut where its plan has several stages.
    Onnx {
        /// Its name in workflow and plan.
        name: String,
        /// The graph.
        model: Arc<OnnxModel>,
    },
    /// ONNX graphs one behind the other, each taking what the one before gives: the blocks of which a plan may make
    /// stages.
    Blocks {
        /// Its name in workflow and plan.
        name: String,
        /// Its blocks.
        blocks: Vec<Arc<OnnxModel>>,
    },
    /// User functions; each call brings its own.
    Function {
        /// Its name in workflow and plan.
        name: String,
    },
}

impl ServedModel {
    /// Its name in workflow and plan.
    pub fn name(&self) -> &str {
        match self {
            ServedModel::Onnx { name, .. }
            | ServedModel::Blocks { name, .. }
            | ServedModel::Function { name } => name,
        }
    }
}

/// The models of a run, ready to be called. Ends when it is stopped or dropped; only [`stop`](Self::stop) waits for it.
pub struct Serving {
    dispatcher: ActorRef<dispatcher::Message>,
    clients: Vec<(Arc<str>, ModelClient)>,
    devices: Vec<RunningDevice>,
    late: Late,
}

struct RunningDevice {
    name: Arc<str>,
    engine: &'static str,
    stages: Vec<String>,
    timeline: Arc<Mutex<Timeline>>,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Serving {
    /// Prepares every stage of these models where the plan puts them; devices prepare at the same time. Models of the
    /// plan that are not served are left out.
    pub async fn start(plan: Plan, models: Vec<ServedModel>, clock: Clock) -> Result<Self, ServeError> {
        Self::start_under(Rules::default(), plan, models, clock).await
    }

    pub(crate) async fn start_under(
        rules: Rules,
        plan: Plan,
        models: Vec<ServedModel>,
        clock: Clock,
    ) -> Result<Self, ServeError> {
        // Cutting a model copies its weights, which may take a while.
        let placing = tokio::task::spawn_blocking({
            let clock = clock.clone();
            move || Placement::new(&plan, &models, &clock).map(|placement| (placement, models))
        });
        let (placement, models) =
            placing.await.map_err(|error| ServeError::Actors { error: error.to_string() })??;
        let mut devices = Vec::with_capacity(placement.devices.len());
        let mut queues = Vec::with_capacity(placement.devices.len());
        let mut preparing = Vec::with_capacity(placement.devices.len());
        for (at, device) in placement.devices.iter().enumerate() {
            let capacity = queue_capacity(&placement, at);
            let started = DeviceThread::start(&device.name, device.prepare.clone(), capacity, clock.clone());
            let (thread, prepared) =
                started.map_err(|error| ServeError::Thread { device: device.name.to_string(), error })?;
            preparing.push(prepared);
            queues.push(thread.queue);
            devices.push(RunningDevice {
                name: device.name.clone(),
                engine: device.engine.name(),
                stages: device.sessions.iter().map(|(_, label)| label.clone()).collect(),
                timeline: Arc::new(Mutex::new(Timeline::default())),
                stop: thread.stop,
                thread: Mutex::new(Some(thread.handle)),
            });
        }
        // On an error the queues are dropped, and with them the threads that wait for work end.
        for (device, prepared) in placement.devices.iter().zip(preparing) {
            match prepared.await {
                Ok(Ok(())) => {}
                Ok(Err((stage, error))) => return Err(ServeError::prepare(device, stage, error)),
                Err(_) => {
                    let error = PrepareError { message: "its thread ended; report this".to_owned() };
                    return Err(ServeError::prepare(device, 0, error));
                }
            }
        }
        let timelines: Vec<_> = devices.iter().map(|device| device.timeline.clone()).collect();
        let stages = stages(&placement, queues, clock.clone());
        let entries = entries(&placement, &models);
        let start = dispatcher::Start { placement, timelines, clock: clock.clone(), rules, stages };
        let (dispatcher, _) = Actor::spawn(None, dispatcher::Dispatcher, start)
            .await
            .map_err(|error| ServeError::Actors { error: error.to_string() })?;
        let late = Late::default();
        let client = |(model, entry): (usize, Entry)| {
            let Entry { name, is_function, batch, in_flight } = entry;
            let (dispatcher, clock) = (dispatcher.clone(), clock.clone());
            let late = late.clone();
            (name, ModelClient { dispatcher, clock, model, is_function, batch, in_flight, late })
        };
        let clients = entries.into_iter().enumerate().map(client).collect();
        Ok(Self { dispatcher, clients, devices, late: late.clone() })
    }

    /// Puts the dispatcher, and with it the stage actors, under the supervisor of the run.
    pub(crate) fn link(&self, supervisor: ActorCell) {
        self.dispatcher.get_cell().link(supervisor);
    }

    /// The way to a model; `None` where it is not served.
    pub fn client(&self, model: &str) -> Option<ModelClient> {
        self.clients.iter().find(|(name, _)| &**name == model).map(|(_, client)| client.clone())
    }

    /// The devices with their latest reservations. Cheap; never waits for a device.
    pub fn devices(&self) -> Vec<DeviceView> {
        self.devices.iter().map(RunningDevice::view).collect()
    }

    /// Ends it: every call that is not answered yet ends as stopped. Waits for what runs on the devices and for their
    /// threads, but not where a call that was given up has not come back.
    pub async fn stop(&self) {
        self.tell_to_stop();
        // It fails only where the actor has already ended.
        let _ = self.dispatcher.stop_and_wait(None, None).await;
        if self.late.is_any() {
            return;
        }
        let threads: Vec<_> = self.devices.iter().filter_map(|device| device.thread.lock().take()).collect();
        for thread in threads {
            // A device thread catches panics, so that there is nothing to learn from its end.
            let _ = tokio::task::spawn_blocking(move || thread.join().is_ok()).await;
        }
    }

    /// Ends it without waiting for anything.
    pub(crate) fn abandon(&self) {
        self.tell_to_stop();
        self.dispatcher.stop(None);
    }

    fn tell_to_stop(&self) {
        for device in &self.devices {
            device.stop.store(true, Ordering::Release);
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl RunningDevice {
    fn view(&self) -> DeviceView {
        let line = self.timeline.lock();
        let (busy_us, items, launches, problem) = line.totals();
        let reservations = line.view();
        drop(line);
        DeviceView {
            name: self.name.to_string(),
            engine: self.engine.to_owned(),
            stages: self.stages.clone(),
            busy_us,
            items,
            launches,
            problem: problem.map(|message| ProblemView {
                node: None,
                location: String::new(),
                what: format!("every item of the latest launch failed: {message}"),
                advice: "look at the faults of the model".to_owned(),
            }),
            reservations,
        }
    }
}

/// More than can be promised on a device at once, so that its queue is never full.
fn queue_capacity(placement: &Placement, device: usize) -> usize {
    let pipelines = placement.models.iter().flat_map(|model| &model.pipelines);
    let limits = pipelines.flat_map(|pipeline| {
        let first = pipeline.stages.first().map_or(0, |stage| stage.places.len());
        let here = pipeline.stages.iter().enumerate();
        here.filter(|(_, stage)| stage.places.iter().any(|place| place.device == device))
            .map(move |(at, stage)| dispatcher::most_open(first, at, stage.places.len()))
    });
    limits.max().unwrap_or(0) + 1
}

/// Makes the stage actors' arguments, in the order of the placement, once the dispatcher can be named.
fn stages(
    placement: &Placement,
    queues: Vec<SyncSender<Order>>,
    clock: Clock,
) -> Box<dyn FnOnce(ActorRef<dispatcher::Message>) -> Vec<stage::Stage> + Send> {
    let pipelines = placement.models.iter().flat_map(|model| &model.pipelines);
    let places: Vec<(usize, usize)> = pipelines
        .flat_map(|pipeline| &pipeline.stages)
        .flat_map(|stage| &stage.places)
        .map(|place| (place.device, place.session))
        .collect();
    let names: Vec<Arc<str>> = placement.devices.iter().map(|device| device.name.clone()).collect();
    Box::new(move |dispatcher| {
        let stage = |(device, session): (usize, usize)| stage::Stage {
            device: names[device].clone(),
            queue: queues[device].clone(),
            session,
            clock: clock.clone(),
            dispatcher: dispatcher.clone(),
        };
        places.into_iter().map(stage).collect()
    })
}

/// What a client needs to know of its model.
struct Entry {
    name: Arc<str>,
    is_function: bool,
    batch: usize,
    in_flight: usize,
}

fn entries(placement: &Placement, models: &[ServedModel]) -> Vec<Entry> {
    let entry = |(placed, served): (&placement::PlacedModel, &ServedModel)| {
        let batch = placed.pipelines.iter().map(|pipeline| pipeline.batch as usize).max().unwrap_or(1);
        let busy = placed.pipelines.iter().map(|pipeline| {
            pipeline.batch as usize * pipeline.stages.first().map_or(1, |stage| stage.places.len())
        });
        Entry {
            name: placed.name.clone(),
            is_function: matches!(served, ServedModel::Function { .. }),
            batch,
            in_flight: 2 * busy.sum::<usize>(),
        }
    };
    placement.models.iter().zip(models).map(entry).collect()
}

/// Models that could not be served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Two models of one name.
    #[error("there are two models named `{model}`; rename one")]
    DuplicateModel {
        /// The name.
        model: String,
    },
    /// A model that the plan does not have.
    #[error(
        "the plan does not place the model `{model}`, only {placed}; add `[model.{model}]` to the plan, or rename the model"
    )]
    NotPlaced {
        /// The model.
        model: String,
        /// What the plan places.
        placed: String,
    },
    /// An ONNX graph that cannot be cut as the plan says.
    #[error(
        "the plan cuts the model `{model}` into {stages} stages, but `{file}` is one graph that cannot be: {why}; plan again with its profile, or place it as one stage"
    )]
    Uncut {
        /// The model.
        model: String,
        /// Its file.
        file: String,
        /// Stages planned.
        stages: usize,
        /// Why not.
        why: String,
    },
    /// More than fits into a device.
    #[error(
        "device `{device}` has {has} bytes of memory, but the stages on it need {needs} for their weights; place fewer there"
    )]
    Memory {
        /// The device.
        device: String,
        /// What its stages need.
        needs: u64,
        /// What it has.
        has: u64,
    },
    /// A function in several stages.
    #[error(
        "the plan cuts the model `{model}` into {stages} stages, but it is a function, which cannot be cut; place it as one stage"
    )]
    FunctionStages {
        /// The model.
        model: String,
        /// Stages planned.
        stages: usize,
    },
    /// Other blocks than planned.
    #[error(
        "the plan has {planned} blocks for the model `{model}`, but it has {has}; plan again with its profile"
    )]
    BlockCount {
        /// The model.
        model: String,
        /// Blocks planned.
        planned: u32,
        /// Blocks it has.
        has: usize,
    },
    /// Blocks that do not fit together.
    #[error(
        "two blocks of the model `{model}` do not fit: {gives}, then {takes}; outputs must be the next inputs, by name, order and type"
    )]
    Boundary {
        /// The model.
        model: String,
        /// The earlier block.
        gives: String,
        /// The later one.
        takes: String,
    },
    /// A device of an engine that this program does not have.
    #[error(
        "device `{device}` is of the engine `{engine}`, which is not there: {why}; `eddyline devices` lists what is"
    )]
    Engine {
        /// The device.
        device: String,
        /// The engine.
        engine: &'static str,
        /// Why it is not there, and what to do.
        why: String,
    },
    /// A stage that its engine cannot run.
    #[error("model `{model}` cannot be prepared on device `{device}`: {error}")]
    Prepare {
        /// The model.
        model: String,
        /// The device.
        device: String,
        /// What is wrong.
        error: PrepareError,
    },
    /// The operating system gave no thread.
    #[error(
        "cannot start the thread of device `{device}`: {error}; raise the limit of threads or place fewer devices"
    )]
    Thread {
        /// The device.
        device: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The actors could not be started.
    #[error("the dispatcher could not be started: {error}; start it inside a tokio runtime")]
    Actors {
        /// What the actor system says.
        error: String,
    },
}

impl ServeError {
    /// The model that is wrong, if it is one.
    pub fn model(&self) -> Option<&str> {
        match self {
            ServeError::DuplicateModel { model }
            | ServeError::NotPlaced { model, .. }
            | ServeError::Uncut { model, .. }
            | ServeError::FunctionStages { model, .. }
            | ServeError::BlockCount { model, .. }
            | ServeError::Boundary { model, .. }
            | ServeError::Prepare { model, .. } => Some(model),
            ServeError::Engine { .. }
            | ServeError::Memory { .. }
            | ServeError::Thread { .. }
            | ServeError::Actors { .. } => None,
        }
    }

    fn prepare(device: &PlacedDevice, stage: usize, error: PrepareError) -> Self {
        let model = device.sessions.get(stage).map_or_else(String::new, |(model, _)| model.to_string());
        ServeError::Prepare { model, device: device.name.to_string(), error }
    }
}
