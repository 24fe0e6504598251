//! `batch`: several values become one list.

use std::time::Duration;

use eddyline_runtime::{
    Data,
    batch::Batch as Rows,
    clock::Moment,
    fate::Fate,
    operator::{Cx, Holding, Operator},
    ports::{Inlet, Outlet},
    record::{RecordId, Tag, Trail},
    view::Role,
};

use crate::{
    at_rest::Finally,
    stream::{Stream, spec},
};

/// How long an incomplete batch waits for more.
const LINGER: Duration = Duration::from_millis(20);

impl<T: Data> Stream<T> {
    /// Puts up to `size` values into one list. An incomplete list goes on when nothing has come for 20 ms, or at the end.
    ///
    /// A value that might still be withdrawn waits until it is final, since the others of its list must not go with it.
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
        self.then(spec, move |_| {
            Finally::new(Batch { size: size.max(1), rows: Vec::new(), due: Moment::ZERO })
        })
    }
}

struct Batch<T> {
    size: usize,
    rows: Vec<(T, Tag)>,
    due: Moment,
}

impl<T: Data> Batch<T> {
    fn put(&mut self, out: &mut Outlet<Vec<T>>, cx: &mut Cx<'_>) {
        if self.rows.is_empty() {
            return;
        }
        let (values, mut tags): (Vec<T>, Vec<Tag>) = std::mem::take(&mut self.rows).into_iter().unzip();
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
            if self.rows.len() == self.size {
                self.put(out, cx);
            }
        }
        self.due = cx.clock().now() + LINGER;
    }

    fn wake(&mut self, out: &mut Self::Out, cx: &mut Cx<'_>) -> bool {
        let due = !self.rows.is_empty() && cx.clock().now() >= self.due;
        if due {
            self.put(out, cx);
        }
        due
    }

    fn flush(&mut self, out: &mut Self::Out, cx: &mut Cx<'_>) {
        self.put(out, cx);
    }

    fn holding(&self) -> Holding {
        Holding { parked: self.rows.len(), ..Holding::default() }
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        for (_, tag) in &self.rows {
            visit(tag.id, tag.trail.as_deref());
        }
    }

    fn next_wake(&self) -> Option<Moment> {
        (!self.rows.is_empty()).then_some(self.due)
    }
}
