//! The ways on from a handler: the main one, those that it may reroute to, and the one to the desk behind it.

use std::sync::Arc;

use eddyline_handlers::Question;
use eddyline_runtime::{
    Data,
    batch::Batch,
    fault::FaultKind,
    graph::Place,
    operator::Cx,
    ports::{Outlet, Outputs, Port},
    record::{RecordId, Tag, Trail},
};
use parking_lot::Mutex;

use crate::{
    escalate::Asked,
    stream::{GraphHandle, Stream},
};

/// Where a handler's records may go besides on; what is behind it says which there are, until the graph is whole.
#[derive(Debug)]
pub(crate) struct Exits<T> {
    pub ask: Port<Asked<T>>,
    routes: Routes<T>,
}

/// By name, in the order in which they were opened.
type Routes<T> = Arc<Mutex<Vec<(String, Port<T>)>>>;

impl<T> Clone for Exits<T> {
    fn clone(&self) -> Self {
        Self { ask: self.ask.clone(), routes: Arc::clone(&self.routes) }
    }
}

/// All ways on from a handler, while the graph is being written.
pub(crate) struct Ways<T> {
    on: Port<T>,
    exits: Exits<T>,
}

/// Gives a handler its ways on.
pub(crate) fn onward<T: Data>(graph: &GraphHandle, node: u32) -> (Stream<T>, Ways<T>) {
    let on = graph.output(node, "", false);
    let exits = Exits { ask: graph.output(node, "ask", true), routes: Arc::default() };
    let stream = Stream { exits: Some(exits.clone()), ..Stream::new(graph.clone(), on.clone()) };
    (stream, Ways { on, exits })
}

impl<T: Data> Ways<T> {
    /// The sending ends, once the graph is whole.
    pub fn open(&self) -> Onward<T> {
        let routes = self.exits.routes.lock();
        let routes = routes.iter().map(|(name, port)| (name.clone(), port.outlet()));
        Onward { on: self.on.outlet(), ask: self.exits.ask.outlet(), routes: routes.collect() }
    }
}

/// Where a handler puts what it does not send back.
#[derive(Debug)]
pub(crate) struct Onward<T> {
    on: Outlet<T>,
    ask: Outlet<Asked<T>>,
    routes: Vec<(String, Outlet<T>)>,
}

impl<T: Data> Onward<T> {
    /// Lets records go on.
    pub fn put(&mut self, on: Batch<T>, cx: &mut Cx<'_>) {
        self.on.put(on, cx);
    }
}

impl<T> Onward<T> {
    fn each_route(&self) -> impl Iterator<Item = &Outlet<T>> {
        self.routes.iter().map(|(_, outlet)| outlet)
    }
}

impl<T: Data> Outputs for Onward<T> {
    fn waiting_inside(&self) -> usize {
        let routes: usize = self.each_route().map(Outlet::waiting_inside).sum();
        self.on.waiting_inside() + self.ask.waiting_inside() + routes
    }

    fn is_blocked(&self) -> bool {
        self.on.is_blocked() || self.ask.is_blocked() || self.each_route().any(Outlet::is_blocked)
    }

    fn send(&mut self, permits: usize) -> usize {
        let mut sent = self.ask.send(permits);
        for (_, route) in &mut self.routes {
            sent += route.send(permits - sent);
        }
        sent + self.on.send(permits - sent)
    }

    fn close(&self) {
        self.on.close();
        self.ask.close();
        self.each_route().for_each(Outlet::close);
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        self.on.visit(visit);
        self.ask.visit(visit);
        self.each_route().for_each(|route| route.visit(visit));
    }
}

/// What verdicts make go another way than on.
pub(crate) struct Elsewhere<T> {
    ask: Batch<Asked<T>>,
    /// In the order of the handler's routes; none before the first record takes one.
    routes: Vec<Batch<T>>,
}

impl<T> Default for Elsewhere<T> {
    fn default() -> Self {
        Self { ask: Batch::default(), routes: Vec::new() }
    }
}

impl<T: Data> Elsewhere<T> {
    /// Has a person asked about a record.
    pub fn ask(&mut self, value: T, question: Question<T>, tag: Tag, out: &Onward<T>, cx: &mut Cx<'_>) {
        if out.ask.is_led() {
            self.ask.push(Asked { value, question }, tag);
        } else {
            let reason = "there is no desk to ask at; put `.escalate_to(name)` behind the handler";
            cx.fault(&tag, FaultKind::Error, reason, Some(&value));
        }
    }

    /// Lets a record go another way.
    pub fn reroute(&mut self, value: T, way: &str, tag: Tag, out: &Onward<T>, cx: &mut Cx<'_>) {
        let Some(nth) = out.routes.iter().position(|(name, _)| name == way) else {
            let there: Vec<String> = out.routes.iter().map(|(name, _)| format!("`{name}`")).collect();
            let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
            let reason = format!(
                "there is no way `{way}` (there is {there}); put `.rerouted({way:?})` behind the handler"
            );
            return cx.fault(&tag, FaultKind::Error, &reason, Some(&value));
        };
        self.routes.resize_with(out.routes.len(), Batch::default);
        self.routes[nth].push(value, tag);
    }

    /// Sends all of it.
    pub fn put(self, out: &mut Onward<T>, cx: &mut Cx<'_>) {
        out.ask.put(self.ask, cx);
        for ((_, route), batch) in out.routes.iter_mut().zip(self.routes) {
            route.put(batch, cx);
        }
    }
}

impl<T: Data> Stream<T> {
    /// Opens another way out of the handler before this: what it [reroutes](eddyline_handlers::Verdict::Reroute) to `way` comes
    /// out second, all else first. A handler may have several.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("sizes");
    /// let (small, large) = flow
    ///     .source("sizes", [3, 700, 5])
    ///     .handle("size", |n| if *n > 100 { Verdict::reroute("large") } else { Verdict::Pass })
    ///     .rerouted("large");
    /// let (small, large) = (small.collect(), large.map(|n| n / 100).collect());
    /// let mut report = flow.run().await?;
    /// assert_eq!((report.take(small), report.take(large)), (vec![3, 5], vec![7]));
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn rerouted(self, way: &str) -> (Stream<T>, Stream<T>) {
        let (graph, node, place) = (self.graph.clone(), self.port.node(), Place::here());
        let other = graph.output(node, "reroute", false);
        match &self.exits {
            None => graph.error(
                Some(node),
                Some(place),
                "`.rerouted(…)` stands behind something that is no handler, which reroutes nothing",
                "put it straight behind `.handle(…)` or one of its kind",
            ),
            Some(exits) => {
                let mut routes = exits.routes.lock();
                if routes.iter().any(|(name, _)| name == way) {
                    let what = format!("the handler before `.rerouted({way:?})` has that way already");
                    graph.error(Some(node), Some(place), what, "give each way a name of its own");
                }
                routes.push((way.to_owned(), other.clone()));
                graph.note(node, format!("may reroute to `{way}`"));
            }
        }
        (self, Stream::new(graph, other))
    }
}
