//! From a placement to a plan that runs: every pool gets devices by name, server by server.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::{
    Blocks, Cluster, Device, DeviceKind, Pipeline, Placement, Plan, PlanError, Pool, Problem, Profile, Stage,
};

impl Placement {
    /// Names devices, in the cluster's order, so that the pools of a stage lie on as few servers as they can. A fraction is a
    /// device of its own: `L4-3` divided in two is `L4-3.1` and `L4-3.2` of kind `L4/2`. Devices without work stay idle.
    ///
    /// # Errors
    /// Where batches change from stage to stage, or the fractions do not go onto the devices.
    pub fn deploy(&self, problem: &Problem) -> Result<Plan, DeployError> {
        let mut free: BTreeMap<&str, std::vec::IntoIter<&Device>> = BTreeMap::new();
        for (kind, count) in problem.cluster().kinds().iter().zip(problem.counts()) {
            let devices = problem.cluster().devices().iter().filter(|device| device.kind == kind.name);
            let devices: Vec<&Device> = devices.take(*count as usize).collect();
            free.insert(&kind.name, devices.into_iter());
        }
        let mut kinds: BTreeMap<String, DeviceKind> = BTreeMap::new();
        let (mut devices, mut pipelines) = (Vec::new(), Vec::new());
        for model in &self.models {
            for route in &model.routes {
                let batch = route.stages.first().map_or(1, |stage| stage.batch);
                if route.stages.iter().any(|stage| stage.batch != batch) {
                    return Err(DeployError::Batches { model: model.model.clone() });
                }
                let mut stages = Vec::with_capacity(route.stages.len());
                for stage in &route.stages {
                    let on = stage.fraction();
                    let Some(of) = problem.cluster().kind(&on.kind) else {
                        return Err(DeployError::Kind { kind: on.kind });
                    };
                    kinds.entry(on.to_string()).or_insert_with(|| part_of(of, on.slices));
                    let mut pool = Vec::with_capacity(stage.count as usize);
                    while pool.len() < stage.count as usize {
                        let next = free.get_mut(on.kind.as_str()).and_then(Iterator::next);
                        let Some(device) = next else { return Err(DeployError::Packing { kind: on.kind }) };
                        for part in 1..=on.slices {
                            let name = match on.slices {
                                1 => device.name.clone(),
                                _ => format!("{}.{part}", device.name),
                            };
                            devices.push(Device { name: name.clone(), kind: on.to_string() });
                            if pool.len() < stage.count as usize {
                                pool.push(name);
                            }
                        }
                    }
                    stages.push(Stage {
                        blocks: Blocks::Run(stage.first_block..stage.end_block),
                        pool: Pool { devices: pool },
                    });
                }
                pipelines.push(Pipeline { model: model.model.clone(), batch, stages });
            }
        }
        for (kind, idle) in free {
            for device in idle {
                if let Some(of) = problem.cluster().kind(kind) {
                    kinds.entry(kind.to_owned()).or_insert_with(|| of.clone());
                }
                devices.push(device.clone());
            }
        }
        let profiles =
            problem.profiles().iter().filter_map(|profile| profile.on(|kind| kinds.contains_key(kind)));
        let profiles: Vec<Profile> = profiles.collect();
        let cluster = Cluster::new(kinds.into_values().collect(), devices).map_err(PlanError::from)?;
        Ok(Plan::new(cluster, profiles, pipelines)?)
    }
}

fn part_of(kind: &DeviceKind, slices: u32) -> DeviceKind {
    DeviceKind {
        name: crate::Fraction::new(kind.name.clone(), slices).to_string(),
        per_server: kind.per_server.saturating_mul(slices),
        cost: kind.cost / f64::from(slices),
        memory_bytes: kind.memory_bytes.map(|bytes| bytes / u64::from(slices)),
        ..kind.clone()
    }
}

/// A placement that cannot be given devices.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum DeployError {
    /// Batches that change from stage to stage.
    #[error(
        "a route of `{model}` changes its batch from stage to stage, which cannot run yet; plan without growing batches"
    )]
    Batches {
        /// The model.
        model: String,
    },
    /// A kind that the cluster does not have.
    #[error(
        "the placement uses devices of kind `{kind}`, of which the cluster has none; plan for this cluster"
    )]
    Kind {
        /// The kind.
        kind: String,
    },
    /// Fractions that do not go onto the devices.
    #[error(
        "there are not enough devices of kind `{kind}` once every pool has devices of its own; plan with whole-devices packing"
    )]
    Packing {
        /// The kind.
        kind: String,
    },
    /// The plan's own checks.
    #[error(transparent)]
    Plan(#[from] PlanError),
}
