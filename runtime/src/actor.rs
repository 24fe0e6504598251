//! The actors: one per node, under one supervisor per run; the dispatcher and its stage actors are under it too.
//!
//! An actor's mailbox carries only [`Work`]: look what there is to do. What there is to do lives in the edges and in the
//! node. A step takes one batch; if there may be more, the actor posts itself the next piece of work, so that a stop is
//! never far away.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};

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
    health: Arc<Health>,
}

/// How its actors have fared.
#[derive(Debug, Default)]
struct Health {
    /// Within a step. Where it still says so after the actor's death, the step died with its batch.
    stepping: AtomicBool,
    restarts: AtomicU64,
}

impl NodeSlot {
    pub fn new(core: Arc<NodeCore>, node: Box<dyn AnyNode>) -> Self {
        Self { core, node: Arc::new(Mutex::new(node)), health: Arc::default() }
    }

    /// How often an actor of it died and another took its place.
    pub fn restarts(&self) -> u64 {
        self.health.restarts.load(Ordering::Relaxed)
    }

    /// One step of the node.
    pub fn step(&self, shared: &Shared) -> Next {
        let _step = shared.gate.read();
        shared.stepped();
        self.health.stepping.store(true, Ordering::Relaxed);
        let mut node = self.node.lock();
        let next = node.step(shared);
        if shared.is_stopped() {
            // Whoever stopped the run could not tell the node while it was in this step.
            node.stop();
        }
        self.health.stepping.store(false, Ordering::Relaxed);
        next
    }

    /// Starts an actor that works on it.
    async fn start(self, shared: &Arc<Shared>, supervisor: ActorCell) -> Result<ActorId, SpawnErr> {
        let waker = Arc::clone(&self.core.waker);
        let args = (self, Arc::clone(shared));
        let (actor, _) = Actor::spawn_linked(None, NodeActor, args, supervisor).await?;
        let id = actor.get_id();
        waker.attach(actor);
        Ok(id)
    }

    /// Whether it has been asked to take no input, and still could.
    pub fn is_paused(&self) -> bool {
        let stats = &self.core.stats;
        stats.paused.load(Ordering::SeqCst) && !stats.done.load(Ordering::Relaxed)
    }
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
            slot.node.lock().stop();
            myself.stop(None);
            return Ok(());
        }
        match slot.step(shared) {
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

/// Starts the actors of a run, and another in the place of one that dies between two steps.
///
/// What a node has is in its slot and on its edges, so that nothing is lost with an actor. A step that dies takes its batch
/// with it, and then the run stops rather than to go on with a hole.
pub(crate) struct Supervisor;

/// The actors of a run.
pub(crate) struct Crew {
    shared: Arc<Shared>,
    slots: HashMap<ActorId, NodeSlot>,
}

/// An actor that dies so often will die for ever.
const MOST_RESTARTS: u64 = 100;

impl Actor for Supervisor {
    type Msg = ();
    type State = Crew;
    type Arguments = (Vec<NodeSlot>, Arc<Shared>);

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        (slots, shared): Self::Arguments,
    ) -> Result<Crew, ActorProcessingErr> {
        let mut crew = Crew { shared, slots: HashMap::new() };
        for slot in slots {
            crew.add(slot, myself.get_cell()).await?;
        }
        Ok(crew)
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        crew: &mut Crew,
    ) -> Result<(), ActorProcessingErr> {
        let (dead, why) = match event {
            SupervisionEvent::ActorFailed(actor, error) => (actor.get_id(), error.to_string()),
            SupervisionEvent::ActorTerminated(actor, _, why) => {
                let id = actor.get_id();
                // The dispatcher and its stages are told to stop when the run is over, and by nobody else.
                if !crew.slots.contains_key(&id) && why.as_deref() != Some("killed") {
                    return Ok(());
                }
                (id, why.unwrap_or_else(|| "it ended before its work was done".to_owned()))
            }
            _ => return Ok(()),
        };
        if let Err(why) = crew.replace(dead, why, myself.get_cell()).await {
            crew.shared.fail(why);
        }
        Ok(())
    }
}

impl Crew {
    async fn add(&mut self, slot: NodeSlot, supervisor: ActorCell) -> Result<(), SpawnErr> {
        let id = slot.clone().start(&self.shared, supervisor).await?;
        self.slots.insert(id, slot);
        Ok(())
    }

    /// Puts another actor in the place of a dead one, or says why the run must stop.
    async fn replace(&mut self, dead: ActorId, why: String, supervisor: ActorCell) -> Result<(), String> {
        let slot = self.slots.remove(&dead);
        if self.shared.is_stopped() {
            return Ok(());
        }
        let Some(slot) = slot else { return Err(why) };
        if slot.core.stats.done.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Our own fault, never the author's: her code runs under a guard.
        let whole = !slot.health.stepping.load(Ordering::Relaxed);
        if !whole || slot.health.restarts.fetch_add(1, Ordering::Relaxed) >= MOST_RESTARTS {
            return Err(format!("`{}`: {why}", slot.core.name));
        }
        self.add(slot, supervisor).await.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        batch::Batch,
        fate::Fate,
        graph::{Graph, NodeSpec, Place},
        observer::Unwatched,
        operator::{Cx, Operator},
        ports::{Inlet, Outlet},
        run::{self, RunError, RunOptions, Summary},
        view::Role,
        waker::Waker,
    };

    const RECORDS: u64 = 3000;

    /// Brings one record a step.
    struct Count(u64);

    impl Operator for Count {
        type In = ();
        type Out = Outlet<u64>;

        fn process(&mut self, (): (), _: &mut Outlet<u64>, _: &mut Cx<'_>) {}

        fn wake(&mut self, out: &mut Outlet<u64>, cx: &mut Cx<'_>) -> bool {
            if self.0 == RECORDS {
                return false;
            }
            let (ids, _) = cx.enter(self.0, 1);
            out.put(Batch::of_source(vec![self.0], ids), cx);
            self.0 += 1;
            true
        }

        fn is_open(&self) -> bool {
            self.0 < RECORDS
        }
    }

    /// Ends what comes, slowly enough to be killed; dies of one value, as a defect of ours would have it.
    struct End {
        deadly: Option<u64>,
    }

    impl Operator for End {
        type In = Inlet<u64>;
        type Out = ();

        fn process(&mut self, batch: Batch<u64>, (): &mut (), cx: &mut Cx<'_>) {
            for (value, tag) in batch.into_rows() {
                std::thread::sleep(Duration::from_micros(100));
                assert!(self.deadly != Some(value), "a defect");
                cx.end(&tag, Fate::Emitted);
            }
        }
    }

    fn spec(name: &str, role: Role) -> NodeSpec {
        NodeSpec { kind: "test", role, name: Some(name.to_owned()), place: Place::here(), notes: Vec::new() }
    }

    /// Runs a source and a sink whose actors are killed whenever `kill` is called with their wakers.
    async fn run(deadly: Option<u64>, kill: impl AsyncFnOnce(Vec<Arc<Waker>>)) -> Result<Summary, RunError> {
        let graph = Graph::new("killed");
        let (source, sink) = (graph.add(spec("source", Role::Source)), graph.add(spec("sink", Role::Sink)));
        let (from, to) = (graph.output::<u64>(source, "", false), graph.input::<u64>(sink));
        graph.connect(&from, &to, false);
        let (tell, mut told) = tokio::sync::mpsc::channel(2);
        let other = tell.clone();
        graph.build_with(source, move |start| {
            let _ = tell.try_send(start.waker());
            (Count(0), (), from.outlet())
        });
        graph.build_with(sink, move |start| {
            let _ = other.try_send(start.waker());
            (End { deadly }, to.inlet(), ())
        });
        let options = RunOptions { edge_capacity: 4, ctrl_c: false, ..RunOptions::default() };
        let running = tokio::spawn(async move { run::run(graph, options, &mut Unwatched).await });
        let wakers = vec![told.recv().await.unwrap(), told.recv().await.unwrap()];
        kill(wakers).await;
        running.await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_actor_that_dies_between_two_steps_is_replaced_and_nothing_is_lost() {
        let killed = async |wakers: Vec<Arc<Waker>>| {
            for round in 0..40 {
                tokio::time::sleep(Duration::from_micros(200)).await;
                wakers[round % 2].kill();
            }
        };
        let summary = run(None, killed).await.unwrap();
        let records = &summary.last.balances.records;
        assert_eq!(records.ended.get("emitted"), Some(&RECORDS), "{records:?}");
        assert!(records.holds && records.in_flight == 0, "{records:?}");
        let hints: Vec<_> = summary.last.hints.iter().map(|hint| &hint.what).collect();
        assert!(hints.iter().any(|hint| hint.contains("died and was started again")), "{hints:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_actor_that_dies_for_ever_ends_the_run() {
        let killed = async |wakers: Vec<Arc<Waker>>| {
            while Arc::strong_count(&wakers[0]) > 1 {
                wakers[0].kill();
                tokio::task::yield_now().await;
            }
        };
        let error = run(None, killed).await.unwrap_err().to_string();
        assert!(error.contains("`source`: killed"), "{error}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_step_that_dies_stops_the_run_with_an_error() {
        let error = run(Some(1000), async |_| ()).await.unwrap_err().to_string();
        assert!(error.contains("`sink`") && error.contains("a defect"), "{error}");
    }
}
