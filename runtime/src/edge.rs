//! An edge: a queue of batches between two actors, bounded by credit.
//!
//! The queue lives here and not in a mailbox, so that it can be counted, looked into and outlive an actor. The consumer's
//! mailbox only gets one [`Waker::wake`] when there is something to do. A producer that finds the edge full keeps its batch,
//! goes on with other things, and is woken when there is room: nobody ever waits inside a step.

use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use serde_json::Value;

use crate::{
    batch::Batch,
    data::{self, Data},
    loops::Loop,
    operator::Stats,
    record::{RecordId, Trail},
    regions::Crossing,
    sync::{self, Mutex, Rule, holds},
    view::{EdgeSnapshot, EdgeView},
    waker::Waker,
};

/// Records that a forward edge holds unless it is told otherwise.
pub const DEFAULT_CAPACITY: usize = 8192;

/// A batch of so many rows is worth a step of its own: to join it to another would mean copying it.
const SMALL: usize = 128;

/// What an edge is, for checks and for the page.
#[derive(Clone, Debug)]
pub struct EdgeInfo {
    /// Its index in the graph.
    pub id: u32,
    /// Producing node.
    pub from: u32,
    /// Consuming node.
    pub to: u32,
    /// Whether it closes a loop.
    pub back: bool,
    /// What the producer calls this way out.
    pub label: &'static str,
}

/// A typed edge.
#[derive(Debug)]
pub struct Edge<T> {
    info: EdgeInfo,
    capacity: AtomicUsize,
    inside: OnceLock<Arc<Loop>>,
    crossing: OnceLock<Crossing>,
    /// Who no longer counts a record that has been taken from it.
    arrival: OnceLock<u32>,
    producer: Arc<Waker>,
    consumer: Arc<Waker>,
    queue: Mutex<Queue<T>>,
    /// Rows in the queue, changed under its lock, and whether no more will come: who only looks takes no lock.
    rows: sync::AtomicUsize,
    closed: sync::AtomicBool,
    records: AtomicU64,
}

#[derive(Debug)]
struct Queue<T> {
    batches: VecDeque<Batch<T>>,
    /// Most rows that it ever held.
    most: usize,
    /// The producer found no room and waits to be woken.
    wanted: bool,
}

impl<T: Data> Edge<T> {
    pub(crate) fn new(info: EdgeInfo, producer: Arc<Waker>, consumer: Arc<Waker>) -> Arc<Self> {
        Arc::new(Self {
            info,
            capacity: AtomicUsize::new(DEFAULT_CAPACITY),
            inside: OnceLock::new(),
            crossing: OnceLock::new(),
            arrival: OnceLock::new(),
            producer,
            consumer,
            queue: Mutex::new(Queue { batches: VecDeque::new(), most: 0, wanted: false }),
            rows: sync::AtomicUsize::new(0),
            closed: sync::AtomicBool::new(false),
            records: AtomicU64::new(0),
        })
    }

    /// Its index in the graph.
    pub(crate) fn number(&self) -> u32 {
        self.info.id
    }

    /// Whether it closes a loop.
    pub fn is_back(&self) -> bool {
        self.info.back
    }

    /// The loop that both its ends are in, if any: its records hold permits.
    pub fn inside(&self) -> Option<&Arc<Loop>> {
        self.inside.get()
    }

    /// The regions that records leave on it, if any.
    pub(crate) fn crossing(&self) -> Option<&Crossing> {
        self.crossing.get()
    }

    /// Who no longer counts a record that has been taken from it: an input that asks for time.
    pub(crate) fn arrival(&self) -> Option<u32> {
        self.arrival.get().copied()
    }

    /// Files as many rows as there is room for and gives back the others; the producer is then woken when there is room.
    ///
    /// Edges inside a loop take all: the loop's permits bound them.
    pub(crate) fn offer(&self, mut batch: Batch<T>) -> Result<(), Batch<T>> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut rest = None;
        {
            let mut queue = self.queue.lock();
            if self.inside.get().is_none() {
                let room = self.capacity.load(Ordering::Relaxed).saturating_sub(self.len());
                if room < batch.len() {
                    queue.wanted = true;
                    if room == 0 {
                        return Err(batch);
                    }
                    rest = Some(batch.split_off(room));
                }
            }
            Stats::add(&self.records, batch.len() as u64);
            let rows = self.len() + batch.len();
            self.rows.store(rows, Ordering::Release);
            queue.most = queue.most.max(rows);
            queue.batches.push_back(batch);
        }
        self.consumer.wake();
        rest.map_or(Ok(()), Err)
    }

    /// Takes up to `most` rows from the front; small batches are joined, a large one is cut, and what is between is not copied.
    pub(crate) fn take(&self, most: usize) -> Option<Batch<T>> {
        let mut queue = self.queue.lock();
        let mut front = queue.batches.pop_front()?;
        if front.len() > most {
            // All of it at once, and from its end: however often so many are taken, no row is copied twice.
            let most = most.max(1);
            while front.len() > most {
                let part = front.split_off((front.len() - 1) / most * most);
                queue.batches.push_front(part);
            }
        } else {
            while let Some(next) = queue.batches.front() {
                if front.len() + next.len() > most || next.len() > SMALL {
                    break;
                }
                if let Some(next) = queue.batches.pop_front() {
                    front.append(next);
                }
            }
        }
        let rows = self.len() - front.len();
        self.rows.store(rows, Ordering::Release);
        let wake = queue.wanted && rows * 2 <= self.capacity.load(Ordering::Relaxed);
        if wake {
            queue.wanted = false;
        }
        drop(queue);
        if wake && holds(Rule::RoomWakes) {
            self.producer.wake();
        }
        Some(front)
    }

    /// Rows on it now.
    pub fn len(&self) -> usize {
        self.rows.load(Ordering::Acquire)
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// No more will come.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        if holds(Rule::ClosingWakes) {
            self.consumer.wake();
        }
    }

    /// Whether it holds something, or nothing more will come.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.is_empty() || self.closed.load(Ordering::Acquire)
    }

    /// Whether it holds nothing and nothing more will come.
    pub(crate) fn is_finished(&self) -> bool {
        // In this order: what was filed is seen by whoever sees that it was the last.
        self.closed.load(Ordering::Acquire) && self.is_empty()
    }
}

/// An edge without its type: what the run, the checks and the page hold. Closed over the type, never cast.
pub trait AnyEdge: Send + Sync {
    /// What it is.
    fn info(&self) -> &EdgeInfo;
    /// Its description for the page.
    fn view(&self) -> EdgeView;
    /// Its totals.
    fn snapshot(&self) -> EdgeSnapshot;
    /// Puts it inside a loop, whose permits then bound it.
    fn put_inside(&self, loop_: &Arc<Loop>);
    /// Bounds it, unless it is in a loop.
    fn set_capacity(&self, rows: usize);
    /// Says which regions records leave on it.
    fn put_across(&self, crossing: Crossing);
    /// Says who no longer counts a record that has been taken from it.
    fn put_arrival(&self, ask: u32);
    /// Looks at the identity of every record on it.
    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>));
    /// The first `most` values on it, as JSON.
    fn peek(&self, most: usize) -> Vec<Value>;
}

impl<T: Data> AnyEdge for Edge<T> {
    fn info(&self) -> &EdgeInfo {
        &self.info
    }

    fn view(&self) -> EdgeView {
        EdgeView {
            id: self.info.id,
            from: self.info.from,
            to: self.info.to,
            back: self.info.back,
            label: self.info.label.to_owned(),
            type_name: data::short_type_name::<T>(),
            capacity: self.capacity.load(Ordering::Relaxed) as u64,
        }
    }

    fn snapshot(&self) -> EdgeSnapshot {
        let (queued, most) = {
            let queue = self.queue.lock();
            (self.len() as u64, queue.most as u64)
        };
        EdgeSnapshot { records: self.records.load(Ordering::Relaxed), queued, most }
    }

    fn put_inside(&self, loop_: &Arc<Loop>) {
        self.capacity.store(loop_.permits(), Ordering::Relaxed);
        // Set once, by the run that owns the graph.
        let _ = self.inside.set(Arc::clone(loop_));
    }

    fn set_capacity(&self, rows: usize) {
        if self.inside.get().is_none() {
            self.capacity.store(rows.max(1), Ordering::Relaxed);
        }
    }

    fn put_across(&self, crossing: Crossing) {
        let _ = self.crossing.set(crossing);
    }

    fn put_arrival(&self, ask: u32) {
        let _ = self.arrival.set(ask);
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        for batch in &self.queue.lock().batches {
            batch.visit_tags(visit);
        }
    }

    fn peek(&self, most: usize) -> Vec<Value> {
        let queue = self.queue.lock();
        let values = queue.batches.iter().flat_map(|batch| batch.values());
        values.take(most).map(|value| data::preview(value, 2000)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ids;

    fn edge() -> Arc<Edge<u64>> {
        let info = EdgeInfo { id: 0, from: 0, to: 1, back: false, label: "" };
        Edge::new(info, Waker::new(), Waker::new())
    }

    fn batch(rows: u64) -> Batch<u64> {
        Batch::of_source(
            (0..rows).collect(),
            Ids::Run { first: RecordId::of_source(0, 0), len: rows as usize },
        )
    }

    #[test]
    fn a_full_edge_gives_back_what_finds_no_room() {
        let edge = edge();
        edge.capacity.store(4, Ordering::Relaxed);
        assert!(edge.offer(batch(3)).is_ok());
        assert_eq!(edge.offer(batch(2)).map_err(|b| b.len()), Err(1), "one finds room");
        assert_eq!(edge.offer(batch(1)).map_err(|b| b.len()), Err(1));
        assert_eq!(edge.take(10).map(|b| b.len()), Some(4));
        assert_eq!(edge.offer(batch(6)).map_err(|b| b.len()), Err(2), "an empty edge has its bound too");
    }

    #[test]
    fn small_batches_are_joined_and_large_ones_cut() {
        let edge = edge();
        for _ in 0..3 {
            assert!(edge.offer(batch(2)).is_ok());
        }
        assert_eq!(edge.take(4).map(|b| b.len()), Some(4));
        assert_eq!(edge.take(1).map(|b| b.len()), Some(1));
        edge.close();
        assert!(!edge.is_finished());
        assert_eq!(edge.take(9).map(|b| b.len()), Some(1));
        assert!(edge.is_finished());
    }

    #[test]
    fn peeking_takes_nothing() {
        let edge = edge();
        assert!(edge.offer(batch(3)).is_ok());
        assert_eq!(edge.peek(2), [serde_json::json!(0), serde_json::json!(1)]);
        assert_eq!(edge.len(), 3);
    }
}
