//! Why a question has no answer, and what would help.

use thiserror::Error;

use crate::{
    Limits, Objective, PlanningError, Problem, Rules, Solver,
    search::{all_templates, best},
    template::templates,
};

/// Nothing can be placed as asked.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Infeasible {
    /// A model cannot meet its deadline on any devices that there are.
    #[error("{}", too_slow_text(self))]
    TooSlow {
        /// The model.
        model: String,
        /// The deadline, µs.
        slo_us: f64,
        /// The deadline less its margin, µs.
        budget_us: f64,
        /// The least that the model can take on these devices, µs; `None` where it does not fit into their memory.
        least_us: Option<f64>,
        /// The smallest deadline that it could meet with the same margin, µs.
        smallest_slo_us: f64,
        /// On which kinds of device it was measured.
        kinds: String,
    },
    /// There are too few devices for the demands.
    #[error(
        "the devices carry {:.1} % of the demand, and the first to fall short is `{model}`; {help}",
        100.0 * carried
    )]
    TooFew {
        /// The part of the demand that can be carried.
        carried: f64,
        /// The model that is worst served.
        model: String,
        /// What would help.
        help: String,
    },
    /// There are too few devices for the models, at any rate.
    #[error(
        "there are too few devices to run all {models} models even at the lowest rate; add devices or ask for fewer models"
    )]
    TooFewForAny {
        /// How many models.
        models: usize,
    },
}

fn too_slow_text(error: &Infeasible) -> String {
    let Infeasible::TooSlow { model, slo_us, budget_us, least_us, smallest_slo_us, kinds } = error else {
        return String::new();
    };
    match least_us {
        Some(least_us) => format!(
            "model `{model}` cannot be done in {:.1} ms (an SLO of {:.1} ms less its margin): on {kinds} it takes at least \
             {:.1} ms; give it an SLO of {:.1} ms or more, or a faster kind of device",
            budget_us / 1e3,
            slo_us / 1e3,
            least_us / 1e3,
            // Rounded up, so that the figure works.
            (smallest_slo_us / 100.0).ceil() / 10.0,
        ),
        None => format!(
            "model `{model}` does not fit into the memory of {kinds}; allow more stages, or add a kind with more memory"
        ),
    }
}

/// Says how far a model is from its deadline.
pub(crate) fn too_slow(problem: &Problem, model: usize) -> Infeasible {
    let demand = &problem.demands()[model];
    let slo = demand.slo.unwrap_or(crate::Slo { latency_us: f64::INFINITY, margin: 0.0 });
    // Without a deadline and with batches of one, which are the quickest, only memory can rule a template out; the
    // quickest of a sequence of kinds need not be among those of the best rate, so each batch-of-one route is looked at.
    let rules = Rules { batch: 1, ..problem.rules().clone() };
    let least_us = least_latency_us(&problem.with_rules(rules), model);
    let smallest_slo_us = least_us.unwrap_or(f64::INFINITY) / (1.0 - slo.margin);
    let profile = &problem.profiles()[model];
    let kinds = problem.cluster().kinds().iter().map(|kind| kind.name.as_str());
    Infeasible::TooSlow {
        model: demand.model.clone(),
        slo_us: slo.latency_us,
        budget_us: problem.budget_us(model),
        least_us,
        smallest_slo_us: smallest_slo_us + 1.0,
        kinds: kinds.filter(|kind| profile.kinds().any(|k| k == *kind)).collect::<Vec<_>>().join(", "),
    }
}

/// The least latency of a model over all templates: by asking for less until nothing is left.
fn least_latency_us(problem: &Problem, model: usize) -> Option<f64> {
    let quickest = |budget_us: f64| {
        let problem = problem.with_budget(model, budget_us);
        templates(&problem, model).iter().map(|t| t.latency_us).min_by(f64::total_cmp)
    };
    let mut least_us = quickest(f64::INFINITY)?;
    // Every round finds a quicker one, of finitely many.
    while let Some(quicker_us) = quickest(least_us - 0.5) {
        least_us = quicker_us;
    }
    Some(least_us)
}

/// Says how much of the demand can be carried, and by how much a device of each kind would raise that.
pub(crate) fn too_few(problem: &Problem, solver: &dyn Solver, limits: &Limits) -> PlanningError {
    if problem.demands().iter().any(|demand| demand.rate_per_s == 0.0) {
        return Infeasible::TooFewForAny { models: problem.demands().len() }.into();
    }
    let limits = Limits { seconds: limits.seconds.min(5.0), gap: limits.gap.max(1e-3), ..limits.untold() };
    let headroom = problem.with_objective(Objective::Headroom);
    // All templates: those that were left out were of no use for the demand, not for less of it.
    let carried = |problem: &Problem| best(problem, &all_templates(problem)?, None, solver, &limits);
    let answer = match carried(&headroom) {
        Ok(answer) => answer,
        Err(error) => return error,
    };
    let share = |at: usize| answer.placement.models[at].rate_per_s / problem.demands()[at].rate_per_s;
    let worst = (0..problem.demands().len()).min_by(|a, b| share(*a).total_cmp(&share(*b))).unwrap_or(0);
    let mut gains = Vec::new();
    for (at, kind) in problem.cluster().kinds().iter().enumerate() {
        let mut counts = problem.counts().to_vec();
        counts[at] += 1;
        let more = headroom.with_counts(counts);
        gains.push((carried(&more).map_or(0.0, |answer| answer.proof.value), &kind.name));
    }
    gains.sort_by(|a, b| b.0.total_cmp(&a.0));
    let gains = gains.iter().map(|(carried, kind)| format!("one more {kind} gives {:.1} %", 100.0 * carried));
    Infeasible::TooFew {
        carried: answer.proof.value,
        model: problem.demands()[worst].model.clone(),
        help: format!("add devices ({}) or lower the demand", gains.collect::<Vec<_>>().join(", ")),
    }
    .into()
}
