//! The commands that look into a model and measure it, as a person runs them, and a plan from what was measured.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::fs;

use temp_dir::TempDir;

use command::eddyline;

mod command;

#[test]
fn a_model_is_shown_with_its_layers_cuts_and_blocks() {
    let folder = TempDir::new().unwrap();
    let (done, said) = eddyline(&folder, "inspect MODEL --blocks 3 --layers --svg a.svg");
    assert!(done && said.contains("8 layers") && said.contains("6 places to cut"), "{said}");
    assert!(said.contains("── cut 2:") && said.contains("Softmax") && said.contains("mostly"), "{said}");
    assert_eq!(said.lines().filter(|line| line.contains("%")).count(), 3, "{said}");
    let picture = fs::read_to_string(folder.child("a.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("<polyline"), "{picture}");
}

#[test]
fn a_model_is_measured_planned_and_runs_by_the_plan() {
    let folder = TempDir::new().unwrap();
    let (done, said) = eddyline(
        &folder,
        "profile MODEL --blocks 3 --batches 1,3 --repeats 3 --throttled slow=4 --csv tables --svg a.svg",
    );
    assert!(
        done && said.contains("cpu, measured") && said.contains("slow, held back, not measured"),
        "{said}"
    );
    assert!(said.contains("written: profiles/heavy.json"), "{said}");
    assert!(fs::read_to_string(folder.child("a.svg")).unwrap().contains("items in a batch"));
    let tables = eddyline_planner::Tables::load(folder.child("profiles")).unwrap();
    let profile = &tables.profiles["heavy"];
    assert_eq!((profile.blocks(), profile.cuts().len(), profile.batches("cpu")), (3, 2, Some(3)));
    let (cpu, slow) = (profile.blocks_on("cpu")[0].at_us(1), profile.blocks_on("slow")[0].at_us(1));
    assert!((slow - 4.0 * cpu).abs() <= 0.3, "{cpu} and {slow}");
    let again = eddyline_planner::Tables::load(folder.child("tables")).unwrap();
    assert_eq!(again.profiles["heavy"].blocks_on("cpu"), profile.blocks_on("cpu"));
    assert_eq!(again.profiles["heavy"].cut_bytes(0), profile.cut_bytes(0));

    let cluster =
        "[kind.cpu]\nengine = \"cpu\"\ndevices = 1\n[kind.slow]\nengine = \"throttled\"\ndevices = 2\n";
    fs::write(folder.child("cluster.toml"), cluster).unwrap();
    let plan = "plan --cluster cluster.toml --profiles profiles --models heavy --slo 1s --slices 1 --deploy plan.toml";
    let (done, said) = eddyline(&folder, plan);
    assert!(done, "{said}");
    let plan = eddyline_planner::Plan::load(folder.child("plan.toml")).unwrap();
    assert_eq!(plan.profile("heavy").unwrap().cuts(), profile.cuts());
}

#[test]
fn what_cannot_be_measured_is_said_in_one_line_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    let refused = |args: &str, wanted: &str| {
        let (done, said) = eddyline(&folder, args);
        assert!(!done && said.contains(wanted) && said.starts_with("error: "), "{args}: {said}");
    };
    refused("inspect none.onnx", "cannot read the model file");
    refused("inspect MODEL --blocks 40", "cannot be cut into 40 blocks: it can be cut at 6 places");
    refused("inspect MODEL --shape x=1x2", "the model has no input `x`; it has `picture`");
    refused("inspect MODEL --shape picture=8x8", "takes no item of [8,8]");
    refused("inspect MODEL --shape picture=1xax8", "give whole numbers above 0");
    refused("profile MODEL --batches 0", "give batches of 1 to 1024 items");
    refused("profile MODEL --engines gpu", "--engines `gpu`: there are cpu");
    refused("profile MODEL --throttled cpu=2", "give the kind a name of its own");
    refused("profile MODEL --throttled slow=0.5", "give a factor of 1 or more");
    fs::write(folder.child("broken.onnx"), [0x3a, 0xff, 0x01]).unwrap();
    refused("inspect broken.onnx", "no usable ONNX model");
}

#[test]
fn the_devices_are_listed() {
    let (done, said) = eddyline(&TempDir::new().unwrap(), "devices");
    assert!(done && said.contains("cpu          yes  "), "{said}");
    assert!(said.contains("onnxruntime  "), "{said}");
}
