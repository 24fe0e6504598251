//! `eddyline inspect`: the layers of a model, what they cost, where it can be cut and into which blocks.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use eddyline_runtime::onnx::{Cuts, Layer, cost::ROUGH};

use crate::{
    chart::{Chart, Line},
    model::{ModelArgs, ModelError, Read, ends, write},
};

#[derive(Args)]
pub struct Inspect {
    #[command(flatten)]
    model: ModelArgs,
    /// List every layer, with the cuts between them
    #[arg(long)]
    layers: bool,
    /// Draw what crosses at every place, with the cuts of the blocks
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
}

impl Inspect {
    pub fn run(&self) -> Result<(), ModelError> {
        let Read { model, cuts, .. } = self.model.read()?;
        let places = cuts.blocks(self.model.blocks(&cuts))?;
        let layers = cuts.layers();
        let weights = cuts.weight_bytes(0..layers.len());
        println!("{model:?}");
        println!(
            "{} layers, {:.1} million multiplications for one item, {} of weights, {} places to cut",
            layers.len(),
            layers.iter().map(|layer| layer.macs).sum::<u64>() as f64 / 1e6,
            size(weights),
            cuts.places().len()
        );
        if self.layers {
            list(&cuts);
        }
        blocks(&cuts, &places);
        if let Some(path) = &self.svg {
            write(path, &picture(&cuts, &places, &self.model.name()))?;
        }
        Ok(())
    }
}

fn list(cuts: &Cuts) {
    println!("\n{:>5}  {:<20} {:<16} {:>10} {:>10}  name", "layer", "operator", "gives", "MMAC", "weights");
    for (at, layer) in cuts.layers().iter().enumerate() {
        if let Some(bytes) = cuts.cut_bytes(at) {
            let names: Vec<&str> = cuts.crossing(at).iter().map(|crossing| crossing.name.as_str()).collect();
            println!("       ── cut {at}: {}, `{}`", size(bytes), names.join("`, `"));
        }
        println!(
            "{at:>5}  {:<20} {:<16} {:>10.2} {:>10}  {}",
            layer.operator,
            layer.shape,
            layer.macs as f64 / 1e6,
            size(layer.weight_bytes),
            layer.name
        );
    }
}

/// The blocks, with their share of the time on devices of all sorts.
fn blocks(cuts: &Cuts, places: &[usize]) {
    let ends = ends(cuts, places);
    let times =
        |pace: usize, layers: &[Layer]| layers.iter().map(|layer| ROUGH[pace].1.us(layer)).sum::<f64>();
    let kinds: Vec<String> = ROUGH.iter().map(|(name, _)| format!("{name:>10}")).collect();
    println!(
        "\n{:>5}  {:<11} {:>10} {:>10} {:>10} {}  {:>16}  mostly",
        "block",
        "layers",
        "MMAC",
        "weights",
        "item",
        kinds.join(" "),
        "sends on"
    );
    for (at, pair) in ends.windows(2).enumerate() {
        let layers = &cuts.layers()[pair[0]..pair[1]];
        let share = |pace: usize| {
            format!("{:>9.0}%", 100.0 * times(pace, layers) / times(pace, cuts.layers()).max(1e-9))
        };
        let shares: Vec<String> = (0..ROUGH.len()).map(share).collect();
        let sends = match cuts.cut_bytes(pair[1]) {
            Some(bytes) => format!("{} × {}", cuts.crossing(pair[1]).len(), size(bytes)),
            None => "—".to_owned(),
        };
        println!(
            "{at:>5}  {:<11} {:>10.1} {:>10} {:>10} {}  {sends:>16}  {}",
            format!("{}–{}", pair[0], pair[1].saturating_sub(1)),
            layers.iter().map(|layer| layer.macs).sum::<u64>() as f64 / 1e6,
            size(cuts.weight_bytes(pair[0]..pair[1])),
            size(cuts.activation_bytes(pair[0]..pair[1])),
            shares.join(" "),
            mostly(layers)
        );
    }
    println!("\nA device holds the weights, and for each item of a launch what is under `item`.");
    println!("The shares are rough, from what layers compute and move; `eddyline profile` measures.");
}

/// The operators of which a block has most.
fn mostly(layers: &[Layer]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    layers.iter().for_each(|layer| *counts.entry(&layer.operator).or_default() += 1);
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
        .iter()
        .take(3)
        .map(|(operator, count)| format!("{count} {operator}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn picture(cuts: &Cuts, places: &[usize], name: &str) -> String {
    let kib = |place: usize| cuts.cut_bytes(place).map(|bytes| bytes as f64 / 1024.0);
    let points = (0..=cuts.layers().len()).map(|place| (place as f64, kib(place))).collect();
    Chart {
        title: format!("{name}: KiB of one item that cross where it can be cut; the blocks end at the lines"),
        across: "layers before the cut".to_owned(),
        lines: vec![Line { name: "KiB".to_owned(), points }],
        marks: places.iter().map(|place| *place as f64).collect(),
    }
    .svg()
}

/// Bytes as a person reads them.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{:.0} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
