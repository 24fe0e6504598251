//! Those who judge are judged, in a run: one in shadow changes nothing, one that harms is tripped while the run goes on.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test may")]

use eddyline::{
    handlers::{Breaker, BreakerState, Meter},
    prelude::*,
};

/// Says everything that can be said without a loop, and panics on some.
fn any_opinion() -> impl Handler<u32, Retry = NoLoop> {
    by(|n: &u32, _: &Seen| -> Verdict<u32> {
        match n % 7 {
            0 => Verdict::Pass,
            1 => Verdict::Replace(n + 1000),
            2 => Verdict::Split(vec![*n, *n]),
            3 => Verdict::drop("three"),
            4 => Verdict::reroute("nowhere"),
            5 => panic!("five"),
            _ => Verdict::reject("six"),
        }
    })
}

#[tokio::test]
async fn a_handler_in_shadow_changes_nothing_in_a_run() {
    for seed in 0..20 {
        let run = async |meter: Option<&Meter<u32>>| {
            let flow = Workflow::new("shadow").seeded(seed);
            let (numbers, again) = flow.source("numbers", 0..500u32).feedback("again", Rounds::at_most(1));
            let numbers = match meter {
                Some(meter) => numbers.handle_with("new", any_opinion().shadow(meter)),
                None => numbers.handle_with("new", by(|_: &u32, _: &Seen| Verdict::Abstain)),
            };
            let numbers = numbers
                .handle_or_retry("odd", again, |n| {
                    if n % 10 == 3 { Verdict::Retry(n + 1) } else { Verdict::Pass }
                })
                .ordered()
                .collect();
            let mut report = flow.run().await.unwrap();
            let numbers = report.take(numbers);
            let fates = (report.records().clone(), report.roots().clone(), report.faults().len());
            (numbers, fates, report.verdicts("new"))
        };
        let meter = Meter::new("new");
        let (with, without) = (run(Some(&meter)).await, run(None).await);
        assert_eq!(with, without, "seed {seed}");
        let counts = meter.read();
        assert!(counts.shadow && counts.rejected > 0 && counts.panicked > 0, "{counts:?}");
        assert_eq!(counts.seen + counts.panicked, 550, "500, and 50 that came again");
    }
}

#[tokio::test]
async fn a_handler_that_harms_is_tripped_while_the_run_goes_on() {
    // (as it was read, as it is): one of a hundred is wrong, and the handler rounds every value to tens.
    let readings = |n: u32| if n.is_multiple_of(100) { (n + 1, n) } else { (n, n) };
    let right = |&(read, truth): &(u32, u32)| Some(read == truth);
    let rounding = || {
        by(|&(read, truth): &(u32, u32), _: &Seen| -> Verdict<(u32, u32)> {
            if read % 10 == 0 { Verdict::Abstain } else { Verdict::Replace((read / 10 * 10, truth)) }
        })
    };
    let run = async |handler: Box<dyn Handler<(u32, u32), Retry = NoLoop>>| {
        let flow = Workflow::new("rounding");
        let out = flow.source("readings", (0..5_000).map(readings)).handle_with("round", handler).collect();
        let mut report = flow.run().await.unwrap();
        assert!(report.is_balanced() && report.roots().ended["emitted"] == 5_000, "{report}");
        report.take(out).into_iter().filter(|(read, truth)| read != truth).count()
    };

    let alone = Meter::new("round").with_truth(right);
    let wrong = run(Box::new(rounding().metered(&alone))).await;
    let counts = alone.read().truth.unwrap();
    assert_eq!((wrong, counts.harmed(), counts.repaired()), (4_500, 4_500, 50));

    let breaker = Breaker::over(50).harmless(right);
    let guarded = Meter::new("round").with_truth(right);
    let wrong = run(Box::new(rounding().breaker(&breaker).metered(&guarded))).await;
    assert_eq!((breaker.state(), breaker.trips()), (BreakerState::Open, 1));
    assert!(breaker.last_trip().unwrap().contains("harmed"), "{:?}", breaker.last_trip());
    let counts = guarded.read();
    assert_eq!(counts.seen, 5_000, "the run goes on");
    // No more than the window in which it was found out, and what was wrong all the same.
    assert!(counts.truth.unwrap().harmed() < 50 && wrong < 100, "{wrong} {counts:?}");
}
