//! Sources, sinks and models that need more than a line to be shown.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall panic")]

use eddyline::{FaultKind, prelude::*};
use serde::{Deserialize, Serialize};

#[tokio::test]
async fn an_async_stream_is_a_source() {
    let (send, receive) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        for n in 0..10_000 {
            send.send(n).await.unwrap();
        }
    });
    let numbers =
        futures::stream::unfold(receive, |mut receive| async { Some((receive.recv().await?, receive)) });
    let flow = Workflow::new("async");
    let out = flow.source_stream("numbers", numbers).collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(out), (0..10_000).collect::<Vec<_>>());
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    id: u32,
    name: String,
}

#[tokio::test]
async fn what_is_written_can_be_read_again() {
    let folder = temp_dir::TempDir::new().unwrap();
    let (csv, json) = (folder.path().join("rows.csv"), folder.path().join("rows.jsonl"));
    let rows: Vec<Row> = (0..2000).map(|id| Row { id, name: format!("row, \"{id}\"") }).collect();

    let flow = Workflow::new("write");
    let stream = flow.source("rows", rows.clone());
    stream.clone().write_csv(&csv);
    stream.write_json_lines(&json);
    let report = flow.run().await.unwrap();
    assert_eq!(report.roots().ended["emitted"], 2000, "{report}");
    assert_eq!(report.records().ended["emitted"], 4000, "each clone gets every record: {report}");

    let flow = Workflow::new("read");
    let (from_csv, from_json) =
        (flow.csv::<Row>("csv", &csv).collect(), flow.json_lines::<Row>("json", &json).collect());
    let lines = flow.lines("lines", &json).collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(from_csv), rows);
    assert_eq!(report.take(from_json), rows);
    assert_eq!(report.take(lines).len(), 2000);
}

#[tokio::test]
async fn a_model_may_run_several_times_on_one_record() {
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/account-numbers/light.onnx"))
        .unwrap();
    let model = Model::onnx_bytes("light.onnx", &bytes)
        .items("picture", |&n: &usize| {
            (0..n).map(|_| Tensor::new([1, 8, 8], vec![1.0_f32; 64]).unwrap()).collect()
        })
        .outputs("probabilities", |&n, outputs| (n, outputs.len()));
    let flow = Workflow::new("items");
    let out = flow.source("numbers", 0..40_usize).model("light", model).collect();
    let mut report = flow.run().await.unwrap();
    let mut out = report.take(out);
    out.sort_unstable();
    assert_eq!(out, (0..40).map(|n| (n, n)).collect::<Vec<_>>());
    assert_eq!(report.model_items("light"), Some((0..40).sum()));
}

#[tokio::test]
async fn a_function_model_fails_only_on_what_it_panics_on() {
    let flow = Workflow::new("function");
    let picky = Model::function(|numbers: &[i32]| {
        numbers.iter().map(|&n| if n == 13 { panic!("unlucky") } else { n * 2 }).collect()
    });
    let out = flow.source("numbers", 0..100).model("picky", picky).collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(out).len(), 99);
    let [fault] = report.faults() else { panic!("{report}") };
    assert_eq!((fault.kind, &fault.value), (FaultKind::Panic, &Some(13.into())));
    assert!(fault.reason.contains("unlucky"), "{}", fault.reason);
    assert!(report.is_balanced(), "{report}");
}

#[tokio::test]
async fn a_function_model_must_give_one_value_for_each() {
    let flow = Workflow::new("short");
    let short = Model::function(|numbers: &[i32]| numbers.iter().skip(1).copied().collect());
    let out = flow.source("numbers", 0..4).model("short", short).collect();
    let mut report = flow.run().await.unwrap();
    assert!(report.take(out).is_empty());
    assert_eq!(report.faults().len(), 4);
    assert!(report.faults()[0].reason.contains("it must give one for each"), "{report}");
}

#[tokio::test]
async fn a_model_in_a_loop_with_one_permit_does_not_wait_for_a_full_batch() {
    let flow = Workflow::new("one permit").loop_permits(1);
    let (numbers, again) = flow.source("numbers", 0..50).feedback("again", Rounds::at_most(3));
    let out = numbers
        .model("add", Model::function(|numbers: &[i32]| numbers.iter().map(|n| n + 1).collect()))
        .handle_or_retry("even", again, |n| if n % 4 == 0 { Verdict::Pass } else { Verdict::Retry(*n) })
        .collect();
    let run = tokio::time::timeout(Duration::from_secs(60), flow.run());
    let mut report = run.await.expect("it waits for ever").unwrap();
    assert_eq!(report.take(out).len(), 50);
}

#[tokio::test]
async fn a_scan_keeps_its_state_past_a_value_on_which_it_panics() {
    let flow = Workflow::new("scan");
    let sums = flow.source("numbers", 1..=5).scan(0, |sum, n| {
        assert!(n != 3, "three");
        *sum += n;
        *sum
    });
    let out = sums.collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(out), [1, 3, 7, 12]);
    assert_eq!(report.faults().len(), 1, "{report}");
}
