//! A record that comes back with a value that it had before at the same point ends there, where the author asks for it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall panic")]

use std::collections::BTreeMap;

use eddyline::{FaultKind, prelude::*};

fn assert_all_ended(report: &Report) {
    assert!(report.is_balanced(), "{report}");
    assert_eq!((report.records().in_flight, report.roots().in_flight), (0, 0), "{report}");
    assert!(report.snapshot().loops.iter().all(|l| l.used == 0), "permits are still held: {report}");
}

/// Circles of one round (10), two (5, 15) and four; four of them come to 0.
fn next(n: u64) -> u64 {
    if n == 4 { 0 } else { n * 3 % 20 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_goes_in_circles_ends_before_its_rounds_are_spent() {
    for seed in 0..40 {
        let flow = Workflow::new("circles").seeded(seed).loop_permits(1 + seed as usize % 4);
        let (numbers, again) =
            flow.source("numbers", 0..20_u64).feedback("again", Rounds::at_most(1000).distinct());
        let aside = numbers.clone().collect();
        let out =
            numbers
                .map(|n| n)
                .handle_or_retry("zero", again, |n| {
                    if *n == 0 { Verdict::Pass } else { Verdict::Retry(next(*n)) }
                })
                .collect();
        let mut report = flow.run().await.unwrap();
        assert_all_ended(&report);
        assert_eq!(report.take(out), [0; 5], "0, 4, 8, 12 and 16");
        let mut reasons = BTreeMap::<&str, usize>::new();
        for fault in report.faults() {
            assert_eq!(fault.kind, FaultKind::Oscillation, "{fault:?}");
            *reasons.entry(&fault.reason).or_default() += 1;
        }
        let expected = [
            ("sent back with the value that it had 2 rounds before", 2),
            ("sent back with the value that it had 4 rounds before", 12),
            ("sent back with the value that it had in the round before", 1),
        ];
        assert_eq!(reasons, expected.into());
        // What was made of the last version of each stands.
        let mut aside = report.take(aside);
        aside.sort_unstable();
        aside.dedup();
        assert_eq!(aside.len(), 16, "every number but 4, 8, 12 and 16: {aside:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_records_may_have_the_same_value_and_one_may_come_back_to_another_point_with_it() {
    let flow = Workflow::new("not circles");
    let (numbers, outer) =
        flow.source("numbers", vec![(1_u64, 0_u64); 20]).feedback("outer", Rounds::at_most(2).distinct());
    let (numbers, inner) = numbers.feedback("inner", Rounds::at_most(4).distinct());
    let out =
        numbers
            .handle_or_retry("inner judge", inner, |&(a, b)| {
                if b == 0 { Verdict::Retry((a, 1)) } else { Verdict::Pass }
            })
            // Comes to the inner point as it was there before, but as a record that is new to it.
            .handle_or_retry("outer judge", outer, |&(a, b)| {
                if a == 1 && b < 2 { Verdict::Retry((a + 1, 0)) } else { Verdict::Pass }
            })
            .collect();
    let mut report = flow.run().await.unwrap();
    assert_all_ended(&report);
    assert_eq!(report.take(out), vec![(2, 1); 20]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_being_asked_to_a_loop_takes_the_same_value_again() {
    let flow = Workflow::new("luck");
    let (numbers, again) = flow.source("numbers", 0..10_u64).feedback("again", Rounds::at_most(5));
    let mut draws = 0;
    let out = numbers
        .handle_or_retry("lucky", again, move |n| {
            draws += 1;
            if draws > 30 { Verdict::Pass } else { Verdict::Retry(*n) }
        })
        .collect();
    let mut report = flow.run().await.unwrap();
    assert_all_ended(&report);
    assert_eq!(report.take(out).len() + report.faults().len(), 10);
    assert!(report.faults().iter().all(|fault| fault.kind == FaultKind::RoundsSpent));
}
