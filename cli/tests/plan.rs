//! The command as a person runs it: a plan, its file and picture, the next plan after a loss, and the difference of the two.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::fs;

use temp_dir::TempDir;

use command::eddyline;

mod command;

fn cluster(folder: &TempDir, l4: u32) {
    let text = format!(
        "[kind.L4]\nengine = \"throttled\"\ndevices = {l4}\nlink_gbps = 6\n[kind.P4]\nengine = \"throttled\"\ndevices = 6\nlink_gbps = 6\n"
    );
    fs::write(folder.child("cluster.toml"), text).unwrap();
}

const PLAN: &str = "plan --cluster cluster.toml --profiles PROFILES --stages 2 --seconds 10 --gap 0.01";

#[test]
fn a_plan_its_successor_and_their_difference() {
    let folder = TempDir::new().unwrap();
    cluster(&folder, 4);
    let (done, said) = eddyline(
        &folder,
        &format!("{PLAN} --models wide_resnet101_2 --explain -o a.json --svg a.svg --deploy a.toml"),
    );
    assert!(done && said.contains("bound") && said.contains("one more P4 brings"), "{said}");
    assert!(said.contains("without cuts") && said.contains("chains of one device of each kind"), "{said}");
    assert!(said.contains("tables   best") && said.contains("devices divided by tables"), "{said}");
    assert!(fs::read_to_string(folder.child("a.svg")).unwrap().starts_with("<svg"));
    let plan = eddyline_planner::Plan::load(folder.child("a.toml")).unwrap();
    assert!(plan.pipelines_of("wide_resnet101_2").next().is_some());
    cluster(&folder, 3);
    let (done, said) =
        eddyline(&folder, &format!("{PLAN} --models wide_resnet101_2 --from a.json -o b.json"));
    assert!(done && said.contains("devices take up other work"), "{said}");
    let (done, said) = eddyline(&folder, "plan diff a.json b.json");
    assert!(done && said.contains("items/s"), "{said}");
}

#[test]
fn the_fewest_devices_for_a_demand_are_proven_whatever_there_is_besides() {
    let folder = TempDir::new().unwrap();
    for l4 in [6, 60_000] {
        cluster(&folder, l4);
        let ask = "--models wide_resnet101_2 --rate 400 --objective least-devices --explain";
        let (done, said) = eddyline(&folder, &format!("{} {ask}", PLAN.replace("--gap 0.01", "--gap 0")));
        assert!(done && said.contains("gap 0.000 %; proven best"), "{said}");
        assert!(said.contains("devices divided by tables") && said.contains("one more L4 saves"), "{said}");
    }
    let (done, said) =
        eddyline(&folder, &format!("{PLAN} --models wide_resnet101_2 --rate 1e9 --objective least-cost"));
    assert!(!done && said.contains("% of the demand") && said.contains("one more L4 gives"), "{said}");
}

#[test]
fn what_cannot_be_done_is_said_in_one_line_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    cluster(&folder, 4);
    let refused = |args: &str, wanted: &str| {
        let (done, said) = eddyline(&folder, args);
        assert!(!done && said.contains(wanted), "{args}: {said}");
    };
    refused(&format!("{PLAN} --models wide_resnet"), "no profile of model `wide_resnet`");
    refused(&format!("{PLAN} --models wide_resnet101_2 --slo 1ms"), "give it an SLO of");
    refused(&format!("{PLAN} --models wide_resnet101_2 --rate 1000"), "carry 40.4 % of the demand");
    refused(&format!("{PLAN} --models wide_resnet101_2 --slo 50"), "give a time with its unit, e.g. `50ms`");
    refused(&format!("{PLAN} --models wide_resnet101_2 --rate x=1"), "`x` is not among --models");
    refused(&format!("{PLAN} --models wide_resnet101_2 --margin NaN"), "slo.margin is NaN");
    let hasty = PLAN.replace("--seconds 10", "--seconds 0");
    refused(&format!("{hasty} --models wide_resnet101_2"), "seconds above 0");
    let lavish = PLAN.replace("--gap 0.01", "--gap NaN");
    refused(&format!("{lavish} --models wide_resnet101_2"), "--gap `NaN`: give 0 or more");
    refused(&format!("{PLAN} --models wide_resnet101_2 --give-away 2"), "--give-away `2`: give a part");
    refused(
        &format!("{PLAN} --models wide_resnet101_2 --slo -1ms"),
        "slo.latency_us is -1000; give µs above 0",
    );
    refused(
        &format!("{PLAN} --models wide_resnet101_2 --rate -5"),
        "rate_per_s is -5; give items per second",
    );
    refused(&format!("{PLAN} --models wide_resnet101_2 --weight NaN"), "weight is NaN");
    refused(&format!("{PLAN} --models wide_resnet101_2 --margin 1.5"), "slo.margin is 1.5");
    refused(&format!("{PLAN} --models wide_resnet101_2 --slices 0"), "rules.slices is 0");
    fs::write(folder.child("empty.json"), "").unwrap();
    refused("plan diff empty.json empty.json", "it is empty; give a file that `eddyline plan -o` wrote");
    refused("plan diff gone.json gone.json", "cannot be read: No such file");
    let stage = r#"{"first_block":0,"end_block":1,"kind":"L4","slices":0,"batch":1,"count":1,"latency_us":1,"transfer_us":0}"#;
    let route = format!(r#"{{"rate_per_s":1,"latency_us":1,"build_us":0,"stages":[{stage}]}}"#);
    let model = format!(r#"{{"model":"wide_resnet101_2","rate_per_s":1,"routes":[{route}]}}"#);
    fs::write(folder.child("odd.json"), format!(r#"{{"placement":{{"models":[{model}]}}}}"#)).unwrap();
    refused(
        &format!("{PLAN} --models wide_resnet101_2 --from odd.json"),
        "no plan: a stage on L4 has no blocks",
    );
    refused(
        &format!("{PLAN} --models wide_resnet101_2 -o no/such/a.json"),
        "there is no folder `no/such`; make it",
    );
    refused(&format!("{PLAN} --models wide_resnet101_2 --svg ."), "`.`: is a folder; name a file in it");
    refused(&format!("{PLAN} --models wide_resnet101_2 --batch 5000"), "rules.batch is 5000; give 1 to 4096");
    refused(
        &format!("{PLAN} --models wide_resnet101_2 --weight 1e300"),
        "give a number above 0: 10⁻⁶ to 10¹²",
    );
    let cluster = |text: &str| fs::write(folder.child("cluster.toml"), text).unwrap();
    cluster("");
    refused(&format!("{PLAN} --models wide_resnet101_2"), "`cluster.toml` is not a cluster: it is empty");
    cluster("[kind.L4]\nengine = \"throttled\"\ndevices = 0\n");
    refused(&format!("{PLAN} --models wide_resnet101_2"), "the cluster has no devices");
    cluster("[kind.L4]\nengine = \"throttled\"\ndevices = 1\nlink_gbps = nan\n");
    refused(&format!("{PLAN} --models wide_resnet101_2"), "kind.L4.link_gbps is NaN");
    cluster("[kind.L4]\nengine = \"throttled\"\ndevices = 4000000000\n");
    refused(&format!("{PLAN} --models wide_resnet101_2"), "4000000000 devices are too many");
    cluster("[kind.\"L4/0.5\"]\nengine = \"throttled\"\ndevices = 1\n");
    refused(&format!("{PLAN} --models wide_resnet101_2"), "`L4/0.5` is no part of a device");
    refused("plan", "--cluster");
}
