//! The published plans as fleets, with links shared as the published simulator shares them.

use std::{collections::BTreeMap, error::Error, path::Path};

use eddyline_planner::{
    Blocks, Fraction, Tables,
    serving::{Fleet, FleetDevice, FleetModel, FleetPipeline, FleetStage},
};

/// One model of a published plan, on its devices alone.
pub struct Published {
    /// Group and cluster, such as `G1/L4-P4`.
    pub case: String,
    /// `no_partition`, `chain_pairs` or `pooled_two_stage`.
    pub algorithm: String,
    /// Items per second that it was planned for.
    pub rate_per_s: f64,
    /// Its devices.
    pub fleet: Fleet,
}

type Row = BTreeMap<String, String>;

/// Devices of a kind that a server has (notes §2).
fn per_server(cluster: &str, kind: &str) -> usize {
    match (cluster, kind) {
        ("L4-P4", _) | (_, "P4") => 1,
        ("V100-P4", _) | (_, "T4") => 2,
        _ => 4,
    }
}

/// Reads every model of every published plan.
pub fn plans(folder: &Path, tables: &Tables) -> Result<Vec<Published>, Box<dyn Error>> {
    let mut of: BTreeMap<(String, String, String), Vec<Row>> = BTreeMap::new();
    for row in csv::Reader::from_path(folder.join("reference_plans.csv"))?.deserialize() {
        let row: Row = row?;
        let key =
            (format!("{}/{}", row["group"], row["cluster"]), row["algorithm"].clone(), row["model"].clone());
        of.entry(key).or_default().push(row);
    }
    let mut plans = Vec::with_capacity(of.len());
    for ((case, algorithm, model), rows) in of {
        let rate_per_s = rows[0]["model_rate_per_s"].parse()?;
        plans.push(Published { fleet: fleet(&model, &rows, tables)?, case, algorithm, rate_per_s });
    }
    Ok(plans)
}

fn fleet(model: &str, rows: &[Row], tables: &Tables) -> Result<Fleet, Box<dyn Error>> {
    let profile = tables.profiles.get(model).ok_or("a model without a profile")?;
    let mut fleet = Fleet::default();
    let mut pipelines: Vec<FleetPipeline> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let (slices, batch): (u32, u32) = (row["slices"].parse()?, row["batch"].parse()?);
        let kind = Fraction::new(row["gpu"].clone(), slices).to_string();
        let blocks: Vec<u32> = (row["first_block"].parse()?..row["end_block"].parse()?).collect();
        let latency = |items: u32| {
            let of =
                blocks.iter().map(|block| profile.latency_us(&kind, &Blocks::Run(*block..*block + 1), items));
            of.map(|us| us.map(|us| us.max(1.0) as u64)).sum::<Option<u64>>()
        };
        let latency_us: Option<Vec<u64>> = (1..=batch).map(latency).collect();
        let send_us = (row["transfer_us"].parse::<f64>()? / f64::from(batch)).round() as u64;
        let count = (row["gpus"].parse::<f64>()? * f64::from(slices)).round() as usize;
        let next = rows.get(at + 1).filter(|next| next["pipeline"] == row["pipeline"]);
        let shared = |next: &Row| {
            per_server(&row["cluster"], &row["gpu"]).max(per_server(&row["cluster"], &next["gpu"]))
        };
        let share = next.map_or(1, |next| shared(next) * slices as usize);
        let first = fleet.devices.len() as u32;
        for n in 0..count {
            let link = fleet.links + n / share;
            fleet.devices.push(FleetDevice {
                name: format!("{kind}-{first}-{n}"),
                kind: row["gpu"].clone(),
                parts: slices,
                uplink: link,
                downlink: link,
            });
        }
        fleet.links += count.div_ceil(share);
        let stage = FleetStage {
            devices: (first..first + count as u32).collect(),
            lent: Vec::new(),
            latency_us: latency_us.ok_or("a stage without a profile")?,
            send_us,
        };
        match pipelines.last_mut().filter(|_| row["stage"] != "0") {
            Some(pipeline) => pipeline.stages.push(stage),
            None => {
                pipelines.push(FleetPipeline { batch: batch as usize, stages: vec![stage], overflow: false })
            }
        }
    }
    let slo_us = tables.slo_us.get(model).ok_or("a model without an objective")?.round() as u64;
    fleet.models.push(FleetModel { name: model.to_owned(), slo_us, pipelines });
    fleet.check()?;
    Ok(fleet)
}
