//! What it costs to move records: four workloads and a latency, beside timely dataflow, a chunked chain of tokio tasks and a
//! plain loop.
//!
//! | case | what |
//! |---|---|
//! | `W1` | three maps and two filters on records of 72 bytes |
//! | `W2` | a symmetric hash join of two inputs |
//! | `W3` | a loop: one record in ten is sent back, up to three times |
//! | `W4` | a model that takes 50 µs for a batch of 32 |
//! | `p50` | the latency of `W1` at 100,000 records a second |
//!
//! The engine `ids` is Eddyline that writes down the lineage of each record.
//!
//! One process per measurement, engines interleaved in rounds, medians. Every process checks its count and its sum. CPU time is
//! user and system time of the whole process, by input records (`W2`: by pairs of them).
//!
//! `dataflow W1 eddyline 1000000` runs one measurement alone; `dataflow W1 W3` only these cases.

mod chunks;
mod latency;
mod record;
mod table;
mod w1;
mod w2;
mod w3;
mod w4;

use std::{error::Error, future::Future};

use cpu_time::ProcessTime;
use eddyline_benches::{Figure, in_own_process, median, print_own_use, report};

/// Rounds of each case.
const ROUNDS: usize = 7;
/// Worker threads of what runs on tokio.
const WORKERS: usize = 2;

/// A workload, and who runs it on how many records.
struct Case {
    name: &'static str,
    unit: &'static str,
    engines: &'static [&'static str],
    records: u64,
}

const CASES: [Case; 6] = [
    Case {
        name: "W1",
        unit: "ns/record",
        engines: &["eddyline", "ids", "unfused", "timely", "tokio", "plain"],
        records: 10_000_000,
    },
    Case { name: "W1-short", unit: "ns/record", engines: &["eddyline"], records: 1_000_000 },
    Case {
        name: "W2",
        unit: "ns/pair",
        engines: &["eddyline", "timely", "tokio", "plain"],
        records: 1_000_000,
    },
    Case {
        name: "W3",
        unit: "ns/record",
        engines: &["eddyline", "ids", "timely", "tokio", "plain"],
        records: 10_000_000,
    },
    Case {
        name: "W4",
        unit: "ns/record",
        engines: &["eddyline", "timely", "tokio", "plain"],
        records: 500_000,
    },
    Case { name: "p50", unit: "µs", engines: &["eddyline", "timely", "tokio", "plain"], records: 150_000 },
];

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [case, engine, n] = args.as_slice()
        && let Ok(n) = n.parse()
    {
        return one(case, engine, n);
    }
    let chosen = |case: &&Case| args.is_empty() || args.iter().any(|arg| arg == case.name);
    let mut figures = Vec::new();
    for case in CASES.iter().filter(chosen) {
        let n = case.records.to_string();
        let mut measured = vec![(Vec::new(), Vec::new()); case.engines.len()];
        for round in 0..ROUNDS {
            for (engine, (values, peaks)) in case.engines.iter().zip(&mut measured) {
                let of_process = in_own_process(&[case.name, engine, &n])?;
                values.push(match case.unit {
                    "µs" => of_process.value,
                    _ => of_process.value * 1e9 / case.records as f64,
                });
                peaks.push(of_process.peak_mib);
            }
            eprint!("\r{}: round {} of {ROUNDS}", case.name, round + 1);
        }
        eprintln!();
        for (engine, (values, peaks)) in case.engines.iter().zip(measured) {
            let figure = |value, unit| Figure { case: case.name, engine, value, unit, rounds: ROUNDS };
            figures.push(figure(median(values), case.unit));
            figures.push(figure(median(peaks), "MiB peak"));
        }
    }
    report("dataflow", &figures)?;
    if args.is_empty() {
        table::write(&figures)?;
    }
    Ok(())
}

/// Runs one measurement in this process and prints it.
fn one(case: &str, engine: &str, n: u64) -> Result<(), Box<dyn Error>> {
    let begun = ProcessTime::now();
    match case {
        "W1" | "W1-short" => w1::run(engine, n)?,
        "W2" => w2::run(engine, n)?,
        "W3" => w3::run(engine, n)?,
        "W4" => w4::run(engine, n)?,
        "p50" => {
            let micros = latency::run(engine, n)?;
            print_own_use(micros);
            return Ok(());
        }
        _ => return Err(format!("there is no case `{case}`").into()),
    }
    print_own_use(begun.elapsed().as_secs_f64());
    Ok(())
}

fn no_such_engine(engine: &str) -> Box<dyn Error> {
    format!("there is no engine `{engine}`").into()
}

/// Runs a future on tokio, with the workers that all measurements have.
fn on_tokio<F: Future>(future: F) -> std::io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    Ok(runtime.block_on(future))
}
