//! Reads account numbers that are written by hand: a light model first, and handlers that look again, correct and reject.
//!
//! `--once` compares five ways to do it and prints a table; without it numbers come for ever and a page shows the run.

mod flow;
mod number;
mod policy;
mod table;

use std::{
    error::Error,
    process::ExitCode,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use eddyline::prelude::*;

use crate::{flow::Mode, number::Pictures, policy::Policy};

/// Time between two numbers while the page is open.
const PACE: Duration = Duration::from_millis(1);

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode, Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let known = ["--once", "--figures", "--numbers", "--seeds", "--listen", "--token", "--help"];
    let unknown = args.iter().find(|arg| arg.starts_with("--") && !known.contains(&arg.as_str()));
    if args.iter().any(|arg| arg == "--help") || unknown.is_some() {
        if let Some(arg) = unknown {
            eprintln!("there is no option {arg}");
        }
        println!("account-numbers [--listen 127.0.0.1:8080]          read numbers for ever, with the page");
        println!(
            "                [--token WORD]                      nobody steers it who does not say this"
        );
        println!("account-numbers --once [--numbers 2000] [--seeds 3] compare five ways, print the table");
        println!(
            "                                                    (--figures: the scores only, as JSON lines)"
        );
        return Ok(if unknown.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    if args.iter().any(|arg| arg == "--once") {
        let numbers = value("--numbers").map_or(Ok(2000), |n| n.parse())?;
        let seeds = value("--seeds").map_or(Ok(3), |n| n.parse())?;
        return table::compare(numbers, seeds, args.iter().any(|arg| arg == "--figures")).await;
    }
    let page = web_ui::on(value("--listen").map_or("127.0.0.1:8080", String::as_str));
    let page = match value("--token") {
        Some(token) => page.token(token),
        None => page,
    };
    for_ever(page).await?;
    Ok(ExitCode::SUCCESS)
}

/// Where the models run: the light one on two slow devices, the heavy one on a fast one.
fn plan() -> Result<Plan, Box<dyn Error>> {
    Ok(Plan::from_toml(include_str!("plan.toml"), "plan.toml")?)
}

async fn for_ever(page: web_ui::Page) -> Result<(), Box<dyn Error>> {
    let policy = Policy::load()?;
    let numbers = Pictures::test(&policy)?.numbers(1, false).inspect(|_| std::thread::sleep(PACE));
    let flow = Workflow::new("account-numbers").placed(plan()?).lineage(Lineage::Ids);
    let numbers = flow.source("numbers", numbers).replayable();
    flow::read(numbers, Mode::Handlers, policy, &Arc::new(AtomicU64::new(0))).ignore().named("read");
    let report = flow.run_with(page.until_ctrl_c()).await?;
    print!("{report}");
    Ok(())
}
