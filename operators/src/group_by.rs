//! `group_by`: rows with equal keys and close times become one value.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use eddyline_runtime::{
    Data,
    batch::Batch,
    clock::Moment,
    fate::Fate,
    fault::FaultKind,
    guard,
    operator::{Cx, Holding, Operator},
    origin::{Notice, Standing},
    ports::{Inlet, Outlet},
    record::{RecordId, Tag, Trail},
    times::{Demands, millis},
    view::Role,
};
use serde::{Deserialize, Serialize};

use crate::{
    at_rest::{ByOrigin, UntilFinal, is_withdrawn},
    ordered::{Place, place_of},
    rows,
    stream::{Stream, spec},
    window::{Span, Window},
};

/// What [`group_by`](Stream::group_by) makes of the rows of one key in one window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group<K, A> {
    /// The rows' key.
    pub key: K,
    /// The window's beginning in milliseconds; of a session or a count, the time of its first row.
    pub from: i64,
    /// The window's end in milliseconds, which is not in it; of a session or a count, the millisecond behind its last row.
    pub to: i64,
    /// How many rows.
    pub rows: usize,
    /// What they came to.
    pub value: A,
}

impl<T: Data> Stream<T> {
    /// Puts the rows of each key and window together: begins with `initial` and adds row after row. A window without rows gives
    /// nothing. With a key such as `|_| 0` all rows are together.
    ///
    /// Times are those of [`timestamps`](Self::timestamps): then the groups are the same whoever is quicker. Rows are added in the
    /// order of their times, equal ones in that of their source. A window closes when nothing can come any more that belongs
    /// to it, and is never opened again: all that might still be sent back and revised is waited for. Groups come window by
    /// window, in the order of their ends. Inside a loop this is an error of the workflow.
    ///
    /// Without timestamps the times are those of arrival here, in milliseconds since the run began, so the groups depend on
    /// who is quicker; each row is in one window (or in `size / every`) all the same. A row that might still be revised has
    /// arrived when it is final; in a loop, when nothing outside can revise it.
    ///
    /// Rows are kept until their last window closes. A panic in `add` is a fault of its row, which is then in no later window.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("traffic");
    /// // Milliseconds, a road, vehicles; half a second out of order at most.
    /// let counts = [(100, "A1", 3), (700, "B2", 1), (400, "A1", 2), (1_300, "A1", 5)].map(|(t, r, n)| (t, r.to_owned(), n));
    /// let per_second = flow
    ///     .source("counts", counts)
    ///     .timestamps(|c| c.0, Duration::from_millis(500))
    ///     .group_by(|c| c.1.clone(), Window::tumbling(Duration::from_secs(1)), 0, |sum, c| *sum += c.2)
    ///     .map(|g| (g.key, g.from, g.value))
    ///     .collect();
    /// let per_second = flow.run().await?.take(per_second);
    /// assert_eq!(per_second, [("A1".to_owned(), 0, 5), ("B2".to_owned(), 0, 1), ("A1".to_owned(), 1_000, 5)]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn group_by<K: Data + Ord, A: Data>(
        self,
        key: impl FnMut(&T) -> K + Send + 'static,
        window: Window,
        initial: A,
        add: impl FnMut(&mut A, &T) + Send + 'static,
    ) -> Stream<Group<K, A>> {
        let mut spec = spec("group_by", Role::Operator);
        spec.notes.push(window.note());
        if let Some((what, advice)) = window.problem() {
            self.graph.error(Some(self.port.node()), Some(spec.place), what, advice);
        }
        let graph = self.graph.clone();
        let node = graph.add(spec);
        let input = self.lead_to(node);
        let behind = "what comes round again may belong to a window that has closed: put it behind the loop";
        let ask = graph.ask_for_time(&input, Demands { without_times: None, without_loop: Some(behind) });
        let output = graph.output(node, "", false);
        let out = output.clone();
        graph.build_with(node, move |start| {
            let op = GroupBy {
                key,
                span: window.0,
                initial,
                add,
                ask,
                by_arrival: !start.is_timed(ask),
                until_final: UntilFinal::default(),
                rows: BTreeMap::new(),
                len: 0,
                next: 0,
                by_origin: ByOrigin::default(),
                closings: BTreeSet::new(),
                seen: i64::MIN,
                passed: i64::MIN,
            };
            (op, input.inlet(), out.outlet())
        });
        Stream::new(graph, output)
    }
}

/// A row's time, and its place among those of the same time: by its source, there, and by arrival.
type At = (i64, (u32, Place));

/// Before all rows of this time.
fn at(time: i64) -> At {
    (time, (0, (0, Vec::new(), 0)))
}

/// Behind all rows of this time.
fn behind(time: i64) -> At {
    (time, (u32::MAX, (u64::MAX, Vec::new(), u64::MAX)))
}

struct GroupBy<K, T, A, F, G> {
    key: F,
    span: Span,
    initial: A,
    add: G,
    ask: u32,
    /// Whether rows have no times of their own.
    by_arrival: bool,
    /// What has arrived when it is final.
    until_final: UntilFinal<T>,
    rows: BTreeMap<K, BTreeMap<At, (T, Tag)>>,
    len: usize,
    next: u64,
    by_origin: ByOrigin<(K, At)>,
    /// What to look at when nothing earlier than the first time can come: see [`Span::closings`].
    closings: BTreeSet<(i64, i64, K)>,
    /// Nothing earlier could come when it was last asked. What it goes by in the next step, when whatever was withdrawn before has
    /// been told.
    seen: i64,
    /// By what windows have closed so far. Only what a person was asked about, for which nothing waits, comes from before.
    passed: i64,
}

impl<K: Data + Ord, T: Data, A: Data, F, G> GroupBy<K, T, A, F, G>
where
    F: FnMut(&T) -> K + Send + 'static,
    G: FnMut(&mut A, &T) + Send + 'static,
{
    fn take_in(&mut self, batch: Batch<T>, cx: &mut Cx<'_>) {
        let now = millis(cx.clock().now());
        for (value, tag, key) in rows::look_at_rows(batch, cx, |value, _| (self.key)(value)) {
            if cx.hold(&tag) == Standing::Withdrawn {
                cx.end(&tag, Fate::Withdrawn);
                continue;
            }
            let time = tag.trail.as_ref().and_then(|trail| trail.time).filter(|_| !self.by_arrival);
            let time = time.unwrap_or(now);
            let mut closings = self.span.closings(time);
            closings.retain(|(closes, _)| *closes > self.passed);
            if closings.is_empty() {
                let reason = "the windows that it belongs to have closed";
                cx.fault(&tag, FaultKind::Late, reason, Some(&value));
                continue;
            }
            let place =
                if self.by_arrival { (0, (0, Vec::new(), self.next)) } else { place_of(&tag, self.next) };
            self.next += 1;
            self.len += 1;
            cx.park_at(&[self.ask], &tag);
            self.by_origin.add(&tag, (key.clone(), (time, place.clone())));
            self.closings.extend(closings.into_iter().map(|(closes, of)| (closes, of, key.clone())));
            self.rows.entry(key).or_default().insert((time, place), (value, tag));
        }
    }

    fn take(&mut self, key: &K, at: &At, cx: &mut Cx<'_>) -> Option<(T, Tag)> {
        let rows = self.rows.get_mut(key)?;
        let (value, tag) = rows.remove(at)?;
        if rows.is_empty() {
            self.rows.remove(key);
        }
        self.len -= 1;
        cx.unpark_at(&[self.ask], &tag);
        Some((value, tag))
    }

    /// A row has been withdrawn. The one before it may end a session now.
    fn take_out(&mut self, key: &K, at: &At, cx: &mut Cx<'_>) {
        let Some((_, tag)) = self.take(key, at, cx) else { return };
        cx.end(&tag, Fate::Withdrawn);
        let before = self.rows.get(key).and_then(|rows| rows.range(..at.clone()).next_back());
        if let Some(((time, _), _)) = before {
            let closings = self.span.closings(*time).into_iter();
            self.closings.extend(closings.map(|(closes, of)| (closes, of, key.clone())));
        }
    }

    /// Closes the windows to which nothing can come any more, since nothing earlier than `bound` can.
    fn close(&mut self, bound: i64, cx: &mut Cx<'_>) -> Batch<Group<K, A>> {
        let mut groups = Batch::default();
        while self.closings.first().is_some_and(|(closes, ..)| *closes <= bound)
            && let Some((closes, of, key)) = self.closings.pop_first()
        {
            match self.span {
                Span::Sliding { every, .. } => {
                    let rows = self.rows_of(&key, at(of), at(closes));
                    self.put(&key, rows, Some((of, closes)), of.saturating_add(every), &mut groups, cx);
                }
                Span::Session { gap } => {
                    if let Some(rows) = self.session_that_ends(&key, of, gap) {
                        self.put(&key, rows, None, i64::MAX, &mut groups, cx);
                    }
                }
                Span::Count(size) => {
                    while let Some(rows) = self.first_rows(&key, size, closes) {
                        self.put(&key, rows, None, i64::MAX, &mut groups, cx);
                    }
                }
            }
        }
        groups
    }

    /// What is left, now that nothing can come any more: counts that are not full, too.
    fn close_all(&mut self, cx: &mut Cx<'_>) -> Batch<Group<K, A>> {
        for key in self.rows.keys().cloned().collect::<Vec<_>>() {
            let rows = self.rows.get(&key).into_iter().flatten();
            let withdrawn = rows.filter(|(_, (_, tag))| is_withdrawn(tag)).map(|(at, _)| at.clone());
            for at in withdrawn.collect::<Vec<_>>() {
                self.take_out(&key, &at, cx);
            }
        }
        let mut groups = self.close(i64::MAX, cx);
        for key in self.rows.keys().cloned().collect::<Vec<_>>() {
            let rows = self.rows.get(&key).map(|rows| rows.keys().cloned().collect()).unwrap_or_default();
            self.put(&key, rows, None, i64::MAX, &mut groups, cx);
        }
        groups
    }

    fn rows_of(&self, key: &K, from: At, to: At) -> Vec<At> {
        let rows = self.rows.get(key).filter(|_| from < to);
        rows.map(|rows| rows.range(from..to).map(|(at, _)| at.clone()).collect()).unwrap_or_default()
    }

    /// The first rows, if there are so many before this time.
    fn first_rows(&self, key: &K, size: usize, before: i64) -> Option<Vec<At>> {
        let rows = self.rows.get(key).filter(|rows| rows.len() >= size)?;
        let first: Vec<At> = rows.range(..at(before)).take(size).map(|(at, _)| at.clone()).collect();
        (first.len() == size).then_some(first)
    }

    /// The rows of the session whose last row is of this time, if one ends there.
    fn session_that_ends(&self, key: &K, last: i64, gap: i64) -> Option<Vec<At>> {
        let rows = self.rows.get(key)?;
        let next = rows.range(behind(last)..).next();
        if next.is_some_and(|((time, _), _)| *time <= last.saturating_add(gap)) {
            return None;
        }
        let mut first = last;
        let mut session: Vec<At> = Vec::new();
        for (at, _) in rows.range(..behind(last)).rev() {
            if first.saturating_sub(at.0) > gap {
                break;
            }
            first = at.0;
            session.push(at.clone());
        }
        session.reverse();
        Some(session)
    }

    /// Makes one value of these rows. Those before `done` are in no later window, and end.
    fn put(
        &mut self,
        key: &K,
        mut these: Vec<At>,
        window: Option<(i64, i64)>,
        done: i64,
        groups: &mut Batch<Group<K, A>>,
        cx: &mut Cx<'_>,
    ) {
        let mut value = self.initial.clone();
        these.retain(|at| {
            let Some((row, tag)) = self.rows.get(key).and_then(|rows| rows.get(at)) else { return false };
            let added =
                if is_withdrawn(tag) { None } else { Some(guard::call(|| (self.add)(&mut value, row))) };
            let Some(Ok(())) = added else {
                if let Some((row, tag)) = self.take(key, at, cx) {
                    match added {
                        Some(Err(panicked)) => rows::fault_of_panic(cx, &tag, &panicked, Some(&row)),
                        _ => cx.end(&tag, Fate::Withdrawn),
                    }
                }
                return false;
            };
            true
        });
        let (Some(first), Some(last), Some(rows)) = (these.first(), these.last(), self.rows.get_mut(key))
        else {
            return;
        };
        let (from, to) = window.unwrap_or((first.0, last.0.saturating_add(1)));
        let tags = rows.range_mut(first.clone()..=last.clone()).map(|(_, (_, tag))| tag);
        let made = cx.combine(tags);
        groups.push(Group { key: key.clone(), from, to, rows: these.len(), value }, made);
        for at in these.iter().filter(|at| at.0 < done || done == i64::MAX) {
            if let Some((_, tag)) = self.take(key, at, cx) {
                cx.end(&tag, Fate::Absorbed);
            }
        }
    }

    /// No row with an earlier time can still come.
    fn bound(&mut self, cx: &Cx<'_>) -> i64 {
        match self.span {
            _ if !self.by_arrival => std::mem::replace(&mut self.seen, cx.time_at(self.ask)),
            // Those that have arrived have come in order.
            Span::Count(_) => i64::MAX,
            _ => millis(cx.clock().now()),
        }
    }
}

impl<K: Data + Ord, T: Data, A: Data, F, G> Operator for GroupBy<K, T, A, F, G>
where
    F: FnMut(&T) -> K + Send + 'static,
    G: FnMut(&mut A, &T) + Send + 'static,
{
    type In = Inlet<T>;
    type Out = Outlet<Group<K, A>>;

    fn process(&mut self, batch: Batch<T>, _: &mut Self::Out, cx: &mut Cx<'_>) {
        let batch = if self.by_arrival { self.until_final.admit(batch, cx) } else { batch };
        self.take_in(batch, cx);
    }

    fn notice(&mut self, notices: &[Notice], _: &mut Self::Out, cx: &mut Cx<'_>) {
        for ((key, at), _) in self.by_origin.told(notices) {
            let row = self.rows.get(&key).and_then(|rows| rows.get(&at));
            if row.is_some_and(|(_, tag)| is_withdrawn(tag)) {
                self.take_out(&key, &at, cx);
            }
        }
        let arrived = self.until_final.notice(notices, cx);
        self.take_in(arrived, cx);
    }

    fn wake(&mut self, out: &mut Self::Out, cx: &mut Cx<'_>) -> bool {
        let bound = self.bound(cx);
        if !self.by_arrival {
            self.passed = self.passed.max(bound);
        }
        let before = self.len;
        let groups = self.close(bound, cx);
        let any = self.len != before || !groups.is_empty() || self.seen > bound;
        out.put(groups, cx);
        any
    }

    fn flush(&mut self, out: &mut Self::Out, cx: &mut Cx<'_>) {
        let groups = self.close_all(cx);
        out.put(groups, cx);
    }

    fn is_open(&self) -> bool {
        self.until_final.len() > 0
    }

    fn holding(&self) -> Holding {
        Holding { parked: self.len, waiting: self.until_final.len(), ..Holding::default() }
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        for (_, tag) in self.rows.values().flat_map(BTreeMap::values) {
            visit(tag.id, tag.trail.as_deref());
        }
        self.until_final.visit(visit);
    }

    fn next_wake(&self) -> Option<Moment> {
        let (closes, ..) = self.closings.first().filter(|_| self.by_arrival)?;
        Some(Duration::from_millis(u64::try_from(*closes).unwrap_or_default()))
    }
}
