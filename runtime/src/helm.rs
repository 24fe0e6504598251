//! Who steps a team at the moment: its actor, or the thread of a source that has just brought something.
//!
//! Whoever makes the team's waker pending is at the helm, and nobody else. The actor is told by a message, which wakes a thread and
//! has it fetch from another core what the source has just written. Where the source's thread finds nobody at the helm it can as
//! well step the team itself: a record is then through the graph before the actor would have been awake.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use ractor::ActorRef;

use crate::{
    actor::Alone,
    clock::Moment,
    guard,
    shared::Shared,
    team::{Team, Turn},
    waker::Waker,
};

/// What it takes to step a team.
pub(crate) struct Helm {
    waker: Arc<Waker>,
    /// Only whoever is at the helm locks it.
    team: Mutex<Team>,
    shared: Arc<Shared>,
    supervisor: ActorRef<Alone>,
    runtime: tokio::runtime::Handle,
    /// Sources' threads that wait for room, and could step the team meanwhile.
    offers: Mutex<Vec<Arc<dyn Guest>>>,
    is_offered: AtomicBool,
}

/// A thread that would otherwise wait.
pub(crate) trait Guest: Send + Sync {
    /// The guest is at the helm from now on. Says `false` if it no longer waits.
    fn take_over(&self, helm: &Arc<Helm>) -> bool;
}

/// How a turn at the helm ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nobody in the team has more to do, and nobody is at the helm now.
    Resting,
    /// There was more to do at this time; at once, or after others where a step was long.
    More { at: Moment, later: bool },
    /// The run is to stop, or all members are done.
    Over,
}

impl Helm {
    /// Of this team. Must be made where the async runtime is.
    pub fn new(team: Team, shared: Arc<Shared>, supervisor: ActorRef<Alone>) -> Arc<Self> {
        Arc::new(Self {
            waker: Arc::clone(team.waker()),
            team: Mutex::new(team),
            shared,
            supervisor,
            runtime: tokio::runtime::Handle::current(),
            offers: Mutex::default(),
            is_offered: AtomicBool::new(false),
        })
    }

    /// What wakes its actor.
    pub fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    /// Its actor is there: everybody looks for work.
    pub fn begin(&self) {
        self.team.lock().begin();
    }

    /// One turn of whoever is at the helm.
    pub fn turn(&self) -> Left {
        let mut team = self.team.lock();
        if self.shared.is_stopped() {
            team.stop();
            return Left::Over;
        }
        let Turn { more, later, timers, now } = team.turn(&self.shared);
        for slot in team.take_slow() {
            // A supervisor that has ended has no use for it: the run is over.
            let _ = self.supervisor.cast(Alone(slot));
        }
        for (waker, at) in timers {
            let shared = Arc::clone(&self.shared);
            shared.timers.fetch_add(1, Ordering::Relaxed);
            self.runtime.spawn(async move {
                shared.clock.sleep_until(at).await;
                waker.wake();
                shared.timers.fetch_sub(1, Ordering::Relaxed);
            });
        }
        match () {
            () if team.is_done() => Left::Over,
            () if more || team.rest() => Left::More { at: now, later },
            () => Left::Resting,
        }
    }

    /// Steps the team on a thread with work of its own, which is at the helm: until there is nothing more to do, or for about so
    /// long.
    pub fn step_as_guest(self: &Arc<Self>, most: Duration) {
        let _context = self.runtime.enter();
        let stepped = guard::call(|| {
            let mut until = None;
            loop {
                match self.turn() {
                    Left::Resting => return,
                    Left::More { at, later: false }
                        if at < *until.get_or_insert_with(|| at.saturating_add(most)) => {}
                    // What may take long is not for a thread that has other work, and only the actor can end itself.
                    Left::More { .. } | Left::Over => break,
                }
            }
            if !self.hand_over() {
                self.waker.tell();
            }
        });
        if let Err(panicked) = stepped {
            // Our own fault, never the author's: her code runs under a guard of its own.
            let name = self.team.lock().dying().unwrap_or_default();
            self.shared.fail(format!("`{name}`: {}", panicked.0));
        }
    }

    /// A source's thread waits for room: it could step the team instead.
    pub fn offer(self: &Arc<Self>, guest: Arc<dyn Guest>) {
        self.offers.lock().push(guest);
        self.is_offered.store(true, Ordering::Release);
        if self.waker.claim() && !self.hand_over() {
            self.waker.tell();
        }
    }

    /// Whoever is at the helm leaves it to a thread that would otherwise wait, if there is one.
    pub fn hand_over(self: &Arc<Self>) -> bool {
        if !self.is_offered.load(Ordering::Acquire) {
            return false;
        }
        let mut offers = self.offers.lock();
        while let Some(guest) = offers.pop() {
            if guest.take_over(self) {
                return true;
            }
        }
        self.is_offered.store(false, Ordering::Release);
        false
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, thread};

    use super::*;
    use crate::{
        batch::Batch,
        fate::Fate,
        feed::Feed,
        graph::{Graph, NodeSpec, Place},
        observer::Unwatched,
        operator::{Cx, Operator},
        ports::{Inlet, Outlet},
        run::{self, RunError, RunOptions, Summary},
        view::Role,
    };

    const RECORDS: u64 = 100_000;

    struct Source {
        feed: Arc<Feed<u64>>,
        seq: u64,
    }

    impl Operator for Source {
        type In = ();
        type Out = Outlet<u64>;

        fn process(&mut self, (): (), _: &mut Outlet<u64>, _: &mut Cx<'_>) {}

        fn wake(&mut self, out: &mut Outlet<u64>, cx: &mut Cx<'_>) -> bool {
            let values = self.feed.take(cx.most()).values;
            let (ids, _) = cx.enter(self.seq, values.len());
            self.seq += values.len() as u64;
            let any = !values.is_empty();
            out.put(Batch::of_source(values, ids), cx);
            any
        }

        fn is_open(&self) -> bool {
            self.feed.is_open()
        }

        fn stop(&mut self) {
            self.feed.close();
        }
    }

    /// Ends what comes and notes who stepped it; dies of one value, as a defect of ours would have it.
    struct End {
        deadly: Option<u64>,
        threads: Arc<Mutex<BTreeSet<String>>>,
    }

    impl Operator for End {
        type In = Inlet<u64>;
        type Out = ();

        fn process(&mut self, batch: Batch<u64>, (): &mut (), cx: &mut Cx<'_>) {
            self.threads.lock().insert(thread::current().name().unwrap_or_default().to_owned());
            for (value, tag) in batch.into_rows() {
                assert!(self.deadly != Some(value), "a defect");
                cx.end(&tag, Fate::Emitted);
            }
        }
    }

    /// Two sources and their sink in one team, and the threads that stepped the sink.
    async fn run(deadly: Option<u64>) -> (Result<Summary, RunError>, BTreeSet<String>) {
        let graph = Graph::new("two sources");
        let spec = |name: &str, role| NodeSpec {
            kind: "test",
            role,
            name: Some(name.to_owned()),
            place: Place::here(),
            notes: Vec::new(),
        };
        let sink = graph.add(spec("sink", Role::Sink));
        let to = graph.input::<u64>(sink);
        for name in ["first", "second"] {
            let source = graph.add(spec(name, Role::Source));
            let from = graph.output::<u64>(source, "", false);
            graph.connect(&from, &to, false);
            graph.build_with(source, move |start| {
                let records = || (0..RECORDS).map(Ok);
                let feed = Feed::from_iterator(
                    name,
                    start.waker(),
                    start.clock().clone(),
                    start.schedule(),
                    records,
                );
                (Source { feed, seq: 0 }, (), from.outlet())
            });
        }
        let threads = Arc::<Mutex<BTreeSet<String>>>::default();
        let seen = Arc::clone(&threads);
        graph.build_with(sink, move |_| (End { deadly, threads: seen }, to.inlet(), ()));
        let options = RunOptions { ctrl_c: false, ..RunOptions::default() };
        let summary = run::run(graph, options, &mut Unwatched).await;
        let threads = threads.lock().clone();
        (summary, threads)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_threads_of_quick_sources_step_their_team_and_nothing_is_lost() {
        let mut guests = 0;
        for _ in 0..20 {
            let (summary, threads) = run(None).await;
            let records = summary.unwrap().last.balances.records;
            assert_eq!(records.ended.get("emitted"), Some(&(2 * RECORDS)), "{records:?}");
            assert!(records.holds && records.in_flight == 0, "{records:?}");
            guests += usize::from(threads.iter().any(|name| name.starts_with("source ")));
        }
        assert!(guests > 0, "no source's thread was ever at the helm");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_step_that_dies_on_a_sources_thread_stops_the_run_with_an_error() {
        for deadly in [0, 10, 1_000, 70_000] {
            let error = run(Some(deadly)).await.0.unwrap_err().to_string();
            assert!(error.contains("`sink`") && error.contains("a defect"), "{error}");
        }
    }
}
