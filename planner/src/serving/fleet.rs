//! What serves: devices, their links, and the ways of each model through them, as plain arrays that decisions are quick on.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::{Fraction, Placement, Plan, Stage};

/// Devices, links and models. Made of a [`Plan`], or by hand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fleet {
    /// Every device.
    pub devices: Vec<FleetDevice>,
    /// How many links there are. Each carries data in both directions at once.
    pub links: usize,
    /// Every model.
    pub models: Vec<FleetModel>,
}

/// A device, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetDevice {
    /// Its name.
    pub name: String,
    /// The kind of the whole device, by which use is counted.
    pub kind: String,
    /// Into how many equal parts the device is divided of which this is one, ≥ 1.
    pub parts: u32,
    /// The link on which it sends.
    pub uplink: usize,
    /// The link on which it receives.
    pub downlink: usize,
}

/// A model and the ways through it.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetModel {
    /// Its name.
    pub name: String,
    /// How soon an item is to be done, µs.
    pub slo_us: u64,
    /// Ways through it.
    pub pipelines: Vec<FleetPipeline>,
}

/// One way through a model.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetPipeline {
    /// Most items in a launch, ≥ 1.
    pub batch: usize,
    /// One behind the other, at least one.
    pub stages: Vec<FleetStage>,
    /// Whether it has no devices of its own and runs only on what others lend.
    pub overflow: bool,
}

/// A stage: any of its devices can take any launch.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetStage {
    /// Its devices, as places in [`Fleet::devices`].
    pub devices: Vec<u32>,
    /// Pools of other stages from which it may borrow what is idle, where its own devices would be too late.
    pub lent: Vec<Vec<u32>>,
    /// µs for a launch of 1, 2, … items, up to the batch.
    pub latency_us: Vec<u64>,
    /// µs to send an item to the next stage; 0 in the last.
    pub send_us: u64,
}

impl FleetPipeline {
    /// µs from the start of a launch of so many items to its end, where nothing waits.
    pub fn work_us(&self, items: usize) -> u64 {
        self.stages.iter().map(|stage| stage.len_us(items) + stage.send_us * items as u64).sum()
    }

    /// Items per second that its slowest stage does in full batches.
    pub fn rate_per_s(&self) -> f64 {
        let rate = |stage: &FleetStage| {
            stage.devices.len() as f64 * self.batch as f64 * 1e6 / stage.len_us(self.batch).max(1) as f64
        };
        self.stages.iter().map(rate).fold(f64::INFINITY, f64::min)
    }
}

impl FleetStage {
    /// µs for a launch of so many items; beyond what is known, as many full launches as it takes.
    pub fn len_us(&self, items: usize) -> u64 {
        match self.latency_us.get(items.wrapping_sub(1)) {
            Some(us) => *us,
            None => self.latency_us.last().map_or(0, |us| us * items.div_ceil(self.latency_us.len()) as u64),
        }
    }
}

impl Fleet {
    /// The devices of a plan, with the objectives of its models, µs.
    ///
    /// Devices share a link with those of their server: as many of a kind, one behind the other in the plan's order, as the kind has
    /// `per_server`. Latencies are whole µs, the sum of those of the blocks, each at least 1.
    ///
    /// # Errors
    /// Where a model has no profile or objective.
    pub fn new(plan: &Plan, slo_us: &BTreeMap<String, f64>) -> Result<Self, FleetError> {
        let mut fleet = Self::default();
        let mut of_kind: BTreeMap<&str, u32> = BTreeMap::new();
        let mut servers: BTreeMap<(&str, u32), usize> = BTreeMap::new();
        for device in plan.cluster().devices() {
            let before = of_kind.entry(&device.kind).or_default();
            let per_server = plan.cluster().kind(&device.kind).map_or(1, |kind| kind.per_server.max(1));
            let links = servers.len();
            let link = *servers.entry((&device.kind, *before / per_server)).or_insert(links);
            *before += 1;
            let fraction = device.kind.parse().unwrap_or_else(|_| Fraction::new(device.kind.clone(), 1));
            fleet.devices.push(FleetDevice {
                name: device.name.clone(),
                kind: fraction.kind,
                parts: fraction.slices,
                uplink: link,
                downlink: link,
            });
        }
        fleet.links = servers.len();
        let places: BTreeMap<&str, u32> =
            plan.cluster().devices().iter().map(|device| device.name.as_str()).zip(0..).collect();
        for pipeline in plan.pipelines() {
            let model = &pipeline.model;
            let unknown = || FleetError::NoProfile { model: model.clone() };
            let slo = slo_us.get(model).filter(|us| us.is_finite() && **us >= 1.0);
            let slo = slo.ok_or_else(|| FleetError::NoSlo { model: model.clone() })?;
            let profile = plan.profile(model).ok_or_else(unknown)?;
            let mut stages = Vec::with_capacity(pipeline.stages.len());
            for (at, stage) in pipeline.stages.iter().enumerate() {
                let kind = plan.kind_of(stage).ok_or_else(unknown)?;
                let latency = |items| profile.latency_us(&kind.name, &stage.blocks, items);
                let latency_us: Option<Vec<u64>> = (1..=pipeline.batch)
                    .map(|items| latency(items).map(|us| us.round().max(1.0) as u64))
                    .collect();
                let devices = stage.pool.devices.iter().filter_map(|name| places.get(name.as_str()).copied());
                stages.push(FleetStage {
                    devices: devices.collect(),
                    lent: Vec::new(),
                    latency_us: latency_us.ok_or_else(unknown)?,
                    send_us: if at + 1 < pipeline.stages.len() { send_us(plan, profile, stage) } else { 0 },
                });
            }
            let way = FleetPipeline { batch: pipeline.batch as usize, stages, overflow: false };
            match fleet.models.iter_mut().find(|known| known.name == *model) {
                Some(known) => known.pipelines.push(way),
                None => fleet.models.push(FleetModel {
                    name: model.clone(),
                    slo_us: slo.round() as u64,
                    pipelines: vec![way],
                }),
            }
        }
        Ok(fleet)
    }

    /// Takes the latency of uncut models where the placement, of which the plan was made, was planned by it: what a plan names of devices
    /// holds only the sum of the blocks.
    pub fn uncut_as_planned(mut self, placement: &Placement) -> Self {
        for (model, placed) in self.models.iter_mut().zip(&placement.models) {
            for (way, route) in model.pipelines.iter_mut().zip(&placed.routes) {
                let ([stage], [planned]) = (way.stages.as_mut_slice(), route.stages.as_slice()) else {
                    continue;
                };
                if planned.whole_latency && model.name == placed.model {
                    let whole = planned.latency_us.round().max(1.0) as u64;
                    stage.latency_us.iter_mut().for_each(|us| *us = whole.min(*us));
                }
            }
        }
        self
    }

    /// Lets every stage borrow idle devices of its kind from other stages. A part of a device is never lent, since its latency was
    /// measured only beside equal work.
    pub fn lending(mut self) -> Self {
        let stages = self.models.iter().flat_map(|model| &model.pipelines).flat_map(|way| &way.stages);
        let pools: Vec<Vec<u32>> =
            stages.map(|stage| stage.devices.clone()).filter(|pool| !pool.is_empty()).collect();
        let of = |pool: &[u32]| pool.first().map(|device| &self.devices[*device as usize]);
        let alike = |one: &[u32], other: &[u32]| match (of(one), of(other)) {
            (Some(one), Some(other)) => one.kind == other.kind && one.parts == 1 && other.parts == 1,
            _ => false,
        };
        let lent = |stage: &FleetStage| -> Vec<Vec<u32>> {
            // What only overflows has every device of its kind so far.
            let mine = stage.lent.first().unwrap_or(&stage.devices);
            pools.iter().filter(|pool| **pool != stage.devices && alike(mine, pool)).cloned().collect()
        };
        let stages = self.models.iter().flat_map(|model| &model.pipelines).flat_map(|way| &way.stages);
        let lent: Vec<Vec<Vec<u32>>> = stages.map(lent).collect();
        let stages =
            self.models.iter_mut().flat_map(|model| &mut model.pipelines).flat_map(|way| &mut way.stages);
        stages.zip(lent).for_each(|(stage, lent)| stage.lent = lent);
        self
    }

    /// Gives each model a way to run whole on what is idle of every kind of device on which it is quick enough: in the batch that does
    /// most per second of those that leave a fifth of the objective for waiting. To be followed by [`lending`](Self::lending).
    pub fn overflowing(mut self, plan: &Plan) -> Self {
        for model in &mut self.models {
            let Some(profile) = plan.profile(&model.name) else { continue };
            let whole = crate::Blocks::Run(0..profile.blocks());
            for kind in profile.kinds().filter(|kind| !kind.contains('/')) {
                let latency =
                    |items: u32| Some(profile.latency_us(kind, &whole, items)?.round().max(1.0) as u64);
                let most = profile.batches(kind).unwrap_or(1);
                let latency_us: Option<Vec<u64>> = (1..=most).map(latency).collect();
                let Some(mut latency_us) = latency_us else { continue };
                let quick = latency_us.iter().enumerate().filter(|(_, us)| **us * 5 <= model.slo_us * 4);
                let best =
                    quick.min_by(|(a, x), (b, y)| (**x * (*b as u64 + 1)).cmp(&(**y * (*a as u64 + 1))));
                let Some(batch) = best.map(|(at, _)| at + 1) else { continue };
                latency_us.truncate(batch);
                let pools: Vec<Vec<u32>> = vec![
                    self.devices
                        .iter()
                        .zip(0..)
                        .filter(|(of, _)| of.kind == kind && of.parts == 1)
                        .map(|(_, at)| at)
                        .collect(),
                ];
                let stage = FleetStage { devices: Vec::new(), lent: pools, latency_us, send_us: 0 };
                model.pipelines.push(FleetPipeline { batch, stages: vec![stage], overflow: true });
            }
        }
        self
    }

    /// Checks what was made by hand.
    ///
    /// # Errors
    /// With what is wrong, and where.
    pub fn check(&self) -> Result<(), FleetError> {
        let bad = |what: String| Err(FleetError::Broken { what });
        if self.models.is_empty() {
            return bad("it has no model".to_owned());
        }
        for device in &self.devices {
            if device.uplink >= self.links || device.downlink >= self.links || device.parts == 0 {
                return bad(format!("device `{}` has no link, or is no part of a device", device.name));
            }
        }
        for model in &self.models {
            for (way, pipeline) in model.pipelines.iter().enumerate() {
                let wrong = |stage: &FleetStage| {
                    stage.devices.is_empty() != pipeline.overflow
                        || stage.latency_us.len() < pipeline.batch
                        || stage.latency_us.contains(&0)
                        || stage
                            .devices
                            .iter()
                            .chain(stage.lent.iter().flatten())
                            .any(|at| *at as usize >= self.devices.len())
                };
                if pipeline.batch == 0 || pipeline.stages.is_empty() || pipeline.stages.iter().any(wrong) {
                    return bad(format!(
                        "pipeline {way} of `{}` has no batch, or a stage without known devices or latencies",
                        model.name
                    ));
                }
            }
        }
        Ok(())
    }
}

/// µs to send an item from that stage to the next one: 8 · bytes ÷ bandwidth, rounded.
fn send_us(plan: &Plan, profile: &crate::Profile, stage: &Stage) -> u64 {
    let crate::Blocks::Run(run) = &stage.blocks else { return 0 };
    let bytes = run.end.checked_sub(1).and_then(|last| profile.cut_bytes(last));
    let link = plan.kind_of(stage).and_then(|kind| kind.link);
    match (bytes, link) {
        (Some(bytes), Some(link)) => (bytes as f64 * 8.0 / (link.gbps * 1e3)).round() as u64,
        _ => 0,
    }
}

/// A fleet that cannot serve.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FleetError {
    /// A model whose latency is not known.
    #[error(
        "model `{model}` has no profile for the devices that it is placed on; add `[profile.{model}.latency_us]` to the plan"
    )]
    NoProfile {
        /// The model.
        model: String,
    },
    /// A model that need not be done at any time.
    #[error("model `{model}` has no deadline; give one, e.g.:  --slo {model}=50ms")]
    NoSlo {
        /// The model.
        model: String,
    },
    /// Made by hand and wrong.
    #[error("this fleet cannot serve: {what}; correct it")]
    Broken {
        /// What is wrong.
        what: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"
        kind.low = { engine = "throttled", devices = 5, per_server = 2, link_gbps = 8 }
        kind.high = { engine = "throttled", devices = 2 }
        profile.a = { latency_us.low = [[100, 150], [10, 20]], latency_us.high = [[50, 60], [5, 6]], cut_bytes = [1000] }
        profile.b = { latency_us.low = [[40, 70]], latency_us.high = [[1, 2]] }
        [model.a]
        batch = 2
        [[model.a.stage]]
        blocks = [0, 1]
        pool = ["low-1", "low-2", "low-3"]
        [[model.a.stage]]
        blocks = [1, 2]
        pool = ["high-1"]
        [model.b]
        batch = 1
        pool = ["low-4", "low-5"]
    "#;

    fn fleet() -> (Plan, Fleet) {
        let plan = Plan::from_toml(PLAN, "plan.toml").unwrap();
        let slo_us = BTreeMap::from([("a".to_owned(), 1000.0), ("b".to_owned(), 45.0)]);
        let fleet = Fleet::new(&plan, &slo_us).unwrap();
        assert_eq!(fleet.check(), Ok(()));
        (plan, fleet)
    }

    #[test]
    fn servers_share_links_and_stages_know_their_times() {
        let (_, fleet) = fleet();
        let low: Vec<usize> =
            fleet.devices.iter().filter(|of| of.kind == "low").map(|of| of.uplink).collect();
        assert_eq!(
            low.iter().map(|link| low.iter().filter(|other| *other == link).count()).collect::<Vec<_>>(),
            [2, 2, 2, 2, 1]
        );
        let way = &fleet.models[0].pipelines[0];
        assert_eq!((way.stages[0].latency_us.as_slice(), way.stages[0].send_us), (&[100, 150][..], 1));
        assert_eq!((way.stages[1].latency_us.as_slice(), way.stages[1].send_us), (&[5, 6][..], 0));
        assert_eq!((way.work_us(1), way.work_us(2)), (106, 158));
        assert_eq!(way.rate_per_s(), 40_000.0);
        assert_eq!((way.stages[0].len_us(3), way.stages[0].len_us(4)), (300, 300));
    }

    #[test]
    fn whole_devices_of_one_kind_are_lent_and_models_overflow_where_they_are_quick_enough() {
        let (plan, fleet) = fleet();
        let fleet = fleet.overflowing(&plan).lending();
        assert_eq!(fleet.check(), Ok(()));
        let names = |pools: &[Vec<u32>]| -> Vec<String> {
            pools.iter().flatten().map(|at| fleet.devices[*at as usize].name.clone()).collect()
        };
        assert_eq!(names(&fleet.models[0].pipelines[0].stages[0].lent), ["low-4", "low-5"]);
        // 40 of 45 µs leave too little on the low kind; on the high one the larger batch does no more per item.
        let of_b: Vec<(bool, usize, &str)> = fleet.models[1]
            .pipelines
            .iter()
            .map(|way| {
                let stage = &way.stages[0];
                let first = stage.devices.first().or(stage.lent[0].first()).unwrap();
                (way.overflow, way.batch, fleet.devices[*first as usize].kind.as_str())
            })
            .collect();
        assert_eq!(of_b, [(false, 1, "low"), (true, 1, "high")]);
    }

    #[test]
    fn what_cannot_serve_is_refused_with_what_to_do() {
        let plan = Plan::from_toml(PLAN, "plan.toml").unwrap();
        let error = Fleet::new(&plan, &BTreeMap::from([("a".to_owned(), 1.0)])).unwrap_err();
        assert_eq!(error.to_string(), "model `b` has no deadline; give one, e.g.:  --slo b=50ms");
        let error = Fleet::new(&Plan::on_cpu(["m"]), &BTreeMap::from([("m".to_owned(), 1e3)])).unwrap_err();
        assert!(error.to_string().contains("add `[profile.m.latency_us]`"), "{error}");
        let (_, mut fleet) = fleet();
        fleet.models[0].pipelines[0].stages[0].latency_us.pop();
        assert!(fleet.check().unwrap_err().to_string().contains("pipeline 0 of `a`"));
    }
}
