//! The parts of a plan: pipelines, their stages, and the pools that run them.

use std::{fmt, ops::Range};

use serde::Serialize;

/// Which blocks of a model a stage runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Blocks {
    /// All of them, however many there are.
    Whole,
    /// From the first up to, but without, the end.
    Run(Range<u32>),
}

impl fmt::Display for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blocks::Whole => f.write_str("the whole model"),
            Blocks::Run(run) => write!(f, "blocks {} to {}", run.start, run.end.saturating_sub(1)),
        }
    }
}

/// Devices of one kind that share the work of a stage: any of them can take any batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// Names of its devices, none twice.
    pub devices: Vec<String>,
}

/// A run of blocks on a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// What it runs.
    pub blocks: Blocks,
    /// Where.
    pub pool: Pool,
}

/// One way through a model: its stages, one behind the other, all with the same batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pipeline {
    /// The model.
    pub model: String,
    /// Most items in a launch, ≥ 1.
    pub batch: u32,
    /// Its stages: together all blocks of the model, without gap or overlap.
    pub stages: Vec<Stage>,
}

impl Pipeline {
    /// The whole model as one stage on these devices.
    pub fn whole(
        model: impl Into<String>,
        batch: u32,
        devices: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let pool = Pool { devices: devices.into_iter().map(Into::into).collect() };
        Self { model: model.into(), batch, stages: vec![Stage { blocks: Blocks::Whole, pool }] }
    }
}
