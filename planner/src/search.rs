//! From question to answer: templates, tables, program, solver, placement, and how good it is proven to be.

use serde::Serialize;
use thiserror::Error;

use crate::{
    Limits, ModelPlacement, Objective, Packing, Placement, Problem, Route, RouteStage, Rules, SolveError,
    Solver, Status,
    division::{Division, useful},
    formulation::Formulation,
    greedy::fill,
    infeasible::{self, Infeasible},
    prices::Prices,
    solver::Solved,
    template::{Template, templates},
};

/// So many templates of each model are enough for a good plan where there are too many to try all.
const NEAREST: usize = 24;

/// A placement with what is known of its worth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// How every model runs.
    pub placement: Placement,
    /// What is known of it.
    pub proof: Proof,
}

/// How good a placement is proven to be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proof {
    /// What the placement is worth; see [`Placement::value`].
    pub value: f64,
    /// What no placement exceeds (or, of devices and cost, falls below), where the solver says so.
    pub bound: Option<f64>,
    /// How the search ended.
    pub status: Status,
    /// On the solver's clock; without the making of templates and program. `None` where tables were enough.
    pub seconds: Option<f64>,
    /// Nodes of the search tree, where there was one.
    pub nodes: Option<u64>,
    /// Templates that were worth a column, over all models.
    pub templates: usize,
    /// Columns of the program, 0 where none was needed.
    pub columns: usize,
    /// Rows of the program, likewise.
    pub rows: usize,
}

impl Proof {
    /// The difference between bound and value, relative to the value.
    pub fn gap(&self) -> Option<f64> {
        let bound = self.bound?;
        Some(if self.value == bound { 0.0 } else { (bound - self.value).abs() / self.value.abs() })
    }
}

/// A question that has no answer, or none yet.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum PlanningError {
    /// Nothing can be placed as asked.
    #[error(transparent)]
    Infeasible(#[from] Infeasible),
    /// The solver gave nothing.
    #[error(transparent)]
    Solve(#[from] SolveError),
}

/// The best placement that the solver finds within the limits.
///
/// Where no arrivals are known, those of uncut models are found first, since they say how long a batch takes to fill.
///
/// # Errors
/// Where a model cannot meet its deadline, or the devices cannot carry the demands, with what would help.
pub fn plan(problem: &Problem, solver: &dyn Solver, limits: &Limits) -> Result<Answer, PlanningError> {
    let problem = &with_arrivals(problem, solver, limits)?;
    best(problem, &all_templates(problem)?, None, solver, limits)
}

/// The best placement over these templates: by dividing the devices where that proves it, and otherwise by the solver, from
/// what is known by then. `start` is a placement that may be good.
pub(crate) fn best(
    problem: &Problem,
    templates: &[Vec<Template>],
    start: Option<&Counts>,
    solver: &dyn Solver,
    limits: &Limits,
) -> Result<Answer, PlanningError> {
    let sign = problem.objective().sign();
    let quick = if problem.objective().is_cost() { without_solver(problem, templates) } else { None };
    let quick_value = quick.as_ref().map_or(f64::NEG_INFINITY, |(value, _)| *value);
    let problem = &problem.with_counts(affordable(problem, -quick_value));
    let Some(division) = Division::of(problem, templates, limits) else {
        return best_over(
            problem,
            templates,
            start.or(quick.as_ref().map(|(_, counts)| counts)),
            solver,
            limits,
        );
    };
    let of = |counts: &Counts, templates: &[Vec<Template>], status: Status| {
        let placement = counts.placement(problem, templates);
        let value = placement.value(problem);
        let proof = Proof {
            value,
            bound: Some(sign * division.bound.max(sign * value)),
            status,
            seconds: None,
            nodes: None,
            templates: templates.iter().map(Vec::len).sum(),
            columns: 0,
            rows: 0,
        };
        Answer { placement, proof }
    };
    if let Some((counts, _)) = division.found.as_ref().filter(|_| division.proves(limits.gap)) {
        return Ok(of(counts, templates, Status::Optimal));
    }
    let known = division.found.iter().map(|(counts, _)| counts).chain(start).cloned();
    let known = known.chain(easier_first(problem, templates, &division.prices, solver, limits));
    let known = known.filter_map(|counts| Some((counts.value(problem, templates)?, counts))).chain(quick);
    let known = known.max_by(|a, b| a.0.total_cmp(&b.0));
    // Whoever does better than what is known uses none but these.
    let at_least = known.as_ref().map_or(f64::NEG_INFINITY, |(value, _)| value - value.abs() * 1e-6);
    let kept = useful(problem, templates, &division.prices, at_least);
    let few = only(templates, &kept);
    let known = known.map(|(value, counts)| (value, counts.only(&kept)));
    if let Some((value, counts)) = &known
        && division.is_near(*value, limits.gap)
    {
        let counts = with_surplus(problem, &few, counts.clone(), solver, limits);
        return Ok(of(&counts, &few, Status::Optimal));
    }
    let start = known.as_ref().map(|(_, counts)| counts);
    let found = best_within(problem, &few, start, Some(division.bound), solver, limits);
    match (found, known) {
        (Ok(answer), Some((value, counts))) if sign * answer.proof.value < value - value.abs() * 1e-9 => {
            Ok(Answer {
                proof: Proof { value: sign * value, ..answer.proof },
                ..of(&counts, &few, Status::Limit)
            })
        }
        // What is known is better than no answer.
        (Err(PlanningError::Solve(_)), Some((_, counts))) => Ok(of(&counts, &few, Status::Limit)),
        (found, _) => found,
    }
}

/// What the greedy way takes, where that carries the demands: often near the best where devices are to be saved, and a plan
/// however short the limit.
fn without_solver(problem: &Problem, templates: &[Vec<Template>]) -> Option<(f64, Counts)> {
    let counts = fill(problem, templates, Counts::none(templates));
    Some((counts.value(problem, templates)?, counts))
}

/// As many devices of each kind as there are and as cost no more than this: with more, a placement costs more.
fn affordable(problem: &Problem, cost: f64) -> Vec<u32> {
    let of = |(count, each): (&u32, f64)| match each > 0.0 {
        true => f64::from(*count).min(cost / each + 1e-9) as u32,
        false => *count,
    };
    problem.counts().iter().zip(problem.costs()).map(of).collect()
}

/// An easier question whose plans are plans for this one too, so that the search can begin from what is found: where fractions
/// are summed up, the same on whole devices, and on whole devices the same with the templates that lose least. It has a third
/// of the time.
fn easier_first(
    problem: &Problem,
    templates: &[Vec<Template>],
    prices: &Prices,
    solver: &dyn Solver,
    limits: &Limits,
) -> Option<Counts> {
    let summed = problem.rules().packing == Packing::Summed;
    if !summed && templates.iter().all(|all| all.len() <= NEAREST) {
        return None;
    }
    let easier = problem.with_rules(Rules { packing: Packing::WholeDevices, ..problem.rules().clone() });
    let few = if summed {
        all_templates(&easier).ok()?
    } else {
        only(templates, &prices.nearest(templates, NEAREST))
    };
    let limits = Limits { seconds: limits.seconds / 3.0, gap: limits.gap.max(1e-3), ..limits.untold() };
    let divided = if summed { Division::of(&easier, &few, &limits) } else { None };
    let divided = divided.filter(|division| division.proves(limits.gap));
    let found = match divided.and_then(|division| division.found) {
        Some((counts, _)) => counts,
        None => {
            let mut formulation = Formulation::new(&easier, &few);
            let program = std::mem::take(&mut formulation.program);
            Counts::of(&formulation, &solver.solve(program, &limits).ok()?)
        }
    };
    let mut start = Counts::none(templates);
    for (model, of_model) in few.iter().enumerate() {
        for (t, template) in of_model.iter().enumerate().filter(|(t, _)| found.rates[model][*t] > 0.0) {
            let place = templates[model].iter().position(|known| known.same_work(template))?;
            start.rates[model][place] = found.rates[model][t];
            for (d, stage) in template.stages.iter().enumerate() {
                let parts = if summed { stage.slices } else { 1 };
                start.counts[model][place][d] = found.counts[model][t][d] * f64::from(parts);
            }
        }
    }
    Some(start)
}

/// The question with arrivals: where demands do not say, what the models do uncut, without waiting for batches (artefact of
/// PPipe; notes §3.2). Where some model cannot run uncut in time, batches take no time to fill only if they are of one.
pub fn with_arrivals(
    problem: &Problem,
    solver: &dyn Solver,
    limits: &Limits,
) -> Result<Problem, PlanningError> {
    if problem.arrivals_per_s().is_some() {
        return Ok(problem.clone());
    }
    let uncut = problem.with_rules(problem.rules().uncut()).with_objective(Objective::MaxMin);
    let rates = match all_templates(&uncut) {
        Ok(templates) => match best_over(&uncut, &templates, None, solver, &limits.untold()) {
            Ok(answer) => answer.placement.models.iter().map(|model| model.rate_per_s).collect(),
            Err(PlanningError::Infeasible(_)) => vec![0.0; problem.demands().len()],
            Err(error) => return Err(error),
        },
        Err(_) => vec![0.0; problem.demands().len()],
    };
    Ok(problem.with_arrivals(rates))
}

/// The templates of every model.
pub(crate) fn all_templates(problem: &Problem) -> Result<Vec<Vec<Template>>, Infeasible> {
    let mut all = Vec::with_capacity(problem.demands().len());
    for model in 0..problem.demands().len() {
        let found = templates(problem, model);
        if found.is_empty() {
            return Err(infeasible::too_slow(problem, model));
        }
        all.push(found);
    }
    Ok(all)
}

/// The best placement over these templates that the solver finds in one go.
pub(crate) fn best_over(
    problem: &Problem,
    templates: &[Vec<Template>],
    start: Option<&Counts>,
    solver: &dyn Solver,
    limits: &Limits,
) -> Result<Answer, PlanningError> {
    best_within(problem, templates, start, None, solver, limits)
}

/// The same with a bound that is known already, of the value for which more is better.
fn best_within(
    problem: &Problem,
    templates: &[Vec<Template>],
    start: Option<&Counts>,
    bound: Option<f64>,
    solver: &dyn Solver,
    limits: &Limits,
) -> Result<Answer, PlanningError> {
    let mut first = Formulation::new(problem, templates);
    if let Some(bound) = bound {
        first.no_more_than(bound * (1.0 + 1e-9));
    }
    let (columns, rows) = (first.program.columns.len(), first.program.rows.len());
    if let Some(start) = start {
        first.program.start = Some(first.start(&start.rates, &start.counts));
    }
    let program = std::mem::take(&mut first.program);
    let sign = problem.objective().sign();
    let told = Limits { watch: limits.watch.clone().map(|watch| watch.signed(sign)), ..limits.clone() };
    let solved = solver.solve(program, &told).map_err(|error| match error {
        SolveError::Infeasible => infeasible::too_few(problem, solver, limits),
        other => other.into(),
    })?;
    let mut counts = Counts::of(&first, &solved);
    if first.z.is_some() {
        counts = with_surplus(problem, templates, counts, solver, limits);
    }
    let placement = counts.placement(problem, templates);
    let proof = Proof {
        value: placement.value(problem),
        bound: solved.bound.into_iter().chain(bound).reduce(f64::min).map(|bound| sign * bound),
        status: solved.status,
        seconds: solved.seconds,
        nodes: solved.nodes,
        templates: templates.iter().map(Vec::len).sum(),
        columns,
        rows,
    };
    Ok(Answer { placement, proof })
}

/// Lexicographic: of the placements whose least share is as great, one with the greatest sum. It adds nothing to the proof,
/// so a tenth of the time will do, and without a result the first placement stands.
fn with_surplus(
    problem: &Problem,
    templates: &[Vec<Template>],
    counts: Counts,
    solver: &dyn Solver,
    limits: &Limits,
) -> Counts {
    let second = Formulation::new(problem, templates);
    let start = second.start(&counts.rates, &counts.counts);
    let Some(z) = second.z.map(|z| start[z.at]) else { return counts };
    let mut second = second.then_surplus(z * (1.0 - 1e-7));
    second.program.start = Some(start);
    let program = std::mem::take(&mut second.program);
    let limits = Limits { seconds: (limits.seconds / 10.0).min(2.0), ..limits.untold() };
    match solver.solve(program, &limits) {
        Ok(solved) => Counts::of(&second, &solved),
        Err(_) => counts,
    }
}

/// Those that are kept.
pub(crate) fn only<T: Clone>(all: &[Vec<T>], kept: &[Vec<bool>]) -> Vec<Vec<T>> {
    let of = |(all, kept): (&Vec<T>, &Vec<bool>)| {
        all.iter().zip(kept).filter(|(_, kept)| **kept).map(|(one, _)| one.clone()).collect()
    };
    all.iter().zip(kept).map(of).collect()
}

/// Rates and counts per model, template and stage.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    pub rates: Vec<Vec<f64>>,
    pub counts: Vec<Vec<Vec<f64>>>,
}

impl Counts {
    pub fn none(templates: &[Vec<Template>]) -> Self {
        let counts = |t: &Vec<Template>| t.iter().map(|t| vec![0.0; t.stages.len()]).collect();
        Self {
            rates: templates.iter().map(|t| vec![0.0; t.len()]).collect(),
            counts: templates.iter().map(counts).collect(),
        }
    }

    /// Those of the templates that are kept.
    pub fn only(&self, kept: &[Vec<bool>]) -> Self {
        Self { rates: only(&self.rates, kept), counts: only(&self.counts, kept) }
    }

    /// A solution with counts made whole: solvers are exact to about 10⁻⁶.
    pub fn of(formulation: &Formulation<'_>, solved: &Solved) -> Self {
        let value = |at: usize| solved.values[at];
        let rates = formulation.x.iter().map(|x| x.iter().map(|x| value(x.at).max(0.0)).collect()).collect();
        let of_stages = |n: &Vec<crate::solver::Column>| n.iter().map(|n| value(n.at).round()).collect();
        let counts = formulation.n.iter().map(|n| n.iter().map(of_stages).collect()).collect();
        Self { rates, counts }
    }

    /// What they are worth, more being better; `None` where they break a rule.
    pub fn value(&self, problem: &Problem, templates: &[Vec<Template>]) -> Option<f64> {
        let placement = self.placement(problem, templates);
        placement.check(problem).is_ok().then(|| problem.objective().sign() * placement.value(problem))
    }

    /// Routes with no more devices than their rate needs, and the rate that their devices give.
    pub fn placement(&self, problem: &Problem, templates: &[Vec<Template>]) -> Placement {
        let mut models = Vec::with_capacity(templates.len());
        for (model, of_model) in templates.iter().enumerate() {
            let mut routes: Vec<Route> = Vec::new();
            for (t, template) in of_model.iter().enumerate() {
                let rate = self.rates[model][t];
                if rate > 1e-6 {
                    routes.extend(route(problem, model, template, &self.counts[model][t], rate));
                }
            }
            routes.sort_by(|a, b| b.rate_per_s.total_cmp(&a.rate_per_s));
            models.push(ModelPlacement {
                model: problem.demands()[model].model.clone(),
                rate_per_s: routes.iter().map(|route| route.rate_per_s).sum(),
                routes,
            });
        }
        Placement { models }
    }
}

/// A route of a template; `None` where a stage has no device.
pub(crate) fn route(
    problem: &Problem,
    model: usize,
    template: &Template,
    counts: &[f64],
    rate_per_s: f64,
) -> Option<Route> {
    let per_count = |slices: u32| match problem.rules().packing {
        Packing::Summed => 1,
        Packing::WholeDevices => slices,
    };
    let capped = problem.demands()[model].at_most_per_s.is_some();
    let capacities =
        template.stages.iter().zip(counts).map(|(s, n)| s.rate_per_s * n * f64::from(per_count(s.slices)));
    let most_per_s = capacities.fold(f64::INFINITY, f64::min);
    let rate_per_s = if capped { rate_per_s.min(most_per_s) } else { most_per_s };
    if rate_per_s <= 0.0 {
        return None;
    }
    let stages = template.stages.iter().map(|stage| {
        let of_count = per_count(stage.slices);
        let units = (rate_per_s / (stage.rate_per_s * f64::from(of_count)) - 1e-9).ceil().max(1.0);
        RouteStage {
            first_block: stage.first,
            end_block: stage.end,
            kind: problem.cluster().kinds()[stage.kind].name.clone(),
            slices: stage.slices,
            batch: stage.batch,
            count: units as u32 * of_count,
            latency_us: stage.latency_us,
            transfer_us: stage.transfer_us,
            whole_latency: stage.whole,
        }
    });
    let batch = template.stages.last().map_or(1, |stage| stage.batch);
    Some(Route {
        rate_per_s,
        latency_us: template.latency_us,
        build_us: problem.build_us(model, batch),
        stages: stages.collect(),
    })
}
