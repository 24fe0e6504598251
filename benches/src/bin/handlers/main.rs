//! What handlers are worth, and what they cost.
//!
//! `handlers` measures both; `handlers cost` only what they cost; `handlers cost rejected file 100000` is one measurement alone.

mod cost;
mod scores;

use std::error::Error;

use eddyline_benches::report;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let figures = match args.as_slice() {
        ["cost", case, engine, records] => return cost::one(case, engine, records.parse()?),
        ["cost"] => cost::all()?,
        [] => [scores::all()?, cost::all()?].concat(),
        _ => return Err("say nothing, or `cost`".into()),
    };
    Ok(report("handlers", &figures)?)
}
