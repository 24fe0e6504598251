//! `eddyline quarantine` over a file that a workflow wrote.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::{fs, process::Command};

use eddyline::prelude::*;
use temp_dir::TempDir;

/// Runs the command; gives whether it went well, and all that it said.
fn eddyline(folder: &TempDir, args: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eddyline"));
    let output = command.arg("quarantine").args(args).current_dir(folder.path()).output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test]
async fn faults_are_listed_counted_shown_and_exported() {
    let folder = TempDir::new().unwrap();
    let path = folder.child("q.sqlite");
    let flow = Workflow::new("numbers").quarantine(&path);
    flow.source("numbers", 0..6)
        .handle("even", |n| if n % 2 == 1 { Verdict::reject("it is odd") } else { Verdict::Pass })
        .try_map(|n| if *n == 4 { Err("four is too much") } else { Ok(*n) })
        .named("count")
        .ignore();
    flow.run().await.unwrap();

    let (done, said) = eddyline(&folder, &["list", "q.sqlite"]);
    assert!(done && said.lines().count() == 4, "{said}");
    assert!(said.contains("numbers #1: rejected at even: it is odd: 1\n"), "{said}");
    let (done, said) = eddyline(&folder, &["list", "q.sqlite", "--by-reason"]);
    assert!(done && said.contains("3 × rejected at even: it is odd"), "{said}");
    let (done, said) = eddyline(&folder, &["list", "q.sqlite", "--reason", "MUCH", "--not-replayed"]);
    assert!(
        done && said.contains("error at count: four is too much: 4") && said.lines().count() == 1,
        "{said}"
    );
    let id = said.split_whitespace().next().unwrap();
    let (done, said) = eddyline(&folder, &["show", "q.sqlite", id]);
    let fault: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(done && fault["value"] == 4 && fault["roots"][0]["source"] == "numbers", "{said}");

    let faults = Quarantine::open(&path).unwrap().faults(&Filter::new().operator("count")).unwrap();
    let flow = Workflow::new("again");
    flow.replay("numbers", &faults).map(|n: i32| n).ignore();
    flow.run().await.unwrap();
    let (done, said) = eddyline(&folder, &["list", "q.sqlite", "--replayed"]);
    assert!(done && said.contains("[replayed in run 2: emitted]") && said.lines().count() == 1, "{said}");
    let (done, _) = eddyline(&folder, &["export", "q.sqlite", "--handler", "even", "-o", "odd.jsonl"]);
    let lines = fs::read_to_string(folder.child("odd.jsonl")).unwrap();
    assert!(done && lines.lines().count() == 3, "{lines}");

    for (args, why) in [
        (&["show", "q.sqlite", "99"][..], "q.sqlite has no fault 99"),
        (&["list", "none.sqlite"], "there is no quarantine none.sqlite"),
        (&["list", "q.sqlite", "--kind", "odd"], "the kinds are rejected, rounds spent"),
    ] {
        let (done, said) = eddyline(&folder, args);
        assert!(!done && said.contains(why), "{said}");
    }
}
