//! Every record ends exactly once, and both balances say so: over fan-out, loops, scatter, joins, faults and stops.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall panic")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use eddyline::{
    FaultKind, Observer,
    prelude::*,
    runtime::{
        batch::Batch,
        observer::{BoxFuture, Ending, ObserverError, Watch},
        operator::{Cx, Operator},
        ports::{Inlet, Outlet},
        view::RunState,
    },
};

fn assert_balanced(report: &Report) {
    assert!(report.is_balanced(), "{report}");
    assert_eq!(report.records().in_flight, 0, "{report}");
    assert_eq!(report.roots().in_flight, 0, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_loop_ends_with_the_expected_counts() {
    // The reference loop: of every ten records one fails at first; of these, each class is mended after one, two or three
    // rounds, corrected, or rejected.
    let n = 100_000_u64;
    let flow = Workflow::new("retry");
    let (records, again) =
        flow.source("records", (0..n).map(|i| (i, 0_u64))).feedback("again", Rounds::at_most(3));
    let worked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&worked);
    let out = records
        .map(move |record| {
            count.fetch_add(1, Ordering::Relaxed);
            record
        })
        .handle_or_retry("check", again, |&(id, attempt)| {
            let class = id / 10 % 5;
            match () {
                () if id % 10 != 0 => Verdict::Pass,
                () if class < 3 && attempt > class => Verdict::Pass,
                () if attempt < 3 => Verdict::Retry((id, attempt + 1)),
                () if class == 3 => Verdict::Replace((id, 99)),
                () => Verdict::reject("class 4"),
            }
        })
        .collect();
    let mut report = flow.run().await.unwrap();
    let out = report.take(out);
    assert_balanced(&report);
    assert_eq!(out.len() as u64, n * 98 / 100);
    assert_eq!(out.iter().map(|r| r.0).sum::<u64>(), (0..n).filter(|i| i % 50 != 40).sum::<u64>());
    assert_eq!(worked.load(Ordering::Relaxed), n * 124 / 100);
    let verdicts = report.verdicts("check").unwrap();
    assert_eq!((verdicts.replaced, verdicts.rejected), (n / 50, n / 50));
    assert_eq!(report.snapshot().loops[0].used, 0, "all permits were given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spent_rounds_reject() {
    let flow = Workflow::new("spent");
    let (records, again) = flow.source("records", 0..10).feedback("again", Rounds::at_most(2));
    let out = records.handle_or_retry("never", again, |n| Verdict::Retry(*n)).collect();
    let mut report = flow.run().await.unwrap();
    assert_balanced(&report);
    assert!(report.take(out).is_empty());
    assert!(
        report.faults().iter().all(|f| f.kind == FaultKind::RoundsSpent && f.rounds == 2),
        "{:?}",
        report.faults()
    );
    assert_eq!(report.verdicts("never").unwrap().retried, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_permit_suffices_for_a_loop_that_scatters_and_gathers() {
    for permits in [1, 2, 3, 7, 4096] {
        let flow = Workflow::new("scatter in a loop").loop_permits(permits);
        let (numbers, again) =
            flow.source("numbers", (0..200).map(|i| (i, 0))).feedback("again", Rounds::at_most(2));
        let (parts, wholes) = numbers
            .scatter(|&(i, round): &(i32, i32)| (0..i % 5).map(move |p| (p, round)).collect::<Vec<_>>());
        let out = parts
            .filter(|(p, _)| *p != 3)
            .flat_map(|(p, round)| vec![(p, round); 1 + (p == 2) as usize])
            .gather(wholes, |(i, round), parts| (i, round, parts.lost().count(), parts.into_values().count()))
            .map(|whole| whole)
            .handle_or_retry("twice", again, |&(i, round, _, _)| {
                if i % 3 == 0 && round < 2 { Verdict::Retry((i, round + 1)) } else { Verdict::Pass }
            })
            .collect();
        let mut report =
            tokio::time::timeout(Duration::from_secs(60), flow.run()).await.expect("a deadlock").unwrap();
        let mut out = report.take(out);
        out.sort_unstable();
        assert_balanced(&report);
        assert_eq!(out.len(), 200, "K = {permits}: {report}");
        for (i, round, lost, arrived) in out {
            let parts = i % 5;
            assert_eq!(round, if i % 3 == 0 { 2 } else { 0 });
            assert_eq!(lost as i32, i32::from(parts == 4), "number {i}");
            // Of the parts 0, 1, 2 (twice), 3 (lost).
            assert_eq!(arrived as i32, [0, 1, 2, 4, 4][parts as usize], "number {i}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fan_out_joins_and_batches_balance() {
    let flow = Workflow::new("everything");
    let numbers = flow.source("numbers", 0..500_u64);
    let (even, odd) = numbers.clone().split(|n| n % 2 == 0);
    let again = numbers.flat_map(|n| vec![n; (n % 3) as usize]);
    let pairs = even.join(again, Duration::from_secs(30), |n| *n, |n| *n);
    let lists = odd.merge(pairs.map(|(n, _)| n)).batch(7).collect();
    let mut report = flow.run().await.unwrap();
    assert_balanced(&report);
    let mut all = report.take(lists).concat();
    all.sort_unstable();
    let expected: Vec<u64> =
        (0..500).flat_map(|n| vec![n; if n % 2 == 0 { (n % 3) as usize } else { 1 }]).collect();
    assert_eq!(all, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_or_an_err_is_a_fault_of_one_record() {
    let flow = Workflow::new("faults");
    let good = flow
        .source("numbers", 0..1000)
        .map(|n| {
            assert!(n != 17, "seventeen");
            n
        })
        .named("panics")
        .filter(|n| {
            assert!(*n != 40, "forty");
            true
        })
        .try_map(|n| if *n == 99 { Err("ninety-nine") } else { Ok(*n) })
        .handle("judge", |n| {
            assert!(*n != 500, "five hundred");
            Verdict::Pass
        })
        .collect();
    let mut report = flow.run().await.unwrap();
    assert_balanced(&report);
    assert_eq!(report.take(good).len(), 996);
    let faults = report.faults();
    let find = |text: &str| {
        faults.iter().find(|f| f.reason.contains(text)).unwrap_or_else(|| panic!("no {text}: {faults:?}"))
    };
    assert_eq!((find("seventeen").origin.as_str(), &*find("seventeen").operator), ("numbers #17", "panics"));
    assert!(find("seventeen").reason.contains("fates.rs:"), "{faults:?}");
    assert_eq!(find("forty").value, Some(40.into()));
    assert_eq!(find("ninety-nine").value, Some(99.into()));
    assert_eq!(find("five hundred").value, Some(500.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_sink_bounds_what_is_inside() {
    let flow = Workflow::new("slow sink");
    let most = Arc::new(AtomicU64::new(0));
    let (made, taken) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (m, t, top) = (Arc::clone(&made), Arc::clone(&taken), Arc::clone(&most));
    flow.source("numbers", 0..200_000_u64)
        .inspect(move |_| {
            let inside = m.fetch_add(1, Ordering::Relaxed) + 1 - t.load(Ordering::Relaxed);
            top.fetch_max(inside, Ordering::Relaxed);
        })
        .map(|n| n)
        .for_each(move |n| {
            if n % 1000 == 0 {
                std::thread::sleep(Duration::from_micros(200));
            }
            taken.fetch_add(1, Ordering::Relaxed);
        });
    let report = flow.run().await.unwrap();
    assert_balanced(&report);
    // Two edges of 8192, a batch in each hand.
    assert!(most.load(Ordering::Relaxed) < 25_000, "{most:?} records were inside");
}

/// Takes records and never says what became of one of them.
struct Leak;

impl Operator for Leak {
    type In = Inlet<u64>;
    type Out = Outlet<u64>;

    fn process(&mut self, batch: Batch<u64>, out: &mut Outlet<u64>, cx: &mut Cx<'_>) {
        let mut rest = Batch::default();
        for (value, tag) in batch.into_rows() {
            if value != 77 {
                rest.push(value, tag);
            }
        }
        out.put(rest, cx);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losing_one_record_on_purpose_breaks_both_balances() {
    let flow = Workflow::new("leak");
    flow.source("numbers", 0..100_u64).apply("leak", Leak).ignore();
    let report = flow.run().await.unwrap();
    assert!(!report.records().holds && !report.roots().holds, "{report}");

    // The same where roots are shared by several records.
    let flow = Workflow::new("leak of a child");
    flow.source("numbers", 0..100_u64).flat_map(|n| [n, n + 1000]).apply("leak", Leak).ignore();
    let report = flow.run().await.unwrap();
    assert!(!report.records().holds && !report.roots().holds, "{report}");
}

/// Looks at a run many times while it runs.
struct Looker {
    run: Option<Arc<dyn Watch>>,
    seen: Arc<Mutex<Vec<String>>>,
    looks: Arc<AtomicU64>,
    drain_after: Option<Duration>,
    stop_after: Option<Duration>,
}

impl Observer for Looker {
    fn open(&mut self) -> BoxFuture<'_, Result<(), ObserverError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn started(&mut self, run: Arc<dyn Watch>) {
        self.run = Some(Arc::clone(&run));
        let (seen, looks) = (Arc::clone(&self.seen), Arc::clone(&self.looks));
        let weak = Arc::downgrade(&run);
        drop(run);
        tokio::spawn(async move {
            while let Some(run) = weak.upgrade() {
                let snapshot = run.snapshot();
                for (name, balance) in
                    [("records", &snapshot.balances.records), ("roots", &snapshot.balances.roots)]
                {
                    if !balance.holds && balance.created > 0 {
                        seen.lock().unwrap().push(format!("{name}: {balance:?}"));
                    }
                }
                looks.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        for (after, drain) in [(self.drain_after, true), (self.stop_after, false)] {
            let Some((after, run)) = after.zip(self.run.clone()) else { continue };
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                if drain { run.drain() } else { run.stop() }
            });
        }
    }

    fn finished(&mut self, _: Ending) -> BoxFuture<'_, ()> {
        self.run = None;
        Box::pin(std::future::ready(()))
    }
}

fn looker() -> (Looker, Arc<Mutex<Vec<String>>>, Arc<AtomicU64>) {
    let (seen, looks) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicU64>::default());
    let looker = Looker {
        run: None,
        seen: Arc::clone(&seen),
        looks: Arc::clone(&looks),
        drain_after: None,
        stop_after: None,
    };
    (looker, seen, looks)
}

/// A graph with everything in it, behind an endless or a finite source.
fn busy(flow: &Workflow, numbers: impl Iterator<Item = u64> + Send + 'static) {
    let (numbers, again) = flow.source("numbers", numbers).feedback("again", Rounds::at_most(2));
    let (parts, wholes) = numbers.scatter(|n: &u64| vec![*n, n + 1, n + 2]);
    parts
        .filter(|n| n % 7 != 0)
        .model("half", Model::function(|n: &[u64]| n.iter().map(|n| n / 2).collect()))
        .gather(wholes, |n, parts| (n, parts.into_values().count()))
        .handle_or_retry(
            "odd",
            again,
            |&(n, _)| if n % 5 == 0 { Verdict::Retry(n + 1) } else { Verdict::Pass },
        )
        .clone()
        .ignore();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balances_hold_at_every_barrier() {
    let flow = Workflow::new("watched").loop_permits(64);
    busy(&flow, 0..20_000);
    let (looker, seen, looks) = looker();
    let report = flow.run_with(looker).await.unwrap();
    assert_balanced(&report);
    assert!(seen.lock().unwrap().is_empty(), "{:?}", seen.lock().unwrap().first());
    assert!(looks.load(Ordering::Relaxed) > 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_lets_everything_inside_run_out() {
    let flow = Workflow::new("drained");
    busy(&flow, 0..);
    let (mut looker, ..) = looker();
    looker.drain_after = Some(Duration::from_millis(100));
    let report = flow.run_with(looker).await.unwrap();
    assert_balanced(&report);
    assert_eq!(report.snapshot().state, RunState::Finished);
    assert!(report.roots().created > 100, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_counts_what_is_inside() {
    let flow = Workflow::new("stopped");
    busy(&flow, 0..);
    let (mut looker, ..) = looker();
    looker.stop_after = Some(Duration::from_millis(100));
    let report = flow.run_with(looker).await.unwrap();
    assert!(report.is_balanced(), "{report}");
    assert_eq!(report.snapshot().state, RunState::Stopped);
    assert!(report.records().in_flight > 0, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gather_waits_for_parts_that_went_another_way() {
    for looped in [false, true] {
        let flow = Workflow::new("aside");
        let (numbers, again) = flow.source("numbers", 0..5).feedback("again", Rounds::at_most(1));
        let (parts, wholes) = numbers.scatter(|n: &i32| vec![*n; 3]);
        parts.clone().for_each(|_| std::thread::sleep(Duration::from_millis(2)));
        let parts = parts.map(|n| n);
        let out = if looped {
            parts.gather(wholes, |n, _| n).handle_or_retry("judge", again, |n| Verdict::Retry(*n))
        } else {
            parts.handle_or_retry("judge", again, |_| Verdict::Pass).gather(wholes, |n, _| n)
        };
        let out = out.collect();
        let mut report = flow.run().await.unwrap();
        assert_balanced(&report);
        assert_eq!(report.take(out).len(), if looped { 0 } else { 5 }, "{report}");
        assert!(report.faults().iter().all(|fault| fault.kind == FaultKind::RoundsSpent), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_operator_hands_on_what_it_has() {
    let flow = Workflow::new("slow");
    let slow = |n: u64| {
        std::thread::sleep(Duration::from_millis(20));
        n
    };
    flow.source("numbers", 0..).map(slow).ignore();
    let (mut looker, ..) = looker();
    looker.stop_after = Some(Duration::from_millis(400));
    let report = flow.run_with(looker).await.unwrap();
    // A batch of its 1,024 would take 20 s: it is asked for few records at a time, so that some are out long before.
    assert!(report.roots().ended.contains_key("emitted"), "{report}");
    assert!(report.is_balanced(), "{report}");
}
