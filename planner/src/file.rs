//! A plan as a TOML file: what a person writes, and the only I/O of this crate.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use thiserror::Error;

use crate::{
    Blocks, Cluster, ClusterError, Device, DeviceKind, EngineKind, Latency, Link, Pipeline, Plan, PlanError,
    Pool, Profile, Stage, cluster::numbered,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    kind: BTreeMap<String, KindSection>,
    #[serde(default)]
    profile: BTreeMap<String, ProfileSection>,
    model: BTreeMap<String, ModelSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClusterFile {
    kind: BTreeMap<String, KindSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KindSection {
    engine: EngineKind,
    devices: Devices,
    per_server: Option<u32>,
    link_gbps: Option<f64>,
    cost: Option<f64>,
    memory_bytes: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a list of names, or how many there are")]
enum Devices {
    Named(Vec<String>),
    Count(u32),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileSection {
    latency_us: BTreeMap<String, Latencies>,
    #[serde(default)]
    cut_bytes: Vec<u64>,
    #[serde(default)]
    cuts: Vec<Vec<String>>,
}

/// A model of one block gives its latency without a list around it.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "µs for a batch of 1, 2, 3… as a list, or `{ fixed = µs, per_item = µs }`, or a list of these, one per block"
)]
enum Latencies {
    One(Latency),
    Blocks(Vec<Latency>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelSection {
    batch: Option<u32>,
    pool: Option<Vec<String>>,
    stage: Option<Vec<StageSection>>,
    pipeline: Option<Vec<PipelineSection>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PipelineSection {
    batch: u32,
    pool: Option<Vec<String>>,
    stage: Option<Vec<StageSection>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StageSection {
    blocks: Option<[u32; 2]>,
    pool: Vec<String>,
}

impl Plan {
    /// Reads a plan from a TOML file; the format is shown at [`Plan::from_toml`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let (text, file) = read(path.as_ref())?;
        Self::from_toml(&text, &file)
    }

    /// Reads a plan from TOML; `file` is what error messages call it.
    ///
    /// ```
    /// use eddyline_planner::Plan;
    ///
    /// let plan = Plan::from_toml(
    ///     r#"
    ///     [kind.slow]                          # devices of one kind are equally fast
    ///     engine = "throttled"                 # or "cpu", or "onnxruntime"
    ///     devices = ["slow-1", "slow-2"]
    ///
    ///     [kind.fast]
    ///     engine = "throttled"
    ///     devices = ["fast"]
    ///
    ///     [profile.light.latency_us]           # µs for a launch of b items: fixed + b × per_item
    ///     slow = { fixed = 400, per_item = 100 }
    ///
    ///     [profile.heavy.latency_us]           # or measured: µs for a launch of 1, 2, 3… items
    ///     fast = [900, 1000, 1100, 1200, 1300, 1400, 1500, 1600]
    ///
    ///     [model.light]                        # any free device of the pool takes the next launch
    ///     batch = 16
    ///     pool = ["slow-1", "slow-2"]
    ///
    ///     [model.heavy]
    ///     batch = 8
    ///     pool = ["fast"]
    ///     "#,
    ///     "plan.toml",
    /// )?;
    /// assert_eq!(plan.pipelines().len(), 2);
    /// # Ok::<(), eddyline_planner::LoadError>(())
    /// ```
    ///
    /// A model in several stages has, in place of `pool`, one `[[model.NAME.stage]]` per stage with `pool` and
    /// `blocks = [first, end]` (the end is not included); its profile has a latency per block, and may say in `cuts` which tensors
    /// cross behind each block but the last, as `eddyline profile` writes it. A model that runs in
    /// several ways at once has one `[[model.NAME.pipeline]]` per way, each with `batch` and `pool` or `stage`.
    pub fn from_toml(text: &str, file: &str) -> Result<Self, LoadError> {
        let parsed: PlanFile = parse(text, file, "plan")?;
        parsed.into_plan().map_err(|error| LoadError::Plan { file: file.to_owned(), error: Box::new(error) })
    }
}

impl Cluster {
    /// Reads a cluster from a TOML file that has only the `[kind.NAME]` sections of a plan.
    ///
    /// A section has `engine`, and `devices`: a list of names, or how many there are. It may have `per_server` (devices
    /// that share a server's link), `link_gbps` (that link, Gbit/s), `cost` (per device) and `memory_bytes`.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let (text, file) = read(path.as_ref())?;
        let parsed: ClusterFile = parse(&text, &file, "cluster")?;
        cluster(parsed.kind).map_err(|error| LoadError::Plan { file, error: Box::new(error.into()) })
    }
}

impl PlanFile {
    fn into_plan(self) -> Result<Plan, PlanError> {
        let cluster = cluster(self.kind)?;
        let mut profiles = Vec::with_capacity(self.profile.len());
        for (model, section) in self.profile {
            let latency_us = section.latency_us.into_iter().map(|(kind, latencies)| match latencies {
                Latencies::One(latency) => (kind, vec![latency]),
                Latencies::Blocks(blocks) => (kind, blocks),
            });
            let profile = Profile::new(model, latency_us.collect(), section.cut_bytes)?;
            profiles.push(if section.cuts.is_empty() { profile } else { profile.with_cuts(section.cuts)? });
        }
        let mut pipelines = Vec::new();
        for (model, section) in self.model {
            section.into_pipelines(model, &mut pipelines)?;
        }
        Plan::new(cluster, profiles, pipelines)
    }
}

impl ModelSection {
    fn into_pipelines(self, model: String, pipelines: &mut Vec<Pipeline>) -> Result<(), PlanError> {
        let Some(several) = self.pipeline else {
            let batch = self.batch.unwrap_or(0);
            pipelines.push(pipeline(model, batch, self.pool, self.stage)?);
            return Ok(());
        };
        let beside =
            [("batch", self.batch.is_some()), ("pool", self.pool.is_some()), ("stage", self.stage.is_some())];
        if let Some((field, _)) = beside.iter().find(|(_, given)| *given) {
            return Err(PlanError::Ambiguous { model, found: format!("`pipeline` and `{field}`") });
        }
        if several.is_empty() {
            return Err(PlanError::NoStages { model });
        }
        for section in several {
            pipelines.push(pipeline(model.clone(), section.batch, section.pool, section.stage)?);
        }
        Ok(())
    }
}

fn pipeline(
    model: String,
    batch: u32,
    pool: Option<Vec<String>>,
    stages: Option<Vec<StageSection>>,
) -> Result<Pipeline, PlanError> {
    match (pool, stages) {
        (Some(_), Some(_)) => Err(PlanError::Ambiguous { model, found: "`pool` and `stage`".to_owned() }),
        (None, None) => Err(PlanError::NoStages { model }),
        (Some(devices), None) => Ok(Pipeline::whole(model, batch, devices)),
        (None, Some(sections)) => {
            let stages = sections.into_iter().map(|section| Stage {
                blocks: section.blocks.map_or(Blocks::Whole, |[first, end]| Blocks::Run(first..end)),
                pool: Pool { devices: section.pool },
            });
            Ok(Pipeline { model, batch, stages: stages.collect() })
        }
    }
}

fn cluster(sections: BTreeMap<String, KindSection>) -> Result<Cluster, ClusterError> {
    let mut kinds = Vec::with_capacity(sections.len());
    let mut devices = Vec::new();
    for (name, section) in sections {
        match section.devices {
            Devices::Named(names) => {
                devices.extend(names.into_iter().map(|device| Device { name: device, kind: name.clone() }));
            }
            Devices::Count(count) => devices.extend(numbered(&name, count)?),
        }
        kinds.push(DeviceKind {
            per_server: section.per_server.unwrap_or(1),
            link: section.link_gbps.map(|gbps| Link { gbps }),
            cost: section.cost.unwrap_or(1.0),
            memory_bytes: section.memory_bytes,
            ..DeviceKind::new(name, section.engine)
        });
    }
    Cluster::new(kinds, devices)
}

fn read(path: &Path) -> Result<(String, String), LoadError> {
    let file = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => Ok((text, file)),
        Err(error) => Err(LoadError::Read { file, error }),
    }
}

fn parse<T: for<'de> Deserialize<'de>>(text: &str, file: &str, what: &'static str) -> Result<T, LoadError> {
    let failed = |message: String| LoadError::Toml { file: file.to_owned(), what, message };
    if text.trim().is_empty() {
        return Err(failed("it is empty; write sections such as `[kind.cpu]` into it".to_owned()));
    }
    toml::from_str(text).map_err(|error| failed(error.to_string().trim_end().to_owned()))
}

/// A file that could not be used.
#[derive(Debug, Error)]
pub enum LoadError {
    /// It could not be read.
    #[error("cannot read `{file}`: {error}; check the path and that the file is UTF-8 text")]
    Read {
        /// The file.
        file: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// It is no TOML, or has a field that means nothing or one of the wrong type.
    #[error("`{file}` is not a {what}: {message}")]
    Toml {
        /// The file.
        file: String,
        /// What was wanted: a plan or a cluster.
        what: &'static str,
        /// Line, column and what was expected.
        message: String,
    },
    /// It reads well and means something impossible.
    #[error("`{file}`: {error}")]
    Plan {
        /// The file.
        file: String,
        /// What is wrong.
        error: Box<PlanError>,
    },
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const FIRST_EXAMPLE: &str = r#"
        [kind.slow]
        engine = "throttled"
        devices = ["slow-1", "slow-2"]

        [kind.fast]
        engine = "throttled"
        devices = ["fast"]

        [profile.light.latency_us]
        slow = { fixed = 400, per_item = 100 }

        [profile.heavy.latency_us]
        fast = [900, 1000, 1100, 1200]

        [model.light]
        batch = 16
        pool = ["slow-1", "slow-2"]

        [model.heavy]
        batch = 8
        pool = ["fast"]
    "#;

    fn refusal(from: &str, to: &str) -> String {
        let text = FIRST_EXAMPLE.replace(from, to);
        assert_ne!(text, FIRST_EXAMPLE, "`{from}` is not in the example");
        Plan::from_toml(&text, "plan.toml").unwrap_err().to_string()
    }

    #[test]
    fn the_first_example_is_read() {
        let plan = Plan::from_toml(FIRST_EXAMPLE, "plan.toml").unwrap();
        assert_eq!(plan.cluster().devices().len(), 3);
        assert_eq!(plan.cluster().device("slow-2").unwrap().kind, "slow");
        let light = plan.pipelines_of("light").next().unwrap();
        assert_eq!((light.batch, light.stages[0].pool.devices.len()), (16, 2));
        assert_eq!(plan.profile("heavy").unwrap().latency_us("fast", &Blocks::Whole, 8), Some(1600.0));
    }

    #[test]
    fn stages_and_pipelines_are_read() {
        let text = r#"
            kind.a = { engine = "cpu", devices = ["a-1"] }
            kind.b = { engine = "throttled", devices = ["b-1", "b-2"] }
            [profile.m]
            latency_us.a = [[10, 20], { fixed = 5, per_item = 1 }, [3]]
            latency_us.b = [[1], [2], [3]]
            cut_bytes = [100, 200]
            [[model.m.pipeline]]
            batch = 4
            [[model.m.pipeline.stage]]
            blocks = [0, 2]
            pool = ["a-1"]
            [[model.m.pipeline.stage]]
            blocks = [2, 3]
            pool = ["b-1"]
            [[model.m.pipeline]]
            batch = 2
            pool = ["b-2"]
        "#;
        let plan = Plan::from_toml(text, "plan.toml").unwrap();
        assert_eq!(plan.pipelines().len(), 2);
        assert_eq!(plan.latency_us(&plan.pipelines()[0]), Some(61.0));
        let refused = |from: &str, to: &str| {
            Plan::from_toml(&text.replace(from, to), "plan.toml").unwrap_err().to_string()
        };
        assert_eq!(
            refused("[2, 3]\n", "[1, 3]\n"),
            "`plan.toml`: model.m, stage 1: it starts at block 1, but the stages before it end at 2, so blocks 1 to 1 \
             would run twice; start it at 2"
        );
        assert!(refused("[0, 2]\n", "[0, 1]\n").contains("blocks 1 to 1 run nowhere; start it at 1"));
        assert!(refused("[2, 3]\n", "[2, 2]\n").contains("holds nothing"));
        assert!(refused("[2, 3]\n", "[2, 4]\n").contains("its profile has 3 blocks"));
        assert!(refused("blocks = [2, 3]", "").contains("`blocks` is missing"));
        assert!(refused("cut_bytes = [100, 200]", "cut_bytes = [100]").contains("has 1 entries; give 2"));
        assert!(
            refused("latency_us.b = [[1], [2], [3]]", "latency_us.b = [[1], [2]]").contains("has 2 blocks")
        );
        assert!(refused("pool = [\"b-2\"]", "").contains("has no stage"));
    }

    #[test]
    fn every_refusal_names_the_file_the_field_and_what_to_do() {
        assert_eq!(
            refusal("pool = [\"fast\"]", "pool = [\"fats\"]"),
            "`plan.toml`: model.heavy, stage 0: there is no device `fats`; the cluster has `fast`, `slow-1`, `slow-2`"
        );
        assert!(
            refusal("pool = [\"fast\"]", "pool = []").contains("`pool` is empty; name at least one device")
        );
        assert!(refusal("batch = 8", "batch = 0").contains("model.heavy.batch is missing or 0"));
        assert!(refusal("batch = 8", "").contains("model.heavy.batch is missing or 0"));
        assert!(
            refusal("pool = [\"fast\"]", "pool = [\"fast\", \"slow-1\"]").contains("a pool has one kind")
        );
        assert!(refusal("pool = [\"fast\"]", "pool = [\"fast\", \"fast\"]").contains("twice in `pool`"));
        assert!(refusal("\"slow-2\"]\n\n", "\"fast\"]\n\n").contains("rename one"));
        assert!(
            refusal("per_item = 100", "per_item = -1").contains("profile.light.latency_us.slow, block 0: -1")
        );
        assert!(
            refusal("slow = {", "fast = {").contains("device `slow-1` is throttled, so it needs the latency")
        );
        assert!(refusal("slow = {", "snail = {").contains("no kind `snail`"));
        assert!(refusal("devices = [\"fast\"]", "devices = []").contains("kind.fast.devices is empty"));
    }

    #[test]
    fn what_is_not_a_plan_is_refused_with_its_line() {
        let unknown = refusal("engine = \"throttled\"\n        devices = [\"fast\"]", "engine = \"gpu\"");
        assert!(
            unknown.contains("line 7")
                && unknown.contains("expected one of `cpu`, `throttled`, `onnxruntime`"),
            "{unknown}"
        );
        let typo = refusal("batch = 8", "bach = 8");
        assert!(typo.contains("unknown field `bach`"), "{typo}");
        let shape = refusal("{ fixed = 400, per_item = 100 }", "\"fast\"");
        assert!(shape.contains("as a list, or `{ fixed"), "{shape}");
        assert!(Plan::load("no/such/plan.toml").unwrap_err().to_string().contains("no/such/plan.toml"));
    }

    #[test]
    fn the_default_plan_passes_its_own_checks() {
        let plan = Plan::on_cpu(["light", "heavy"]);
        let again = Plan::new(plan.cluster().clone(), vec![], plan.pipelines().to_vec()).unwrap();
        assert_eq!(plan, again);
    }
}
