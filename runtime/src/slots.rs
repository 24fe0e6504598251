//! Slots: places in a running graph into which a handler can be put, without the types of what it judges.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::graph::Graph;

/// A place into which handlers can be put.
pub trait Slot: Send + Sync + 'static {
    /// What can be put there, and what is there.
    fn view(&self) -> SlotView;
    /// Puts a handler there, changes its parameters, or takes it away.
    ///
    /// # Errors
    /// There is no such handler, it has no such parameters, or it has not been in shadow.
    fn fill(&self, filling: Filling) -> Result<(), SlotError>;
}

/// A slot as others see it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SlotView {
    /// The operator.
    pub node: u32,
    /// Its name.
    pub name: String,
    /// What can be put there.
    pub handlers: Vec<HandlerView>,
    /// What is there, if anything.
    pub filled: Option<FilledView>,
}

/// A handler that can be put into a slot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HandlerView {
    /// Its name.
    pub name: String,
    /// The parameters that it begins with: which there are, and of which types.
    pub parameters: Value,
}

/// What is in a slot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FilledView {
    /// The handler's name.
    pub handler: String,
    /// Its parameters.
    pub parameters: Value,
    /// Whether it only is in shadow: what it says is counted, and not obeyed.
    pub shadow: bool,
    /// What it has said since it was put there, as [`Counts`](https://docs.rs/eddyline-handlers) of a meter.
    pub counts: Value,
}

/// What is to be in a slot.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filling {
    /// The handler's name; none empties the slot. Never left out: who only says `"shadow": false` does not mean to empty it.
    #[serde(deserialize_with = "Option::deserialize")]
    pub handler: Option<String>,
    /// Its parameters; those that are left out stay as they are, or are what it begins with.
    #[serde(default)]
    pub parameters: Value,
    /// Whether it is to be in shadow. One that is not in the slot yet has to be in shadow first.
    #[serde(default = "yes")]
    pub shadow: bool,
}

fn yes() -> bool {
    true
}

/// Why a slot cannot be filled so.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SlotError {
    /// There is no slot at this operator.
    #[error("the operator with the id {0} is no slot; look at the slots that there are")]
    NoSuchSlot(u32),
    /// There is no slot of this name; these are there.
    #[error("there is no slot `{0}`; there is {1}")]
    NoSlotNamed(String, String),
    /// There is nothing in it that could be obeyed.
    #[error("the slot `{0}` is empty: put a handler there first")]
    Empty(String),
    /// It has not been in shadow.
    #[error("`{0}` is not in the slot yet: put it there in shadow first, and look at what it says")]
    NotInShadow(String),
    /// There is no such handler, or these are no parameters of it.
    #[error("{0}")]
    Wrong(String),
    /// The run is over, or has not begun.
    #[error("the run is not running now, so that no slot of it can be filled")]
    NotRunning,
}

impl Graph {
    /// Handlers can be put into this node.
    pub fn open_slot(&self, node: u32, slot: Arc<dyn Slot>) {
        self.inner.lock().slots.push((node, slot));
    }

    /// The slots as others see them.
    pub fn slot_views(&self) -> Vec<SlotView> {
        self.slots().iter().map(|(_, slot)| slot.view()).collect()
    }

    /// Fills the slot of this node.
    ///
    /// # Errors
    /// There is no such slot, or it cannot be filled so.
    pub fn fill_slot(&self, node: u32, filling: Filling) -> Result<(), SlotError> {
        let slot = self.slots().into_iter().find(|(slot, _)| *slot == node);
        slot.ok_or(SlotError::NoSuchSlot(node))?.1.fill(filling)
    }

    /// Where handlers can be put, with the node.
    pub(crate) fn slots(&self) -> Vec<(u32, Arc<dyn Slot>)> {
        self.inner.lock().slots.clone()
    }
}
