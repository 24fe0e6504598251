//! Why a plan is worth what it is: what holds it back, and what one more device of each kind would bring.

use serde::Serialize;

use crate::{
    Answer, Limits, Packing, PlanningError, Problem, Solver,
    search::{all_templates, best, with_arrivals},
};

/// What holds a plan back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The model with the least rate ÷ weight, or ÷ demand where that is to be carried.
    pub bottleneck: String,
    /// Its stages that allow no more.
    pub tight: Vec<Tight>,
    /// What one more device of each kind would bring.
    pub gains: Vec<Gain>,
}

/// A stage of the bottleneck that is as busy as it can be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tight {
    /// Which route of the model, from 0.
    pub route: usize,
    /// Which stage of the route, from 0.
    pub stage: usize,
    /// What it runs on.
    pub on: String,
    /// What one item per second more through this stage's pool would add to the plan's value; 0 where another stage of the
    /// route, or another model, is as tight. It is the price of the stage's row in the linear program with all counts fixed,
    /// which has this closed form.
    pub price: f64,
}

/// What one more device would bring.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gain {
    /// Its kind.
    pub kind: String,
    /// How much better the best plan with it is: more of the value, or less cost.
    pub gain: f64,
    /// Whether the limits ended the search for that plan early, so that the gain may be larger.
    pub at_least: bool,
}

/// Explains an answer to a question. It plans again for every kind of device, within the limits each time.
///
/// # Errors
/// As [`crate::plan`].
pub fn explain(
    problem: &Problem,
    answer: &Answer,
    solver: &dyn Solver,
    limits: &Limits,
) -> Result<Explanation, PlanningError> {
    let (problem, limits) = (with_arrivals(problem, solver, limits)?, &limits.untold());
    let models = &answer.placement.models;
    let share = |at: usize| models[at].rate_per_s / problem.weight(at);
    let worst = (0..models.len()).min_by(|a, b| share(*a).total_cmp(&share(*b))).unwrap_or(0);
    let least = share(worst);
    let alone = (0..models.len()).filter(|at| share(*at) <= least * (1.0 + 1e-9)).count() == 1;
    let mut gains = Vec::new();
    for (at, kind) in problem.cluster().kinds().iter().enumerate() {
        let mut counts = problem.counts().to_vec();
        counts[at] += 1;
        let more = problem.with_counts(counts);
        let better = best(&more, &all_templates(&more)?, None, solver, limits)?;
        gains.push(Gain {
            kind: kind.name.clone(),
            gain: problem.objective().sign() * (better.proof.value - answer.proof.value),
            at_least: better.proof.status != crate::Status::Optimal,
        });
    }
    Ok(Explanation {
        bottleneck: models.get(worst).map(|model| model.model.clone()).unwrap_or_default(),
        tight: tight(&problem, answer, worst, alone),
        gains,
    })
}

fn tight(problem: &Problem, answer: &Answer, model: usize, alone: bool) -> Vec<Tight> {
    let sums = crate::template::Sums::new(problem, model);
    let kind_of = |name: &str| problem.cluster().kinds().iter().position(|kind| kind.name == name);
    let mut all = Vec::new();
    let routes = answer.placement.models.get(model).map_or(&[][..], |model| &model.routes);
    for (route, of) in routes.iter().enumerate() {
        let mut found = Vec::new();
        for (d, stage) in of.stages.iter().enumerate() {
            let known = kind_of(&stage.kind).and_then(|kind| {
                sums.stage(kind, stage.slices, stage.first_block, stage.end_block, stage.batch)
            });
            let Some(known) = known else { continue };
            if known.rate_per_s * f64::from(stage.count) <= of.rate_per_s * (1.0 + 1e-6) {
                found.push(Tight { route, stage: d, on: stage.fraction().to_string(), price: 0.0 });
            }
        }
        if let ([only], true) = (found.as_mut_slice(), alone) {
            only.price = 1.0 / problem.weight(model);
        }
        all.extend(found);
    }
    all
}

impl Explanation {
    /// The kind of which one more device brings most.
    pub fn best_gain(&self) -> Option<&Gain> {
        self.gains.iter().max_by(|a, b| a.gain.total_cmp(&b.gain))
    }
}

impl Answer {
    /// What it costs that devices are divided for one stage only: the best value with fractions summed up as published, less
    /// this one's, relative to this one's.
    ///
    /// # Errors
    /// As [`crate::plan`].
    pub fn packing_cost(
        &self,
        problem: &Problem,
        solver: &dyn Solver,
        limits: &Limits,
    ) -> Result<f64, PlanningError> {
        let rules = crate::Rules { packing: Packing::Summed, ..problem.rules().clone() };
        let summed = crate::plan(&problem.with_rules(rules), solver, limits)?;
        Ok(summed.proof.value / self.proof.value - 1.0)
    }
}
