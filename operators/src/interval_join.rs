//! `interval_join`: pairs of two streams with equal keys whose times are close to each other.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    time::Duration,
};

use eddyline_runtime::{
    Data,
    batch::Batch,
    fate::Fate,
    fault::FaultKind,
    graph::Place,
    operator::{Cx, Holding, Operator},
    origin::{Change, Notice, Standing},
    ports::{Outlet, Side, Two},
    record::{RecordId, Tag, Trail},
    times::{Demands, millis},
    view::Role,
};

use crate::{
    at_rest::{ByOrigin, is_withdrawn},
    join::{Kind, Matched},
    rows,
    stream::{Stream, spec},
};

/// What to do where a side has no times.
const WITHOUT_TIMES: &str =
    "put `.timestamps(time, lateness)` behind that source, or use `join`, which goes by times of arrival";

impl<T: Data> Stream<T> {
    /// Pairs each value with every value of `other` that has the same key and a time at most `within` (whole milliseconds)
    /// before or after its own. Both need [`timestamps`](Self::timestamps), without which this is an error of the workflow.
    ///
    /// The pairs are the same whoever is quicker, also where records are sent back and revised. A value waits until no partner
    /// can come any more, which the other side's sources and whatever is on its way decide; then one that has found a
    /// partner ends as *absorbed*, one that has not as *filtered*. What waits grows with `within`, with the lateness, and with
    /// how far one source's times run ahead of the other's; in a loop where both sides come round again everything waits until the
    /// loop's inputs end. A pair has the later of both times.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("who was it");
    /// let second = Duration::from_secs(1);
    /// // Milliseconds and a door.
    /// let badges = flow.source("badges", [(1_000, 'A'), (5_000, 'A'), (5_200, 'B')]).timestamps(|b| b.0, second);
    /// let alarms = flow.source("alarms", [(5_400, 'A'), (9_900, 'B')]).timestamps(|a| a.0, second);
    /// let pairs = alarms.interval_join(badges, second, |a| a.1, |b| b.1).collect();
    /// assert_eq!(flow.run().await?.take(pairs), [((5_400, 'A'), (5_000, 'A'))]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn interval_join<U: Data, K: Hash + Eq + Clone + Send + 'static>(
        self,
        other: Stream<U>,
        within: Duration,
        key: impl FnMut(&T) -> K + Send + 'static,
        other_key: impl FnMut(&U) -> K + Send + 'static,
    ) -> Stream<(T, U)> {
        let kind = Kind { name: "interval_join", pair: |t, u| (t, u), alone: None };
        self.join_times(other, within, key, other_key, kind)
    }

    /// Like [`interval_join`](Self::interval_join), and a value that finds no partner goes on with `None`, as soon as none can
    /// come any more.
    ///
    /// Where what goes on can come round to `other` again, it might become a partner: that is an error of the workflow.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("orders");
    /// let hour = Duration::from_secs(3_600);
    /// // Milliseconds and an order's number.
    /// let orders = flow.source("orders", [(1_000, 17), (2_000, 18)]).timestamps(|o| o.0, Duration::ZERO);
    /// let payments = flow.source("payments", [(90_000, 18)]).timestamps(|p| p.0, Duration::ZERO);
    /// let unpaid = orders
    ///     .left_interval_join(payments, hour, |o| o.1, |p| p.1)
    ///     .filter(|(_, payment)| payment.is_none())
    ///     .map(|(order, _)| order.1)
    ///     .collect();
    /// assert_eq!(flow.run().await?.take(unpaid), [17]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn left_interval_join<U: Data, K: Hash + Eq + Clone + Send + 'static>(
        self,
        other: Stream<U>,
        within: Duration,
        key: impl FnMut(&T) -> K + Send + 'static,
        other_key: impl FnMut(&U) -> K + Send + 'static,
    ) -> Stream<(T, Option<U>)> {
        let alone = Some((|t| (t, None)) as fn(T) -> (T, Option<U>));
        let kind = Kind { name: "left_interval_join", pair: |t, u| (t, Some(u)), alone };
        self.join_times(other, within, key, other_key, kind)
    }

    #[track_caller]
    fn join_times<U: Data, K: Hash + Eq + Clone + Send + 'static, O: Data>(
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
        spec.notes.push(format!("times within {within:?}"));
        let node = graph.add(spec);
        let left = self.lead_to(node);
        let right = graph.input(node);
        if same {
            graph.connect(&other.port, &right, false);
        }
        let demands = Demands { without_times: Some(WITHOUT_TIMES), without_loop: None };
        let partner = "put it behind the loop: what found no partner might become one";
        let without_loop = kind.alone.is_some().then_some(partner);
        let asks = [
            graph.ask_for_time(&left, demands),
            graph.ask_for_time(&right, Demands { without_loop, ..demands }),
        ];
        let output = graph.output(node, "", false);
        let out = output.clone();
        graph.build_with(node, move |_| {
            let within = millis(within);
            let (left_rows, right_rows) = (Waiting::default(), Waiting::default());
            let join =
                IntervalJoin { within, key, other_key, kind, asks, left: left_rows, right: right_rows };
            (join, Two::new(left.inlet(), right.inlet()), out.outlet())
        });
        Stream::new(graph, output)
    }
}

struct IntervalJoin<K, T, U, O, F, G> {
    within: i64,
    key: F,
    other_key: G,
    kind: Kind<T, U, O>,
    /// Of the left and the right input.
    asks: [u32; 2],
    left: Waiting<K, T>,
    right: Waiting<K, U>,
}

/// A time, and a number that no other row of the side has.
type At = (i64, u64);

/// A row that waits for partners.
struct Row<T> {
    value: T,
    tag: Tag,
    matched: Matched,
}

/// One side's rows, by key and time.
struct Waiting<K, T> {
    rows: HashMap<K, BTreeMap<At, Row<T>>>,
    by_time: BTreeMap<At, K>,
    by_origin: ByOrigin<(K, At)>,
    next: u64,
}

impl<K, T> Default for Waiting<K, T> {
    fn default() -> Self {
        Self { rows: HashMap::new(), by_time: BTreeMap::new(), by_origin: ByOrigin::default(), next: 0 }
    }
}

impl<K: Hash + Eq + Clone, T: Data> Waiting<K, T> {
    fn park(&mut self, key: K, time: i64, row: Row<T>, asks: &[u32], cx: &mut Cx<'_>) {
        if cx.hold(&row.tag) == Standing::Withdrawn {
            return cx.end(&row.tag, Fate::Withdrawn);
        }
        let place = (time, self.next);
        self.next += 1;
        cx.park_at(asks, &row.tag);
        self.by_origin.add(&row.tag, (key.clone(), place));
        self.by_time.insert(place, key.clone());
        self.rows.entry(key).or_default().insert(place, row);
    }

    /// Those with this key whose time is close enough.
    fn partners(&mut self, key: &K, time: i64, within: i64) -> impl Iterator<Item = &mut Row<T>> {
        let close = (time.saturating_sub(within), 0)..=(time.saturating_add(within), u64::MAX);
        self.rows
            .get_mut(key)
            .into_iter()
            .flat_map(move |rows| rows.range_mut(close.clone()).map(|(_, row)| row))
    }

    fn take(&mut self, key: &K, place: At, asks: &[u32], cx: &mut Cx<'_>) -> Option<Row<T>> {
        let rows = self.rows.get_mut(key)?;
        let row = rows.remove(&place)?;
        if rows.is_empty() {
            self.rows.remove(key);
        }
        self.by_time.remove(&place);
        cx.unpark_at(asks, &row.tag);
        Some(row)
    }

    /// Takes out the first row if its partners' times are below `bound`: none can come any more.
    fn take_forgotten(&mut self, bound: i64, within: i64, asks: &[u32], cx: &mut Cx<'_>) -> Option<Row<T>> {
        let (&place, key) = self.by_time.first_key_value()?;
        let key = key.clone();
        (bound == i64::MAX || place.0.saturating_add(within) < bound).then_some(())?;
        self.take(&key, place, asks, cx)
    }

    fn notice(&mut self, notices: &[Notice], asks: &[u32], cx: &mut Cx<'_>) {
        for ((key, place), change) in self.by_origin.told(notices) {
            if change != Change::Settled
                && let Some(row) = self.take(&key, place, asks, cx)
            {
                cx.end(&row.tag, Fate::Withdrawn);
            }
        }
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        for row in self.rows.values().flat_map(BTreeMap::values) {
            visit(row.tag.id, row.tag.trail.as_deref());
        }
    }
}

impl<K, T, U, O, F, G> IntervalJoin<K, T, U, O, F, G>
where
    K: Hash + Eq + Clone,
    T: Data,
    U: Data,
    O: Data,
{
    fn forget_by_time(&mut self, out: &mut Outlet<O>, cx: &mut Cx<'_>) -> bool {
        let times = self.asks.map(|ask| cx.time_at(ask));
        let [left, right] = times;
        self.forget(if cx.looks_across() { times } else { [right, left] }, out, cx)
    }

    /// Forgets rows for which no partner can come any more: those below these times of the left and of the right input.
    fn forget(&mut self, [left, right]: [i64; 2], out: &mut Outlet<O>, cx: &mut Cx<'_>) -> bool {
        let mut alone = Batch::default();
        let mut any = false;
        while let Some(row) = self.left.take_forgotten(right, self.within, &self.asks, cx) {
            any = true;
            match self.kind.alone {
                _ if is_withdrawn(&row.tag) => cx.end(&row.tag, Fate::Withdrawn),
                _ if row.matched.stands() => cx.end(&row.tag, Fate::Absorbed),
                Some(make) => alone.push(make(row.value), row.tag),
                None => cx.end(&row.tag, Fate::Filtered),
            }
        }
        while let Some(row) = self.right.take_forgotten(left, self.within, &self.asks, cx) {
            any = true;
            cx.end(&row.tag, if row.matched.stands() { Fate::Absorbed } else { Fate::Filtered });
        }
        out.put(alone, cx);
        any
    }
}

impl<K, T, U, O, F, G> Operator for IntervalJoin<K, T, U, O, F, G>
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
        let mut pairs = Batch::default();
        let (within, make) = (self.within, self.kind.pair);
        match batch {
            Side::Left(batch) => {
                let (mine, others) = (&mut self.left, &mut self.right);
                meet(batch, &mut self.key, mine, others, within, &self.asks, cx, |value, tag, row, cx| {
                    let made = cx.combine([tag, &mut row.tag]);
                    pairs.push(make(value.clone(), row.value.clone()), made);
                });
            }
            Side::Right(batch) => {
                let (mine, others) = (&mut self.right, &mut self.left);
                meet(
                    batch,
                    &mut self.other_key,
                    mine,
                    others,
                    within,
                    &self.asks,
                    cx,
                    |value, tag, row, cx| {
                        let made = cx.combine([&mut row.tag, tag]);
                        pairs.push(make(row.value.clone(), value.clone()), made);
                    },
                );
            }
        }
        out.put(pairs, cx);
        // In the same step: where nothing else moves, a loop has whatever is parked after a step let go of.
        self.forget_by_time(out, cx);
    }

    fn notice(&mut self, notices: &[Notice], _: &mut Self::Out, cx: &mut Cx<'_>) {
        self.left.notice(notices, &self.asks, cx);
        self.right.notice(notices, &self.asks, cx);
    }

    fn wake(&mut self, out: &mut Self::Out, cx: &mut Cx<'_>) -> bool {
        self.forget_by_time(out, cx)
    }

    fn flush(&mut self, out: &mut Self::Out, cx: &mut Cx<'_>) {
        self.forget([i64::MAX; 2], out, cx);
    }

    fn holding(&self) -> Holding {
        Holding { parked: self.left.by_time.len() + self.right.by_time.len(), ..Holding::default() }
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        self.left.visit(visit);
        self.right.visit(visit);
    }
}

/// Rows of one side meet the waiting rows of the other, and wait.
#[allow(clippy::too_many_arguments, reason = "the two sides of a join differ in all of them")]
fn meet<K: Hash + Eq + Clone, A: Data, B: Data>(
    batch: Batch<A>,
    key: &mut impl FnMut(&A) -> K,
    mine: &mut Waiting<K, A>,
    others: &mut Waiting<K, B>,
    within: i64,
    asks: &[u32],
    cx: &mut Cx<'_>,
    mut pair: impl FnMut(&A, &mut Tag, &mut Row<B>, &mut Cx<'_>),
) {
    for (value, mut tag) in batch.into_rows() {
        let Some(key) = rows::key_of(&value, &tag, key, cx) else { continue };
        let Some(time) = tag.trail.as_ref().and_then(|trail| trail.time) else {
            cx.fault(&tag, FaultKind::Error, "this record has no time", Some(&value));
            continue;
        };
        let mut matched = Matched::default();
        for row in others.partners(&key, time, within) {
            if is_withdrawn(&row.tag) {
                continue;
            }
            pair(&value, &mut tag, row, cx);
            row.matched.with(&tag);
            matched.with(&row.tag);
        }
        mine.park(key, time, Row { value, tag, matched }, asks, cx);
    }
}
