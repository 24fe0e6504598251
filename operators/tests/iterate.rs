//! A loop in one method: each value goes its own number of turns.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall panic")]

use eddyline::{FaultKind, prelude::*};

/// Turns until a number comes to 1: halved where it is even, else three times it and one.
fn turns(mut n: u64) -> u64 {
    let mut turns = 0;
    while n != 1 {
        n = if n.is_multiple_of(2) { n / 2 } else { 3 * n + 1 };
        turns += 1;
    }
    turns
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_value_goes_its_own_number_of_turns_also_through_a_model() {
    for seed in 0..20 {
        let flow = Workflow::new("collatz").seeded(seed).loop_permits(1 + seed as usize % 5);
        let out = flow
            .source("numbers", 1..60_u64)
            .map(|n| (n, n, 0_u64))
            .iterate("to 1", Rounds::at_most(90), |numbers| {
                let step = |n: u64| if n.is_multiple_of(2) { n / 2 } else { 3 * n + 1 };
                let (done, open) = numbers.split(|(_, n, _)| *n == 1);
                let model = Model::function(move |all: &[(u64, u64, u64)]| {
                    all.iter().map(|&(id, n, turns)| (id, step(n), turns + 1)).collect()
                });
                done.map(|(id, _, turns)| Step::Done((id, turns)))
                    .merge(open.model("step", model).map(Step::Again))
            })
            .collect();
        let mut report = flow.run().await.unwrap();
        assert!(report.is_balanced(), "{report}");
        let mut out = report.take(out);
        out.sort_unstable();
        // 27, 54 and 55 take more than 90 turns.
        let expected: Vec<(u64, u64)> = (1..60).map(|n| (n, turns(n))).filter(|(_, t)| *t <= 90).collect();
        assert_eq!(out, expected);
        let late = (1..60).filter(|n| turns(*n) > 90).count();
        assert!(late > 0 && report.faults().len() == late, "{report}");
        assert!(report.faults().iter().all(|f| f.kind == FaultKind::RoundsSpent && f.rounds == 90));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loops_in_loops() {
    let flow = Workflow::new("nested");
    let out =
        flow.source("numbers", 0..10_u64)
            .map(|n| (n, 0_u64))
            .iterate("outer", Rounds::at_most(3), |numbers| {
                numbers
                    .iterate("inner", Rounds::at_most(40), |numbers| {
                        numbers.map(|(n, sum)| {
                            if sum % 10 == 9 { Step::Done((n, sum)) } else { Step::Again((n, sum + 1)) }
                        })
                    })
                    .map(|(n, sum)| if sum > 30 { Step::Done(n) } else { Step::Again((n, sum + 1)) })
            })
            .collect();
    let mut report = flow.run().await.unwrap();
    assert!(report.is_balanced(), "{report}");
    let mut out = report.take(out);
    out.sort_unstable();
    assert_eq!(out, (0..10).collect::<Vec<_>>());
}
