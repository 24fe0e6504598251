//! `gather`: the parts of a scattered record come together again.
//!
//! A whole is made when every part has arrived, ended or gone another way. Where a part may still be revised the parent and the
//! parts stay, and when it is, the whole is withdrawn and made again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use eddyline_runtime::{
    Data,
    fate::Fate,
    fault::FaultKind,
    graph::Place,
    guard,
    operator::{Cx, Holding, Operator},
    origin::{Change, Mark, Notice, Standing},
    ports::{Outlet, Side, Two},
    record::{RecordId, Tag, Trail},
    scope::{Family, Scope},
};

use crate::{
    at_rest::ByOrigin,
    rows,
    scatter::{Gather, Parent},
    stream::Stream,
};

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

impl<T> Children<T> {
    fn new(children: usize, arrived: impl IntoIterator<Item = (u32, T)>, lost: Vec<(u32, Fate)>) -> Self {
        let mut all: Vec<Child<T>> = (0..children).map(|_| Child::Left).collect();
        // Behind a flat map parts of one child may have ended in several ways: the best counts, and having arrived for more.
        for (place, fate) in lost {
            let child = &mut all[place as usize];
            *child = match child {
                Child::Lost(known) => Child::Lost(fate.min(*known)),
                _ => Child::Lost(fate),
            };
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

impl<T: Data> Stream<T> {
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
        Stream::new(graph, output)
    }
}

/// A part that has arrived.
struct Part<C> {
    record: RecordId,
    family: Arc<Family>,
    place: u32,
    value: C,
    trail: Option<Arc<Trail>>,
}

/// What has come of one parent so far.
struct Pending<P, C> {
    parent: Option<(P, Tag)>,
    /// By a number of its own.
    parts: BTreeMap<u64, Part<C>>,
    /// Once it has been complete.
    family: Option<Arc<Family>>,
    /// The version of the whole that was made, if it may have to be made again.
    whole: Option<Mark>,
    /// Whether another has to be made in its place.
    is_stale: bool,
}

/// What a notice may be about.
#[derive(Clone, Copy)]
enum Row {
    Parent,
    Part(u64),
    /// A part that ended on the way.
    Lost,
}

struct GatherOp<P, C, U, F> {
    f: F,
    scope: Arc<Scope>,
    families: HashMap<u64, Pending<P, C>>,
    /// What may be withdrawn, with the number of its family.
    by_origin: ByOrigin<(u64, Row)>,
    next: u64,
    /// Parents that wait.
    waiting: usize,
    types: std::marker::PhantomData<fn() -> U>,
}

impl<P, C> Pending<P, C> {
    /// Whether everything is there that a whole is made of.
    fn is_ready(&self) -> bool {
        let stands = |trail: Option<&Arc<Trail>>| trail.is_none_or(|t| t.standing() != Standing::Withdrawn);
        self.family.as_ref().is_some_and(|family| family.is_complete())
            // Of what is withdrawn there will be a notice.
            && self.parent.as_ref().is_some_and(|(_, tag)| stands(tag.trail.as_ref()))
            && self.parts.values().all(|part| stands(part.trail.as_ref()))
    }

    /// What the parts carried.
    fn trails(&self) -> impl Iterator<Item = &Trail> {
        self.parts.values().filter_map(|part| part.trail.as_deref())
    }

    /// Its family, if something of it has been here.
    fn any_family(&self) -> Option<Arc<Family>> {
        self.family.clone().or_else(|| self.parts.values().next().map(|part| Arc::clone(&part.family)))
    }

    /// The parts in the order in which they were scattered.
    fn in_order(&self) -> Vec<&Part<C>> {
        let mut parts: Vec<_> = self.parts.values().collect();
        parts.sort_by_key(|part| part.place);
        parts
    }

    /// The marks of parts and of lost parts that may still be revised, and that are not the parent's.
    fn open_marks(&self, family: &Family) -> Vec<Mark> {
        let mut open = Vec::new();
        for part in self.in_order() {
            family.add_open_marks(part.trail.iter().flat_map(|trail| &trail.marks), &mut open);
        }
        for trail in family.trails_of_lost() {
            family.add_open_marks(&trail.marks, &mut open);
        }
        open
    }
}

/// What all parts carried, those too that ended on the way or left.
fn all_trails<C>(parts: &BTreeMap<u64, Part<C>>, family: &Family) -> Vec<Arc<Trail>> {
    let arrived = parts.values().filter_map(|part| part.trail.clone());
    arrived.chain(family.trails_of_lost()).collect()
}

impl<P: Data, C: Data, U: Data, F: FnMut(P, Children<C>) -> U + Send + 'static> GatherOp<P, C, U, F> {
    fn pending(&mut self, family: u64) -> &mut Pending<P, C> {
        self.families.entry(family).or_insert_with(|| Pending {
            parent: None,
            parts: BTreeMap::new(),
            family: None,
            whole: None,
            is_stale: false,
        })
    }

    fn put_complete(&mut self, out: &mut Outlet<U>, cx: &mut Cx<'_>) -> bool {
        let complete = self.scope.take_complete();
        let any = !complete.is_empty();
        for family in complete {
            let number = family.number();
            if family.is_withdrawn() {
                self.forget(number, Some(family), cx);
                continue;
            }
            let pending = self.pending(number);
            pending.family = Some(family);
            pending.is_stale = true;
            self.put_if_whole(number, out, cx);
        }
        any
    }

    /// The parent was made from a version that has been revised.
    fn forget(&mut self, number: u64, family: Option<Arc<Family>>, cx: &mut Cx<'_>) {
        let pending = self.families.remove(&number);
        let family = family.or_else(|| pending.as_ref()?.any_family());
        match pending {
            Some(Pending { parent: Some((_, tag)), whole, .. }) => {
                self.waiting -= 1;
                cx.unpark(&tag);
                cx.end_parent(&tag, Fate::Withdrawn, family.as_deref(), whole.as_ref());
            }
            _ => {
                if let Some(family) = family {
                    cx.finish_family(&family, None);
                }
            }
        }
    }

    /// Makes a whole of what is there, where none stands or the one that does is stale.
    fn put_if_whole(&mut self, number: u64, out: &mut Outlet<U>, cx: &mut Cx<'_>) {
        let Some(pending) = self.families.get_mut(&number) else { return };
        let Some(family) = pending.family.clone() else { return };
        let disturbed = family.disturbed();
        let mut open;
        loop {
            if !pending.is_ready() {
                return;
            }
            open = pending.open_marks(&family);
            // The marks of lost parts were not watched so far.
            if cx.hold_for_whole(&open, &family) != Standing::Withdrawn {
                break;
            }
        }
        if pending.whole.is_some() && !pending.is_stale {
            // What disturbed the family was no longer a part of it.
            cx.let_go_of_parts(&family, disturbed, pending.trails());
        } else if open.is_empty() {
            return self.put_last(number, out, cx);
        } else {
            self.put_for_now(number, &family, disturbed, &open, out, cx);
        }
        // What was open may have been settled before anybody was to be told.
        self.finish_if_final(number, cx);
    }

    /// Nothing of it can be revised any more: the parent itself goes on as the whole.
    fn put_last(&mut self, number: u64, out: &mut Outlet<U>, cx: &mut Cx<'_>) {
        let Some(pending) = self.families.remove(&number) else { return };
        let (Some((value, mut tag)), Some(family)) = (pending.parent, pending.family) else { return };
        self.waiting -= 1;
        cx.unpark(&tag);
        cx.finish_family(&family, pending.whole.as_ref());
        cx.note_made_of(&tag, pending.parts.values().map(|part| part.record));
        for trail in all_trails(&pending.parts, &family) {
            cx.spend_rounds_of(&mut tag, &trail);
        }
        let parts = pending.parts.into_values().map(|part| (part.place, part.value));
        let children = Children::new(family.children(), parts, family.lost());
        self.put(value, children, tag, out, cx);
    }

    /// The parent stays, to make another whole when one of its parts is revised.
    fn put_for_now(
        &mut self,
        number: u64,
        family: &Family,
        disturbed: u64,
        open: &[Mark],
        out: &mut Outlet<U>,
        cx: &mut Cx<'_>,
    ) {
        let Some(pending) = self.families.get_mut(&number) else { return };
        let Some((value, parent)) = &mut pending.parent else { return };
        let trails = all_trails(&pending.parts, family);
        for mark in family.trails_of_lost().iter().flat_map(|trail| &trail.marks) {
            self.by_origin.add_mark(mark, (number, Row::Lost));
        }
        let value = value.clone();
        let (mut tag, whole) = cx.whole(parent, family, open, pending.whole.take());
        pending.whole = Some(whole);
        pending.is_stale = false;
        cx.note_made_of(&tag, [parent.id].into_iter().chain(pending.parts.values().map(|part| part.record)));
        for trail in &trails {
            cx.spend_rounds_of(&mut tag, trail);
        }
        cx.let_go_of_parts(family, disturbed, pending.trails());
        let parts = pending.parts.values().map(|part| (part.place, part.value.clone()));
        let children = Children::new(family.children(), parts, family.lost());
        self.put(value, children, tag, out, cx);
    }

    fn put(&mut self, value: P, children: Children<C>, tag: Tag, out: &mut Outlet<U>, cx: &mut Cx<'_>) {
        match guard::call(|| (self.f)(value, children)) {
            Ok(made) => out.put_one(made, tag, cx),
            Err(panicked) => rows::fault_of_panic::<()>(cx, &tag, &panicked, None),
        }
    }

    /// Lets the parent of a whole go when nothing of it can be revised any more.
    fn finish_if_final(&mut self, number: u64, cx: &mut Cx<'_>) {
        let Some(pending) = self.families.get(&number).filter(|pending| pending.whole.is_some()) else {
            return;
        };
        let is_final = |family: &Arc<Family>| family.is_at_rest() && pending.open_marks(family).is_empty();
        if pending.is_stale || !pending.family.as_ref().is_some_and(is_final) {
            return;
        }
        if let Some(Pending { parent: Some((_, tag)), family, whole, .. }) = self.families.remove(&number) {
            self.waiting -= 1;
            cx.unpark(&tag);
            // The wholes have ends of their own.
            cx.end_parent(&tag, Fate::Superseded, family.as_deref(), whole.as_ref());
        }
    }

    fn take_parent(&mut self, parent: Parent<P>, tag: Tag, out: &mut Outlet<U>, cx: &mut Cx<'_>) {
        let Parent { family, value } = parent;
        if self.by_origin.hold(&tag, (family, Row::Parent), cx) == Standing::Withdrawn {
            self.forget(family, None, cx);
            return cx.end(&tag, Fate::Withdrawn);
        }
        self.waiting += 1;
        cx.park(&tag);
        self.pending(family).parent = Some((value, tag));
        self.put_if_whole(family, out, cx);
    }

    fn take_child(&mut self, value: C, tag: &Tag, cx: &mut Cx<'_>) {
        let scopes = tag.trail.iter().flat_map(|trail| trail.scopes.iter().rev());
        let Some(scope) = scopes.into_iter().find(|scope| scope.family.belongs_to(&self.scope)).cloned()
        else {
            let reason = "this record is not a part of what is gathered here";
            return cx.fault(tag, FaultKind::Error, reason, Some(&value));
        };
        let (number, family) = (self.next, scope.family.number());
        self.next += 1;
        if self.by_origin.hold(tag, (family, Row::Part(number)), cx) == Standing::Withdrawn {
            return cx.end(tag, Fate::Withdrawn);
        }
        let part = Part {
            record: tag.id,
            family: Arc::clone(&scope.family),
            place: scope.place,
            value,
            trail: tag.trail.clone(),
        };
        self.pending(family).parts.insert(number, part);
        cx.arrive(tag, &scope);
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

    fn notice(&mut self, notices: &[Notice], out: &mut Outlet<U>, cx: &mut Cx<'_>) {
        for ((family, row), change) in self.by_origin.told(notices) {
            match (row, change) {
                (_, Change::Settled) => self.finish_if_final(family, cx),
                (Row::Parent, _) => self.forget(family, None, cx),
                (Row::Part(part), _) => {
                    let Some(pending) = self.families.get_mut(&family) else { continue };
                    if let Some(part) = pending.parts.remove(&part) {
                        pending.is_stale = true;
                        if let Some(trail) = &part.trail {
                            cx.forget_part(&part.family, trail);
                        }
                    }
                    self.put_if_whole(family, out, cx);
                }
                (Row::Lost, _) => {
                    let Some(pending) = self.families.get_mut(&family) else { continue };
                    pending.is_stale = true;
                    self.put_if_whole(family, out, cx);
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
