//! `join`: pairs of two streams with equal keys that arrive within a time of each other.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::Arc,
    time::Duration,
};

use eddyline_runtime::{
    Data,
    batch::Batch,
    clock::Moment,
    fate::Fate,
    graph::Place,
    operator::{Cx, Holding, Operator},
    origin::{Change, Notice, Standing},
    ports::{Outlet, Side, Two},
    record::{RecordId, Tag, Trail},
    view::Role,
};

use crate::{
    at_rest::{ByOrigin, is_withdrawn},
    rows,
    stream::{Stream, spec},
};

impl<T: Data> Stream<T> {
    /// Pairs each value with every value of `other` that has the same key and arrives at most `within` before or after it. For
    /// values with times of their own see [`interval_join`](Self::interval_join).
    ///
    /// A value waits for partners for that time. After it, one that found a partner ends as *absorbed*, one that found none as
    /// *filtered*. Times are times of arrival at the join.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("prices");
    /// let names = flow.source("names", [(1, "tea"), (2, "milk")].map(|(id, n)| (id, n.to_owned())));
    /// let prices = flow.source("prices", [(2, 1.20), (1, 3.50), (3, 9.99)]);
    /// let priced = names.join(prices, Duration::from_secs(5), |n| n.0, |p| p.0).map(|(n, p)| (n.1, p.1)).collect();
    /// let mut priced = flow.run().await?.take(priced);
    /// priced.sort_by(|a, b| a.0.cmp(&b.0));
    /// assert_eq!(priced, [("milk".to_owned(), 1.20), ("tea".to_owned(), 3.50)]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn join<U: Data, K: Hash + Eq + Clone + Send + 'static>(
        self,
        other: Stream<U>,
        within: Duration,
        key: impl FnMut(&T) -> K + Send + 'static,
        other_key: impl FnMut(&U) -> K + Send + 'static,
    ) -> Stream<(T, U)> {
        let place = Place::here();
        let same = self.same_workflow(&other, place);
        let graph = self.graph.clone();
        let mut spec = spec("join", Role::Operator);
        spec.notes.push(format!("within {within:?}"));
        let node = graph.add(spec);
        let left = self.lead_to(node);
        let right = graph.input(node);
        if same {
            graph.connect(&other.port, &right, false);
        }
        let output = graph.output(node, "", false);
        let out = output.clone();
        graph.build_with(node, move |_| {
            let join = Join { within, key, other_key, left: Parked::new(), right: Parked::new() };
            (join, Two::new(left.inlet(), right.inlet()), out.outlet())
        });
        Stream::new(graph, output)
    }
}

struct Join<K, T, U, F, G> {
    within: Duration,
    key: F,
    other_key: G,
    left: Parked<K, T>,
    right: Parked<K, U>,
}

/// A row that waits for partners.
struct Row<T> {
    number: u64,
    value: T,
    tag: Tag,
    matched: Matched,
}

/// Whether a row has found a partner that stands.
#[derive(Default)]
pub(crate) struct Matched {
    for_good: bool,
    /// Partners that may have been withdrawn since.
    partners: Vec<Arc<Trail>>,
}

impl Matched {
    pub fn with(&mut self, partner: &Tag) {
        match &partner.trail {
            Some(trail) if !trail.marks.is_empty() => self.partners.push(Arc::clone(trail)),
            _ => self.for_good = true,
        }
    }

    pub fn stands(&self) -> bool {
        self.for_good || self.partners.iter().any(|trail| trail.standing() != Standing::Withdrawn)
    }
}

/// One side's rows, by key and in order of arrival.
struct Parked<K, T> {
    rows: HashMap<K, Vec<Row<T>>>,
    arrivals: VecDeque<(Moment, K, u64)>,
    by_origin: ByOrigin<(K, u64)>,
    next: u64,
    /// Rows that wait; arrivals of rows that were withdrawn stay listed until their time.
    len: usize,
}

impl<K: Hash + Eq + Clone, T> Parked<K, T> {
    fn new() -> Self {
        Self {
            rows: HashMap::new(),
            arrivals: VecDeque::new(),
            by_origin: ByOrigin::default(),
            next: 0,
            len: 0,
        }
    }

    fn park(&mut self, key: K, value: T, tag: Tag, matched: Matched, until: Moment, cx: &mut Cx<'_>) {
        let number = self.next;
        if self.by_origin.hold(&tag, (key.clone(), number), cx) == Standing::Withdrawn {
            return cx.end(&tag, Fate::Withdrawn);
        }
        self.next += 1;
        self.len += 1;
        cx.park(&tag);
        self.arrivals.push_back((until, key.clone(), number));
        self.rows.entry(key).or_default().push(Row { number, value, tag, matched });
    }

    fn partners(&mut self, key: &K) -> &mut [Row<T>] {
        self.rows.get_mut(key).map_or(&mut [], Vec::as_mut_slice)
    }

    fn take(&mut self, key: &K, number: u64, cx: &mut Cx<'_>) -> Option<Row<T>> {
        let rows = self.rows.get_mut(key)?;
        let at = rows.iter().position(|row| row.number == number)?;
        let row = rows.swap_remove(at);
        if rows.is_empty() {
            self.rows.remove(key);
        }
        self.len -= 1;
        cx.unpark(&row.tag);
        Some(row)
    }

    fn forget(&mut self, now: Option<Moment>, cx: &mut Cx<'_>) -> bool {
        let mut any = false;
        while let Some((_, key, number)) =
            self.arrivals.pop_front_if(|(until, ..)| now.is_none_or(|now| *until <= now))
        {
            if let Some(row) = self.take(&key, number, cx) {
                cx.end(&row.tag, if row.matched.stands() { Fate::Absorbed } else { Fate::Filtered });
                any = true;
            }
        }
        any
    }

    fn notice(&mut self, notices: &[Notice], cx: &mut Cx<'_>) {
        for ((key, number), change) in self.by_origin.told(notices) {
            if change != Change::Settled
                && let Some(row) = self.take(&key, number, cx)
            {
                cx.end(&row.tag, Fate::Withdrawn);
            }
        }
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        for row in self.rows.values().flatten() {
            visit(row.tag.id, row.tag.trail.as_deref());
        }
    }
}

impl<K, T, U, F, G> Operator for Join<K, T, U, F, G>
where
    K: Hash + Eq + Clone + Send + 'static,
    T: Data,
    U: Data,
    F: FnMut(&T) -> K + Send + 'static,
    G: FnMut(&U) -> K + Send + 'static,
{
    type In = Two<T, U>;
    type Out = Outlet<(T, U)>;

    fn process(&mut self, batch: Side<T, U>, out: &mut Self::Out, cx: &mut Cx<'_>) {
        let now = cx.clock().now();
        let until = now + self.within;
        let mut pairs = Batch::default();
        match batch {
            Side::Left(batch) => {
                let right = &mut self.right;
                meet(batch, &mut self.key, &mut self.left, right, until, cx, |value, tag, row, cx| {
                    let made = cx.combine([tag, &mut row.tag]);
                    pairs.push((value.clone(), row.value.clone()), made);
                });
            }
            Side::Right(batch) => {
                let left = &mut self.left;
                meet(batch, &mut self.other_key, &mut self.right, left, until, cx, |value, tag, row, cx| {
                    let made = cx.combine([&mut row.tag, tag]);
                    pairs.push((row.value.clone(), value.clone()), made);
                });
            }
        }
        out.put(pairs, cx);
    }

    fn notice(&mut self, notices: &[Notice], _: &mut Self::Out, cx: &mut Cx<'_>) {
        self.left.notice(notices, cx);
        self.right.notice(notices, cx);
    }

    fn wake(&mut self, _: &mut Self::Out, cx: &mut Cx<'_>) -> bool {
        let now = Some(cx.clock().now());
        let left = self.left.forget(now, cx);
        self.right.forget(now, cx) || left
    }

    fn flush(&mut self, _: &mut Self::Out, cx: &mut Cx<'_>) {
        self.left.forget(None, cx);
        self.right.forget(None, cx);
    }

    fn holding(&self) -> Holding {
        Holding { parked: self.left.len + self.right.len, ..Holding::default() }
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        self.left.visit(visit);
        self.right.visit(visit);
    }

    fn next_wake(&self) -> Option<Moment> {
        let first = |arrivals: Option<Moment>, other: Option<Moment>| match (arrivals, other) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        first(self.left.arrivals.front().map(|a| a.0), self.right.arrivals.front().map(|a| a.0))
    }
}

/// Rows of one side meet the parked rows of the other, and park.
fn meet<K: Hash + Eq + Clone, A: Data, B>(
    batch: Batch<A>,
    key: &mut impl FnMut(&A) -> K,
    mine: &mut Parked<K, A>,
    others: &mut Parked<K, B>,
    until: Moment,
    cx: &mut Cx<'_>,
    mut pair: impl FnMut(&A, &mut Tag, &mut Row<B>, &mut Cx<'_>),
) {
    for (value, mut tag) in batch.into_rows() {
        let Some(key) = rows::key_of(&value, &tag, key, cx) else { continue };
        let mut matched = Matched::default();
        for row in others.partners(&key) {
            if is_withdrawn(&row.tag) {
                continue;
            }
            pair(&value, &mut tag, row, cx);
            row.matched.with(&tag);
            matched.with(&row.tag);
        }
        mine.park(key, value, tag, matched, until, cx);
    }
}
