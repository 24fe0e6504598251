//! The actors: one per [`Team`] of nodes, under one supervisor per run; the dispatcher and its stage actors are under it too.
//!
//! An actor's mailbox carries only [`Work`]: look what there is to do. What there is to do lives in the edges and in the
//! nodes. A step takes one batch; between two steps an actor looks whether it is to stop.

use std::{
    collections::HashMap,
    fmt,
    future::poll_fn,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use parking_lot::Mutex;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::runtime;

use crate::{
    clock::Moment,
    guard,
    node::{AnyNode, Stepped},
    operator::NodeCore,
    shared::Shared,
    team::Team,
    waker::Work,
};

/// A team's actor.
pub(crate) struct TeamActor;

/// A node as actors step it; shared with the run, which counts what is inside.
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

    /// One step of the node, which begins now.
    pub fn step(&self, now: Moment, shared: &Shared) -> Stepped {
        let _step = shared.gate.read();
        shared.stepped();
        self.health.stepping.store(true, Ordering::Relaxed);
        let mut node = self.node.lock();
        let stepped = node.step(now, shared);
        if shared.is_stopped() {
            // Whoever stopped the run could not tell the node while it was in this step.
            node.stop();
        }
        self.health.stepping.store(false, Ordering::Relaxed);
        stepped
    }

    /// Lets go of what is outside of the graph: the run is over.
    pub fn stop(&self) {
        self.node.lock().stop();
    }

    /// Whether it has been asked to take no input, and still could.
    pub fn is_paused(&self) -> bool {
        let stats = &self.core.stats;
        stats.paused.load(Ordering::SeqCst) && !stats.done.load(Ordering::Relaxed)
    }
}

pub(crate) struct TeamState {
    /// Held by whoever steps it: the actor, or somebody in its place. Whose turn it is the team's waker says, so nobody waits here.
    team: Arc<Mutex<Team>>,
    shared: Arc<Shared>,
    supervisor: ActorRef<Alone>,
}

/// After so many turns an actor lets others have its thread.
const TURNS: usize = 64;

impl Actor for TeamActor {
    type Msg = Work;
    type State = TeamState;
    type Arguments = (Arc<Mutex<Team>>, Arc<Shared>, ActorRef<Alone>);

    async fn pre_start(
        &self,
        _myself: ActorRef<Work>,
        (team, shared, supervisor): Self::Arguments,
    ) -> Result<TeamState, ActorProcessingErr> {
        team.lock().begin();
        Ok(TeamState { team, shared, supervisor })
    }

    async fn handle(
        &self,
        myself: ActorRef<Work>,
        _work: Work,
        state: &mut TeamState,
    ) -> Result<(), ActorProcessingErr> {
        let TeamState { team, shared, supervisor } = state;
        let mut turns = 0;
        loop {
            let (goes_on, later, timers) = {
                let mut team = team.lock();
                if shared.is_stopped() {
                    team.stop();
                    myself.stop(None);
                    return Ok(());
                }
                let turn = team.turn(shared);
                for slot in team.take_slow() {
                    supervisor.cast(Alone(slot))?;
                }
                if team.is_done() {
                    myself.stop(None);
                }
                (!team.is_done() && (turn.more || team.rest()), turn.later, team.take_timers())
            };
            for (waker, at) in timers {
                let shared = Arc::clone(shared);
                shared.timers.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    shared.clock.sleep_until(at).await;
                    waker.wake();
                    shared.timers.fetch_sub(1, Ordering::Relaxed);
                });
            }
            if !goes_on {
                return Ok(());
            }
            turns += 1;
            if later || turns % TURNS == 0 {
                // Whoever a step woke is next on this thread, and no other thread can take it from here.
                step_back().await;
            }
        }
    }
}

/// How somebody else steps a team in the place of its actor, which rests.
pub(crate) struct Helper {
    team: Weak<Mutex<Team>>,
    shared: Weak<Shared>,
    /// What an author's code finds where it asks for the async runtime.
    runtime: runtime::Handle,
}

impl fmt::Debug for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Helper").finish_non_exhaustive()
    }
}

impl Helper {
    /// Steps the team until it rests, or for about so long. Says `false` where it does not rest, and its actor is to go on.
    ///
    /// Only for whoever has claimed the team's work from its waker.
    pub fn step(&self, most: Duration) -> bool {
        let (Some(team), Some(shared)) = (self.team.upgrade(), self.shared.upgrade()) else { return false };
        let Some(mut team) = team.try_lock() else { return false };
        let _inside = self.runtime.enter();
        let until = shared.clock.now() + most;
        let rests = guard::call(|| {
            while !shared.is_stopped() && !team.needs_its_actor() {
                let turn = team.turn(&shared);
                if turn.later || team.needs_its_actor() {
                    break;
                }
                if !turn.more && !team.rest() {
                    return true;
                }
                if shared.clock.now() > until {
                    break;
                }
            }
            false
        });
        rests.unwrap_or_else(|panicked| {
            // Our own fault, never the author's: a step that dies takes its batch with it.
            shared.fail(format!("a step: {}", panicked.0));
            false
        })
    }
}

/// Lets others have this thread. Unlike with tokio's own `yield_now`, another thread may go on with this actor meanwhile, so that
/// it need not wait for a slow one that it has woken.
async fn step_back() {
    let mut back = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut back, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Starts the actors of a run, and another in the place of one that dies between two steps.
///
/// What a node has is in its slot and on its edges, so that nothing is lost with an actor. A step that dies takes its batch
/// with it, and then the run stops rather than to go on with a hole.
pub(crate) struct Supervisor;

/// The actors of a run, and which nodes each steps.
pub(crate) struct Crew {
    shared: Arc<Shared>,
    teams: HashMap<ActorId, Vec<NodeSlot>>,
}

/// A node that is to have an actor of its own.
pub(crate) struct Alone(NodeSlot);

/// An actor that dies so often will die for ever.
const MOST_RESTARTS: u64 = 100;

impl Actor for Supervisor {
    type Msg = Alone;
    type State = Crew;
    type Arguments = (Vec<Vec<NodeSlot>>, Arc<Shared>);

    async fn pre_start(
        &self,
        myself: ActorRef<Alone>,
        (teams, shared): Self::Arguments,
    ) -> Result<Crew, ActorProcessingErr> {
        let mut crew = Crew { shared, teams: HashMap::new() };
        for slots in teams {
            crew.add(slots, &myself).await?;
        }
        Ok(crew)
    }

    async fn handle(
        &self,
        myself: ActorRef<Alone>,
        Alone(slot): Alone,
        crew: &mut Crew,
    ) -> Result<(), ActorProcessingErr> {
        for slots in crew.teams.values_mut() {
            slots.retain(|other| other.core.id != slot.core.id);
        }
        Ok(crew.add(vec![slot], &myself).await?)
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Alone>,
        event: SupervisionEvent,
        crew: &mut Crew,
    ) -> Result<(), ActorProcessingErr> {
        let (dead, why) = match event {
            SupervisionEvent::ActorFailed(actor, error) => (actor.get_id(), error.to_string()),
            SupervisionEvent::ActorTerminated(actor, _, why) => {
                let id = actor.get_id();
                // The dispatcher and its stages are told to stop when the run is over, and by nobody else.
                if !crew.teams.contains_key(&id) && why.as_deref() != Some("killed") {
                    return Ok(());
                }
                (id, why.unwrap_or_else(|| "it ended before its work was done".to_owned()))
            }
            _ => return Ok(()),
        };
        if let Err(why) = crew.replace(dead, why, &myself).await {
            crew.shared.fail(why);
        }
        Ok(())
    }
}

impl Crew {
    /// Starts an actor that steps these nodes.
    async fn add(&mut self, slots: Vec<NodeSlot>, supervisor: &ActorRef<Alone>) -> Result<(), SpawnErr> {
        let team = Team::new(slots.clone());
        let waker = Arc::clone(team.waker());
        let team = Arc::new(Mutex::new(team));
        let helper = Helper {
            team: Arc::downgrade(&team),
            shared: Arc::downgrade(&self.shared),
            runtime: runtime::Handle::current(),
        };
        let args = (team, Arc::clone(&self.shared), supervisor.clone());
        let (actor, _) = Actor::spawn_linked(None, TeamActor, args, supervisor.get_cell()).await?;
        self.teams.insert(actor.get_id(), slots);
        waker.attach(actor, helper);
        Ok(())
    }

    /// Puts another actor in the place of a dead one, or says why the run must stop.
    async fn replace(
        &mut self,
        dead: ActorId,
        why: String,
        supervisor: &ActorRef<Alone>,
    ) -> Result<(), String> {
        let slots = self.teams.remove(&dead);
        if self.shared.is_stopped() {
            return Ok(());
        }
        let Some(mut slots) = slots else { return Err(why) };
        slots.retain(|slot| !slot.core.stats.done.load(Ordering::Relaxed));
        for slot in &slots {
            // Our own fault, never the author's: her code runs under a guard.
            let whole = !slot.health.stepping.load(Ordering::Relaxed);
            if !whole || slot.health.restarts.fetch_add(1, Ordering::Relaxed) >= MOST_RESTARTS {
                return Err(format!("`{}`: {why}", slot.core.name));
            }
        }
        if slots.is_empty() {
            Ok(())
        } else {
            self.add(slots, supervisor).await.map_err(|error| error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
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
