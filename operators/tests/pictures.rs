//! Records with pictures: what people see of them is small, and what is replayed is whole.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test may")]

use std::{path::Path, sync::Arc};

use eddyline::{
    Desk, Observer,
    prelude::*,
    runtime::{
        observer::{BoxFuture, Ending, ObserverError, Watch},
        record::RecordId,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use temp_dir::TempDir;
use tokio::sync::oneshot;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Page {
    title: String,
    image: Image,
}

/// A page of a scanner: noise, so that it cannot be packed.
fn page(title: &str) -> Page {
    let noise = |state: &mut u32, ()| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*state >> 24) as u8)
    };
    let rgb = std::iter::repeat_n((), 3 * 300 * 200).scan(7, noise).collect();
    Page { title: title.to_owned(), image: Image { name: "scan".into(), width: 300, height: 200, rgb } }
}

/// Gives the run to the test.
struct HandOver(Option<oneshot::Sender<Arc<dyn Watch>>>);

impl Observer for HandOver {
    fn open(&mut self) -> BoxFuture<'_, Result<(), ObserverError>> {
        Box::pin(async { Ok(()) })
    }
    fn started(&mut self, run: Arc<dyn Watch>) {
        let _ = self.0.take().unwrap().send(run);
    }
    fn finished(&mut self, _: Ending) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

async fn rejected(file: Option<&Path>) -> (Report, Arc<dyn Watch>) {
    let mut flow = Workflow::new("pages").lineage(Lineage::Values);
    if let Some(path) = file {
        flow = flow.quarantine(path);
    }
    flow.source("pages", [page("one")]).handle("blank", |_| Verdict::reject("blank")).ignore();
    let (send, run) = oneshot::channel();
    let report = flow.run_with(HandOver(Some(send))).await.unwrap();
    (report, run.await.unwrap())
}

fn picture(value: &Value) -> &str {
    value["image"]["png"].as_str().unwrap()
}

#[tokio::test]
async fn a_picture_is_small_on_the_page_words_in_a_report_and_whole_in_the_file() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("faults.sqlite");
    for file in [None, Some(path.as_path())] {
        let (report, run) = rejected(file).await;
        let words = report.faults()[0].value.clone().unwrap();
        assert!(picture(&words).starts_with("a picture of "), "{words}");
        let faults = run.quarantine(&Filter::new()).unwrap();
        let shown = faults[0].to_json(false);
        let small = picture(&shown["value"]);
        assert!(small.starts_with("data:image/jpeg;base64,") && small.len() < 60_000, "{}", small.len());
        // The snapshot is sent four times a second.
        assert!(serde_json::to_string(&run.snapshot()).unwrap().len() < 20_000);

        let history = run.history(RecordId::of_source(0, 0)).unwrap();
        let seen = history.events().iter().find_map(|event| event.value.as_ref()).unwrap();
        assert!(picture(seen).starts_with("data:image/jpeg;base64,"));
        assert!(history.to_string().contains("a picture of ") && history.to_string().len() < 2_000);
    }

    let faults = Quarantine::open(&path).unwrap().faults(&Filter::new()).unwrap();
    assert!(faults[0].value.as_ref().unwrap().len() < 300_000, "as a list of numbers it was 640,000");
    let flow = Workflow::new("again");
    let again = flow.replay::<Page>("pages", &faults).collect();
    assert_eq!(flow.run().await.unwrap().take(again), [page("one")]);
}

#[tokio::test]
async fn a_page_that_was_kept_as_a_list_of_bytes_comes_back() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("faults.sqlite");
    // What was written before pictures were.
    let old = serde_json::json!({
        "title": "one", "image": { "name": "scan", "width": 2, "height": 1, "rgb": [1, 2, 3, 4, 5, 6] },
    });
    let flow = Workflow::new("old").quarantine(&path);
    flow.source("pages", [old]).handle("blank", |_| Verdict::reject("blank")).ignore();
    flow.run().await.unwrap();
    let faults = Quarantine::open(&path).unwrap().faults(&Filter::new()).unwrap();
    let flow = Workflow::new("again");
    let again = flow.replay::<Page>("pages", &faults).collect();
    assert_eq!(*flow.run().await.unwrap().take(again)[0].image.rgb, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn who_is_asked_sees_a_small_picture_and_may_ask_for_the_whole_one() {
    let flow = Workflow::new("pages");
    let ask = |_: &Page| {
        Verdict::Escalate(
            Question::new("blank?", Duration::from_secs(600), Answer::Pass).candidates([page("b")]),
        )
    };
    let (pages, clerks): (_, Desk<Page>) =
        flow.source("pages", [page("a")]).handle("blank", ask).escalate_to("clerks");
    let pages = pages.collect();
    let (send, run) = oneshot::channel();
    let running = tokio::spawn(flow.run_with(HandOver(Some(send))));
    let run = run.await.unwrap();
    let asked = clerks.next().await.unwrap();

    let questions = run.questions(10);
    for value in [&questions[0].value, &questions[0].candidates[0]] {
        assert!(picture(value).starts_with("data:image/jpeg;base64,"));
    }
    let node = questions[0].node;
    let whole = run.question(node, asked.number).unwrap();
    assert_eq!(serde_json::from_value::<Page>(whole).unwrap(), page("a"));
    assert!(run.question(node, 7).is_err() && run.question(99, 0).is_err());

    clerks.answer(asked.number, Answer::Pass).unwrap();
    assert_eq!(running.await.unwrap().unwrap().take(pages), [page("a")]);
    assert!(run.question(node, asked.number).is_err());
}
