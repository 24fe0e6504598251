//! Three stages on the published questions, every plan packed on whole devices: the best there are, proven without a solver's tree.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]
#![cfg(feature = "highs")]

use std::path::Path;

use eddyline_planner::{Highs, Limits, Microlp, Packing, Rules, Status, plan, with_arrivals};

mod published;

#[test]
fn without_the_published_rule_of_one_route_per_sequence_no_plan_is_worth_less() {
    let cases = published::cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"));
    let limits = Limits { gap: 1e-3, ..Limits::default() };
    for case in cases {
        let rules = Rules { one_route_per_sequence: false, ..Rules::parity() };
        let problem = with_arrivals(&case.problem, &Highs, &limits).unwrap().with_rules(rules);
        let answer = plan(&problem, &Highs, &limits).unwrap();
        answer.placement.check(&problem).unwrap();
        let (name, proof) = (&case.name, &answer.proof);
        assert!(proof.value >= case.published[2] * (1.0 - 1e-3), "{name}: {proof:?}");
        assert_eq!(proof.status, Status::Optimal, "{name}: {proof:?}");
    }
}

#[test]
fn three_stages_are_never_worse_than_two_and_proven_best() {
    let best = [
        ("G1/L4-P4", 1824.52),
        ("G1/L4-T4", 2278.98),
        ("G1/V100-P4", 1806.29),
        ("G1/V100-T4", 2141.95),
        ("G4/L4-P4", 3300.98),
        ("G4/L4-T4", 2980.23),
        ("G4/V100-P4", 2318.84),
        ("G4/V100-T4", 2422.03),
    ];
    let cases = published::cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"));
    assert_eq!(cases.len(), best.len());
    for case in cases {
        let rules = Rules {
            stages: 3,
            packing: Packing::WholeDevices,
            one_route_per_sequence: false,
            ..Rules::parity()
        };
        let problem = with_arrivals(&case.problem, &Highs, &Limits::default()).unwrap().with_rules(rules);
        // Tables need no solver; this one would take days.
        let answer = plan(&problem, &Microlp, &Limits::default()).unwrap();
        answer.placement.check(&problem).unwrap();
        let (name, proof) = (&case.name, &answer.proof);
        assert_eq!((proof.status, proof.nodes), (Status::Optimal, None), "{name}: {proof:?}");
        assert!(proof.gap().is_some_and(|gap| gap <= 1e-9), "{name}: {proof:?}");
        assert!(proof.value >= case.published[2] * (1.0 - 1e-6), "{name}: {proof:?}");
        let wanted = best.iter().find(|(of, _)| of == name).unwrap().1;
        assert!((proof.value - wanted).abs() < 0.01, "{name}: {proof:?}");
    }
}
