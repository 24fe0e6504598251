//! What a planner is asked: devices, profiles, demands, the rules that a placement keeps, and what is best.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Cluster, Demand, DemandError, DeviceKind, Profile};

/// What is best among the placements that keep the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// The greatest least rate ÷ weight over the models; then the greatest sum of these.
    MaxMin,
    /// The greatest least rate ÷ demand: how many times the demand there is room for.
    Headroom,
    /// The fewest devices that carry the demands.
    LeastDevices,
    /// The least cost of devices that carry the demands.
    LeastCost,
}

impl Objective {
    /// Whether devices are to be few or cheap, so that less is better.
    pub(crate) fn is_cost(self) -> bool {
        matches!(self, Objective::LeastDevices | Objective::LeastCost)
    }

    /// By what a value is multiplied so that more is better.
    pub(crate) fn sign(self) -> f64 {
        if self.is_cost() { -1.0 } else { 1.0 }
    }
}

/// How fractions go onto devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packing {
    /// As published: the fractions of one model, stage index and kind are added up and rounded up once, whatever their
    /// sizes and work; a plan may then need more devices than there are, or fractions that do not share well.
    Summed,
    /// A device is divided for one stage only and all of its parts run that stage, which is the only case that latencies
    /// of fractions were measured for. Every plan packs onto devices.
    WholeDevices,
}

/// What a placement must keep to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// Most stages of a route, 1 to 64.
    pub stages: u32,
    /// Into how many parts a device may be divided, 1 to 64.
    pub slices: u32,
    /// Most items in a batch, 1 to 4096; what was not measured is not used in any case.
    pub batch: u32,
    /// Whether batches may grow from stage to stage; otherwise a route has one batch.
    pub growing_batches: bool,
    /// How fractions go onto devices.
    pub packing: Packing,
    /// As published: no two routes of a model through the same sequence of kinds.
    pub one_route_per_sequence: bool,
    /// Whether a model that is not cut takes its uncut latency where that was measured, in place of the sum of its blocks.
    pub whole_latency: bool,
}

impl Rules {
    /// The published rules (PPipe, USENIX ATC 2025, §4; two stages): what its objectives are compared by.
    pub fn parity() -> Self {
        Self {
            stages: 2,
            slices: 4,
            batch: 8,
            growing_batches: false,
            packing: Packing::Summed,
            one_route_per_sequence: true,
            whole_latency: false,
        }
    }

    /// Ours: three stages, every plan packs onto devices, any number of routes per model.
    pub fn normal() -> Self {
        Self {
            stages: 3,
            slices: 4,
            batch: 16,
            growing_batches: false,
            packing: Packing::WholeDevices,
            one_route_per_sequence: false,
            whole_latency: true,
        }
    }
}

/// A question to the planner. Checked: every demand is for a profiled model and every figure means something.
#[derive(Clone, Debug)]
pub struct Problem {
    cluster: Cluster,
    counts: Vec<u32>,
    demands: Vec<Demand>,
    profiles: Vec<Profile>,
    rules: Rules,
    objective: Objective,
    arrivals_per_s: Option<Vec<f64>>,
    budgets_us: Vec<f64>,
}

impl Problem {
    /// Checks and keeps a question. Of the profiles it takes those that the demands name.
    ///
    /// # Errors
    /// Where a demand, a rule or a profile means nothing, with its name.
    pub fn new(
        cluster: Cluster,
        profiles: &BTreeMap<String, Profile>,
        demands: Vec<Demand>,
        rules: Rules,
        objective: Objective,
    ) -> Result<Self, ProblemError> {
        if demands.is_empty() {
            return Err(ProblemError::NoDemands);
        }
        let limits =
            [("stages", rules.stages, 64), ("slices", rules.slices, 64), ("batch", rules.batch, 4096)];
        if let Some((field, value, most)) = limits.into_iter().find(|(_, v, most)| *v == 0 || v > most) {
            return Err(ProblemError::Rule { field, value, most });
        }
        let mut known = Vec::with_capacity(demands.len());
        for (at, demand) in demands.iter().enumerate() {
            demand.check()?;
            let model = || demand.model.clone();
            if demands[..at].iter().any(|earlier| earlier.model == demand.model) {
                return Err(ProblemError::DemandedTwice { model: model() });
            }
            if objective != Objective::MaxMin && demand.rate_per_s == 0.0 {
                return Err(ProblemError::NoRate { model: model() });
            }
            let Some(profile) = profiles.get(&demand.model) else {
                let known = profiles.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                return Err(ProblemError::UnknownModel { model: model(), known });
            };
            if !profile.kinds().any(|kind| cluster.kind(kind).is_some()) {
                return Err(ProblemError::NotMeasured { model: model() });
            }
            known.push(profile.clone());
        }
        let counts = cluster.kinds().iter().map(|kind| cluster.count(&kind.name)).collect();
        let all_asked = demands.iter().all(|demand| demand.rate_per_s > 0.0);
        let arrivals_per_s = all_asked.then(|| demands.iter().map(|demand| demand.rate_per_s).collect());
        let budget = |demand: &Demand| demand.slo.map_or(f64::INFINITY, |slo| slo.budget_us());
        let budgets_us = demands.iter().map(budget).collect();
        Ok(Self { cluster, counts, demands, profiles: known, rules, objective, arrivals_per_s, budgets_us })
    }

    /// The devices there are.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// How many devices there are, per kind in the cluster's order.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// What is asked.
    pub fn demands(&self) -> &[Demand] {
        &self.demands
    }

    /// The profiles of the demanded models, in the demands' order.
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// What a placement keeps to.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What is best.
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// How often items arrive, per second and model, from which follows how long a batch takes to fill; `None` before that
    /// is known. It is the demand where one is given, and otherwise what the models do uncut (PPipe's artefact).
    pub fn arrivals_per_s(&self) -> Option<&[f64]> {
        self.arrivals_per_s.as_deref()
    }

    /// The same question with other rules.
    pub fn with_rules(&self, rules: Rules) -> Self {
        Self { rules, ..self.clone() }
    }

    /// The same question with another objective.
    pub fn with_objective(&self, objective: Objective) -> Self {
        Self { objective, ..self.clone() }
    }

    /// The same question on so many devices of each kind, in the cluster's order.
    pub(crate) fn with_counts(&self, counts: Vec<u32>) -> Self {
        Self { counts, ..self.clone() }
    }

    /// The question about one of the models alone.
    pub(crate) fn only(&self, model: usize) -> Self {
        Self {
            cluster: self.cluster.clone(),
            counts: self.counts.clone(),
            demands: vec![self.demands[model].clone()],
            profiles: vec![self.profiles[model].clone()],
            rules: self.rules.clone(),
            objective: self.objective,
            arrivals_per_s: self.arrivals_per_s.as_ref().map(|all| vec![all[model]]),
            budgets_us: vec![self.budgets_us[model]],
        }
    }

    /// The same question with these arrivals, in the demands' order.
    pub fn with_arrivals(&self, arrivals_per_s: Vec<f64>) -> Self {
        Self { arrivals_per_s: Some(arrivals_per_s), ..self.clone() }
    }

    /// What a model may take from its first stage to its last, µs.
    pub(crate) fn budget_us(&self, model: usize) -> f64 {
        self.budgets_us[model]
    }

    /// The same question with another time from the first stage to the last for one model.
    pub(crate) fn with_budget(&self, model: usize, budget_us: f64) -> Self {
        let mut budgets_us = self.budgets_us.clone();
        budgets_us[model] = budget_us;
        Self { budgets_us, ..self.clone() }
    }

    /// The same question with another weight for one model.
    pub(crate) fn with_weight(&self, model: usize, weight: f64) -> Self {
        let mut with = self.clone();
        with.demands[model].weight = weight;
        with
    }

    /// How long a batch takes to fill, µs: 1.3·10⁶·(b − 1) ÷ arrivals (PPipe's artefact).
    pub(crate) fn build_us(&self, model: usize, batch: u32) -> f64 {
        match &self.arrivals_per_s {
            // Without arrivals a second item never comes: the quotient is infinite, and batches are of one.
            Some(arrivals) if batch > 1 => 1.3e6 * f64::from(batch - 1) / arrivals[model],
            _ => 0.0,
        }
    }

    /// What a model's rate is measured by under this objective.
    pub(crate) fn weight(&self, model: usize) -> f64 {
        match self.objective {
            Objective::MaxMin => self.demands[model].weight,
            _ => self.demands[model].rate_per_s,
        }
    }

    /// What a device of each kind costs under this objective: nothing where devices are not to be saved.
    pub(crate) fn costs(&self) -> Vec<f64> {
        let cost = |kind: &DeviceKind| match self.objective {
            Objective::MaxMin | Objective::Headroom => 0.0,
            Objective::LeastDevices => 1.0,
            Objective::LeastCost => kind.cost,
        };
        self.cluster.kinds().iter().map(cost).collect()
    }

    /// What a model must be able to take, items per second.
    pub(crate) fn least_per_s(&self, model: usize) -> f64 {
        match self.objective {
            Objective::Headroom => 0.0,
            _ => self.demands[model].rate_per_s,
        }
    }

    /// µs per item for the cut before block `first`, between two kinds; 8·bytes ÷ the slower link.
    pub(crate) fn transfer_us(&self, model: usize, first: u32, from: usize, to: usize) -> f64 {
        let kinds = self.cluster.kinds();
        let links = [kinds[from].link, kinds[to].link];
        let gbps = links.iter().flatten().map(|link| link.gbps).fold(f64::INFINITY, f64::min);
        let bytes = self.profiles[model].cut_bytes(first - 1).unwrap_or(0);
        8.0 * bytes as f64 / (gbps * 1e9) * 1e6
    }
}

/// A question that means nothing.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ProblemError {
    /// Nothing is asked.
    #[error("no model is asked for; name at least one")]
    NoDemands,
    /// A demand that means nothing.
    #[error(transparent)]
    Demand(#[from] DemandError),
    /// A rule that allows nothing, or more than anybody measures.
    #[error("rules.{field} is {value}; give 1 to {most}")]
    Rule {
        /// The rule.
        field: &'static str,
        /// What was given.
        value: u32,
        /// What is allowed.
        most: u32,
    },
    /// One model, two demands.
    #[error("model `{model}` is asked for twice; add the two demands up")]
    DemandedTwice {
        /// The model.
        model: String,
    },
    /// An objective that needs a demand.
    #[error(
        "demand for `{model}`: rate_per_s is 0, but this objective carries a demand; give items per second, or use `max-min`"
    )]
    NoRate {
        /// The model.
        model: String,
    },
    /// A model without a profile.
    #[error(
        "there is no profile of model `{model}`; there are {known}: correct the name, or profile the model"
    )]
    UnknownModel {
        /// The model.
        model: String,
        /// The models that there are.
        known: String,
    },
    /// A model that was measured elsewhere.
    #[error(
        "model `{model}` was measured on none of the cluster's kinds of device; profile it on one of them"
    )]
    NotMeasured {
        /// The model.
        model: String,
    },
}
