//! `slot`: an empty place for a handler, filled and changed while the workflow runs.

use std::sync::Arc;

use eddyline_handlers::{Handler, Handlers, Meter, registry::AnyHandler};
use eddyline_runtime::{
    Data,
    batch::Batch,
    guard,
    operator::{Cx, Operator},
    ports::Inlet,
    record::Trail,
    slots::{FilledView, Filling, HandlerView, Slot, SlotError, SlotView},
    view::{Role, VerdictCounts},
};
use parking_lot::Mutex;
use serde_json::Value;

use crate::{
    handle::{count, obey_alone, pass_all},
    judged::{judge_rows, seen},
    onward::{Elsewhere, Onward, onward},
    stream::{Stream, named_spec},
};

impl<T: Data> Stream<T> {
    /// Leaves an empty place for a handler: everything passes, until one of `handlers` is put there while the workflow runs, on the page,
    /// over HTTP (`POST /api/slots/3`), or from code ([`Workflow::slots`](crate::Workflow::slots)).
    ///
    /// It judges in shadow first: what it would have said is counted and shown, and changes nothing, nor does a panic in it. Then it
    /// may be obeyed. Its parameters can be changed at any time; what it has learned stays, where its state is declared
    /// ([`stateful`](crate::handlers::stateful), or [`Handler::state`](crate::Handler::state) and `restore`); otherwise it begins anew,
    /// also when it comes out of the shadow. From one batch to the next it is another.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// use eddyline::handlers::Handlers;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Threshold { least: f64 }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let handlers = Handlers::new().register("threshold", Threshold { least: 0.8 }, |p: Threshold| {
    ///     Check::new().confidence(|r: &(String, f64)| r.1, p.least).or_reject()
    /// });
    /// let flow = Workflow::new("readings");
    /// let readings = flow.source("readings", [("7".to_owned(), 0.2)]).slot("check", handlers).collect();
    /// assert_eq!(flow.run().await?.take(readings).len(), 1, "nothing was put there");
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn slot(self, name: &str, handlers: Handlers<T>) -> Stream<T> {
        let graph = self.graph.clone();
        let node = graph.add(named_spec("slot", Role::Handler, name));
        let input = self.lead_to(node);
        let (stream, ways) = onward(&graph, node);
        let place = Arc::new(Place { node, name: name.to_owned(), handlers, state: Mutex::default() });
        graph.open_slot(node, Arc::clone(&place) as Arc<dyn Slot>);
        graph.build_with(node, move |_| (Judge { place, flags: Vec::new() }, input.inlet(), ways.open()));
        stream
    }
}

/// The slot, as the operator and those who steer hold it.
struct Place<T> {
    node: u32,
    name: String,
    handlers: Handlers<T>,
    state: Mutex<Option<Filled<T>>>,
}

/// What is in it.
struct Filled<T> {
    name: String,
    parameters: Value,
    shadow: bool,
    handler: AnyHandler<T>,
    meter: Meter<T>,
}

impl<T: Data> Slot for Place<T> {
    fn view(&self) -> SlotView {
        let view = |(name, parameters): (&str, &Value)| HandlerView {
            name: name.to_owned(),
            parameters: parameters.clone(),
        };
        let filled = self.state.lock().as_ref().map(|filled| FilledView {
            handler: filled.name.clone(),
            parameters: filled.parameters.clone(),
            shadow: filled.shadow,
            counts: serde_json::to_value(filled.meter.read()).unwrap_or_default(),
        });
        SlotView {
            node: self.node,
            name: self.name.clone(),
            handlers: self.handlers.iter().map(view).collect(),
            filled,
        }
    }

    fn fill(&self, filling: Filling) -> Result<(), SlotError> {
        let Some(name) = filling.handler else {
            *self.state.lock() = None;
            return Ok(());
        };
        // What it has, with what is given instead.
        let mut given = filling.parameters;
        let (known, learned) = match self.state.lock().as_ref().filter(|filled| filled.name == name) {
            Some(filled) => {
                if let (Value::Object(now), Value::Object(changed)) = (&filled.parameters, &mut given) {
                    for (field, value) in now {
                        changed.entry(field).or_insert_with(|| value.clone());
                    }
                } else if given.is_null() {
                    given = filled.parameters.clone();
                }
                (true, filled.handler.state())
            }
            None => (false, None),
        };
        if !known && !filling.shadow {
            return Err(SlotError::NotInShadow(name));
        }
        let wrong = |why: String| SlotError::Wrong(why);
        let parameters = self.handlers.parameters(&name, &given).map_err(|error| wrong(error.to_string()))?;
        // The author's code makes it: it may panic on parameters that it does not expect.
        let made = guard::call(|| self.handlers.make(&name, &parameters));
        let made = made
            .map_err(|panic| wrong(format!("`{name}` cannot be made with these parameters: {}", panic.0)))?;
        let mut handler = made.map_err(|error| wrong(error.to_string()))?;
        if let Some(learned) = learned {
            // A state that does not fit the new parameters is begun anew.
            let _ = handler.restore(learned);
        }
        let (shadow, meter) = (filling.shadow, Meter::new(name.clone()));
        let handler: AnyHandler<T> = match shadow {
            true => Box::new(handler.shadow(&meter)),
            false => Box::new(handler.metered(&meter)),
        };
        *self.state.lock() = Some(Filled { name, parameters, shadow, handler, meter });
        Ok(())
    }
}

/// The operator.
struct Judge<T> {
    place: Arc<Place<T>>,
    /// Memory for judging.
    flags: Vec<bool>,
}

impl<T: Data> Operator for Judge<T> {
    type In = Inlet<T>;
    type Out = Onward<T>;

    fn process(&mut self, batch: Batch<T>, out: &mut Onward<T>, cx: &mut Cx<'_>) {
        let mut state = self.place.state.lock();
        let Some(filled) = state.as_mut().filter(|_| !cx.is_off()) else {
            drop(state);
            return pass_all(batch, out, cx);
        };
        let mut elsewhere = Elsewhere::default();
        let late = filled.handler.late();
        let judge = |value: &T, trail: Option<&Trail>| filled.handler.judge(value, &seen(trail));
        let (on, counts) =
            judge_rows(batch, &mut self.flags, cx, judge, |value, tag, verdict, judging, cx| {
                obey_alone(value, tag, verdict, judging, &mut elsewhere, out, cx);
            });
        let counts = VerdictCounts { late: filled.handler.late() - late, ..counts };
        drop(state);
        elsewhere.put(out, cx);
        out.put(on, cx);
        count(cx, counts);
    }
}
