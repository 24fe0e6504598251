//! `inspect`: look at values as they go by.

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
    /// Looks at each value as it goes by: for a print, a progress bar, a counter.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("look");
    /// flow.source("numbers", 1..=3).inspect(|n| println!("saw {n}")).ignore();
    /// flow.run().await?;
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn inspect(self, f: impl FnMut(&T) + Send + 'static) -> Stream<T> {
        self.then_one(spec("inspect", Role::Operator), |_| Inspect { f, types: Default::default() })
    }
}

struct Inspect<T, F> {
    f: F,
    types: std::marker::PhantomData<fn(T)>,
}

impl<T: Data, F: FnMut(&T) + Send + 'static> Operator for Inspect<T, F> {
    type In = Inlet<T>;
    type Out = Outlet<T>;

    fn process(&mut self, batch: Batch<T>, out: &mut Outlet<T>, cx: &mut Cx<'_>) {
        let seen = rows::map_rows(batch, cx, |value| {
            (self.f)(&value);
            value
        });
        out.put(seen, cx);
    }
}
