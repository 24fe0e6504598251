//! Bad input gets one clear message: what is wrong, where it was written, what to do. A bad record is a fault of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall panic")]

use std::{fs, path::PathBuf};

use eddyline::{FaultKind, prelude::*};
use serde::{Deserialize, Serialize};

fn light() -> Vec<u8> {
    fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/account-numbers/light.onnx")).unwrap()
}

fn picture() -> Tensor {
    Tensor::new([1, 8, 8], vec![0.0_f32; 64]).unwrap()
}

fn probabilities(tensor: &Tensor) -> Vec<f32> {
    tensor.values::<f32>().map(<[f32]>::to_vec).unwrap_or_default()
}

/// A file that is there while the test runs.
fn file(name: &str, content: impl AsRef<[u8]>) -> (temp_dir::TempDir, PathBuf) {
    let folder = temp_dir::TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    (folder, path)
}

/// The messages for which the workflow is refused: one each, with the line in this file unless the error has none.
async fn refused(flow: Workflow) -> Vec<String> {
    match flow.run().await {
        Err(RunError::Build(errors)) => errors.errors.iter().map(ToString::to_string).collect(),
        Err(error) => panic!("another error: {error}"),
        Ok(report) => panic!("it ran: {report}"),
    }
}

/// Refused for exactly one reason, which says all of `parts`.
async fn refused_once(flow: Workflow, parts: &[&str]) {
    let errors = refused(flow).await;
    assert_eq!(errors.len(), 1, "{errors:#?}");
    for part in parts {
        assert!(errors[0].contains(part), "no {part:?} in {}", errors[0]);
    }
}

#[tokio::test]
async fn a_handler_that_is_not_behind_what_it_sends_back_to() {
    for key in ["feedback", "keep", "alternatives"] {
        let flow = Workflow::new("elsewhere");
        let (a, b) = (flow.source("a", [1]), flow.source("b", [2]));
        match key {
            "feedback" => {
                let (a, again) = a.feedback("point", Rounds::at_most(1));
                a.ignore();
                b.handle_or_retry("judge", again, |n| Verdict::Retry(*n)).ignore();
            }
            "keep" => {
                let (a, kept) = a.keep("point", Rounds::at_most(1));
                a.ignore();
                b.handle_kept("judge", &kept, |_, _| Verdict::Pass).ignore();
            }
            _ => {
                let (a, key) = a.alternatives("point", |n| *n).or(|n| n + 1).key();
                a.ignore();
                b.handle_or_next("judge", &key, |_| Verdict::Pass).ignore();
            }
        }
        let what = "`judge` sends back to `point`, but nothing that passes there comes to it";
        refused_once(flow, &["refusals.rs:", what, "judge a stream that is made of what passes there"]).await;
    }
}

#[tokio::test]
async fn values_that_are_kept_for_nobody() {
    let flow = Workflow::new("nobody");
    let (a, _kept) = flow.source("a", [1]).keep("point", Rounds::at_most(1));
    a.ignore();
    refused_once(flow, &["refusals.rs:", "the feedback `point` is open", "handle_kept"]).await;
}

#[tokio::test]
async fn alternatives_that_nobody_can_ask_for() {
    let unused = Workflow::new("unused");
    let (read, key) = unused.source("numbers", [1]).alternatives("read", |n| *n).or(|n| n + 1).key();
    drop(key);
    read.ignore();
    refused_once(unused, &["refusals.rs:", "`read` is open", ".handle_or_next(name, &key, …)"]).await;

    let single = Workflow::new("single");
    let (read, key) = single.source("numbers", [1]).alternatives("read", |n| *n).key();
    read.handle_or_next("judge", &key, |_| Verdict::Pass).ignore();
    refused_once(single, &["refusals.rs:", "`read` has 1 alternatives", "give it a second one"]).await;

    let (here, there) = (Workflow::new("here"), Workflow::new("there"));
    let (read, key) = there.source("numbers", [1]).alternatives("read", |n| *n).or(|n| n + 1).key();
    read.ignore();
    here.source("numbers", [1]).handle_or_next("judge", &key, |_| Verdict::Pass).ignore();
    refused_once(here, &["refusals.rs:", "`read` belong to another workflow", "the same `Workflow`"]).await;
}

#[tokio::test]
async fn a_missing_file() {
    for kind in ["csv", "lines", "json_lines", "images"] {
        let flow = Workflow::new("missing");
        match kind {
            "csv" => drop(flow.csv::<(u8, u8)>("rows", "no/such/file").ignore()),
            "lines" => drop(flow.lines("rows", "no/such/file").ignore()),
            "json_lines" => drop(flow.json_lines::<u8>("rows", "no/such/file").ignore()),
            _ => drop(flow.images("rows", "no/such/file").ignore()),
        }
        refused_once(flow, &["refusals.rs:", "no/such/file cannot be read", "check the path"]).await;
    }
}

#[tokio::test]
async fn a_folder_in_place_of_a_file() {
    let folder = temp_dir::TempDir::new().unwrap();
    let flow = Workflow::new("folder");
    flow.lines("rows", folder.path()).ignore();
    refused_once(flow, &["refusals.rs:", "cannot be read: is a directory"]).await;
}

#[tokio::test]
async fn a_missing_or_damaged_model() {
    let half = light()[..1000].to_vec();
    for (name, bytes) in [("half.onnx", half), ("noise.onnx", b"this is no model".to_vec())] {
        let (_folder, path) = file(name, bytes);
        let flow = Workflow::new("damaged");
        let model = Model::onnx(&path)
            .input("picture", |_: &u8| picture())
            .output("probabilities", |_, p| probabilities(p));
        flow.source("numbers", [1_u8]).model("light", model).ignore();
        refused_once(flow, &["refusals.rs:", "model `light`", name]).await;
    }
    let flow = Workflow::new("missing");
    let model =
        Model::onnx("no/model.onnx").input("x", |_: &u8| picture()).output("y", |_, p| probabilities(p));
    flow.source("numbers", [1_u8]).model("light", model).ignore();
    refused_once(flow, &["refusals.rs:", "model `light`", "no/model.onnx"]).await;
}

#[tokio::test]
async fn a_wrong_tensor_name() {
    let flow = Workflow::new("names");
    let model = Model::onnx_bytes("light.onnx", &light())
        .input("imge", |_: &u8| picture())
        .output("probabilities", |_, p| probabilities(p));
    flow.source("numbers", [1_u8]).model("light", model).ignore();
    let errors = refused(flow).await;
    let wanted = "model `light` (light.onnx) has no input named `imge`; it has `picture` f32[N,1,8,8]";
    assert!(errors.iter().any(|e| e.contains(wanted) && e.contains("refusals.rs:")), "{errors:#?}");

    let flow = Workflow::new("names");
    let model = Model::onnx_bytes("light.onnx", &light())
        .input("picture", |_: &u8| picture())
        .output("probability", |_, p| probabilities(p));
    flow.source("numbers", [1_u8]).model("light", model).ignore();
    refused_once(flow, &["refusals.rs:", "no output named `probability`; it has `probabilities` f32[N,10]"])
        .await;
}

#[tokio::test]
async fn a_wrong_shape_is_a_fault_of_its_record() {
    let flow = Workflow::new("shapes");
    let model = Model::onnx_bytes("light.onnx", &light())
        .input("picture", |&wrong: &bool| if wrong { Tensor::vector(vec![0.0_f32; 7]) } else { picture() })
        .output("probabilities", |_, p| probabilities(p).len());
    let out = flow.source("numbers", [false, true, false]).model("light", model).collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(out), [10, 10]);
    let [fault] = report.faults() else { panic!("{report}") };
    assert_eq!(fault.kind, FaultKind::Model);
    assert!(fault.reason.contains("picture") && fault.reason.contains('7'), "{}", fault.reason);
    assert!(report.is_balanced(), "{report}");
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    name: String,
    amount: f64,
}

#[tokio::test]
async fn a_bad_csv_row_is_a_fault_with_its_line() {
    let content = b"name,amount\ntea,3.5\nmilk,much\nbread\nb\xffn,1\ncheese,7\n";
    let (_folder, path) = file("rows.csv", content);
    let flow = Workflow::new("rows");
    let rows = flow.csv::<Row>("rows", &path).collect();
    let mut report = flow.run().await.unwrap();
    let names: Vec<String> = report.take(rows).into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["tea", "cheese"]);
    let told: Vec<String> = report.faults().iter().map(|f| format!("{}: {}", f.origin, f.reason)).collect();
    let wanted = [
        ("rows.csv line 3", "column 2 `amount`: invalid float literal"),
        ("rows.csv line 4", "the row has 1 column, the header has 2"),
        ("rows.csv line 5", "column 1: not UTF-8"),
    ];
    assert_eq!(told.len(), wanted.len(), "{told:?}");
    for (told, (place, why)) in told.iter().zip(wanted) {
        assert!(told.contains(place) && told.contains(why), "{told}: {place}, {why}");
    }
    assert_eq!(report.faults()[0].value, Some("milk,much".into()));
    assert!(report.is_balanced(), "{report}");
}

#[tokio::test]
async fn a_quote_that_is_not_closed_is_told() {
    let content = format!("name,amount\n\"tea,1\n{}", "milk,2\n".repeat(50));
    let (_folder, path) = file("rows.csv", content);
    let flow = Workflow::new("rows");
    flow.csv::<Row>("rows", &path).ignore();
    let report = flow.run().await.unwrap();
    let [fault] = report.faults() else { panic!("{report}") };
    assert!(fault.reason.contains("a quote that it opens is not closed"), "{fault:?}");
    assert!(report.hints().iter().any(|hint| hint.what.starts_with("nothing reached a sink")), "{report}");
}

#[tokio::test]
async fn a_bad_json_line_is_a_fault_with_its_line() {
    let (_folder, path) = file(
        "rows.jsonl",
        "{\"name\":\"tea\",\"amount\":3.5}\n\n{\"name\":\n[1]\n{\"name\":\"rice\",\"amount\":1}\n",
    );
    let flow = Workflow::new("rows");
    let rows = flow.json_lines::<Row>("rows", &path).collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(rows).len(), 2);
    let faults = report.faults();
    assert!(faults[0].origin.ends_with("rows.jsonl line 3"), "{faults:?}");
    assert!(faults[1].origin.ends_with("line 4") && faults[1].value == Some("[1]".into()), "{faults:?}");
}

#[tokio::test]
async fn a_damaged_picture_is_a_fault_with_its_name() {
    let folder = temp_dir::TempDir::new().unwrap();
    let whole = image::RgbImage::from_pixel(3, 2, image::Rgb([9, 8, 7]));
    whole.save(folder.path().join("a.png")).unwrap();
    fs::write(folder.path().join("b.png"), b"no picture").unwrap();
    fs::write(folder.path().join("notes.txt"), b"passed over").unwrap();
    let flow = Workflow::new("pictures");
    let pictures = flow.images("pictures", folder.path()).collect();
    let mut report = flow.run().await.unwrap();
    let pictures = report.take(pictures);
    assert_eq!((pictures[0].width, pictures[0].height, &pictures[0].rgb[..3]), (3, 2, &[9_u8, 8, 7][..]));
    assert!(report.faults()[0].origin.ends_with("b.png"), "{:?}", report.faults());
}

#[tokio::test]
async fn an_open_feedback() {
    let flow = Workflow::new("open");
    let (numbers, _again) = flow.source("numbers", [1]).feedback("again", Rounds::at_most(1));
    numbers.ignore();
    refused_once(flow, &["refusals.rs:", "the feedback `again` is open", "handle_or_retry"]).await;
}

#[tokio::test]
async fn parts_of_another_workflow() {
    let (one, other) = (Workflow::new("one"), Workflow::new("other"));
    let stranger = other.source("strangers", [1]);
    one.source("numbers", [1]).merge(stranger.clone()).ignore();
    refused_once(one, &["refusals.rs:", "of the workflow `other`", "`one`", "the same `Workflow`"]).await;

    let one = Workflow::new("one");
    one.source("numbers", [1]).join(stranger, Duration::from_secs(1), |n| *n, |n| *n).ignore();
    refused_once(one, &["refusals.rs:", "of the workflow `other`"]).await;

    let one = Workflow::new("one");
    let (strangers, key) = other.source("more", [1]).feedback("again", Rounds::at_most(1));
    strangers.ignore();
    one.source("numbers", [1]).handle_or_retry("judge", key, |n| Verdict::Retry(*n)).ignore();
    refused_once(one, &["refusals.rs:", "the feedback `again` belongs to another workflow"]).await;
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once() {
    let flow = Workflow::new("all wrong");
    let numbers = flow.source("numbers", [1, 2]);
    let (again, _key) = numbers.clone().map(|n| n).named("same").feedback("open", Rounds::at_most(1));
    again.batch(0).named("same").ignore();
    let _nowhere = numbers.filter(|_| true);
    let error = flow.run().await.unwrap_err();
    let text = format!("{error:?}");
    for part in [
        "the workflow `all wrong` cannot run: 4 errors",
        "the name `same` is used twice",
        "a batch of 0 values never fills",
        "the feedback `open` is open",
        "what `filter@refusals.rs:",
        "goes nowhere",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert!(text.matches("refusals.rs:").count() >= 4, "{text}");
}

#[tokio::test]
async fn times_where_no_source_is_and_twice() {
    let flow = Workflow::new("behind a map");
    let numbers = flow.source("numbers", [1_i64]).map(|n| n).named("same");
    numbers.timestamps(|n| *n, Duration::ZERO).ignore();
    refused_once(flow, &["refusals.rs:", "behind `same`, which is no source", "straight behind the source"])
        .await;

    let flow = Workflow::new("twice");
    let numbers = flow.source("numbers", [1_i64]);
    numbers.clone().timestamps(|n| *n, Duration::ZERO).ignore();
    numbers.timestamps(|n| *n, Duration::ZERO).ignore();
    refused_once(flow, &["refusals.rs:", "`numbers` is given times twice", "keep one"]).await;
}

#[tokio::test]
async fn a_join_or_a_window_whose_records_have_no_times() {
    let flow = Workflow::new("none");
    let numbers = flow.source("numbers", [1_i64]);
    numbers.clone().interval_join(numbers, Duration::ZERO, |n| *n, |n| *n).named("pairs").ignore();
    let parts =
        ["refusals.rs:", "records of `numbers` come to `pairs` without a time", ".timestamps", "`join`"];
    refused_once(flow, &parts).await;

    let flow = Workflow::new("one without");
    let timed = flow.source("timed", [1_i64]).timestamps(|n| *n, Duration::ZERO);
    let both = timed.merge(flow.source("untimed", [1_i64]));
    both.group_by(|n| *n, Window::whole(), 0, |_, _| ()).named("all").ignore();
    refused_once(flow, &["refusals.rs:", "records of `untimed` come to `all` without a time", "too"]).await;
}

#[tokio::test]
async fn a_window_and_a_left_join_that_their_own_rows_come_back_to() {
    let timed = |flow: &Workflow| flow.source("numbers", [1_i64]).timestamps(|n| *n, Duration::ZERO);
    let judge = |n: &i64| if *n < 2 { Verdict::Retry(n + 1) } else { Verdict::Pass };

    let flow = Workflow::new("window");
    let (numbers, again) = timed(&flow).feedback("again", Rounds::at_most(1));
    let groups = numbers.group_by(|n| *n, Window::count(1), 0, |_, _| ()).named("ones");
    groups.map(|g| g.key).handle_or_retry("judge", again, judge).ignore();
    refused_once(flow, &["refusals.rs:", "what `ones` puts out can come back to it", "behind the loop"])
        .await;

    let flow = Workflow::new("left join");
    let (numbers, again) = timed(&flow).feedback("again", Rounds::at_most(1));
    let right = numbers.clone().map(|n| n);
    let pairs = numbers.left_interval_join(right, Duration::ZERO, |n| *n, |n| *n).named("pairs");
    pairs.map(|(n, _)| n).handle_or_retry("judge", again, judge).ignore();
    refused_once(flow, &["refusals.rs:", "what `pairs` puts out can come back to it", "might become one"])
        .await;
}

#[tokio::test]
async fn windows_in_which_no_row_could_be() {
    let day = Duration::from_secs(86_400);
    for (window, part) in [
        (Window::tumbling(Duration::from_micros(10)), "less than a millisecond"),
        (Window::sliding(day, day * 2), "rows would be in none"),
        (Window::count(0), "a window of 0 rows"),
    ] {
        let flow = Workflow::new("windows");
        flow.source("numbers", [1_i64]).group_by(|n| *n, window, 0, |_, _| ()).ignore();
        refused_once(flow, &["refusals.rs:", part]).await;
    }
}

#[tokio::test]
async fn a_workflow_without_a_source() {
    refused_once(Workflow::new("empty"), &["the workflow has no source", "flow.source"]).await;
}

#[tokio::test]
async fn a_plan_that_does_not_fit() {
    let bad = Plan::from_toml("[kind.slow]\nengine = \"throttled\"\ndevices = []\nfoo = 1", "plan.toml")
        .unwrap_err();
    assert!(bad.to_string().contains("plan.toml") && bad.to_string().contains("foo"), "{bad}");

    let plan = Plan::from_toml(
        "[kind.c]\nengine = \"cpu\"\ndevices = [\"c\"]\n[model.other]\nbatch = 4\npool = [\"c\"]",
        "plan.toml",
    );
    let flow = Workflow::new("unplaced").placed(plan.unwrap());
    flow.source("numbers", [1])
        .model("double", Model::function(|n: &[i32]| n.iter().map(|n| n * 2).collect()))
        .ignore();
    refused_once(flow, &["refusals.rs:", "the plan does not place the model `double`", "[model.double]"])
        .await;

    let strange = "[kind.c]\nengine = \"cpu\"\ndevices = [\"c\"]\n[model.double]\nbatch = 4\npool = [\"d\"]";
    let bad = Plan::from_toml(strange, "plan.toml").unwrap_err().to_string();
    assert!(bad.contains("plan.toml") && bad.contains("no device `d`; the cluster has `c`"), "{bad}");
}

#[tokio::test]
async fn a_file_that_cannot_be_written() {
    let flow = Workflow::new("unwritable");
    flow.source("numbers", [1]).write_csv("no/such/folder/out.csv");
    refused_once(flow, &["refusals.rs:", "no/such/folder/out.csv cannot be written", "folder"]).await;
}

#[tokio::test]
async fn a_source_that_panics_keeps_what_it_gave() {
    let flow = Workflow::new("panics");
    let numbers = (0..10).map(|n| if n < 5 { n } else { panic!("the disk is gone") });
    let out = flow.source("numbers", numbers).collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(out).len(), 5, "{report}");
    let [fault] = report.faults() else { panic!("{report}") };
    assert!(fault.kind == FaultKind::Unreadable && fault.reason.contains("the disk is gone"), "{fault:?}");
}

#[cfg(feature = "page")]
#[tokio::test]
async fn an_address_in_use() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let flow = Workflow::new("in use");
    flow.source("numbers", [1]).ignore();
    let error = flow.run_with(web_ui::on(&address)).await.unwrap_err().to_string();
    assert!(error.contains(&address) && error.contains("in use"), "{error}");
}
