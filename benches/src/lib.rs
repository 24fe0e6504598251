//! What all suites share: one process per measurement, rounds, medians, and a file that others read.

use std::{
    error::Error,
    fs,
    io::{self, Write},
    path::PathBuf,
    process::Command,
};

/// One figure of a suite.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What was run.
    pub case: &'static str,
    /// What ran it.
    pub engine: &'static str,
    /// The median over the rounds.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// How many rounds.
    pub rounds: usize,
}

/// What one process measured of itself.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// What it measured: user and system time of the whole process in seconds, unless the suite says otherwise.
    pub value: f64,
    /// Most memory it held, MiB.
    pub peak_mib: f64,
}

/// Prints what this process has measured, and the most memory that it held, for [`in_own_process`] to read.
pub fn print_own_use(value: f64) {
    println!("{value} {}", peak_mib());
}

/// Runs this binary again with `args` and reads what it printed with [`print_own_use`].
///
/// # Errors
/// Where the process fails or prints something else.
pub fn in_own_process(args: &[&str]) -> Result<Measured, String> {
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let output = Command::new(me).args(args).output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    match (output.status.success(), numbers.next(), numbers.next()) {
        (true, Some(Ok(value)), Some(Ok(peak_mib))) => Ok(Measured { value, peak_mib }),
        _ => Err(format!("{args:?}: {}{}", text, String::from_utf8_lossy(&output.stderr))),
    }
}

/// The middle of some values; of two middles the greater.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Prints a table and writes `target/bench/NAME.jsonl`, one object per figure.
///
/// # Errors
/// Where the file cannot be written.
pub fn report(suite: &str, figures: &[Figure]) -> io::Result<()> {
    println!("{:24} {:10} {:>12}  unit", "case", "engine", "median");
    let mut lines = Lines::default();
    for f in figures {
        println!("{:24} {:10} {:>12.2}  {}", f.case, f.engine, f.value, f.unit);
        lines.add(suite, f.case, f.engine, f.value, f.unit, f.rounds);
    }
    println!("written to {}", lines.write(suite)?.display());
    Ok(())
}

/// What others read of a suite: an object per figure.
#[derive(Default)]
pub struct Lines(Vec<serde_json::Value>);

impl Lines {
    /// Adds a figure, of so many rounds or seeds.
    pub fn add(&mut self, bench: &str, case: &str, engine: &str, value: f64, unit: &str, seeds: usize) {
        self.0.push(serde_json::json!({
            "bench": bench, "case": case, "engine": engine, "value": value, "unit": unit, "seeds": seeds,
        }));
    }

    /// Writes `target/bench/NAME.jsonl` and says where that is.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, suite: &str) -> io::Result<PathBuf> {
        let target = PathBuf::from(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
        let folder = target.join("bench");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{suite}.jsonl"));
        let mut file = fs::File::create(&path)?;
        for line in &self.0 {
            writeln!(file, "{line}")?;
        }
        Ok(path)
    }
}

/// A part of a suite of several, by its name.
pub type Part<S> = (&'static str, fn(&mut S) -> Result<(), Box<dyn Error>>);

/// Runs the part that `only` names; all of them where it names none, or `all`.
///
/// # Errors
/// Where there is no such part, or one of them fails.
pub fn run_parts<S>(suite: &mut S, parts: &[Part<S>], only: Option<&str>) -> Result<(), Box<dyn Error>> {
    let only = only.filter(|only| *only != "all");
    if let Some(unknown) = only.filter(|only| parts.iter().all(|(name, _)| name != only)) {
        let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no part `{unknown}`; one of {} or all", names.join(", ")).into());
    }
    for (name, part) in parts.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        println!("\n== {name}");
        part(suite)?;
    }
    Ok(())
}

fn peak_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<f64>().ok())
        .map_or(f64::NAN, |kib| kib / 1024.0)
}
