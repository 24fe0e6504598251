//! Sinks that do not wait: every change as it happens, with what is taken back.

use std::collections::BTreeMap;

use eddyline_runtime::{
    Data,
    batch::Batch,
    fate::Fate,
    operator::{Cx, Holding, Operator},
    origin::{Notice, Standing},
    ports::Inlet,
    record::{RecordId, Tag, Trail},
    view::Role,
};
use serde::{Deserialize, Serialize};

use crate::{
    at_rest::ByOrigin,
    report::{Collected, Kept, Output, Sink},
    rows,
    stream::{Stream, spec},
};

/// What happened to the result of a workflow: one row was added, taken back, or is there for good.
///
/// Whoever adds and removes as told has, at any moment, what the workflow makes of all that it has seen so far. Rows are
/// numbered from 0 in the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change<T> {
    /// This row is there; it may still be taken back.
    Add {
        /// The row's number.
        row: u64,
        /// Its value.
        value: T,
    },
    /// What it was made of has been revised: it is no longer there.
    Remove {
        /// The row's number.
        row: u64,
        /// The value that it had.
        value: T,
    },
    /// It will not be taken back any more.
    Final {
        /// The row's number.
        row: u64,
    },
}

impl<T: Data> Stream<T> {
    /// Keeps every change in the order in which it happened: what is added, what is taken back because a record was sent back
    /// and revised, what is final.
    ///
    /// ```
    /// # use eddyline::{Change, prelude::*};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("doubts").seeded(3);
    /// let (words, again) = flow.source("words", ["tea".to_owned()]).feedback("again", Rounds::at_most(1));
    /// // One copy is shown at once; the other is judged, and sent back.
    /// let shown = words.clone().collect_changes();
    /// words
    ///     .handle_or_retry("judge", again, |word| if word == "tea" { Verdict::Retry("Tea".to_owned()) } else { Verdict::Pass })
    ///     .ignore();
    /// let changes = flow.run().await?.take(shown);
    /// assert_eq!(changes[0], Change::Add { row: 0, value: "tea".to_owned() });
    /// assert_eq!(changes[1], Change::Remove { row: 0, value: "tea".to_owned() });
    /// assert_eq!(changes[2], Change::Add { row: 1, value: "Tea".to_owned() });
    /// assert_eq!(changes[3], Change::Final { row: 1 });
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn collect_changes(self) -> Output<Change<T>> {
        let collected = Collected::default();
        let into = collected.clone();
        let sink = self.each_change("collect_changes", move |change, record| {
            let mut collected = into.lock();
            collected.values.push(change);
            collected.records.push(record);
        });
        Output { sink, collected }
    }

    /// Runs `f` on every change as it happens. A panic in it is a fault of the record whose change it was.
    #[track_caller]
    pub fn for_each_change(self, mut f: impl FnMut(Change<T>) + Send + 'static) -> Sink {
        self.each_change("for_each_change", move |change, _| f(change))
    }

    /// Keeps the latest value of each key, sorted by key: a value that is taken back gives way to the one before it.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("stock");
    /// let stock = flow.source("counted", [("tea", 3), ("milk", 1), ("tea", 2)].map(|(k, n)| (k.to_owned(), n)));
    /// let latest = stock.collect_latest(|(name, _)| name.clone());
    /// let latest: Vec<_> = flow.run().await?.take(latest).into_iter().map(|(_, counted)| counted.1).collect();
    /// assert_eq!(latest, [1, 2]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn collect_latest<K: Data + Ord>(
        self,
        mut key: impl FnMut(&T) -> K + Send + 'static,
    ) -> Output<(K, T)> {
        let collected = Collected::default();
        let into = collected.clone();
        let mut standing: BTreeMap<K, BTreeMap<u64, (T, RecordId)>> = BTreeMap::new();
        let sink = self.each_change("collect_latest", move |change, record| {
            let key = match change {
                Change::Add { row, value } => {
                    let key = key(&value);
                    standing.entry(key.clone()).or_default().insert(row, (value, record));
                    key
                }
                Change::Remove { row, value } => {
                    let key = key(&value);
                    standing.entry(key.clone()).or_default().remove(&row);
                    key
                }
                Change::Final { .. } => return,
            };
            let Kept { values: latest, records } = &mut *into.lock();
            let at = latest.binary_search_by(|(other, _): &(K, T)| other.cmp(&key));
            match (standing.get(&key).and_then(|rows| rows.values().next_back()), at) {
                (Some((value, record)), Ok(at)) => {
                    latest[at].1 = value.clone();
                    records[at] = *record;
                }
                (Some((value, record)), Err(at)) => {
                    latest.insert(at, (key, value.clone()));
                    records.insert(at, *record);
                }
                (None, Ok(at)) => {
                    latest.remove(at);
                    records.remove(at);
                }
                (None, Err(_)) => {}
            }
        });
        Output { sink, collected }
    }

    #[track_caller]
    fn each_change(self, kind: &'static str, f: impl FnMut(Change<T>, RecordId) + Send + 'static) -> Sink {
        let graph = self.graph.clone();
        let node = graph.add(spec(kind, Role::Sink));
        let input = self.lead_to(node);
        graph.build_with(node, move |_| {
            let op = Changes { f, rows: BTreeMap::new(), by_origin: ByOrigin::default(), next: 0 };
            (op, input.inlet(), ())
        });
        Sink { graph, node }
    }
}

struct Changes<T, F> {
    f: F,
    /// Those that are there but not final.
    rows: BTreeMap<u64, (T, Tag)>,
    by_origin: ByOrigin<u64>,
    next: u64,
}

impl<T: Data, F: FnMut(Change<T>, RecordId) + Send + 'static> Changes<T, F> {
    fn add(&mut self, value: T, tag: Tag, cx: &mut Cx<'_>) {
        // A newer version may be here before the notice that withdraws the older one.
        for row in self.by_origin.outdated_by(&tag) {
            self.remove(row, cx);
        }
        let row = self.next;
        let standing = self.by_origin.hold(&tag, row, cx);
        if standing == Standing::Withdrawn {
            return cx.end(&tag, Fate::Withdrawn);
        }
        self.next += 1;
        if !self.tell(Change::Add { row, value: value.clone() }, &tag, cx) {
            return;
        }
        if standing == Standing::Final {
            self.finish(row, &tag, cx);
        } else {
            self.rows.insert(row, (value, tag));
        }
    }

    fn remove(&mut self, row: u64, cx: &mut Cx<'_>) {
        if let Some((value, tag)) = self.rows.remove(&row)
            && self.tell(Change::Remove { row, value }, &tag, cx)
        {
            cx.end(&tag, Fate::Withdrawn);
        }
    }

    fn finish(&mut self, row: u64, tag: &Tag, cx: &mut Cx<'_>) {
        if self.tell(Change::Final { row }, tag, cx) {
            cx.end(tag, Fate::Emitted);
        }
    }

    /// Says whether the author's code took it; if not, the record has ended as a fault.
    fn tell(&mut self, change: Change<T>, tag: &Tag, cx: &mut Cx<'_>) -> bool {
        match eddyline_runtime::guard::call(|| (self.f)(change, tag.id)) {
            Ok(()) => true,
            Err(panicked) => {
                rows::fault_of_panic::<()>(cx, tag, &panicked, None);
                false
            }
        }
    }
}

impl<T: Data, F: FnMut(Change<T>, RecordId) + Send + 'static> Operator for Changes<T, F> {
    type In = Inlet<T>;
    type Out = ();

    fn process(&mut self, batch: Batch<T>, (): &mut (), cx: &mut Cx<'_>) {
        for (value, tag) in batch.into_rows() {
            self.add(value, tag, cx);
        }
    }

    fn notice(&mut self, notices: &[Notice], (): &mut (), cx: &mut Cx<'_>) {
        for (row, _) in self.by_origin.told(notices) {
            let Some((_, tag)) = self.rows.get(&row) else { continue };
            match tag.trail.as_deref().map_or(Standing::Final, Trail::standing) {
                Standing::Provisional => {}
                Standing::Withdrawn => self.remove(row, cx),
                Standing::Final => {
                    if let Some((_, tag)) = self.rows.remove(&row) {
                        self.finish(row, &tag, cx);
                    }
                }
            }
        }
    }

    fn is_open(&self) -> bool {
        !self.rows.is_empty()
    }

    fn holding(&self) -> Holding {
        Holding { waiting: self.rows.len(), ..Holding::default() }
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        for (_, tag) in self.rows.values() {
            visit(tag.id, tag.trail.as_deref());
        }
    }
}
