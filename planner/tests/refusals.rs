//! What comes from outside and means nothing is refused with one message that names the place and says what to do.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::{collections::BTreeMap, fs, path::Path};

use eddyline_planner::{
    Cluster, ClusterError, Demand, DeviceKind, EngineKind, Fraction, Latency, Link, Objective, Placement,
    Problem, Profile, Rules, Slo, Tables, Violation, greedy,
};
use temp_dir::TempDir;

const ROWS: &str = "model,gpu,slices,block,batch,latency_us\nm,L4,1,0,1,100\nm,L4,1,0,2,150\nm,L4,1,1,1,200\nm,L4,1,1,2,300\n";

fn refusal(file: &str, text: &str) -> String {
    let folder = TempDir::new().unwrap();
    fs::write(folder.child("block_latency.csv"), ROWS).unwrap();
    fs::write(folder.child("cut_bytes.csv"), "model,cut_after_block,bytes_per_sample_fp16\nm,0,1000\n")
        .unwrap();
    assert!(Tables::load(folder.path()).is_ok());
    fs::write(folder.child(file), text).unwrap();
    let message = Tables::load(folder.path()).unwrap_err().to_string();
    assert!(message.contains(file), "{message}");
    message.replace(&folder.path().display().to_string(), "")
}

#[test]
fn a_table_is_refused_with_its_file_its_row_and_its_field() {
    let row = |from: &str, to: &str| refusal("block_latency.csv", &ROWS.replacen(from, to, 1));
    let place = |message: String, wanted: &str| assert!(message.contains(wanted), "{message}");
    place(row("0,2,150", "0,2,-150"), "line 3, latency_us = `-150`: give µs above 0");
    place(row("0,2,150", "0,2,NaN"), "line 3, latency_us = `NaN`: give µs above 0");
    place(row("0,2,150", "0,2,"), "line 3, latency_us = ``: a value is missing");
    place(row("L4,1,0,2", "L4,1.5,0,2"), "line 3, slices = `1.5`: give a whole number, 1 or more");
    place(row("L4,1,0,2", "L4,0,0,2"), "line 3, slices = `0`: give a whole number, 1 or more");
    place(row("0,2,150", "0,1,150"), "line 3, batch = `1`: another row has the same");
    place(row("0,2,150", "0,3,150"), "no row for model `m` on `L4`, block 0, batch 2");
    place(row("block,batch", "blok,batch"), "no column `block`");
    place(row("block,batch", "batch,batch"), "the column `batch` is there twice");
    place(row("0,2,150", "0,2,many"), "line 3, latency_us = `many`: give µs above 0");
    place(
        refusal("cut_bytes.csv", "model,cut_after_block,bytes_per_sample_fp16\nm,0,-1\n"),
        "give a whole number, 0 or more",
    );
    place(row("150\n", "150,7\n"), "no CSV table");
    place(refusal("block_latency.csv", ""), "is empty");
    place(refusal("cut_bytes.csv", ""), "is empty");
    place(refusal("m.json", ""), "is empty; write a profile into it");
    place(refusal("m.json", "x"), "is no profile");
    place(refusal("m.json", r#"{"model": "n", "latency_us": {"L4": [[1]]}, "slo_us": -5}"#), "slo_us is -5");
    place(
        refusal("m.json", r#"{"model": "n", "latency_us": {"L4/0": [[1]]}}"#),
        "`L4/0` is no part of a device",
    );
    place(refusal("m.json", r#"{"model": "n", "latency_us": {"L4": [[-1]]}}"#), "-1 is no latency");
    place(refusal("m.json", r#"{"model": "m", "latency_us": {"L4": [[1]]}}"#), "second profile of `m`");
    let empty = TempDir::new().unwrap();
    place(Tables::load(empty.path()).unwrap_err().to_string(), "there is no profile in");
    place(Tables::load(Path::new("/no/such")).unwrap_err().to_string(), "cannot read");
    fs::create_dir(empty.child("block_latency.csv")).unwrap();
    place(Tables::load(empty.path()).unwrap_err().to_string(), "cannot read");
}

fn kind(name: &str) -> DeviceKind {
    DeviceKind::new(name, EngineKind::Throttled)
}

fn profiles() -> BTreeMap<String, Profile> {
    let table = |us: f64| Latency::Table(vec![us]);
    let latency_us = BTreeMap::from([("L4".to_owned(), vec![table(100.0), table(200.0)])]);
    BTreeMap::from([("m".to_owned(), Profile::new("m", latency_us, vec![1000]).unwrap())])
}

fn problem(demands: Vec<Demand>, objective: Objective) -> Result<Problem, String> {
    let cluster = Cluster::of([(kind("L4"), 2)]).unwrap();
    Problem::new(cluster, &profiles(), demands, Rules::normal(), objective).map_err(|error| error.to_string())
}

#[test]
fn a_question_is_refused_with_its_model_and_its_field() {
    let refused = |demand: Demand, wanted: &str| {
        let message = problem(vec![demand], Objective::MaxMin).unwrap_err();
        assert!(message.contains(wanted), "{message}");
    };
    let m = || Demand::new("m", 0.0);
    refused(Demand::new("x", 0.0), "no profile of model `x`; there are `m`");
    refused(Demand::new("m", f64::NAN), "`m`: rate_per_s is NaN");
    refused(m().weighing(0.0), "`m`: weight is 0; give a number above 0");
    refused(m().within(Slo { latency_us: -1.0, margin: 0.0 }), "`m`: slo.latency_us is -1");
    refused(m().within(Slo { latency_us: 1.0, margin: 1.0 }), "`m`: slo.margin is 1");
    refused(Demand { at_most_per_s: Some(-1.0), ..m() }, "`m`: at_most_per_s is -1");
    assert!(problem(vec![], Objective::MaxMin).unwrap_err().contains("name at least one"));
    assert!(problem(vec![m(), m()], Objective::MaxMin).unwrap_err().contains("asked for twice"));
    assert!(problem(vec![m()], Objective::LeastCost).unwrap_err().contains("rate_per_s is 0"));
}

#[test]
fn a_cluster_of_nothing_and_a_fraction_of_too_many_are_refused() {
    assert_eq!(Cluster::of([(kind("L4"), 0)]), Err(ClusterError::NoDevices));
    let bare = DeviceKind { per_server: 0, ..kind("L4") };
    assert!(Cluster::of([(bare, 1)]).unwrap_err().to_string().contains("kind.L4.per_server is 0"));
    let free = DeviceKind { cost: f64::NAN, ..kind("L4") };
    assert!(Cluster::of([(free, 1)]).unwrap_err().to_string().contains("kind.L4.cost is NaN"));
    assert!("L4/0".parse::<Fraction>().is_err());
    assert!(
        Cluster::of([(kind("L4/0"), 1)]).unwrap_err().to_string().contains("`L4/0` is no part of a device")
    );
    let many = Cluster::of([(kind("L4"), u32::MAX)]).unwrap_err().to_string();
    assert!(many.contains("devices are too many; a cluster has at most 1000000"), "{many}");
}

#[test]
fn nothing_is_moved_over_a_link_that_was_not_measured() {
    let blocks = vec![Latency::Table(vec![100.0]), Latency::Table(vec![200.0])];
    let profile = Profile::new("m", BTreeMap::from([("L4".to_owned(), blocks)]), vec![]).unwrap();
    let profiles = BTreeMap::from([("m".to_owned(), profile)]);
    let stages = |link| {
        let cluster = Cluster::of([(DeviceKind { link, memory_bytes: None, ..kind("L4") }, 3)]).unwrap();
        let demand = vec![Demand::new("m", 0.0)];
        let problem = Problem::new(cluster, &profiles, demand, Rules::normal(), Objective::MaxMin).unwrap();
        greedy(&problem).unwrap().placement.models[0].routes[0].stages.len()
    };
    assert_eq!((stages(None), stages(Some(Link { gbps: 1.0 }))), (2, 1));
}

#[test]
fn a_deadline_that_cannot_be_met_is_answered_with_one_that_can() {
    let slo = |latency_us| Demand::new("m", 0.0).within(Slo { latency_us, margin: 0.4 });
    let message = greedy(&problem(vec![slo(400.0)], Objective::MaxMin).unwrap()).unwrap_err().to_string();
    assert!(message.contains("on L4 it takes at least 0.3 ms; give it an SLO of 0.6 ms"), "{message}");
    assert!(greedy(&problem(vec![slo(600.0)], Objective::MaxMin).unwrap()).is_ok());
}

#[test]
fn a_placement_that_promises_too_much_fails_its_check() {
    let problem = problem(vec![Demand::new("m", 0.0)], Objective::MaxMin).unwrap();
    let good = greedy(&problem).unwrap().placement;
    assert_eq!(good.check(&problem), Ok(()));
    let broken = |change: fn(&mut Placement)| {
        let mut placement = good.clone();
        change(&mut placement);
        placement.check(&problem).unwrap_err().into_iter().map(|wrong| wrong.to_string()).collect::<String>()
    };
    let says = |message: String, wanted: &str| assert!(message.contains(wanted), "{message}");
    says(broken(|p| p.models[0].routes[0].rate_per_s *= 1.1), "items per second");
    says(broken(|p| p.models[0].rate_per_s *= 1.1), "its routes add up to");
    says(
        broken(|p| p.models[0].routes[0].stages[0].count = 3),
        "3 devices of kind `L4` are in use, but there are 2",
    );
    says(broken(|p| p.models[0].routes[0].stages[0].end_block = 1), "");
    says(broken(|p| p.models[0].routes[0].stages[0].kind = "P4".into()), "of which the cluster has none");
    says(broken(|p| p.models[0].routes[0].stages[0].batch = 2), "was not measured");
    says(broken(|p| p.models[0].routes[0].stages[0].slices = 3), "give a multiple");
    says(broken(|p| p.models[0].routes[0].stages[0].slices = 0), "count, batch or slices of 0");
    says(broken(|p| p.models[0].routes[0].stages[0].count = u32::MAX), "there are 2");
    says(broken(|p| p.models[0].routes[0].latency_us = 1.0), "claims a latency of 1");
    let other = Placement::default().check(&problem);
    assert!(matches!(other.unwrap_err()[0], Violation::Models { .. }));
}
