//! The actors: one per node, under one supervisor per run; the dispatcher and its stage actors are under it too.
//!
//! An actor's mailbox carries only [`Work`]: look what there is to do. What there is to do lives in the edges and in the
//! node. A step takes one batch; if there may be more, the actor posts itself the next piece of work, so that a stop is
//! never far away.

use std::sync::{Arc, atomic::Ordering};

use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::{
    clock::Moment,
    node::{AnyNode, Next},
    operator::NodeCore,
    shared::Shared,
    waker::Work,
};

/// One node's actor.
pub(crate) struct NodeActor;

/// What it works on; shared with the run, which counts what is inside.
#[derive(Clone)]
pub(crate) struct NodeSlot {
    pub core: Arc<NodeCore>,
    pub node: Arc<Mutex<Box<dyn AnyNode>>>,
}

pub(crate) struct NodeState {
    slot: NodeSlot,
    shared: Arc<Shared>,
    timer: Option<Moment>,
}

impl Actor for NodeActor {
    type Msg = Work;
    type State = NodeState;
    type Arguments = (NodeSlot, Arc<Shared>);

    async fn pre_start(
        &self,
        _myself: ActorRef<Work>,
        (slot, shared): Self::Arguments,
    ) -> Result<NodeState, ActorProcessingErr> {
        Ok(NodeState { slot, shared, timer: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<Work>,
        _work: Work,
        state: &mut NodeState,
    ) -> Result<(), ActorProcessingErr> {
        let NodeState { slot, shared, timer } = state;
        slot.core.waker.taken();
        if shared.is_stopped() {
            myself.stop(None);
            return Ok(());
        }
        let next = {
            let _step = shared.gate.read();
            shared.stepped();
            slot.node.lock().step(shared)
        };
        match next {
            Next::Again => slot.core.waker.wake(),
            Next::AgainLater => {
                slot.core.waker.wake();
                // Whoever this step woke is next on this thread, and no other thread can take it from here.
                tokio::task::yield_now().await;
            }
            Next::Idle(None) => {}
            Next::Idle(Some(at)) => {
                let now = shared.clock.now();
                if timer.is_none_or(|set| set <= now || at < set) {
                    *timer = Some(at);
                    let (shared, waker) = (Arc::clone(shared), Arc::clone(&slot.core.waker));
                    shared.timers.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(async move {
                        shared.clock.sleep_until(at).await;
                        waker.wake();
                        shared.timers.fetch_sub(1, Ordering::Relaxed);
                    });
                }
            }
            Next::Done => {
                shared.node_done();
                myself.stop(None);
            }
        }
        Ok(())
    }
}

/// Starts the actors of a run and learns when one of them dies.
pub(crate) struct Supervisor;

impl Actor for Supervisor {
    type Msg = ();
    type State = Arc<Shared>;
    type Arguments = (Vec<NodeSlot>, Arc<Shared>);

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        (slots, shared): Self::Arguments,
    ) -> Result<Arc<Shared>, ActorProcessingErr> {
        for slot in slots {
            let waker = Arc::clone(&slot.core.waker);
            let args = (slot, Arc::clone(&shared));
            let (actor, _) = Actor::spawn_linked(None, NodeActor, args, myself.get_cell()).await?;
            waker.attach(actor);
        }
        Ok(shared)
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<()>,
        event: SupervisionEvent,
        shared: &mut Arc<Shared>,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(_, error) = event {
            // Our own fault, never the author's: her code runs under a guard. Stop rather than run on with a hole.
            shared.fail(error.to_string());
        }
        Ok(())
    }
}
