//! A placement without a solver: always to the worst served model, by the template that makes most of scarce devices.

use crate::{
    Answer, Packing, Placement, PlanningError, Problem, Proof, Status,
    search::{Counts, all_templates},
    template::Template,
};

/// A fair placement in a few milliseconds, without a bound: a baseline, and where there is no solver a plan all the same.
/// Where no arrivals are known, batches are of one. It may fall short of what is asked at least, which [`Placement::check`] says.
///
/// # Errors
/// Where a model cannot meet its deadline.
pub fn greedy(problem: &Problem) -> Result<Answer, PlanningError> {
    let problem = &match problem.arrivals_per_s() {
        Some(_) => problem.clone(),
        None => problem.with_arrivals(vec![0.0; problem.demands().len()]),
    };
    let templates = all_templates(problem)?;
    let placement = fill(problem, &templates, Counts::none(&templates)).placement(problem, &templates);
    Ok(Answer { proof: unproven(problem, &templates, &placement), placement })
}

pub(crate) fn unproven(problem: &Problem, templates: &[Vec<Template>], placement: &Placement) -> Proof {
    Proof {
        value: placement.value(problem),
        bound: None,
        status: Status::Heuristic,
        seconds: None,
        nodes: None,
        templates: templates.iter().map(Vec::len).sum(),
        columns: 0,
        rows: 0,
    }
}

/// Adds devices to what is there until nothing helps the worst served model.
pub(crate) fn fill(problem: &Problem, templates: &[Vec<Template>], mut filled: Counts) -> Counts {
    let mut free: Vec<f64> = problem.counts().iter().map(|count| f64::from(*count)).collect();
    let scarce: Vec<f64> = free.iter().map(|count| 1.0 / count.max(1.0)).collect();
    for (model, t, d) in places(templates) {
        let stage = &templates[model][t].stages[d];
        free[stage.kind] -= devices(problem, stage.slices, filled.counts[model][t][d]);
    }
    // What a template earns per part of the cluster, where every stage has as many devices as it needs.
    let worth = |template: &Template| {
        let parts = template.stages.iter().map(|stage| scarce[stage.kind] / stage.device_rate_per_s());
        1.0 / parts.sum::<f64>()
    };
    let mut open: Vec<bool> = vec![true; templates.len()];
    loop {
        let share = |model: usize| filled.rates[model].iter().sum::<f64>() / problem.weight(model);
        let open_models = (0..templates.len()).filter(|model| open[*model]);
        let Some(model) = open_models.min_by(|a, b| share(*a).total_cmp(&share(*b))) else { return filled };
        let most_per_s = most(problem, model) - filled.rates[model].iter().sum::<f64>();
        let fits = |t: &usize| {
            let need = growth(problem, &templates[model][*t], &filled.counts[model][*t]);
            let allowed = !problem.rules().one_route_per_sequence
                || (0..templates[model].len()).all(|u| u == *t || filled.rates[model][u] == 0.0);
            allowed && need.iter().zip(&free).all(|(need, free)| need <= free)
        };
        let fitting = (0..templates[model].len()).filter(fits);
        let best =
            fitting.max_by(|a, b| worth(&templates[model][*a]).total_cmp(&worth(&templates[model][*b])));
        let Some(t) = best.filter(|_| most_per_s > 1e-9) else {
            open[model] = false;
            continue;
        };
        let (template, counts) = (&templates[model][t], &mut filled.counts[model][t]);
        let most_per_s = filled.rates[model][t] + most_per_s;
        // Of many devices several at a time, so that they do not take long.
        let least_free = template.stages.iter().map(|stage| free[stage.kind]).fold(f64::INFINITY, f64::min);
        for _ in 0..(least_free / 1024.0).max(1.0) as u32 {
            let need = growth(problem, template, counts);
            if filled.rates[model][t] >= most_per_s || need.iter().zip(&free).any(|(need, free)| need > free)
            {
                break;
            }
            free.iter_mut().zip(need).for_each(|(free, need)| *free -= need);
            for d in limiting(problem, template, counts) {
                counts[d] += per_device(problem, template.stages[d].slices);
            }
            let capacity = capacities(problem, template, counts).fold(f64::INFINITY, f64::min);
            filled.rates[model][t] = capacity.min(most_per_s);
        }
    }
}

/// Items per second beyond which more is of no use under the objective.
fn most(problem: &Problem, model: usize) -> f64 {
    let demand = &problem.demands()[model];
    if problem.objective().is_cost() {
        demand.rate_per_s
    } else {
        demand.at_most_per_s.unwrap_or(f64::INFINITY)
    }
}

fn places(templates: &[Vec<Template>]) -> impl Iterator<Item = (usize, usize, usize)> {
    templates.iter().enumerate().flat_map(|(model, of_model)| {
        let stages =
            move |(t, template): (usize, &Template)| (0..template.stages.len()).map(move |d| (model, t, d));
        of_model.iter().enumerate().flat_map(stages)
    })
}

fn per_device(problem: &Problem, slices: u32) -> f64 {
    match problem.rules().packing {
        Packing::Summed => f64::from(slices),
        Packing::WholeDevices => 1.0,
    }
}

fn devices(problem: &Problem, slices: u32, count: f64) -> f64 {
    (count / per_device(problem, slices) - 1e-9).ceil()
}

fn capacities(problem: &Problem, template: &Template, counts: &[f64]) -> impl Iterator<Item = f64> {
    template
        .stages
        .iter()
        .zip(counts)
        .map(|(stage, count)| stage.device_rate_per_s() * count / per_device(problem, stage.slices))
}

/// The stages that keep a route from more.
fn limiting(problem: &Problem, template: &Template, counts: &[f64]) -> Vec<usize> {
    let capacities: Vec<f64> = capacities(problem, template, counts).collect();
    let least = capacities.iter().copied().fold(f64::INFINITY, f64::min);
    (0..capacities.len()).filter(|d| capacities[*d] <= least * (1.0 + 1e-9)).collect()
}

/// Devices per kind that the next step of a template takes: one more for each stage that limits it.
fn growth(problem: &Problem, template: &Template, counts: &[f64]) -> Vec<f64> {
    let mut need = vec![0.0; problem.counts().len()];
    for d in limiting(problem, template, counts) {
        need[template.stages[d].kind] += 1.0;
    }
    need
}
