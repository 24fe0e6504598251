//! The latency of W1 in an open loop: from when a record was due to when its sink has it, 100,000 a second.
//!
//! A pacer gives every record that is due and sleeps for 20 µs where none is. Latency counts from when a record was due, not from
//! when it was given, so nothing is left out.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use eddyline::prelude::*;
use timely::dataflow::{
    InputHandle,
    operators::{
        Input, Inspect,
        vec::{Filter, Map},
    },
};

use crate::{no_such_engine, on_tokio, record::Rec, w1};

const RATE: u64 = 100_000;
const NAP: Duration = Duration::from_micros(20);

/// When the measurement began, and when each record is due.
#[derive(Clone, Copy)]
struct Pace(Instant);

#[allow(clippy::disallowed_methods, reason = "it is what is measured")]
impl Pace {
    fn begin() -> Self {
        fine_timers();
        Self(Instant::now())
    }

    fn due(i: u64) -> Duration {
        Duration::from_nanos(i * (1_000_000_000 / RATE))
    }

    fn is_due(self, i: u64) -> bool {
        self.0.elapsed() >= Self::due(i)
    }

    /// Waits until record `i` is due.
    fn wait_for(self, i: u64) -> Rec {
        while !self.is_due(i) {
            std::thread::sleep(NAP);
        }
        Rec::new(i)
    }

    /// µs since the record was due that this was.
    fn late(self, r: &Rec) -> f64 {
        self.0.elapsed().saturating_sub(Self::due(r.p[1])).as_secs_f64() * 1e6
    }
}

/// Has the kernel wake sleepers when they asked for it, and not up to 50 µs later. Threads inherit it.
fn fine_timers() {
    // Where this cannot be written, all engines are measured alike.
    let _ = std::fs::write("/proc/self/timerslack_ns", "1");
}

/// Latencies from all over a run.
#[derive(Clone, Default)]
struct Latencies(Arc<Mutex<Vec<f64>>>);

impl Latencies {
    fn add(&self, micros: f64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(micros);
    }

    fn median(&self) -> f64 {
        eddyline_benches::median(std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// The median latency in µs.
pub fn run(engine: &str, n: u64) -> Result<f64, Box<dyn Error>> {
    let seen = Latencies::default();
    let sink = seen.clone();
    match engine {
        "eddyline" => on_tokio(async move {
            let pace = Pace::begin();
            let flow = Workflow::new("latency");
            w1::steps(flow.source("records", (0..n).map(move |i| pace.wait_for(i))))
                .for_each(move |r| sink.add(pace.late(&r)));
            flow.run().await
        })?
        .map(|_| ())?,
        "timely" => timely(n, sink),
        "tokio" => on_tokio(async move {
            let pace = Pace::begin();
            let (to, source) = tokio::sync::mpsc::channel(8);
            std::thread::spawn(move || {
                for i in 0..n {
                    if to.blocking_send(vec![pace.wait_for(i)]).is_err() {
                        return;
                    }
                }
            });
            let mut last = w1::chunked(source);
            while let Some(chunk) = last.recv().await {
                chunk.iter().for_each(|r: &Rec| sink.add(pace.late(r)));
            }
        })?,
        "plain" => {
            let pace = Pace::begin();
            w1::each(n, |i| pace.wait_for(i), |r| sink.add(pace.late(r)));
        }
        _ => return Err(no_such_engine(engine)),
    }
    Ok(seen.median())
}

fn timely(n: u64, sink: Latencies) {
    timely::execute_directly(move |worker| {
        let pace = Pace::begin();
        let mut input = InputHandle::new();
        worker.dataflow::<u64, _, _>(|scope| {
            scope
                .input_from(&mut input)
                .map(w1::triple)
                .filter(w1::no_tens)
                .map(w1::note)
                .filter(w1::no_sevens)
                .map(w1::shift)
                .inspect(move |r: &Rec| sink.add(pace.late(r)));
        });
        let mut next = 0;
        while next < n {
            let first = next;
            while next < n && pace.is_due(next) {
                input.send(Rec::new(next));
                next += 1;
            }
            if next == first {
                std::thread::sleep(NAP);
            } else {
                input.advance_to(next);
                worker.step();
            }
        }
    });
}
