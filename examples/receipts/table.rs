//! The table: four ways to read the same receipts, held against the truth.

use std::{
    error::Error,
    hash::{DefaultHasher, Hash, Hasher},
    io::IsTerminal,
    process::ExitCode,
};

use eddyline::{
    handlers::{Meter, MeterReport},
    prelude::*,
    runtime::clock::Clock,
};

use crate::{
    bootstrap,
    draw::Fault,
    flow::{self, Meters, Reading, Way},
    page::Page,
    score::Score,
};

/// Models, and what one call of each costs: milliseconds of processor time in tract, on one thread of a busy AMD EPYC, for a page
/// and for a strip of the usual width. The table counts in these, so that it does not depend on who else uses the machine.
const PRICES_MS: [(&str, f64); 5] = [
    ("orientation", 16.0),
    ("light detector", 150.0),
    ("heavy detector", 190.0),
    ("light reader", 8.0),
    ("heavy reader", 35.0),
];

/// What came of one receipt.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    fault: Fault,
    score: Score,
    came_out: bool,
    /// Every field is right.
    is_right: bool,
    has_date: bool,
}

/// What came of all receipts in one way. Outcomes are in the order of the receipts.
struct Result {
    way: Way,
    outcomes: Vec<Outcome>,
    /// Of all that was read: the same where everything is the same to the letter.
    digest: u64,
    calls: Vec<u64>,
    busy_s: f64,
    wall_s: f64,
}

/// Reads `count` receipts for each seed in all ways, prints the tables, and says whether they show what they should; or prints only
/// each way's F1, for the benchmark `handlers`.
pub async fn compare(
    count: usize,
    seeds: u64,
    plan: &Plan,
    figures: bool,
) -> std::result::Result<ExitCode, Box<dyn Error>> {
    let mut results = Vec::new();
    let mut last = None;
    for way in Way::ALL {
        let (result, said) = run(way, count, seeds, plan).await?;
        results.push(result);
        last = Some(said);
    }
    if figures {
        for result in &results {
            let figure = result.score(|_| true).f1();
            println!(
                "{}",
                serde_json::json!({ "engine": result.way.key(), "value": figure, "seeds": seeds })
            );
        }
        return Ok(ExitCode::SUCCESS);
    }
    println!("{count} receipts for each of {seeds} seeds; an item with its price is one field\n");
    print_ways(&results);
    print_faults(&results);
    let digests: Vec<String> = results.iter().map(|result| format!("{:016x}", result.digest)).collect();
    println!("\nDigests of what was read: {}", digests.join(", "));
    print_calls(&results);
    if let Some(said) = last {
        println!("\nlight with handlers:\n{said}");
    }
    Ok(if check(&results) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(
    way: Way,
    count: usize,
    seeds: u64,
    plan: &Plan,
) -> std::result::Result<(Result, String), Box<dyn Error>> {
    let pages: Vec<_> = (1..=seeds).map(|seed| Page::all(seed, way == Way::Heavy).take(count)).collect();
    let total = count * seeds as usize;
    let pages = pages.into_iter().flatten().enumerate().map(|(number, page)| Page { number, ..page });
    // The truth of what does not come out.
    let mut truths = Vec::new();
    for seed in 1..=seeds {
        truths.extend(Page::all(seed, false).take(count).map(|page| (page.fault, page.truth)));
    }
    let is_right =
        |reading: &Reading| Some(Score::of(Some(&reading.fields), &reading.page.truth).is_perfect());
    let meters = Meters {
        spelling: Meter::new("spelling").with_truth(is_right),
        amounts: Meter::new("amounts").with_truth(is_right),
    };
    let flow = flow::new("receipts").placed(plan.clone());
    let (read, clerks) = flow::read(flow.source("receipts", pages), way, &meters, None)?;
    if let Some(clerks) = clerks {
        // No people here: what they are asked about only counts.
        clerks.answered_by(|_, _| Some(Answer::reject("needs a person")));
    }
    let (name, watched) = (way.name(), std::io::stderr().is_terminal());
    let mut done = 0;
    let read = read
        .inspect(move |_| {
            done += 1;
            if watched {
                eprint!("\r{name}: {done} of {total}   ");
            }
        })
        .collect();
    let clock = Clock::real();
    let mut report = flow.run().await?;
    let wall_s = clock.now().as_secs_f64();
    if watched {
        eprint!("\r{:60}\r", "");
    }
    if !report.is_balanced() {
        return Err(format!("records were lost:\n{report}").into());
    }
    let mut readings: Vec<Option<Reading>> = truths.iter().map(|_| None).collect();
    for reading in report.take(read) {
        let number = reading.page.number;
        readings[number] = Some(reading);
    }
    let outcomes = truths.iter().zip(&readings).map(|((fault, truth), reading)| {
        let fields = reading.as_ref().map(|reading| &reading.fields);
        let score = Score::of(fields, truth);
        Outcome {
            fault: *fault,
            score,
            came_out: reading.is_some(),
            is_right: score.is_perfect(),
            has_date: fields.is_some_and(|fields| fields.date.as_deref() == Some(&truth.date)),
        }
    });
    let mut digest = DefaultHasher::new();
    let texts = readings.iter().map(|reading| reading.as_ref().map(|reading| &reading.lines));
    texts.for_each(|lines| lines.hash(&mut digest));
    let result = Result {
        way,
        digest: digest.finish(),
        outcomes: outcomes.collect(),
        calls: PRICES_MS.map(|(model, _)| report.model_items(model).unwrap_or(0)).to_vec(),
        busy_s: report.snapshot().devices.iter().map(|device| device.busy_us as f64 / 1e6).sum(),
        wall_s,
    };
    let metered = MeterReport::of([meters.spelling.read(), meters.amounts.read()]);
    Ok((result, format!("{report}\n{metered}")))
}

impl Result {
    fn score(&self, of: impl Fn(&Outcome) -> bool) -> Score {
        let mut sum = Score::default();
        self.outcomes.iter().filter(|outcome| of(outcome)).for_each(|outcome| sum += outcome.score);
        sum
    }

    /// Of these receipts, some of them several times.
    fn f1(&self, numbers: &[usize]) -> f64 {
        let mut sum = Score::default();
        numbers.iter().for_each(|number| sum += self.outcomes[*number].score);
        sum.f1()
    }

    fn count(&self, of: impl Fn(&Outcome) -> bool) -> usize {
        self.outcomes.iter().filter(|outcome| of(outcome)).count()
    }

    /// Receipts that were right in `before` and are not here.
    fn harmed(&self, before: &Result) -> usize {
        before
            .outcomes
            .iter()
            .zip(&self.outcomes)
            .filter(|(before, now)| before.is_right && !now.is_right)
            .count()
    }

    /// All calls, seconds by their prices.
    fn cost_s(&self) -> f64 {
        self.calls.iter().zip(PRICES_MS).map(|(calls, (_, price))| *calls as f64 * price / 1e3).sum()
    }
}

fn of(results: &[Result], way: Way) -> &Result {
    results.iter().find(|result| result.way == way).unwrap_or(&results[0])
}

fn print_ways(results: &[Result]) {
    println!(
        "| | field F1 | 95 % | precision | recall | receipts right | wrong and undetected | to a person, or dropped | harmed | cost |"
    );
    println!("|---|--:|---|--:|--:|--:|--:|--:|--:|--:|");
    let heavy = of(results, Way::Heavy).cost_s();
    for result in results {
        let score = result.score(|_| true);
        let (least, most) = bootstrap::interval(result.outcomes.len(), |numbers| result.f1(numbers));
        println!(
            "| {} | {:.3} | {least:.3}–{most:.3} | {:.3} | {:.3} | {} | {} | {} | {} | {:.2} |",
            result.way.name(),
            score.f1(),
            score.precision(),
            score.recall(),
            result.count(|outcome| outcome.is_right),
            result.count(|outcome| outcome.came_out && !outcome.is_right),
            result.count(|outcome| !outcome.came_out),
            result.harmed(of(results, Way::None)),
            result.cost_s() / heavy,
        );
    }
}

fn print_faults(results: &[Result]) {
    println!("\nField F1, and receipts whose date came out right, by what was done to the picture:\n");
    print!("| |");
    results.iter().for_each(|result| print!(" {} |", result.way.name()));
    println!("\n|---|{}", "---|".repeat(results.len()));
    for fault in Fault::ALL {
        let is = |outcome: &Outcome| outcome.fault == fault;
        if results[0].count(is) == 0 {
            continue;
        }
        print!("| {} |", fault.name());
        for result in results {
            let dates = result.count(|outcome| is(outcome) && outcome.has_date);
            print!(" {:.3}, {dates} of {} |", result.score(is).f1(), result.count(is));
        }
        println!();
    }
}

fn print_calls(results: &[Result]) {
    println!("\nCalls, and how long it took:\n");
    print!("| |");
    PRICES_MS.iter().for_each(|(model, _)| print!(" {model} |"));
    println!(" busy | time |\n|---|{}", "--:|".repeat(PRICES_MS.len() + 2));
    for result in results {
        print!("| {} |", result.way.name());
        result.calls.iter().for_each(|calls| print!(" {calls} |"));
        println!(" {:.1} s | {:.1} s |", result.busy_s, result.wall_s);
    }
}

/// Holds the tables against what this example promises.
fn check(results: &[Result]) -> bool {
    let f1 = |way: Way| of(results, way).score(|_| true).f1();
    let crooked_or_noisy = |outcome: &Outcome| {
        matches!(outcome.fault, Fault::Crooked3 | Fault::Crooked8 | Fault::Sideways | Fault::Noisy)
    };
    let hard = |way: Way| of(results, way).score(crooked_or_noisy).f1();
    let handlers = of(results, Way::Handlers);
    let noisy = |outcome: &Outcome| outcome.fault == Fault::Noisy;
    let dates = handlers.count(|outcome| noisy(outcome) && outcome.has_date);
    let promises = [
        ("handlers beat none", f1(Way::Handlers) > f1(Way::None)),
        ("… and detect and drop", f1(Way::Handlers) > f1(Way::Drop)),
        ("… on turned and noisy receipts none by .20 at least", hard(Way::Handlers) >= hard(Way::None) + 0.2),
        ("… and find the date of 9 in 10 at σ = 30", 10 * dates >= 9 * handlers.count(noisy)),
        (
            "… at no more than 60 % of the heavy models' cost",
            handlers.cost_s() <= 0.6 * of(results, Way::Heavy).cost_s(),
        ),
    ];
    println!();
    for (promise, kept) in promises {
        println!("{} {promise}", if kept { "✓" } else { "✗" });
    }
    promises.iter().all(|(_, kept)| *kept)
}
