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

use crate::{
    clock::Clock,
    epochs::Board,
    fault::FaultLog,
    graph::Built,
    lineage,
    origin::ProvisionalEnd,
    quarantine::Store,
    record::RecordId,
    rules::Rules,
    run::RunOptions,
    schedule::{Schedule, Seeded},
    view::Role,
};

/// What all actors of a run share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub clock: Clock,
    pub next_id: AtomicU64,
    /// Ends that may still be withdrawn, by number.
    pub provisional: Mutex<HashMap<u64, Arc<ProvisionalEnd>>>,
    pub rules: Rules,
    /// What may still come, for whoever asks.
    pub board: Board,
    /// Where one task steps all nodes.
    pub seeded: Option<Seeded>,
    pub faults: FaultLog,
    /// What happened to records, where that is kept.
    pub lineage: Option<lineage::Log>,
    /// Where faults are kept beyond the run.
    pub store: Option<Arc<dyn Store>>,
    /// Read by every step, written by a barrier: nothing moves while the balances are counted.
    pub gate: RwLock<()>,
    waits_for_outside: bool,
    /// Steps of all nodes, and those at the watchdog's last look.
    steps: AtomicU64,
    seen_steps: AtomicU64,
    /// Timers that will wake a node.
    pub timers: AtomicUsize,
    stalls: AtomicU64,
    draining: AtomicBool,
    stopped: AtomicBool,
    open_nodes: AtomicUsize,
    over: Notify,
    failure: Mutex<Option<String>>,
    sources: HashMap<u32, Arc<str>>,
}

impl Shared {
    /// For a run of this graph.
    pub fn new(clock: Clock, options: &RunOptions, built: &mut Built) -> Arc<Self> {
        let sources = built.nodes.iter().filter(|(_, role, _)| matches!(role, Role::Source | Role::Desk));
        let sources = sources.map(|(core, _, _)| (core.id, Arc::clone(&core.name))).collect();
        Arc::new(Self {
            clock,
            next_id: AtomicU64::new(0),
            provisional: Mutex::default(),
            rules: options.rules,
            seeded: match options.schedule {
                Schedule::Actors => None,
                Schedule::Seeded(seed) => Some(Seeded::new(seed)),
            },
            board: std::mem::take(&mut built.board),
            waits_for_outside: built.waits_for_outside,
            faults: FaultLog::default(),
            lineage: lineage::Log::new(options.lineage, options.lineage_mib.saturating_mul(1 << 20)),
            store: options.store.clone(),
            gate: RwLock::new(()),
            steps: AtomicU64::new(0),
            seen_steps: AtomicU64::new(0),
            timers: AtomicUsize::new(0),
            stalls: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            open_nodes: AtomicUsize::new(built.nodes.len()),
            over: Notify::new(),
            failure: Mutex::default(),
            sources,
        })
    }

    /// Whether something outside of the graph may wake a node: a model's call, a task that brings records.
    pub fn waits_for_outside(&self) -> bool {
        self.waits_for_outside
    }

    /// A node has stepped.
    pub fn stepped(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether no node has stepped since this was last asked and no timer will wake one.
    pub fn is_idle_since_last_look(&self) -> bool {
        let steps = self.steps.load(Ordering::Relaxed);
        self.seen_steps.swap(steps, Ordering::Relaxed) == steps && self.timers.load(Ordering::Relaxed) == 0
    }

    /// Counts a stall.
    pub fn stalled(&self) {
        self.stalls.fetch_add(1, Ordering::Relaxed);
    }

    /// How often nothing moved though something was inside.
    pub fn stalls(&self) -> u64 {
        self.stalls.load(Ordering::Relaxed)
    }

    /// A number that nothing else in the run has.
    pub fn number(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
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

    /// A record for people: `numbers #17`, or `record 12` for one that an operator made.
    pub fn name_of(&self, record: RecordId) -> String {
        match record.source() {
            Some(_) => self.origin_of(record),
            None => format!("record {}", record.seq()),
        }
    }

    /// A source record for people: `numbers #17`.
    pub fn origin_of(&self, root: RecordId) -> String {
        match root.source().and_then(|node| self.sources.get(&node)) {
            Some(name) => format!("{name} #{}", root.seq()),
            None => format!("record {root:?}"),
        }
    }

    /// The name of its source; empty where it has none.
    pub fn source_of(&self, root: RecordId) -> String {
        root.source()
            .and_then(|node| self.sources.get(&node))
            .map_or_else(String::new, |name| name.to_string())
    }
}
