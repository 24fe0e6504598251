//! Who steps when: an actor per node, or one task that steps them all in an order drawn from a seed.
//!
//! The second is for tests: the same nodes, edges, loops and counts, and every run of a seed is the same run. It draws small
//! batches and makes some nodes slow, so that a thousand seeds see what a thousand busy afternoons would.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{actor::NodeSlot, clock::Moment, node::Next, shared::Shared};

/// How a run's nodes take turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// Each is an actor of its own; the threads of the async runtime share them out.
    #[default]
    Actors,
    /// One after the other in an order drawn from this seed. Sources give what they have when they are asked, so that a run
    /// without models and timers can be repeated exactly.
    Seeded(u64),
}

/// Numbers drawn from a seed (SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) % n.max(1) as u64) as usize
    }
}

/// What a seeded run shares with its nodes.
#[derive(Debug)]
pub(crate) struct Seeded {
    draws: Mutex<Draws>,
    /// Most rows of a batch in this run.
    most: usize,
    /// Somebody was woken.
    pub woken: Arc<Notify>,
}

impl Seeded {
    pub fn new(seed: u64) -> Self {
        let mut draws = Draws::new(seed);
        let most = 1 + draws.below(4);
        Self { draws: Mutex::new(draws), most, woken: Arc::default() }
    }

    /// Rows to take in a step.
    pub fn rows(&self) -> usize {
        1 + self.draws.lock().below(self.most)
    }
}

/// A slow node is stepped so many times less often than the others.
const SLOWNESS: usize = 30;

/// Steps the nodes until all are done or the run is to stop.
pub(crate) async fn run_seeded(slots: Vec<NodeSlot>, shared: Arc<Shared>) {
    let Some(seeded) = &shared.seeded else { return };
    let slow: Vec<bool> = slots.iter().map(|_| seeded.draws.lock().below(8) == 0).collect();
    let mut done = vec![false; slots.len()];
    let mut timers: Vec<Option<Moment>> = vec![None; slots.len()];
    for slot in &slots {
        slot.core.waker.attach_task(Arc::clone(&seeded.woken));
    }
    while !shared.is_stopped() && !done.iter().all(|done| *done) {
        let ready: Vec<usize> = (0..slots.len())
            .filter(|&i| !done[i] && slots[i].core.waker.is_pending())
            .flat_map(|i| std::iter::repeat_n(i, if slow[i] { 1 } else { SLOWNESS }))
            .collect();
        if ready.is_empty() {
            if !wait(&slots, &shared, seeded, &mut timers).await {
                shared.stalled();
                shared.stop();
            }
            continue;
        }
        let i = ready[seeded.draws.lock().below(ready.len())];
        slots[i].core.waker.taken();
        match slots[i].step(shared.clock.now(), &shared).next {
            Next::Again | Next::AgainLater => slots[i].core.waker.wake(),
            Next::Idle(at) => timers[i] = at,
            Next::Done => {
                done[i] = true;
                timers[i] = None;
                shared.node_done();
            }
        }
        tokio::task::consume_budget().await;
    }
    slots.iter().for_each(NodeSlot::stop);
}

/// Nobody is ready: waits for a timer, or for whoever is outside of the graph. Says `false` if nothing can come.
async fn wait(slots: &[NodeSlot], shared: &Shared, seeded: &Seeded, timers: &mut [Option<Moment>]) -> bool {
    let first = timers.iter().flatten().min().copied();
    let outside = shared.waits_for_outside();
    let paused = slots.iter().any(NodeSlot::is_paused);
    match first {
        // Whoever paused it may take any time to let it go on.
        None if paused => seeded.woken.notified().await,
        None if !outside => return false,
        None => {
            let patience = std::time::Duration::from_secs(10);
            return tokio::time::timeout(patience, seeded.woken.notified()).await.is_ok();
        }
        Some(at) => {
            tokio::select! {
                () = seeded.woken.notified() => {}
                () = shared.clock.sleep_until(at) => {}
            }
        }
    }
    let now = shared.clock.now();
    for (slot, timer) in slots.iter().zip(timers) {
        if timer.is_some_and(|at| at <= now) {
            *timer = None;
            slot.core.waker.wake();
        }
    }
    true
}
