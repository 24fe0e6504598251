//! What a pooled plan is compared with: models that are not cut, and pairs of devices (notes *Pooled pipelines* §5).

use crate::{
    Answer, Limits, ModelPlacement, Objective, Placement, PlanningError, Problem, Rules, Solver, plan,
    search::with_arrivals,
};

/// The best placement of whole models on whole devices. Where the rules allow it and it was measured, it takes the latency
/// of the uncut model, which each [`crate::RouteStage`] then says; the published comparison adds up blocks.
///
/// # Errors
/// As [`plan`].
pub fn no_partition(
    problem: &Problem,
    solver: &dyn Solver,
    limits: &Limits,
) -> Result<Answer, PlanningError> {
    let problem = with_arrivals(problem, solver, limits)?;
    plan(&problem.with_rules(problem.rules().uncut()), solver, limits)
}

/// Chains of one device of each of two kinds, after DART (Xiang and Kim, RTSS 2019) as PPipe compares with it: devices are
/// shared among the models as in `shared`, a plan without cuts, and unused ones evenly; each model runs on as many equal pairs
/// as it has, and whole on what is left. Gives the items per second of each model, in the demands' order.
///
/// The result depends on which of several equally good plans without cuts is taken, so that is handed in.
///
/// # Errors
/// As [`plan`].
pub fn chain_pairs(
    problem: &Problem,
    shared: &Placement,
    solver: &dyn Solver,
    limits: &Limits,
) -> Result<Vec<f64>, PlanningError> {
    let problem = &with_arrivals(problem, solver, limits)?.with_objective(Objective::MaxMin);
    let kinds = problem.cluster().kinds();
    let used = |model: &ModelPlacement, kind: &str| -> u32 {
        let stages = model.routes.iter().flat_map(|route| &route.stages);
        stages.filter(|stage| stage.kind == kind).map(|stage| stage.count).sum()
    };
    let models = &shared.models;
    let mut rates = Vec::with_capacity(models.len());
    for (at, model) in models.iter().enumerate() {
        let mine = kinds.iter().zip(problem.counts()).map(|(kind, count)| {
            let rest = count.saturating_sub(models.iter().map(|m| used(m, &kind.name)).sum());
            used(model, &kind.name) + rest / models.len() as u32
        });
        let mine: Vec<u32> = mine.collect();
        let alone = problem.only(at);
        let best = |rules: Rules, counts: Vec<u32>| {
            match plan(&alone.with_rules(rules).with_counts(counts), solver, limits) {
                Ok(answer) => Ok(answer.placement.models[0].rate_per_s),
                // Devices that cannot run it in time add nothing.
                Err(PlanningError::Infeasible(_)) => Ok(0.0),
                Err(error) => Err(error),
            }
        };
        let pairs = mine.iter().copied().min().unwrap_or(0);
        let left = mine.iter().map(|count| count - pairs).collect();
        let pair = Rules { stages: 2, slices: 1, ..problem.rules().clone() };
        let mut rate_per_s = best(problem.rules().uncut(), left)?;
        if pairs > 0 {
            rate_per_s += f64::from(pairs) * best(pair, vec![1; kinds.len()])?;
        }
        rates.push(rate_per_s);
    }
    Ok(rates)
}
