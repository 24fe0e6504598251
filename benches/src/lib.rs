//! What all suites share: one process per measurement, rounds, medians, and a file that others read.

use std::{
    fs::{self, OpenOptions},
    io::Write,
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
pub fn report(suite: &str, figures: &[Figure]) -> std::io::Result<()> {
    let folder =
        PathBuf::from(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into())).join("bench");
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{suite}.jsonl"));
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&path)?;
    println!("{:24} {:10} {:>12}  unit", "case", "engine", "median");
    for f in figures {
        println!("{:24} {:10} {:>12.2}  {}", f.case, f.engine, f.value, f.unit);
        let line = serde_json::json!({
            "bench": suite, "case": f.case, "engine": f.engine, "value": f.value, "unit": f.unit, "seeds": f.rounds,
        });
        writeln!(file, "{line}")?;
    }
    println!("written to {}", path.display());
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
