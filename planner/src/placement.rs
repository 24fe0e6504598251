//! The answer of a planner before devices are named: how many of each kind run which stage.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{Fraction, Packing, Problem, Rules};

/// How every model runs. [`Placement::check`] verifies one without a solver; [`Placement::deploy`] names devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// In the demands' order.
    pub models: Vec<ModelPlacement>,
}

/// How one model runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPlacement {
    /// The model.
    pub model: String,
    /// Items per second over all routes.
    pub rate_per_s: f64,
    /// Its routes, the one that takes most first.
    pub routes: Vec<Route>,
}

/// One way through a model: pools of devices, one behind the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Items per second that it is planned for.
    pub rate_per_s: f64,
    /// From a full batch to its end, µs: computing and transfers.
    pub latency_us: f64,
    /// How long a batch takes to fill, µs.
    pub build_us: f64,
    /// Its stages.
    pub stages: Vec<RouteStage>,
}

/// A run of blocks on a pool of equal virtual devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteStage {
    /// The first block.
    pub first_block: u32,
    /// The block behind the last.
    pub end_block: u32,
    /// The kind of device.
    pub kind: String,
    /// Into how many parts each device is divided.
    pub slices: u32,
    /// Items in a batch.
    pub batch: u32,
    /// Virtual devices: `slices` of them are a device.
    pub count: u32,
    /// Computing, µs per batch.
    pub latency_us: f64,
    /// Sending a batch to the next stage, µs; 0 in the last.
    pub transfer_us: f64,
    /// Whether the latency is that of the uncut model rather than the sum of its blocks.
    #[serde(default)]
    pub whole_latency: bool,
}

impl RouteStage {
    /// What its virtual devices are.
    pub fn fraction(&self) -> Fraction {
        Fraction::new(self.kind.clone(), self.slices)
    }
}

impl Placement {
    /// Devices in use per kind, after rounding up as the packing says.
    pub fn devices(&self, packing: Packing) -> BTreeMap<String, u32> {
        let mut used: BTreeMap<String, u32> = BTreeMap::new();
        for model in &self.models {
            let mut sums: BTreeMap<(usize, &str), f64> = BTreeMap::new();
            for (d, stage) in model.routes.iter().flat_map(|route| route.stages.iter().enumerate()) {
                match packing {
                    Packing::Summed => {
                        *sums.entry((d, &stage.kind)).or_default() +=
                            f64::from(stage.count) / f64::from(stage.slices.max(1));
                    }
                    Packing::WholeDevices => {
                        let devices = stage.count.div_ceil(stage.slices.max(1));
                        let used = used.entry(stage.kind.clone()).or_default();
                        *used = used.saturating_add(devices);
                    }
                }
            }
            for ((_, kind), sum) in sums {
                let used = used.entry(kind.to_owned()).or_default();
                *used = used.saturating_add((sum - 1e-9).ceil() as u32);
            }
        }
        used
    }

    /// What the placement is worth under the question's objective: rate ÷ weight of the worst model, how many times the
    /// demand, or the number or cost of devices (less is better).
    pub fn value(&self, problem: &Problem) -> f64 {
        let share = |(at, model): (usize, &ModelPlacement)| model.rate_per_s / problem.weight(at);
        if !problem.objective().is_cost() {
            return self.models.iter().enumerate().map(share).fold(f64::INFINITY, f64::min);
        }
        let used = self.devices(problem.rules().packing);
        let kinds = problem.cluster().kinds().iter().zip(problem.costs());
        kinds.map(|(kind, cost)| cost * f64::from(used.get(&kind.name).copied().unwrap_or(0))).sum()
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for model in &self.models {
            writeln!(f, "{}  {:.1} items/s", model.model, model.rate_per_s)?;
            for route in &model.routes {
                let total_ms = (route.latency_us + route.build_us) / 1e3;
                write!(f, "  {:8.1}/s  {total_ms:7.1} ms ", route.rate_per_s)?;
                for (d, stage) in route.stages.iter().enumerate() {
                    let arrow = if d == 0 { "" } else { " → " };
                    let RouteStage { first_block, end_block, count, batch, .. } = stage;
                    write!(
                        f,
                        "{arrow}[{first_block}..{end_block}) {count} × {} batch {batch}",
                        stage.fraction()
                    )?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

impl Rules {
    /// The published rules for uncut models on whole devices: the baseline *no partition* (notes §5).
    pub(crate) fn uncut(&self) -> Self {
        Self { stages: 1, slices: 1, ..self.clone() }
    }
}
