//! What a plan promises: the latency of an item, the rate it sustains, and where it falls short of a demand.

use serde::Serialize;

use crate::{Demand, Pipeline, Plan};

/// A demand that a plan does not meet.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortfall {
    /// The model runs nowhere, or its latency was not measured where it runs.
    Unknown {
        /// The model.
        model: String,
    },
    /// It cannot run as often as it is asked for.
    Rate {
        /// The model.
        model: String,
        /// What is asked, items per second.
        asked_per_s: f64,
        /// What the plan sustains, items per second.
        planned_per_s: f64,
    },
    /// It is too slow for its objective even without waiting.
    Latency {
        /// The model.
        model: String,
        /// The objective less its margin, µs.
        budget_us: f64,
        /// What the plan takes, µs.
        planned_us: f64,
    },
}

impl Plan {
    /// µs from the start of a full batch to its end, over all stages, links left out. `None` where it was not measured.
    pub fn latency_us(&self, pipeline: &Pipeline) -> Option<f64> {
        pipeline.stages.iter().map(|stage| self.stage_latency_us(pipeline, stage)).sum()
    }

    /// Items per second that a pipeline sustains: its slowest stage's devices × batch ÷ latency (notes *Pooled
    /// pipelines* §3.2, links left out). A device that several pipelines share is counted for each of them.
    pub fn rate_per_s(&self, pipeline: &Pipeline) -> Option<f64> {
        let rates = pipeline.stages.iter().map(|stage| {
            let us = self.stage_latency_us(pipeline, stage)?.max(1.0);
            Some(stage.pool.devices.len() as f64 * f64::from(pipeline.batch) * 1e6 / us)
        });
        rates.collect::<Option<Vec<_>>>()?.into_iter().reduce(f64::min)
    }

    /// Where the plan falls short of what is asked; empty where it does not.
    pub fn shortfalls(&self, demands: &[Demand]) -> Vec<Shortfall> {
        let mut shortfalls = Vec::new();
        for demand in demands {
            let model = || demand.model.clone();
            let known: Option<Vec<(f64, f64)>> = self
                .pipelines_of(&demand.model)
                .map(|p| Some((self.rate_per_s(p)?, self.latency_us(p)?)))
                .collect();
            let Some(figures) = known.filter(|figures| !figures.is_empty()) else {
                shortfalls.push(Shortfall::Unknown { model: model() });
                continue;
            };
            let planned_per_s: f64 = figures.iter().map(|(rate, _)| rate).sum();
            if planned_per_s < demand.rate_per_s {
                shortfalls.push(Shortfall::Rate {
                    model: model(),
                    asked_per_s: demand.rate_per_s,
                    planned_per_s,
                });
            }
            if let Some(slo) = demand.slo {
                let (budget_us, planned_us) =
                    (slo.budget_us(), figures.iter().map(|f| f.1).fold(0.0, f64::max));
                if planned_us > budget_us {
                    shortfalls.push(Shortfall::Latency { model: model(), budget_us, planned_us });
                }
            }
        }
        shortfalls
    }

    fn stage_latency_us(&self, pipeline: &Pipeline, stage: &crate::Stage) -> Option<f64> {
        let kind = self.kind_of(stage)?;
        self.profile(&pipeline.model)?.latency_us(&kind.name, &stage.blocks, pipeline.batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Slo;

    #[test]
    fn a_pool_of_two_carries_twice_and_a_demand_beyond_it_is_named() {
        let plan = Plan::from_toml(crate::file::tests::FIRST_EXAMPLE, "plan.toml").unwrap();
        let light = plan.pipelines_of("light").next().unwrap();
        assert_eq!(plan.latency_us(light), Some(2000.0));
        assert_eq!(plan.rate_per_s(light), Some(16_000.0));
        let demand =
            |rate_per_s, latency_us| Demand::new("light", rate_per_s).within(Slo { latency_us, margin: 0.4 });
        assert_eq!(plan.shortfalls(&[demand(15_000.0, 4000.0)]), vec![]);
        let short = plan.shortfalls(&[demand(17_000.0, 3000.0)]);
        assert!(matches!(short[0], Shortfall::Rate { planned_per_s: 16_000.0, .. }));
        assert!(matches!(short[1], Shortfall::Latency { budget_us: 1800.0, planned_us: 2000.0, .. }));
        let unknown = Demand::new("x", 1.0);
        assert_eq!(plan.shortfalls(&[unknown]), vec![Shortfall::Unknown { model: "x".into() }]);
    }
}
