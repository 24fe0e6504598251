//! `try_map`: one value in, one value or an error out.

use std::fmt::Display;

use eddyline_runtime::{
    Data,
    batch::Batch,
    fault::FaultKind,
    graph::NodeSpec,
    guard,
    linear::Makes,
    operator::{Cx, Operator},
    ports::Inlet,
    view::Role,
};

use crate::{
    catch::{Catching, Failed, Ways},
    stream::{Stream, spec},
};

impl<T: Data> Stream<T> {
    /// Makes one value of each, or an error, which is a fault of that one record: it ends in quarantine with its value and
    /// the error's text as reason.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("numbers");
    /// let texts = ["1", "two", "3"].map(String::from);
    /// let numbers = flow.source("texts", texts).try_map(|text| text.parse::<i32>()).collect();
    /// let mut report = flow.run().await?;
    /// assert_eq!(report.take(numbers), [1, 3]);
    /// assert_eq!(report.faults()[0].value, Some("two".into()));
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn try_map<U: Data, E: Display + 'static>(
        self,
        f: impl FnMut(&T) -> Result<U, E> + Send + 'static,
    ) -> Stream<U> {
        self.try_map_or_catch(spec("try_map", Role::Operator), false, f).0
    }

    /// [`try_map`](Self::try_map) whose errors, and values on which it panics, come out second as [`Failed`] records instead of ending
    /// in quarantine: to be judged, mended, made in another way, or sent back to a feedback point like any other.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("numbers");
    /// let texts = ["1", "two", "x"].map(String::from);
    /// let (numbers, failed) = flow.source("texts", texts).try_map_catch(|text| text.parse::<i32>());
    /// let mended = failed.handle("words", |failed| match &*failed.value {
    ///     "two" => Verdict::Pass,
    ///     _ => Verdict::reject(&failed.reason),
    /// });
    /// let numbers = numbers.merge(mended.map(|_| 2)).collect();
    /// let mut report = flow.run().await?;
    /// assert_eq!(report.take(numbers), [1, 2]);
    /// assert_eq!(&*report.faults()[0].reason, "invalid digit found in string");
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn try_map_catch<U: Data, E: Display + 'static>(
        self,
        f: impl FnMut(&T) -> Result<U, E> + Send + 'static,
    ) -> (Stream<U>, Stream<Failed<T>>) {
        self.try_map_or_catch(spec("try_map", Role::Operator), true, f)
    }

    fn try_map_or_catch<U: Data, E: Display + 'static>(
        self,
        spec: NodeSpec,
        caught: bool,
        f: impl FnMut(&T) -> Result<U, E> + Send + 'static,
    ) -> (Stream<U>, Stream<Failed<T>>) {
        let graph = self.graph.clone();
        let node = graph.add(spec);
        let input = self.lead_to(node);
        let (ways, made, failed) = Ways::new(&graph, node, caught);
        graph.set_makes(node, Makes::One);
        graph.build_with(node, move |_| {
            let op = TryMap { f, types: Default::default() };
            (op, input.inlet(), ways.open())
        });
        (made, failed)
    }
}

struct TryMap<T, U, E, F> {
    f: F,
    types: std::marker::PhantomData<fn(T) -> (U, E)>,
}

impl<T, U, E, F> Operator for TryMap<T, U, E, F>
where
    T: Data,
    U: Data,
    E: Display + 'static,
    F: FnMut(&T) -> Result<U, E> + Send + 'static,
{
    type In = Inlet<T>;
    type Out = Catching<T, U>;

    fn process(&mut self, batch: Batch<T>, out: &mut Self::Out, cx: &mut Cx<'_>) {
        let mut good = Batch::with_capacity(batch.len());
        for (value, tag) in batch.into_rows() {
            match guard::call(|| (self.f)(&value)) {
                Ok(Ok(made)) => good.push(made, tag),
                Ok(Err(error)) => out.fail(&tag, FaultKind::Error, &error.to_string(), &value, cx),
                Err(panicked) => out.fail(&tag, FaultKind::Panic, &panicked.0, &value, cx),
            }
        }
        out.put(good, cx);
    }
}
