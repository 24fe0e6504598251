//! `split`: one stream becomes two.

use eddyline_runtime::{
    Data,
    batch::Batch,
    linear::Makes,
    operator::{Cx, Operator},
    ports::{Inlet, Outlet},
    view::Role,
};

use crate::{
    rows,
    stream::{Stream, spec},
};

impl<T: Data> Stream<T> {
    /// Sends each value one way or the other: those of which `f` says `true` come out first.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("split");
    /// let (small, large) = flow.source("numbers", 1..=5).split(|n| *n < 3);
    /// let (small, large) = (small.collect(), large.collect());
    /// let mut report = flow.run().await?;
    /// assert_eq!((report.take(small), report.take(large)), (vec![1, 2], vec![3, 4, 5]));
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn split(self, f: impl FnMut(&T) -> bool + Send + 'static) -> (Stream<T>, Stream<T>) {
        let graph = self.graph.clone();
        let node = graph.add(spec("split", Role::Operator));
        let input = self.lead_to(node);
        graph.set_makes(node, Makes::One);
        let (yes, no) = (graph.output(node, "yes", false), graph.output(node, "no", false));
        let (to_yes, to_no) = (yes.clone(), no.clone());
        graph.build_with(node, move |_| {
            let split = Split { f, types: Default::default() };
            (split, input.inlet(), (to_yes.outlet(), to_no.outlet()))
        });
        (Stream::new(graph.clone(), yes), Stream::new(graph, no))
    }
}

struct Split<T, F> {
    f: F,
    types: std::marker::PhantomData<fn(T)>,
}

impl<T: Data, F: FnMut(&T) -> bool + Send + 'static> Operator for Split<T, F> {
    type In = Inlet<T>;
    type Out = (Outlet<T>, Outlet<T>);

    fn process(&mut self, batch: Batch<T>, (yes, no): &mut Self::Out, cx: &mut Cx<'_>) {
        let (to_yes, to_no) = rows::divide_rows(batch, cx, &mut self.f);
        yes.put(to_yes, cx);
        no.put(to_no, cx);
    }
}
