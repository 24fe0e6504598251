//! Whether actors can wait for ever or lose a record, tried out with shuttle: the real wakers, edges, loops, origins and
//! nodes of small graphs, with a thread for each actor, in many of the orders in which threads may take turns.
//!
//! Each schedule draws capacities, permits, the sizes of batches and who is in a team with whom anew, and must come to its end (shuttle reports a
//! deadlock) with every record where it belongs. Then each rule that keeps actors from waiting for ever is switched off,
//! and a schedule that fails must be found.
//!
//! `make test` tries some thousand schedules and `make soak-concurrency`, a part of `make audit`, 260,000. Not seen are
//! orders that only weak memory has, turns between uses of what is not of [`sync`](crate::sync), barriers, stops, timers
//! and models.

mod flow;
mod operators;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
};

use eddyline_planner::Plan;
use shuttle::{
    Config, FailurePersistence, MaxSteps, Runner,
    rand::Rng,
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
};

use crate::{
    actor::NodeSlot,
    clock::Clock,
    edge::AnyEdge,
    fate::Fate,
    loops::Loop,
    operator::NodeCore,
    rules::Rules,
    run::RunOptions,
    schedule::Schedule,
    serve::Serving,
    shared::Shared,
    sync::{Exploring, Mailbox, Rule},
    team::Team,
};
use flow::Flow;

/// What one of our own does wrong, for once.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    /// A rule does not hold.
    Without(Rule),
    /// An actor marks its work as taken when it has stepped, not before.
    WorkIsTakenAfterTheStep,
    /// The run has other rules.
    Ruled(fn(&mut Rules)),
}

/// A small graph; gives what is to be looked at when all is over.
type Scenario = fn(&Flow) -> Box<dyn FnOnce()>;

/// How many schedules of each scenario each scheduler tries.
fn schedules() -> usize {
    std::env::var("INTERLEAVINGS").ok().and_then(|n| n.parse().ok()).unwrap_or(150)
}

/// Every schedule comes to its end with every record where it belongs.
fn holds(scenario: Scenario) {
    let n = schedules();
    let tried = explore(RandomScheduler::new_from_seed(1, n), scenario, None)
        + explore(PctScheduler::new_from_seed(1, 3, n), scenario, None);
    println!("{tried} schedules");
}

/// With this wrong, a schedule is found that ends in `failure`.
fn fails(wrong: Wrong, failure: &str, scenario: Scenario) {
    const ENOUGH: usize = 2000;
    let found = |scheduler: Box<dyn Scheduler + Send>| {
        let tried = catch_unwind(AssertUnwindSafe(|| explore(scheduler, scenario, Some(wrong))));
        let Err(panic) = tried else { return false };
        let message = panic.downcast_ref::<String>().map_or("", String::as_str);
        assert!(message.contains(failure), "another failure than `{failure}`: {message}");
        true
    };
    let random = found(Box::new(RandomScheduler::new_from_seed(1, ENOUGH)));
    assert!(
        random || found(Box::new(PctScheduler::new_from_seed(1, 3, ENOUGH))),
        "no schedule fails with {wrong:?}"
    );
}

fn explore(scheduler: impl Scheduler + 'static, scenario: Scenario, wrong: Option<Wrong>) -> usize {
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config.silence_warnings = true;
    config.max_steps = MaxSteps::FailAfter(100_000);
    // Printed only where nobody expects it.
    config.failure_persistence =
        if wrong.is_some() { FailurePersistence::None } else { FailurePersistence::Print };
    // Started by now, since it has threads of its own.
    serving();
    let _exploring = Exploring::without(match wrong {
        Some(Wrong::Without(rule)) => Some(rule),
        _ => None,
    });
    Runner::new(scheduler, config).run(move || {
        let flow = Flow::new();
        let look = scenario(&flow);
        run(&flow, wrong);
        look();
    })
}

/// Runs a graph to its end, each actor a thread that steps a node or several.
fn run(flow: &Flow, wrong: Option<Wrong>) {
    let mut rng = shuttle::rand::thread_rng();
    let mut rules = Rules::default();
    if let Some(Wrong::Ruled(change)) = wrong {
        change(&mut rules);
    }
    let options = RunOptions {
        permits: rng.gen_range(1..=2),
        edge_capacity: rng.gen_range(1..=3),
        // So that rows of a step are drawn, and do not depend on how long steps take.
        schedule: Schedule::Seeded(rng.gen_range(0..u64::MAX)),
        rules,
        ..RunOptions::default()
    };
    let clock = Clock::real();
    let mut built = flow.graph.build(&options, &clock, serving());
    let shared = Shared::new(clock, options.rules, options.schedule, &mut built);
    let mut cores = Vec::new();
    let mut threads = Vec::new();
    let actors = rng.gen_range(1..=built.nodes.len());
    let mut teams: Vec<Vec<NodeSlot>> = vec![Vec::new(); actors];
    for (core, _, node) in built.nodes {
        cores.push(Arc::clone(&core));
        teams[rng.gen_range(0..actors)].push(NodeSlot::new(core, node));
    }
    for slots in teams.into_iter().filter(|slots| !slots.is_empty()) {
        let mailbox = Arc::new(Mailbox::default());
        let team = Team::new(slots);
        let waker = Arc::clone(team.waker());
        let actor = Actor { team, mailbox: Arc::clone(&mailbox), wrong };
        let with = Arc::clone(&shared);
        threads.push(shuttle::thread::spawn(move || actor.run(&with)));
        waker.attach_thread(mailbox);
    }
    for thread in threads {
        thread.join().expect("an actor does not panic");
    }
    let emitted = look_at_balances(&cores, &shared);
    assert_eq!(emitted, flow.arrived() as u64, "what counts as emitted is in a sink");
    look_at_bounds(&built.edges, &built.loops);
}

/// What `TeamActor` is to ractor.
struct Actor {
    team: Team,
    mailbox: Arc<Mailbox>,
    wrong: Option<Wrong>,
}

impl Actor {
    fn run(mut self, shared: &Shared) {
        let late = matches!(self.wrong, Some(Wrong::WorkIsTakenAfterTheStep));
        self.team.begin();
        loop {
            self.mailbox.take();
            loop {
                let turn = self.team.turn(shared);
                assert!(self.team.take_timers().is_empty(), "no operator here has a timer");
                if self.team.is_done() {
                    return;
                }
                if late && !turn.more {
                    self.team.waker().taken();
                    break;
                }
                if !turn.more && !self.team.rest() {
                    break;
                }
            }
        }
    }
}

/// Everything that came into being ended once, and for good. Says how much of it was emitted.
fn look_at_balances(cores: &[Arc<NodeCore>], shared: &Shared) -> u64 {
    use std::sync::atomic::Ordering::Relaxed;
    let (mut ended, mut roots_ended) = (BTreeMap::new(), BTreeMap::new());
    for core in cores {
        core.stats.ended.add_to(&mut ended);
        core.stats.roots_ended.add_to(&mut roots_ended);
    }
    let created: u64 = cores.iter().map(|core| core.stats.created.load(Relaxed)).sum();
    let roots: u64 = cores.iter().map(|core| core.stats.roots_created.load(Relaxed)).sum();
    assert_eq!(ended.values().sum::<u64>(), created, "records end once: {ended:?}");
    assert_eq!(roots_ended.values().sum::<u64>(), roots, "roots end once: {roots_ended:?}");
    assert!(shared.provisional.lock().is_empty(), "every end is final");
    ended.get(Fate::Emitted.name()).copied().unwrap_or_default()
}

/// No edge held more than it may, and nothing is left.
fn look_at_bounds(edges: &[Arc<dyn AnyEdge>], loops: &[Arc<Loop>]) {
    for edge in edges {
        let (view, snapshot) = (edge.view(), edge.snapshot());
        assert!(snapshot.most <= view.capacity, "{view:?} held {}", snapshot.most);
        assert_eq!(snapshot.queued, 0, "{view:?} still holds records");
    }
    for loop_ in loops {
        assert_eq!(loop_.snapshot().used, 0, "permits are left in use");
        assert!(loop_.is_closed());
    }
}

/// What serves the models of a run that has none.
fn serving() -> &'static Serving {
    static SERVING: OnceLock<(Serving, tokio::runtime::Runtime)> = OnceLock::new();
    let (serving, _) = SERVING.get_or_init(|| {
        let tokio = tokio::runtime::Builder::new_current_thread().build().expect("tokio starts");
        let none: [&str; 0] = [];
        let serving = tokio.block_on(Serving::start(Plan::on_cpu(none), Vec::new(), Clock::real()));
        (serving.expect("nothing is prepared"), tokio)
    });
    serving
}

fn sorted(mut values: Vec<u64>) -> Vec<u64> {
    values.sort_unstable();
    values
}

// ---- what holds ----

/// source → relay → sink, with room for one or two records on each edge.
fn line(flow: &Flow) -> Box<dyn FnOnce()> {
    let arrived = flow.sink(&flow.relay(&flow.source(0..6)));
    Box::new(move || assert_eq!(*arrived.lock(), [0, 1, 2, 3, 4, 5], "in order"))
}

/// source → two ways of different length → merge → sink.
fn diamond(flow: &Flow) -> Box<dyn FnOnce()> {
    let source = flow.source(0..4);
    let arrived = flow.sink(&flow.merge(&flow.relay(&source), &source));
    Box::new(move || assert_eq!(sorted(arrived.lock().clone()), [0, 0, 1, 1, 2, 2, 3, 3]))
}

/// Every record becomes two in the loop, goes round once and becomes two again: more than there are permits.
fn splitting_loop(flow: &Flow) -> Box<dyn FnOnce()> {
    let (inside, back) = flow.feedback(&flow.source(1..4), false);
    let arrived = flow.sink(&flow.judge(&flow.split(&inside), &back, |_, rounds| rounds < 1));
    Box::new(move || {
        let fours = |n: u64| [n * 100 + 11, n * 100 + 12, n * 100 + 21, n * 100 + 22];
        assert_eq!(sorted(arrived.lock().clone()), [1, 2, 3].map(fours).concat());
    })
}

/// Rows wait in the loop for a partner, which has to come in past them; an odd one is let go of at the end.
fn pairing_loop(flow: &Flow) -> Box<dyn FnOnce()> {
    let (inside, back) = flow.feedback(&flow.source(1..6), false);
    let arrived = flow.sink(&flow.judge(&flow.pair(&inside), &back, |_, rounds| rounds < 1));
    Box::new(move || assert_eq!(arrived.lock().iter().sum::<u64>(), 15, "what is in the pairs"))
}

/// A second way into the loop, behind its point.
fn two_ways_in(flow: &Flow) -> Box<dyn FnOnce()> {
    let (inside, back) = flow.feedback(&flow.source(1..4), false);
    let merged = flow.merge(&inside, &flow.source(4..7));
    let arrived = flow.sink(&flow.judge(&flow.split(&merged), &back, |v, rounds| v % 2 == 0 && rounds < 1));
    Box::new(move || {
        // 12 goes round and becomes two; 11 leaves at once.
        let threes = |n: u64| [n * 10 + 1, n * 100 + 21, n * 100 + 22];
        assert_eq!(sorted(arrived.lock().clone()), sorted([1, 2, 3, 4, 5, 6].map(threes).concat()));
    })
}

/// One loop behind another, with little room between them.
fn loop_after_loop(flow: &Flow) -> Box<dyn FnOnce()> {
    let (first, back) = flow.feedback(&flow.source(1..4), false);
    let first = flow.judge(&flow.split(&first), &back, |v, rounds| v % 2 == 0 && rounds < 1);
    let (second, back) = flow.feedback(&first, false);
    let arrived = flow.sink(&flow.judge(&flow.relay(&second), &back, |_, rounds| rounds < 1));
    Box::new(move || assert_eq!(sorted(arrived.lock().clone()), [11, 21, 31, 121, 122, 221, 222, 321, 322]))
}

/// Parts of a record are worked on inside the loop, and some of them end there.
fn gathering_loop(flow: &Flow) -> Box<dyn FnOnce()> {
    let (inside, back) = flow.feedback(&flow.source(1..4), false);
    let whole = flow.in_parts(&inside, |parts| flow.without_odd(parts));
    let arrived = flow.sink(&flow.judge(&whole, &back, |_, rounds| rounds < 1));
    Box::new(move || assert_eq!(sorted(arrived.lock().clone()), [1, 2, 3]))
}

/// What has been gathered waits for a partner, and does not leave alone while a second one may come.
fn pairs_of_gathered(flow: &Flow) -> Box<dyn FnOnce()> {
    let (inside, back) = flow.feedback(&flow.source(1..5), false);
    let pairs = flow.pair(&flow.in_parts(&inside, |parts| flow.without_odd(parts)));
    let arrived = flow.sink(&flow.judge(&pairs, &back, |_, _| false));
    Box::new(move || {
        let arrived = arrived.lock();
        assert_eq!((arrived.len(), arrived.iter().sum()), (2, 10), "two pairs: {arrived:?}");
    })
}

/// Both parts of a record may ask for a new version of it, and one of them may have left before: only what was made of the
/// last version stays.
fn versions(flow: &Flow) -> Box<dyn FnOnce()> {
    let (inside, back) = flow.feedback(&flow.source(1..3), true);
    // 11 and 12 are sent back; of 21 and 22 the second.
    let again = |v, rounds| rounds < 1 && v != 21;
    let kept = flow.sink_that_takes_back(&flow.judge(&flow.split(&inside), &back, again));
    Box::new(move || assert_eq!(sorted(kept.lock().clone()), [11, 12, 21, 22]))
}

/// The same, where the sink waits for what is final.
fn final_versions(flow: &Flow) -> Box<dyn FnOnce()> {
    let (inside, back) = flow.feedback(&flow.source(1..3), true);
    let again = |v, rounds| rounds < 1 && v != 21;
    let arrived = flow.sink_that_waits(&flow.judge(&flow.split(&inside), &back, again));
    Box::new(move || assert_eq!(sorted(arrived.lock().clone()), [11, 12, 21, 22]))
}

/// Two handlers send parts of the same record back at once: one of them comes first.
fn two_handlers(flow: &Flow) -> Box<dyn FnOnce()> {
    let (inside, back) = flow.feedback(&flow.source(1..3), true);
    let first = flow.judge(&flow.split(&inside), &back, |v, rounds| rounds < 1 && v % 10 == 1);
    let second = flow.judge(&flow.relay(&first), &back, |v, rounds| rounds < 1 && v % 10 == 2);
    let kept = flow.sink_that_takes_back(&second);
    Box::new(move || assert_eq!(sorted(kept.lock().clone()), [11, 12, 21, 22]))
}

/// A loop in a loop: a version of the outer one is made anew while parts of it go round the inner one.
fn loop_in_loop(flow: &Flow) -> Box<dyn FnOnce()> {
    let (outside, far_back) = flow.feedback(&flow.source(1..3), true);
    let (inside, back) = flow.feedback(&outside, true);
    let inner = flow.judge(&flow.split(&inside), &back, |v, rounds| rounds < 1 && v % 10 == 1);
    let outer = flow.judge(&inner, &far_back, |v, rounds| rounds < 1 && v % 10 == 2);
    let kept = flow.sink_that_takes_back(&outer);
    Box::new(move || assert_eq!(sorted(kept.lock().clone()), [11, 12, 21, 22]))
}

/// Versions of what waits in the loop for a partner.
fn versions_of_pairs(flow: &Flow) -> Box<dyn FnOnce()> {
    let (inside, back) = flow.feedback(&flow.source(1..4), true);
    let judged = flow.judge(&flow.pair(&flow.split(&inside)), &back, |_, rounds| rounds < 1);
    let _ = flow.sink_that_waits(&judged);
    Box::new(|| {})
}

macro_rules! hold {
    ($($scenario:ident)*) => {
        mod holds {
            $(#[test] fn $scenario() { super::holds(super::$scenario); })*
        }
    };
}
hold! {
    line diamond splitting_loop pairing_loop two_ways_in loop_after_loop gathering_loop pairs_of_gathered versions final_versions
    two_handlers loop_in_loop versions_of_pairs
}

// ---- what each rule is for ----

const DEADLOCK: &str = "deadlock";

#[test]
fn room_wakes_the_producer() {
    fails(Wrong::Without(Rule::RoomWakes), DEADLOCK, line);
}

#[test]
fn the_end_of_an_edge_wakes_its_consumer() {
    fails(Wrong::Without(Rule::ClosingWakes), DEADLOCK, line);
}

#[test]
fn work_is_taken_before_the_step() {
    fails(Wrong::WorkIsTakenAfterTheStep, DEADLOCK, line);
}

#[test]
fn permits_wake_the_overflow() {
    fails(Wrong::Without(Rule::PermitsWakeOverflow), DEADLOCK, splitting_loop);
}

#[test]
fn permits_wake_the_ways_in() {
    fails(Wrong::Without(Rule::PermitsWakeIngress), DEADLOCK, two_ways_in);
}

#[test]
fn parked_rows_return_their_permits() {
    fails(Wrong::Ruled(|rules| rules.parked_rows_return_permits = false), DEADLOCK, pairing_loop);
}

#[test]
fn parked_rows_are_flushed() {
    fails(Wrong::Without(Rule::ParkedRowsAreFlushed), "records end once", pairing_loop);
}

#[test]
fn notices_count() {
    fails(Wrong::Ruled(|rules| rules.notices_count = false), "two pairs", pairs_of_gathered);
}

#[test]
fn rows_that_wait_are_found() {
    fails(Wrong::Without(Rule::RowsThatWaitAreFound), DEADLOCK, final_versions);
}

#[test]
fn rows_at_rest_are_told() {
    fails(Wrong::Ruled(|rules| rules.withdrawals_reach_rows = false), DEADLOCK, versions);
}
