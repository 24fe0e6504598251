//! `merge`: two streams of one type become one.

use eddyline_runtime::{
    Data,
    batch::Batch,
    graph::Place,
    linear::Makes,
    operator::{Cx, Operator},
    ports::{Inlet, Outlet},
    view::Role,
};

use crate::stream::{Stream, spec};

impl<T: Data> Stream<T> {
    /// Puts the records of both streams into one, each stream's in its order.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("both");
    /// let (even, odd) = flow.source("numbers", 1..=4).split(|n| n % 2 == 0);
    /// let all = even.map(|n| n * 10).merge(odd).collect();
    /// let mut all = flow.run().await?.take(all);
    /// all.sort();
    /// assert_eq!(all, [1, 3, 20, 40]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn merge(self, other: Stream<T>) -> Stream<T> {
        let place = Place::here();
        let same = self.same_workflow(&other, place);
        let graph = self.graph.clone();
        let node = graph.add(spec("merge", Role::Operator));
        let input = self.lead_to(node);
        if same {
            graph.connect(&other.port, &input, false);
        }
        graph.set_makes(node, Makes::One);
        let output = graph.output(node, "", false);
        let out = output.clone();
        graph.build_with(node, move |_| (Through(Default::default()), input.inlet(), out.outlet()));
        Stream::new(graph, output)
    }
}

/// Lets everything through; the ends of the node do the work.
pub(crate) struct Through<T>(pub std::marker::PhantomData<fn(T)>);

impl<T: Data> Operator for Through<T> {
    type In = Inlet<T>;
    type Out = Outlet<T>;

    fn process(&mut self, batch: Batch<T>, out: &mut Outlet<T>, cx: &mut Cx<'_>) {
        out.put(batch, cx);
    }
}
