//! `scatter` … `gather`: a record becomes parts, the parts go their ways, and come together again.

use std::{collections::HashMap, sync::Arc};

use eddyline_runtime::{
    Data,
    batch::Batch,
    fate::Fate,
    fault::FaultKind,
    graph::Place,
    guard,
    operator::{Cx, Holding, Operator},
    ports::{Inlet, Outlet, Port, Side, Two},
    record::{RecordId, Tag, Trail},
    scope::{Family, Membership, Scope},
    view::Role,
};

use crate::{
    rows,
    stream::{GraphHandle, Stream, spec},
};

/// The other half of a [`scatter`](Stream::scatter): give it to [`gather`](Stream::gather).
#[must_use = "give it to `.gather(…)`; without one, use `.flat_map(…)`"]
pub struct Gather<P> {
    graph: GraphHandle,
    /// The gather's node, its input for parents and its scope.
    node: u32,
    parents: Port<P>,
    scope: Arc<Scope>,
}

/// One part of a gathered record.
#[derive(Clone, Debug, PartialEq)]
pub enum Child<T> {
    /// It arrived, as one value or, behind a `flat_map`, as several.
    Arrived(Vec<T>),
    /// It ended on the way.
    Lost(Fate),
}

/// The parts of a gathered record, in the order in which they were scattered.
#[derive(Clone, Debug, PartialEq)]
pub struct Children<T>(Vec<Child<T>>);

impl<T> Children<T> {
    /// All parts.
    pub fn iter(&self) -> impl Iterator<Item = &Child<T>> {
        self.0.iter()
    }

    /// The parts that arrived.
    pub fn into_values(self) -> impl Iterator<Item = T> {
        self.0.into_iter().flat_map(|child| match child {
            Child::Arrived(values) => values,
            Child::Lost(_) => Vec::new(),
        })
    }

    /// Every part, where each arrived as exactly one value.
    pub fn complete(self) -> Option<Vec<T>> {
        self.0
            .into_iter()
            .map(|child| match child {
                Child::Arrived(values) => <[T; 1]>::try_from(values).ok().map(|[value]| value),
                Child::Lost(_) => None,
            })
            .collect()
    }

    /// The parts that ended on the way: place and fate.
    pub fn lost(&self) -> impl Iterator<Item = (usize, Fate)> {
        self.0.iter().enumerate().filter_map(|(place, child)| match child {
            Child::Lost(fate) => Some((place, *fate)),
            Child::Arrived(_) => None,
        })
    }
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
        let scope = Scope::new(graph.waker(gather));
        let (to_children, for_scatter) = (children.clone(), Arc::clone(&scope));
        graph.build_with(node, move |_| {
            let scatter = Scatter { f, scope: for_scatter, types: Default::default() };
            (scatter, input.inlet(), (to_children.outlet(), parents.outlet()))
        });
        let gather = Gather { graph: graph.clone(), node: gather, parents: parents_in, scope };
        (Stream { graph, port: children }, gather)
    }

    /// Puts the parts of each scattered value together again: `f` gets the value and its parts in order, with those that
    /// ended on the way marked as such.
    ///
    /// The value waits here until every part has arrived or ended. A part that went another way, such as a `.clone()` of the
    /// stream of parts, has ended when it has ended there.
    #[track_caller]
    pub fn gather<P: Data, U: Data>(
        self,
        gather: Gather<P>,
        f: impl FnMut(P, Children<T>) -> U + Send + 'static,
    ) -> Stream<U> {
        let graph = gather.graph.clone();
        let children = graph.input(gather.node);
        graph.place(gather.node, Place::here());
        if graph.is(&self.graph) {
            graph.connect(&self.port, &children, false);
        } else {
            graph.error(
                Some(gather.node),
                Some(Place::here()),
                "the parts of one workflow are gathered in another",
                "scatter and gather in the same `Workflow`",
            );
        }
        let output = graph.output(gather.node, "", false);
        let out = output.clone();
        let (parents, scope) = (gather.parents, gather.scope);
        graph.build_with(gather.node, move |_| {
            let op = GatherOp { f, scope, families: HashMap::new(), waiting: 0, types: Default::default() };
            (op, Two::new(parents.inlet(), children.inlet()), out.outlet())
        });
        Stream { graph, port: output }
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
    type Out = (Outlet<C>, Outlet<T>);

    fn process(&mut self, batch: Batch<T>, (children, parents): &mut Self::Out, cx: &mut Cx<'_>) {
        let parts = rows::look_at_rows(batch, cx, |value, _| (self.f)(value).into_iter().collect::<Vec<C>>());
        let mut all_children = Batch::with_capacity(parts.len());
        let mut all_parents = Batch::with_capacity(parts.len());
        for (value, mut tag, parts) in parts {
            let family = Family::new(&self.scope, tag.id, parts.len() as u64);
            for (place, part) in parts.into_iter().enumerate() {
                let membership = Membership { family: Arc::clone(&family), place: place as u32 };
                let child = cx.fork_into(&mut tag, membership);
                all_children.push(part, child);
            }
            all_parents.push(value, tag);
        }
        parents.put(all_parents, cx);
        children.put(all_children, cx);
    }
}

/// What has come of one parent so far.
struct Pending<P, C> {
    parent: Option<(P, Tag)>,
    arrived: Vec<(u32, C)>,
    family: Option<Arc<Family>>,
}

struct GatherOp<P, C, U, F> {
    f: F,
    scope: Arc<Scope>,
    families: HashMap<RecordId, Pending<P, C>>,
    /// Parents that wait.
    waiting: usize,
    types: std::marker::PhantomData<fn() -> U>,
}

impl<P: Data, C: Data, U: Data, F: FnMut(P, Children<C>) -> U + Send + 'static> GatherOp<P, C, U, F> {
    fn pending(&mut self, parent: RecordId) -> &mut Pending<P, C> {
        self.families.entry(parent).or_insert_with(|| Pending {
            parent: None,
            arrived: Vec::new(),
            family: None,
        })
    }

    fn put_complete(&mut self, out: &mut Outlet<U>, cx: &mut Cx<'_>) -> bool {
        let complete = self.scope.take_complete();
        let any = !complete.is_empty();
        for family in complete {
            let parent = family.parent();
            self.pending(parent).family = Some(family);
            self.put_if_whole(parent, out, cx);
        }
        any
    }

    fn put_if_whole(&mut self, parent: RecordId, out: &mut Outlet<U>, cx: &mut Cx<'_>) {
        let whole = self.families.get(&parent).is_some_and(|p| p.parent.is_some() && p.family.is_some());
        if !whole {
            return;
        }
        let Some(Pending { parent: Some((value, tag)), arrived, family: Some(family) }) =
            self.families.remove(&parent)
        else {
            return;
        };
        self.waiting -= 1;
        let children = Children::new(arrived, &family.lost());
        match guard::call(|| (self.f)(value, children)) {
            Ok(made) => out.put_one(made, tag, cx),
            Err(panicked) => rows::fault_of_panic::<()>(cx, &tag, &panicked, None),
        }
    }
}

impl<T> Children<T> {
    fn new(arrived: Vec<(u32, T)>, lost: &[(u32, Fate)]) -> Self {
        let arrivals = arrived.iter().map(|(place, _)| *place);
        let len =
            arrivals.chain(lost.iter().map(|(place, _)| *place)).max().map_or(0, |last| last as usize + 1);
        let mut children: Vec<Child<T>> = (0..len).map(|_| Child::Arrived(Vec::new())).collect();
        for (place, value) in arrived {
            if let Child::Arrived(values) = &mut children[place as usize] {
                values.push(value);
            }
        }
        for &(place, fate) in lost {
            if matches!(&children[place as usize], Child::Arrived(values) if values.is_empty()) {
                children[place as usize] = Child::Lost(fate);
            }
        }
        Self(children)
    }
}

impl<P: Data, C: Data, U: Data, F> Operator for GatherOp<P, C, U, F>
where
    F: FnMut(P, Children<C>) -> U + Send + 'static,
{
    type In = Two<P, C>;
    type Out = Outlet<U>;

    fn process(&mut self, batch: Side<P, C>, out: &mut Outlet<U>, cx: &mut Cx<'_>) {
        match batch {
            Side::Left(parents) => {
                for (value, tag) in parents.into_rows() {
                    let id = tag.id;
                    self.waiting += 1;
                    self.pending(id).parent = Some((value, tag));
                    self.put_if_whole(id, out, cx);
                }
            }
            Side::Right(children) => {
                for (value, tag) in children.into_rows() {
                    let scope = tag.trail.as_ref().and_then(|trail| trail.scopes.last().cloned());
                    match scope.filter(|scope| scope.family.belongs_to(&self.scope)) {
                        Some(scope) => {
                            self.pending(scope.family.parent()).arrived.push((scope.place, value));
                            cx.arrive(&tag, &scope);
                        }
                        None => {
                            let reason = "this record is not a part of what is gathered here";
                            cx.fault(&tag, FaultKind::Error, reason, Some(&value));
                        }
                    }
                }
            }
        }
        self.put_complete(out, cx);
    }

    fn wake(&mut self, out: &mut Outlet<U>, cx: &mut Cx<'_>) -> bool {
        self.put_complete(out, cx)
    }

    /// While parts are on their way, even on one that does not lead here.
    fn is_open(&self) -> bool {
        self.waiting > 0
    }

    fn holding(&self) -> Holding {
        Holding { waiting: self.waiting, ..Holding::default() }
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        for (_, tag) in self.families.values().filter_map(|pending| pending.parent.as_ref()) {
            visit(tag.id, tag.trail.as_deref());
        }
    }
}
