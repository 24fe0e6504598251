//! Random questions: whatever is planned for them passes `check`, and on small ones it is what trying all gives.

use std::collections::BTreeMap;

use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed},
};

use crate::{
    Cluster, Demand, DeviceKind, EngineKind, Fraction, Latency, Limits, Link, Objective, Packing,
    PlanningError, Problem, Profile, Rules, Slo, Solver,
    exhaustive::best_least_share,
    greedy, plan, replan,
    search::{all_templates, best_over},
};

/// Small enough to try all, and with every rule on and off.
pub(crate) fn small(
    models: usize,
    kinds: usize,
    devices: u32,
    blocks: usize,
) -> impl Strategy<Value = Problem> {
    let table = prop::collection::vec(20.0..200.0_f64, 2..=3);
    let of_kind = prop::collection::vec(table, blocks);
    let profile = (
        prop::collection::vec(of_kind, kinds * 2),
        prop::collection::vec(1_000_u64..200_000, blocks - 1),
        1.0..6.0_f64,
        0.2..1.0_f64,
    );
    let rules = (1..=3_u32, 1..=2_u32, 1..=2_u32, any::<bool>());
    let kind = (1..=devices, 1..=2_u32, prop::option::of(2.0..20.0_f64));
    (prop::collection::vec(profile, 1..=models), rules, prop::collection::vec(kind, kinds), 100.0..5e4_f64)
        .prop_map(move |(profiles, (stages, slices, batch, growing_batches), kinds, arrivals)| {
            let name = |at: usize| format!("k{at}");
            let cluster = kinds.iter().enumerate().map(|(at, (count, per_server, gbps))| {
                let kind = DeviceKind {
                    per_server: *per_server,
                    link: gbps.map(|gbps| Link { gbps }),
                    ..DeviceKind::new(name(at), EngineKind::Throttled)
                };
                (kind, *count)
            });
            let (mut known, mut demands) = (BTreeMap::new(), Vec::new());
            for (at, (tables, cuts, slack, weight)) in profiles.into_iter().enumerate() {
                let model = format!("m{at}");
                let mut latency_us = BTreeMap::new();
                let mut quickest = f64::INFINITY;
                for (of, mut blocks) in tables.into_iter().enumerate() {
                    // Latency does not fall with the batch, and a half is no quicker than a whole by much.
                    for table in &mut blocks {
                        let mut most = 0.0;
                        for us in table.iter_mut() {
                            most += *us / if most == 0.0 { 1.0 } else { 3.0 };
                            *us = most * if of % 2 == 1 { 1.3 } else { 1.0 };
                        }
                    }
                    quickest = blocks.iter().map(|t| t[0]).sum::<f64>().min(quickest);
                    let blocks = blocks.into_iter().map(Latency::Table).collect();
                    latency_us.insert(Fraction::new(name(of / 2), 1 + of as u32 % 2).to_string(), blocks);
                }
                known.insert(model.clone(), Profile::new(model.clone(), latency_us, cuts).unwrap());
                let slo = Slo { latency_us: quickest * slack, margin: 0.1 };
                demands.push(Demand::new(model, 0.0).weighing(weight).within(slo));
            }
            let arrivals = vec![arrivals; demands.len()];
            let rules = Rules {
                stages,
                slices,
                batch,
                growing_batches,
                packing: Packing::WholeDevices,
                one_route_per_sequence: false,
                whole_latency: false,
            };
            let cluster = Cluster::of(cluster).unwrap();
            let problem = Problem::new(cluster, &known, demands, rules, Objective::MaxMin).unwrap();
            problem.with_arrivals(arrivals)
        })
}

#[cfg(feature = "highs")]
pub(crate) const SOLVER: &dyn Solver = &crate::Highs;
#[cfg(not(feature = "highs"))]
pub(crate) const SOLVER: &dyn Solver = &crate::Microlp;

pub(crate) fn limits() -> Limits {
    Limits { gap: 1e-7, ..Limits::seconds(20.0) }
}

pub(crate) fn cases(cases: u32) -> Config {
    Config { cases, rng_seed: RngSeed::Fixed(2025), failure_persistence: None, ..Config::default() }
}

pub(crate) fn checked(problem: &Problem, placement: &crate::Placement) -> Result<(), TestCaseError> {
    match placement.check(problem) {
        Ok(()) => Ok(()),
        Err(wrong) => {
            Err(TestCaseError::fail(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
        }
    }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn a_plan_is_worth_what_trying_all_gives(problem in small(2, 2, 3, 3)) {
        let best = best_least_share(&problem);
        match plan(&problem, SOLVER, &limits()) {
            Ok(answer) => {
                let value = answer.proof.value;
                prop_assert!((value - best).abs() <= 1e-5 * best.max(1.0), "planned {value}, there is {best}");
                checked(&problem, &answer.placement)?;
                // The same by the solver's program alone.
                let solved = best_over(&problem, &all_templates(&problem).unwrap(), None, SOLVER, &limits()).unwrap();
                let value = solved.proof.value;
                prop_assert!((value - best).abs() <= 1e-5 * best.max(1.0), "solved {value}, there is {best}");
                let quick = greedy(&problem).unwrap();
                prop_assert!(quick.proof.value <= best * (1.0 + 1e-6));
            }
            Err(PlanningError::Infeasible(_)) => prop_assert_eq!(best, 0.0),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
    }
}

proptest! {
    #![proptest_config(cases(5_000))]

    #[test]
    fn every_placement_passes_its_check(problem in small(3, 3, 30, 6)) {
        if let Ok(answer) = greedy(&problem) {
            checked(&problem, &answer.placement)?;
        }
    }
}

proptest! {
    // With a solver a case takes some 50 ms; PROPTEST_CASES=5000 asks for as many as without one.
    #![proptest_config(cases(std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(200)))]

    #[test]
    fn every_plan_passes_its_check(problem in small(2, 2, 6, 3), packing in 0..3) {
        let rules = Rules {
            packing: if packing == 0 { Packing::WholeDevices } else { Packing::Summed },
            one_route_per_sequence: packing == 2,
            ..problem.rules().clone()
        };
        let problem = problem.with_rules(rules);
        let limits = Limits { gap: 1e-2, nodes: Some(20), ..Limits::seconds(2.0) };
        if let Ok(answer) = plan(&problem, SOLVER, &limits) {
            checked(&problem, &answer.placement)?;
            if packing == 0 {
                let deployed = answer.placement.deploy(&problem);
                prop_assert!(deployed.is_ok() || problem.rules().growing_batches, "{:?}", deployed.err());
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn a_plan_that_follows_another_passes_its_check_and_moves_no_more(problem in small(2, 2, 5, 3)) {
        let Ok(before) = plan(&problem, SOLVER, &limits()) else { return Ok(()) };
        let mut counts = problem.counts().to_vec();
        counts[0] = counts[0].saturating_sub(1).max(1);
        let fewer = problem.with_counts(counts);
        let Ok(after) = replan(&fewer, &before.placement, 0.0, SOLVER, &limits()) else { return Ok(()) };
        checked(&fewer, &after.answer.placement)?;
        prop_assert!(after.moved_devices <= after.moved_devices_without);
        let best = plan(&fewer, SOLVER, &limits()).unwrap().proof.value;
        prop_assert!((after.answer.proof.value - best).abs() <= 1e-4 * best, "{} {best}", after.answer.proof.value);
    }
}
