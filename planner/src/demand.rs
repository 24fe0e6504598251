//! What is asked: how many items per second, and how soon each must be done.

use serde::{Deserialize, Serialize};

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
    /// Items per second.
    pub rate_per_s: f64,
    /// How soon each item must be done, if it matters.
    #[serde(default)]
    pub slo: Option<Slo>,
}
