//! What a handler is worth: the same receipts with it and without it, where the models remember what they have given.

use std::error::Error;

use eddyline::{Comparison, handlers::Meter, prelude::*};
use serde::Serialize;

use crate::{
    fields::Fields,
    flow::{self, Meters, Way},
    page::Page,
};

/// The models, by their names in the workflow.
const MODELS: [&str; 5] = ["orientation", "light detector", "heavy detector", "light reader", "heavy reader"];

/// What is read of a receipt.
#[derive(Serialize)]
struct Read {
    receipt: usize,
    fields: Fields,
}

/// Reads receipts with all handlers, then without this one, and prints what differs and how often models were called.
pub async fn without(handler: &str, count: usize, plan: &Plan) -> Result<(), Box<dyn Error>> {
    let memo = Memo::new();
    let (with, first) = run(None, count, plan, &memo).await?;
    let (without, second) = run(Some(handler), count, plan, &memo).await?;
    println!("with all handlers    {first} items for the models");
    println!("without {handler:12} {second} items for the models, {} remembered", memo.read().remembered);
    print!("{}", Comparison::of(&with, &without, |read| read.receipt));
    Ok(())
}

async fn run(
    without: Option<&str>,
    count: usize,
    plan: &Plan,
    memo: &Memo,
) -> Result<(Vec<Read>, u64), Box<dyn Error>> {
    let flow = flow::new("receipts").placed(plan.clone());
    let flow = without.iter().fold(flow, |flow, handler| flow.without(handler));
    let meters = Meters { spelling: Meter::new("spelling"), amounts: Meter::new("amounts") };
    let pages = flow.source("receipts", Page::all(1, false).take(count));
    let (read, clerks) = flow::read(pages, Way::Handlers, &meters, Some(memo))?;
    if let Some(clerks) = clerks {
        // No people here: what they are asked about does not come out.
        clerks.answered_by(|_, _| Some(Answer::reject("needs a person")));
    }
    let read = read.collect();
    let mut report = flow.run().await?;
    let read =
        report.take(read).into_iter().map(|read| Read { receipt: read.page.number, fields: read.fields });
    Ok((read.collect(), MODELS.iter().filter_map(|model| report.model_items(model)).sum()))
}
