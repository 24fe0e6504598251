//! Models that remember: a second run computes what has changed, and gives what a run without memory gives.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use eddyline::{Comparison, prelude::*};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Digit {
    id: u32,
    ink: Vec<f32>,
    sure: f32,
}

fn digits() -> Vec<Digit> {
    let ink = |id: u32| {
        (0..64).map(|pixel| ((id * 31 + pixel * 7) % 17) as f32 * (1.0 - id as f32 / 1000.0)).collect()
    };
    (0..200).map(|id| Digit { id, ink: ink(id), sure: 0.0 }).collect()
}

fn reader() -> Model<Digit, Digit> {
    Model::onnx(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/account-numbers/heavy.onnx"))
        .input("picture", |digit: &Digit| Tensor::new([1, 8, 8], digit.ink.clone()))
        .output("probabilities", |digit, p| {
            let sure = p.values::<f32>().unwrap().iter().copied().fold(0.0, f32::max);
            Digit { sure, ..digit.clone() }
        })
}

/// Reads digits, once more with more contrast where the model is not sure; says how many items the model was given.
async fn run(memo: Option<&Memo>, digits: Vec<Digit>, limit: f32) -> (Vec<Digit>, u64) {
    let reader = memo.map_or_else(reader, |memo| reader().memo(memo));
    let flow = Workflow::new("digits");
    let (digits, again) = flow.source("digits", digits).feedback("again", Rounds::at_most(1));
    let read = digits.model("read", reader).handle_or_retry("sure", again, move |digit| {
        if digit.sure >= limit {
            return Verdict::Pass;
        }
        let ink = digit.ink.iter().map(|ink| if *ink > 8.0 { 16.0 } else { 0.0 }).collect();
        Verdict::Retry(Digit { ink, ..digit.clone() })
    });
    let read = read.collect();
    let mut report = flow.run().await.unwrap();
    assert!(report.is_balanced(), "{report}");
    let mut all = report.take(read);
    all.sort_by_key(|digit| digit.id);
    (all, report.model_items("read").unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_differs_in_a_handler_computes_what_is_new_and_gives_the_same() {
    let memo = Memo::new();
    let (first, items) = run(Some(&memo), digits(), 0.5).await;
    assert_eq!((&first, items), (&run(None, digits(), 0.5).await.0, memo.read().computed));
    assert_eq!(run(Some(&memo), digits(), 0.5).await, (first, 0));

    // A stricter handler sends more back: only these are computed.
    let before = memo.read().computed;
    let (strict, items) = run(Some(&memo), digits(), 0.99).await;
    let (expected, all) = run(None, digits(), 0.99).await;
    assert_eq!((strict, items), (expected, memo.read().computed - before));
    assert!(items > 0 && items < all - 200, "{items} of {all}");

    // Seven pictures change.
    let mut changed = digits();
    changed.iter_mut().step_by(30).for_each(|digit| digit.ink[20] = 3.5);
    let (read, items) = run(Some(&memo), changed.clone(), 0.0).await;
    assert_eq!((read, items), (run(None, changed, 0.0).await.0, 7));
}

#[tokio::test]
async fn a_history_says_what_was_remembered() {
    let memo = Memo::new();
    for wanted in ["with a call of 1 items", "read: remembered"] {
        let flow = Workflow::new("digits").lineage(Lineage::Ids);
        let read =
            flow.source("digits", digits().into_iter().take(1)).model("read", reader().memo(&memo)).collect();
        let mut report = flow.run().await.unwrap();
        let (_, record) = report.take_traced(read).unwrap()[0];
        let history = report.lineage().of(record).to_string();
        assert!(history.contains(wanted), "{history}");
    }
}

#[tokio::test]
async fn what_fails_is_tried_again() {
    let memo = Memo::new();
    for _ in 0..2 {
        let flow = Workflow::new("digits");
        let wrong = Digit { id: 7, ink: vec![1.0; 64], sure: 0.0 };
        let narrow =
            Model::onnx(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/account-numbers/heavy.onnx"))
                .input("picture", |digit: &Digit| Tensor::new([1, 4, 16], digit.ink.clone()))
                .output("probabilities", |digit, _| digit.clone());
        flow.source("digits", [wrong]).model("read", narrow.memo(&memo)).ignore();
        let report = flow.run().await.unwrap();
        assert_eq!((report.faults().len(), report.model_items("read")), (1, Some(1)));
    }
    assert_eq!((memo.read().remembered, memo.read().items), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_handler_the_models_are_called_for_what_changes_and_that_is_named() {
    let memo = Memo::new();
    let run = async |without: Option<&str>| {
        let mut flow = Workflow::new("digits");
        if let Some(handler) = without {
            flow = flow.without(handler);
        }
        let (digits, again) = flow.source("digits", digits()).feedback("again", Rounds::at_most(1));
        // Every tenth is read once more, inverted; what is still not sure does not go on.
        let read = digits.model("read", reader().memo(&memo)).handle_or_retry("tenth", again, |digit| {
            let ink = digit.ink.iter().map(|ink| 16.0 - ink).collect();
            let again = Digit { ink, ..digit.clone() };
            if digit.id % 10 == 0 { Verdict::Retry(again) } else { Verdict::Pass }
        });
        let sure = read.handle_with(
            "sure",
            Check::new().range("sure", |digit: &Digit| digit.sure, 0.0..=1.0).or_reject(),
        );
        let read = sure.collect();
        let mut report = flow.run().await?;
        assert!(report.is_balanced(), "{report}");
        Ok::<_, RunError>((
            report.take(read),
            report.model_items("read").unwrap(),
            report.verdicts("tenth").unwrap(),
        ))
    };
    let (without, items, said) = run(Some("tenth")).await.unwrap();
    assert_eq!((without.len(), items, said.judged, said.passed), (200, 200, 200, 200));
    // With it the twenty that it sends back are computed once more, and are not twenty others in the end: their rounds are spent.
    let (with, items, said) = run(None).await.unwrap();
    assert_eq!((with.len(), items, said.retried), (180, 20, 20));
    let comparison = Comparison::of(&with, &without, |digit| digit.id);
    assert!(comparison.changed.is_empty());
    assert_eq!(comparison.only_after, (0..200).step_by(10).map(|id: u32| id.to_string()).collect::<Vec<_>>());

    let error = run(Some("tenths")).await.unwrap_err().to_string();
    assert!(
        error.contains("no handler `tenths` to go without") && error.contains("are `tenth`, `sure`"),
        "{error}"
    );
}

#[tokio::test]
async fn a_function_is_not_remembered() {
    let flow = Workflow::new("lengths");
    let lengths = Model::function(|words: &[u32]| words.to_vec());
    flow.source("words", [1]).model("length", lengths.memo(&Memo::new())).ignore();
    let error = flow.run().await.unwrap_err().to_string();
    assert!(
        error.contains("model `length` is a function") && error.contains("from ONNX files only"),
        "{error}"
    );
}
