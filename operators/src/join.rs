//! `join`: pairs of two streams with equal keys that arrive within a time of each other.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    time::Duration,
};

use eddyline_runtime::{
    Data,
    batch::Batch,
    clock::Moment,
    fate::Fate,
    graph::Place,
    guard,
    operator::{Cx, Holding, Operator},
    ports::{Outlet, Side, Two},
    record::{RecordId, Tag, Trail},
    view::Role,
};

use crate::{
    rows,
    stream::{Stream, spec},
};

impl<T: Data> Stream<T> {
    /// Pairs each value with every value of `other` that has the same key and arrives at most `within` before or after it.
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
        Stream { graph, port: output }
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
    matched: bool,
}

/// One side's rows, by key and in order of arrival.
struct Parked<K, T> {
    rows: HashMap<K, Vec<Row<T>>>,
    arrivals: VecDeque<(Moment, K, u64)>,
    next: u64,
}

impl<K: Hash + Eq + Clone, T> Parked<K, T> {
    fn new() -> Self {
        Self { rows: HashMap::new(), arrivals: VecDeque::new(), next: 0 }
    }

    fn park(&mut self, key: K, value: T, tag: Tag, matched: bool, until: Moment) {
        let number = self.next;
        self.next += 1;
        self.arrivals.push_back((until, key.clone(), number));
        self.rows.entry(key).or_default().push(Row { number, value, tag, matched });
    }

    fn partners(&mut self, key: &K) -> &mut [Row<T>] {
        self.rows.get_mut(key).map_or(&mut [], Vec::as_mut_slice)
    }

    fn forget(&mut self, now: Option<Moment>, cx: &mut Cx<'_>) -> bool {
        let mut any = false;
        while let Some((_, key, number)) =
            self.arrivals.pop_front_if(|(until, ..)| now.is_none_or(|now| *until <= now))
        {
            if let Some(rows) = self.rows.get_mut(&key) {
                if let Some(at) = rows.iter().position(|row| row.number == number) {
                    let row = rows.swap_remove(at);
                    cx.end(&row.tag, if row.matched { Fate::Absorbed } else { Fate::Filtered });
                    any = true;
                }
                if rows.is_empty() {
                    self.rows.remove(&key);
                }
            }
        }
        any
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
                    let made = cx.combine([tag, &mut row.tag]);
                    pairs.push((row.value.clone(), value.clone()), made);
                });
            }
        }
        out.put(pairs, cx);
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
        Holding { parked: self.left.arrivals.len() + self.right.arrivals.len(), ..Holding::default() }
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
        let key = match guard::call(|| key(&value)) {
            Ok(key) => key,
            Err(panicked) => {
                rows::fault_of_panic(cx, &tag, &panicked, Some(&value));
                continue;
            }
        };
        let mut matched = false;
        for row in others.partners(&key) {
            pair(&value, &mut tag, row, cx);
            row.matched = true;
            matched = true;
        }
        mine.park(key, value, tag, matched, until);
    }
}
