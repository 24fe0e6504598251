//! What handlers are worth: the scores of the examples without them, with detection only, with a heavy model everywhere, and with them.
//!
//! The examples run as their own programs, in the profile that everybody uses, since a score does not depend on it.

use std::process::{Command, Stdio};

use eddyline_benches::Figure;
use serde::Deserialize;

/// An example, and what its score is.
const EXAMPLES: [(&str, &str); 2] = [("account-numbers", "share of numbers"), ("receipts", "field F1")];
/// The ways to run it.
const ENGINES: [&str; 5] = ["none", "drop", "heavy", "heavy-corrected", "handlers"];

#[derive(Deserialize)]
struct Scored {
    engine: String,
    value: f64,
    seeds: usize,
}

/// The scores of all examples.
///
/// # Errors
/// Where an example fails.
pub fn all() -> Result<Vec<Figure>, String> {
    let figures: Result<Vec<_>, String> = EXAMPLES.iter().map(|(case, unit)| figures(case, unit)).collect();
    Ok(figures?.concat())
}

fn figures(case: &'static str, unit: &'static str) -> Result<Vec<Figure>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run = Command::new(cargo)
        .args(["run", "-q", "-p", "eddyline-examples", "--bin", case, "--", "--once", "--figures"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !run.status.success() {
        return Err(format!("{case} failed; run it alone: make {case} ARGS=--once"));
    }
    let figure = |line: &str| {
        let scored: Scored =
            serde_json::from_str(line).map_err(|error| format!("{case} said {line}: {error}"))?;
        let engine = ENGINES.into_iter().find(|engine| *engine == scored.engine);
        let engine =
            engine.ok_or_else(|| format!("{case} names an engine {} that is not known", scored.engine))?;
        Ok(Figure { case, engine, value: scored.value, unit, rounds: scored.seeds })
    };
    String::from_utf8_lossy(&run.stdout).lines().map(figure).collect()
}
