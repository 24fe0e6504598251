//! What two rules of a loop are worth, neither of which is needed for a run to end: back edges come before new records, and what
//! waits for a permit comes before them. A loop whose records are cut into several and sent back, with each rule and without.
//!
//! Latency is counted in records, not in time: how many came into the loop while one was inside. So a busy machine does not
//! change what it says.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use eddyline::{prelude::*, runtime::rules::Rules};
use eddyline_benches::{Figure, median, report};

const ROUNDS: usize = 11;
const RECORDS: u64 = 200_000;
const PERMITS: usize = 256;

/// A record: what it draws its lots from, and how many had come into the loop before it, once it has.
type Item = (u64, Option<u64>);

/// What one run came to.
struct Run {
    overflow: u64,
    passed_by: Vec<u64>,
    seconds: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let all = Rules::default();
    let cases = [
        ("both rules", all),
        ("without back edge first", Rules { back_edges_come_first: false, ..all }),
        ("without overflow first", Rules { overflow_comes_first: false, ..all }),
        ("without either", Rules { back_edges_come_first: false, overflow_comes_first: false, ..all }),
    ];
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut runs: Vec<Vec<Run>> = cases.iter().map(|_| Vec::new()).collect();
    for round in 0..ROUNDS {
        for ((_, rules), runs) in cases.iter().zip(&mut runs) {
            runs.push(runtime.block_on(run(*rules))?);
        }
        eprint!("\rround {} of {ROUNDS}", round + 1);
    }
    eprintln!();
    let mut figures = Vec::new();
    for ((case, _), runs) in cases.iter().zip(&runs) {
        let mut add = |engine, value: &dyn Fn(&Run) -> f64, unit| {
            let value = median(runs.iter().map(value).collect());
            figures.push(Figure { case, engine, value, unit, rounds: ROUNDS });
        };
        add("overflow", &|run| run.overflow as f64, "records at most");
        add("passed by, median", &|run| quantile(run, 0.5), "records");
        add("passed by, p99", &|run| quantile(run, 0.99), "records");
        add("passed by, most", &|run| quantile(run, 1.0), "records");
        add("time", &|run| run.seconds * 1e9 / RECORDS as f64, "ns/record");
    }
    Ok(report("loops", &figures)?)
}

fn quantile(run: &Run, share: f64) -> f64 {
    let last = run.passed_by.len().saturating_sub(1);
    run.passed_by.get((last as f64 * share) as usize).map_or(0.0, |n| *n as f64)
}

/// A lot out of another (SplitMix64).
fn draw(lot: u64, salt: u64) -> u64 {
    let x = (lot ^ salt).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

async fn run(rules: Rules) -> Result<Run, RunError> {
    let flow = Workflow::new("loops").loop_permits(PERMITS).with_rules(rules);
    let inside = Arc::new(AtomicU64::new(0));
    let now = Arc::clone(&inside);
    let items = (0..RECORDS).map(|i| -> Item { (draw(i, 1), None) });
    let (items, again) = flow.source("items", items).feedback("again", Rounds::at_most(6));
    let passed_by = items
        .map(move |(lot, entered)| (lot, entered.or_else(|| Some(inside.fetch_add(1, Ordering::Relaxed)))))
        // One in eight is cut into twelve.
        .flat_map(|(lot, entered)| {
            let parts = if lot.is_multiple_of(8) { 12 } else { 1 };
            (0..parts).map(move |part| (draw(lot, part + 2), entered))
        })
        // Three in ten come round again, and are not cut any more.
        .handle_or_retry("check", again, |(lot, entered)| match lot % 10 {
            0..3 => Verdict::Retry((draw(*lot, 77) | 1, *entered)),
            _ => Verdict::Pass,
        })
        .map(move |(_, entered)| now.load(Ordering::Relaxed) - entered.unwrap_or_default())
        .collect();
    let mut report = flow.run().await?;
    let mut passed_by = report.take(passed_by);
    passed_by.sort_unstable();
    let overflow =
        report.snapshot().loops.iter().map(|a_loop| a_loop.overflow_most).max().unwrap_or_default();
    Ok(Run { overflow, passed_by, seconds: report.snapshot().at_us as f64 / 1e6 })
}
