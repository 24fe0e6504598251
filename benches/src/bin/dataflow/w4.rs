//! W4: a model that is busy for 50 µs with a batch of 32, behind a map and a filter; one replica.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use eddyline::prelude::*;
use eddyline_planner::{Cluster, Pipeline, Plan};
use timely::dataflow::{
    channels::pact,
    operators::{
        Inspect,
        generic::Operator,
        vec::{Filter, Map, ToStream},
    },
};

use crate::{
    chunks, no_such_engine, on_tokio,
    record::{Rec, Seen, Shared},
    w1::{no_tens, triple},
};

const BATCH: usize = 32;
const CALL: Duration = Duration::from_micros(50);

/// The model: it looks at the time until its own is over.
#[allow(clippy::disallowed_methods, reason = "the load of a benchmark, not a part of a run")]
fn spin() {
    let begun = Instant::now();
    while begun.elapsed() < CALL {
        std::hint::spin_loop();
    }
}

pub fn run(engine: &str, n: u64) -> Result<(), Box<dyn Error>> {
    let seen = match engine {
        "eddyline" => on_tokio(eddyline(n))??,
        "timely" => timely(n),
        "tokio" => on_tokio(tokio(n))?,
        "plain" => plain(n),
        _ => return Err(no_such_engine(engine)),
    };
    let mut expected = Seen::default();
    (0..n).map(Rec::new).map(triple).filter(no_tens).for_each(|r| expected.add(r.id));
    seen.check(expected)
}

fn plain(n: u64) -> Seen {
    let (mut seen, mut batch) = (Seen::default(), Vec::with_capacity(BATCH));
    for r in (0..n).map(Rec::new).map(triple).filter(no_tens) {
        batch.push(r);
        if batch.len() == BATCH {
            spin();
            batch.drain(..).for_each(|r| seen.add_record(&r));
        }
    }
    if !batch.is_empty() {
        spin();
        batch.iter().for_each(|r| seen.add_record(r));
    }
    seen
}

async fn eddyline(n: u64) -> Result<Seen, Box<dyn Error>> {
    let seen = Shared::default();
    let sink = seen.clone();
    let plan = Plan::new(Cluster::cpu(), Vec::new(), vec![Pipeline::whole("spin", BATCH as u32, ["cpu"])])?;
    let flow = Workflow::new("W4").placed(plan);
    let model = Model::function(|rows: &[Rec]| {
        spin();
        rows.to_vec()
    });
    flow.source("records", (0..n).map(Rec::new))
        .map(triple)
        .filter(no_tens)
        .model("spin", model)
        .for_each(move |r| sink.add_record(&r));
    flow.run().await?;
    Ok(seen.get())
}

fn timely(n: u64) -> Seen {
    let seen = Shared::default();
    let sink = seen.clone();
    timely::execute_directly(move |worker| {
        worker.dataflow::<u64, _, _>(|scope| {
            let rows = (0..n).map(Rec::new).to_stream(scope).map(triple).filter(no_tens);
            rows.unary_frontier(pact::Pipeline, "model", |_, _| {
                let (mut batch, mut held) = (Vec::<Rec>::with_capacity(BATCH), None);
                move |(input, frontier), output| {
                    input.for_each(|time, data| {
                        for r in data.drain(..) {
                            batch.push(r);
                            if batch.len() == BATCH {
                                spin();
                                output.session(&time).give_iterator(batch.drain(..));
                            }
                        }
                        held = Some(time.retain(0));
                    });
                    if frontier.is_empty()
                        && let Some(time) = held.take()
                        && !batch.is_empty()
                    {
                        spin();
                        output.session(&time).give_iterator(batch.drain(..));
                    }
                }
            })
            .container::<Vec<_>>()
            .inspect(move |r: &Rec| sink.add_record(r));
        });
    });
    seen.get()
}

async fn tokio(n: u64) -> Seen {
    let source = chunks::source(n, Rec::new);
    let mapped = chunks::step(source, |chunk| chunk.iter_mut().for_each(|r| *r = triple(*r)));
    let mut kept = chunks::step(mapped, |chunk| chunk.retain(no_tens));
    let (to_sink, mut answers) = tokio::sync::mpsc::channel::<chunks::Chunk>(8);
    tokio::spawn(async move {
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(chunk) = kept.recv().await {
            for r in chunk {
                batch.push(r);
                if batch.len() == BATCH {
                    spin();
                    let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                    if to_sink.send(full).await.is_err() {
                        return;
                    }
                }
            }
        }
        if !batch.is_empty() {
            spin();
            // Nobody is there any more where this fails.
            let _ = to_sink.send(batch).await;
        }
    });
    let mut seen = Seen::default();
    while let Some(batch) = answers.recv().await {
        batch.iter().for_each(|r| seen.add_record(r));
    }
    seen
}
