//! From a plan and the models of a workflow to what is prepared on which device. Pure: nothing runs yet.

use std::{sync::Arc, time::Duration};

use eddyline_planner::{Blocks, EngineKind, Pipeline, Plan, Stage};

use super::{ServeError, ServedModel, division::Division};
use crate::{
    clock::Clock,
    engine::{
        Engine, StageModel,
        cpu::Cpu,
        found::{memory_bytes, open},
        thread::Prepare,
        throttled::{Pace, Throttled},
    },
    onnx::OnnxModel,
};

/// Every device with its stages, every model with its ways through them.
pub(crate) struct Placement {
    pub devices: Vec<PlacedDevice>,
    pub models: Vec<PlacedModel>,
}

pub(crate) struct PlacedDevice {
    pub name: Arc<str>,
    pub engine: EngineKind,
    /// What is to be prepared; a stage's place in it is its session.
    pub prepare: Vec<Prepare>,
    /// For each session its model, and how the page calls it: `heavy 1/2`.
    pub sessions: Vec<(Arc<str>, String)>,
    /// How much memory it has: what the plan says, or what the machine has.
    pub memory_bytes: Option<u64>,
}

pub(crate) struct PlacedModel {
    pub name: Arc<str>,
    pub pipelines: Vec<PlacedPipeline>,
}

pub(crate) struct PlacedPipeline {
    pub batch: u32,
    pub stages: Vec<PlacedStage>,
}

pub(crate) struct PlacedStage {
    pub places: Vec<Place>,
}

/// A stage on a device.
pub(crate) struct Place {
    pub device: usize,
    pub session: usize,
    /// The profiled time of a launch; `None` where it was not measured.
    pub pace: Option<Pace>,
}

impl Placement {
    pub fn new(plan: &Plan, models: &[ServedModel], clock: &Clock) -> Result<Self, ServeError> {
        let mut placement = Self { devices: Vec::new(), models: Vec::new() };
        for (at, model) in models.iter().enumerate() {
            if models[..at].iter().any(|earlier| earlier.name() == model.name()) {
                return Err(ServeError::DuplicateModel { model: model.name().to_owned() });
            }
            let name: Arc<str> = model.name().into();
            let mut parts = match model {
                ServedModel::Onnx { name, model } => {
                    Some(Division::new(plan, name, model).map_err(|why| uncut(plan, name, model, why))?)
                }
                ServedModel::Blocks { .. } | ServedModel::Function { .. } => None,
            };
            let mut pipelines = Vec::new();
            for pipeline in plan.pipelines_of(&name) {
                check(model, pipeline)?;
                let mut stages = Vec::with_capacity(pipeline.stages.len());
                for stage in &pipeline.stages {
                    stages.push(match (&mut parts, model) {
                        (Some(parts), ServedModel::Onnx { name, model }) => {
                            let part = parts.stage(&stage.blocks);
                            StageModel::Onnx(vec![part.map_err(|why| uncut(plan, name, model, why))?])
                        }
                        _ => model.stage(&stage.blocks)?,
                    });
                }
                pipelines.push(placement.place(plan, &name, stages, pipeline, clock)?);
            }
            if pipelines.is_empty() {
                let mut placed: Vec<String> =
                    plan.pipelines().iter().map(|p| format!("`{}`", p.model)).collect();
                placed.dedup();
                return Err(ServeError::NotPlaced { model: name.to_string(), placed: placed.join(", ") });
            }
            placement.models.push(PlacedModel { name, pipelines });
        }
        placement.check_memory(plan)?;
        Ok(placement)
    }

    fn place(
        &mut self,
        plan: &Plan,
        name: &Arc<str>,
        models: Vec<StageModel>,
        pipeline: &Pipeline,
        clock: &Clock,
    ) -> Result<PlacedPipeline, ServeError> {
        let mut stages = Vec::with_capacity(pipeline.stages.len());
        for (at, (stage, stage_model)) in pipeline.stages.iter().zip(models).enumerate() {
            let label = format!("{name} {}/{}", at + 1, pipeline.stages.len());
            let mut places = Vec::with_capacity(stage.pool.devices.len());
            for device in &stage.pool.devices {
                let unplaced = || ServeError::NotPlaced { model: name.to_string(), placed: String::new() };
                let kind = plan.kind_of(stage).ok_or_else(unplaced)?;
                let pace = pace(plan, name, stage, &kind.name);
                let engine: Arc<dyn Engine> = match (kind.engine, &pace) {
                    (EngineKind::Cpu, _) => Arc::new(Cpu),
                    (EngineKind::Throttled, Some(pace)) => {
                        Arc::new(Throttled::new(Arc::new(Cpu), clock.clone(), pace.clone()))
                    }
                    (engine, _) => open(engine).map_err(|why| {
                        let (device, engine) = (device.clone(), engine.name());
                        ServeError::Engine { device, engine, why }
                    })?,
                };
                let at = self.device(device, kind.engine);
                let placed = &mut self.devices[at];
                places.push(Place { device: at, session: placed.prepare.len(), pace });
                let batch = pipeline.batch as usize;
                placed.prepare.push(Prepare { engine, stage: stage_model.clone(), batch });
                placed.sessions.push((name.clone(), label.clone()));
            }
            stages.push(PlacedStage { places });
        }
        Ok(PlacedPipeline { batch: pipeline.batch, stages })
    }

    /// Finds out how much memory each device has, and whether the weights on it fit.
    fn check_memory(&mut self, plan: &Plan) -> Result<(), ServeError> {
        for device in &mut self.devices {
            let kind = plan.cluster().device(&device.name).and_then(|of| plan.cluster().kind(&of.kind));
            // All engines so far run on this machine's processor.
            device.memory_bytes = kind.and_then(|kind| kind.memory_bytes).or_else(memory_bytes);
            device.check_memory(0)?;
        }
        Ok(())
    }

    fn device(&mut self, name: &str, engine: EngineKind) -> usize {
        if let Some(at) = self.devices.iter().position(|device| &*device.name == name) {
            return at;
        }
        self.devices.push(PlacedDevice {
            name: name.into(),
            engine,
            prepare: Vec::new(),
            sessions: Vec::new(),
            memory_bytes: None,
        });
        self.devices.len() - 1
    }
}

impl PlacedDevice {
    /// Bytes of the models on it.
    pub fn weight_bytes(&self) -> u64 {
        self.prepare.iter().map(|of| of.stage.bytes()).sum()
    }

    /// Whether the weights on it and a launch of so many bytes fit into it.
    pub fn check_memory(&self, call_bytes: u64) -> Result<(), ServeError> {
        let weight_bytes = self.weight_bytes();
        match self.memory_bytes {
            Some(has) if weight_bytes.saturating_add(call_bytes) > has => {
                Err(ServeError::Memory { device: self.name.to_string(), weight_bytes, call_bytes, has })
            }
            _ => Ok(()),
        }
    }

    /// Whether stages of several models are on it, so that these compete.
    pub fn is_shared(&self) -> bool {
        self.sessions.iter().any(|(model, _)| *model != self.sessions[0].0)
    }
}

/// The profiled time of every batch, where there is a profile.
fn pace(plan: &Plan, model: &str, stage: &Stage, kind: &str) -> Option<Pace> {
    let profile = plan.profile(model)?.clone();
    let (blocks, kind) = (stage.blocks.clone(), kind.to_owned());
    profile.latency_us(&kind, &blocks, 1)?;
    Some(Arc::new(move |items: usize| {
        let batch = u32::try_from(items).unwrap_or(u32::MAX);
        let us = profile.latency_us(&kind, &blocks, batch).unwrap_or(0.0);
        Duration::from_nanos((us * 1000.0) as u64)
    }))
}

impl ServedModel {
    fn stage(&self, blocks: &Blocks) -> Result<StageModel, ServeError> {
        match (self, blocks) {
            (ServedModel::Function { .. }, _) => Ok(StageModel::Function),
            // Those are divided.
            (ServedModel::Onnx { model, .. }, _) => Ok(StageModel::Onnx(vec![model.clone()])),
            (ServedModel::Blocks { blocks, .. }, Blocks::Whole) => Ok(StageModel::Onnx(blocks.clone())),
            (ServedModel::Blocks { name, blocks }, Blocks::Run(run)) => blocks
                .get(run.start as usize..run.end as usize)
                .map(|run| StageModel::Onnx(run.to_vec()))
                .ok_or_else(|| ServeError::BlockCount {
                    model: name.clone(),
                    planned: run.end,
                    has: blocks.len(),
                }),
        }
    }
}

fn uncut(plan: &Plan, name: &str, model: &OnnxModel, why: String) -> ServeError {
    let stages = plan.pipelines_of(name).map(|pipeline| pipeline.stages.len()).max().unwrap_or(1);
    ServeError::Uncut { model: name.to_owned(), file: model.file().to_owned(), stages, why }
}

/// Whether a model can be cut as its pipeline says.
fn check(model: &ServedModel, pipeline: &Pipeline) -> Result<(), ServeError> {
    let stages = pipeline.stages.len();
    match model {
        ServedModel::Function { name } if stages > 1 => {
            Err(ServeError::FunctionStages { model: name.clone(), stages })
        }
        ServedModel::Blocks { name, blocks } => {
            let end = pipeline.stages.iter().filter_map(|stage| match &stage.blocks {
                Blocks::Whole => None,
                Blocks::Run(run) => Some(run.end),
            });
            match end.max() {
                Some(planned) if planned as usize != blocks.len() => {
                    Err(ServeError::BlockCount { model: name.clone(), planned, has: blocks.len() })
                }
                _ => check_boundaries(name, blocks),
            }
        }
        ServedModel::Onnx { .. } | ServedModel::Function { .. } => Ok(()),
    }
}

/// What a block gives must be what the next one takes.
fn check_boundaries(name: &str, blocks: &[Arc<OnnxModel>]) -> Result<(), ServeError> {
    if blocks.is_empty() {
        return Err(ServeError::BlockCount { model: name.to_owned(), planned: 1, has: 0 });
    }
    for pair in blocks.windows(2) {
        let (gives, takes) = (pair[0].outputs(), pair[1].inputs());
        let fits = gives.len() == takes.len()
            && gives.iter().zip(takes).all(|(give, take)| give.name == take.name && give.dtype == take.dtype);
        if !fits {
            return Err(ServeError::Boundary {
                model: name.to_owned(),
                gives: format!("{:?}", pair[0]),
                takes: format!("{:?}", pair[1]),
            });
        }
    }
    Ok(())
}
