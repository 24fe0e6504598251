//! `batch`: several values become one list.

use std::time::Duration;

use eddyline_runtime::{
    Data,
    batch::Batch as Rows,
    clock::Moment,
    fate::Fate,
    operator::{Cx, Holding, Operator},
    origin::Notice,
    ports::{Inlet, Outlet},
    record::{RecordId, Tag, Trail},
    view::Role,
};

use crate::{
    at_rest::Finally,
    lists::{Lists, is_open},
    stream::{Stream, spec},
};

/// How long an incomplete batch waits for more.
const LINGER: Duration = Duration::from_millis(20);

impl<T: Data> Stream<T> {
    /// Puts up to `size` values into one list. An incomplete list goes on when nothing has come for 20 ms, or at the end.
    ///
    /// A value that might still be withdrawn waits until it is final, since the others of its list must not go with it. Inside a
    /// loop it cannot wait for what may become of itself: there, when a value of a list is sent back, the list is withdrawn and its
    /// other values are put into another one.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("threes");
    /// let threes = flow.source("numbers", 1..=4).batch(3).collect();
    /// assert_eq!(flow.run().await?.take(threes).concat(), [1, 2, 3, 4]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn batch(self, size: usize) -> Stream<Vec<T>> {
        let mut spec = spec("batch", Role::Operator);
        spec.notes.push(format!("up to {size}"));
        if size == 0 {
            self.graph.error(
                Some(self.port.node()),
                Some(spec.place),
                "a batch of 0 values never fills",
                "give `batch` a size of at least 1",
            );
        }
        let graph = self.graph.clone();
        let node = graph.add(spec);
        let input = self.lead_to(node);
        let output = graph.output(node, "", false);
        let (out, lists) = (output.clone(), Lists::new());
        graph.build_with(node, move |_| {
            let batch = Batch { size: size.max(1), rows: Vec::new(), due: Moment::ZERO, lists };
            (Finally::new(batch), input.inlet(), out.outlet())
        });
        Stream::new(graph, output)
    }
}

struct Batch<T> {
    size: usize,
    rows: Vec<(T, Tag)>,
    due: Moment,
    lists: Lists<T>,
}

impl<T: Data> Batch<T> {
    /// Puts out a list, as long as there are rows for it.
    fn put(&mut self, out: &mut Outlet<Vec<T>>, cx: &mut Cx<'_>) {
        let size = self.size.min(self.rows.len());
        let mut rows: Vec<(T, Tag)> = self.rows.drain(..size).collect();
        rows.retain(|(_, tag)| !cx.end_if_withdrawn(tag));
        if rows.is_empty() {
            return;
        }
        if cx.is_in_loop() && rows.iter().any(|(_, tag)| is_open(tag)) {
            return self.lists.put(rows, out, cx);
        }
        let (values, mut tags): (Vec<T>, Vec<Tag>) = rows.into_iter().unzip();
        let made = cx.combine(tags.iter_mut());
        for tag in &tags {
            cx.end(tag, Fate::Absorbed);
        }
        out.put_one(values, made, cx);
    }
}

impl<T: Data> Operator for Batch<T> {
    type In = Inlet<T>;
    type Out = Outlet<Vec<T>>;

    fn process(&mut self, batch: Rows<T>, out: &mut Self::Out, cx: &mut Cx<'_>) {
        for row in batch.into_rows() {
            self.rows.push(row);
            if self.rows.len() >= self.size {
                self.put(out, cx);
            }
        }
        self.due = cx.clock().now() + LINGER;
    }

    fn notice(&mut self, notices: &[Notice], _: &mut Self::Out, cx: &mut Cx<'_>) {
        self.rows.retain(|(_, tag)| !cx.end_if_withdrawn(tag));
        let again = self.lists.notice(notices, cx);
        if !again.is_empty() {
            self.rows.extend(again);
            self.due = cx.clock().now() + LINGER;
        }
    }

    fn wake(&mut self, out: &mut Self::Out, cx: &mut Cx<'_>) -> bool {
        let due = !self.rows.is_empty() && cx.clock().now() >= self.due;
        let busy = due || self.rows.len() >= self.size;
        while self.rows.len() >= self.size || (due && !self.rows.is_empty()) {
            self.put(out, cx);
        }
        busy
    }

    fn flush(&mut self, out: &mut Self::Out, cx: &mut Cx<'_>) {
        while !self.rows.is_empty() {
            self.put(out, cx);
        }
    }

    fn holding(&self) -> Holding {
        Holding { parked: self.rows.len(), waiting: self.lists.rows(), ..Holding::default() }
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        for (_, tag) in &self.rows {
            visit(tag.id, tag.trail.as_deref());
        }
        self.lists.visit(visit);
    }

    fn next_wake(&self) -> Option<Moment> {
        (!self.rows.is_empty()).then_some(self.due)
    }
}
