//! What came of a simulated run.

use std::collections::BTreeMap;

use serde::Serialize;

use super::policy::Cause;

/// Length of a bin of [`ModelOutcome::over_time`], µs.
pub const BIN_US: u64 = 100_000;

/// What came of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The policy.
    pub policy: String,
    /// The seed.
    pub seed: u64,
    /// For how long items came, µs.
    pub run_us: u64,
    /// Per model, in the fleet's order.
    pub models: Vec<ModelOutcome>,
    /// Per kind of device: the share of time that its devices computed while items came, parts of devices counted as such.
    pub use_of: BTreeMap<String, f64>,
    /// Launches, each stage counted.
    pub launches: u64,
    /// Launches of first stages.
    pub batches: u64,
    /// How often a device was found to be missing.
    pub fenced: u64,
    /// What ran where, where asked for: device, model, stage, from and until, µs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ran: Vec<Ran>,
}

/// A launch as it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ran {
    /// The device, as a place in the fleet.
    pub device: u32,
    /// The model, likewise.
    pub model: u32,
    /// The stage.
    pub stage: u32,
    /// Items.
    pub items: u32,
    /// From, µs.
    pub from_us: u64,
    /// Until, µs.
    pub until_us: u64,
}

/// What came of a model's items.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ModelOutcome {
    /// The model.
    pub model: String,
    /// Items that came, without those of the first millisecond.
    pub came: u64,
    /// Done in time.
    pub in_time: u64,
    /// Done, but late.
    pub late: u64,
    /// Declined, by cause.
    pub declined: BTreeMap<Cause, u64>,
    /// From arrival to result of what was done, µs, in order.
    #[serde(skip)]
    pub latencies_us: Vec<u64>,
    /// Per [`BIN_US`] of arrival: how many came, and how many of these were done in time.
    #[serde(skip)]
    pub over_time: Vec<(u32, u32)>,
}

impl ModelOutcome {
    /// The share that was done in time; 1 where nothing came.
    pub fn attainment(&self) -> f64 {
        if self.came == 0 { 1.0 } else { self.in_time as f64 / self.came as f64 }
    }

    /// The latency that so many of what was done do not exceed, µs; `part` from 0 to 1.
    pub fn latency_us(&self, part: f64) -> Option<u64> {
        let last = self.latencies_us.len().checked_sub(1)?;
        self.latencies_us.get((part * last as f64).round() as usize).copied()
    }
}

impl Outcome {
    /// The least attainment over the models.
    pub fn attainment(&self) -> f64 {
        self.models.iter().map(ModelOutcome::attainment).fold(1.0, f64::min)
    }

    /// The share of all models' items that came from `from_us` up to `until_us` and were done in time.
    pub fn attainment_between(&self, from_us: u64, until_us: u64) -> f64 {
        let bins = from_us / BIN_US..until_us.div_ceil(BIN_US);
        let all = self
            .models
            .iter()
            .flat_map(|model| bins.clone().filter_map(|bin| model.over_time.get(bin as usize)).copied());
        let (came, done) =
            all.fold((0, 0), |(came, done), (c, d)| (came + u64::from(c), done + u64::from(d)));
        if came == 0 { 1.0 } else { done as f64 / came as f64 }
    }
}
