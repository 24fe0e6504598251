//! W2: a symmetric hash join of two inputs as they come; one key in ten has a partner.

use std::{collections::HashMap, error::Error, hint::black_box};

use eddyline::prelude::*;
use timely::dataflow::{
    channels::pact::Pipeline,
    operators::{Inspect, generic::Operator, vec::ToStream},
};

use crate::{
    chunks::{self, Chunk},
    no_such_engine, on_tokio,
    record::{Rec, Seen, Shared},
};

/// Spreads a number over all keys, one to one.
fn spread(i: u64) -> u64 {
    let x = (i ^ (i >> 31)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 32)
}

fn left(i: u64) -> Rec {
    Rec { id: spread(i), p: [i; 8] }
}

/// Every tenth has the key of a left one.
fn right(i: u64) -> Rec {
    Rec { id: spread(if i.is_multiple_of(10) { i } else { !i }), p: [i; 8] }
}

fn sum_of(a: &[u64; 8], b: &[u64; 8]) -> u64 {
    black_box(a[0]).wrapping_add(black_box(b[7]))
}

pub fn run(engine: &str, n: u64) -> Result<(), Box<dyn Error>> {
    let seen = match engine {
        "eddyline" => on_tokio(eddyline(n))??,
        "timely" => timely(n),
        "tokio" => on_tokio(tokio(n))?,
        "plain" => plain(n),
        _ => return Err(no_such_engine(engine)),
    };
    let pairs = n.div_ceil(10);
    seen.check(Seen { count: pairs, sum: 10 * pairs * (pairs - 1) })
}

/// One side's rows. Keys are unique here, so a value is stored in its bucket.
type Rows = HashMap<u64, [u64; 8]>;

fn meet(r: &Rec, mine: &mut Rows, others: &Rows, seen: &mut Seen) {
    if let Some(other) = others.get(&r.id) {
        seen.add(sum_of(&r.p, other));
    }
    mine.insert(r.id, r.p);
}

fn plain(n: u64) -> Seen {
    let (mut lefts, mut rights, mut seen) = (Rows::new(), Rows::new(), Seen::default());
    for i in 0..n {
        meet(&left(i), &mut lefts, &rights, &mut seen);
        meet(&right(i), &mut rights, &lefts, &mut seen);
    }
    seen
}

async fn eddyline(n: u64) -> Result<Seen, RunError> {
    let seen = Shared::default();
    let sink = seen.clone();
    let flow = Workflow::new("W2");
    let lefts = flow.source("lefts", (0..n).map(left));
    let rights = flow.source("rights", (0..n).map(right));
    lefts
        .join(rights, Duration::from_secs(3600), |l| l.id, |r| r.id)
        .for_each(move |(l, r)| sink.add(sum_of(&l.p, &r.p)));
    flow.run().await?;
    Ok(seen.get())
}

fn timely(n: u64) -> Seen {
    let seen = Shared::default();
    let sink = seen.clone();
    timely::execute_directly(move |worker| {
        worker.dataflow::<u64, _, _>(|scope| {
            let lefts = (0..n).map(left).to_stream(scope);
            let rights = (0..n).map(right).to_stream(scope);
            lefts
                .binary(rights, Pipeline, Pipeline, "join", |_, _| {
                    let (mut lefts, mut rights) =
                        (HashMap::<u64, Vec<Rec>>::new(), HashMap::<u64, Vec<Rec>>::new());
                    move |from_left, from_right, output| {
                        from_left.for_each_time(|time, data| {
                            let mut session = output.session(&time);
                            for l in data.flat_map(|rows| rows.drain(..)) {
                                rights.get(&l.id).into_iter().flatten().for_each(|r| session.give((l, *r)));
                                lefts.entry(l.id).or_default().push(l);
                            }
                        });
                        from_right.for_each_time(|time, data| {
                            let mut session = output.session(&time);
                            for r in data.flat_map(|rows| rows.drain(..)) {
                                lefts.get(&r.id).into_iter().flatten().for_each(|l| session.give((*l, r)));
                                rights.entry(r.id).or_default().push(r);
                            }
                        });
                    }
                })
                .container::<Vec<_>>()
                .inspect(move |(l, r): &(Rec, Rec)| sink.add(sum_of(&l.p, &r.p)));
        });
    });
    seen.get()
}

async fn tokio(n: u64) -> Seen {
    let (mut from_left, mut from_right) = (chunks::source(n, left), chunks::source(n, right));
    let (to_sink, mut pairs) = tokio::sync::mpsc::channel::<Vec<(Rec, Rec)>>(8);
    tokio::spawn(async move {
        let (mut lefts, mut rights) = (HashMap::<u64, Vec<Rec>>::new(), HashMap::<u64, Vec<Rec>>::new());
        let meet = |chunk: Chunk, mine: &mut HashMap<u64, Vec<Rec>>, others: &HashMap<u64, Vec<Rec>>| {
            let mut met = Vec::new();
            for r in chunk {
                others.get(&r.id).into_iter().flatten().for_each(|other| met.push((r, *other)));
                mine.entry(r.id).or_default().push(r);
            }
            met
        };
        loop {
            let met = tokio::select! {
                Some(chunk) = from_left.recv() => meet(chunk, &mut lefts, &rights),
                Some(chunk) = from_right.recv() => meet(chunk, &mut rights, &lefts),
                else => return,
            };
            if !met.is_empty() && to_sink.send(met).await.is_err() {
                return;
            }
        }
    });
    let mut seen = Seen::default();
    while let Some(met) = pairs.recv().await {
        met.iter().for_each(|(a, b)| seen.add(sum_of(&a.p, &b.p)));
    }
    seen
}
