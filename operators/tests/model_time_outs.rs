//! A model call that takes longer than it may: its records end, the others go on, and the run does not wait for it.
//!
//! The slow call waits at a gate until its record has ended, however long that takes: no test depends on who is quicker.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall panic")]

use std::sync::{Arc, Condvar, Mutex};

use eddyline::{
    FaultKind, Observer,
    prelude::*,
    runtime::observer::{BoxFuture, Ending, ObserverError, Watch},
};

/// Long enough for a call that does nothing on a busy machine.
const LIMIT: Duration = Duration::from_millis(400);

#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |open| !*open).unwrap());
    }
}

/// Opens the gate when so many records are in quarantine.
struct Opens {
    gate: Gate,
    at: u64,
}

impl Observer for Opens {
    fn open(&mut self) -> BoxFuture<'_, Result<(), ObserverError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn started(&mut self, run: Arc<dyn Watch>) {
        let (gate, at, weak) = (self.gate.clone(), self.at, Arc::downgrade(&run));
        tokio::spawn(async move {
            while let Some(run) = weak.upgrade() {
                if run.snapshot().faults.total >= at {
                    return gate.open();
                }
                drop(run);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }

    fn finished(&mut self, _: Ending) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A model that waits at the gate where it meets `slow`.
fn slow_on(slow: u64, gate: &Gate) -> Model<u64, u64> {
    let gate = gate.clone();
    Model::function(move |all: &[u64]| {
        if all.contains(&slow) {
            gate.wait();
        }
        all.iter().map(|n| n * 10).collect()
    })
}

fn assert_ended(report: &Report, late: usize) {
    assert!(report.is_balanced(), "{report}");
    assert_eq!((report.records().in_flight, report.roots().in_flight), (0, 0), "{report}");
    assert!(report.faults().iter().all(|fault| fault.kind == FaultKind::TimeOut), "{report}");
    let node = report.graph().nodes.iter().position(|node| node.name == "slow").unwrap();
    let model = report.snapshot().nodes[node].model.as_ref().unwrap();
    assert_eq!((model.late, report.faults().len()), (late as u64, late), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_records_of_a_late_call_end_and_the_others_go_on() {
    let gate = Gate::default();
    // Batches of a seeded run have at most four rows, and this one's have one.
    let flow = Workflow::new("late").seeded(2);
    let out = flow.source("numbers", 0..60_u64).model("slow", slow_on(3, &gate).within(LIMIT)).collect();
    let mut report = flow.run_with(Opens { gate, at: 1 }).await.unwrap();
    let out = report.take(out);
    let late: Vec<u64> =
        report.faults().iter().map(|fault| fault.value.as_ref().unwrap().as_u64().unwrap()).collect();
    assert_ended(&report, late.len());
    assert!(late.contains(&3) && late.len() <= 4, "{late:?}");
    assert!(report.faults().iter().all(|fault| &*fault.reason == "the call took longer than 400ms"));
    let mut all: Vec<u64> = out.iter().map(|n| n / 10).chain(late).collect();
    all.sort_unstable();
    assert_eq!(all, (0..60).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_ends_though_a_call_never_comes_back() {
    let gate = Gate::default();
    let limit = Duration::from_millis(20);
    let flow = Workflow::new("stuck");
    let out = flow.source("numbers", 0..20_u64).model("slow", slow_on(0, &gate).within(limit)).collect();
    let mut report = flow.run().await.unwrap();
    let out = report.take(out);
    assert_ended(&report, 20 - out.len());
    assert!(report.faults().iter().any(|fault| fault.value == Some(0.into())));
    gate.open();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_withdrawn_while_its_call_is_late_ends_once() {
    let gate = Gate::default();
    let flow = Workflow::new("late in a loop").loop_permits(4);
    let (numbers, again) = flow.source("numbers", 0..8_u64).feedback("again", Rounds::at_most(1));
    let judged = numbers.clone();
    let out = numbers.model("slow", slow_on(3, &gate).within(LIMIT)).collect();
    let opens = gate.clone();
    judged
        .handle_or_retry("small", again, move |n| match n {
            3 => Verdict::Retry(100),
            100 => {
                opens.open();
                Verdict::Pass
            }
            _ => Verdict::Pass,
        })
        .ignore();
    let mut report = flow.run().await.unwrap();
    let mut out = report.take(out);
    out.sort_unstable();
    assert!(report.is_balanced(), "{report}");
    assert!(!out.contains(&30), "{out:?}");
    assert_eq!(out.len() + report.faults().len(), 8, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_would_be_busy_for_an_hour_is_free_when_its_call_is_late() {
    let slow = r#"
        [kind.slow]
        engine = "throttled"
        devices = ["slow"]
        [profile.slow.latency_us]
        slow = { fixed = 3600000000, per_item = 0 }
        [model.slow]
        batch = 4
        pool = ["slow"]
    "#;
    let flow = Workflow::new("an hour").placed(Plan::from_toml(slow, "plan.toml").unwrap());
    let model = Model::function(|all: &[u64]| all.to_vec()).within(LIMIT);
    let out = flow.source("numbers", 0..12_u64).model("slow", model).collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(out), Vec::<u64>::new());
    assert_ended(&report, 12);
    // Each call has begun: none found the device at work on what nobody wants.
    assert!(
        report.faults().iter().all(|fault| &*fault.reason == "the call took longer than 400ms"),
        "{report}"
    );
}

#[tokio::test]
async fn no_time_at_all_is_refused() {
    let flow = Workflow::new("none");
    let model = Model::function(|all: &[u64]| all.to_vec()).within(Duration::ZERO);
    flow.source("numbers", [1]).model("slow", model).ignore();
    let Err(RunError::Build(errors)) = flow.run().await else { panic!("it ran") };
    assert!(errors.to_string().contains("may take no time at all"), "{errors}");
}
