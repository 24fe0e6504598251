//! The answer: which model runs where, in which stages and batches. Checked whole when it is made.

use serde::Serialize;
use thiserror::Error;

use crate::{Blocks, Cluster, ClusterError, EngineKind, Pipeline, Profile, ProfileError, Stage};

/// Where every model runs. Whoever holds one need not check it again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    cluster: Cluster,
    profiles: Vec<Profile>,
    pipelines: Vec<Pipeline>,
}

impl Plan {
    /// Checks and keeps a plan: every device exists, every pool is of one kind, the stages of a pipeline hold all blocks
    /// of the model once and in order, and throttled devices have a profile of what they run.
    pub fn new(
        cluster: Cluster,
        profiles: Vec<Profile>,
        pipelines: Vec<Pipeline>,
    ) -> Result<Self, PlanError> {
        for (at, profile) in profiles.iter().enumerate() {
            if profiles[..at].iter().any(|earlier| earlier.model() == profile.model()) {
                return Err(PlanError::DuplicateProfile { model: profile.model().to_owned() });
            }
            if let Some(kind) = profile.kinds().find(|kind| cluster.kind(kind).is_none()) {
                let known = list(cluster.kinds().iter().map(|kind| kind.name.as_str()));
                return Err(PlanError::UnknownKind {
                    model: profile.model().to_owned(),
                    kind: kind.to_owned(),
                    known,
                });
            }
        }
        let plan = Self { cluster, profiles, pipelines };
        for pipeline in &plan.pipelines {
            plan.check_pipeline(pipeline)?;
        }
        Ok(plan)
    }

    /// The plan where nothing was placed: every model is one stage on this machine's one device `cpu`, 16 items a launch.
    ///
    /// A batch on the processor gains nothing per item; it only saves messages.
    pub fn on_cpu(models: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let pipelines =
            models.into_iter().map(|model| Pipeline::whole(model.as_ref(), 16, ["cpu"])).collect();
        Self { cluster: Cluster::cpu(), profiles: Vec::new(), pipelines }
    }

    /// What there is to run on.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// All profiles.
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// The profile of a model, if it has one.
    pub fn profile(&self, model: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.model() == model)
    }

    /// All pipelines.
    pub fn pipelines(&self) -> &[Pipeline] {
        &self.pipelines
    }

    /// The pipelines of a model.
    pub fn pipelines_of(&self, model: &str) -> impl Iterator<Item = &Pipeline> {
        self.pipelines.iter().filter(move |pipeline| pipeline.model == model)
    }

    /// The kind of device that a stage runs on.
    pub fn kind_of(&self, stage: &Stage) -> Option<&crate::DeviceKind> {
        let device = self.cluster.device(stage.pool.devices.first()?)?;
        self.cluster.kind(&device.kind)
    }

    fn check_pipeline(&self, pipeline: &Pipeline) -> Result<(), PlanError> {
        let model = || pipeline.model.clone();
        if pipeline.batch == 0 {
            return Err(PlanError::NoBatch { model: model() });
        }
        if pipeline.stages.is_empty() {
            return Err(PlanError::NoStages { model: model() });
        }
        let profile = self.profile(&pipeline.model);
        let mut next = 0;
        for (stage_at, stage) in pipeline.stages.iter().enumerate() {
            self.check_pool(&pipeline.model, stage_at, stage, profile)?;
            match &stage.blocks {
                Blocks::Whole if pipeline.stages.len() == 1 => return Ok(()),
                Blocks::Whole => return Err(PlanError::NoBlocks { model: model(), stage: stage_at }),
                Blocks::Run(run) if run.start >= run.end => {
                    return Err(PlanError::EmptyBlocks {
                        model: model(),
                        stage: stage_at,
                        first: run.start,
                        end: run.end,
                    });
                }
                Blocks::Run(run) if run.start > next => {
                    return Err(PlanError::Gap { model: model(), stage: stage_at, first: run.start, next });
                }
                Blocks::Run(run) if run.start < next => {
                    return Err(PlanError::Overlap {
                        model: model(),
                        stage: stage_at,
                        first: run.start,
                        next,
                    });
                }
                Blocks::Run(run) => next = run.end,
            }
        }
        match profile.map(Profile::blocks) {
            Some(blocks) if blocks != next => Err(PlanError::Blocks { model: model(), end: next, blocks }),
            _ => Ok(()),
        }
    }

    fn check_pool(
        &self,
        model: &str,
        stage_at: usize,
        stage: &Stage,
        profile: Option<&Profile>,
    ) -> Result<(), PlanError> {
        let mut kind: Option<(&str, &str, EngineKind)> = None;
        for (at, name) in stage.pool.devices.iter().enumerate() {
            let found = self.cluster.device(name).and_then(|d| Some((d, self.cluster.kind(&d.kind)?)));
            let Some((device, of)) = found else {
                let known = list(self.cluster.devices().iter().map(|device| device.name.as_str()));
                return Err(PlanError::UnknownDevice {
                    model: model.to_owned(),
                    stage: stage_at,
                    device: name.clone(),
                    known,
                });
            };
            if stage.pool.devices[..at].contains(name) {
                return Err(PlanError::DeviceTwice {
                    model: model.to_owned(),
                    stage: stage_at,
                    device: name.clone(),
                });
            }
            match kind {
                Some((first, first_kind, _)) if first_kind != device.kind => {
                    let mixed =
                        format!("`{first}` of kind `{first_kind}` with `{name}` of kind `{}`", device.kind);
                    return Err(PlanError::MixedPool { model: model.to_owned(), stage: stage_at, mixed });
                }
                Some(_) => {}
                None => kind = Some((name, &device.kind, of.engine)),
            }
        }
        match kind {
            None => Err(PlanError::NoDevices { model: model.to_owned(), stage: stage_at }),
            Some((device, kind, engine))
                if engine.needs_profile() && !profile.is_some_and(|p| p.kinds().any(|k| k == kind)) =>
            {
                Err(PlanError::NoProfile {
                    model: model.to_owned(),
                    device: device.to_owned(),
                    kind: kind.to_owned(),
                    engine,
                })
            }
            Some(_) => Ok(()),
        }
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A plan that cannot be. `stage` counts from 0.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The cluster is wrong.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A profile is wrong.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Two profiles of one model.
    #[error("model `{model}` has two profiles; keep one")]
    DuplicateProfile {
        /// The model.
        model: String,
    },
    /// A profile for a kind that the cluster does not have.
    #[error("profile.{model}.latency_us.{kind}: the cluster has no kind `{kind}`; it has {known}")]
    UnknownKind {
        /// The model.
        model: String,
        /// What was named.
        kind: String,
        /// What there is.
        known: String,
    },
    /// A launch of nothing.
    #[error("model.{model}.batch is missing or 0; give 1 or more items a launch")]
    NoBatch {
        /// The model.
        model: String,
    },
    /// A model that runs nowhere.
    #[error(
        "model.{model} has no stage; give `pool = [\"a device\", …]`, or one `[[model.{model}.stage]]` or more"
    )]
    NoStages {
        /// The model.
        model: String,
    },
    /// A model that is placed in two ways at once.
    #[error(
        "model.{model} has {found}; a model has either `pool`, or `[[model.{model}.stage]]`, or `[[model.{model}.pipeline]]`: keep one"
    )]
    Ambiguous {
        /// The model.
        model: String,
        /// The fields found.
        found: String,
    },
    /// A stage that runs nowhere.
    #[error("model.{model}, stage {stage}: `pool` is empty; name at least one device")]
    NoDevices {
        /// The model.
        model: String,
        /// The stage.
        stage: usize,
    },
    /// A device that does not exist.
    #[error("model.{model}, stage {stage}: there is no device `{device}`; the cluster has {known}")]
    UnknownDevice {
        /// The model.
        model: String,
        /// The stage.
        stage: usize,
        /// What was named.
        device: String,
        /// What there is.
        known: String,
    },
    /// A device named twice in a pool.
    #[error("model.{model}, stage {stage}: device `{device}` is twice in `pool`; name it once")]
    DeviceTwice {
        /// The model.
        model: String,
        /// The stage.
        stage: usize,
        /// The device.
        device: String,
    },
    /// A pool of unlike devices.
    #[error(
        "model.{model}, stage {stage}: `pool` mixes {mixed}; a pool has one kind of device: give each kind a `[[model.{model}.pipeline]]` of its own"
    )]
    MixedPool {
        /// The model.
        model: String,
        /// The stage.
        stage: usize,
        /// Two of its devices with their kinds.
        mixed: String,
    },
    /// A stage of several that does not say which part of the model it is.
    #[error(
        "model.{model}, stage {stage}: `blocks` is missing; a model of several stages needs `blocks = [first, end]` in each"
    )]
    NoBlocks {
        /// The model.
        model: String,
        /// The stage.
        stage: usize,
    },
    /// A stage of no blocks.
    #[error(
        "model.{model}, stage {stage}: blocks = [{first}, {end}] holds nothing; the end is not included, so give an end above {first}"
    )]
    EmptyBlocks {
        /// The model.
        model: String,
        /// The stage.
        stage: usize,
        /// Its first block.
        first: u32,
        /// Its end.
        end: u32,
    },
    /// Blocks that nobody runs.
    #[error("model.{model}, stage {stage}: it starts at block {first}, but the stages before it end at {next}, so blocks {next} to {last} run nowhere; start it at {next}", last = first - 1)]
    Gap {
        /// The model.
        model: String,
        /// The stage.
        stage: usize,
        /// Its first block.
        first: u32,
        /// Where it should start.
        next: u32,
    },
    /// Blocks that two stages run.
    #[error("model.{model}, stage {stage}: it starts at block {first}, but the stages before it end at {next}, so blocks {first} to {last} would run twice; start it at {next}", last = next - 1)]
    Overlap {
        /// The model.
        model: String,
        /// The stage.
        stage: usize,
        /// Its first block.
        first: u32,
        /// Where it should start.
        next: u32,
    },
    /// Stages that are not the whole model.
    #[error(
        "model.{model}: its stages end at block {end}, but its profile has {blocks} blocks; let the last stage end at {blocks}"
    )]
    Blocks {
        /// The model.
        model: String,
        /// Where the stages end.
        end: u32,
        /// How many blocks there are.
        blocks: u32,
    },
    /// A device that takes its pace from a profile that is not there.
    #[error(
        "model.{model}: device `{device}` is {engine}, so it needs the latency of `{model}` on its kind; add `{kind} = {{ fixed = 400, per_item = 100 }}` (µs) to `[profile.{model}.latency_us]`"
    )]
    NoProfile {
        /// The model.
        model: String,
        /// The device.
        device: String,
        /// Its kind.
        kind: String,
        /// Its engine.
        engine: EngineKind,
    },
}
