//! What a quarantine and a deadline cost: processor time of the whole process for each record.
//!
//! | case | what | engines |
//! |---|---|---|
//! | `passed` | a handler that lets all pass, records of 72 bytes | *none*: no handler; *memory*; *file*: with a quarantine file, into which nothing comes |
//! | `rejected` | the same handler rejects all | *memory*; *file*: also until the last is written |
//! | `deadline` | a handler that lets all pass | *without*, and *within* a minute |

use std::{error::Error, time::Duration};

use cpu_time::ProcessTime;
use eddyline::prelude::*;
use eddyline_benches::{Figure, in_own_process, median, print_own_use};

const ROUNDS: usize = 7;

/// A workload, how many records it has, and what is divided by what for its unit.
const CASES: [(&str, &[&str], &str, f64, &str); 3] = [
    ("passed", &["none", "memory", "file"], "5000000", 1e9, "ns/record"),
    ("rejected", &["memory", "file"], "100000", 1e6, "µs/record"),
    ("deadline", &["without", "within"], "100000", 1e6, "µs/record"),
];

/// Measures everything, engines interleaved in rounds.
///
/// # Errors
/// Where a measurement fails.
pub fn all() -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    for (case, engines, records, per_second, unit) in CASES {
        let mut measured: Vec<Vec<f64>> = engines.iter().map(|_| Vec::new()).collect();
        for round in 0..ROUNDS {
            for (engine, measured) in engines.iter().zip(&mut measured) {
                measured.push(in_own_process(&["cost", case, engine, records])?.value);
            }
            eprint!("\r{case}: round {} of {ROUNDS}", round + 1);
        }
        eprintln!();
        for (engine, measured) in engines.iter().zip(measured) {
            let records: f64 = records.parse().map_err(|error| format!("{records}: {error}"))?;
            let value = median(measured) * per_second / records;
            figures.push(Figure { case, engine, value, unit, rounds: ROUNDS });
        }
    }
    Ok(figures)
}

type Record = (u64, [u64; 8]);

/// One measurement: prints the processor time of this process, in seconds.
///
/// # Errors
/// Where the run fails, or has another result than it should.
pub fn one(case: &str, engine: &str, records: u64) -> Result<(), Box<dyn Error>> {
    let dir = temp_dir::TempDir::new()?;
    let mut flow = Workflow::new(case);
    if engine == "file" {
        flow = flow.quarantine(dir.path().join("faults.sqlite"));
    }
    let source = flow.source("records", (0..records).map(|n| -> Record { (n, [n; 8]) }));
    let least = if case == "rejected" { u64::MAX } else { 0 };
    let judge = by(move |record: &Record, _: &Seen| -> Verdict<Record> {
        if record.0 < least { Verdict::reject("too small") } else { Verdict::Pass }
    });
    let judged = match engine {
        "none" => source,
        "within" => source.handle_with("least", judge.within(Duration::from_secs(60))),
        _ => source.handle_with("least", judge),
    };
    let (mut passed, mut sum) = (0_u64, 0_u64);
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    judged.for_each(move |record| {
        passed += 1;
        sum = sum.wrapping_add(record.1[7]);
        if passed == records {
            let _ = tell.try_send(sum);
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let begun = ProcessTime::now();
    let report = runtime.block_on(flow.run())?;
    let used = begun.elapsed();
    let faults = report.snapshot().faults.total;
    let right = match case {
        "rejected" => faults == records,
        _ => told.try_recv().is_ok_and(|sum| sum == (0..records).sum::<u64>()) && faults == 0,
    };
    if !right || !report.is_balanced() {
        return Err(format!("{case} {engine}: {faults} of {records} were rejected\n{report}").into());
    }
    print_own_use(used.as_secs_f64());
    Ok(())
}
