//! `eddyline simulate` and `eddyline tune` as a person runs them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::fs;

use temp_dir::TempDir;

use command::eddyline;

mod command;

const CLUSTER: &str = r#"
[kind.L4]
engine = "throttled"
devices = 6
per_server = 2
link_gbps = 6
[kind.P4]
engine = "throttled"
devices = 12
link_gbps = 6
"#;

const ASK: &str = "--cluster cluster.toml --profiles PROFILES --models wide_resnet101_2,rtmdet_x_8xb32-300e_coco \
                   --stages 2 --seconds 5";

fn planned() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.child("cluster.toml"), CLUSTER).unwrap();
    let (went, said) = eddyline(&folder, &format!("plan {ASK} -o plan.json --deploy plan.toml"));
    assert!(went, "{said}");
    folder
}

#[test]
fn a_plan_is_simulated_drawn_and_gives_the_same_bytes_again() {
    let folder = planned();
    let run = |output: &str| {
        let args = format!(
            "simulate plan.json --load 0.6 --seconds 4 --seeds 2 --fault dies:P4-1@2s -o {output} --gantt gantt.svg \
             --curve curve.svg"
        );
        eddyline(&folder, &args)
    };
    let (went, said) = run("one.json");
    assert!(went && said.contains("in time") && said.contains("computing: L4"), "{said}");
    assert!(run("other.json").0);
    let read = |name: &str| fs::read_to_string(folder.child(name)).unwrap();
    assert_eq!(read("one.json"), read("other.json"));
    let figures: serde_json::Value = serde_json::from_str(&read("one.json")).unwrap();
    for model in figures["runs"][1]["models"].as_array().unwrap() {
        assert!(model["attainment"].as_f64().unwrap() > 0.9, "{model}");
        assert!(model["p50_us"].as_u64() <= model["p99_us"].as_u64());
    }
    assert!(
        read("gantt.svg").contains("wide_resnet101_2, stage 0") && read("curve.svg").contains("% in time")
    );
    for policy in ["reactive", "fixed-batch", "earliest-deadline", "parity"] {
        let (went, said) =
            eddyline(&folder, &format!("simulate plan.json --seconds 1 --seeds 1 --policy {policy}"));
        assert!(went, "{said}");
    }
    let (went, said) =
        eddyline(&folder, "simulate plan.toml --slo 200ms --seconds 1 --seeds 1 --arrivals mmpp");
    assert!(went && said.contains("rtmdet"), "{said}");
}

#[test]
fn tuning_reports_what_is_carried() {
    let folder = planned();
    let tune = format!("tune {ASK} --margins 0.3,0.1 --rounds 0 --run-seconds 1 --seeds 2 -o tuned.json");
    let (went, said) = eddyline(&folder, &tune);
    assert!(went && said.contains("carried/s") && said.contains("items/s in all, 99 %"), "{said}");
    let (went, said) = eddyline(&folder, "simulate tuned.json --load 0.5 --seconds 1 --seeds 1");
    assert!(went, "{said}");
}

#[test]
fn what_means_nothing_is_refused_with_one_message() {
    let folder = planned();
    fs::write(folder.child("empty.json"), "{}").unwrap();
    fs::write(folder.child("trace.csv"), "TIMESTAMP\nyesterday\n").unwrap();
    for (args, wanted) in [
        ("nothing.json", "`nothing.json`: cannot be read"),
        ("empty.json", "no plan: missing field `placement`"),
        ("plan.toml", "has no deadline; give one"),
        ("plan.json --arrivals burst", "give constant, poisson, mmpp, day or trace:FILE"),
        ("plan.json --arrivals trace:trace.csv", "line 2: `yesterday` is no time"),
        ("plan.json --policy best", "give reservation, reactive"),
        ("plan.json --load -1", "--load `-1`: give a number from"),
        ("plan.json --jitter 2", "--jitter `2`: give a number from 0 to 1"),
        ("plan.json --rate other=3", "the plan has no model `other`"),
        ("plan.json --rate 1e9", "give fewer or less time"),
        ("plan.json --fault dies:P9-1@2s", "the plan has no such device"),
        ("plan.json --fault breaks:P4-1@2s", "give dies:DEVICE@10s"),
        ("plan.json --seeds 0", "--seeds `0`"),
    ] {
        let (went, said) = eddyline(&folder, &format!("simulate {args}"));
        assert!(!went && said.contains(wanted) && said.starts_with("error: "), "{args}: {said}");
    }
}
