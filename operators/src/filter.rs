//! `filter`: a value goes on or ends.

use eddyline_runtime::{
    Data,
    batch::Batch,
    fate::Fate,
    operator::{Cx, Operator},
    ports::{Inlet, Outlet},
    view::Role,
};

use crate::{
    rows,
    stream::{Stream, spec},
};

impl<T: Data> Stream<T> {
    /// Keeps the values of which `f` says `true`. The others end as *filtered*.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("even");
    /// let even = flow.source("numbers", 1..=6).filter(|n| n % 2 == 0).collect();
    /// assert_eq!(flow.run().await?.take(even), [2, 4, 6]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn filter(self, f: impl FnMut(&T) -> bool + Send + 'static) -> Stream<T> {
        self.then_one(spec("filter", Role::Operator), |_| Filter { f, types: Default::default() })
    }
}

struct Filter<T, F> {
    f: F,
    types: std::marker::PhantomData<fn(T)>,
}

impl<T: Data, F: FnMut(&T) -> bool + Send + 'static> Operator for Filter<T, F> {
    type In = Inlet<T>;
    type Out = Outlet<T>;

    fn process(&mut self, batch: Batch<T>, out: &mut Outlet<T>, cx: &mut Cx<'_>) {
        let kept = rows::keep_rows(batch, Fate::Filtered, cx, &mut self.f);
        out.put(kept, cx);
    }
}
