//! W3: one record in ten fails at first and is sent back, up to three times; the last are corrected or put into quarantine.

use std::error::Error;

use eddyline::prelude::*;
use timely::dataflow::operators::{
    Concat, ConnectLoop, Feedback, Inspect,
    vec::{Map, Partition, ToStream},
};

use crate::{
    chunks, no_such_engine, on_tokio,
    record::{Rec, Seen, Shared},
};

const ATTEMPT: usize = 7;

fn source(i: u64) -> Rec {
    let mut r = Rec::new(i);
    r.p[ATTEMPT] = 0;
    r
}

fn work(mut r: Rec) -> Rec {
    r.p[0] = r.id ^ r.p[ATTEMPT];
    r
}

/// What is to become of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Judged {
    Ok,
    Again,
    Corrected,
    Quarantined,
}

fn check(r: &Rec) -> Judged {
    let class = r.id / 10 % 5;
    match r.p[ATTEMPT] {
        _ if !r.id.is_multiple_of(10) => Judged::Ok,
        attempt if class < 3 && attempt > class => Judged::Ok,
        0..3 => Judged::Again,
        _ if class == 3 => Judged::Corrected,
        _ => Judged::Quarantined,
    }
}

fn next_attempt(mut r: Rec) -> Rec {
    r.p[ATTEMPT] += 1;
    r
}

/// What came of the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Outcome {
    seen: Seen,
    corrected: u64,
    quarantined: u64,
}

const KNOWN: [(u64, Seen); 3] = [
    (1_000, Seen { count: 980, sum: 489_200 }),
    (1_000_000, Seen { count: 980_000, sum: 489_999_200_000 }),
    (10_000_000, Seen { count: 9_800_000, sum: 48_999_992_000_000 }),
];

pub fn run(engine: &str, n: u64) -> Result<(), Box<dyn Error>> {
    let outcome = match engine {
        "eddyline" => on_tokio(eddyline(n, Lineage::Off))??,
        "ids" => on_tokio(eddyline(n, Lineage::Ids))??,
        "timely" => timely(n),
        "tokio" => on_tokio(tokio(n))?,
        "plain" => plain(n),
        _ => return Err(no_such_engine(engine)),
    };
    let seen = KNOWN.iter().find(|(of, _)| *of == n).map_or_else(|| plain(n).seen, |(_, seen)| *seen);
    outcome.seen.check(seen)?;
    let each = n / 50;
    match (outcome.corrected, outcome.quarantined) == (each, each) {
        true => Ok(()),
        false => Err(format!("{outcome:?}: {each} each should be corrected and quarantined").into()),
    }
}

fn plain(n: u64) -> Outcome {
    let mut outcome = Outcome::default();
    for i in 0..n {
        let mut r = source(i);
        loop {
            r = work(r);
            match check(&r) {
                Judged::Ok => outcome.seen.add_record(&r),
                Judged::Again => {
                    r = next_attempt(r);
                    continue;
                }
                Judged::Corrected => {
                    outcome.seen.add_record(&r);
                    outcome.corrected += 1;
                }
                Judged::Quarantined => outcome.quarantined += 1,
            }
            break;
        }
    }
    outcome
}

async fn eddyline(n: u64, lineage: Lineage) -> Result<Outcome, RunError> {
    let seen = Shared::default();
    let sink = seen.clone();
    let flow = Workflow::new("W3").lineage(lineage);
    let (records, again) = flow.source("records", (0..n).map(source)).feedback("again", Rounds::at_most(3));
    records
        .map(work)
        .handle_or_retry("check", again, |r| match check(r) {
            Judged::Ok => Verdict::Pass,
            Judged::Again => Verdict::Retry(next_attempt(*r)),
            Judged::Corrected => Verdict::Replace(*r),
            Judged::Quarantined => Verdict::reject("wrong after three rounds"),
        })
        .for_each(move |r| sink.add_record(&r));
    let report = flow.run().await?;
    let said = report.verdicts("check").unwrap_or_default();
    Ok(Outcome { seen: seen.get(), corrected: said.replaced, quarantined: said.rejected })
}

fn timely(n: u64) -> Outcome {
    let (seen, corrected, quarantined) = (Shared::default(), Shared::default(), Shared::default());
    let (all, mended, wrong) = (seen.clone(), corrected.clone(), quarantined.clone());
    timely::execute_directly(move |worker| {
        worker.dataflow::<u64, _, _>(|scope| {
            let (back, again) = scope.feedback(1);
            let judged =
                (0..n).map(source).to_stream(scope).concat(again).map(work).partition(4, |r: Rec| {
                    (
                        match check(&r) {
                            Judged::Ok => 0,
                            Judged::Again => 1,
                            Judged::Corrected => 2,
                            Judged::Quarantined => 3,
                        },
                        r,
                    )
                });
            let mut ways = judged.into_iter();
            let (Some(ok), Some(retry), Some(corrected), Some(quarantined)) =
                (ways.next(), ways.next(), ways.next(), ways.next())
            else {
                return;
            };
            retry.map(next_attempt).connect_loop(back);
            let corrected = corrected.inspect(move |r| mended.add(r.id));
            ok.concat(corrected).inspect(move |r| all.add_record(r));
            quarantined.inspect(move |r| wrong.add(r.id));
        });
    });
    Outcome { seen: seen.get(), corrected: corrected.get().count, quarantined: quarantined.get().count }
}

/// Forward channels are bounded; the way back is not, or the loop could fill up.
async fn tokio(n: u64) -> Outcome {
    #[allow(clippy::disallowed_methods, reason = "the reference leaves the way back unbounded")]
    let (retry, mut again) = tokio::sync::mpsc::unbounded_channel::<chunks::Chunk>();
    let mut new = chunks::source(n, source);
    let (to_check, mut worked) = tokio::sync::mpsc::channel::<chunks::Chunk>(8);
    let (to_sink, mut judged) = tokio::sync::mpsc::channel::<(chunks::Chunk, u64, u64)>(8);
    tokio::spawn(async move {
        loop {
            let mut chunk = tokio::select! {
                biased;
                Some(chunk) = again.recv() => chunk,
                Some(chunk) = new.recv() => chunk,
                else => return,
            };
            chunk.iter_mut().for_each(|r| *r = work(*r));
            if to_check.send(chunk).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(mut chunk) = worked.recv().await {
            let (mut back, mut corrected, mut quarantined) = (Vec::new(), 0, 0);
            chunk.retain(|r| match check(r) {
                Judged::Ok => true,
                Judged::Again => {
                    back.push(next_attempt(*r));
                    false
                }
                Judged::Corrected => {
                    corrected += 1;
                    true
                }
                Judged::Quarantined => {
                    quarantined += 1;
                    false
                }
            });
            if !back.is_empty() && retry.send(back).is_err() {
                return;
            }
            if to_sink.send((chunk, corrected, quarantined)).await.is_err() {
                return;
            }
        }
    });
    let mut outcome = Outcome::default();
    while outcome.seen.count + outcome.quarantined < n {
        let Some((chunk, corrected, quarantined)) = judged.recv().await else { break };
        chunk.iter().for_each(|r| outcome.seen.add_record(r));
        outcome.corrected += corrected;
        outcome.quarantined += quarantined;
    }
    outcome
}
