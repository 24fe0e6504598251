//! Failures as a stream: what code or a model failed on goes on as a record, to be judged, mended or sent back like any other.

use eddyline_runtime::{
    Data,
    batch::Batch,
    fault::FaultKind,
    operator::Cx,
    ports::{Outlet, Outputs, Port},
    record::{RecordId, Tag, Trail},
};
use serde::{Deserialize, Serialize};

use crate::stream::{GraphHandle, Stream};

/// A value on which code or a model failed; see [`Stream::try_map_catch`] and [`Stream::model_catch`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed<T> {
    /// The value that went in.
    pub value: T,
    /// What kind of failure: an `Err`, a panic, a time-out, or the model's own.
    pub kind: FaultKind,
    /// Why, in words.
    pub reason: String,
}

/// The ways out of an operator that may fail, while the graph is being written.
pub(crate) struct Ways<T, U> {
    made: Port<U>,
    failed: Port<Failed<T>>,
}

impl<T: Data, U: Data> Ways<T, U> {
    /// Of `node`, with both streams. What failed goes to quarantine where nobody catches it.
    pub fn new(graph: &GraphHandle, node: u32, caught: bool) -> (Self, Stream<U>, Stream<Failed<T>>) {
        let (made, failed) = (graph.output(node, "", false), graph.output(node, "failed", !caught));
        let streams = (Stream::new(graph.clone(), made.clone()), Stream::new(graph.clone(), failed.clone()));
        (Self { made, failed }, streams.0, streams.1)
    }

    /// The sending ends, once the graph is whole.
    pub fn open(&self) -> Catching<T, U> {
        Catching { made: self.made.outlet(), failed: self.failed.outlet(), caught: Batch::default() }
    }
}

/// The sending ends of an operator that may fail.
#[derive(Debug)]
pub(crate) struct Catching<T, U> {
    made: Outlet<U>,
    failed: Outlet<Failed<T>>,
    caught: Batch<Failed<T>>,
}

impl<T: Data, U: Data> Catching<T, U> {
    /// A record goes on as a failure, or ends as a fault where nobody catches it.
    pub fn fail(&mut self, tag: &Tag, kind: FaultKind, reason: &str, value: &T, cx: &mut Cx<'_>) {
        if self.failed.is_led() {
            let failed = Failed { value: value.clone(), kind, reason: reason.to_owned() };
            self.caught.push(failed, tag.clone());
        } else {
            cx.fault(tag, kind, reason, Some(value));
        }
    }

    /// Puts out what was made, and what has failed since this was last called.
    pub fn put(&mut self, made: Batch<U>, cx: &mut Cx<'_>) {
        self.failed.put(std::mem::take(&mut self.caught), cx);
        self.made.put(made, cx);
    }
}

impl<T: Data, U: Data> Outputs for Catching<T, U> {
    fn waiting_inside(&self) -> usize {
        self.made.waiting_inside() + self.failed.waiting_inside()
    }

    fn is_blocked(&self) -> bool {
        self.made.is_blocked() || self.failed.is_blocked()
    }

    fn send(&mut self, permits: usize) -> usize {
        let sent = self.failed.send(permits);
        sent + self.made.send(permits - sent)
    }

    fn close(&self) {
        self.made.close();
        self.failed.close();
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        self.made.visit(visit);
        self.failed.visit(visit);
    }
}
