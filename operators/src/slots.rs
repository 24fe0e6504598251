//! `slots`: the code that runs a workflow fills its slots too.

use std::fmt;

use eddyline_runtime::{
    graph::{Graph, WeakGraph},
    slots::{Filling, SlotError, SlotView},
};
use serde::Serialize;
use serde_json::Value;

use crate::workflow::Workflow;

impl Workflow {
    /// The slots of this workflow by their names, to be filled from code before it runs and while it does. Cheap to clone; taken
    /// before `run`, kept by whoever fills them.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// use eddyline::handlers::Handlers;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Threshold { least: f64 }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let handlers = Handlers::new().register("threshold", Threshold { least: 0.8 }, |p: Threshold| {
    ///     Check::new().confidence(|sure: &f64| *sure, p.least).or_reject()
    /// });
    /// let flow = Workflow::new("readings");
    /// let (send, mut readings) = tokio::sync::mpsc::channel(100);
    /// let readings = futures::stream::poll_fn(move |cx| readings.poll_recv(cx));
    /// let kept = flow.source_stream("readings", readings).slot("check", handlers).collect();
    ///
    /// let slots = flow.slots();
    /// let running = tokio::spawn(flow.run());
    /// slots.fill("check", "threshold", Threshold { least: 0.5 })?; // in shadow: what it says is counted
    /// slots.obey("check")?;
    /// let wrong = slots.fill("chek", "threshold", ()).unwrap_err();
    /// assert_eq!(wrong.to_string(), "there is no slot `chek`; there is `check`");
    ///
    /// send.send(0.9).await?;
    /// send.send(0.2).await?;
    /// drop(send);
    /// assert_eq!(running.await??.take(kept), [0.9]);
    /// # Ok(()) }
    /// ```
    pub fn slots(&self) -> Slots {
        Slots(self.graph.0.downgrade())
    }
}

/// The slots of a workflow by name: see [`Workflow::slots`].
///
/// What is said here is as on the page and over HTTP: a handler is tried in shadow first. It may wait until the slot has judged its
/// present batch. It keeps nothing of the workflow alive; after the run it changes nothing.
#[derive(Clone)]
pub struct Slots(WeakGraph);

impl Slots {
    /// Puts a handler of the slot's registry there with these parameters, of the type with which it was registered; those that are
    /// left out, as in `json!({ "least": 0.9 })` or `()`, are what it begins with. Another handler begins in shadow; the one
    /// that is there gets other parameters, and stays in shadow or obeyed.
    ///
    /// # Errors
    /// There is no such slot or handler, or these are no parameters of it; then nothing has changed.
    pub fn fill(&self, slot: &str, handler: &str, parameters: impl Serialize) -> Result<(), SlotError> {
        let parameters = serde_json::to_value(parameters)
            .map_err(|why| SlotError::Wrong(format!("these parameters cannot be written as JSON: {why}")))?;
        let view = self.view(slot)?;
        let obeyed = view.filled.is_some_and(|filled| filled.handler == handler && !filled.shadow);
        self.put(view.node, Some(handler.to_owned()), parameters, !obeyed)
    }

    /// Has what is there obeyed.
    ///
    /// # Errors
    /// There is no such slot, or it is empty.
    pub fn obey(&self, slot: &str) -> Result<(), SlotError> {
        self.turn(slot, false)
    }

    /// Puts what is there back into shadow: what it says is counted, and changes nothing.
    ///
    /// # Errors
    /// There is no such slot, or it is empty.
    pub fn shadow(&self, slot: &str) -> Result<(), SlotError> {
        self.turn(slot, true)
    }

    /// Takes away what is there: everything passes.
    ///
    /// # Errors
    /// There is no such slot.
    pub fn empty(&self, slot: &str) -> Result<(), SlotError> {
        self.put(self.view(slot)?.node, None, Value::Null, true)
    }

    /// What can be put there, what is there, and what that has said.
    ///
    /// # Errors
    /// There is no such slot.
    pub fn view(&self, slot: &str) -> Result<SlotView, SlotError> {
        let all = self.graph()?.slot_views();
        let names: Vec<String> = all.iter().map(|view| format!("`{}`", view.name)).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let found = all.into_iter().find(|view| view.name == slot);
        found.ok_or_else(|| SlotError::NoSlotNamed(slot.to_owned(), names))
    }

    fn graph(&self) -> Result<Graph, SlotError> {
        self.0.upgrade().ok_or(SlotError::NotRunning)
    }

    fn turn(&self, slot: &str, shadow: bool) -> Result<(), SlotError> {
        let view = self.view(slot)?;
        let filled = view.filled.ok_or_else(|| SlotError::Empty(slot.to_owned()))?;
        self.put(view.node, Some(filled.handler), Value::Null, shadow)
    }

    fn put(
        &self,
        node: u32,
        handler: Option<String>,
        parameters: Value,
        shadow: bool,
    ) -> Result<(), SlotError> {
        self.graph()?.fill_slot(node, Filling { handler, parameters, shadow })
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let views = self.graph().map(|graph| graph.slot_views()).unwrap_or_default();
        f.debug_list().entries(views.into_iter().map(|view| view.name)).finish()
    }
}
