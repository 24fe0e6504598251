//! A run: from a whole graph to its last record.

mod shown;
mod steering;

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use eddyline_planner::Plan;
use parking_lot::Mutex;
use ractor::{Actor, ActorRef};
use thiserror::Error;
use tokio::task::JoinHandle;

use crate::{
    actor::{Alone, NodeSlot, Supervisor},
    clock::Clock,
    edge::{AnyEdge, DEFAULT_CAPACITY},
    epochs::OPEN_EPOCHS,
    fault::Fault,
    graph::{BuildError, BuildErrors, Graph},
    guard,
    lineage::{self, Histories, History, Lineage},
    loops::{DEFAULT_PERMITS, Loop},
    observer::{Ending, Observer, ObserverError, Part, SteerError, Watch},
    people::{AnswerError, QuestionView, Questions},
    quarantine::{Entry, Filter, ReplayError, ReplayedNow, Store, StoreError},
    record::RecordId,
    rules::Rules,
    schedule::{Schedule, run_seeded},
    serve::Serving,
    shared::Shared,
    slots::{Filling, SlotError, SlotView},
    view::{Balances, GraphView, Role, RunState, Snapshot},
};

/// How a graph is to be run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where models are placed; without one, each is one stage on the CPU.
    pub plan: Option<Plan>,
    /// Records that may be inside one loop.
    pub permits: usize,
    /// Records that an edge outside of the loops holds.
    pub edge_capacity: usize,
    /// Epochs of a source that may have records on their way to an operator that asks for order.
    pub open_epochs: usize,
    /// Whether one actor steps all nodes that are connected, but for those that turn out to be slow.
    pub fused: bool,
    /// Handlers that judge nothing: all passes them.
    pub without: Vec<String>,
    /// How much is written down of what happens to records.
    pub lineage: Lineage,
    /// How much of that is kept, in MiB.
    pub lineage_mib: usize,
    /// Who steps when.
    pub schedule: Schedule,
    /// Where faults are kept beyond the run; without one, the first 100,000 are kept in memory.
    pub store: Option<Arc<dyn Store>>,
    /// Whether Ctrl-C drains the run (and a second one stops it) instead of ending the process.
    pub ctrl_c: bool,
    /// Which rules hold: all, but in a test of what one is for.
    #[doc(hidden)]
    pub rules: Rules,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            plan: None,
            permits: DEFAULT_PERMITS,
            edge_capacity: DEFAULT_CAPACITY,
            open_epochs: OPEN_EPOCHS,
            fused: true,
            without: Vec::new(),
            lineage: Lineage::Off,
            lineage_mib: lineage::DEFAULT_MIB,
            schedule: Schedule::Actors,
            store: None,
            ctrl_c: true,
            rules: Rules::default(),
        }
    }
}

/// What happened to records was not written down.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "nothing was written down of where the results of `{workflow}` come from; add `.lineage(Lineage::Ids)` to it"
)]
pub struct LineageOff {
    /// The workflow.
    pub workflow: String,
}

/// Why a workflow did not run, or not to its end.
#[derive(Error)]
#[non_exhaustive]
pub enum RunError {
    /// The workflow is wrong.
    #[error(transparent)]
    Build(#[from] BuildErrors),
    /// The observer cannot look.
    #[error(transparent)]
    Observer(#[from] ObserverError),
    /// Records are inside and nothing can move them. This is a defect of Eddyline, not of the workflow.
    #[error("the run stalled: {where_}; please report this with the workflow that shows it")]
    Stalled {
        /// Where records wait.
        where_: String,
    },
    /// Lineage was asked for where there is none.
    #[error(transparent)]
    LineageOff(#[from] LineageOff),
    /// An actor died. This is a defect of Eddyline, not of the workflow.
    #[error("an actor of the runtime died: {why}; please report this with the workflow that shows it")]
    Actor {
        /// What it said.
        why: String,
    },
}

/// Shown as it is displayed, since this is what an author sees when her `main` returns it.
impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The graph.
    pub graph: GraphView,
    /// Its last snapshot, taken when nothing moved any more.
    pub last: Snapshot,
    /// The quarantine: every fault that was kept whole.
    pub faults: Quarantine,
    /// What happened to records, where that was kept.
    pub lineage: Histories,
}

/// The quarantine of a run that is over, made readable when somebody reads it.
#[derive(Clone)]
pub struct Quarantine {
    shared: Arc<Shared>,
    faults: OnceLock<Vec<Fault>>,
}

impl Quarantine {
    /// The faults that were kept whole, oldest first.
    pub fn faults(&self) -> &[Fault] {
        self.faults.get_or_init(|| self.shared.faults.kept(&|root| self.shared.origin_of(root)))
    }
}

impl fmt::Debug for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.faults()).finish()
    }
}

/// The live part of a run.
struct Live {
    shared: Arc<Shared>,
    nodes: Vec<(NodeSlot, Role)>,
    edges: Vec<Arc<dyn AnyEdge>>,
    loops: Vec<Arc<Loop>>,
    serving: Serving,
}

/// A run as observers hold it: from before its models are loaded until after its last record.
struct Handle {
    graph: Graph,
    clock: Clock,
    state: Mutex<RunState>,
    errors: Mutex<Vec<BuildError>>,
    live: OnceLock<Live>,
    balances: Mutex<Balances>,
    /// When the run was over: its clock then stands still.
    over_at: OnceLock<u64>,
    /// Whether somebody pressed Ctrl-C.
    interrupted: AtomicBool,
}

/// A run between its start and its end, however it comes to it: an author who drops the future of her run leaves no actor, no
/// thread and no open source behind, though an observer may still look at what it was.
struct Underway<'a> {
    handle: &'a Handle,
    live: &'a Live,
    supervisor: ActorRef<Alone>,
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        let Self { handle, live, supervisor } = self;
        if handle.over_at.get().is_none() {
            handle.stop();
            handle.over_at.get_or_init(|| handle.clock.now_us());
            *handle.state.lock() = RunState::Stopped;
        }
        live.serving.abandon();
        for (slot, _) in &live.nodes {
            // One that is in a step looks for itself at its end.
            if let Some(mut node) = slot.node.try_lock() {
                node.stop();
            }
        }
        supervisor.stop(None);
    }
}

/// Runs a graph to its end. Where the future is dropped before, the run stops at once and nothing of it stays behind.
///
/// # Errors
/// Everything that is wrong with the workflow or its models at once; an observer that cannot open; an actor that died.
pub async fn run(
    graph: Graph,
    options: RunOptions,
    observer: &mut dyn Observer,
) -> Result<Summary, RunError> {
    guard::install_hook();
    observer.open().await?;
    let clock = Clock::real();
    let handle = Arc::new(Handle {
        graph: graph.clone(),
        clock: clock.clone(),
        state: Mutex::new(RunState::Starting),
        errors: Mutex::default(),
        live: OnceLock::new(),
        balances: Mutex::default(),
        over_at: OnceLock::new(),
        interrupted: AtomicBool::new(false),
    });
    observer.started(Arc::clone(&handle) as Arc<dyn Watch>);
    let result = handle.run(options).await;
    let ending = match *handle.state.lock() {
        RunState::Refused => Ending::Refused,
        _ if handle.interrupted.load(Ordering::Relaxed) => Ending::Interrupted,
        _ => Ending::Done,
    };
    observer.finished(ending).await;
    result
}

impl Handle {
    async fn run(&self, options: RunOptions) -> Result<Summary, RunError> {
        let serving = match self.prepare(&options).await {
            Ok(serving) => serving,
            Err(errors) => {
                *self.state.lock() = RunState::Refused;
                self.over_at.get_or_init(|| self.clock.now_us());
                *self.errors.lock() = errors.clone();
                return Err(BuildErrors { workflow: self.graph.name().to_owned(), errors }.into());
            }
        };
        let stores = self.graph.stores(options.store.as_ref());
        if let Err(error) = self.begin(stores.clone()).await {
            serving.stop().await;
            *self.state.lock() = RunState::Refused;
            self.over_at.get_or_init(|| self.clock.now_us());
            let error = BuildError { node: None, place: None, what: error.what, advice: error.advice };
            *self.errors.lock() = vec![error.clone()];
            return Err(BuildErrors { workflow: self.graph.name().to_owned(), errors: vec![error] }.into());
        }
        let (live, supervisor, mut supervising) = self.start(&options, serving).await?;
        let _underway = Underway { handle: self, live, supervisor: supervisor.clone() };
        *self.state.lock() = RunState::Running;

        loop {
            tokio::select! {
                () = live.shared.over() => break,
                _ = &mut supervising => {
                    live.shared.fail("the supervisor of the run".to_owned());
                    break;
                }
                () = tokio::time::sleep(WATCH) => live.look_for_stall(),
                Ok(()) = tokio::signal::ctrl_c(), if options.ctrl_c => {
                    if self.interrupted.swap(true, Ordering::Relaxed) {
                        self.stop();
                    } else {
                        eprintln!("draining: sources have stopped, what is inside runs out; Ctrl-C again stops at once");
                        self.drain();
                    }
                }
            }
        }
        live.serving.stop().await;
        supervisor.stop(None);
        if !stores.is_empty() {
            let finish = move || stores.iter().for_each(|store| store.finish());
            if let Err(error) = tokio::task::spawn_blocking(finish).await {
                live.shared.fail(format!("the quarantine's writer: {error}"));
            }
        }
        self.over_at.get_or_init(|| self.clock.now_us());
        let failure = live.shared.failure();
        *self.state.lock() = match (&failure, live.shared.is_stopped()) {
            (Some(_), _) => RunState::Failed,
            (None, true) => RunState::Stopped,
            (None, false) => RunState::Finished,
        };
        if live.shared.stalls() > 0 && options.schedule != Schedule::Actors {
            return Err(RunError::Stalled { where_: live.where_records_wait() });
        }
        if let Some(failure) = failure {
            return Err(RunError::Actor { why: failure });
        }
        // Nothing moves any more, or only the step that a stop found under way: wait for it.
        drop(live.shared.gate.write());
        Ok(Summary {
            graph: self.graph(),
            last: self.snapshot(),
            faults: Quarantine { shared: Arc::clone(&live.shared), faults: OnceLock::new() },
            lineage: Histories::new(Arc::clone(&live.shared), self.graph()),
        })
    }

    /// Checks the workflow and loads its models.
    async fn prepare(&self, options: &RunOptions) -> Result<Serving, Vec<BuildError>> {
        let mut errors = self.graph.check();
        errors.extend(options.without.iter().filter_map(|name| self.graph.check_without(name)));
        if !errors.is_empty() {
            return Err(errors);
        }
        let models = self.graph.models();
        let plan = options.plan.clone().unwrap_or_else(|| {
            let names: Vec<&str> = models.iter().map(|model| model.name()).collect();
            Plan::on_cpu(&names)
        });
        Serving::start_under(options.rules, plan, models, self.clock.clone()).await.map_err(|error| {
            let node = error.model().and_then(|model| self.graph.find(model));
            vec![BuildError {
                node: node.map(|(node, _)| node),
                place: node.map(|(_, place)| place),
                what: error.to_string(),
                advice: "mend the plan or the model that is named".to_owned(),
            }]
        })
    }

    async fn start(
        &self,
        options: &RunOptions,
        serving: Serving,
    ) -> Result<(&Live, ActorRef<Alone>, JoinHandle<()>), RunError> {
        let mut built = self.graph.build(options, &self.clock, &serving);
        let shared = Shared::new(self.clock.clone(), options, &mut built);
        let nodes: Vec<(NodeSlot, Role)> =
            built.nodes.into_iter().map(|(core, role, node)| (NodeSlot::new(core, node), role)).collect();
        let slots: Vec<NodeSlot> = nodes.iter().map(|(slot, _)| slot.clone()).collect();
        let members = |team: Vec<u32>| team.iter().map(|&node| slots[node as usize].clone()).collect();
        let teams: Vec<Vec<NodeSlot>> = built.teams.into_iter().map(members).collect();
        let live = self.live.get_or_init(|| Live {
            shared: Arc::clone(&shared),
            nodes,
            edges: built.edges,
            loops: built.loops,
            serving,
        });
        // A seeded run's nodes are stepped by one task; its models still have actors.
        let teams = if options.schedule == Schedule::Actors { teams } else { Vec::new() };
        let (supervisor, supervising) = Actor::spawn(None, Supervisor, (teams, Arc::clone(&shared)))
            .await
            .map_err(|error| RunError::Actor { why: error.to_string() })?;
        live.serving.link(supervisor.get_cell());
        if options.schedule != Schedule::Actors {
            let steps = tokio::spawn(run_seeded(slots, Arc::clone(&shared)));
            tokio::spawn(async move {
                if let Err(error) = steps.await {
                    shared.fail(error.to_string());
                }
            });
        }
        Ok((live, supervisor, supervising))
    }
}

impl Handle {
    fn put_on_hold(&self, part: Part, paused: bool) -> Result<(), SteerError> {
        let live = self.live.get().filter(|_| self.over_at.get().is_none()).ok_or(SteerError::NotRunning)?;
        match part {
            Part::Node(id) if live.nodes.iter().all(|(slot, _)| slot.core.id != id) => {
                Err(SteerError::NoSuchNode(id))
            }
            _ => {
                live.put_on_hold(part, paused);
                Ok(())
            }
        }
    }
}

impl Handle {
    fn desk(&self, node: u32) -> Result<Arc<dyn Questions>, AnswerError> {
        let desk = self.graph.desks().into_iter().find(|(desk, _)| *desk == node);
        desk.map(|(_, desk)| desk).ok_or(AnswerError::NoSuchDesk(node))
    }
}

impl Watch for Handle {
    fn graph(&self) -> GraphView {
        self.graph.view(&self.errors.lock())
    }

    fn snapshot(&self) -> Snapshot {
        let mut state = *self.state.lock();
        let flows = matches!(state, RunState::Running | RunState::Draining);
        if flows && self.live.get().is_some_and(Live::is_all_paused) {
            state = RunState::Paused;
        }
        let mut snapshot = Snapshot {
            state,
            at_us: self.over_at.get().copied().unwrap_or_else(|| self.clock.now_us()),
            balances: Balances::default(),
            nodes: Vec::new(),
            edges: Vec::new(),
            loops: Vec::new(),
            faults: Default::default(),
            devices: Vec::new(),
            hints: Vec::new(),
            stalls: 0,
        };
        if let Some(live) = self.live.get() {
            let slots: Vec<u32> = self.graph.slots().iter().map(|(node, _)| *node).collect();
            live.fill(&mut snapshot, &self.balances, &slots);
        }
        snapshot
    }

    fn drain(&self) {
        let Some(live) = self.live.get() else { return };
        live.shared.drain();
        let mut state = self.state.lock();
        if *state == RunState::Running {
            *state = RunState::Draining;
        }
        live.put_on_hold(Part::All, false);
        live.wake_all();
    }

    fn stop(&self) {
        if let Some(live) = self.live.get() {
            live.shared.stop();
            live.put_on_hold(Part::All, false);
            live.wake_all();
        }
    }

    fn questions(&self, most: usize) -> Vec<QuestionView> {
        let mut all = Vec::new();
        for (_, desk) in self.graph.desks() {
            all.extend(desk.open(most - all.len()));
        }
        all
    }

    fn question(&self, node: u32, number: u64) -> Result<serde_json::Value, AnswerError> {
        self.desk(node)?.whole(number).ok_or(AnswerError::NotOpen(number))
    }

    fn answer(&self, node: u32, number: u64, answer: serde_json::Value) -> Result<(), AnswerError> {
        self.desk(node)?.answer(number, answer)
    }

    fn history(&self, record: RecordId) -> Option<History> {
        let shared = Arc::clone(&self.live.get()?.shared);
        Some(Histories::new(shared, self.graph()).of(record))
    }

    fn slots(&self) -> Vec<SlotView> {
        self.graph.slot_views()
    }

    fn fill(&self, node: u32, filling: Filling) -> Result<(), SlotError> {
        self.fill_slot(node, filling)
    }

    fn quarantine(&self, filter: &Filter) -> Result<Vec<Entry>, StoreError> {
        self.find_faults(filter)
    }

    fn replay(&self, filter: &Filter) -> Result<ReplayedNow, ReplayError> {
        self.replay_faults(filter)
    }

    fn pause(&self, part: Part) -> Result<(), SteerError> {
        self.put_on_hold(part, true)
    }

    fn resume(&self, part: Part) -> Result<(), SteerError> {
        self.put_on_hold(part, false)
    }
}

/// How often the watchdog looks.
const WATCH: Duration = Duration::from_secs(1);

impl Live {
    /// The watchdog: where no node has stepped for a while, none has a timer and nothing outside can wake one, records that
    /// are inside would wait for ever. By the rules of loops and edges this does not happen; if it does it is counted,
    /// shown, and everybody is woken.
    fn look_for_stall(&self) {
        let sources = self.nodes.iter().filter(|(_, role)| *role == Role::Source);
        let ended = |(slot, _): &(NodeSlot, Role)| slot.core.stats.done.load(Ordering::Relaxed);
        if self.shared.is_idle_since_last_look()
            && !self.shared.waits_for_outside()
            && !self.nodes.iter().any(|(slot, _)| slot.is_paused())
            && sources.clone().all(ended)
        {
            self.shared.stalled();
            self.wake_all();
        }
    }

    fn where_records_wait(&self) -> String {
        let nodes = self.nodes.iter().filter_map(|(slot, _)| {
            let (kept, overflow) = slot.node.lock().kept();
            let done = slot.core.stats.done.load(Ordering::Relaxed);
            (kept + overflow > 0 || !done)
                .then(|| format!("`{}` holds {kept} and {overflow} in overflow", slot.core.name))
        });
        let edges = self.edges.iter().filter(|edge| edge.snapshot().queued > 0);
        let edges = edges.map(|edge| {
            let info = edge.info();
            format!("edge {} → {} has {}", info.from, info.to, edge.snapshot().queued)
        });
        nodes.chain(edges).collect::<Vec<_>>().join(", ")
    }

    fn put_on_hold(&self, part: Part, paused: bool) {
        for (slot, _) in &self.nodes {
            if part == Part::All || part == Part::Node(slot.core.id) {
                slot.core.stats.paused.store(paused, Ordering::SeqCst);
                slot.core.waker.wake();
            }
        }
    }

    /// Whether no operator that still has something to do takes input.
    fn is_all_paused(&self) -> bool {
        let mut open =
            self.nodes.iter().filter(|(slot, _)| !slot.core.stats.done.load(Ordering::Relaxed)).peekable();
        open.peek().is_some() && open.all(|(slot, _)| slot.is_paused())
    }

    fn wake_all(&self) {
        for (slot, _) in &self.nodes {
            slot.core.waker.wake();
        }
    }
}
