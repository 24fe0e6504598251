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
    path::{Path, PathBuf},
};

use eddyline_benches::{Lines, Part, run_parts};
use eddyline_planner::Tables;
use questions::Case;

#[path = "../../../../planner/tests/published/mod.rs"]
#[allow(clippy::unwrap_used, dead_code)]
mod questions;

const PARTS: [Part<Suite>; 5] = [
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
    lines: Lines,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/profiles");
    let tables = Tables::load(&folder)?;
    let mut cases = questions::cases(&folder);
    if let Some(wanted) = args.get(1) {
        cases.retain(|case| wanted.split(',').any(|wanted| case.name.contains(wanted)));
    }
    let mut suite = Suite { folder, tables, cases, lines: Lines::default() };
    run_parts(&mut suite, &PARTS, args.first().map(String::as_str))?;
    suite.lines.write("serving")?;
    Ok(())
}

impl Suite {
    fn figure(&mut self, bench: &str, case: &str, engine: &str, value: f64, unit: &str) {
        self.lines.add(bench, case, engine, value, unit, SEEDS.len());
    }
}

/// The mean of ratios.
fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}
