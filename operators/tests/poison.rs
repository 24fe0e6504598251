//! A record on which the author's code panics: one fault of that one record, and the stream runs on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall panic")]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use eddyline::{FaultKind, prelude::*};

const RECORDS: u64 = 40;
const POISON: u64 = 17;

/// The author's code, which counts how often it met the poison.
#[derive(Clone, Default)]
struct Code(Arc<AtomicU64>);

impl Code {
    fn on(&self, n: u64) -> u64 {
        if n == POISON {
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("poison");
        }
        n
    }
}

/// Runs a flow by actors and by a few seeds. One root fails, all others are emitted, and the code met the poison once.
async fn one_fault(what: &str, write: impl Fn(Stream<u64>, Code)) {
    for seed in [None, Some(1), Some(2)] {
        let mut flow = Workflow::new(what);
        if let Some(seed) = seed {
            flow = flow.seeded(seed);
        }
        let code = Code::default();
        write(flow.source("numbers", 0..RECORDS), code.clone());
        let report = flow.run().await.unwrap();
        let at = format!("{what}, seed {seed:?}: {report}");
        assert!(report.is_balanced() && report.records().in_flight == 0, "{at}");
        let [fault] = report.faults() else { panic!("{at}") };
        assert_eq!(fault.kind, FaultKind::Panic, "{at}");
        assert!(fault.reason.contains("poison"), "{at}");
        assert_eq!(fault.origin, "numbers #17", "{at}");
        assert_eq!(report.roots().ended.get("failed"), Some(&1), "{at}");
        assert_eq!(report.roots().ended.get("emitted"), Some(&(RECORDS - 1)), "{at}");
        assert_eq!(code.0.load(Ordering::SeqCst), 1, "it is not tried again: {at}");
    }
}

#[tokio::test]
async fn in_what_makes_or_looks_at_one_value() {
    one_fault("map", |s, code| drop(s.map(move |n| code.on(n)).ignore())).await;
    one_fault("try_map", |s, code| drop(s.try_map(move |n| Ok::<_, String>(code.on(*n))).ignore())).await;
    one_fault("par_map", |s, code| drop(s.par_map(3, move |n| code.on(n)).ignore())).await;
    one_fault("filter", |s, code| drop(s.filter(move |n| code.on(*n) < RECORDS).ignore())).await;
    one_fault("inspect", |s, code| {
        s.inspect(move |n| {
            code.on(*n);
        })
        .ignore();
    })
    .await;
    one_fault("flat_map", |s, code| drop(s.flat_map(move |n| [code.on(n), n]).ignore())).await;
    one_fault("scan", |s, code| {
        s.scan(0, move |sum: &mut u64, n| {
            *sum += code.on(n);
            *sum
        })
        .ignore();
    })
    .await;
}

#[tokio::test]
async fn in_what_divides_a_stream_or_puts_it_together() {
    one_fault("split", |s, code| {
        let (these, others) = s.split(move |n| code.on(*n) % 2 == 0);
        these.ignore();
        others.ignore();
    })
    .await;
    one_fault("scatter", |s, code| {
        let (parts, wholes) = s.scatter(move |n: &u64| vec![code.on(*n); 2]);
        parts.gather(wholes, |n, _| n).ignore();
    })
    .await;
    one_fault("gather", |s, code| {
        let (parts, wholes) = s.scatter(|n: &u64| vec![*n; 2]);
        parts.gather(wholes, move |n, _| code.on(n)).ignore();
    })
    .await;
}

#[tokio::test]
async fn in_handlers_inside_and_outside_of_a_loop() {
    one_fault("handle", |s, code| {
        s.handle("judge", move |n| {
            code.on(*n);
            Verdict::Pass
        })
        .ignore();
    })
    .await;
    one_fault("handle_or_retry", |s, code| {
        let (numbers, again) = s.feedback("again", Rounds::at_most(2));
        numbers
            .handle_or_retry("judge", again, move |n| match code.on(*n) {
                0..100 if n % 2 == 0 => Verdict::Retry(n + 1000),
                _ => Verdict::Pass,
            })
            .ignore();
    })
    .await;
}

#[tokio::test]
async fn in_a_sink() {
    one_fault("for_each", |s, code| {
        s.for_each(move |n| {
            code.on(n);
        });
    })
    .await;
}

/// A function over several values is tried again with each alone, to find the one: the others shall not fail with it.
#[tokio::test]
async fn in_the_function_of_a_model() {
    let flow = Workflow::new("model");
    let code = Code::default();
    let met = code.clone();
    let out = flow
        .source("numbers", 0..RECORDS)
        .model("same", Model::function(move |n: &[u64]| n.iter().map(|n| code.on(*n)).collect()))
        .collect();
    let mut report = flow.run().await.unwrap();
    let mut out = report.take(out);
    out.sort_unstable();
    assert_eq!(out, (0..RECORDS).filter(|n| *n != POISON).collect::<Vec<_>>(), "{report}");
    assert_eq!(report.faults().len(), 1, "{report}");
    assert_eq!(report.faults()[0].kind, FaultKind::Panic);
    assert!(met.0.load(Ordering::SeqCst) <= 2);
    assert!(report.is_balanced(), "{report}");
}

#[tokio::test]
async fn in_the_key_of_a_join() {
    for left in [true, false] {
        let flow = Workflow::new("join");
        let code = Code::default();
        let (numbers, others) = (flow.source("numbers", 0..RECORDS), flow.source("others", 0..RECORDS));
        let (a, b) = (code.clone(), code.clone());
        let out = numbers
            .join(
                others,
                Duration::from_secs(60),
                move |n| if left { a.on(*n) } else { *n },
                move |n| if left { *n } else { b.on(*n) },
            )
            .collect();
        let mut report = flow.run().await.unwrap();
        assert_eq!(report.take(out).len() as u64, RECORDS - 1, "{report}");
        assert_eq!(report.faults().len(), 1, "{report}");
        assert_eq!(code.0.load(Ordering::SeqCst), 1);
        assert!(report.is_balanced() && report.records().in_flight == 0, "{report}");
    }
}

/// An iterator that has panicked cannot be asked again: what it gave before goes on, and so does every other source.
#[tokio::test]
async fn in_a_source() {
    let flow = Workflow::new("source");
    let code = Code::default();
    let bad = flow.source("bad", (0..RECORDS).map(move |n| code.on(n))).collect();
    let good = flow.source("good", 0..RECORDS).collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(bad), (0..POISON).collect::<Vec<_>>());
    assert_eq!(report.take(good).len() as u64, RECORDS);
    let [fault] = report.faults() else { panic!("{report}") };
    assert!(fault.reason.contains("poison"), "{fault:?}");
    assert!(report.is_balanced(), "{report}");
}
