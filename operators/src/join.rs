//! `join`: pairs of two streams with equal keys that arrive within a time of each other.

use std::{hash::Hash, sync::Arc, time::Duration};

use eddyline_runtime::{
    Data,
    batch::Batch,
    clock::Moment,
    graph::Place,
    operator::{Cx, Holding, Operator},
    origin::{Notice, Standing},
    ports::{Outlet, Side, Two},
    record::{RecordId, Tag, Trail},
    view::Role,
};

use crate::{
    at_rest::is_withdrawn,
    rows,
    stream::{Stream, spec},
    waiting::{Hashed, Hashes, Row, Waiting},
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
        let kind = Kind { name: "join", pair: |t, u| (t, u), alone: None };
        self.join_arrivals(other, within, key, other_key, kind)
    }

    /// Like [`join`](Self::join), and a value that has found no partner when its time is over goes on with `None`: a handler
    /// behind it judges what was missed, like any other value.
    ///
    /// A partner that comes later is not paired with it. For values with times of their own, where what is missed does not depend
    /// on who is quicker, see [`left_interval_join`](Self::left_interval_join).
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("invoices");
    /// let invoices = flow.source("invoices", [17, 78]);
    /// let orders = flow.source("orders", [(17, 9.90), (18, 4.50)]);
    /// let priced = invoices
    ///     .left_join(orders, Duration::from_secs(5), |n| *n, |order| order.0)
    ///     .handle("known", |(_, order)| match order {
    ///         None => Verdict::reject("no such order"),
    ///         Some(_) => Verdict::Pass,
    ///     })
    ///     .map(|(number, _)| number)
    ///     .collect();
    /// let mut report = flow.run().await?;
    /// assert_eq!(report.take(priced), [17]);
    /// assert_eq!(report.faults()[0].value, Some(serde_json::json!([78, null])));
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn left_join<U: Data, K: Hash + Eq + Clone + Send + 'static>(
        self,
        other: Stream<U>,
        within: Duration,
        key: impl FnMut(&T) -> K + Send + 'static,
        other_key: impl FnMut(&U) -> K + Send + 'static,
    ) -> Stream<(T, Option<U>)> {
        let alone = Some((|t| (t, None)) as fn(T) -> (T, Option<U>));
        let kind = Kind { name: "left_join", pair: |t, u| (t, Some(u)), alone };
        self.join_arrivals(other, within, key, other_key, kind)
    }

    #[track_caller]
    fn join_arrivals<U: Data, K: Hash + Eq + Clone + Send + 'static, O: Data>(
        self,
        other: Stream<U>,
        within: Duration,
        key: impl FnMut(&T) -> K + Send + 'static,
        other_key: impl FnMut(&U) -> K + Send + 'static,
        kind: Kind<T, U, O>,
    ) -> Stream<O> {
        let place = Place::here();
        let same = self.same_workflow(&other, place);
        let graph = self.graph.clone();
        let mut spec = spec(kind.name, Role::Operator);
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
            let (left_rows, right_rows) = (Waiting::new(), Waiting::new());
            let join = Join {
                within,
                key,
                other_key,
                hashes: Hashes::default(),
                kind,
                left: left_rows,
                right: right_rows,
            };
            (join, Two::new(left.inlet(), right.inlet()), out.outlet())
        });
        Stream::new(graph, output)
    }
}

/// What comes of rows: a pair, and, in a left join, a left row without a partner.
pub(crate) struct Kind<T, U, O> {
    pub name: &'static str,
    pub pair: fn(T, U) -> O,
    pub alone: Option<fn(T) -> O>,
}

struct Join<K, T, U, O, F, G> {
    within: Duration,
    key: F,
    other_key: G,
    kind: Kind<T, U, O>,
    hashes: Hashes,
    left: Waiting<K, T>,
    right: Waiting<K, U>,
}

/// Whether a row has found a partner that stands.
#[derive(Default)]
pub(crate) enum Matched {
    #[default]
    Not,
    ForGood,
    /// With partners that may have been withdrawn since.
    With(Vec<Arc<Trail>>),
}

impl Matched {
    pub fn with(&mut self, partner: &Tag) {
        match &partner.trail {
            Some(trail) if !trail.marks.is_empty() => match self {
                Self::ForGood => {}
                Self::Not => *self = Self::With(vec![Arc::clone(trail)]),
                Self::With(partners) => partners.push(Arc::clone(trail)),
            },
            _ => *self = Self::ForGood,
        }
    }

    pub fn stands(&self) -> bool {
        match self {
            Self::Not => false,
            Self::ForGood => true,
            Self::With(partners) => partners.iter().any(|trail| trail.standing() != Standing::Withdrawn),
        }
    }
}

impl<K: Eq, T, U, O: Data, F, G> Join<K, T, U, O, F, G> {
    /// Lets go of the rows whose time has passed, or of all.
    fn forget(&mut self, now: Option<Moment>, out: &mut Outlet<O>, cx: &mut Cx<'_>) -> bool {
        let any = match self.kind.alone {
            None => self.left.forget(now, None, cx),
            Some(make) => {
                let mut alone = Batch::default();
                let any = self.left.forget(now, Some(&mut |value, tag| alone.push(make(value), tag)), cx);
                out.put(alone, cx);
                any
            }
        };
        self.right.forget(now, None, cx) || any
    }
}

impl<K, T, U, O, F, G> Operator for Join<K, T, U, O, F, G>
where
    K: Hash + Eq + Clone + Send + 'static,
    T: Data,
    U: Data,
    O: Data,
    F: FnMut(&T) -> K + Send + 'static,
    G: FnMut(&U) -> K + Send + 'static,
{
    type In = Two<T, U>;
    type Out = Outlet<O>;

    fn process(&mut self, batch: Side<T, U>, out: &mut Self::Out, cx: &mut Cx<'_>) {
        let until = cx.clock().now() + self.within;
        let mut pairs = Batch::default();
        let Self { key, other_key, hashes, left, right, kind, .. } = self;
        let make = kind.pair;
        match batch {
            Side::Left(batch) => {
                meet(batch, key, hashes, left, right, until, cx, |value, tag, row, cx| {
                    let made = cx.combine([tag, &mut row.tag]);
                    pairs.push(make(value.clone(), row.value.clone()), made);
                });
            }
            Side::Right(batch) => {
                meet(batch, other_key, hashes, right, left, until, cx, |value, tag, row, cx| {
                    let made = cx.combine([&mut row.tag, tag]);
                    pairs.push(make(row.value.clone(), value.clone()), made);
                });
            }
        }
        out.put(pairs, cx);
    }

    fn notice(&mut self, notices: &[Notice], _: &mut Self::Out, cx: &mut Cx<'_>) {
        self.left.notice(notices, cx);
        self.right.notice(notices, cx);
    }

    fn wake(&mut self, out: &mut Self::Out, cx: &mut Cx<'_>) -> bool {
        let now = cx.clock().now();
        self.forget(Some(now), out, cx)
    }

    fn flush(&mut self, out: &mut Self::Out, cx: &mut Cx<'_>) {
        self.forget(None, out, cx);
    }

    fn holding(&self) -> Holding {
        Holding { parked: self.left.len() + self.right.len(), ..Holding::default() }
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        self.left.visit(visit);
        self.right.visit(visit);
    }

    fn next_wake(&self) -> Option<Moment> {
        [self.left.next_wake(), self.right.next_wake()].into_iter().flatten().min()
    }
}

/// Rows of one side meet the rows of the other that wait, and begin to wait.
#[allow(clippy::too_many_arguments, reason = "one side's, the other's, and what is done with both")]
fn meet<K: Hash + Eq, A: Data, B>(
    batch: Batch<A>,
    key: &mut impl FnMut(&A) -> K,
    hashes: &Hashes,
    mine: &mut Waiting<K, A>,
    others: &mut Waiting<K, B>,
    until: Moment,
    cx: &mut Cx<'_>,
    mut pair: impl FnMut(&A, &mut Tag, &mut Row<B>, &mut Cx<'_>),
) {
    let (batch, keys) = rows::keys_of(batch, cx, key);
    let hashes: Vec<Hashed> = keys.iter().map(|key| hashes.of(key)).collect();
    let found = others.find(&keys, &hashes);
    let rows = keys.len();
    for (((value, mut tag), key), (hash, last)) in
        batch.into_rows().zip(keys).zip(hashes.into_iter().zip(found))
    {
        let mut matched = Matched::default();
        if let Some(last) = last {
            others.for_each_from(last, |row| {
                if !is_withdrawn(&row.tag) {
                    pair(&value, &mut tag, row, cx);
                    row.matched.with(&tag);
                    matched.with(&row.tag);
                }
            });
        }
        mine.park(key, hash, Row { value, tag, matched }, cx);
    }
    mine.link(rows, until);
}
