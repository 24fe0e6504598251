//! A model in a loop does not wait for more records than the loop can hold.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall panic")]

use eddyline::{prelude::*, runtime::rules::Rules};

/// A loop of three permits around a model whose batches, without a plan, are of sixteen: none of them ever fills.
fn flow(seed: u64, rules: Rules) -> (Workflow, Output<u64>) {
    let flow = Workflow::new("few permits").loop_permits(3).seeded(seed).with_rules(rules);
    let (numbers, again) = flow.source("numbers", 1..30_u64).feedback("again", Rounds::at_most(5));
    let out = numbers
        .model("double", Model::function(|all: &[u64]| all.iter().map(|n| n * 2).collect()))
        .handle_or_retry("large", again, |n| if *n < 30 { Verdict::Retry(*n) } else { Verdict::Pass })
        .collect();
    (flow, out)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_the_loop_cannot_fill_is_launched() {
    for seed in 0..30 {
        let (flow, out) = flow(seed, Rules::default());
        let mut report = flow.run().await.unwrap();
        assert!(report.is_balanced(), "{report}");
        assert_eq!((report.take(out).len(), report.snapshot().stalls), (29, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_rule_the_run_stalls_and_says_so() {
    let (flow, out) = flow(0, Rules { models_linger: false, ..Rules::default() });
    match flow.run().await {
        Err(RunError::Stalled { .. }) => {}
        Err(other) => panic!("another error: {other}"),
        Ok(mut report) => panic!("nothing went wrong: {:?}", report.take(out)),
    }
}
