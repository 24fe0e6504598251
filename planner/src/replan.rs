//! A plan after a change: devices died or appeared, or the demand is another. What runs now is where it starts from.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    Answer, Limits, Placement, PlanningError, PoolChange, Problem, Solver, changes,
    division::useful,
    formulation::{Formulation, PoolKey},
    greedy::fill,
    moved,
    prices::Prices,
    search::{Counts, all_templates, best, only, with_arrivals},
    template::{Sums, Template, TemplateStage},
};

/// A plan that follows another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replanned {
    /// The new plan; its proof is about the first objective.
    pub answer: Answer,
    /// Devices that have to take up work that they do not do now.
    pub moved_devices: f64,
    /// The fewest that have to in any plan that is as good, as far as the solver proved it: of the plans made of templates that no
    /// other replaces, and of the present routes. `None` where it proved nothing.
    pub least_moved: Option<f64>,
    /// The same had the movement not been looked at.
    pub moved_devices_without: f64,
    /// Which pools change.
    pub changes: Vec<PoolChange>,
}

/// Plans for `problem`, which is the question as it is now, from the `present` placement: first the objective, then, giving
/// away at most `give_away` of it (0.001 is a tenth of a percent), the least number of devices that change their work.
///
/// The first search has half of the limit's seconds at most, and the second what is left. The present plan, repaired and filled
/// up without a solver, is where both begin, so that there is a plan however short the limit.
///
/// # Errors
/// As [`crate::plan`].
pub fn replan(
    problem: &Problem,
    present: &Placement,
    give_away: f64,
    solver: &dyn Solver,
    limits: &Limits,
) -> Result<Replanned, PlanningError> {
    let half = Limits { seconds: limits.seconds / 2.0, ..limits.clone() };
    let problem = &with_arrivals(problem, solver, &half)?;
    let mut templates = all_templates(problem)?;
    let repaired = repair(problem, present, &mut templates);
    let start = fill(problem, &templates, repaired);
    let mut answer = best(problem, &templates, Some(&start), solver, &half)?;
    let moved_devices_without = moved(present, &answer.placement);

    let (value, sign) = (answer.proof.value, problem.objective().sign());
    let at_least = sign * value - value * (give_away + 1e-7);
    let mut follow = |placement: Placement| {
        let good = sign * placement.value(problem) >= at_least && placement.check(problem).is_ok();
        if good && moved(present, &placement) < moved(present, &answer.placement) {
            answer.proof.value = placement.value(problem);
            answer.placement = placement;
        }
        (answer.placement.clone(), moved(present, &answer.placement))
    };
    let (mut placement, mut least) = follow(start.placement(problem, &templates));

    let pools = present_pools(problem, present);
    let useful = match Prices::of(problem, &templates) {
        Ok(prices) => useful(problem, &templates, &prices, at_least),
        Err(_) => templates.iter().map(|all| vec![true; all.len()]).collect(),
    };
    let seconds = limits.seconds - answer.proof.seconds.unwrap_or(0.0);
    let mut least_moved = None;
    // First among the templates that know all but one of their pools, which is quick, and then among all that are of use.
    for (kept, part, all) in [(known(&templates, &useful, &pools), 0.4, false), (useful, 0.6, true)] {
        if least == 0.0 {
            break;
        }
        let few = only(&templates, &kept);
        let mut second = Formulation::new(problem, &few).then_least_movement(at_least, &pools);
        let begin = repair(problem, &placement, &mut templates).only(&kept);
        if sign * begin.placement(problem, &few).value(problem) >= at_least {
            second.program.start = Some(second.start(&begin.rates, &begin.counts));
        }
        let program = std::mem::take(&mut second.program);
        if let Ok(solved) = solver.solve(program, &Limits { seconds: seconds * part, ..limits.untold() }) {
            (placement, least) = follow(Counts::of(&second, &solved).placement(problem, &few));
            least_moved = solved.bound.filter(|_| all).map(|bound| (-bound).clamp(0.0, least));
        }
    }
    Ok(Replanned {
        moved_devices: least,
        least_moved: if least == 0.0 { Some(0.0) } else { least_moved },
        moved_devices_without,
        changes: changes(present, &placement),
        answer,
    })
}

/// Of the useful templates, those of which at most one stage is on a pool that is not there yet.
fn known(
    templates: &[Vec<Template>],
    useful: &[Vec<bool>],
    pools: &BTreeMap<PoolKey, f64>,
) -> Vec<Vec<bool>> {
    let new = |model, stage: &&TemplateStage| !pools.contains_key(&PoolKey::of(model, stage));
    let of =
        |model, template: &Template| template.stages.iter().filter(|stage| new(model, stage)).count() <= 1;
    let of_model = |(model, (all, useful)): (usize, (&Vec<Template>, &Vec<bool>))| {
        all.iter().zip(useful).map(|(template, useful)| *useful && of(model, template)).collect()
    };
    templates.iter().zip(useful).enumerate().map(of_model).collect()
}

/// What of the present plan is still possible: its routes become templates where they still meet their deadline, and lose
/// devices, the least valuable routes first, until they fit.
fn repair(problem: &Problem, present: &Placement, templates: &mut [Vec<Template>]) -> Counts {
    let mut routes = Vec::new();
    for (model, demand) in problem.demands().iter().enumerate() {
        let found = present.models.iter().find(|model| model.model == demand.model);
        for route in found.iter().flat_map(|model| &model.routes) {
            let Some(template) = template_of(problem, model, route) else { continue };
            let at = templates[model].iter().position(|known| known.same_work(&template));
            let at = at.unwrap_or_else(|| {
                templates[model].push(template);
                templates[model].len() - 1
            });
            routes.push((model, at, route));
        }
    }
    let mut counts = Counts::none(templates);
    let mut free: Vec<f64> = problem.counts().iter().map(|count| f64::from(*count)).collect();
    routes.sort_by(|a, b| b.2.rate_per_s.total_cmp(&a.2.rate_per_s));
    let formulation = Formulation::new(problem, templates);
    for (model, t, route) in routes {
        let template = &templates[model][t];
        let mut capacity = f64::INFINITY;
        for (d, (stage, of)) in template.stages.iter().zip(&route.stages).enumerate() {
            let per_device = formulation.per_device(stage);
            let whole = f64::from(of.count.div_ceil(stage.slices)).min(free[stage.kind]);
            free[stage.kind] -= whole;
            let count = &mut counts.counts[model][t][d];
            *count += whole * per_device;
            capacity = capacity.min(*count * formulation.unit_rate_per_s(stage));
        }
        let most = problem.demands()[model].at_most_per_s.unwrap_or(f64::INFINITY);
        let others = counts.rates[model].iter().sum::<f64>() - counts.rates[model][t];
        counts.rates[model][t] = capacity.min(most - others).max(0.0);
    }
    counts
}

/// The route as a template; `None` where it is not possible any more.
fn template_of(problem: &Problem, model: usize, route: &crate::Route) -> Option<Template> {
    let sums = Sums::new(problem, model);
    let mut stages: Vec<TemplateStage> = Vec::with_capacity(route.stages.len());
    let mut latency_us = 0.0;
    for stage in &route.stages {
        let kind = problem.cluster().kinds().iter().position(|kind| kind.name == stage.kind)?;
        if stage.slices > problem.rules().slices || stage.batch > problem.rules().batch {
            return None;
        }
        if let Some(sender) = stages.last_mut() {
            let per_item_us = problem.transfer_us(model, stage.first_block, sender.kind, kind);
            sender.transfer_us = per_item_us * f64::from(sender.batch);
            latency_us += sender.transfer_us;
        }
        let known = sums.stage(kind, stage.slices, stage.first_block, stage.end_block, stage.batch)?;
        latency_us += known.latency_us;
        stages.push(known);
    }
    let batch = stages.last()?.batch;
    let fits = latency_us + problem.build_us(model, batch) <= problem.budget_us(model) + 1e-6;
    let allowed = stages.len() <= problem.rules().stages as usize;
    (fits && allowed).then_some(Template { stages, latency_us })
}

/// Devices per pool now.
fn present_pools(problem: &Problem, present: &Placement) -> BTreeMap<PoolKey, f64> {
    let mut pools = BTreeMap::new();
    for (model, demand) in problem.demands().iter().enumerate() {
        let found = present.models.iter().find(|model| model.model == demand.model);
        for stage in found.iter().flat_map(|model| &model.routes).flat_map(|route| &route.stages) {
            let kind = problem.cluster().kinds().iter().position(|kind| kind.name == stage.kind);
            let Some(kind) = kind else { continue };
            let (slices, first, end) = (stage.slices, stage.first_block, stage.end_block);
            *pools.entry(PoolKey { model, kind, slices, first, end }).or_default() +=
                f64::from(stage.count) / f64::from(slices.max(1));
        }
    }
    pools
}
