//! Our plans under our rules: what they carry, what a decision costs, and what happens when something goes wrong.

use std::{
    collections::BTreeMap,
    error::Error,
    time::{Duration, Instant},
};

use eddyline_planner::{
    Cluster, Highs, Limits, Objective, Packing, Problem, Rules, plan,
    serving::{
        Arrivals, Decision, Deviation, Fault, Fleet, Load, Policy, Reactive, Reservation, Scenario, State,
        Trace, Trouble, Tuned, Tuning, simulate, tune,
    },
    with_arrivals,
};

use crate::{SEEDS, Suite, geometric_mean, questions::Case};

fn reservation() -> Box<dyn Policy> {
    Box::new(Reservation::default())
}

fn reactive() -> Box<dyn Policy> {
    Box::new(Reactive)
}

/// Three stages on whole devices; batches as far as they were measured.
fn ours() -> Rules {
    Rules { stages: 3, packing: Packing::WholeDevices, one_route_per_sequence: false, ..Rules::parity() }
}

fn question(case: &Case) -> Result<Problem, Box<dyn Error>> {
    Ok(with_arrivals(&case.problem, &Highs, &Limits::default())?.with_rules(ours()))
}

/// 30 s on the held-out seeds.
fn load(problem: &Problem, arrivals: Arrivals) -> Load {
    let shares = problem.demands().iter().map(|demand| demand.weight).collect();
    Load { shares, arrivals, seconds: 30.0, seeds: SEEDS.to_vec(), attainment: 0.99 }
}

/// All 24 questions: what the tuned plan carries of Poisson arrivals and of a folded trace, beside the reactive policy.
pub fn normal(suite: &mut Suite) -> Result<(), Box<dyn Error>> {
    let file = suite.folder.join("../traces/azure_llm_2023_conv.csv");
    let trace = Arrivals::Trace(Trace::load(file)?);
    println!(
        "{:12} {:>8} {:>9} {:>8} {:>8} {:>8} {:>8}  margins, batch, parts, lending; plans tried",
        "case", "planned", "sustained", "items/s", "reactive", "trace", "low use"
    );
    let (mut ratios, mut others, mut traces, mut low_uses) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for at in 0..suite.cases.len() {
        let case = &suite.cases[at];
        let problem = question(case)?;
        let held_out = load(&problem, Arrivals::Poisson);
        let tuning = Tuning {
            margins: vec![0.3, 0.2, 0.12],
            batches: vec![1, 8],
            slices: vec![1, 4],
            lending: vec![false, true],
            policy: reservation,
            rounds: 1,
            load: Load { seconds: 10.0, seeds: vec![101, 102], ..held_out.clone() },
        };
        let Tuned { setting, answer, fleet, load: found, tried } =
            tune(&problem, &Highs, &Limits::seconds(2.0), &tuning)?;
        let promised = case.published[2];
        let rates = answer.placement.models.iter().zip(problem.demands());
        let planned =
            rates.map(|(model, demand)| model.rate_per_s / demand.weight).fold(f64::INFINITY, f64::min);
        let carried = held_out.between(&fleet, &reservation, found * 0.9, found * 1.03);
        let other = held_out.between(&fleet, &reactive, found * 0.5, found * 1.03);
        let of_trace = load(&problem, trace.clone()).between(&fleet, &reservation, found * 0.5, found * 1.05);
        let low = problem.cluster().kinds()[1].name.clone();
        let runs = held_out.run(&fleet, &reservation, carried);
        let low_use = runs.map(|run| run.use_of[&low]).sum::<f64>() / SEEDS.len() as f64;
        let sum = carried * problem.demands().iter().map(|demand| demand.weight).sum::<f64>();
        println!(
            "{:12} {:8.3} {:9.3} {sum:8.0} {:8.3} {:8.3} {low_use:8.3}  {:.2?}, {}, {}, {}; {tried}",
            case.name,
            planned / promised,
            carried / promised,
            other / promised,
            of_trace / promised,
            setting.margins,
            setting.batch,
            setting.slices,
            setting.lending,
        );
        ratios.push(carried / promised);
        others.push(other / promised);
        traces.push(of_trace / promised);
        low_uses.push(low_use);
        let name = case.name.clone();
        suite.figure("sustained_over_parity_plan", &name, "reservation", carried / promised, "ratio");
        suite.figure("sustained_over_parity_plan", &name, "reactive", other / promised, "ratio");
        suite.figure("trace_over_parity_plan", &name, "reservation", of_trace / promised, "ratio");
        suite.figure("low_use", &name, "reservation", low_use, "of time");
    }
    let mean = geometric_mean(&ratios);
    println!(
        "geometric means: sustained {mean:.3}, reactive {:.3}, trace {:.3}; low use, mean {:.3}",
        geometric_mean(&others),
        geometric_mean(&traces),
        low_uses.iter().sum::<f64>() / low_uses.len() as f64
    );
    suite.figure("sustained_over_parity_plan", "all", "reservation", mean, "ratio");
    Ok(())
}

/// All 24 questions under Markov-modulated arrivals: each policy with the plan that is best for it, of the same ones.
pub fn modulated(suite: &mut Suite) -> Result<(), Box<dyn Error>> {
    println!("{:12} {:>11} {:>8} {:>7}", "case", "reservation", "reactive", "points");
    let (mut of_ours, mut of_others) = (Vec::new(), Vec::new());
    for at in 0..suite.cases.len() {
        let case = &suite.cases[at];
        let problem = question(case)?;
        let held_out = load(&problem, Arrivals::Modulated);
        let mut carried = Vec::new();
        for (policy, lending) in
            [(reservation as fn() -> Box<dyn Policy>, vec![true]), (reactive, vec![false])]
        {
            let tuning = Tuning {
                margins: vec![0.4, 0.3, 0.2, 0.1, 0.05],
                batches: vec![8],
                slices: vec![1],
                lending,
                policy,
                rounds: 0,
                load: Load { seeds: vec![101, 102, 103], ..held_out.clone() },
            };
            let tuned = tune(&problem, &Highs, &Limits::seconds(2.0), &tuning)?;
            let found = held_out.between(&tuned.fleet, &policy, tuned.load * 0.75, tuned.load * 1.2);
            carried.push(found / case.published[2]);
        }
        let points = 100.0 * (carried[0] - carried[1]);
        println!("{:12} {:11.3} {:8.3} {points:+7.1}", case.name, carried[0], carried[1]);
        of_ours.push(carried[0]);
        of_others.push(carried[1]);
        let name = case.name.clone();
        suite.figure("markov_over_parity_plan", &name, "reservation", carried[0], "ratio");
        suite.figure("markov_over_parity_plan", &name, "reactive", carried[1], "ratio");
        suite.figure("markov_points_over_reactive", &name, "reservation", points, "points");
    }
    let (one, other) = (geometric_mean(&of_ours), geometric_mean(&of_others));
    println!("geometric means: {one:.3}, {other:.3}: {:+.1} points", 100.0 * (one - other));
    suite.figure("markov_points_over_reactive", "all", "reservation", 100.0 * (one - other), "points");
    Ok(())
}

/// A policy that is timed.
struct Timed<P> {
    policy: P,
    took: Duration,
}

impl<P: Policy> Policy for Timed<P> {
    fn name(&self) -> &'static str {
        self.policy.name()
    }

    #[allow(clippy::disallowed_methods, reason = "what a decision takes is what is measured")]
    fn decide(&mut self, now: u64, state: &State, queue: usize) -> Decision {
        let begun = Instant::now();
        let decision = self.policy.decide(now, state, queue);
        self.took += begun.elapsed();
        decision
    }
}

/// The plan of a question on so many times its devices, with a margin of 0.2, lending.
fn fleet_of(case: &Case, times: u32) -> Result<(Fleet, Vec<f64>), Box<dyn Error>> {
    let asked = question(case)?;
    let kinds =
        asked.cluster().kinds().iter().map(|kind| (kind.clone(), times * asked.cluster().count(&kind.name)));
    let profiles: BTreeMap<_, _> =
        asked.profiles().iter().map(|of| (of.model().to_owned(), of.clone())).collect();
    let mut demands = asked.demands().to_vec();
    let slos = demands.iter_mut().filter_map(|demand| demand.slo.as_mut());
    slos.for_each(|slo| slo.margin = 0.2);
    let slo = |demand: &eddyline_planner::Demand| Some((demand.model.clone(), demand.slo?.latency_us));
    let slos = demands.iter().filter_map(slo).collect();
    let rules = Rules { slices: 1, ..ours() };
    let problem = Problem::new(Cluster::of(kinds)?, &profiles, demands, rules, Objective::MaxMin)?;
    let problem = problem.with_arrivals(asked.arrivals_per_s().map(<[f64]>::to_vec).unwrap_or_default());
    let answer = plan(&problem, &Highs, &Limits { gap: 1e-2, ..Limits::seconds(10.0) })?;
    let plan = answer.placement.deploy(&problem)?;
    let fleet = Fleet::new(&plan, &slos)?.overflowing(&plan).lending();
    let rates = problem.demands().iter().map(|demand| demand.weight * answer.proof.value).collect();
    Ok((fleet, rates))
}

/// µs per batch at 100 and 1,000 devices, at nine tenths of what is planned; and what a simulation takes. Wall time.
#[allow(clippy::disallowed_methods, reason = "what a simulation takes is what is measured")]
pub fn cost(suite: &mut Suite) -> Result<(), Box<dyn Error>> {
    println!(
        "{:12} {:>7} {:>9} {:>9} {:>12} {:>8}",
        "case", "devices", "batches", "items", "µs per batch", "s, all"
    );
    let wanted: Vec<usize> = (0..suite.cases.len())
        .filter(|at| ["G1", "G4"].iter().any(|g| suite.cases[*at].name.starts_with(g)))
        .collect();
    for (devices, name) in [(100, "decision_us_100"), (1000, "decision_us_1000")] {
        let mut means = Vec::new();
        for at in &wanted {
            let case = &suite.cases[*at];
            let (fleet, rates) = fleet_of(case, devices / 100)?;
            let rates: Vec<f64> = rates.iter().map(|rate| rate * 0.9).collect();
            let scenario = Scenario::new(&rates, Arrivals::Poisson, 30.0 / f64::from(devices / 100));
            let mut policy = Timed { policy: Reservation::default(), took: Duration::ZERO };
            let begun = Instant::now();
            let outcome = simulate(&fleet, &mut policy, &scenario, 1);
            let all = begun.elapsed().as_secs_f64();
            let items: u64 = outcome.models.iter().map(|model| model.came).sum();
            let mean = policy.took.as_secs_f64() * 1e6 / outcome.batches.max(1) as f64;
            println!("{:12} {devices:7} {:9} {items:9} {mean:12.2} {all:8.2}", case.name, outcome.batches);
            means.push(mean);
            let case = case.name.clone();
            suite.figure(name, &case, "reservation", mean, "µs");
            suite.figure("simulation_s", &format!("{case}/{devices}"), "reservation", all, "s");
        }
        let mean = means.iter().sum::<f64>() / means.len().max(1) as f64;
        println!("{devices} devices: {mean:.2} µs per batch");
        suite.figure(name, "all", "reservation", mean, "µs");
    }
    Ok(())
}

/// When something goes wrong, µs, of 20 s.
const AT_US: u64 = 8_000_000;

/// G1 and G4 at eight and nine tenths of what is planned, margin 0.2: a tenth of the devices dies, one stands still for 2 s, one takes three
/// times as long; profiles that are wrong by up to a fifth, and jitter of a twentieth. The share in time before, in the second of it, and
/// from two seconds later on; and when 99 % of what was in time before is again, to a tenth of a second.
pub fn faults(suite: &mut Suite) -> Result<(), Box<dyn Error>> {
    println!(
        "{:12} {:>5} {:26} {:>7} {:>7} {:>7} {:>9}",
        "case", "load", "what", "before", "during", "after", "back, s"
    );
    let wanted: Vec<usize> = (0..suite.cases.len())
        .filter(|at| ["G1", "G4"].iter().any(|g| suite.cases[*at].name.starts_with(g)))
        .collect();
    for at in wanted {
        let (fleet, planned) = fleet_of(&suite.cases[at], 1)?;
        let name = suite.cases[at].name.clone();
        for part in [0.8, 0.9] {
            let rates: Vec<f64> = planned.iter().map(|rate| rate * part).collect();
            let fault = |device: u32, what: Trouble| Fault { at_us: AT_US, device, what };
            let all = 0..fleet.devices.len() as u32;
            let cases: [(&str, Vec<Fault>, Deviation); 5] = [
                (
                    "one in ten dies",
                    all.step_by(10).map(|n| fault(n, Trouble::Dies)).collect(),
                    Deviation::default(),
                ),
                ("one stalls for 2 s", vec![fault(0, Trouble::Stalls(2_000_000))], Deviation::default()),
                ("one is 3 times slower", vec![fault(0, Trouble::Slows(3.0))], Deviation::default()),
                ("profiles wrong by ±20 %", Vec::new(), Deviation { profile: 0.2, jitter: 0.0 }),
                ("jitter of 5 %", Vec::new(), Deviation { profile: 0.0, jitter: 0.05 }),
            ];
            for (what, faults, deviation) in cases {
                let base = Scenario::new(&rates, Arrivals::Poisson, 20.0);
                let scenario = Scenario { faults, deviation, ..base };
                let runs: Vec<_> =
                    SEEDS.map(|seed| simulate(&fleet, &mut Reservation::default(), &scenario, seed)).into();
                let share = |from: u64, until: u64| {
                    runs.iter().map(|run| run.attainment_between(from, until)).sum::<f64>()
                        / runs.len() as f64
                };
                let before = share(1_000_000, AT_US);
                let (during, after) = (share(AT_US, AT_US + 1_000_000), share(AT_US + 2_000_000, 20_000_000));
                let lost: u64 = runs
                    .iter()
                    .flat_map(|run| &run.models)
                    .map(|model| {
                        model.came - model.in_time - model.late - model.declined.values().sum::<u64>()
                    })
                    .sum();
                if lost > 0 {
                    return Err(format!("{lost} items have no end").into());
                }
                let good = |tenth: &u64| {
                    share(AT_US + tenth * 100_000, AT_US + (tenth + 5) * 100_000) >= 0.99 * before
                };
                let back = (0..110).find(good).map(|tenth| tenth as f64 / 10.0);
                let said = back.map_or("never".to_owned(), |back| format!("{back:.1}"));
                println!("{name:12} {part:5} {what:26} {before:7.4} {during:7.4} {after:7.4} {said:>9}");
                for (when, value) in [("before", before), ("during", during), ("after", after)] {
                    suite.figure(
                        &format!("faults_{when}"),
                        &format!("{name}/{part}/{what}"),
                        "reservation",
                        value,
                        "in time",
                    );
                }
            }
        }
    }
    Ok(())
}
