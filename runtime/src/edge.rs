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

use parking_lot::Mutex;
use serde_json::Value;

use crate::{
    batch::Batch,
    data::{self, Data},
    loops::Loop,
    record::{RecordId, Trail},
    view::{EdgeSnapshot, EdgeView},
    waker::Waker,
};

/// Records that a forward edge holds unless it is told otherwise.
pub const DEFAULT_CAPACITY: usize = 8192;

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
    producer: Arc<Waker>,
    consumer: Arc<Waker>,
    queue: Mutex<Queue<T>>,
    records: AtomicU64,
}

#[derive(Debug)]
struct Queue<T> {
    batches: VecDeque<Batch<T>>,
    rows: usize,
    /// The producer found no room and waits to be woken.
    wanted: bool,
    closed: bool,
}

impl<T: Data> Edge<T> {
    pub(crate) fn new(info: EdgeInfo, producer: Arc<Waker>, consumer: Arc<Waker>) -> Arc<Self> {
        Arc::new(Self {
            info,
            capacity: AtomicUsize::new(DEFAULT_CAPACITY),
            inside: OnceLock::new(),
            producer,
            consumer,
            queue: Mutex::new(Queue { batches: VecDeque::new(), rows: 0, wanted: false, closed: false }),
            records: AtomicU64::new(0),
        })
    }

    /// Whether it closes a loop.
    pub fn is_back(&self) -> bool {
        self.info.back
    }

    /// The loop that both its ends are in, if any: its records hold permits.
    pub fn inside(&self) -> Option<&Arc<Loop>> {
        self.inside.get()
    }

    /// Files `batch`, or gives it back where there is no room; the producer is then woken when there is.
    ///
    /// Edges inside a loop take all: the loop's permits bound them. An empty edge takes any batch.
    pub(crate) fn offer(&self, batch: Batch<T>) -> Result<(), Batch<T>> {
        let rows = batch.len();
        if rows == 0 {
            return Ok(());
        }
        {
            let mut queue = self.queue.lock();
            let room = self.inside.get().is_some()
                || queue.rows == 0
                || queue.rows + rows <= self.capacity.load(Ordering::Relaxed);
            if !room {
                queue.wanted = true;
                return Err(batch);
            }
            queue.rows += rows;
            queue.batches.push_back(batch);
        }
        self.records.fetch_add(rows as u64, Ordering::Relaxed);
        self.consumer.wake();
        Ok(())
    }

    /// Takes up to `most` rows from the front; small batches are joined, a large one is cut.
    pub(crate) fn take(&self, most: usize) -> Option<Batch<T>> {
        let mut queue = self.queue.lock();
        let mut front = queue.batches.pop_front()?;
        if front.len() > most {
            let rest = front.split_off(most);
            queue.batches.push_front(rest);
        } else {
            while let Some(next) = queue.batches.front() {
                if front.len() + next.len() > most {
                    break;
                }
                if let Some(next) = queue.batches.pop_front() {
                    front.append(next);
                }
            }
        }
        queue.rows -= front.len();
        let wake = queue.wanted && queue.rows * 2 <= self.capacity.load(Ordering::Relaxed);
        if wake {
            queue.wanted = false;
        }
        drop(queue);
        if wake {
            self.producer.wake();
        }
        Some(front)
    }

    /// Rows on it now.
    pub fn len(&self) -> usize {
        self.queue.lock().rows
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// No more will come.
    pub(crate) fn close(&self) {
        self.queue.lock().closed = true;
        self.consumer.wake();
    }

    /// Whether it holds nothing and nothing more will come.
    pub(crate) fn is_finished(&self) -> bool {
        let queue = self.queue.lock();
        queue.closed && queue.rows == 0
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
    /// Puts it inside a loop; capacity then is at least the loop's permits.
    fn put_inside(&self, loop_: &Arc<Loop>);
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
        EdgeSnapshot { records: self.records.load(Ordering::Relaxed), queued: self.len() as u64 }
    }

    fn put_inside(&self, loop_: &Arc<Loop>) {
        self.capacity.fetch_max(loop_.permits(), Ordering::Relaxed);
        // Set once, by the run that owns the graph.
        let _ = self.inside.set(Arc::clone(loop_));
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

    fn edge() -> Arc<Edge<u64>> {
        let info = EdgeInfo { id: 0, from: 0, to: 1, back: false, label: "" };
        Edge::new(info, Waker::new(), Waker::new())
    }

    fn batch(rows: u64) -> Batch<u64> {
        Batch::of_source((0..rows).collect(), (0..rows).map(|i| RecordId::of_source(0, i)).collect())
    }

    #[test]
    fn a_full_edge_gives_the_batch_back() {
        let edge = edge();
        edge.capacity.store(4, Ordering::Relaxed);
        assert!(edge.offer(batch(3)).is_ok());
        assert_eq!(edge.offer(batch(2)).map_err(|b| b.len()), Err(2));
        assert_eq!(edge.take(10).map(|b| b.len()), Some(3));
        assert!(edge.offer(batch(6)).is_ok(), "an empty edge takes any batch");
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
