//! How good plans are and how long they take: the 24 published questions under the published rules and under ours, scale,
//! four kinds of device, the fewest and the cheapest devices, and re-planning.
//!
//! `planner [PART] [SECONDS] [CASE]`: one of `parity`, `three`, `kinds`, `scale`, `cost`, `replan`, or `all`; the limit of a search in
//! `three`; and which cases, such as `G1`.
//! It reads the published figures from `../shared/profiles`. Seconds are wall time of one run: templates, program and solver.

use std::{
    collections::BTreeMap,
    error::Error,
    path::{Path, PathBuf},
    time::Instant,
};

use eddyline_benches::{Lines, Part, median, run_parts};
use eddyline_planner::{
    Cluster, Demand, DeviceKind, EngineKind, Highs, Limits, Link, Objective, Packing, Problem, Rules, Slo,
    Tables, chain_pairs, greedy, no_partition, plan, replan, with_arrivals,
};
use published::Case;

#[path = "../../../planner/tests/published/mod.rs"]
#[allow(clippy::unwrap_used)]
mod published;

const PARTS: [Part<Suite>; 6] = [
    ("parity", parity),
    ("three", three_stages),
    ("kinds", four_kinds),
    ("scale", scale),
    ("cost", fewest_and_cheapest),
    ("replan", after_a_loss),
];

struct Suite {
    folder: PathBuf,
    cases: Vec<Case>,
    seconds: f64,
    lines: Lines,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let seconds = args.get(1).map_or(Ok(60.0), |text| text.parse())?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/profiles");
    let mut cases = published::cases(&folder);
    if let Some(wanted) = args.get(2) {
        cases.retain(|case| case.name.contains(wanted));
    }
    let mut suite = Suite { folder, cases, seconds, lines: Lines::default() };
    run_parts(&mut suite, &PARTS, args.first().map(String::as_str))?;
    suite.lines.write("planner")?;
    Ok(())
}

impl Suite {
    fn figure(&mut self, bench: &str, case: &str, value: f64, unit: &str) {
        self.lines.add(bench, case, "eddyline", value, unit, 1);
    }
}

/// A result and the seconds that it took.
#[allow(clippy::disallowed_methods, reason = "what a search takes is what is measured")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let begun = Instant::now();
    let result = work();
    (result, begun.elapsed().as_secs_f64())
}

/// The published rules: objectives beside the published ones, and our seconds beside the published solver's.
fn parity(suite: &mut Suite) -> Result<(), Box<dyn Error>> {
    let (limits, mut times) = (Limits::default(), Vec::new());
    println!(
        "{:12} {:>19} {:>19} {:>19} {:>9} {:>8}  {:>6} {:>9}",
        "case", "uncut/published", "chains/published", "pooled/published", "status", "gap", "s", "published"
    );
    for at in 0..suite.cases.len() {
        let case = &suite.cases[at];
        let (problem, np_s) = timed(|| with_arrivals(&case.problem, &Highs, &limits));
        let problem = problem?;
        let uncut = no_partition(&problem, &Highs, &limits)?.proof.value;
        let chains = chain_pairs(&problem, &case.uncut, &Highs, &limits)?;
        let share = |(rate, demand): (&f64, &Demand)| rate / demand.weight;
        let chains = chains.iter().zip(problem.demands()).map(share).fold(f64::INFINITY, f64::min);
        let (pooled, seconds) = timed(|| plan(&problem, &Highs, &limits));
        let (pooled, seconds) = (pooled?, np_s + seconds);
        let [p0, p1, p2] = case.published;
        let proof = &pooled.proof;
        println!(
            "{:12} {uncut:9.2} {p0:9.2} {chains:9.2} {p1:9.2} {:9.2} {p2:9.2} {:>9} {:8.1e}  {seconds:6.2} {:9.1}",
            case.name,
            proof.value,
            format!("{:?}", proof.status),
            proof.gap().unwrap_or(f64::NAN),
            case.published_seconds,
        );
        let (name, value) = (case.name.clone(), proof.value);
        suite.figure("parity", &name, value, "items/s by weight");
        suite.figure("parity_seconds", &name, seconds, "s");
        times.push(seconds);
    }
    let worst = times.iter().copied().fold(0.0, f64::max);
    println!("median {:.2} s, worst {worst:.2} s", median(times));
    Ok(())
}

/// Three stages on the same questions, with fractions summed up as published and with whole devices.
fn three_stages(suite: &mut Suite) -> Result<(), Box<dyn Error>> {
    let limits = Limits::seconds(suite.seconds);
    let summed = Rules { stages: 3, one_route_per_sequence: false, ..Rules::parity() };
    let two = Rules { stages: 2, ..summed.clone() };
    let whole = Rules { packing: Packing::WholeDevices, ..summed.clone() };
    println!(
        "{:12} {:>9} {:>9} | {:>9} {:>8} {:>7} {:>6} {:>9} | {:>9} {:>7} {:>6} {:>8} | {:>7}",
        "case",
        "parity",
        "no rule",
        "3 stages",
        "gain",
        "gap",
        "s",
        "templates",
        "packed",
        "gap",
        "s",
        "costs",
        "greedy"
    );
    let (mut gains, mut within) = (Vec::new(), 0);
    for at in 0..suite.cases.len() {
        let case = &suite.cases[at];
        let problem = with_arrivals(&case.problem, &Highs, &Limits::default())?;
        let run = |rules: &Rules| timed(|| plan(&problem.with_rules(rules.clone()), &Highs, &limits));
        let two = run(&two).0?;
        let (three, s3) = run(&summed);
        let three = three?;
        let (packed, sp) = run(&whole);
        let packed = packed?;
        let quick = greedy(&problem.with_rules(whole.clone()))?.proof.value;
        // Whoever packs by whole devices also keeps to the sums, so the best of the three is a plan for the first.
        let best = three.proof.value.max(two.proof.value).max(packed.proof.value);
        let gain = best / case.published[2] - 1.0;
        let gap = three.proof.bound.map_or(f64::NAN, |bound| (bound / best - 1.0).max(0.0));
        within += usize::from(gap <= 0.01);
        gains.push(gain);
        println!(
            "{:12} {:9.2} {:9.2} | {:9.2} {:+7.2}% {:6.2}% {s3:6.1} {:9} | {:9.2} {:6.2}% {sp:6.1} {:+7.2}% | {quick:7.1}",
            case.name,
            case.published[2],
            two.proof.value,
            best,
            100.0 * gain,
            100.0 * gap,
            three.proof.templates,
            packed.proof.value,
            100.0 * packed.proof.gap().unwrap_or(f64::NAN),
            100.0 * (1.0 - packed.proof.value / best),
        );
        let name = case.name.clone();
        suite.figure("three_stages", &name, best, "items/s by weight");
        suite.figure("three_stages_gap", &name, gap, "of the plan");
        suite.figure("three_stages_packed", &name, packed.proof.value, "items/s by weight");
    }
    let mean = gains.iter().map(|gain| (1.0 + gain).ln()).sum::<f64>() / gains.len() as f64;
    println!(
        "gain of three stages, geometric mean: {:+.2} %; gap at most 1 % on {within} of {}",
        100.0 * mean.exp_m1(),
        gains.len()
    );
    Ok(())
}

/// Devices of each kind, under the rules of which every plan packs.
fn question(
    suite: &Suite,
    counts: &[(&str, u32)],
    models: &[&str],
    stages: u32,
) -> Result<Problem, Box<dyn Error>> {
    let tables = Tables::load(&suite.folder)?;
    let kind = |name: &str| DeviceKind {
        per_server: if name == "P4" { 1 } else { 2 },
        link: Some(Link { gbps: 10.0 }),
        cost: if ["L4", "V100"].contains(&name) { 3.0 } else { 1.0 },
        ..DeviceKind::new(name, EngineKind::Throttled)
    };
    let cluster = Cluster::of(counts.iter().map(|(name, count)| (kind(name), *count)))?;
    let demands = models
        .iter()
        .map(|model| Demand::new(*model, 0.0).within(Slo { latency_us: tables.slo_us[*model], margin: 0.4 }));
    let rules = Rules { stages, ..Rules::normal() };
    Ok(Problem::new(cluster, &tables.profiles, demands.collect(), rules, Objective::MaxMin)?)
}

/// The models of a published group.
fn models_of(suite: &Suite, group: &str) -> Vec<String> {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for case in &suite.cases {
        let models = case.problem.demands().iter().map(|demand| demand.model.clone()).collect();
        found.insert(case.name.split('/').next().unwrap_or_default(), models);
    }
    found.remove(group).unwrap_or_default()
}

/// Four kinds of device, three models, to the end of the proof.
fn four_kinds(suite: &mut Suite) -> Result<(), Box<dyn Error>> {
    println!(
        "{:12} {:>7} {:>10} {:>8} {:>10} {:>7} {:>9}",
        "models", "stages", "value", "gap", "status", "s", "templates"
    );
    for (group, stages) in ["G1", "G2", "G3", "G4", "G5", "G6"].iter().flat_map(|g| [(*g, 2), (*g, 3)]) {
        let models = models_of(suite, group);
        let models: Vec<&str> = models.iter().map(String::as_str).collect();
        let problem = question(suite, &[("L4", 20), ("V100", 20), ("T4", 30), ("P4", 30)], &models, stages)?;
        let limits = Limits::seconds(30.0);
        let (answer, seconds) = timed(|| plan(&problem, &Highs, &limits));
        let proof = answer?.proof;
        println!(
            "{group:12} {stages:7} {:10.2} {:7.3}% {:>10} {seconds:7.2} {:9}",
            proof.value,
            100.0 * proof.gap().unwrap_or(f64::NAN),
            format!("{:?}", proof.status),
            proof.templates
        );
        suite.figure("four_kinds_seconds", &format!("{group}/{stages}"), seconds, "s");
    }
    Ok(())
}

/// A hundred devices and a hundred thousand; and all models of the comparison at once.
fn scale(suite: &mut Suite) -> Result<(), Box<dyn Error>> {
    println!("{:12} {:>9} {:>12} {:>8} {:>7}", "models", "devices", "value", "gap", "s");
    let groups = ["G1", "G4"].iter().flat_map(|g| [100, 1_000, 100_000].map(|n| (*g, n)));
    for (group, devices) in groups.chain([("all 18", 240)]) {
        let of = |group: &&str| models_of(suite, group);
        let all = || ["G1", "G2", "G3", "G4", "G5", "G6"].iter().flat_map(of).collect();
        let models: Vec<String> = if group == "all 18" { all() } else { of(&group) };
        let models: Vec<&str> = models.iter().map(String::as_str).collect();
        let problem = question(suite, &[("L4", devices / 4), ("P4", devices / 4 * 3)], &models, 3)?;
        let limits = Limits { gap: 1e-2, ..Limits::seconds(10.0) };
        let (answer, seconds) = timed(|| plan(&problem, &Highs, &limits));
        let proof = answer?.proof;
        let gap = 100.0 * proof.gap().unwrap_or(f64::NAN);
        println!("{group:12} {devices:9} {:12.1} {gap:7.3}% {seconds:7.2}", proof.value);
        suite.figure("scale_seconds", &format!("{group}/{devices}"), seconds, "s");
    }
    Ok(())
}

/// The fewest devices, and the cheapest where one of the fast kind costs as much as three of the slow, for half of what a hundred
/// can carry and for a tenth; beside whole models.
fn fewest_and_cheapest(suite: &mut Suite) -> Result<(), Box<dyn Error>> {
    println!(
        "{:12} {:>7} {:>6} {:14} {:>7} {:>7} {:>10} {:>6} {:>7}",
        "models", "devices", "part", "objective", "value", "gap", "status", "s", "uncut"
    );
    let profiles = Tables::load(&suite.folder)?.profiles;
    let groups = ["G1", "G2", "G3", "G4", "G5", "G6"].iter();
    let cases = groups.flat_map(|g| [(*g, 1, 0.5), (*g, 1, 0.1), (*g, 1_000, 5e-4)]);
    for (group, times, part) in cases {
        let models = models_of(suite, group);
        let models: Vec<&str> = models.iter().map(String::as_str).collect();
        let all = plan(&question(suite, &[("L4", 25), ("P4", 75)], &models, 3)?, &Highs, &Limits::default())?;
        let asked = question(suite, &[("L4", 25 * times), ("P4", 75 * times)], &models, 3)?;
        let mut demands = asked.demands().to_vec();
        for demand in &mut demands {
            demand.rate_per_s = all.proof.value * part * f64::from(times);
        }
        for objective in [Objective::LeastDevices, Objective::LeastCost] {
            let (cluster, rules) = (asked.cluster().clone(), asked.rules().clone());
            let problem = Problem::new(cluster, &profiles, demands.clone(), rules, objective)?;
            let (answer, seconds) = timed(|| plan(&problem, &Highs, &Limits::default()));
            let proof = answer?.proof;
            let uncut = no_partition(&problem, &Highs, &Limits::seconds(5.0));
            let uncut = uncut.map_or("too few".to_owned(), |uncut| uncut.proof.value.to_string());
            println!(
                "{group:12} {:7} {part:6} {:14} {:7} {:6.2}% {:>10} {seconds:6.2} {uncut:>7}",
                100 * times,
                format!("{objective:?}"),
                proof.value,
                100.0 * proof.gap().unwrap_or(f64::NAN),
                format!("{:?}", proof.status),
            );
            suite.figure(
                "cost_seconds",
                &format!("{group}/{}/{part}/{objective:?}", 100 * times),
                seconds,
                "s",
            );
        }
    }
    Ok(())
}

/// One of a hundred devices dies, of each kind in turn; plans of two stages and of three.
fn after_a_loss(suite: &mut Suite) -> Result<(), Box<dyn Error>> {
    println!(
        "{:12} {:>6} {:6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>9} {:>9} {:>9} {:>7}",
        "models",
        "stages",
        "lost",
        "before",
        "after",
        "moved",
        "at least",
        "unwatched",
        "s",
        "for 1 %",
        "moved",
        "at least",
        "s"
    );
    let groups = ["G1", "G2", "G3", "G4", "G5", "G6"].iter();
    for (group, stages, lost) in groups.flat_map(|g| [(*g, 2, 0), (*g, 2, 1), (*g, 3, 0), (*g, 3, 1)]) {
        let models = models_of(suite, group);
        let models: Vec<&str> = models.iter().map(String::as_str).collect();
        let counts = |a, b| [("L4", a), ("P4", b)];
        let before =
            with_arrivals(&question(suite, &counts(25, 75), &models, stages)?, &Highs, &Limits::default())?;
        let now = question(suite, &if lost == 0 { counts(24, 75) } else { counts(25, 74) }, &models, stages)?;
        let arrivals = before.arrivals_per_s().map(<[f64]>::to_vec).unwrap_or_default();
        let now = now.with_arrivals(arrivals);
        let first = plan(&before, &Highs, &Limits::seconds(20.0))?;
        // Nearly all of what can be had, and a percent less of it.
        let limits = Limits { gap: 1e-3, ..Limits::seconds(suite.seconds.min(0.9)) };
        let (next, seconds) = timed(|| replan(&now, &first.placement, 2e-3, &Highs, &limits));
        let (calm, calm_seconds) = timed(|| replan(&now, &first.placement, 1e-2, &Highs, &limits));
        let (next, calm) = (next?, calm?);
        for placement in [&next.answer.placement, &calm.answer.placement] {
            placement.check(&now).map_err(|wrong| format!("{wrong:?}"))?;
        }
        println!(
            "{group:12} {stages:6} {:6} {:9.1} {:9.1} {:9.2} {:9.2} {:9.2} {seconds:7.2} {:9.1} {:9.2} {:9.2} {calm_seconds:7.2}",
            ["L4", "P4"][lost],
            first.proof.value,
            next.answer.proof.value,
            next.moved_devices,
            next.least_moved.unwrap_or(f64::NAN),
            next.moved_devices_without,
            calm.answer.proof.value,
            calm.moved_devices,
            calm.least_moved.unwrap_or(f64::NAN),
        );
        let case = format!("{group}/{stages}/{}", ["L4", "P4"][lost]);
        suite.figure("replan_seconds", &case, seconds, "s");
        suite.figure("replan_moved", &case, next.moved_devices, "devices");
        suite.figure("replan_moved_for_1_percent", &case, calm.moved_devices, "devices");
    }
    Ok(())
}
