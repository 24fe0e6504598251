//! What the author holds: the records that leave an operator.

use std::sync::Arc;

use eddyline_runtime::{
    Data,
    graph::{Graph, NodeSpec, Place, Start},
    linear::Makes,
    operator::Operator,
    ports::{Inlet, Outlet, Port},
    record::FeedbackId,
    view::Role,
};

use crate::{onward::Exits, replayable::Returning};

/// A stream of records with values of type `T`.
///
/// Every method consumes it and gives what comes after. To use the same records twice, `.clone()` it: every clone gets every
/// record.
#[must_use = "what a stream carries must end in a sink such as `.collect()`, or with `.ignore()`"]
#[derive(Debug)]
pub struct Stream<T> {
    pub(crate) graph: GraphHandle,
    pub(crate) port: Port<T>,
    /// Behind a handler: its other ways out.
    pub(crate) exits: Option<Exits<T>>,
    /// Straight behind a source: where its records may come back.
    pub(crate) returning: Option<Arc<Returning<T>>>,
}

/// A graph, without a wall of text where a stream is printed.
#[derive(Clone)]
pub(crate) struct GraphHandle(pub Graph);

impl std::fmt::Debug for GraphHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "workflow `{}`", self.0.name())
    }
}

/// Where a key leads that a handler is given: to the input for what comes back to a point.
pub(crate) struct WayBack<'a, T> {
    pub graph: &'a GraphHandle,
    pub input: &'a Port<T>,
    pub id: FeedbackId,
}

impl GraphHandle {
    /// Adds a way out of `node` that leads back to where a key belongs. A key of another workflow is an error: `what` it is, and
    /// what to do about it.
    pub fn lead_back<T: Data>(
        &self,
        node: u32,
        place: Place,
        label: &'static str,
        to: &WayBack<'_, T>,
        what: String,
        advice: &str,
    ) -> Port<T> {
        let way = self.output(node, label, true);
        if self.is(to.graph) {
            self.connect(&way, to.input, true);
        } else {
            self.error(Some(node), Some(place), format!("{what} to another workflow"), advice);
        }
        to.graph.close_feedback(to.id);
        way
    }
}

impl std::ops::Deref for GraphHandle {
    type Target = Graph;
    fn deref(&self) -> &Graph {
        &self.0
    }
}

impl<T> Clone for Stream<T> {
    fn clone(&self) -> Self {
        Self {
            graph: self.graph.clone(),
            port: self.port.clone(),
            exits: self.exits.clone(),
            returning: self.returning.clone(),
        }
    }
}

/// The description of a node that the author writes at the caller's place.
#[track_caller]
pub(crate) fn spec(kind: &'static str, role: Role) -> NodeSpec {
    NodeSpec { kind, role, name: None, place: Place::here(), notes: Vec::new() }
}

/// The same with a name.
#[track_caller]
pub(crate) fn named_spec(kind: &'static str, role: Role, name: &str) -> NodeSpec {
    NodeSpec { kind, role, name: Some(name.to_owned()), place: Place::here(), notes: Vec::new() }
}

impl<T> Stream<T> {
    /// What leaves by this port.
    pub(crate) fn new(graph: GraphHandle, port: Port<T>) -> Self {
        Self { graph, port, exits: None, returning: None }
    }
}

impl<T: Data> Stream<T> {
    /// Gives the operator that made this stream a name, for the page, for faults and for reports.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # let flow = Workflow::new("doc");
    /// flow.source("words", ["a", "b"].map(String::from)).map(|w: String| w.len()).named("length").ignore();
    /// ```
    pub fn named(self, name: &str) -> Self {
        self.graph.rename(self.port.node(), name);
        self
    }

    /// Gives the operator that made this stream an actor of its own, so that its neighbours need not wait for it: where the
    /// author's code waits for something outside. See [`Workflow::fused`](crate::Workflow::fused).
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # let flow = Workflow::new("doc");
    /// flow.source("paths", ["a", "b"].map(String::from)).map(|path: String| std::fs::read(path).is_ok()).alone().ignore();
    /// ```
    pub fn alone(self) -> Self {
        self.graph.set_alone(self.port.node());
        self
    }

    /// Puts an operator of your own into the stream: one input, one output.
    ///
    /// `kind` is what the page calls it. See [`eddyline_runtime::operator::Operator`] for what an operator must do.
    #[track_caller]
    pub fn apply<U: Data, Op>(self, kind: &'static str, operator: Op) -> Stream<U>
    where
        Op: Operator<In = Inlet<T>, Out = Outlet<U>>,
    {
        self.then(spec(kind, Role::Operator), |_| operator)
    }

    /// Adds a node with this stream as its only input and one output.
    pub(crate) fn then<U: Data, Op>(
        self,
        spec: NodeSpec,
        make: impl FnOnce(&Start<'_>) -> Op + Send + 'static,
    ) -> Stream<U>
    where
        Op: Operator<In = Inlet<T>, Out = Outlet<U>>,
    {
        let node = self.graph.add(spec);
        let input = self.lead_to(node);
        let output = self.graph.output(node, "", false);
        let out = output.clone();
        self.graph.build_with(node, move |start| (make(start), input.inlet(), out.outlet()));
        Stream::new(self.graph, output)
    }

    /// The same for an operator that makes at most one record of one, which is the record itself.
    pub(crate) fn then_one<U: Data, Op>(
        self,
        spec: NodeSpec,
        make: impl FnOnce(&Start<'_>) -> Op + Send + 'static,
    ) -> Stream<U>
    where
        Op: Operator<In = Inlet<T>, Out = Outlet<U>>,
    {
        let stream = self.then(spec, make);
        stream.graph.set_makes(stream.port.node(), Makes::One);
        stream
    }

    /// Leads the stream to an input of `node`.
    pub(crate) fn lead_to(&self, node: u32) -> Port<T> {
        let input = self.graph.input(node);
        self.graph.connect(&self.port, &input, false);
        input
    }

    /// Checks that `other` belongs to the same workflow; if not, remembers the error.
    pub(crate) fn same_workflow<U>(&self, other: &Stream<U>, place: Place) -> bool {
        let same = self.graph.is(&other.graph);
        if !same {
            self.graph.error(
                Some(self.port.node()),
                Some(place),
                format!(
                    "a stream of the workflow `{}` is led into the workflow `{}`",
                    other.graph.name(),
                    self.graph.name()
                ),
                "make both streams from the same `Workflow`",
            );
        }
        same
    }
}
