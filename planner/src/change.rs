//! What is different between two placements: which pools grow, which shrink, and how many devices take up other work.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::{Fraction, Placement};

/// A pool whose size is not the same in two placements. Counts are virtual devices.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoolChange {
    /// The model.
    pub model: String,
    /// What its devices are.
    pub on: Fraction,
    /// The first block that they run.
    pub first_block: u32,
    /// The block behind the last.
    pub end_block: u32,
    /// How many there were.
    pub before: u32,
    /// How many there will be.
    pub after: u32,
}

impl fmt::Display for PoolChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, on, first_block, end_block, before, after } = self;
        let more = i64::from(*after) - i64::from(*before);
        write!(f, "{model} [{first_block}..{end_block}) on {on}: {before} → {after} ({more:+})")
    }
}

/// The pools whose size changes, by model. Routes that run the same blocks of a model on the same fraction of the same kind
/// share their devices: nothing is loaded where a device goes from one to the other.
pub fn changes(before: &Placement, after: &Placement) -> Vec<PoolChange> {
    let (old, new) = (pools(before), pools(after));
    let mut keys: Vec<_> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    let change = |key: &Pool| {
        let count = |pools: &BTreeMap<Pool, u32>| pools.get(key).copied().unwrap_or(0);
        let (model, on, first_block, end_block) = key.clone();
        PoolChange { model, on, first_block, end_block, before: count(&old), after: count(&new) }
    };
    keys.into_iter().map(change).filter(|change| change.before != change.after).collect()
}

/// Devices that have to take up work that they do not do now: what a change of plans costs.
pub fn moved(before: &Placement, after: &Placement) -> f64 {
    let grown = changes(before, after).into_iter().map(|change| {
        f64::from(change.after.saturating_sub(change.before)) / f64::from(change.on.slices.max(1))
    });
    grown.sum()
}

type Pool = (String, Fraction, u32, u32);

fn pools(placement: &Placement) -> BTreeMap<Pool, u32> {
    let mut pools = BTreeMap::new();
    for model in &placement.models {
        for stage in model.routes.iter().flat_map(|route| &route.stages) {
            let pool = (model.model.clone(), stage.fraction(), stage.first_block, stage.end_block);
            let count: &mut u32 = pools.entry(pool).or_default();
            *count = count.saturating_add(stage.count);
        }
    }
    pools
}
