//! Each objective on a question that is small enough to answer by hand, with HiGHS where it is compiled and else with microlp.

use std::collections::BTreeMap;

use crate::{
    Cluster, Demand, DeviceKind, EngineKind, Latency, Limits, Objective, Problem, Profile, Rules, Slo,
    Status, explain, plan, random::SOLVER, replan,
};

/// `a` takes 1 ms on `fast` and 4 ms on `slow`; `b` only knows `fast`, 2 ms.
pub(crate) fn problem(fast: u32, slow: u32, rates: [f64; 2], objective: Objective) -> Problem {
    let table = |us: f64| vec![Latency::Table(vec![us])];
    let of = |model: &str, figures: &[(&str, f64)]| {
        let latency_us = figures.iter().map(|(kind, us)| ((*kind).to_owned(), table(*us))).collect();
        (model.to_owned(), Profile::new(model, latency_us, vec![]).unwrap())
    };
    let profiles =
        BTreeMap::from([of("a", &[("fast", 1000.0), ("slow", 4000.0)]), of("b", &[("fast", 2000.0)])]);
    let kind = |name: &str, cost| DeviceKind { cost, ..DeviceKind::new(name, EngineKind::Throttled) };
    let cluster = Cluster::of([(kind("fast", 5.0), fast), (kind("slow", 1.0), slow)]).unwrap();
    let slo = Slo { latency_us: 10_000.0, margin: 0.0 };
    let demands = vec![Demand::new("a", rates[0]).within(slo), Demand::new("b", rates[1]).within(slo)];
    Problem::new(cluster, &profiles, demands, Rules::normal(), objective).unwrap()
}

fn value(problem: &Problem) -> f64 {
    let answer = plan(problem, SOLVER, &Limits::default()).unwrap();
    answer.placement.check(problem).unwrap();
    assert_eq!(answer.proof.status, Status::Optimal);
    answer.proof.value
}

#[test]
fn the_worst_served_model_is_served_best() {
    // Three fast to `b` are 1500 and four slow to `a` 1000; the third fast one is better with `a`.
    let question = problem(3, 4, [0.0, 0.0], Objective::MaxMin);
    assert!((value(&question) - 1000.0).abs() < 1e-3);
    let placement = plan(&question, SOLVER, &Limits::default()).unwrap().placement;
    // The least is 1000 either way; the surplus decides for one fast device more with `a`.
    assert!((placement.models[0].rate_per_s - 2000.0).abs() < 1e-3, "{placement}");
}

#[test]
fn headroom_is_how_many_times_the_demand() {
    assert!((value(&problem(2, 2, [250.0, 500.0], Objective::Headroom)) - 2.0).abs() < 1e-6);
}

#[test]
fn the_fewest_devices_and_the_cheapest_are_not_the_same() {
    assert_eq!(value(&problem(4, 8, [1000.0, 1000.0], Objective::LeastDevices)), 3.0);
    assert_eq!(value(&problem(4, 8, [1000.0, 1000.0], Objective::LeastCost)), 14.0);
}

#[test]
fn too_few_devices_are_answered_with_how_much_they_carry_and_what_helps() {
    for objective in [Objective::LeastDevices, Objective::MaxMin] {
        let question = problem(2, 0, [1000.0, 1000.0], objective);
        let message = plan(&question, SOLVER, &Limits::default()).unwrap_err().to_string();
        assert!(
            message.contains("carry 50.0 %") && message.contains("one more fast gives 100.0 %"),
            "{message}"
        );
    }
}

#[test]
fn the_bottleneck_is_named_with_its_price_and_what_a_device_brings() {
    let question = problem(2, 1, [0.0, 0.0], Objective::MaxMin);
    let answer = plan(&question, SOLVER, &Limits::default()).unwrap();
    let why = explain(&question, &answer, SOLVER, &Limits::default()).unwrap();
    // `b` has one fast device, 500 a second, and so does `a` with one and the slow one, 1250.
    assert_eq!((why.bottleneck.as_str(), why.tight[0].price), ("b", 1.0));
    assert_eq!(why.best_gain().map(|gain| gain.kind.as_str()), Some("fast"));
}

#[test]
fn after_a_loss_only_what_must_move_moves() {
    let before = plan(&problem(4, 4, [0.0, 0.0], Objective::MaxMin), SOLVER, &Limits::default()).unwrap();
    let now = problem(4, 3, [0.0, 0.0], Objective::MaxMin);
    let next = replan(&now, &before.placement, 0.3, SOLVER, &Limits::default()).unwrap();
    next.answer.placement.check(&now).unwrap();
    assert_eq!(next.moved_devices, 0.0, "{:?}", next.changes);
}
