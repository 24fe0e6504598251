//! `map`: one value in, one value out.

use eddyline_runtime::{
    Data,
    batch::Batch,
    operator::{Cx, Operator},
    ports::{Inlet, Outlet},
    view::Role,
};

use crate::{
    rows,
    stream::{Stream, spec},
};

impl<T: Data> Stream<T> {
    /// Makes one value of each.
    ///
    /// A panic in `f` is a fault of that one record. Since `f` takes its value away, the fault keeps only which record it was;
    /// [`try_map`](Self::try_map) takes a reference and keeps the value.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("squares");
    /// let squares = flow.source("numbers", 1..=3).map(|n| n * n).collect();
    /// assert_eq!(flow.run().await?.take(squares), [1, 4, 9]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn map<U: Data>(self, f: impl FnMut(T) -> U + Send + 'static) -> Stream<U> {
        self.then_one(spec("map", Role::Operator), |_| Map { f, types: Default::default() })
    }
}

struct Map<T, U, F> {
    f: F,
    types: std::marker::PhantomData<fn(T) -> U>,
}

impl<T: Data, U: Data, F: FnMut(T) -> U + Send + 'static> Operator for Map<T, U, F> {
    type In = Inlet<T>;
    type Out = Outlet<U>;

    fn process(&mut self, batch: Batch<T>, out: &mut Outlet<U>, cx: &mut Cx<'_>) {
        let mapped = rows::map_rows(batch, cx, &mut self.f);
        out.put(mapped, cx);
    }
}
