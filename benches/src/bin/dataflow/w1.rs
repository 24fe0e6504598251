//! W1: three maps and two filters; 27 of 35 records survive.

use std::error::Error;

use eddyline::prelude::*;
use timely::dataflow::operators::{
    Inspect,
    vec::{Filter, Map, ToStream},
};

use crate::{
    chunks, no_such_engine, on_tokio,
    record::{Rec, Seen, Shared},
};

pub fn triple(mut r: Rec) -> Rec {
    r.id = 3 * r.id + 1;
    r
}

pub fn no_tens(r: &Rec) -> bool {
    !r.id.is_multiple_of(10)
}

pub fn note(mut r: Rec) -> Rec {
    r.p[0] = r.id;
    r
}

pub fn no_sevens(r: &Rec) -> bool {
    !r.id.is_multiple_of(7)
}

pub fn shift(mut r: Rec) -> Rec {
    r.id += r.p[1] % 256;
    r
}

/// The counts and sums that everybody must come to, where they are known from elsewhere.
const KNOWN: [(u64, Seen); 3] = [
    (1_000, Seen { count: 771, sum: 1_251_887 }),
    (1_000_000, Seen { count: 771_429, sum: 1_157_242_452_029 }),
    (10_000_000, Seen { count: 7_714_285, sum: 115_715_247_422_161 }),
];

pub fn run(engine: &str, n: u64) -> Result<(), Box<dyn Error>> {
    let seen = match engine {
        "eddyline" => on_tokio(eddyline(n, true, Lineage::Off))??,
        "ids" => on_tokio(eddyline(n, true, Lineage::Ids))??,
        "unfused" => on_tokio(eddyline(n, false, Lineage::Off))??,
        "timely" => timely(n)?,
        "tokio" => on_tokio(tokio(n))?,
        "plain" => plain(n),
        _ => return Err(no_such_engine(engine)),
    };
    match KNOWN.iter().find(|(of, _)| *of == n) {
        Some((_, expected)) => seen.check(*expected),
        None => seen.check(plain(n)),
    }
}

fn plain(n: u64) -> Seen {
    let mut seen = Seen::default();
    each(n, Rec::new, |r| seen.add_record(r));
    seen
}

/// The plain loop.
pub fn each(n: u64, source: impl Fn(u64) -> Rec, mut sink: impl FnMut(&Rec)) {
    for i in 0..n {
        let r = triple(source(i));
        if no_tens(&r) {
            let r = note(r);
            if no_sevens(&r) {
                sink(&shift(r));
            }
        }
    }
}

/// The workflow between a source and what is done with each record that survives.
pub fn steps(source: Stream<Rec>) -> Stream<Rec> {
    source.map(triple).filter(no_tens).map(note).filter(no_sevens).map(shift)
}

async fn eddyline(n: u64, fused: bool, lineage: Lineage) -> Result<Seen, RunError> {
    let seen = Shared::default();
    let sink = seen.clone();
    let flow = Workflow::new("W1").fused(fused).lineage(lineage);
    steps(flow.source("records", (0..n).map(Rec::new))).for_each(move |r| sink.add_record(&r));
    flow.run().await?;
    Ok(seen.get())
}

/// One worker: with two it takes more processor time.
fn timely(n: u64) -> Result<Seen, String> {
    let seen = Shared::default();
    let sink = seen.clone();
    timely::execute_directly(move |worker| {
        worker.dataflow::<u64, _, _>(|scope| {
            (0..n)
                .map(Rec::new)
                .to_stream(scope)
                .map(triple)
                .filter(no_tens)
                .map(note)
                .filter(no_sevens)
                .map(shift)
                .inspect(move |r| sink.add_record(r));
        });
    });
    Ok(seen.get())
}

pub async fn tokio(n: u64) -> Seen {
    let mut last = chunked(chunks::source(n, Rec::new));
    let mut seen = Seen::default();
    while let Some(chunk) = last.recv().await {
        chunk.iter().for_each(|r| seen.add_record(r));
    }
    seen
}

/// The five steps as tasks.
pub fn chunked(
    source: tokio::sync::mpsc::Receiver<chunks::Chunk>,
) -> tokio::sync::mpsc::Receiver<chunks::Chunk> {
    let all = |f: fn(Rec) -> Rec| move |chunk: &mut chunks::Chunk| chunk.iter_mut().for_each(|r| *r = f(*r));
    let steps = chunks::step(source, all(triple));
    let steps = chunks::step(steps, |chunk| chunk.retain(no_tens));
    let steps = chunks::step(steps, all(note));
    let steps = chunks::step(steps, |chunk| chunk.retain(no_sevens));
    chunks::step(steps, all(shift))
}
