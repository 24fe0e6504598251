//! `scan`: a map with declared state.

use eddyline_runtime::{
    Data,
    batch::Batch,
    operator::{Cx, Operator},
    ports::{Inlet, Outlet},
    view::Role,
};

use crate::{
    at_rest::Finally,
    rows,
    stream::{Stream, spec},
};

impl<T: Data> Stream<T> {
    /// Makes one value of each, with a state that is handed from record to record. After a panic the state is what `f` left.
    ///
    /// What the state has seen cannot be taken back, so a value that might still be withdrawn waits until it is final.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("running sum");
    /// let sums = flow.source("numbers", 1..=4).scan(0, |sum, n| { *sum += n; *sum }).collect();
    /// assert_eq!(flow.run().await?.take(sums), [1, 3, 6, 10]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn scan<S: Data, U: Data>(
        self,
        initial: S,
        f: impl FnMut(&mut S, T) -> U + Send + 'static,
    ) -> Stream<U> {
        self.then(spec("scan", Role::Operator), |_| {
            Finally::new(Scan { state: initial, f, types: Default::default() })
        })
    }
}

struct Scan<S, T, U, F> {
    state: S,
    f: F,
    types: std::marker::PhantomData<fn(T) -> U>,
}

impl<S: Data, T: Data, U: Data, F: FnMut(&mut S, T) -> U + Send + 'static> Operator for Scan<S, T, U, F> {
    type In = Inlet<T>;
    type Out = Outlet<U>;

    fn process(&mut self, batch: Batch<T>, out: &mut Outlet<U>, cx: &mut Cx<'_>) {
        let (state, f) = (&mut self.state, &mut self.f);
        let mapped = rows::map_rows(batch, cx, |value| f(state, value));
        out.put(mapped, cx);
    }
}
