//! Reads receipts: a detector finds the text, a reader reads it, and handlers straighten, clean, look again and ask.
//!
//! `--once` compares four ways to do it and prints tables; without it receipts come for ever and a page shows the run.

mod bootstrap;
mod boxes;
mod draw;
mod fields;
mod flow;
mod handlers;
mod models;
mod page;
mod picture;
mod receipt;
mod score;
mod table;
mod what_if;

use std::{error::Error, process::ExitCode};

use eddyline::{handlers::Meter, prelude::*};

use crate::{
    flow::{Meters, Way},
    page::Page,
};

/// Time between two receipts while the page is open.
const PACE: Duration = Duration::from_millis(700);

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

const HELP: &str = "\
receipts [--listen 127.0.0.1:8080] [--plan FILE]             read receipts for ever, with the page
         [--token WORD]                                      (nobody steers it who does not say this)
receipts --once [--receipts 32] [--seeds 3] [--plan FILE]    compare four ways, print the tables
                                                             (--figures: the scores only, as JSON lines)
receipts --without HANDLER [--receipts 32] [--plan FILE]     read the same with a handler and without it, print what differs";

async fn run() -> Result<ExitCode, Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let known = [
        "--once",
        "--figures",
        "--receipts",
        "--seeds",
        "--plan",
        "--listen",
        "--token",
        "--without",
        "--help",
    ];
    if let Some(arg) = args.iter().find(|arg| arg.starts_with("--") && !known.contains(&arg.as_str())) {
        return Err(format!("there is no option {arg}\n{HELP}").into());
    }
    if args.iter().any(|arg| arg == "--help") {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let plan = match value("--plan") {
        Some(path) => Plan::load(path)?,
        None => Plan::from_toml(include_str!("cpu.toml"), "cpu.toml")?,
    };
    let number = |name: &str, otherwise: usize| match value(name).map(|text| text.parse()) {
        None => Ok(otherwise),
        Some(Ok(number)) if number > 0 => Ok(number),
        Some(_) => Err(format!("{name} wants a whole number from 1 on")),
    };
    if let Some(handler) = value("--without") {
        what_if::without(handler, number("--receipts", 32)?, &plan).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.iter().any(|arg| arg == "--once") {
        let (receipts, seeds) = (number("--receipts", 32)?, number("--seeds", 3)? as u64);
        return table::compare(receipts, seeds, &plan, args.iter().any(|arg| arg == "--figures")).await;
    }
    let page = web_ui::on(value("--listen").map_or("127.0.0.1:8080", String::as_str));
    let page = match value("--token") {
        Some(token) => page.token(token),
        None => page,
    };
    for_ever(page, plan).await?;
    Ok(ExitCode::SUCCESS)
}

async fn for_ever(page: web_ui::Page, plan: Plan) -> Result<(), Box<dyn Error>> {
    let flow = flow::new("receipts").placed(plan);
    let meters = Meters { spelling: Meter::new("spelling"), amounts: Meter::new("amounts") };
    let receipts = Page::all(1, false).inspect(|_| std::thread::sleep(PACE));
    let (read, _clerks) = flow::read(flow.source("receipts", receipts), Way::Handlers, &meters, None)?;
    read.ignore().named("read");
    let report = flow.run_with(page.until_ctrl_c()).await?;
    print!("{report}");
    Ok(())
}
