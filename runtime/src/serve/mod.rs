//! Serving models: *plan → dispatcher → device → engine*, even where the plan is one stage on one processor.
//!
//! [`Serving::start`] prepares every stage of a [`Plan`] on its devices; a [`ModelClient`] takes [`Call`]s; the
//! dispatcher cuts and merges them into launches under reservations; a device's own thread runs them, and their output is
//! ready for the next stage at once. A failure stays with its item.
//!
//! * `placement`: from the plan to what is prepared where; `division`: a graph into the plan's blocks. Pure.
//! * `timeline`: the reservations of one device. Pure.
//! * `queue`: the waiting parts of one model. Pure.
//! * `dispatcher`: which batch goes when, and where. Pure.
//! * `hub`: the dispatcher behind a lock, where callers and devices meet.
//! * `keeper`: the actor that owns the devices' threads and looks at the clock.
//! * `call`: what callers see.

mod call;
mod dispatcher;
mod division;
mod hub;
mod keeper;
mod placement;
mod queue;
#[cfg(test)]
mod races;
#[cfg(test)]
mod tests;
mod timeline;
#[cfg(test)]
mod virtual_time;

use std::sync::Arc;

use eddyline_planner::Plan;
use ractor::{Actor, ActorCell, ActorRef};
use thiserror::Error;

use call::Late;
pub use call::{Call, CallResult, ModelClient, Outcome, Sent, Work};

use crate::{
    clock::Clock,
    engine::PrepareError,
    onnx::OnnxModel,
    rules::Rules,
    view::{DeviceView, MemoryView, ProblemView},
};
use dispatcher::Dispatcher;
use hub::Hub;
use keeper::{Keeper, Kept, KeptDevice};
use placement::{PlacedDevice, Placement};

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
    hub: Arc<Hub>,
    keeper: ActorRef<keeper::Message>,
    clients: Vec<(Arc<str>, ModelClient)>,
    devices: Vec<RunningDevice>,
    late: Late,
}

struct RunningDevice {
    name: Arc<str>,
    engine: &'static str,
    stages: Vec<String>,
    weight_bytes: u64,
    limit_bytes: Option<u64>,
    thread: keeper::Handle,
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
        let (mut placement, models) =
            placing.await.map_err(|error| ServeError::Actors { error: error.to_string() })??;
        let placed = std::mem::take(&mut placement.devices);
        let shared: Vec<bool> = placed.iter().map(PlacedDevice::is_shared).collect();
        let names: Vec<Arc<str>> = placed.iter().map(|device| device.name.clone()).collect();
        let entries = entries(&placement, &models);
        let devices = names.into_iter().zip(shared).collect();
        let dispatcher = Dispatcher::new(placement.models, devices, rules);
        let late = Late::default();
        let hub = Hub::new(dispatcher, placed.len(), clock.clone());
        let client = |(model, entry): (usize, Entry)| {
            let Entry { name, is_function, batch } = entry;
            let (hub, hints) = (Arc::clone(&hub), hub.look(|dispatcher| dispatcher.hints(model)));
            (name, ModelClient { hub, model, is_function, batch, hints, late: late.clone() })
        };
        let clients = entries.into_iter().enumerate().map(client).collect();
        match Self::start_devices(&hub, placed, clock).await {
            Ok((keeper, devices)) => Ok(Self { hub, keeper, clients, devices, late: late.clone() }),
            Err(error) => {
                // The threads that wait for work end.
                hub.stop();
                Err(error)
            }
        }
    }

    async fn start_devices(
        hub: &Arc<Hub>,
        placed: Vec<PlacedDevice>,
        clock: Clock,
    ) -> Result<(ActorRef<keeper::Message>, Vec<RunningDevice>), ServeError> {
        let mut devices = Vec::with_capacity(placed.len());
        let mut preparing = Vec::with_capacity(placed.len());
        for (at, device) in placed.iter().enumerate() {
            let (thread, prepared) = keeper::start(hub, at, device, &clock)?;
            preparing.push(prepared);
            devices.push(RunningDevice {
                name: device.name.clone(),
                engine: device.engine.name(),
                stages: device.sessions.iter().map(|(_, label)| label.clone()).collect(),
                weight_bytes: device.weight_bytes(),
                limit_bytes: device.memory_bytes,
                thread: Arc::new(Some(thread).into()),
            });
        }
        for (at, (device, prepared)) in placed.iter().zip(preparing).enumerate() {
            match prepared.await {
                Ok(Ok(call_bytes)) => {
                    device.check_memory(call_bytes)?;
                    hub.ask(|dispatcher, _| dispatcher.holds(at, call_bytes));
                }
                Ok(Err((stage, error))) => return Err(ServeError::prepare(device, stage, error)),
                Err(_) => {
                    let error = PrepareError { message: "its thread ended; report this".to_owned() };
                    return Err(ServeError::prepare(device, 0, error));
                }
            }
        }
        let kept = placed.into_iter().zip(&devices);
        let kept = kept.map(|(placed, device)| {
            let thread = Arc::clone(&device.thread);
            KeptDevice { placed, thread, restarts: 0 }
        });
        let kept = Kept { hub: Arc::downgrade(hub), clock, devices: kept.collect() };
        let (keeper, _) = Actor::spawn(None, Keeper, kept)
            .await
            .map_err(|error| ServeError::Actors { error: error.to_string() })?;
        hub.kept_by(keeper.clone());
        Ok((keeper, devices))
    }

    /// Puts the keeper of the devices under the supervisor of the run.
    pub(crate) fn link(&self, supervisor: ActorCell) {
        self.keeper.get_cell().link(supervisor);
    }

    /// The way to a model; `None` where it is not served.
    pub fn client(&self, model: &str) -> Option<ModelClient> {
        self.clients.iter().find(|(name, _)| &**name == model).map(|(_, client)| client.clone())
    }

    /// The devices with their latest reservations. Cheap; never waits for a device.
    pub fn devices(&self) -> Vec<DeviceView> {
        (0..).zip(&self.devices).map(|(at, device)| device.view(at, &self.hub)).collect()
    }

    /// Ends it: every call that is not answered yet ends as stopped. Waits for what runs on the devices and for their
    /// threads, but not where a call that was given up has not come back.
    pub async fn stop(&self) {
        self.hub.stop();
        // It fails only where the actor has already ended.
        let _ = self.keeper.stop_and_wait(None, None).await;
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
        self.hub.stop();
        self.keeper.stop(None);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl RunningDevice {
    fn view(&self, at: usize, hub: &Hub) -> DeviceView {
        let ((busy_us, items, launches, problem), reservations, call_bytes) = hub.look(|dispatcher| {
            let line = dispatcher.timeline(at);
            (line.totals(), line.view(), dispatcher.call_bytes(at))
        });
        DeviceView {
            name: self.name.to_string(),
            engine: self.engine.to_owned(),
            stages: self.stages.clone(),
            busy_us,
            items,
            launches,
            memory: MemoryView { weight_bytes: self.weight_bytes, call_bytes, limit_bytes: self.limit_bytes },
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

/// What a client needs to know of its model.
struct Entry {
    name: Arc<str>,
    is_function: bool,
    batch: usize,
}

fn entries(placement: &Placement, models: &[ServedModel]) -> Vec<Entry> {
    let entry = |(placed, served): (&placement::PlacedModel, &ServedModel)| {
        let batch = placed.pipelines.iter().map(|pipeline| pipeline.batch as usize).max().unwrap_or(1);
        let is_function = matches!(served, ServedModel::Function { .. });
        Entry { name: placed.name.clone(), is_function, batch }
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
        "device `{device}` has {has} bytes of memory, but the stages on it need {weight_bytes} for their weights{}; place fewer there{}",
        if *call_bytes > 0 { format!(" and {call_bytes} for a launch") } else { String::new() },
        if *call_bytes > 0 { ", or give smaller batches" } else { "" }
    )]
    Memory {
        /// The device.
        device: String,
        /// What the weights of its stages need.
        weight_bytes: u64,
        /// What a launch needs beside them; 0 where that was not looked at.
        call_bytes: u64,
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
