//! A slot of a running workflow: a handler is tried in shadow, obeyed, changed and taken away, while records flow.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test may")]

use std::sync::{Arc, Mutex, mpsc};

use eddyline::{
    Observer,
    handlers::{Handlers, stateful},
    prelude::*,
    runtime::{
        observer::{BoxFuture, Ending, ObserverError, Watch},
        slots::{Filling, SlotError},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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

#[derive(Serialize, Deserialize)]
struct Most {
    most: i64,
    why: String,
}

fn handlers() -> Handlers<i64> {
    Handlers::new()
        .register("most", Most { most: 10, why: "too large".to_owned() }, |p: Most| {
            assert!(p.most >= 0, "at least 0");
            by(move |n: &i64, _: &Seen| {
                assert!(*n != 13, "thirteen");
                if *n > p.most { Verdict::reject(p.why.as_str()) } else { Verdict::Abstain }
            })
        })
        // Adds up all that it sees, `times` over.
        .register("sum", 1, |times: i64| {
            stateful(0, move |sum: &mut i64, n: &i64, _: &Seen| {
                *sum += n;
                Verdict::Replace(*sum * times)
            })
        })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_is_tried_obeyed_changed_and_taken_away() {
    let flow = Workflow::new("slot");
    let (send, numbers) = tokio::sync::mpsc::channel::<i64>(100);
    let numbers = futures::stream::unfold(numbers, async |mut from| Some((from.recv().await?, from)));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    flow.source_stream("numbers", numbers)
        .slot("check", handlers())
        .for_each(move |n| sink.lock().unwrap().push(n));
    let (tell, told) = mpsc::sync_channel(1);
    let running = tokio::spawn(flow.run_with(Look(tell)));
    let run = tokio::task::spawn_blocking(move || told.recv().unwrap()).await.unwrap();

    // Sends numbers, and gives what came out of them and how many ended as faults.
    let judged = async |numbers: &[i64]| {
        let faults = run.snapshot().faults.total;
        for n in numbers {
            send.send(*n).await.unwrap();
        }
        loop {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let more = run.snapshot().faults.total - faults;
            let mut out = seen.lock().unwrap();
            if out.len() + more as usize == numbers.len() {
                return (std::mem::take(&mut *out), more);
            }
        }
    };
    let fill = |handler: Option<&str>, parameters: Value, shadow: bool| {
        run.fill(1, Filling { handler: handler.map(str::to_owned), parameters, shadow })
    };
    let filled = || run.slots()[0].filled.clone().unwrap();

    assert_eq!(judged(&[1, 20]).await, (vec![1, 20], 0), "nothing is there");
    let slot = &run.slots()[0];
    assert_eq!((slot.node, slot.name.as_str(), slot.filled.is_none()), (1, "check", true));
    assert_eq!(slot.handlers[0].parameters, json!({ "most": 10, "why": "too large" }));

    // What is refused changes nothing.
    let refused = |result: Result<(), SlotError>| result.unwrap_err().to_string();
    assert!(refused(fill(Some("most"), Value::Null, false)).contains("in shadow first"));
    assert!(refused(fill(Some("least"), Value::Null, true)).contains("there is no handler `least`"));
    assert!(refused(fill(Some("most"), json!({ "least": 1 }), true)).contains("no parameter `least`"));
    assert!(refused(fill(Some("most"), json!({ "most": "ten" }), true)).contains("invalid type"));
    assert!(refused(fill(Some("most"), json!({ "most": -1 }), true)).contains("at least 0"));
    assert_eq!(
        run.fill(0, Filling { handler: None, parameters: Value::Null, shadow: true }),
        Err(SlotError::NoSuchSlot(0))
    );
    assert!(run.slots()[0].filled.is_none());

    fill(Some("most"), Value::Null, true).unwrap();
    assert_eq!(
        judged(&[1, 20, 13]).await,
        (vec![1, 20, 13], 0),
        "in shadow nothing changes, and no panic does"
    );
    let counts = filled().counts;
    assert_eq!(
        (&counts["rejected"], &counts["panicked"], &counts["shadow"]),
        (&json!(1), &json!(1), &json!(true))
    );

    fill(Some("most"), Value::Null, false).unwrap();
    assert_eq!(judged(&[1, 20, 13]).await, (vec![1], 2), "now it is obeyed, and a panic is a fault");
    fill(Some("most"), json!({ "most": 30 }), false).unwrap();
    assert_eq!(filled().parameters, json!({ "most": 30, "why": "too large" }));
    assert_eq!(judged(&[20, 31]).await, (vec![20], 1));

    // What it has learned stays when its parameters change, and when it comes out of the shadow.
    fill(Some("sum"), Value::Null, true).unwrap();
    assert_eq!(judged(&[1, 2]).await, (vec![1, 2], 0));
    fill(Some("sum"), Value::Null, false).unwrap();
    assert_eq!(judged(&[3]).await, (vec![6], 0));
    fill(Some("sum"), json!(10), false).unwrap();
    assert_eq!(judged(&[4]).await, (vec![100], 0));

    fill(None, Value::Null, true).unwrap();
    assert_eq!(judged(&[99]).await, (vec![99], 0));
    drop(send);
    let report = running.await.unwrap().unwrap();
    assert!(report.is_balanced(), "{report}");
    assert_eq!(fill(None, Value::Null, true), Err(SlotError::NotRunning));
    let table = report.handlers();
    let row = table.get("check").unwrap();
    assert_eq!((row.verdicts.judged, row.verdicts.rejected), (14, 2), "all but the one on which it panicked");
    assert!(
        row.latency.unwrap().calls > 0 && table.to_string().contains("| check | 14 | 2 | 0 | 2 |"),
        "{table}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_code_that_runs_it_fills_it_too() {
    let flow = Workflow::new("slot");
    let (send, numbers) = tokio::sync::mpsc::channel::<i64>(100);
    let numbers = futures::stream::unfold(numbers, async |mut from| Some((from.recv().await?, from)));
    let (done, mut seen) = tokio::sync::mpsc::channel(100);
    flow.source_stream("numbers", numbers)
        .slot("check", handlers())
        .for_each(move |n| done.try_send(n).unwrap());
    let slots = flow.slots();

    let refused = |result: Result<(), SlotError>| result.unwrap_err().to_string();
    assert_eq!(refused(slots.obey("check")), "the slot `check` is empty: put a handler there first");
    assert_eq!(refused(slots.fill("chek", "most", ())), "there is no slot `chek`; there is `check`");
    assert_eq!(
        refused(slots.fill("check", "least", ())),
        "there is no handler `least`; there is `most`, `sum`"
    );
    assert_eq!(
        refused(slots.fill("check", "most", json!({ "least": 1 }))),
        "`most` has no parameter `least`; it has `most`, `why`"
    );
    assert!(refused(slots.fill("check", "most", "ten")).contains("invalid type"));

    let running = tokio::spawn(flow.run());
    slots.fill("check", "sum", ()).unwrap();
    send.send(1).await.unwrap();
    assert_eq!(seen.recv().await, Some(1), "in shadow");
    slots.obey("check").unwrap();
    send.send(2).await.unwrap();
    assert_eq!(seen.recv().await, Some(3));
    slots.fill("check", "sum", 10).unwrap();
    send.send(3).await.unwrap();
    assert_eq!(seen.recv().await, Some(60), "other parameters, obeyed as before, and nothing is forgotten");
    let filled = slots.view("check").unwrap().filled.unwrap();
    assert_eq!((filled.parameters, &filled.counts["corrected"]), (json!(10), &json!(1)));
    slots.fill("check", "most", Most { most: 5, why: "large".into() }).unwrap();
    send.send(6).await.unwrap();
    assert_eq!(seen.recv().await, Some(6), "another handler begins in shadow");
    slots.obey("check").unwrap();
    slots.shadow("check").unwrap();
    send.send(7).await.unwrap();
    assert_eq!(seen.recv().await, Some(7));
    slots.empty("check").unwrap();
    assert!(slots.view("check").unwrap().filled.is_none());
    drop(send);
    assert!(running.await.unwrap().unwrap().is_balanced());
    let gone = Workflow::new("gone").slots();
    assert_eq!(gone.empty("check"), Err(SlotError::NotRunning));
}

#[tokio::test]
async fn a_report_says_that_a_slot_was_empty_and_how_often_a_handler_abstained() {
    let flow = Workflow::new("slot");
    let small = by(|n: &i64, _: &Seen| if *n > 2 { Verdict::Replace(2) } else { Verdict::Abstain });
    flow.source("numbers", 1..=5).slot("check", handlers()).handle_with("small", small).ignore();
    let report = flow.run().await.unwrap().to_string();
    assert!(report.contains("the slot `check` has changed none of 5 records"), "{report}");
    assert!(!report.contains("never fired"), "{report}");
    let line =
        "handler small: judged 5, passed 0, replaced 3, sent back 0, rejected 0, dropped 0, abstained 2";
    assert!(report.contains(line), "{report}");
}
