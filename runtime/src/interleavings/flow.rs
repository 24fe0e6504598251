//! Writing the small graphs.

use std::{cell::RefCell, sync::Arc};

use parking_lot::Mutex;

use super::operators as ops;
use crate::{
    graph::{Graph, NodeSpec, Place},
    operator::Operator,
    ports::{Inlet, Outlet, Port, Two},
    record::FeedbackId,
    view::Role,
};

/// The values that came to a sink.
pub(super) type Arrived = Arc<Mutex<Vec<u64>>>;

/// A graph while it is written.
pub(super) struct Flow {
    pub graph: Graph,
    sinks: RefCell<Vec<Arrived>>,
}

/// The way back to a feedback point.
pub(super) struct Back {
    point: FeedbackId,
    port: Port<u64>,
}

impl Flow {
    pub fn new() -> Self {
        Self { graph: Graph::new("small"), sinks: RefCell::default() }
    }

    /// How many values its sinks have.
    pub fn arrived(&self) -> usize {
        self.sinks.borrow().iter().map(|arrived| arrived.lock().len()).sum()
    }

    pub fn source(&self, values: std::ops::Range<u64>) -> Port<u64> {
        let node = self.add(Role::Source);
        let (out, port) = self.out(node);
        self.graph.build_with(node, move |_| (ops::Source::new(values), (), out.outlet()));
        port
    }

    pub fn relay(&self, from: &Port<u64>) -> Port<u64> {
        self.then(from, ops::EachRow(ops::pass))
    }

    /// n becomes n1 and n2.
    pub fn split(&self, from: &Port<u64>) -> Port<u64> {
        self.then(from, ops::EachRow(ops::split))
    }

    pub fn without_odd(&self, from: &Port<u64>) -> Port<u64> {
        self.then(from, ops::EachRow(ops::without_odd))
    }

    /// Rows wait for a partner and go on as one.
    pub fn pair(&self, from: &Port<u64>) -> Port<u64> {
        self.then(from, ops::Pair::default())
    }

    pub fn merge(&self, left: &Port<u64>, right: &Port<u64>) -> Port<u64> {
        let node = self.add(Role::Operator);
        let (left, right) = (self.lead(left, node), self.lead(right, node));
        let (out, port) = self.out(node);
        self.graph
            .build_with(node, move |_| (ops::Merge, Two::new(left.inlet(), right.inlet()), out.outlet()));
        port
    }

    /// A point where records re-enter: as new versions of what they were made of, or just so.
    pub fn feedback(&self, from: &Port<u64>, versions: bool) -> (Port<u64>, Back) {
        let node = self.add(Role::Feedback);
        let (new, back) = (self.lead(from, node), self.graph.input(node));
        let (out, port) = self.out(node);
        let point = self.graph.open_feedback(node, "again");
        let again = back.clone();
        self.graph.build_with(node, move |_| {
            (ops::Feedback { point, versions }, Two::right_first(new.inlet(), again.inlet()), out.outlet())
        });
        (port, Back { point, port: back })
    }

    /// Sends back the rows of which `again` says so, by value and rounds.
    pub fn judge(&self, from: &Port<u64>, back: &Back, again: fn(u64, u32) -> bool) -> Port<u64> {
        let node = self.add(Role::Handler);
        let input = self.lead(from, node);
        let (out, port) = self.out(node);
        let (retry, _) = self.out(node);
        self.graph.connect(&retry, &back.port, true);
        let point = back.point;
        self.graph.build_with(node, move |_| {
            (ops::Judge { point, again }, input.inlet(), (out.outlet(), retry.outlet()))
        });
        port
    }

    /// Makes two parts of each row and gathers it when its parts have been worked on.
    pub fn in_parts(&self, from: &Port<u64>, work: impl FnOnce(&Port<u64>) -> Port<u64>) -> Port<u64> {
        let (scatter, gather) = (self.add(Role::Operator), self.add(Role::Operator));
        let scope = self.graph.open_scope(scatter, gather);
        let input = self.lead(from, scatter);
        let (parts_out, parts) = self.out(scatter);
        let (whole_out, whole) = self.out(scatter);
        let whole = self.lead(&whole, gather);
        let of_scatter = Arc::clone(&scope);
        self.graph.build_with(scatter, move |_| {
            (ops::Scatter(of_scatter), input.inlet(), (parts_out.outlet(), whole_out.outlet()))
        });
        let parts = self.lead(&work(&parts), gather);
        let (out, port) = self.out(gather);
        self.graph.build_with(gather, move |_| {
            (ops::Gather::new(scope), Two::new(whole.inlet(), parts.inlet()), out.outlet())
        });
        port
    }

    /// Keeps what comes.
    pub fn sink(&self, from: &Port<u64>) -> Arrived {
        self.end(from, ops::Sink)
    }

    /// Keeps what comes, until it is withdrawn.
    pub fn sink_that_takes_back(&self, from: &Port<u64>) -> Arrived {
        self.end(from, ops::SinkThatTakesBack::new)
    }

    /// Keeps what is final.
    pub fn sink_that_waits(&self, from: &Port<u64>) -> Arrived {
        self.end(from, ops::SinkThatWaits::new)
    }

    fn end<Op>(&self, from: &Port<u64>, make: impl FnOnce(Arrived) -> Op) -> Arrived
    where
        Op: Operator<In = Inlet<u64>, Out = ()>,
    {
        let arrived = Arrived::default();
        self.sinks.borrow_mut().push(Arc::clone(&arrived));
        let (node, op) = (self.add(Role::Sink), make(Arc::clone(&arrived)));
        let input = self.lead(from, node);
        self.graph.build_with(node, move |_| (op, input.inlet(), ()));
        arrived
    }

    fn then<Op>(&self, from: &Port<u64>, op: Op) -> Port<u64>
    where
        Op: Operator<In = Inlet<u64>, Out = Outlet<u64>>,
    {
        let node = self.add(Role::Operator);
        let input = self.lead(from, node);
        let (out, port) = self.out(node);
        self.graph.build_with(node, move |_| (op, input.inlet(), out.outlet()));
        port
    }

    fn add(&self, role: Role) -> u32 {
        self.graph.add(NodeSpec { kind: "node", role, name: None, place: Place::here(), notes: Vec::new() })
    }

    /// A way out: for the node that is built later, and for those that it leads to.
    fn out(&self, node: u32) -> (Port<u64>, Port<u64>) {
        let port = self.graph.output(node, "", false);
        (port.clone(), port)
    }

    fn lead(&self, from: &Port<u64>, to: u32) -> Port<u64> {
        let port = self.graph.input(to);
        self.graph.connect(from, &port, false);
        port
    }
}
