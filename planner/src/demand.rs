//! What is asked: how many items per second, and how soon each must be done.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A service objective: an item must be done this long after it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slo {
    /// From request to result, µs.
    pub latency_us: f64,
    /// The part of it, 0 to 1, that a plan leaves for waiting (0.4 in the source's main experiments).
    #[serde(default)]
    pub margin: f64,
}

impl Slo {
    /// What is left for computing and moving data, µs: the objective less its margin, whole µs
    /// (notes *Pooled pipelines* §3.2: `SLO − round(margin · SLO)`).
    pub fn budget_us(&self) -> f64 {
        self.latency_us - (self.margin * self.latency_us).round()
    }
}

/// How often a model is called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Demand {
    /// The model.
    pub model: String,
    /// Items per second that it must be able to take, 10⁻⁶ to 10¹²; 0 asks for nothing in particular.
    #[serde(default)]
    pub rate_per_s: f64,
    /// How soon each item must be done, if it matters.
    #[serde(default)]
    pub slo: Option<Slo>,
    /// Its share where several models compete: a planner balances rate ÷ weight.
    #[serde(default = "one")]
    pub weight: f64,
    /// Items per second beyond which more is of no use.
    #[serde(default)]
    pub at_most_per_s: Option<f64>,
}

fn one() -> f64 {
    1.0
}

impl Demand {
    /// So many items per second of a model, without a deadline, with weight 1.
    pub fn new(model: impl Into<String>, rate_per_s: f64) -> Self {
        Self { model: model.into(), rate_per_s, slo: None, weight: 1.0, at_most_per_s: None }
    }

    /// The same, to be done within that objective.
    pub fn within(self, slo: Slo) -> Self {
        Self { slo: Some(slo), ..self }
    }

    /// The same, with that weight.
    pub fn weighing(self, weight: f64) -> Self {
        Self { weight, ..self }
    }

    /// Checks that every figure means something.
    ///
    /// # Errors
    /// With the model, the field and the value.
    pub fn check(&self) -> Result<(), DemandError> {
        let bad =
            |field, value: f64, wanted| Err(DemandError { model: self.model.clone(), field, value, wanted });
        let number = |value: f64| value.is_finite() && value >= 0.0;
        // Beyond these a solver's arithmetic means nothing.
        let some = |value: f64| (1e-6..=1e12).contains(&value);
        if self.rate_per_s != 0.0 && !some(self.rate_per_s) {
            return bad("rate_per_s", self.rate_per_s, "items per second: 0, or 10⁻⁶ to 10¹²");
        }
        if !some(self.weight) {
            return bad("weight", self.weight, "a number above 0: 10⁻⁶ to 10¹²");
        }
        if let Some(slo) = self.slo {
            if !number(slo.latency_us) || slo.latency_us == 0.0 {
                return bad("slo.latency_us", slo.latency_us, "µs above 0");
            }
            if !(0.0..1.0).contains(&slo.margin) {
                return bad("slo.margin", slo.margin, "a part of the objective: 0 or more, less than 1");
            }
        }
        match self.at_most_per_s {
            Some(most) if !some(most) || most < self.rate_per_s => {
                bad("at_most_per_s", most, "items per second, 10⁻⁶ to 10¹² and not below `rate_per_s`")
            }
            _ => Ok(()),
        }
    }
}

/// A demand that means nothing.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("demand for `{model}`: {field} is {value}; give {wanted}")]
pub struct DemandError {
    /// The model.
    pub model: String,
    /// The field.
    pub field: &'static str,
    /// What was given.
    pub value: f64,
    /// What would do.
    pub wanted: &'static str,
}
