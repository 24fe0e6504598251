//! Loops and withdrawals in the corners: few permits, much that waits, and what is taken back on long ways.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall panic")]

use std::{future::Future, time::Duration};

use eddyline::{Change, prelude::*};

/// Runs what `make` makes under the actors' schedule and under many seeds.
async fn under_every_schedule<F: Future<Output = ()>>(make: impl Fn(Workflow) -> F) {
    for _ in 0..5 {
        make(Workflow::new("corner")).await;
    }
    for seed in 0..60 {
        make(Workflow::new("corner").seeded(seed).edge_capacity(1 + seed as usize % 3)).await;
    }
}

fn assert_all_ended(report: &Report) {
    assert!(report.is_balanced(), "{report}");
    assert_eq!((report.records().in_flight, report.roots().in_flight), (0, 0), "{report}");
    assert!(report.snapshot().loops.iter().all(|l| l.used == 0), "permits are still held: {report}");
    assert_eq!(report.snapshot().stalls, 0);
}

const LONG: Duration = Duration::from_secs(1000);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_rows_than_permits_park_in_a_join_inside_a_loop() {
    for permits in [1, 3] {
        under_every_schedule(|flow| async move {
            let flow = flow.loop_permits(permits);
            let right = flow.source("right", 0..30_u64);
            let (left, again) =
                flow.source("left", (0..30_u64).map(|n| (n, 0_u64))).feedback("again", Rounds::at_most(1));
            let pairs = left
                .join(right, LONG, |l| l.0, |r| *r)
                .handle_or_retry("odd", again, |(l, _)| match l {
                    (n, 0) if n % 2 == 1 => Verdict::Retry((*n, 7)),
                    _ => Verdict::Pass,
                })
                .map(|(l, r)| (l.0, l.1, r))
                .collect();
            let mut report = flow.run().await.unwrap();
            assert_all_ended(&report);
            let mut pairs = report.take(pairs);
            pairs.sort_unstable();
            assert_eq!(pairs, (0..30).map(|n| (n, n % 2 * 7, n)).collect::<Vec<_>>());
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_in_a_loop_does_not_wait_for_records_that_never_come() {
    under_every_schedule(|flow| async move {
        let (numbers, again) = flow.source("numbers", 0..3_u64).feedback("again", Rounds::at_most(2));
        let lists = numbers.batch(10).handle_or_retry("list", again, |_| Verdict::Pass).collect();
        let mut report = flow.run().await.unwrap();
        assert_all_ended(&report);
        let mut all = report.take(lists).concat();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_is_wider_than_its_loop_and_no_further_input_comes() {
    for permits in [1, 2] {
        under_every_schedule(|flow| async move {
            let flow = flow.loop_permits(permits);
            let (numbers, again) = flow.source("numbers", [0_u64]).feedback("again", Rounds::at_most(1));
            let out = numbers
                .handle("wide", |n| if *n == 0 { Verdict::Split((1..=100).collect()) } else { Verdict::Pass })
                .handle_or_retry(
                    "last",
                    again,
                    |n| if *n == 100 { Verdict::Retry(500) } else { Verdict::Pass },
                )
                .collect();
            let mut report = flow.run().await.unwrap();
            assert_all_ended(&report);
            // Sending one part back revises the record that all of them were made of.
            assert_eq!(report.take(out), [500]);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_overflows_goes_on_without_further_input() {
    under_every_schedule(|flow| async move {
        let flow = flow.loop_permits(1);
        let (numbers, again) = flow.source("numbers", [0_u64]).feedback("again", Rounds::at_most(1));
        let out = numbers
            .flat_map(|n| (n..n + 200).collect::<Vec<_>>())
            .handle_or_retry("never", again, |_| Verdict::Pass)
            .collect();
        let mut report = flow.run().await.unwrap();
        assert_all_ended(&report);
        let mut out = report.take(out);
        out.sort_unstable();
        assert_eq!(out, (0..200).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_reaches_what_went_through_threads_a_model_and_two_joins() {
    under_every_schedule(|flow| async move {
        let (numbers, again) = flow.source("numbers", 0..20_u64).feedback("again", Rounds::at_most(1));
        let judged = numbers.clone();
        let worked = numbers.par_map(3, |n| n).model("same", Model::function(|all: &[u64]| all.to_vec()));
        let once = worked.clone().join(worked.clone(), LONG, |n| *n, |n| *n).map(|(n, _)| n);
        let twice = once.join(worked, LONG, |n| *n, |n| *n).map(|(n, _)| n);
        let (log, out) = (twice.clone().collect_changes(), twice.collect());
        judged
            .handle_or_retry(
                "small",
                again,
                |n| if *n < 10 { Verdict::Retry(n + 100) } else { Verdict::Pass },
            )
            .ignore();
        let mut report = flow.run().await.unwrap();
        assert_all_ended(&report);
        let mut out = report.take(out);
        out.sort_unstable();
        let expected: Vec<u64> = (10..20).chain(100..110).collect();
        assert_eq!(out, expected);
        let mut there = std::collections::BTreeMap::new();
        let mut finished = Vec::new();
        for change in report.take(log) {
            match change {
                Change::Add { row, value } => assert_eq!(there.insert(row, value), None),
                Change::Remove { row, .. } => {
                    assert!(there.remove(&row).is_some(), "row {row} was not there")
                }
                Change::Final { row } => finished.extend(there.remove(&row)),
            }
        }
        finished.sort_unstable();
        assert_eq!((finished, there.len()), (expected, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_handlers_revise_the_same_record_at_once() {
    under_every_schedule(|flow| async move {
        let (numbers, outer) = flow.source("numbers", 0..20_u64).feedback("outer", Rounds::at_most(1));
        let (numbers, inner) = numbers.feedback("inner", Rounds::at_most(1));
        let shown = numbers.clone().collect();
        let left = numbers.clone();
        left.handle_or_retry("outer judge", outer, |n| {
            if *n < 1000 { Verdict::Retry(n + 1000) } else { Verdict::Pass }
        })
        .ignore();
        numbers
            .handle_or_retry("inner judge", inner, |n| {
                if *n < 2000 { Verdict::Retry(n + 2000) } else { Verdict::Pass }
            })
            .ignore();
        let mut report = flow.run().await.unwrap();
        assert_all_ended(&report);
        // Whoever is first, the other judges what came of it: one result for each, and the outer one's opinion stands where it
        // came while its copy stood.
        let mut shown = report.take(shown);
        shown.sort_unstable_by_key(|n| n % 1000);
        assert_eq!(shown.iter().map(|n| n % 1000).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
        assert!(shown.iter().all(|n| *n >= 2000), "{shown:?}");
    })
    .await;
}
