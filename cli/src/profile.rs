//! `eddyline profile`: how long the blocks of a model take, measured: a table, a picture, and the file that `eddyline plan` reads.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    sync::Arc,
};

use clap::Args;
use eddyline_planner::{EngineKind, Latency, Profile};
use eddyline_runtime::{
    engine::{
        Engine, Item, StageModel,
        found::open,
        measure::{Launches, Measured, sample},
    },
    onnx::{Cuts, OnnxModel, cost::ROUGH},
};

use crate::{
    chart::{Chart, Line},
    model::{ModelArgs, ModelError, Read, ends, write},
};

/// How often the blocks are cut anew by what was measured.
const ROUNDS: usize = 3;
/// How much longer than an equal share the longest block may take before it is tried again.
const EVEN: f64 = 1.15;

#[derive(Args)]
pub struct ProfileArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// The model's name in plans [default: that of its file]
    #[arg(long)]
    name: Option<String>,
    /// Engines to measure; each is a kind of device of that name
    #[arg(long, value_delimiter = ',', default_value = "cpu")]
    engines: Vec<String>,
    /// Kinds that are an engine held back by a factor: slow=4 is the first engine at a quarter of its pace. They are not measured
    #[arg(long, value_name = "KIND=FACTOR", value_delimiter = ',')]
    throttled: Vec<String>,
    /// Batches to measure; those between are put on a line
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8")]
    batches: Vec<u32>,
    /// Launches that do not count, before those that do
    #[arg(long, default_value_t = 2)]
    warm_up: usize,
    /// Launches of which the median counts
    #[arg(long, default_value_t = 7)]
    repeats: usize,
    /// The folder of profiles, into which NAME.json is written
    #[arg(short, long, value_name = "DIR", default_value = "profiles")]
    output: PathBuf,
    /// Write block_latency.csv and cut_bytes.csv there too
    #[arg(long, value_name = "DIR")]
    csv: Option<PathBuf>,
    /// Draw latency against batch here
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
}

/// An engine, and the kind of device that it is.
type Named = (String, Arc<dyn Engine>);

/// What was measured on one kind of device.
struct Kind {
    name: String,
    /// Per block and measured batch, and then of the whole model.
    launches: Vec<Vec<Launches>>,
    load_us: Vec<f64>,
    /// What the measured times are multiplied with.
    factor: f64,
}

impl ProfileArgs {
    pub fn run(&self) -> Result<(), ModelError> {
        let batches = self.batches()?;
        let engines = self.engines()?;
        let factors = self.factors()?;
        let read = self.model.read()?;
        let item = sample(&read.model, &read.shapes)?;
        let blocks = self.model.blocks(&read.cuts);
        let places = even(&read, &item, &*engines[0].1, blocks)?;
        let mut stages = read.cuts.segments(&places)?;
        stages.push(read.model.clone());
        let mut kinds = Vec::with_capacity(engines.len());
        for (name, engine) in &engines {
            kinds.push(self.measure(name, &**engine, &stages, &item, &batches)?);
        }
        for (name, factor) in factors {
            let Kind { launches, load_us, .. } = &kinds[0];
            kinds.push(Kind { name, launches: launches.clone(), load_us: load_us.clone(), factor });
        }
        let name = self.name.clone().unwrap_or_else(|| self.model.name());
        let profile = profile(&name, &read.cuts, &places, &kinds, &batches)?;
        table(&read.cuts, &places, &kinds, &batches);
        let make = |folder: &PathBuf| {
            fs::create_dir_all(folder).map_err(|error| ModelError::File {
                file: folder.display().to_string(),
                message: format!("cannot be made: {error}; check the path"),
            })
        };
        make(&self.output)?;
        let path = self.output.join(format!("{name}.json"));
        write(&path, &self.json(&profile, &kinds))?;
        println!("\nwritten: {}", path.display());
        if let Some(folder) = &self.csv {
            make(folder)?;
            let (latencies, cuts) = csv(&profile, batches.last().copied().unwrap_or(1));
            write(&folder.join("block_latency.csv"), &latencies)?;
            write(&folder.join("cut_bytes.csv"), &cuts)?;
        }
        match &self.svg {
            Some(path) => write(path, &picture(&name, &kinds, &batches)),
            None => Ok(()),
        }
    }

    fn wrong(option: &'static str, value: impl ToString, wanted: impl Into<String>) -> ModelError {
        ModelError::Argument { option, value: value.to_string(), wanted: wanted.into() }
    }

    /// Rising, with 1, so that none between has to be guessed.
    fn batches(&self) -> Result<Vec<u32>, ModelError> {
        let mut batches = self.batches.clone();
        batches.push(1);
        batches.sort_unstable();
        batches.dedup();
        match (batches.first(), batches.last()) {
            (Some(1), Some(1..=1024)) => Ok(batches),
            _ => {
                Err(Self::wrong("batches", format!("{:?}", self.batches), "give batches of 1 to 1024 items"))
            }
        }
    }

    fn engines(&self) -> Result<Vec<Named>, ModelError> {
        let engine = |name: &String| {
            let known =
                [EngineKind::Cpu, EngineKind::Onnxruntime].into_iter().find(|kind| kind.name() == name);
            let kind = known.ok_or_else(|| Self::wrong("engines", name, "there are cpu and onnxruntime"))?;
            let engine = open(kind).map_err(|why| Self::wrong("engines", name, why))?;
            Ok((name.clone(), engine))
        };
        self.engines.iter().map(engine).collect()
    }

    fn factors(&self) -> Result<Vec<(String, f64)>, ModelError> {
        let factor = |text: &String| {
            let wrong = |wanted: &str| Self::wrong("throttled", text, wanted);
            let (name, factor) =
                text.split_once('=').ok_or_else(|| wrong("give KIND=FACTOR, e.g. `slow=4`"))?;
            let factor = factor.parse::<f64>().ok().filter(|factor| (1.0..=1e6).contains(factor));
            if name.is_empty() || self.engines.iter().any(|engine| engine == name) {
                return Err(wrong("give the kind a name of its own"));
            }
            Ok((name.to_owned(), factor.ok_or_else(|| wrong("give a factor of 1 or more"))?))
        };
        self.throttled.iter().map(factor).collect()
    }

    /// Each stage on what the stage before gives, the whole model last.
    fn measure(
        &self,
        name: &str,
        engine: &dyn Engine,
        stages: &[Arc<OnnxModel>],
        item: &Item,
        batches: &[u32],
    ) -> Result<Kind, ModelError> {
        let all = stages.len() * batches.len();
        let mut kind = Kind { name: name.to_owned(), launches: Vec::new(), load_us: Vec::new(), factor: 1.0 };
        let mut given = item.clone();
        for (at, stage) in stages.iter().enumerate() {
            if at + 1 == stages.len() {
                given = item.clone();
            }
            let mut prepared = Measured::prepare(engine, &StageModel::Onnx(vec![stage.clone()]))?;
            kind.load_us.push(prepared.load.as_secs_f64() * 1e6);
            let mut launches = Vec::with_capacity(batches.len());
            for batch in batches {
                progress(name, at * batches.len() + launches.len(), all);
                launches.push(prepared.launches(&given, *batch as usize, self.warm_up, self.repeats)?);
            }
            kind.launches.push(launches);
            given = prepared.run(&given)?;
        }
        progress(name, all, all);
        Ok(kind)
    }

    fn json(&self, profile: &Profile, kinds: &[Kind]) -> String {
        let of = |value: &dyn Fn(&Kind) -> serde_json::Value| {
            kinds.iter().map(|kind| (kind.name.clone(), value(kind))).collect::<serde_json::Map<_, _>>()
        };
        let worst = |launches: &Vec<Launches>| launches.iter().map(|of| of.noise).fold(0.0, f64::max);
        let mut file = serde_json::json!(profile);
        file["measured"] = serde_json::json!({
            "warm_up": self.warm_up,
            "repeats": self.repeats,
            "factor": of(&|kind| kind.factor.into()),
            "load_us": of(&|kind| kind.load_us.clone().into()),
            "noise": of(&|kind| kind.launches.iter().map(worst).collect::<Vec<f64>>().into()),
        });
        format!("{file:#}\n")
    }
}

/// Places whose blocks take about equal time, as measured: where they do not, layers are weighed by what their block took and
/// the model is cut anew.
fn even(read: &Read, item: &Item, engine: &dyn Engine, blocks: usize) -> Result<Vec<usize>, ModelError> {
    let layers = read.cuts.layers();
    let mut times: Vec<f64> = layers.iter().map(|layer| ROUGH[0].1.us(layer)).collect();
    let mut places = read.cuts.blocks(blocks)?;
    let mut best = (f64::MAX, places.clone());
    for _ in 0..ROUNDS {
        let mut given = item.clone();
        let mut took = Vec::with_capacity(blocks);
        for stage in read.cuts.segments(&places)? {
            let mut prepared = Measured::prepare(engine, &StageModel::Onnx(vec![stage]))?;
            took.push(prepared.launches(&given, 1, 1, 3)?.median_us);
            given = prepared.run(&given)?;
        }
        let longest = took.iter().copied().fold(0.0, f64::max);
        let uneven = longest * blocks as f64 / took.iter().sum::<f64>().max(1e-9);
        if uneven < best.0 {
            best = (uneven, places.clone());
        }
        if uneven <= EVEN {
            break;
        }
        for (pair, us) in ends(&read.cuts, &places).windows(2).zip(took) {
            let block = &mut times[pair[0]..pair[1]];
            let weight = us / block.iter().sum::<f64>().max(1e-9);
            block.iter_mut().for_each(|time| *time *= weight);
        }
        let next = read.cuts.blocks_by(std::slice::from_ref(&times), blocks)?;
        if next == places {
            break;
        }
        places = next;
    }
    Ok(best.1)
}

/// What was measured, with every batch up to the largest: those between two are put on a line.
fn filled(launches: &[Launches], batches: &[u32], factor: f64) -> Latency {
    let all = 1..=batches.last().copied().unwrap_or(1);
    let us = |batch: u32| {
        let after = batches.iter().position(|measured| *measured >= batch).unwrap_or(0);
        let (right, us) = (batches[after], launches[after].median_us);
        if right == batch {
            return us;
        }
        let (left, before) = (batches[after - 1], launches[after - 1].median_us);
        before + (us - before) * f64::from(batch - left) / f64::from(right - left)
    };
    // A tenth of a µs is far below the noise.
    Latency::Table(all.map(|batch| (us(batch) * factor * 10.0).round() / 10.0).collect())
}

fn profile(
    name: &str,
    cuts: &Cuts,
    places: &[usize],
    kinds: &[Kind],
    batches: &[u32],
) -> Result<Profile, ModelError> {
    let (mut latency_us, mut whole_us) = (BTreeMap::new(), BTreeMap::new());
    for kind in kinds {
        let mut all: Vec<Latency> = kind.launches.iter().map(|of| filled(of, batches, kind.factor)).collect();
        whole_us.extend(all.pop().map(|whole| (kind.name.clone(), whole)));
        latency_us.insert(kind.name.clone(), all);
    }
    let bytes = places.iter().map(|place| cuts.cut_bytes(*place).unwrap_or(0)).collect();
    let names = |place: &usize| cuts.crossing(*place).iter().map(|crossing| crossing.name.clone()).collect();
    let batch = u64::from(batches.last().copied().unwrap_or(1));
    let memory = |pair: &[usize]| {
        let activations = cuts.activation_bytes(pair[0]..pair[1]).saturating_mul(batch);
        cuts.weight_bytes(pair[0]..pair[1]).saturating_add(activations)
    };
    let memory = ends(cuts, places).windows(2).map(memory).collect();
    let profile = Profile::new(name, latency_us, bytes)?;
    Ok(profile
        .with_cuts(places.iter().map(names).collect())?
        .with_whole(whole_us)?
        .with_block_bytes(memory)?)
}

fn table(cuts: &Cuts, places: &[usize], kinds: &[Kind], batches: &[u32]) {
    let ends = ends(cuts, places);
    for kind in kinds {
        let how = if kind.factor == 1.0 { "measured" } else { "held back, not measured" };
        println!("\n{}, {how}: ms for a batch, median (largest noise)", kind.name);
        let head: Vec<String> = batches.iter().map(|batch| format!("{batch:>9}")).collect();
        println!(
            "{:>7}  {:<11} {}  {:>6} {:>9} {:>10}",
            "block",
            "layers",
            head.join(" "),
            "noise",
            "load",
            "sends on"
        );
        for (at, launches) in kind.launches.iter().enumerate() {
            let ms: Vec<String> =
                launches.iter().map(|of| format!("{:>9.3}", of.median_us * kind.factor / 1e3)).collect();
            let noise = launches.iter().map(|of| of.noise).fold(0.0, f64::max);
            let (block, layers, sends) = match ends.get(at + 1) {
                Some(end) => {
                    let sends = cuts
                        .cut_bytes(*end)
                        .map_or_else(|| "—".into(), |bytes| format!("{:.1} KiB", bytes as f64 / 1024.0));
                    (at.to_string(), format!("{}–{}", ends[at], end.saturating_sub(1)), sends)
                }
                None => (
                    "whole".to_owned(),
                    format!("0–{}", cuts.layers().len().saturating_sub(1)),
                    String::new(),
                ),
            };
            let load = format!("{:.1} ms", kind.load_us[at] / 1e3);
            println!(
                "{block:>7}  {layers:<11} {}  {:>5.1}% {load:>9} {sends:>10}",
                ms.join(" "),
                100.0 * noise
            );
        }
    }
}

/// The tables that `eddyline plan` reads too; they cannot hold what an uncut model takes, nor the names of the cuts.
fn csv(profile: &Profile, batches: u32) -> (String, String) {
    let quoted = format!("\"{}\"", profile.model().replace('"', "\"\""));
    let mut latencies = String::from("model,gpu,slices,block,batch,latency_us\n");
    for kind in profile.kinds() {
        for (block, latency) in profile.blocks_on(kind).iter().enumerate() {
            for batch in 1..=batches {
                let _ = writeln!(latencies, "{quoted},{kind},1,{block},{batch},{}", latency.at_us(batch));
            }
        }
    }
    let mut cuts = String::from("model,cut_after_block,bytes_per_sample_fp16\n");
    for block in 0..profile.blocks() {
        if let Some(bytes) = profile.cut_bytes(block) {
            let _ = writeln!(cuts, "{quoted},{block},{bytes}");
        }
    }
    (latencies, cuts)
}

fn picture(name: &str, kinds: &[Kind], batches: &[u32]) -> String {
    let mut lines = Vec::new();
    for kind in kinds {
        for (at, launches) in kind.launches.iter().enumerate() {
            let what = if at + 1 == kind.launches.len() { "whole".to_owned() } else { format!("block {at}") };
            let ms = |of: &Launches| Some(of.median_us * kind.factor / 1e3);
            let points = batches.iter().zip(launches).map(|(batch, of)| (f64::from(*batch), ms(of)));
            lines.push(Line { name: format!("{}, {what}", kind.name), points: points.collect() });
        }
    }
    let title = format!("{name}: ms for a batch");
    Chart { title, across: "items in a batch".to_owned(), lines, marks: Vec::new() }.svg()
}

/// Says how far it is, on one line that is written over.
fn progress(kind: &str, done: usize, all: usize) {
    let mut screen = std::io::stderr();
    if screen.is_terminal() {
        let bar = "#".repeat(20 * done / all.max(1));
        // It is only a sign of life.
        let _ =
            write!(screen, "\r{kind}: [{bar:<20}] {done} of {all}{}", if done == all { "\n" } else { "" });
        let _ = screen.flush();
    } else if done == all {
        eprintln!("{kind}: {all} measured");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_between_measured_ones_are_on_a_line() {
        let of = |median_us| Launches { median_us, noise: 0.0 };
        let filled = filled(&[of(10.0), of(20.0), of(60.0)], &[1, 2, 4], 2.0);
        assert_eq!(filled, Latency::Table(vec![20.0, 40.0, 80.0, 120.0]));
    }
}
