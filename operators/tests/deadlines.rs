//! A handler with a deadline: what hangs holds up nobody, and is counted.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test may")]

use std::sync::{
    Arc, Mutex,
    mpsc::{self, Receiver},
};

use eddyline::{
    FaultKind,
    handlers::{Breaker, BreakerState, Handlers},
    prelude::*,
};
use serde_json::Value;

/// Time that is always up for a handler that waits for the test, and time that never is.
const NONE: Duration = Duration::from_millis(1);
const AGES: Duration = Duration::from_secs(600);

/// Passes small numbers, and hangs on others until the test has ended.
fn hangs<R: Send + Sync + 'static>() -> (mpsc::SyncSender<()>, impl Handler<i64, Retry = R>) {
    let (hold, wait) = mpsc::sync_channel::<()>(1);
    let wait: Mutex<Receiver<()>> = Mutex::new(wait);
    let hangs = by(move |n: &i64, _: &Seen| {
        if *n >= 10 {
            let _ = wait.lock().unwrap().recv();
        }
        Verdict::Pass
    });
    (hold, hangs)
}

#[tokio::test]
async fn what_hangs_holds_up_nobody_and_is_counted() {
    let (_hold, hangs) = hangs();
    let flow = Workflow::new("deadline");
    let all = flow.source("numbers", 10..500).handle_with("second engine", hangs.within(NONE)).collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(all).len(), 490, "all go on as they are");
    let table = report.handlers();
    let said = table.get("second engine").unwrap().verdicts;
    assert_eq!((said.judged, said.abstained, said.late), (490, 490, 490));
    assert!(table.to_string().contains("| cost, ms | late |"), "{table}");
    assert_eq!(serde_json::to_value(&table).unwrap()[0]["verdicts"]["late"], 490);
}

#[tokio::test]
async fn or_it_rejects_in_a_loop_and_on_the_way_to_alternatives() {
    let (_hold, hanging) = hangs();
    let flow = Workflow::new("deadline");
    let (numbers, again) = flow.source("numbers", [10, 11]).feedback("again", Rounds::at_most(2));
    let all = numbers.handle_or_retry_with::<i64>("judge", again, hanging.within(NONE).or_reject()).collect();
    let mut report = flow.run().await.unwrap();
    assert!(report.take(all).is_empty());
    assert_eq!(
        report.faults().iter().map(|fault| (fault.kind, &*fault.reason)).collect::<Vec<_>>(),
        [(FaultKind::Rejected, "was not judged within 1ms"); 2]
    );

    let (_hold, hanging) = hangs();
    let flow = Workflow::new("deadline");
    let (numbers, key) = flow.source("numbers", [10, 11]).alternatives("read", |n: &i64| *n).or(|n| *n).key();
    let all = numbers.handle_or_next_with("judge", &key, hanging.within(NONE)).collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(all), [10, 11]);
    assert_eq!(report.handlers().get("judge").unwrap().verdicts.late, 2);
}

#[tokio::test]
async fn one_that_is_late_too_often_is_no_longer_asked() {
    let (_hold, hanging) = hangs();
    let breaker = Breaker::over(20).late_at_most(0.5);
    let flow = Workflow::new("deadline");
    let all = flow
        .source("numbers", 10..100)
        .handle_with("judge", hanging.within(NONE).breaker(&breaker))
        .collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(all).len(), 90);
    assert_eq!(breaker.state(), BreakerState::Open);
    assert_eq!(report.handlers().get("judge").unwrap().verdicts.late, 20);
}

#[tokio::test]
async fn who_is_in_time_is_obeyed_and_a_panic_is_a_fault_of_its_record() {
    let judge = by(|n: &i64, _: &Seen| -> Verdict<i64, i64> {
        assert!(*n != 3, "three");
        if *n == 4 { Verdict::Retry(5) } else { Verdict::Pass }
    });
    let flow = Workflow::new("in time");
    let (numbers, again) = flow.source("numbers", 0..5).feedback("again", Rounds::at_most(1));
    let all = numbers.handle_or_retry_with("judge", again, judge.within(AGES)).collect();
    let mut report = flow.run().await.unwrap();
    let mut numbers = report.take(all);
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2, 5]);
    assert_eq!((report.faults()[0].kind, &*report.faults()[0].reason), (FaultKind::Panic, "three"));
    let table = report.handlers();
    assert_eq!(table.get("judge").unwrap().verdicts.late, 0);
    assert!(!table.to_string().contains("| late"), "{table}");
}

#[tokio::test]
async fn a_slot_takes_one_too() {
    let hold = Arc::new(Mutex::new(Vec::new()));
    let holds = Arc::clone(&hold);
    let handlers = Handlers::new().register("hangs", Value::Null, move |_: Value| {
        let (hold, hangs) = hangs();
        holds.lock().unwrap().push(hold);
        hangs.within(NONE)
    });
    let flow = Workflow::new("deadline");
    let all = flow.source("numbers", 10..20).slot("check", handlers.clone()).collect();
    assert_eq!(flow.run().await.unwrap().take(all).len(), 10, "nothing is there");
    let made = handlers.make("hangs", &Value::Null).unwrap();
    assert_eq!(eddyline::testing::judge(made, [10, 11]), [Verdict::Abstain, Verdict::Abstain]);
    assert_eq!(hold.lock().unwrap().len(), 1);
}
