//! A list inside a loop: when one of its values is sent back the others go into another list, and none is lost or doubled.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall panic")]

use std::future::Future;

use eddyline::prelude::*;

/// Runs what `make` makes under the actors' schedule and under many seeds.
async fn under_every_schedule<F: Future<Output = ()>>(make: impl Fn(Workflow) -> F) {
    for _ in 0..2 {
        make(Workflow::new("lists")).await;
    }
    for seed in 0..25 {
        let flow = Workflow::new("lists").seeded(seed).edge_capacity(1 + seed as usize % 3);
        make(flow.loop_permits([1, 2, 5, 4096][seed as usize % 4])).await;
    }
}

fn assert_all_ended(report: &Report) {
    assert!(report.is_balanced(), "{report}");
    assert_eq!((report.records().in_flight, report.roots().in_flight), (0, 0), "{report}");
    assert!(report.snapshot().loops.iter().all(|l| l.used == 0), "permits are still held: {report}");
    assert_eq!(report.snapshot().stalls, 0);
    assert!(report.faults().is_empty(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_others_of_a_list_go_on_when_one_is_sent_back() {
    for size in [1, 2, 3, 10] {
        under_every_schedule(|flow| async move {
            let (numbers, again) = flow.source("numbers", 0..20_u64).feedback("again", Rounds::at_most(1000));
            let lists = numbers.batch(size);
            // A list's last row is the one that a retry revises.
            let out = lists
                .handle_or_retry("right", again, |list| match list.last() {
                    Some(last) if last % 3 == 0 && *last < 100 => Verdict::Retry(last + 100),
                    _ => Verdict::Pass,
                })
                .collect();
            let mut report = flow.run().await.unwrap();
            assert_all_ended(&report);
            let mut out = report.take(out).concat();
            out.sort_unstable_by_key(|n| n % 100);
            assert_eq!(out.iter().map(|n| n % 100).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
            assert_eq!(report.roots().ended["emitted"], 20, "{report}");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_judged_while_the_list_is_inside_takes_nothing_else_along() {
    under_every_schedule(|flow| async move {
        let (numbers, outer) = flow.source("numbers", 0..12_u64).feedback("outer", Rounds::at_most(1));
        let (numbers, inner) = numbers.feedback("inner", Rounds::at_most(50));
        let judged = numbers.clone();
        let out = numbers
            .batch(4)
            .map(|list| list)
            .handle_or_retry("list", inner, |list| match list.last() {
                Some(n) if n % 4 == 3 && *n < 1000 => Verdict::Retry(n + 1000),
                _ => Verdict::Pass,
            })
            .flat_map(|list| list)
            .handle("late", |_| Verdict::Pass)
            .collect();
        judged.handle_or_retry("one", outer, |_| Verdict::Pass).ignore();
        let mut report = flow.run().await.unwrap();
        assert_all_ended(&report);
        let mut out = report.take(out);
        out.sort_unstable_by_key(|n| n % 1000);
        assert_eq!(out.iter().map(|n| n % 1000).collect::<Vec<_>>(), (0..12).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_become_final_while_the_source_goes_on() {
    // The source gets its second half only when the first has come to the sink.
    let (tell, told) = futures::channel::mpsc::unbounded();
    (0..10_u64).for_each(|n| tell.unbounded_send(n).unwrap());
    let (mut tell, mut there) = (Some(tell), 0);
    let flow = Workflow::new("endless");
    let (numbers, again) = flow.source_stream("numbers", told).feedback("again", Rounds::at_most(5));
    numbers
        .batch(3)
        .handle_or_retry("list", again, |list| match list.last() {
            Some(n) if n % 3 == 0 && *n < 100 => Verdict::Retry(n + 100),
            _ => Verdict::Pass,
        })
        .for_each(move |list| {
            there += list.len();
            if there == 10
                && let Some(tell) = tell.take()
            {
                (10..20).for_each(|n| tell.unbounded_send(n).unwrap());
            }
        });
    let run = tokio::time::timeout(Duration::from_secs(60), flow.run()).await;
    let report = run.expect("the first half never became final").unwrap();
    assert_all_ended(&report);
    assert_eq!(report.roots().ended["emitted"], 20);
}

/// The whole waits for its parts, the parts for their list: that must not wait for the whole.
#[tokio::test]
async fn lists_of_parts_inside_a_loop_come_to_their_wholes() {
    for seed in 0..60 {
        let flow = Workflow::new("lists of parts").loop_permits(1 + seed as usize % 3).seeded(seed);
        let (numbers, again) = flow.source("numbers", 0..6_u64).feedback("again", Rounds::at_most(1));
        let (parts, wholes) = numbers.scatter(|x| [*x, x + 1, x + 2, x + 3]);
        let sums = parts.batch(3).map(|list| list.iter().sum::<u64>());
        let sums =
            sums.gather(wholes, |_, sums| sums.into_values().sum::<u64>())
                .handle_or_retry("small", again, |sum| {
                    if *sum % 2 == 1 { Verdict::Retry(*sum) } else { Verdict::Pass }
                })
                .collect();
        let mut report = flow.run().await.unwrap();
        assert!(report.is_balanced() && report.roots().in_flight == 0, "seed {seed}: {report}");
        let ended = |fate| report.roots().ended.get(fate).copied().unwrap_or_default();
        assert_eq!(
            (ended("emitted") + ended("rejected"), report.snapshot().stalls),
            (6, 0),
            "seed {seed}: {report}"
        );
        assert!(
            report.snapshot().nodes.iter().any(|node| node.verdicts.is_some_and(|said| said.retried > 0))
        );
        let emitted = ended("emitted");
        assert_eq!(report.take(sums).len() as u64, emitted, "seed {seed}: {report}");
    }
}
