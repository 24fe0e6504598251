//! Pausing and resuming a run or one operator, and dropping a run before its end.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall panic")]

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use eddyline::{
    prelude::*,
    runtime::{
        observer::{BoxFuture, Ending, Observer, ObserverError, Part, SteerError, Watch},
        view::{NodeSnapshot, RunState, Snapshot},
    },
};
use tokio::{sync::oneshot, time::sleep};

/// Hands the run to the test.
struct HandOver(Option<oneshot::Sender<Arc<dyn Watch>>>);

impl Observer for HandOver {
    fn open(&mut self) -> BoxFuture<'_, Result<(), ObserverError>> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn started(&mut self, run: Arc<dyn Watch>) {
        let _ = self.0.take().unwrap().send(run);
    }
    fn finished(&mut self, _: Ending) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

type Running = tokio::task::JoinHandle<Result<eddyline::Report, RunError>>;

async fn start(flow: Workflow) -> (Arc<dyn Watch>, Running) {
    let (send, run) = oneshot::channel();
    let running = tokio::spawn(flow.run_with(HandOver(Some(send))));
    let run = run.await.unwrap();
    until(&run, |snapshot| snapshot.state != RunState::Starting).await;
    (run, running)
}

async fn until(run: &Arc<dyn Watch>, is: impl Fn(&Snapshot) -> bool) -> Snapshot {
    for _ in 0..2000 {
        let snapshot = run.snapshot();
        if is(&snapshot) {
            return snapshot;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came to that: {:#?}", run.snapshot());
}

fn node(run: &Arc<dyn Watch>, name: &str) -> u32 {
    run.graph().nodes.iter().find(|node| node.name == name).unwrap().id
}

fn now(run: &Arc<dyn Watch>, node: u32) -> NodeSnapshot {
    run.snapshot().nodes[node as usize].clone()
}

/// What all nodes have taken in and put out, once nothing moves any more.
async fn standing(run: &Arc<dyn Watch>) -> Vec<(u64, u64)> {
    let moved = |snapshot: Snapshot| -> Vec<_> {
        snapshot.nodes.iter().map(|node| (node.records_in, node.records_out)).collect()
    };
    let mut before = moved(run.snapshot());
    for _ in 0..100 {
        sleep(Duration::from_millis(100)).await;
        let after = moved(run.snapshot());
        if after == before {
            return after;
        }
        before = after;
    }
    panic!("it never stands still");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_operator_takes_nothing_and_its_edges_fill() {
    let flow = Workflow::new("one").edge_capacity(10);
    flow.source("numbers", 0_u64..).map(|n| n).named("doubled").map(|n| n * 2).named("after").ignore();
    let (run, running) = start(flow).await;
    let doubled = node(&run, "doubled");
    until(&run, |snapshot| snapshot.nodes[doubled as usize].records_in > 100).await;

    run.pause(Part::Node(doubled)).unwrap();
    standing(&run).await;
    let snapshot = run.snapshot();
    assert_eq!(snapshot.state, RunState::Running, "the others are not paused");
    assert!(snapshot.nodes[doubled as usize].paused);
    assert_eq!(snapshot.nodes.iter().filter(|node| node.paused).count(), 1);
    assert_eq!(snapshot.edges[0].queued, 10, "the edge into it is full");
    assert!(snapshot.nodes[0].blocked, "and the source waits");
    assert_eq!(snapshot.edges[1].queued, 0, "what comes after runs out");
    assert!(snapshot.balances.records.holds);

    let before = now(&run, doubled).records_in;
    run.resume(Part::Node(doubled)).unwrap();
    until(&run, |snapshot| snapshot.nodes[doubled as usize].records_in > before + 100).await;
    assert_eq!(run.pause(Part::Node(77)), Err(SteerError::NoSuchNode(77)));
    run.drain();
    let report = running.await.unwrap().unwrap();
    assert!(report.is_balanced() && report.records().in_flight == 0, "{report}");
    assert_eq!(run.pause(Part::All), Err(SteerError::NotRunning), "it is over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_run_stands_still_until_it_is_resumed_or_drained() {
    let flow = Workflow::new("all").loop_permits(8).edge_capacity(16);
    let (numbers, again) = flow.source("numbers", 0_u64..).feedback("again", Rounds::at_most(2));
    numbers
        .par_map(2, |n| n + 1)
        .model("same", Model::function(|n: &[u64]| n.to_vec()))
        .handle_or_retry("odd", again, |n| if n % 3 == 0 { Verdict::Retry(*n) } else { Verdict::Pass })
        .ignore();
    let (run, running) = start(flow).await;
    until(&run, |snapshot| snapshot.balances.roots.ended.contains_key("emitted")).await;
    for _ in 0..3 {
        run.pause(Part::All).unwrap();
        let stood = standing(&run).await;
        let snapshot = run.snapshot();
        assert_eq!(snapshot.state, RunState::Paused);
        assert!(snapshot.balances.records.holds, "{:?}", snapshot.balances);
        sleep(Duration::from_millis(100)).await;
        assert_eq!(standing(&run).await, stood);
        run.resume(Part::All).unwrap();
        assert_eq!(run.snapshot().state, RunState::Running);
        until(&run, |snapshot| snapshot.nodes[0].records_out > stood[0].1).await;
    }
    run.pause(Part::All).unwrap();
    standing(&run).await;
    run.drain();
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.snapshot().state, RunState::Finished);
    assert!(report.is_balanced() && report.records().in_flight == 0, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_a_paused_run() {
    let flow = Workflow::new("stop");
    flow.source("numbers", 0_u64..).map(|n| n).ignore();
    let (run, running) = start(flow).await;
    run.pause(Part::All).unwrap();
    standing(&run).await;
    run.stop();
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.snapshot().state, RunState::Stopped);
    assert!(report.is_balanced(), "{report}");
}

/// By actors and by the schedule of a seed: the source is at its end, records wait, and nobody but the test can let them go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_run_is_not_called_stalled() {
    for seed in [None, Some(1)] {
        let (send, receive) = mpsc::sync_channel(100);
        let mut flow = Workflow::new("patient");
        if let Some(seed) = seed {
            flow = flow.seeded(seed);
        }
        let out = flow.source("numbers", receive).map(|n: u64| n).named("held").collect();
        let (run, running) = start(flow).await;
        run.pause(Part::Node(node(&run, "held"))).unwrap();
        (0..100).for_each(|n| send.send(n).unwrap());
        drop(send);
        sleep(Duration::from_millis(2500)).await;
        let snapshot = run.snapshot();
        assert_eq!((snapshot.stalls, snapshot.edges[0].queued), (0, 100), "seed {seed:?}");
        run.resume(Part::All).unwrap();
        let mut report = running.await.unwrap().unwrap();
        assert_eq!(report.take(out), (0..100).collect::<Vec<_>>(), "seed {seed:?}");
        assert_eq!(report.snapshot().stalls, 0);
    }
}

async fn is_let_go(what: &Arc<()>) -> bool {
    for _ in 0..1000 {
        if Arc::strong_count(what) == 1 {
            return true;
        }
        sleep(Duration::from_millis(5)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_dropped_leaves_nothing_behind() {
    for seed in [None, Some(7)] {
        let (source, stream, threads, node, model) =
            (Arc::new(()), Arc::new(()), Arc::new(()), Arc::new(()), Arc::new(()));
        let mut flow = Workflow::new("dropped").edge_capacity(64);
        if let Some(seed) = seed {
            flow = flow.seeded(seed);
        }
        let held = Arc::clone(&source);
        let endless = (0_u64..).inspect(move |_| drop(Arc::clone(&held)));
        let held = Arc::clone(&stream);
        let silent = futures::stream::poll_fn(move |_| {
            let _ = &held;
            std::task::Poll::<Option<u64>>::Pending
        });
        let (on_threads, in_node, in_model) = (Arc::clone(&threads), Arc::clone(&node), Arc::clone(&model));
        flow.source("numbers", endless)
            .merge(flow.source_stream("silent", silent))
            .par_map(2, move |n| {
                let _ = &on_threads;
                std::thread::sleep(Duration::from_millis(1));
                n
            })
            .model(
                "same",
                Model::function(move |n: &[u64]| {
                    let _ = &in_model;
                    n.to_vec()
                }),
            )
            .for_each(move |_| drop(Arc::clone(&in_node)));

        // An observer that still looks keeps what it looks at, and neither threads nor sources.
        let (run, running) = start(flow).await;
        until(&run, |snapshot| snapshot.balances.roots.ended.contains_key("emitted")).await;
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        assert!(is_let_go(&source).await, "the source's thread goes on (seed {seed:?})");
        assert!(is_let_go(&stream).await, "the stream's task goes on (seed {seed:?})");
        let snapshot = run.snapshot();
        assert_eq!(snapshot.state, RunState::Stopped);
        assert_eq!(standing(&run).await.len(), snapshot.nodes.len());
        assert!(run.snapshot().balances.records.holds);

        drop(run);
        assert!(is_let_go(&threads).await, "threads go on (seed {seed:?})");
        assert!(is_let_go(&node).await, "an actor goes on (seed {seed:?})");
        assert!(is_let_go(&model).await, "a model goes on (seed {seed:?})");
    }
}
