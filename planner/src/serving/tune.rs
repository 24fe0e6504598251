//! The plan that carries most, found by planning and simulating: margins and shares per model, fractions and batches allowed, and
//! whether devices are lent.
//!
//! A plan's margin is left for waiting. With a small one more fits into the plan and less of it is kept. How much is best depends on
//! model, devices and arrivals, so it is tried: a setting is planned, which takes milliseconds, and simulated at a load just above the best
//! so far; only one that carries this is looked at more closely. First all combinations of a grid, then one model's margin or share
//! at a time.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use thiserror::Error;

use super::{
    fleet::{Fleet, FleetError},
    load::Load,
    policy::Policy,
};
use crate::{Answer, DeployError, Limits, PlanningError, Problem, Solver, plan};

/// What to try.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Margins for all models at once, 0 to less than 1.
    pub margins: Vec<f64>,
    /// Most items in a batch.
    pub batches: Vec<u32>,
    /// Into how many parts devices may be divided.
    pub slices: Vec<u32>,
    /// Whether to try devices of their own only, lending, or both.
    pub lending: Vec<bool>,
    /// Who serves.
    pub policy: fn() -> Box<dyn Policy>,
    /// Rounds over the models, in each of which a margin or a share of one is changed; they end early where nothing helps.
    pub rounds: usize,
    /// By what a setting is judged. Its shares are the weights of the question's demands.
    pub load: Load,
}

/// A way to plan and to serve.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// Per model, in the demands' order.
    pub margins: Vec<f64>,
    /// By what the weight of each model is multiplied.
    pub boosts: Vec<f64>,
    /// Most items in a batch.
    pub batch: u32,
    /// Into how many parts devices may be divided.
    pub slices: u32,
    /// Whether devices are lent between stages and models, and models overflow onto idle ones whole.
    pub lending: bool,
}

/// The best setting that was found.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// How it was planned and is served.
    pub setting: Setting,
    /// The plan.
    pub answer: Answer,
    /// Its devices.
    pub fleet: Fleet,
    /// The load that it carried in the search, in units of [`Load::shares`].
    pub load: f64,
    /// Plans that were simulated.
    pub tried: usize,
}

/// A search under way.
struct Search<'a> {
    problem: &'a Problem,
    solver: &'a dyn Solver,
    limits: &'a Limits,
    tuning: &'a Tuning,
    slo_us: BTreeMap<String, f64>,
    weights: Vec<f64>,
    known: HashSet<String>,
    tried: usize,
    best: Option<Tuned>,
}

/// What must be gained for a setting to be better.
const GAIN: f64 = 1.002;

/// Looks for the setting under which most is carried.
///
/// # Errors
/// Where no setting gives a plan, or a demand has no objective.
pub fn tune(
    problem: &Problem,
    solver: &dyn Solver,
    limits: &Limits,
    tuning: &Tuning,
) -> Result<Tuned, TuneError> {
    let slo = |demand: &crate::Demand| Some((demand.model.clone(), demand.slo?.latency_us));
    let mut search = Search {
        problem,
        solver,
        limits,
        tuning,
        slo_us: problem.demands().iter().filter_map(slo).collect(),
        weights: problem.demands().iter().map(|demand| demand.weight).collect(),
        known: HashSet::new(),
        tried: 0,
        best: None,
    };
    let models = problem.demands().len();
    let mut impossible = None;
    for &slices in &tuning.slices {
        for &batch in &tuning.batches {
            for &margin in &tuning.margins {
                let setting = Setting {
                    margins: vec![margin; models],
                    boosts: vec![1.0; models],
                    batch,
                    slices,
                    lending: false,
                };
                match search.look_at(&setting) {
                    Err(TuneError::Planning(error @ PlanningError::Infeasible(_))) => {
                        impossible = Some(error)
                    }
                    other => other?,
                }
            }
        }
    }
    for _ in 0..tuning.rounds {
        if !search.round()? {
            break;
        }
    }
    match (search.best, impossible) {
        (Some(mut best), _) => {
            best.tried = search.tried;
            Ok(best)
        }
        (None, Some(error)) => Err(error.into()),
        (None, None) => Err(TuneError::Nothing),
    }
}

impl Search<'_> {
    /// Changes one thing of one model at a time; says whether anything helped.
    fn round(&mut self) -> Result<bool, TuneError> {
        let mut helped = false;
        for model in 0..self.weights.len() {
            for (margin, boost) in [
                (-0.03, 1.0),
                (0.03, 1.0),
                (-0.08, 1.0),
                (0.08, 1.0),
                (0.0, 1.01),
                (0.0, 0.99),
                (0.0, 1.03),
                (0.0, 0.97),
                (0.04, 1.015),
                (-0.04, 0.985),
            ] {
                let Some(best) = &self.best else { return Ok(false) };
                let (mut setting, before) = (best.setting.clone(), best.load);
                setting.margins[model] = (setting.margins[model] + margin).clamp(0.0, 0.8);
                setting.boosts[model] *= boost;
                match self.look_at(&setting) {
                    Err(TuneError::Planning(PlanningError::Infeasible(_))) => {}
                    other => other?,
                }
                helped |= self.best.as_ref().is_some_and(|best| best.load > before);
            }
        }
        Ok(helped)
    }

    /// Plans a setting and simulates it, without lending and with it.
    fn look_at(&mut self, setting: &Setting) -> Result<(), TuneError> {
        let mut problem = self.problem.clone();
        for (at, demand) in self.problem.demands().iter().enumerate() {
            let slo = demand.slo.ok_or_else(|| TuneError::NoSlo { model: demand.model.clone() })?;
            let slo = crate::Slo { margin: setting.margins[at], ..slo };
            problem = problem.with_budget(at, slo.budget_us());
            problem = problem.with_weight(at, self.weights[at] * setting.boosts[at]);
        }
        let rules = crate::Rules { slices: setting.slices, batch: setting.batch, ..problem.rules().clone() };
        let problem = problem.with_rules(rules);
        let answer = plan(&problem, self.solver, self.limits)?;
        let share = |(model, weight): (&crate::ModelPlacement, &f64)| model.rate_per_s / weight;
        let planned =
            answer.placement.models.iter().zip(&self.weights).map(share).fold(f64::INFINITY, f64::min);
        let best = self.best.as_ref().map_or(0.0, |best| best.load);
        // What is not even planned is hardly carried.
        if planned < best * 0.95 || !self.known.insert(format!("{:?}", answer.placement)) {
            return Ok(());
        }
        let plan = answer.placement.deploy(&problem)?;
        let own = Fleet::new(&plan, &self.slo_us)?.uncut_as_planned(&answer.placement);
        for &lending in &self.tuning.lending {
            let fleet = if lending { own.clone().overflowing(&plan).lending() } else { own.clone() };
            let setting = Setting { lending, ..setting.clone() };
            self.tried += 1;
            let best = self.best.as_ref().map_or(0.0, |best| best.load);
            let policy = &self.tuning.policy;
            let load = &self.tuning.load;
            let low = (best * GAIN).max(planned * 0.3);
            if !load.carries(&fleet, policy, low) {
                continue;
            }
            let carried = load.between(&fleet, policy, low, planned.max(low) * 1.1);
            let (answer, tried) = (answer.clone(), self.tried);
            self.best = Some(Tuned { setting, answer, fleet, load: carried, tried });
        }
        Ok(())
    }
}

/// Nothing to serve by.
#[derive(Debug, Error)]
pub enum TuneError {
    /// A model that need not be done at any time.
    #[error("model `{model}` has no deadline to plan for; give one, e.g.:  --slo {model}=50ms")]
    NoSlo {
        /// The model.
        model: String,
    },
    /// Nothing carried a third of what was planned.
    #[error(
        "no plan carried a third of what it promised; give later deadlines, or other margins, batches and slices to try"
    )]
    Nothing,
    /// No plan.
    #[error(transparent)]
    Planning(#[from] PlanningError),
    /// A plan without devices.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// A plan that cannot serve.
    #[error(transparent)]
    Fleet(#[from] FleetError),
}
