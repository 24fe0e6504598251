//! The published three-model questions and their objectives, as the CSV files of the comparison have them.

use std::{collections::BTreeMap, path::Path};

use eddyline_planner::{
    Cluster, Demand, DeviceKind, EngineKind, Limits, Link, ModelPlacement, Objective, Placement, Problem,
    Route, RouteStage, Rules, Slo, Solver, Tables, chain_pairs, no_partition, plan, with_arrivals,
};

/// One row of `reference_objectives.csv`.
pub struct Case {
    /// Group and cluster, such as `G1/L4-P4`.
    pub name: String,
    /// The question under the published rules.
    pub problem: Problem,
    /// The published objectives: no partition, chain pairs, pooled in two stages.
    pub published: [f64; 3],
    /// What the published solver took, and the gap that it left.
    #[allow(dead_code)]
    pub published_seconds: f64,
    /// The published plan without cuts, from which chains are made.
    pub uncut: Placement,
}

/// Reads the cases of a folder.
pub fn cases(folder: &Path) -> Vec<Case> {
    let tables = Tables::load(folder).unwrap_or_else(|error| panic!("{error}"));
    let uncut = uncut_plans(folder);
    let rows = rows(&folder.join("reference_objectives.csv"));
    rows.iter().map(|row| case(row, &tables, &uncut)).collect()
}

type Row = BTreeMap<String, String>;

fn rows(path: &Path) -> Vec<Row> {
    let mut reader =
        csv::Reader::from_path(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    reader.deserialize().map(|row| row.unwrap()).collect()
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is no number"))
}

fn case(row: &Row, tables: &Tables, uncut: &BTreeMap<String, Placement>) -> Case {
    let (high, low) = row["cluster"].split_once('-').unwrap();
    // Devices per server: notes *Pooled pipelines* §2.
    let per_server = match (high, low) {
        ("L4", "P4") => [1, 1],
        ("V100", "P4") => [2, 1],
        _ => [4, 2],
    };
    let kind = |name: &str, per_server| DeviceKind {
        per_server,
        link: Some(Link { gbps: number(&row["effective_bandwidth_gbps"]) }),
        ..DeviceKind::new(name, EngineKind::Throttled)
    };
    let cluster = Cluster::of([(kind(high, per_server[0]), 25), (kind(low, per_server[1]), 75)]).unwrap();
    let demands = row["models"].split(' ').zip(row["weights"].split('-')).map(|(model, weight)| {
        let slo = Slo { latency_us: tables.slo_us[model], margin: 0.4 };
        Demand::new(model, 0.0).weighing(number(weight)).within(slo)
    });
    let demands = demands.collect();
    let problem =
        Problem::new(cluster, &tables.profiles, demands, Rules::parity(), Objective::MaxMin).unwrap();
    let name = format!("{}/{}", row["group"], row["cluster"]);
    Case {
        problem,
        published: ["no_partition", "chain_pairs", "pooled_two_stage"].map(|column| number(&row[column])),
        published_seconds: number(&row["solver_seconds"]),
        uncut: uncut[&name].clone(),
        name,
    }
}

/// Devices per model and kind are all that matters of these.
fn uncut_plans(folder: &Path) -> BTreeMap<String, Placement> {
    let mut plans: BTreeMap<String, Placement> = BTreeMap::new();
    for row in rows(&folder.join("reference_plans.csv")) {
        if row["algorithm"] != "no_partition" {
            continue;
        }
        let plan = plans.entry(format!("{}/{}", row["group"], row["cluster"])).or_default();
        let stage = RouteStage {
            first_block: 0,
            end_block: number(&row["end_block"]) as u32,
            kind: row["gpu"].clone(),
            slices: 1,
            batch: number(&row["batch"]) as u32,
            count: number(&row["gpus"]) as u32,
            latency_us: number(&row["latency_us"]),
            transfer_us: 0.0,
            whole_latency: false,
        };
        let rate_per_s = number(&row["pipeline_rate_per_s"]);
        let route = Route { rate_per_s, latency_us: stage.latency_us, build_us: 0.0, stages: vec![stage] };
        match plan.models.iter_mut().find(|model| model.model == row["model"]) {
            Some(model) => model.routes.push(route),
            None => plan.models.push(ModelPlacement {
                model: row["model"].clone(),
                rate_per_s,
                routes: vec![route],
            }),
        }
    }
    plans
}

/// Plans a case in the three published ways and compares: all within 0.1 %, the pooled one proven, and all plans check.
#[allow(dead_code)]
pub fn agrees(case: &Case, solver: &dyn Solver) {
    let (limits, name) = (Limits::default(), &case.name);
    let problem = with_arrivals(&case.problem, solver, &limits).unwrap();
    let uncut = no_partition(&problem, solver, &limits).unwrap();
    let chains = chain_pairs(&problem, &case.uncut, solver, &limits).unwrap();
    let share = |(rate, demand): (&f64, &Demand)| rate / demand.weight;
    let chains = chains.iter().zip(problem.demands()).map(share).fold(f64::INFINITY, f64::min);
    let pooled = plan(&problem, solver, &limits).unwrap();
    pooled.placement.check(&problem).unwrap();
    for (ours, published) in [uncut.proof.value, chains, pooled.proof.value].into_iter().zip(case.published) {
        assert!((ours / published - 1.0).abs() < 1e-3, "{name}: {ours} is published as {published}");
    }
    assert_eq!(pooled.proof.status, eddyline_planner::Status::Optimal, "{name}");
    assert!(pooled.proof.gap().is_some_and(|gap| gap <= 1e-4), "{name}: {:?}", pooled.proof);
}
