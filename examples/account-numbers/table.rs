//! The table: five ways to read the same numbers, held against the truth.

use std::{
    error::Error,
    io::IsTerminal,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use eddyline::{prelude::*, runtime::clock::Clock};

use crate::{
    flow::{self, Mode},
    number::Pictures,
    plan,
    policy::Policy,
};

/// What came of some numbers read in one way. Shares are of all numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    /// Came out as they were written.
    exact: f64,
    /// Came out, and wrong.
    undetected: f64,
    /// Did not come out.
    withheld: f64,
    /// The first look was right, and they came out wrong or not at all.
    harmed: f64,
    /// Times that the heavy model looked at a digit, per number.
    heavy_calls: f64,
    seconds: f64,
}

/// Reads `count` numbers for each seed in all five ways, prints the table, and says whether it shows what it should; or prints only
/// the share of numbers that each way reads exactly, for the benchmark `handlers`.
pub async fn compare(count: u64, seeds: u64, figures: bool) -> Result<ExitCode, Box<dyn Error>> {
    let mut scores = Vec::new();
    let mut last = None;
    for mode in Mode::ALL {
        let mut mean = Score::default();
        for seed in 1..=seeds {
            let (score, report) = score(mode, count, seed).await?;
            mean.add(&score, seeds as f64);
            last = Some(report);
        }
        if std::io::stderr().is_terminal() {
            eprint!("\r{:60}\r", "");
        }
        scores.push((mode, mean));
    }

    if figures {
        for (mode, s) in &scores {
            println!("{}", serde_json::json!({ "engine": mode.figure(), "value": s.exact, "seeds": seeds }));
        }
        return Ok(ExitCode::SUCCESS);
    }
    println!("{count} numbers for each of {seeds} seeds; shares of all numbers, means over the seeds\n");
    println!(
        "{:36} {:>7} {:>16} {:>9} {:>7} {:>20} {:>8}",
        "", "exact", "undetected wrong", "withheld", "harmed", "heavy calls / number", "time"
    );
    for (mode, s) in &scores {
        println!(
            "{:36} {:>7.3} {:>16.3} {:>9.3} {:>7.3} {:>20.2} {:>6.1} s",
            mode.name(),
            s.exact,
            s.undetected,
            s.withheld,
            s.harmed,
            s.heavy_calls,
            s.seconds
        );
    }
    println!();
    if let Some(report) = last {
        println!("the last run of *light with handlers*:\n{report}");
    }
    let mut kept = check(&scores);
    if count * seeds >= MEASURED {
        kept &= check_against_training(&scores)?;
    }
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Score {
    fn add(&mut self, one: &Score, of: f64) {
        self.exact += one.exact / of;
        self.undetected += one.undetected / of;
        self.withheld += one.withheld / of;
        self.harmed += one.harmed / of;
        self.heavy_calls += one.heavy_calls / of;
        self.seconds += one.seconds / of;
    }
}

async fn score(mode: Mode, count: u64, seed: u64) -> Result<(Score, Report), Box<dyn Error>> {
    let policy = Policy::load()?;
    let first_right = Arc::new(AtomicU64::new(0));
    let flow = Workflow::new("account-numbers").placed(plan()?);
    let numbers = Pictures::test(&policy)?.numbers(seed, mode.begins_heavy()).take(count as usize);
    let numbers = flow.source("numbers", numbers);

    let (done, name) = (Arc::new(AtomicU64::new(0)), mode.name());
    let watched = std::io::stderr().is_terminal();
    if !watched {
        eprintln!("{name}, seed {seed}");
    }
    let out = flow::read(numbers, mode, policy, &first_right)
        .inspect(move |_| {
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if watched && done.is_multiple_of(100) {
                eprint!("\r{name}, seed {seed}: {done} of {count}   ");
            }
        })
        .collect();
    let clock = Clock::real();
    let mut report = flow.run().await?;
    let seconds = clock.now();
    if !report.is_balanced() {
        return Err(format!("records were lost:\n{report}").into());
    }

    let out = report.take(out);
    let share = |n: u64| n as f64 / count as f64;
    let exact = out.iter().filter(|number| number.is_right()).count() as u64;
    let kept_right =
        out.iter().filter(|number| number.first == number.truth && number.is_right()).count() as u64;
    let score = Score {
        exact: share(exact),
        undetected: share(out.len() as u64 - exact),
        withheld: share(count - out.len() as u64),
        harmed: share(first_right.load(Ordering::Relaxed) - kept_right),
        heavy_calls: share(report.model_items("heavy").unwrap_or(0)),
        seconds: Duration::as_secs_f64(&seconds),
    };
    Ok((score, report))
}

/// Holds the table against what this example promises.
fn check(scores: &[(Mode, Score)]) -> bool {
    let of =
        |wanted: Mode| scores.iter().find(|(mode, _)| *mode == wanted).map(|(_, s)| *s).unwrap_or_default();
    let (heavy, corrected, handlers) = (of(Mode::Heavy), of(Mode::HeavyCorrected), of(Mode::Handlers));
    let promises = [
        ("light with handlers beats heavy everywhere", handlers.exact > heavy.exact),
        ("… is within .01 of heavy everywhere with the corrector", handlers.exact > corrected.exact - 0.01),
        ("… at fewer than 60 % of its heavy calls", handlers.heavy_calls < 0.6 * corrected.heavy_calls),
    ];
    for (promise, kept) in promises {
        println!("{} {promise}", if kept { "✓" } else { "✗" });
    }
    promises.iter().all(|(_, kept)| *kept)
}

/// Holds the table against what `train.py` measured of the same policy, in another language and on other draws.
fn check_against_training(scores: &[(Mode, Score)]) -> Result<bool, Box<dyn Error>> {
    let expected: serde_json::Value = serde_json::from_str(include_str!("expected.json"))?;
    let mut all = true;
    for (mode, score) in scores {
        for (measure, value, within) in [
            ("exact", score.exact, NEAR),
            ("undetected_wrong", score.undetected, NEAR),
            ("heavy_calls", score.heavy_calls, 0.3),
        ] {
            let wanted = &expected["modes"][mode.key()][measure]["mean"];
            if wanted.as_f64().is_none_or(|wanted| (value - wanted).abs() > within) {
                println!("✗ {}: {measure} is {value:.3}, expected.json says {wanted}", mode.name());
                all = false;
            }
        }
    }
    if all {
        println!("✓ the table is as the training script measured it, within {NEAR}");
    }
    Ok(all)
}

/// Numbers in all from which the table is held against `expected.json`, and how near it must be: three standard errors of
/// the reading that varies most.
const MEASURED: u64 = 6000;
const NEAR: f64 = 0.03;
