//! The cost of moving records: source → 3 maps → filter → sink on small records, every operator an actor of its own, beside
//! the same in one plain loop.
//!
//! One process per measurement, engines interleaved in rounds; CPU time of the whole process by input records.

use std::{
    error::Error,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use cpu_time::ProcessTime;
use eddyline::prelude::*;
use eddyline_benches::{Figure, in_own_process, median, print_own_use, report};

const ROUNDS: usize = 7;
const SIZES: [(&str, u64); 2] = [("maps-1M", 1_000_000), ("maps-10M", 10_000_000)];

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [engine, n] = args.as_slice() {
        return one(engine, n.parse()?);
    }
    let mut figures = Vec::new();
    for (case, n) in SIZES {
        let n_text = n.to_string();
        let (mut cpu, mut plain, mut peak) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let ours = in_own_process(&["eddyline", &n_text])?;
            cpu.push(ours.cpu_s * 1e9 / n as f64);
            peak.push(ours.peak_mib);
            plain.push(in_own_process(&["plain", &n_text])?.cpu_s * 1e9 / n as f64);
            eprint!("\r{case}: round {} of {ROUNDS}", round + 1);
        }
        eprintln!();
        let figure = |engine, value, unit| Figure { case, engine, value, unit, rounds: ROUNDS };
        figures.push(figure("eddyline", median(cpu), "ns/record"));
        figures.push(figure("plain", median(plain), "ns/record"));
        figures.push(figure("eddyline", median(peak), "MiB peak"));
    }
    Ok(report("dataflow", &figures)?)
}

fn one(engine: &str, n: u64) -> Result<(), Box<dyn Error>> {
    let sum = match engine {
        "plain" => plain(n),
        _ => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?
            .block_on(eddyline(n))?,
    };
    let expected: u64 = (0..n)
        .map(|i| 3 * i + 1)
        .filter(|x| !x.is_multiple_of(10))
        .map(|x| (x ^ 5) + 7)
        .fold(0, u64::wrapping_add);
    if sum != expected {
        return Err(format!("the sum is {sum}, it should be {expected}").into());
    }
    Ok(())
}

fn plain(n: u64) -> u64 {
    let begun = ProcessTime::now();
    let mut sum = 0_u64;
    for i in 0..n {
        let x = black_box(3 * i + 1);
        let y = black_box(x ^ 5);
        let z = black_box(y + 7);
        if !x.is_multiple_of(10) {
            sum = sum.wrapping_add(black_box(z));
        }
    }
    print_own_use(begun.elapsed());
    sum
}

async fn eddyline(n: u64) -> Result<u64, RunError> {
    let begun = ProcessTime::now();
    let sum = Arc::new(AtomicU64::new(0));
    let total = Arc::clone(&sum);
    let flow = Workflow::new("maps");
    flow.source("numbers", 0..n)
        .map(|i| 3 * i + 1)
        .map(|x| (x, x ^ 5))
        .map(|(x, y)| (x, y + 7))
        .filter(|(x, _)| x % 10 != 0)
        .for_each(move |(_, z)| {
            total.store(total.load(Ordering::Relaxed).wrapping_add(z), Ordering::Relaxed);
        });
    flow.run().await?;
    print_own_use(begun.elapsed());
    Ok(sum.load(Ordering::Relaxed))
}
