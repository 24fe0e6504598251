//! The best placement by trying all: for tests, which compare solvers, pruning and program with it.
//!
//! It shares nothing with them but the latency of a stage. Packing is by whole devices, so what a model makes of so many
//! devices of each kind is a small table, and the best split of the devices over the models is found by trying each.

use std::collections::HashMap;

use crate::{
    Problem,
    template::{Sums, TemplateStage},
};

/// The greatest least rate ÷ weight; 0 where some model has no way to run.
pub(crate) fn best_least_share(problem: &Problem) -> f64 {
    let all = problem.counts().to_vec();
    let tables: Vec<_> = (0..problem.demands().len()).map(|model| most_per_s(problem, model, &all)).collect();
    split(problem, &tables, &all)
}

type Table = HashMap<Vec<u32>, f64>;

/// Tries all ways to give the first model some of the devices, and all ways to give the rest to the others.
fn split(problem: &Problem, tables: &[Table], left: &[u32]) -> f64 {
    let model = problem.demands().len() - tables.len();
    let Some((mine, others)) = tables.split_first() else { return f64::INFINITY };
    let share = |devices: &[u32]| mine[devices] / problem.weight(model);
    if others.is_empty() {
        return share(left);
    }
    let rest = |taken: &[u32]| left.iter().zip(taken).map(|(l, t)| l - t).collect::<Vec<_>>();
    vectors(left)
        .iter()
        .map(|taken| share(taken).min(split(problem, others, &rest(taken))))
        .fold(0.0, f64::max)
}

/// Per number of devices of each kind: the most items per second, over any set of routes.
fn most_per_s(problem: &Problem, model: usize, all: &[u32]) -> Table {
    let routes = routes(problem, model);
    let mut table: Table = vectors(all).into_iter().map(|devices| (devices, 0.0)).collect();
    // One route's devices in every number; what is left does its best. Fewer devices come first.
    for devices in vectors(all) {
        let mut best: f64 = 0.0;
        for route in &routes {
            for counts in vectors(&route.iter().map(|stage| devices[stage.kind]).collect::<Vec<_>>()) {
                let mut left: Vec<i64> = devices.iter().map(|d| i64::from(*d)).collect();
                let mut rate = f64::INFINITY;
                for (stage, count) in route.iter().zip(&counts) {
                    left[stage.kind] -= i64::from(*count);
                    rate = rate.min(f64::from(*count) * stage.rate_per_s * f64::from(stage.slices));
                }
                if rate > 0.0 && left.iter().all(|l| *l >= 0) {
                    let left: Vec<u32> = left.iter().map(|l| *l as u32).collect();
                    best = best.max(rate + table[&left]);
                }
            }
        }
        table.insert(devices, best);
    }
    table
}

/// All routes that meet the deadline, none left out.
fn routes(problem: &Problem, model: usize) -> Vec<Vec<TemplateStage>> {
    let sums = Sums::new(problem, model);
    let (rules, blocks) = (problem.rules(), problem.profiles()[model].blocks());
    let mut open: Vec<(Vec<TemplateStage>, f64)> = vec![(Vec::new(), 0.0)];
    let mut done = Vec::new();
    for _ in 0..rules.stages {
        let mut next = Vec::new();
        for (stages, us) in open {
            let first = stages.last().map_or(0, |stage| stage.end);
            for kind in 0..problem.counts().len() {
                for (slices, batch) in (1..=rules.slices).flat_map(|s| (1..=rules.batch).map(move |b| (s, b)))
                {
                    for end in first + 1..=blocks {
                        let Some(stage) = sums.stage(kind, slices, first, end, batch) else { continue };
                        let before = stages.last();
                        let fits = before.is_none_or(|b| {
                            if rules.growing_batches { b.batch <= batch } else { b.batch == batch }
                        });
                        let moving = before.map_or(0.0, |b| {
                            problem.transfer_us(model, first, b.kind, kind) * f64::from(b.batch)
                        });
                        let us = us + moving + stage.latency_us;
                        if fits {
                            let mut stages = stages.clone();
                            stages.push(stage);
                            next.push((stages, us));
                        }
                    }
                }
            }
        }
        let ended = next.iter().filter(|(stages, us)| {
            let last = &stages[stages.len() - 1];
            last.end == blocks && us + problem.build_us(model, last.batch) <= problem.budget_us(model) + 1e-6
        });
        done.extend(ended.map(|(stages, _)| stages.clone()));
        next.retain(|(stages, _)| stages[stages.len() - 1].end < blocks);
        open = next;
    }
    done
}

/// All vectors from 0 up to these counts, the smaller first.
fn vectors(most: &[u32]) -> Vec<Vec<u32>> {
    let mut all = vec![Vec::new()];
    for count in most {
        all = all.iter().flat_map(|v| (0..=*count).map(|c| [v.as_slice(), &[c]].concat())).collect();
    }
    all.sort_by_key(|v| v.iter().sum::<u32>());
    all
}
