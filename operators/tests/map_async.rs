//! `map_async`: how many at a time, panics, time limits, loops and withdrawals, and one end for each record.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use eddyline::{FaultKind, prelude::*};
use tokio::{
    sync::{Barrier, Notify},
    task::yield_now,
};

/// Lets others go first, more often for some numbers than for others.
async fn later(n: u64) {
    for _ in 0..n * 7 % 5 {
        yield_now().await;
    }
}

#[tokio::test]
async fn so_many_at_a_time_and_no_more() {
    let (now, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (busy, peak) = (Arc::clone(&now), Arc::clone(&most));
    // Each waits for three others: with fewer at a time nothing would ever come.
    let four = Arc::new(Barrier::new(4));
    let flow = Workflow::new("four");
    let out = flow
        .source("numbers", 0..200_u64)
        .map_async(4, move |n| {
            let (busy, peak, four) = (Arc::clone(&busy), Arc::clone(&peak), Arc::clone(&four));
            async move {
                peak.fetch_max(busy.fetch_add(1, SeqCst) + 1, SeqCst);
                four.wait().await;
                busy.fetch_sub(1, SeqCst);
                n
            }
        })
        .collect();
    let mut report = flow.run().await.unwrap();
    let mut out = report.take(out);
    out.sort_unstable();
    assert_eq!(out, (0..200).collect::<Vec<_>>());
    assert_eq!((most.load(SeqCst), now.load(SeqCst)), (4, 0));
    assert!(report.is_balanced() && report.records().in_flight == 0, "{report}");
}

#[tokio::test]
async fn a_slow_one_holds_up_nobody_and_order_can_be_asked_for() {
    for ordered in [false, true] {
        let go = Arc::new(Notify::new());
        let (waits, tells) = (Arc::clone(&go), go);
        let flow = Workflow::new("slow");
        let made = flow.source("numbers", 0..50_u64).map_async(2, move |n| {
            let (waits, tells) = (Arc::clone(&waits), Arc::clone(&tells));
            async move {
                match n {
                    0 => waits.notified().await,
                    49 => tells.notify_one(),
                    _ => {}
                }
                n
            }
        });
        let out = if ordered { made.ordered().collect() } else { made.collect() };
        let out = flow.run().await.unwrap().take(out);
        // All others have gone through beside the first.
        assert_eq!(out.iter().position(|n| *n == 0).unwrap() == 0, ordered, "{out:?}");
        assert_eq!(out.is_sorted(), ordered, "{out:?}");
    }
}

#[tokio::test]
async fn a_panic_is_a_fault_of_its_record_before_and_after_the_first_await() {
    let flow = Workflow::new("panics");
    let out = flow
        .source("numbers", 0..20_u64)
        .map_async(3, |n| {
            assert!(n != 5, "at once {n}");
            async move {
                yield_now().await;
                assert!(n != 7, "later {n}");
                n
            }
        })
        .ordered()
        .collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(out), (0..20).filter(|n| *n != 5 && *n != 7).collect::<Vec<_>>());
    let mut reasons: Vec<String> = report.faults().iter().map(|fault| fault.reason.to_string()).collect();
    reasons.sort();
    assert!(
        reasons.len() == 2 && reasons[0].contains("at once 5") && reasons[1].contains("later 7"),
        "{reasons:?}"
    );
    assert!(report.faults().iter().all(|fault| fault.kind == FaultKind::Panic));
}

#[tokio::test]
async fn it_works_inside_a_loop_with_few_permits_whatever_the_order() {
    for seed in 0..40 {
        for permits in [1, 2, 50] {
            let flow = Workflow::new("loop").seeded(seed).loop_permits(permits).edge_capacity(3);
            let (numbers, again) = flow.source("numbers", 0..40_u64).feedback("again", Rounds::at_most(9));
            let out = numbers
                .map_async(3, async |n| {
                    later(n).await;
                    n + 1
                })
                .handle_or_retry("tens", again, |n| match n % 10 {
                    0 => Verdict::Pass,
                    _ => Verdict::Retry(*n),
                })
                .collect();
            let mut report = flow.run().await.unwrap();
            let mut out = report.take(out);
            out.sort_unstable();
            let expected: Vec<u64> = (0..40).map(|n| n / 10 * 10 + 10).collect();
            assert_eq!(out, expected, "seed {seed}, {permits} permits: {report}");
            assert!(report.is_balanced() && report.records().in_flight == 0, "seed {seed}: {report}");
        }
    }
}

/// One copy of each number is at a service while the other is judged and sent back: only what is made of the last version stays.
#[tokio::test]
async fn what_is_withdrawn_meanwhile_does_not_come_out() {
    for seed in 0..40 {
        let flow = Workflow::new("copies").seeded(seed).loop_permits(4);
        let (numbers, again) = flow.source("numbers", 0..30_u64).feedback("again", Rounds::at_most(9));
        let served = numbers
            .clone()
            .map_async(3, async |n| {
                later(n).await;
                n * 10
            })
            .collect();
        let judged = numbers
            .handle_or_retry("odd", again, |n| {
                if n % 2 == 0 && *n > 0 { Verdict::Retry(n / 2) } else { Verdict::Pass }
            })
            .collect();
        let mut report = flow.run().await.unwrap();
        let (mut served, mut judged) = (report.take(served), report.take(judged));
        served.sort_unstable();
        judged.sort_unstable();
        let odd = |n: u64| if n == 0 { 0 } else { n >> n.trailing_zeros() };
        let mut expected: Vec<u64> = (0..30).map(odd).collect();
        expected.sort_unstable();
        assert_eq!(judged, expected, "seed {seed}");
        assert_eq!(served, expected.iter().map(|n| n * 10).collect::<Vec<_>>(), "seed {seed}");
        assert!(report.is_balanced() && report.records().in_flight == 0, "seed {seed}: {report}");
    }
}

/// Counts those that are there.
struct There(Arc<AtomicUsize>);

impl There {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for There {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[tokio::test]
async fn a_future_that_takes_too_long_is_dropped_and_so_are_all_when_the_run_is() {
    let there = Arc::<AtomicUsize>::default();
    let forever = |there: &Arc<AtomicUsize>| {
        let there = There::new(there);
        async move {
            let _there = there;
            std::future::pending::<u64>().await
        }
    };
    let count = Arc::clone(&there);
    let flow = Workflow::new("late");
    let out = flow
        .source("numbers", 0..6_u64)
        .map_async_within(2, Duration::from_millis(5), move |_| forever(&count));
    out.ignore();
    let report = flow.run().await.unwrap();
    assert_eq!((report.faults().len(), there.load(SeqCst)), (6, 0), "{report}");
    assert!(report.faults().iter().all(|fault| fault.kind == FaultKind::TimeOut));

    let count = Arc::clone(&there);
    let flow = Workflow::new("dropped");
    flow.source("numbers", 0..6_u64).map_async(2, move |_| forever(&count)).ignore();
    let mut run = Box::pin(flow.run());
    while there.load(SeqCst) < 2 {
        assert!(futures::poll!(&mut run).is_pending());
        yield_now().await;
    }
    drop(run);
    while there.load(SeqCst) > 0 {
        yield_now().await;
    }
}
