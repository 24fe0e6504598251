//! Rows at rest that may still be withdrawn: the gate of those that want final records only.

use std::collections::BTreeMap;

pub(crate) use eddyline_runtime::at_rest::ByOrigin;
use eddyline_runtime::{
    Data,
    batch::Batch,
    clock::Moment,
    fate::Fate,
    operator::{Cx, Holding, Operator},
    origin::{Notice, Standing},
    ports::Inlet,
    record::{RecordId, Tag, Trail},
};

/// Whether a record was made from a version that has been revised.
pub(crate) fn is_withdrawn(tag: &Tag) -> bool {
    tag.trail.as_deref().is_some_and(|trail| trail.standing() == Standing::Withdrawn)
}

/// Rows that wait until they are final.
pub(crate) struct UntilFinal<T> {
    rows: BTreeMap<u64, (T, Tag)>,
    by_origin: ByOrigin<u64>,
    next: u64,
}

impl<T> Default for UntilFinal<T> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), by_origin: ByOrigin::default(), next: 0 }
    }
}

impl<T> UntilFinal<T> {
    /// Keeps what is provisional and gives the rest on.
    pub fn admit(&mut self, batch: Batch<T>, cx: &mut Cx<'_>) -> Batch<T> {
        if !batch.carries_marks() || !cx.waits_for_finality() {
            return batch;
        }
        let mut on = Batch::with_capacity(batch.len());
        for (value, tag) in batch.into_rows() {
            let number = self.next;
            self.next += 1;
            match self.by_origin.hold(&tag, number, cx) {
                Standing::Withdrawn => cx.end(&tag, Fate::Withdrawn),
                _ if cx.is_final_but_for_its_loop(&tag) => on.push(value, tag),
                _ => {
                    self.rows.insert(number, (value, tag));
                }
            }
        }
        on
    }

    /// What has become final, in order of arrival.
    pub fn notice(&mut self, notices: &[Notice], cx: &mut Cx<'_>) -> Batch<T> {
        let mut told: Vec<u64> = self.by_origin.told(notices).into_iter().map(|(row, _)| row).collect();
        told.sort_unstable();
        let mut on = Batch::default();
        for number in told {
            let Some((_, tag)) = self.rows.get(&number) else { continue };
            let withdrawn = is_withdrawn(tag);
            if !withdrawn && !cx.is_final_but_for_its_loop(tag) {
                continue;
            }
            if let Some((value, tag)) = self.rows.remove(&number) {
                match withdrawn {
                    true => cx.end(&tag, Fate::Withdrawn),
                    false => on.push(value, tag),
                }
            }
        }
        on
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        for (_, tag) in self.rows.values() {
            visit(tag.id, tag.trail.as_deref());
        }
    }
}

/// Gives an operator final records only: for sinks that append, and for state that cannot be taken back.
///
/// Inside a loop a record cannot wait for what it may do itself: there only what was made elsewhere is waited for.
pub(crate) struct Finally<T, Op> {
    op: Op,
    rows: UntilFinal<T>,
}

impl<T, Op> Finally<T, Op> {
    pub fn new(op: Op) -> Self {
        Self { op, rows: UntilFinal::default() }
    }
}

impl<T: Data, Op: Operator<In = Inlet<T>>> Operator for Finally<T, Op> {
    type In = Inlet<T>;
    type Out = Op::Out;

    fn process(&mut self, batch: Batch<T>, out: &mut Op::Out, cx: &mut Cx<'_>) {
        let batch = self.rows.admit(batch, cx);
        if !batch.is_empty() {
            self.op.process(batch, out, cx);
        }
    }

    fn notice(&mut self, notices: &[Notice], out: &mut Op::Out, cx: &mut Cx<'_>) {
        let batch = self.rows.notice(notices, cx);
        if !batch.is_empty() {
            self.op.process(batch, out, cx);
        }
        self.op.notice(notices, out, cx);
    }

    fn wake(&mut self, out: &mut Op::Out, cx: &mut Cx<'_>) -> bool {
        self.op.wake(out, cx)
    }

    fn flush(&mut self, out: &mut Op::Out, cx: &mut Cx<'_>) {
        self.op.flush(out, cx);
    }

    fn is_ready(&self) -> bool {
        self.op.is_ready()
    }

    fn is_open(&self) -> bool {
        self.rows.len() > 0 || self.op.is_open()
    }

    fn next_wake(&self) -> Option<Moment> {
        self.op.next_wake()
    }

    fn holding(&self) -> Holding {
        let holding = self.op.holding();
        Holding { waiting: holding.waiting + self.rows.len(), ..holding }
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        self.op.visit(visit);
        self.rows.visit(visit);
    }
}
