//! Engines: what runs a stage of a model on a device. Only this folder touches a device.
//!
//! An [`Engine`] prepares a stage, once, on the device's own thread; the [`Session`] that it gives runs batches there,
//! blocking, until the run ends. Everything that is not computing (queues, batches, reservations) is in
//! [`serve`](crate::serve).
//!
//! * `agreed`: what the nodes of a graph say of each other's tensors.
//! * `bounds`: what a graph would take, before any of it is computed.
//! * [`cpu`]: ONNX models through tract, and user functions.
//! * [`found`]: what there is on this machine, and what is not and why.
//! * `limits`, for `onnxruntime`: what items would take, for an engine that does not say.
//! * [`measure`]: how long a stage takes.
//! * [`throttled`]: another engine's output at a profiled pace.
//! * `onnxruntime`, where its feature is on: ONNX models through ONNX Runtime.
//! * `shapes`: the type and shape of every tensor of a graph.
//! * [`stop`]: the end of a launch before its time.
//! * [`thread`]: a device's thread, with a bounded queue.
//! * `trusted`: what an engine takes on trust and a file may say wrongly.
//! * `wired`: what an engine makes of a node, against what the node says.

mod agreed;
mod bounds;
pub mod cpu;
pub mod found;
#[cfg(feature = "onnxruntime")]
mod limits;
pub mod measure;
#[cfg(feature = "onnxruntime")]
pub mod onnxruntime;
pub(crate) mod shapes;
pub mod stop;
pub mod thread;
pub mod throttled;
mod trusted;
mod wired;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    guard,
    onnx::OnnxModel,
    tensor::{Tensor, dims},
};
use stop::Stop;

/// The tensors of one item, in the order of the model's inputs or outputs, without a batch dimension.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// One tensor per input or output.
    pub tensors: Vec<Tensor>,
}

impl Item {
    /// An item of these tensors.
    pub fn new(tensors: Vec<Tensor>) -> Self {
        Self { tensors }
    }
}

impl From<Tensor> for Item {
    fn from(tensor: Tensor) -> Self {
        Self { tensors: vec![tensor] }
    }
}

/// Why one item has no result. Its neighbours in the batch are not concerned.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ItemError {
    /// What sort of failure.
    pub kind: ItemErrorKind,
    /// What happened and what to do.
    pub message: String,
}

/// What sort of failure an [`ItemError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ItemErrorKind {
    /// The item is not what the model takes: a wrong shape, type or number of tensors.
    Input,
    /// The engine could not run it.
    Engine,
    /// The model's code panicked.
    Panic,
    /// Its deadline cannot be met.
    Declined,
    /// The run ended before it could run.
    Stopped,
}

impl ItemError {
    /// An error of this kind.
    pub fn new(kind: ItemErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The run has ended.
    pub fn stopped() -> Self {
        Self::new(ItemErrorKind::Stopped, "the run was stopped before this item could run; run it again")
    }
}

/// A user function and for how many items it stands. It leaves its results wherever its author wants them.
pub struct UserCall {
    /// Items it works on.
    pub items: usize,
    /// The function, run once on the device's thread.
    pub run: Box<dyn FnOnce() + Send>,
}

/// A stage as an engine sees it.
#[derive(Clone, Debug)]
pub enum StageModel {
    /// One or more ONNX graphs, each taking what the one before gives.
    Onnx(Vec<Arc<OnnxModel>>),
    /// User functions, handed over with each call.
    Function,
}

impl StageModel {
    /// Bytes of its files, which are mostly weights.
    pub fn bytes(&self) -> u64 {
        match self {
            StageModel::Onnx(models) => models.iter().map(|model| model.bytes().len() as u64).sum(),
            StageModel::Function => 0,
        }
    }
}

/// Prepares stages on a device.
pub trait Engine: Send + Sync {
    /// Prepares a stage. Called on the device's thread, which is where the session stays. May take seconds.
    fn prepare(&self, stage: &StageModel) -> Result<Box<dyn Session>, PrepareError>;
}

/// A prepared stage. Blocking; only its device's thread calls it.
pub trait Session {
    /// Runs a batch: one result per item, in order. A wrong item fails alone. Where `stop` ends it, items without a result end as
    /// stopped, as soon as the engine can.
    fn run(&mut self, batch: &[Item], stop: &Stop) -> Vec<Result<Item, ItemError>>;

    /// Runs user functions as one launch: one result per function, in order. A panic fails its function alone. Where `stop` ends it,
    /// those that have not begun are dropped.
    fn call(&mut self, calls: Vec<UserCall>, stop: &Stop) -> Vec<Result<(), ItemError>> {
        let run = |call: UserCall| match stop.is_stopped() {
            true => Err(ItemError::stopped()),
            false => guarded(call.run),
        };
        calls.into_iter().map(run).collect()
    }

    /// Most bytes that a launch of so many items holds at once beside the weights, by the shapes of its tensors; of items in the largest shape
    /// so far. 0 where that is not known.
    fn call_bytes(&self, items: usize) -> u64 {
        let _ = items;
        0
    }
}

/// A stage that could not be prepared. The message says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct PrepareError {
    /// What happened and what to do.
    pub message: String,
}

/// Holds an item against what a model takes.
fn check_item(model: &OnnxModel, item: &Item) -> Result<(), ItemError> {
    let wrong = |message: String| Err(ItemError::new(ItemErrorKind::Input, message));
    let (specs, file) = (model.inputs(), model.file());
    if item.tensors.len() != specs.len() {
        let (given, wanted) = (item.tensors.len(), specs.len());
        return wrong(format!(
            "`{file}` takes {wanted} tensors, but the item has {given}; give one per input"
        ));
    }
    for (tensor, spec) in item.tensors.iter().zip(specs) {
        if tensor.dtype() != spec.dtype || !spec.takes(tensor.shape()) {
            let wanted = format!("{}[{}]", spec.dtype, dims(spec.item_shape()));
            return wrong(format!(
                "`{file}` takes {wanted} as `{}`, but this item has {tensor}; change the pre-step",
                spec.name
            ));
        }
    }
    Ok(())
}

/// The session of user functions, on any engine: they bring their code along, so there is nothing to prepare.
fn functions() -> Box<dyn Session> {
    struct Functions;
    impl Session for Functions {
        fn run(&mut self, batch: &[Item], _: &Stop) -> Vec<Result<Item, ItemError>> {
            let message = "this model is a function and takes no tensors; send it a function";
            batch.iter().map(|_| Err(ItemError::new(ItemErrorKind::Input, message))).collect()
        }
    }
    Box::new(Functions)
}

/// Runs code that may panic; a panic becomes the error of one item.
pub(crate) fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, ItemError> {
    guard::call(run).map_err(|panicked| {
        ItemError::new(ItemErrorKind::Panic, format!("the model's code panicked: {}", panicked.0))
    })
}
