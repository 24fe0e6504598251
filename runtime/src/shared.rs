//! What all actors of a run share: clock, barrier, faults, and the signals to drain and to stop.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::{clock::Clock, fault::FaultLog, record::RecordId};

/// What all actors of a run share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub clock: Clock,
    pub next_id: AtomicU64,
    pub faults: FaultLog,
    /// Read by every step, written by a barrier: nothing moves while the balances are counted.
    pub gate: RwLock<()>,
    draining: AtomicBool,
    stopped: AtomicBool,
    open_nodes: AtomicUsize,
    over: Notify,
    failure: Mutex<Option<String>>,
    sources: HashMap<u32, Arc<str>>,
}

impl Shared {
    /// For a run of `nodes` nodes, with the names of its sources by node number.
    pub fn new(clock: Clock, nodes: usize, sources: HashMap<u32, Arc<str>>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            next_id: AtomicU64::new(0),
            faults: FaultLog::default(),
            gate: RwLock::new(()),
            draining: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            open_nodes: AtomicUsize::new(nodes),
            over: Notify::new(),
            failure: Mutex::default(),
            sources,
        })
    }

    /// Returns when every node is done, or the run is to stop.
    pub async fn over(&self) {
        self.over.notified().await;
    }

    /// Why the machinery failed, if it did.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub fn node_done(&self) {
        if self.open_nodes.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.over.notify_one();
        }
    }

    pub fn fail(&self, why: String) {
        self.failure.lock().get_or_insert(why);
        self.stop();
    }

    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.over.notify_one();
    }

    /// A source record for people: `numbers #17`.
    pub fn origin_of(&self, root: RecordId) -> String {
        match root.source().and_then(|node| self.sources.get(&node)) {
            Some(name) => format!("{name} #{}", root.seq()),
            None => format!("record {root:?}"),
        }
    }
}
