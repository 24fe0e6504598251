//! The quarantine as a file: what is kept of each fault, and how some come back.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test may")]

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
};

use eddyline::{
    FaultKind, Observer,
    prelude::*,
    runtime::{
        observer::{BoxFuture, Ending, ObserverError, Watch},
        quarantine::{Entry, ReplayError, ReplayedNow},
    },
};
use serde::{Deserialize, Serialize};
use temp_dir::TempDir;

fn file() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("quarantine.sqlite");
    (dir, path)
}

fn all(path: &PathBuf) -> Faults {
    Quarantine::open(path).unwrap().faults(&Filter::new()).unwrap()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Scan {
    text: String,
    sure: f64,
}

fn scan(text: &str, sure: f64) -> Scan {
    Scan { text: text.to_owned(), sure }
}

/// What both workflows have: numbers of scans, less than a hundred, read by somebody who is sure.
fn numbers(scans: Stream<Scan>, least: f64) -> Stream<i64> {
    scans
        .handle(
            "confident",
            move |scan| if scan.sure < least { Verdict::reject("blank page") } else { Verdict::Pass },
        )
        .try_map(|scan| scan.text.parse::<i64>())
        .named("parse")
        .map(|n| {
            assert!(n < 100, "{n} is too large");
            n
        })
        .named("small")
}

fn scans() -> Vec<Scan> {
    vec![scan("1", 0.9), scan("two", 0.8), scan("3", 0.2), scan("400", 0.7), scan("5", 0.3)]
}

#[tokio::test]
async fn everything_that_is_known_of_a_fault_is_in_the_file() {
    let (_dir, path) = file();
    let flow = Workflow::new("scans").quarantine(&path);
    let kept = numbers(flow.source("scans", scans()).replayable(), 0.5).collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(kept), [1]);
    assert!(report.is_balanced());

    let faults = all(&path);
    let mut found: Vec<_> = faults
        .iter()
        .map(|f| (f.origin.as_str(), f.operator.as_str(), f.handler(), f.kind, f.roots[0].value.as_deref()))
        .collect();
    found.sort_by_key(|(origin, ..)| *origin);
    let json = |scan: &Scan| serde_json::to_string(scan).unwrap();
    let brought: Vec<String> = scans().iter().map(json).collect();
    let some = |nth: usize| Some(brought[nth].as_str());
    assert_eq!(
        found,
        [
            ("scans #1", "parse", None, FaultKind::Error, some(1)),
            ("scans #2", "confident", Some("confident"), FaultKind::Rejected, some(2)),
            ("scans #3", "small", None, FaultKind::Panic, some(3)),
            ("scans #4", "confident", Some("confident"), FaultKind::Rejected, some(4)),
        ]
    );
    let small = faults.iter().find(|fault| fault.operator == "small").unwrap();
    assert_eq!(
        (&small.value, small.run, small.workflow.as_str()),
        (&None, 1, "scans"),
        "a map takes its value"
    );
    assert!(small.reason.contains("400 is too large"), "{}", small.reason);
    let parse = faults.iter().find(|fault| fault.operator == "parse").unwrap();
    assert_eq!((parse.value.as_deref(), parse.type_name.as_str()), (some(1), "Scan"));
    assert!(parse.at_unix_ms > 1_700_000_000_000);

    let quarantine = Quarantine::open(&path).unwrap();
    let count = |filter: Filter| quarantine.faults(&filter).unwrap().len();
    assert_eq!(count(Filter::new().handler("confident")), 2);
    assert_eq!(count(Filter::new().handler("parse")), 0, "it is no handler");
    assert_eq!(count(Filter::new().reason("BLANK")), 2);
    assert_eq!(count(Filter::new().reason("100%_")), 0, "taken literally");
    assert_eq!(count(Filter::new().kind(FaultKind::Panic)), 1);
    assert_eq!(count(Filter::new().ids([small.id, parse.id])), 2);
    assert_eq!(count(Filter::new().newest(3)), 3);
    assert_eq!(count(Filter::new().run(2)), 0);
    assert_eq!((count(Filter::new().replayed()), count(Filter::new().not_replayed())), (0, 4));
    assert_eq!(faults.places("scans").into_iter().collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn faults_come_back_through_a_changed_workflow_and_are_marked() {
    let (_dir, path) = file();
    let flow = Workflow::new("strict").quarantine(&path);
    numbers(flow.source("scans", scans()).replayable(), 0.5).ignore();
    flow.run().await.unwrap();

    // Only those of a handler, from what it was given.
    let blank = Quarantine::open(&path).unwrap().faults(&Filter::new().handler("confident")).unwrap();
    let flow = Workflow::new("lenient").quarantine(&path);
    let kept = numbers(flow.replay("blank", &blank), 0.25).collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(kept), [5]);
    let marks: Vec<_> = all(&path)
        .iter()
        .map(|f| (f.run, f.origin.clone(), f.replays.clone()))
        .filter(|(.., r)| !r.is_empty())
        .collect();
    let fates: Vec<_> =
        marks.iter().map(|(run, origin, r)| (*run, origin.as_str(), r[0].run, r[0].fate)).collect();
    assert_eq!(fates, [(1, "scans #2", 2, Some(Fate::Rejected)), (1, "scans #4", 2, Some(Fate::Emitted))]);
    let again = all(&path).iter().find(|fault| fault.run == 2).unwrap().clone();
    assert_eq!((again.origin.as_str(), again.roots[0].replay_of), ("blank #0", Some(blank[0].id)));

    // All that are left of the first run, from the source, and without a quarantine of its own.
    let left = Quarantine::open(&path).unwrap().faults(&Filter::new().run(1).not_replayed()).unwrap();
    let flow = Workflow::new("words");
    let kept = flow.replay("scans", &left.at_source("scans")).map(|scan: Scan| scan.text.len()).collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(kept), [3, 3]);
    assert!(report.is_balanced());
    let open = Quarantine::open(&path).unwrap().faults(&Filter::new().run(1).not_replayed()).unwrap();
    assert!(open.is_empty(), "{open:?}");
    let last =
        all(&path).iter().filter(|fault| fault.run == 1).filter(|fault| fault.replays[0].run == 3).count();
    assert_eq!(last, 2);
}

#[tokio::test]
async fn a_value_that_was_not_kept_or_is_something_else_is_a_fault_again() {
    let (_dir, path) = file();
    let flow = Workflow::new("first").quarantine(&path);
    numbers(flow.source("scans", scans()), 0.5).ignore();
    flow.run().await.unwrap();
    let faults = all(&path);

    let flow = Workflow::new("second");
    let kept = flow.replay("numbers", &faults).map(|n: i64| n).collect();
    let mut report = flow.run().await.unwrap();
    assert!(report.take(kept).is_empty());
    assert!(report.is_balanced());
    let mut reasons: Vec<_> = report.faults().iter().map(|f| (f.kind, f.reason.to_string())).collect();
    reasons.sort_by(|a, b| a.1.cmp(&b.1));
    assert!(reasons.iter().all(|(kind, _)| *kind == FaultKind::Unreadable), "{reasons:?}");
    assert!(reasons[0].1.starts_with("it is no i64: invalid type: map"), "{reasons:?}");
    assert!(reasons[3].1.starts_with("its value was not kept: put `.replayable()`"), "{reasons:?}");
    let again = all(&path);
    assert!(again.iter().all(|fault| fault.replays[0].fate == Some(Fate::Failed)), "{again:?}");
}

/// A third of the records are rejected, and most of these are then made again of something else: their faults are withdrawn.
#[tokio::test]
async fn what_is_withdrawn_leaves_the_file() {
    let (_dir, path) = file();
    for seed in 0..5 {
        let flow = Workflow::new("withdrawn").quarantine(&path).seeded(seed);
        let (numbers, again) = flow.source("numbers", 0..300).feedback("again", Rounds::at_most(1));
        let judged = numbers
            .clone()
            .handle("thirds", |n| if n % 3 == 0 { Verdict::reject("third") } else { Verdict::Pass });
        let back = numbers.handle_or_retry("small", again, |n| {
            if *n < 200 { Verdict::Retry(n + 1000) } else { Verdict::Pass }
        });
        judged.ignore();
        back.ignore();
        let report = flow.run().await.unwrap();
        let in_report = report.faults().len();
        let of_run = Quarantine::open(&path).unwrap().faults(&Filter::new().run(seed + 1)).unwrap();
        assert_eq!(of_run.len(), in_report, "seed {seed}");
        let state = report.snapshot().faults.store.clone().unwrap();
        assert_eq!((state.written, state.missing, state.problem), (in_report as u64, 0, None));
        // 200 to 299, and 1000 to 1199.
        assert_eq!(in_report, (200..300).chain(1000..1200).filter(|n| n % 3 == 0).count(), "seed {seed}");
    }
}

#[tokio::test]
async fn more_faults_than_the_queue_holds_are_all_written() {
    let (_dir, path) = file();
    let flow = Workflow::new("many").quarantine(&path);
    flow.source("numbers", 0..120_000u64).handle("none", |_| Verdict::reject("no")).ignore();
    let report = flow.run().await.unwrap();
    assert_eq!(report.roots().ended["rejected"], 120_000);
    let counts = Quarantine::open(&path).unwrap().by_reason(&Filter::new()).unwrap();
    assert_eq!(counts, [("none".to_owned(), "rejected".to_owned(), "no".to_owned(), 120_000)]);
}

#[tokio::test]
async fn a_file_that_is_no_quarantine_is_an_error_of_the_workflow() {
    let (dir, path) = file();
    std::fs::write(&path, "a text that is long enough to be taken for the header of a database, and is none")
        .unwrap();
    let missing = dir.path().join("missing/quarantine.sqlite");
    for (path, why) in
        [(&path, "is a file of something else, not a quarantine"), (&missing, "unable to open")]
    {
        let flow = Workflow::new("refused").quarantine(path);
        flow.source("numbers", [1]).ignore();
        let error = flow.run().await.unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("quarantine.rs:"), "{error}");
        assert!(Quarantine::open(path).is_err());
    }
    let flow = Workflow::new("refused");
    flow.source("numbers", [1]).map(|n| n).replayable().ignore();
    let error = flow.run().await.unwrap_err().to_string();
    assert!(error.contains("behind something that is no source"), "{error}");
}

/// Gives the run to the test.
struct Look(mpsc::SyncSender<Arc<dyn Watch>>);

impl Observer for Look {
    fn open(&mut self) -> BoxFuture<'_, Result<(), ObserverError>> {
        Box::pin(async { Ok(()) })
    }
    fn started(&mut self, run: Arc<dyn Watch>) {
        self.0.send(run).unwrap();
    }
    fn finished(&mut self, _: Ending) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// A handler that learns while the run goes on; what it rejected before comes back then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_come_back_into_the_present_run_with_a_file_and_without() {
    for stored in [true, false] {
        let (_dir, path) = file();
        let flow = Workflow::new("live");
        let flow = if stored { flow.quarantine(&path) } else { flow };
        let least = Arc::new(Mutex::new(50));
        let (knows, seen) = (Arc::clone(&least), Arc::new(Mutex::new(Vec::new())));
        let (send, numbers) = tokio::sync::mpsc::channel::<i32>(100);
        let numbers = futures::stream::unfold(numbers, async |mut from| Some((from.recv().await?, from)));
        let sink = Arc::clone(&seen);
        flow.source_stream("numbers", numbers)
            .replayable()
            .map(|n| n * 10)
            .handle("large", move |n| {
                if *n < *knows.lock().unwrap() { Verdict::reject("small") } else { Verdict::Pass }
            })
            .for_each(move |n| sink.lock().unwrap().push(n));
        let (tell, told) = mpsc::sync_channel(1);
        let running = tokio::spawn(flow.run_with(Look(tell)));
        let run = tokio::task::spawn_blocking(move || told.recv().unwrap()).await.unwrap();
        for n in [1, 7, 2] {
            send.send(n).await.unwrap();
        }
        let until = async |what: &dyn Fn(&[Entry]) -> bool| loop {
            let faults = run.quarantine(&Filter::new()).unwrap();
            if what(&faults) {
                return faults;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        let faults = until(&|faults| faults.len() == 2).await;
        assert_eq!(faults[1].roots[0].value.as_deref(), Some("1"));
        assert_eq!(faults[1].value.as_deref(), Some("10"));

        *least.lock().unwrap() = 20;
        let done = run.replay(&Filter::new().reason("small")).unwrap();
        assert_eq!(done, ReplayedNow { replayed: 2, refused: Vec::new() });
        let ended = |faults: &[Entry]| {
            faults.iter().flat_map(|f| &f.replays).filter(|r| r.fate.is_some()).count() == 2
        };
        let faults = until(&|faults| ended(faults) && faults.len() == 3).await;
        assert_eq!(
            (faults[0].roots[0].replay_of, faults[0].origin.as_str()),
            (Some(faults[2].id), "numbers #3")
        );
        let fates: Vec<_> = faults.iter().map(|fault| fault.replays.first().and_then(|r| r.fate)).collect();
        assert_eq!(fates, [None, Some(Fate::Emitted), Some(Fate::Rejected)]);

        drop(send);
        let report = running.await.unwrap().unwrap();
        assert!(report.is_balanced());
        assert_eq!((report.roots().created, report.roots().ended["rejected"]), (5, 3));
        assert_eq!(*seen.lock().unwrap(), [70, 20]);
        assert_eq!(run.replay(&Filter::new()).unwrap_err(), ReplayError::NotRunning);
    }
}
