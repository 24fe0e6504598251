//! `scatter` … `gather`: a record becomes parts, the parts go their ways, and come together again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use eddyline_runtime::{
    Data,
    batch::Batch,
    fate::Fate,
    fault::FaultKind,
    graph::Place,
    guard,
    operator::{Cx, Holding, Operator},
    origin::{Change, Notice, Standing},
    ports::{Inlet, Outlet, Port, Side, Two},
    record::{RecordId, Tag, Trail},
    scope::{Family, Membership, Scope},
    view::Role,
};

use serde::{Deserialize, Serialize};

use crate::{
    at_rest::ByOrigin,
    rows,
    stream::{GraphHandle, Stream, spec},
};

/// The other half of a [`scatter`](Stream::scatter): give it to [`gather`](Stream::gather).
#[must_use = "give it to `.gather(…)`; without one, use `.flat_map(…)`"]
pub struct Gather<P> {
    graph: GraphHandle,
    /// The gather's node, its input for parents and its scope.
    node: u32,
    parents: Port<Parent<P>>,
    scope: Arc<Scope>,
}

/// A scattered value on its way to its gather, with the number of the family of its parts.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Parent<P> {
    family: u64,
    value: P,
}

/// One part of a gathered record.
#[derive(Clone, Debug, PartialEq)]
pub enum Child<T> {
    /// It arrived, as one value or, behind a `flat_map`, as several.
    Arrived(Vec<T>),
    /// It ended on the way.
    Lost(Fate),
    /// It went another way, from which this gather cannot be reached.
    Left,
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
            Child::Lost(_) | Child::Left => Vec::new(),
        })
    }

    /// Every part, where each arrived as exactly one value.
    pub fn complete(self) -> Option<Vec<T>> {
        self.0
            .into_iter()
            .map(|child| match child {
                Child::Arrived(values) => <[T; 1]>::try_from(values).ok().map(|[value]| value),
                Child::Lost(_) | Child::Left => None,
            })
            .collect()
    }

    /// The parts that ended on the way: place and fate.
    pub fn lost(&self) -> impl Iterator<Item = (usize, Fate)> {
        self.0.iter().enumerate().filter_map(|(place, child)| match child {
            Child::Lost(fate) => Some((place, *fate)),
            Child::Arrived(_) | Child::Left => None,
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
        let scope = graph.open_scope(node, gather);
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
    /// The value waits here until every part has arrived, ended, or gone another way from which it cannot come here. A part that
    /// is revised before the others are there counts with its new value only.
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
            let op = GatherOp {
                f,
                scope,
                families: HashMap::new(),
                by_origin: ByOrigin::default(),
                next: 0,
                waiting: 0,
                types: Default::default(),
            };
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

/// What has come of one parent so far.
struct Pending<P, C> {
    parent: Option<(P, Tag)>,
    /// By a number of its own, the place in the family, the value and who it was.
    arrived: BTreeMap<u64, (u32, C)>,
    family: Option<Arc<Family>>,
}

struct GatherOp<P, C, U, F> {
    f: F,
    scope: Arc<Scope>,
    families: HashMap<u64, Pending<P, C>>,
    /// Families with something that may be withdrawn: a part by its number, the parent without one.
    by_origin: ByOrigin<(u64, Option<u64>)>,
    next: u64,
    /// Parents that wait.
    waiting: usize,
    types: std::marker::PhantomData<fn() -> U>,
}

impl<P: Data, C: Data, U: Data, F: FnMut(P, Children<C>) -> U + Send + 'static> GatherOp<P, C, U, F> {
    fn pending(&mut self, family: u64) -> &mut Pending<P, C> {
        self.families.entry(family).or_insert_with(|| Pending {
            parent: None,
            arrived: BTreeMap::new(),
            family: None,
        })
    }

    fn put_complete(&mut self, out: &mut Outlet<U>, cx: &mut Cx<'_>) -> bool {
        let complete = self.scope.take_complete();
        let any = !complete.is_empty();
        for family in complete {
            let number = family.number();
            if family.is_withdrawn() {
                self.forget(number, cx);
                continue;
            }
            self.pending(number).family = Some(family);
            self.put_if_whole(number, out, cx);
        }
        any
    }

    /// The parent was made from a version that has been revised.
    fn forget(&mut self, family: u64, cx: &mut Cx<'_>) {
        if let Some(Pending { parent: Some((_, tag)), .. }) = self.families.remove(&family) {
            self.waiting -= 1;
            cx.unpark(&tag);
            cx.end(&tag, Fate::Withdrawn);
        }
    }

    fn put_if_whole(&mut self, number: u64, out: &mut Outlet<U>, cx: &mut Cx<'_>) {
        let whole = self.families.get(&number).is_some_and(|p| p.parent.is_some() && p.family.is_some());
        if !whole {
            return;
        }
        let Some(Pending { parent: Some((value, tag)), arrived, family: Some(family) }) =
            self.families.remove(&number)
        else {
            return;
        };
        self.waiting -= 1;
        cx.unpark(&tag);
        let children = Children::new(family.children(), arrived.into_values(), family.lost());
        match guard::call(|| (self.f)(value, children)) {
            Ok(made) => out.put_one(made, tag, cx),
            Err(panicked) => rows::fault_of_panic::<()>(cx, &tag, &panicked, None),
        }
    }

    fn take_parent(&mut self, parent: Parent<P>, tag: Tag, out: &mut Outlet<U>, cx: &mut Cx<'_>) {
        let Parent { family, value } = parent;
        if self.by_origin.hold(&tag, (family, None), cx) == Standing::Withdrawn {
            self.families.remove(&family);
            return cx.end(&tag, Fate::Withdrawn);
        }
        self.waiting += 1;
        cx.park(&tag);
        self.pending(family).parent = Some((value, tag));
        self.put_if_whole(family, out, cx);
    }

    fn take_child(&mut self, value: C, tag: &Tag, cx: &mut Cx<'_>) {
        let scope = tag.trail.as_ref().and_then(|trail| trail.scopes.last().cloned());
        let Some(scope) = scope.filter(|scope| scope.family.belongs_to(&self.scope)) else {
            let reason = "this record is not a part of what is gathered here";
            return cx.fault(tag, FaultKind::Error, reason, Some(&value));
        };
        let (number, family) = (self.next, scope.family.number());
        if self.by_origin.hold(tag, (family, Some(number)), cx) == Standing::Withdrawn {
            return cx.end(tag, Fate::Withdrawn);
        }
        self.next += 1;
        self.pending(family).arrived.insert(number, (scope.place, value));
        cx.arrive(tag, &scope);
    }
}

impl<T> Children<T> {
    fn new(
        children: usize,
        arrived: impl IntoIterator<Item = (u32, T)>,
        lost: Vec<(u32, Option<Fate>)>,
    ) -> Self {
        let mut all: Vec<Child<T>> = (0..children).map(|_| Child::Left).collect();
        // Behind a flat map parts of one child may have ended in several ways: the best counts, and having arrived for more.
        for (place, fate) in lost {
            let child = &mut all[place as usize];
            let best = match (&*child, fate) {
                (Child::Lost(known), Some(fate)) => Some(fate.min(*known)),
                (_, fate) => fate,
            };
            if let Some(fate) = best {
                *child = Child::Lost(fate);
            }
        }
        for (place, value) in arrived {
            match &mut all[place as usize] {
                Child::Arrived(values) => values.push(value),
                child => *child = Child::Arrived(vec![value]),
            }
        }
        Self(all)
    }
}

impl<P: Data, C: Data, U: Data, F> Operator for GatherOp<P, C, U, F>
where
    F: FnMut(P, Children<C>) -> U + Send + 'static,
{
    type In = Two<Parent<P>, C>;
    type Out = Outlet<U>;

    fn process(&mut self, batch: Side<Parent<P>, C>, out: &mut Outlet<U>, cx: &mut Cx<'_>) {
        match batch {
            Side::Left(parents) => {
                for (value, tag) in parents.into_rows() {
                    self.take_parent(value, tag, out, cx);
                }
            }
            Side::Right(children) => {
                for (value, tag) in children.into_rows() {
                    self.take_child(value, &tag, cx);
                }
            }
        }
        self.put_complete(out, cx);
    }

    fn notice(&mut self, notices: &[Notice], _: &mut Outlet<U>, cx: &mut Cx<'_>) {
        for (row, change) in self.by_origin.told(notices) {
            match row {
                _ if change == Change::Settled => {}
                (family, None) => self.forget(family, cx),
                (family, Some(part)) => {
                    if let Some(pending) = self.families.get_mut(&family) {
                        pending.arrived.remove(&part);
                    }
                }
            }
        }
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
