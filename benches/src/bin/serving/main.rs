//! What plans keep of their promise, simulated: the published plans under the published rules, and ours under ours.
//!
//! `serving [PART] [CASE]`: one of `parity`, `normal`, `modulated`, `cost`, `faults`, or `all`; and which cases, such as `G1`. It reads the
//! published figures from `../shared/profiles` and a trace from `../shared/traces`. Loads are in units of the published plan's
//! objective, min rate ÷ weight: 1 is what the published pooled plan promises.

mod ours;
mod published;
mod rules;

use std::{
    error::Error,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use eddyline_planner::Tables;
use questions::Case;

#[path = "../../../../planner/tests/published/mod.rs"]
#[allow(clippy::unwrap_used, dead_code)]
mod questions;

/// What runs: a part of the suite.
type Part = fn(&mut Suite) -> Result<(), Box<dyn Error>>;
const PARTS: [(&str, Part); 5] = [
    ("parity", rules::parity),
    ("normal", ours::normal),
    ("modulated", ours::modulated),
    ("cost", ours::cost),
    ("faults", ours::faults),
];

/// Held-out seeds, of which no plan was chosen by.
const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];

struct Suite {
    folder: PathBuf,
    tables: Tables,
    cases: Vec<Case>,
    lines: Vec<serde_json::Value>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let only = args.first().filter(|part| *part != "all");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/profiles");
    let tables = Tables::load(&folder)?;
    let mut cases = questions::cases(&folder);
    if let Some(wanted) = args.get(1) {
        cases.retain(|case| wanted.split(',').any(|wanted| case.name.contains(wanted)));
    }
    let mut suite = Suite { folder, tables, cases, lines: Vec::new() };
    for (name, part) in PARTS {
        if only.is_none_or(|only| only == name) {
            println!("\n== {name}");
            part(&mut suite)?;
        }
    }
    let target = PathBuf::from(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
    fs::create_dir_all(target.join("bench"))?;
    let mut file = fs::File::create(target.join("bench/serving.jsonl"))?;
    for line in &suite.lines {
        writeln!(file, "{line}")?;
    }
    Ok(())
}

impl Suite {
    fn figure(&mut self, bench: &str, case: &str, engine: &str, value: f64, unit: &str) {
        self.lines.push(serde_json::json!({
            "bench": bench, "case": case, "engine": engine, "value": value, "unit": unit, "seeds": SEEDS.len(),
        }));
    }
}

/// The mean of ratios.
fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}
