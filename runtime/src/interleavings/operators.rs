//! The least that an operator of each kind has to do. The real ones are in another crate.

use std::{collections::HashMap, ops::Range, sync::Arc};

use super::flow::Arrived;
use crate::{
    at_rest::ByOrigin,
    batch::Batch,
    fate::Fate,
    operator::{Cx, Holding, Operator},
    origin::{Notice, Standing},
    ports::{Inlet, Outlet, Side, Two},
    record::{FeedbackId, Tag},
    scope::{Membership, Scope},
};

pub(super) struct Source {
    first: u64,
    left: Range<u64>,
}

impl Source {
    pub fn new(values: Range<u64>) -> Self {
        Self { first: values.start, left: values }
    }
}

impl Operator for Source {
    type In = ();
    type Out = Outlet<u64>;

    fn process(&mut self, (): (), _: &mut Outlet<u64>, _: &mut Cx<'_>) {}

    fn wake(&mut self, out: &mut Outlet<u64>, cx: &mut Cx<'_>) -> bool {
        let at = self.left.start - self.first;
        let values: Vec<u64> = self.left.by_ref().take(cx.most()).collect();
        let (ids, _) = cx.enter(at, values.len());
        let any = !values.is_empty();
        out.put(Batch::of_source(values, ids), cx);
        any
    }

    fn is_open(&self) -> bool {
        !self.left.is_empty()
    }
}

/// What becomes of each row by itself.
pub(super) struct EachRow<F>(pub F);

impl<F: FnMut(u64, Tag, &mut Batch<u64>, &mut Cx<'_>) + Send + 'static> Operator for EachRow<F> {
    type In = Inlet<u64>;
    type Out = Outlet<u64>;

    fn process(&mut self, batch: Batch<u64>, out: &mut Outlet<u64>, cx: &mut Cx<'_>) {
        let mut on = Batch::default();
        for (value, tag) in batch.into_rows() {
            (self.0)(value, tag, &mut on, cx);
        }
        out.put(on, cx);
    }
}

pub(super) fn pass(value: u64, tag: Tag, on: &mut Batch<u64>, _: &mut Cx<'_>) {
    on.push(value, tag);
}

pub(super) fn split(value: u64, mut tag: Tag, on: &mut Batch<u64>, cx: &mut Cx<'_>) {
    let second = cx.fork(&mut tag);
    on.push(value * 10 + 1, tag);
    on.push(value * 10 + 2, second);
}

pub(super) fn without_odd(value: u64, tag: Tag, on: &mut Batch<u64>, cx: &mut Cx<'_>) {
    if value.is_multiple_of(2) {
        on.push(value, tag);
    } else {
        cx.end(&tag, Fate::Filtered);
    }
}

pub(super) struct Merge;

impl Operator for Merge {
    type In = Two<u64, u64>;
    type Out = Outlet<u64>;

    fn process(&mut self, batch: Side<u64, u64>, out: &mut Outlet<u64>, cx: &mut Cx<'_>) {
        let (Side::Left(batch) | Side::Right(batch)) = batch;
        out.put(batch, cx);
    }
}

pub(super) struct Feedback {
    pub point: FeedbackId,
    /// Whether what comes back is a new version.
    pub versions: bool,
}

impl Operator for Feedback {
    type In = Two<u64, u64>;
    type Out = Outlet<u64>;

    fn process(&mut self, batch: Side<u64, u64>, out: &mut Outlet<u64>, cx: &mut Cx<'_>) {
        let mut on = Batch::default();
        match batch {
            Side::Left(batch) | Side::Right(batch) if !self.versions => on = batch,
            Side::Left(new) => {
                for (value, mut tag) in new.into_rows() {
                    cx.enter_point(&mut tag, self.point);
                    on.push(value, tag);
                }
            }
            Side::Right(again) => {
                for (value, tag) in again.into_rows() {
                    if let Some(tag) = cx.reenter_point(tag, self.point) {
                        // The next version is made of what first came.
                        on.push(value / 10, tag);
                    }
                }
            }
        }
        out.put(on, cx);
    }
}

pub(super) struct Judge {
    pub point: FeedbackId,
    pub again: fn(u64, u32) -> bool,
}

impl Operator for Judge {
    type In = Inlet<u64>;
    type Out = (Outlet<u64>, Outlet<u64>);

    fn process(&mut self, batch: Batch<u64>, (out, retry): &mut Self::Out, cx: &mut Cx<'_>) {
        let (mut on, mut back) = (Batch::default(), Batch::default());
        for (value, mut tag) in batch.into_rows() {
            if (self.again)(value, tag.rounds_at(self.point)) {
                tag.trail_mut().spend_round(self.point);
                back.push(value, tag);
            } else {
                on.push(value, tag);
            }
        }
        out.put(on, cx);
        retry.put(back, cx);
    }
}

/// Rows wait for a partner, as in a join.
#[derive(Default)]
pub(super) struct Pair {
    waiting: Option<(u64, Tag)>,
}

impl Operator for Pair {
    type In = Inlet<u64>;
    type Out = Outlet<u64>;

    fn process(&mut self, batch: Batch<u64>, out: &mut Outlet<u64>, cx: &mut Cx<'_>) {
        for (value, mut tag) in batch.into_rows() {
            if cx.hold(&tag) == Standing::Withdrawn {
                cx.end(&tag, Fate::Withdrawn);
            } else if let Some((other, mut partner)) = self.waiting.take() {
                let made = cx.combine([&mut partner, &mut tag]);
                cx.end(&partner, Fate::Absorbed);
                cx.end(&tag, Fate::Absorbed);
                out.put_one(other + value, made, cx);
            } else {
                self.waiting = Some((value, tag));
            }
        }
    }

    fn notice(&mut self, _: &[Notice], _: &mut Outlet<u64>, cx: &mut Cx<'_>) {
        if let Some((_, tag)) = &self.waiting
            && cx.end_if_withdrawn(tag)
        {
            self.waiting = None;
        }
    }

    fn flush(&mut self, out: &mut Outlet<u64>, cx: &mut Cx<'_>) {
        if let Some((value, tag)) = self.waiting.take() {
            out.put_one(value, tag, cx);
        }
    }

    fn holding(&self) -> Holding {
        Holding { parked: usize::from(self.waiting.is_some()), ..Holding::default() }
    }
}

pub(super) struct Scatter(pub Arc<Scope>);

impl Operator for Scatter {
    type In = Inlet<u64>;
    type Out = (Outlet<u64>, Outlet<u64>);

    fn process(&mut self, batch: Batch<u64>, (parts, whole): &mut Self::Out, cx: &mut Cx<'_>) {
        for (value, mut tag) in batch.into_rows() {
            let family = cx.new_family(&self.0, &tag, 2);
            for place in 0..2 {
                let membership = Membership { family: Arc::clone(&family), place };
                let part = cx.fork_into(&mut tag, membership);
                parts.put_one(value * 10 + u64::from(place), part, cx);
            }
            // The gather finds the parent of a family by its number.
            whole.put_one(value + family.number() * 1000, tag, cx);
        }
    }
}

pub(super) struct Gather {
    scope: Arc<Scope>,
    parents: HashMap<u64, (u64, Tag)>,
    complete: Vec<u64>,
}

impl Gather {
    pub fn new(scope: Arc<Scope>) -> Self {
        Self { scope, parents: HashMap::new(), complete: Vec::new() }
    }

    fn put_whole(&mut self, out: &mut Outlet<u64>, cx: &mut Cx<'_>) -> bool {
        let complete = self.scope.take_complete();
        self.complete.extend(complete.iter().map(|family| family.number()));
        let parents = &mut self.parents;
        let whole: Vec<_> = self.complete.extract_if(.., |family| parents.contains_key(family)).collect();
        for (value, tag) in whole.iter().filter_map(|family| parents.remove(family)) {
            out.put_one(value, tag, cx);
        }
        !complete.is_empty()
    }
}

impl Operator for Gather {
    type In = Two<u64, u64>;
    type Out = Outlet<u64>;

    fn process(&mut self, batch: Side<u64, u64>, out: &mut Outlet<u64>, cx: &mut Cx<'_>) {
        match batch {
            Side::Left(parents) => {
                let rows = parents.into_rows().map(|(value, tag)| (value / 1000, (value % 1000, tag)));
                self.parents.extend(rows);
            }
            Side::Right(parts) => {
                for (_, tag) in parts.into_rows() {
                    let scope = tag.trail.as_ref().and_then(|trail| trail.scopes.last().cloned());
                    cx.arrive(&tag, &scope.expect("a part has a family"));
                }
            }
        }
        self.put_whole(out, cx);
    }

    fn wake(&mut self, out: &mut Outlet<u64>, cx: &mut Cx<'_>) -> bool {
        self.put_whole(out, cx)
    }

    fn is_open(&self) -> bool {
        !self.parents.is_empty()
    }

    fn holding(&self) -> Holding {
        Holding { waiting: self.parents.len(), ..Holding::default() }
    }
}

pub(super) struct Sink(pub Arrived);

impl Operator for Sink {
    type In = Inlet<u64>;
    type Out = ();

    fn process(&mut self, batch: Batch<u64>, (): &mut (), cx: &mut Cx<'_>) {
        for (value, tag) in batch.into_rows() {
            cx.end(&tag, Fate::Emitted);
            self.0.lock().push(value);
        }
    }
}

/// Ends rows as they come, and takes back what is withdrawn later.
pub(super) struct SinkThatTakesBack {
    kept: Arrived,
    open: Vec<(u64, Tag)>,
}

impl SinkThatTakesBack {
    pub fn new(kept: Arrived) -> Self {
        Self { kept, open: Vec::new() }
    }
}

impl Operator for SinkThatTakesBack {
    type In = Inlet<u64>;
    type Out = ();

    fn process(&mut self, batch: Batch<u64>, (): &mut (), cx: &mut Cx<'_>) {
        for (value, tag) in batch.into_rows() {
            let standing = cx.hold(&tag);
            if standing == Standing::Withdrawn {
                cx.end(&tag, Fate::Withdrawn);
                continue;
            }
            cx.end(&tag, Fate::Emitted);
            self.kept.lock().push(value);
            if standing == Standing::Provisional {
                self.open.push((value, tag));
            }
        }
    }

    fn notice(&mut self, _: &[Notice], (): &mut (), _: &mut Cx<'_>) {
        for (value, tag) in std::mem::take(&mut self.open) {
            match tag.trail.as_deref().map_or(Standing::Final, |trail| trail.standing()) {
                Standing::Provisional => self.open.push((value, tag)),
                Standing::Final => {}
                Standing::Withdrawn => {
                    let mut kept = self.kept.lock();
                    let at = kept.iter().position(|&v| v == value).expect("what is withdrawn was there");
                    kept.swap_remove(at);
                }
            }
        }
    }

    fn is_open(&self) -> bool {
        !self.open.is_empty()
    }
}

/// Ends rows when they are final, and looks only at those that a notice is about.
pub(super) struct SinkThatWaits {
    arrived: Arrived,
    open: HashMap<u64, (u64, Tag)>,
    by_origin: ByOrigin<u64>,
    next: u64,
}

impl SinkThatWaits {
    pub fn new(arrived: Arrived) -> Self {
        Self { arrived, open: HashMap::new(), by_origin: ByOrigin::default(), next: 0 }
    }

    fn finish(&self, value: u64, tag: &Tag, cx: &mut Cx<'_>) {
        cx.end(tag, Fate::Emitted);
        self.arrived.lock().push(value);
    }
}

impl Operator for SinkThatWaits {
    type In = Inlet<u64>;
    type Out = ();

    fn process(&mut self, batch: Batch<u64>, (): &mut (), cx: &mut Cx<'_>) {
        for (value, tag) in batch.into_rows() {
            self.next += 1;
            match self.by_origin.hold(&tag, self.next, cx) {
                Standing::Withdrawn => cx.end(&tag, Fate::Withdrawn),
                Standing::Final => self.finish(value, &tag, cx),
                Standing::Provisional => {
                    self.open.insert(self.next, (value, tag));
                }
            }
        }
    }

    fn notice(&mut self, notices: &[Notice], (): &mut (), cx: &mut Cx<'_>) {
        for (row, _) in self.by_origin.told(notices) {
            let Some((value, tag)) = self.open.remove(&row) else { continue };
            match tag.trail.as_deref().map_or(Standing::Final, |trail| trail.standing()) {
                Standing::Withdrawn => cx.end(&tag, Fate::Withdrawn),
                Standing::Final => self.finish(value, &tag, cx),
                Standing::Provisional => {
                    self.open.insert(row, (value, tag));
                }
            }
        }
    }

    fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    fn holding(&self) -> Holding {
        Holding { waiting: self.open.len(), ..Holding::default() }
    }
}
