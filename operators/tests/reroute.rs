//! Other ways out of a handler.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use eddyline::prelude::*;

#[tokio::test]
async fn a_handler_in_a_loop_sends_back_on_and_two_other_ways() {
    for seed in 0..50 {
        let flow = Workflow::new("ways").loop_permits(1 + seed as usize % 3).seeded(seed);
        let (numbers, again) = flow.source("numbers", 0..40_u64).feedback("again", Rounds::at_most(2));
        let checked = numbers.handle_or_retry("check", again, |x| match x % 4 {
            0 => Verdict::Pass,
            1 => Verdict::reroute("ones"),
            2 => Verdict::Retry(x + 1),
            _ => Verdict::reroute("threes"),
        });
        let (checked, ones) = checked.rerouted("ones");
        let (on, threes) = checked.rerouted("threes");
        let (on, ones, threes) = (on.collect(), ones.collect(), threes.collect());
        let mut report = flow.run().await.unwrap();
        let mut taken = |output| {
            let mut all = report.take(output);
            all.sort_unstable();
            all
        };
        assert_eq!(taken(on), (0..40).step_by(4).collect::<Vec<_>>());
        assert_eq!(taken(ones), (1..40).step_by(4).collect::<Vec<_>>());
        assert_eq!(taken(threes), (3..40).step_by(4).flat_map(|x| [x, x]).collect::<Vec<_>>());
        assert!(report.is_balanced(), "{report}");
        let verdicts = report.snapshot().nodes.iter().find_map(|node| node.verdicts).unwrap();
        assert_eq!((verdicts.rerouted, verdicts.retried, verdicts.passed), (30, 10, 10));
    }
}

#[tokio::test]
async fn a_way_that_does_not_exist_is_a_fault_that_names_those_that_do() {
    let flow = Workflow::new("no such way");
    let (on, other) =
        flow.source("numbers", [1, 2]).handle("check", |_| Verdict::reroute("larg")).rerouted("large");
    on.merge(other).ignore();
    let report = flow.run().await.unwrap();
    let reason = &report.faults()[0].reason;
    assert!(
        reason.contains("no way `larg` (there is `large`); put `.rerouted(\"larg\")` behind"),
        "{reason}"
    );
    assert!(report.is_balanced() && report.faults().len() == 2, "{report}");
}

#[tokio::test]
async fn ways_belong_to_handlers_and_have_names_of_their_own() {
    let flow = Workflow::new("wrong");
    let (on, other) = flow.source("numbers", 0..3).map(|x| x).rerouted("large");
    on.merge(other).ignore();
    let error = flow.run().await.unwrap_err().to_string();
    assert!(error.contains("put it straight behind `.handle(…)`"), "{error}");

    let flow = Workflow::new("twice");
    let (on, one) = flow.source("numbers", 0..3).handle("check", |_| Verdict::Pass).rerouted("large");
    let (on, two) = on.rerouted("large");
    on.merge(one).merge(two).ignore();
    let error = flow.run().await.unwrap_err().to_string();
    assert!(error.contains("`.rerouted(\"large\")` has that way already"), "{error}");
}
