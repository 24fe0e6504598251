//! `flat_map`: one value in, any number out.

use eddyline_runtime::{
    Data,
    batch::Batch,
    fate::Fate,
    operator::{Cx, Operator},
    ports::{Inlet, Outlet},
    record::Tag,
    view::Role,
};

use crate::{
    rows,
    stream::{Stream, spec},
};

impl<T: Data> Stream<T> {
    /// Makes any number of values of each; one of which none is made ends as *filtered*.
    ///
    /// To put the parts together again afterwards, use [`scatter`](Self::scatter).
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("words");
    /// let lines = ["to be", "or not"].map(String::from);
    /// let words = flow.source("lines", lines).flat_map(|l: String| l.split(' ').map(String::from).collect::<Vec<_>>()).collect();
    /// assert_eq!(flow.run().await?.take(words), ["to", "be", "or", "not"]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn flat_map<U: Data, I>(self, f: impl FnMut(T) -> I + Send + 'static) -> Stream<U>
    where
        I: IntoIterator<Item = U> + 'static,
    {
        self.then(spec("flat_map", Role::Operator), |_| FlatMap { f, types: Default::default() })
    }
}

struct FlatMap<T, I, F> {
    f: F,
    types: std::marker::PhantomData<fn(T) -> I>,
}

impl<T: Data, U: Data, I, F> Operator for FlatMap<T, I, F>
where
    I: IntoIterator<Item = U> + 'static,
    F: FnMut(T) -> I + Send + 'static,
{
    type In = Inlet<T>;
    type Out = Outlet<U>;

    fn process(&mut self, batch: Batch<T>, out: &mut Outlet<U>, cx: &mut Cx<'_>) {
        let made = rows::map_rows(batch, cx, |value| (self.f)(value).into_iter().collect::<Vec<U>>());
        let mut all = Batch::with_capacity(made.len());
        for (values, tag) in made.into_rows() {
            put_many(values, tag, &mut all, cx);
        }
        out.put(all, cx);
    }
}

/// One record goes on as `values`: the first is the record itself, the others are made from it. None ends it.
pub(crate) fn put_many<U>(values: Vec<U>, mut tag: Tag, into: &mut Batch<U>, cx: &mut Cx<'_>) {
    let mut values = values.into_iter();
    let Some(first) = values.next() else { return cx.end(&tag, Fate::Filtered) };
    let others: Vec<(U, Tag)> = values
        .enumerate()
        .map(|(nth, value)| {
            let mut fork = cx.fork(&mut tag);
            cx.is_child(&mut fork, nth + 1);
            (value, fork)
        })
        .collect();
    cx.is_child(&mut tag, 0);
    into.push(first, tag);
    for (value, tag) in others {
        into.push(value, tag);
    }
}
