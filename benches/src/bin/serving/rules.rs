//! The published plans under the published rules: the highest load that each keeps, beside what the published simulator said.

use std::{collections::BTreeMap, error::Error};

use eddyline_planner::serving::{Arrivals, Load, Parity};

use crate::{SEEDS, Suite, published};

/// What the published simulator gave on these plans, one run per point (notes *Pooled pipelines* §7): items per second without cuts,
/// in chains and pooled; load factors of the pooled plan.
const TARGETS: [(&str, [f64; 3], [f64; 3]); 9] = [
    ("G1/L4-P4", [796.0, 1080.0, 1655.0], [1.0, 0.95, 0.95]),
    ("G1/L4-T4", [1555.0, 1880.0, 2067.0], [1.0, 1.0, 0.95]),
    ("G1/V100-P4", [1045.0, 1184.0, 1654.0], [0.95, 0.95, 0.95]),
    ("G1/V100-T4", [1667.0, 1702.0, 2032.0], [1.0, 0.95, 0.95]),
    ("G2/L4-P4", [2570.0, 2898.0, 4219.0], [0.95, 1.0, 1.0]),
    ("G4/L4-P4", [1982.0, 2186.0, 3041.0], [0.95, 1.0, 0.95]),
    ("G4/L4-T4", [1991.0, 2229.0, 2997.0], [1.0, 1.0, 1.0]),
    ("G4/V100-P4", [1471.0, 1671.0, 2130.0], [0.85, 0.95, 0.95]),
    ("G4/V100-T4", [1415.0, 1746.0, 2421.0], [1.0, 1.0, 1.0]),
];

const ALGORITHMS: [&str; 3] = ["no_partition", "chain_pairs", "pooled_two_stage"];

/// Loads 1.00, 0.95 … 0.05 of the pooled plan's rate in whole items per second; the first above 99 % in the mean of the seeds, models
/// simulated for themselves, 30 s each.
pub fn parity(suite: &mut Suite) -> Result<(), Box<dyn Error>> {
    let plans = published::plans(&suite.folder, &suite.tables)?;
    let model = |plan: &published::Published| plan.fleet.models[0].name.clone();
    let pooled = plans.iter().filter(|plan| plan.algorithm == ALGORITHMS[2]);
    let promised: BTreeMap<(String, String), f64> =
        pooled.map(|plan| ((plan.case.clone(), model(plan)), plan.rate_per_s.floor())).collect();
    println!(
        "{:12} {:>28} {:>20}  {:16} target",
        "case", "uncut/chains/pooled, items/s", "target", "pooled load"
    );
    let (mut near, mut ordered, mut all) = (0, 0, 0);
    for (case, rates, factors) in TARGETS {
        if !suite.cases.iter().any(|known| known.name == case) {
            continue;
        }
        let mut carried = Vec::new();
        for algorithm in ALGORITHMS {
            let mut of_models = Vec::new();
            // In the tables' order of models, which is the alphabet's.
            for plan in plans.iter().filter(|plan| plan.case == case && plan.algorithm == algorithm) {
                let promised = promised[&(case.to_owned(), model(plan))];
                let load = Load {
                    shares: vec![1.0],
                    arrivals: Arrivals::Poisson,
                    seconds: 30.0,
                    seeds: SEEDS.to_vec(),
                    attainment: 0.99,
                };
                let keeps = |factor: &u32| {
                    let rate = (f64::from(*factor) * promised / 100.0).floor();
                    load.attainments(&plan.fleet, &|| Box::new(Parity::default()), rate)[0] > 0.99
                };
                let factor = (1..=20).rev().map(|step| step * 5).find(keeps).unwrap_or(0);
                of_models.push((f64::from(factor) / 100.0, (f64::from(factor) * promised / 100.0).floor()));
            }
            carried.push(of_models);
        }
        let sums: Vec<f64> = carried.iter().map(|of| of.iter().map(|(_, rate)| rate).sum()).collect();
        let loads: Vec<f64> = carried[2].iter().map(|(factor, _)| *factor).collect();
        println!(
            "{case:12} {:>8} {:>8} {:>8}   {:>20}  {:16} {factors:?}",
            sums[0],
            sums[1],
            sums[2],
            rates.map(|rate| rate.to_string()).join("/"),
            format!("{loads:?}"),
        );
        near += loads.iter().zip(&factors).filter(|(ours, theirs)| (*ours - *theirs).abs() < 0.0501).count();
        ordered += usize::from(sums[0] < sums[1] && sums[1] < sums[2]);
        all += 1;
        for (algorithm, sum) in ALGORITHMS.iter().zip(&sums) {
            suite.figure("parity_rate", case, algorithm, *sum, "items/s");
        }
        for (at, load) in loads.iter().enumerate() {
            suite.figure("parity_load", &format!("{case}/{at}"), "parity", *load, "of the plan");
        }
    }
    println!("within a step of the target: {near} of {}; in order: {ordered} of {all}", 3 * all);
    Ok(())
}
