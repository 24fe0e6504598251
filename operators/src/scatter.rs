//! `scatter`: a record becomes parts, which go their ways until their `gather`.

use std::sync::Arc;

use eddyline_runtime::{
    Data,
    batch::Batch,
    operator::{Cx, Operator},
    ports::{Inlet, Outlet, Port},
    scope::{Membership, Scope},
    view::Role,
};

use serde::{Deserialize, Serialize};

use crate::{
    rows,
    stream::{GraphHandle, Stream, spec},
};

/// The other half of a [`scatter`](Stream::scatter): give it to [`gather`](Stream::gather).
#[must_use = "give it to `.gather(…)`; without one, use `.flat_map(…)`"]
pub struct Gather<P> {
    pub(crate) graph: GraphHandle,
    /// The gather's node, its input for parents and its scope.
    pub(crate) node: u32,
    pub(crate) parents: Port<Parent<P>>,
    pub(crate) scope: Arc<Scope>,
}

/// A scattered value on its way to its gather, with the number of the family of its parts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Parent<P> {
    pub family: u64,
    pub value: P,
}

impl<T: Data> Stream<T> {
    /// Makes parts of each value; [`gather`](Stream::gather) puts them together again when each has arrived or ended.
    ///
    /// `f` gives something owned, such as a `Vec`: end an iterator over the value with `.collect::<Vec<_>>()`.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("shout");
    /// let (words, lines) = flow
    ///     .source("lines", ["to be or not".to_owned()])
    ///     .scatter(|line: &String| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    /// let loud = words
    ///     .filter(|word| word != "or")
    ///     .map(|word| word.to_uppercase())
    ///     .gather(lines, |_line, words| words.into_values().collect::<Vec<_>>().join(" "))
    ///     .collect();
    /// assert_eq!(flow.run().await?.take(loud), ["TO BE NOT"]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn scatter<C: Data, I>(self, f: impl FnMut(&T) -> I + Send + 'static) -> (Stream<C>, Gather<T>)
    where
        I: IntoIterator<Item = C> + 'static,
    {
        let graph = self.graph.clone();
        let node = graph.add(spec("scatter", Role::Operator));
        let gather = graph.add(spec("gather", Role::Operator));
        let input = self.lead_to(node);
        let children = graph.output(node, "", false);
        let parents = graph.output(node, "parent", false);
        let parents_in = graph.input(gather);
        graph.connect(&parents, &parents_in, false);
        let scope = graph.open_scope(node, gather);
        let (to_children, for_scatter) = (children.clone(), Arc::clone(&scope));
        graph.build_with(node, move |_| {
            let scatter = Scatter { f, scope: for_scatter, types: Default::default() };
            (scatter, input.inlet(), (to_children.outlet(), parents.outlet()))
        });
        let gather = Gather { graph: graph.clone(), node: gather, parents: parents_in, scope };
        (Stream::new(graph, children), gather)
    }
}

struct Scatter<T, I, F> {
    f: F,
    scope: Arc<Scope>,
    types: std::marker::PhantomData<fn(T) -> I>,
}

impl<T: Data, C: Data, I, F> Operator for Scatter<T, I, F>
where
    I: IntoIterator<Item = C> + 'static,
    F: FnMut(&T) -> I + Send + 'static,
{
    type In = Inlet<T>;
    type Out = (Outlet<C>, Outlet<Parent<T>>);

    fn process(&mut self, batch: Batch<T>, (children, parents): &mut Self::Out, cx: &mut Cx<'_>) {
        let parts = rows::look_at_rows(batch, cx, |value, _| (self.f)(value).into_iter().collect::<Vec<C>>());
        let mut all_children = Batch::with_capacity(parts.len());
        let mut all_parents = Batch::with_capacity(parts.len());
        for (value, mut tag, parts) in parts {
            let family = cx.new_family(&self.scope, &tag, parts.len());
            for (place, part) in parts.into_iter().enumerate() {
                let membership = Membership { family: Arc::clone(&family), place: place as u32 };
                let mut child = cx.fork_into(&mut tag, membership);
                cx.is_child(&mut child, place);
                all_children.push(part, child);
            }
            all_parents.push(Parent { family: family.number(), value }, tag);
        }
        parents.put(all_parents, cx);
        children.put(all_children, cx);
    }
}
