//! `try_map`: one value in, one value or an error out.

use std::fmt::Display;

use eddyline_runtime::{
    Data,
    batch::Batch,
    fault::FaultKind,
    operator::{Cx, Operator},
    ports::{Inlet, Outlet},
    view::Role,
};

use crate::{
    rows,
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
        self.then_one(spec("try_map", Role::Operator), |_| TryMap { f, types: Default::default() })
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
    type Out = Outlet<U>;

    fn process(&mut self, batch: Batch<T>, out: &mut Outlet<U>, cx: &mut Cx<'_>) {
        let mut good = Batch::with_capacity(batch.len());
        for (value, tag, result) in rows::look_at_rows(batch, cx, |value, _| (self.f)(value)) {
            match result {
                Ok(made) => good.push(made, tag),
                Err(error) => cx.fault(&tag, FaultKind::Error, &error.to_string(), Some(&value)),
            }
        }
        out.put(good, cx);
    }
}
