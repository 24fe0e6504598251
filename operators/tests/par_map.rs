//! `par_map`: order, limits, loops, and one end for each record whoever is quicker.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall panic")]

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use eddyline::{FaultKind, prelude::*};

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[tokio::test]
async fn so_many_at_a_time_and_in_order() {
    let (now, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (busy, peak) = (Arc::clone(&now), Arc::clone(&most));
    let flow = Workflow::new("four");
    let out = flow
        .source("numbers", 0..200_u64)
        .par_map(4, move |n| {
            peak.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(Duration::from_micros(500 * (n * 7 % 5)));
            busy.fetch_sub(1, Ordering::SeqCst);
            assert!(n % 50 != 3, "bad {n}");
            n
        })
        .collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(out), (0..200).filter(|n| n % 50 != 3).collect::<Vec<_>>());
    assert_eq!(most.load(Ordering::SeqCst), 4);
    assert!(report.is_balanced() && report.records().in_flight == 0, "{report}");
    assert_eq!(report.faults().len(), 4, "{report}");
    assert!(report.faults().iter().all(|fault| fault.kind == FaultKind::Panic));
    assert!(report.faults()[0].reason.contains("bad 3"), "{:?}", report.faults()[0]);
}

#[tokio::test]
async fn it_works_inside_a_loop_with_few_permits_whatever_the_order() {
    for seed in 0..40 {
        for permits in [1, 2, 50] {
            let flow = Workflow::new("loop").seeded(seed).loop_permits(permits).edge_capacity(3);
            let (numbers, again) = flow.source("numbers", 0..40_u64).feedback("again", Rounds::at_most(9));
            let out = numbers
                .par_map(3, |n| n + 1)
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

#[tokio::test]
async fn a_late_call_is_a_fault_of_its_record_and_holds_up_nobody() {
    let flow = Workflow::new("late");
    let out = flow
        .source("numbers", 0..20_u64)
        .par_map_within(1, millis(40), |n| {
            if n == 1 {
                thread::sleep(millis(4000));
            }
            n
        })
        .collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(out), (0..20).filter(|n| *n != 1).collect::<Vec<_>>());
    let [fault] = report.faults() else { panic!("{report}") };
    assert_eq!((fault.kind, &*fault.reason), (FaultKind::TimeOut, "the call took longer than 40ms"));
    assert!(report.is_balanced(), "{report}");
    assert!(report.snapshot().at_us < 3_000_000, "it waited for the call that was late: {report}");
}

#[tokio::test]
async fn a_record_ends_once_even_where_its_result_and_its_limit_meet() {
    for seed in [None, Some(3)] {
        let mut flow = Workflow::new("race");
        if let Some(seed) = seed {
            flow = flow.seeded(seed);
        }
        let out = flow
            .source("numbers", 0..300_u64)
            .par_map_within(8, millis(2), |n| {
                thread::sleep(Duration::from_micros(1500 + n * 3));
                n
            })
            .collect();
        let mut report = flow.run().await.unwrap();
        let out = report.take(out);
        assert!(out.is_sorted(), "{out:?}");
        assert!(report.is_balanced() && report.records().in_flight == 0, "{report}");
        assert_eq!(out.len() + report.faults().len(), 300, "{report}");
    }
}

#[tokio::test]
async fn calls_that_never_come_back_do_not_take_all_threads_of_the_machine() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let shut = Arc::clone(&gate);
    let begun = Arc::<AtomicUsize>::default();
    let calls = Arc::clone(&begun);
    let flow = Workflow::new("stuck");
    let out = flow
        .source("numbers", 0..500_u64)
        .par_map_within(16, millis(5), move |n| {
            calls.fetch_add(1, Ordering::SeqCst);
            let open = shut.0.lock().unwrap();
            drop(shut.1.wait_while(open, |open| !*open).unwrap());
            n
        })
        .collect();
    let mut report = flow.run().await.unwrap();
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    assert!(report.take(out).is_empty());
    assert_eq!(report.faults().len(), 500, "{report}");
    assert!(report.faults().iter().all(|fault| fault.kind == FaultKind::TimeOut));
    assert!(begun.load(Ordering::SeqCst) < 64 + 16, "{begun:?} threads");
    assert!(report.is_balanced() && report.records().in_flight == 0, "{report}");
}

#[tokio::test]
async fn without_threads_it_is_refused() {
    let flow = Workflow::new("none");
    flow.source("numbers", 0..5_u64).par_map(0, |n| n).ignore();
    assert!(flow.run().await.unwrap_err().to_string().contains("at least 1 thread"));
}
