//! A plan as TOML, for [`Plan::load`] to read.

use std::fmt::Write as _;

use serde_json::Value;

use crate::{Blocks, Latency, Plan};

impl Plan {
    /// The plan in the format of [`Plan::from_toml`]. Uncut latencies and the memory of blocks, which only planning needs, are
    /// left out.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail, and JSON's strings and lists of numbers are TOML's.
        let mut line = |line: String| {
            let _ = writeln!(text, "{line}");
        };
        for kind in self.cluster().kinds() {
            let devices = self.cluster().devices().iter().filter(|device| device.kind == kind.name);
            let devices: Vec<&str> = devices.map(|device| device.name.as_str()).collect();
            line(format!("[kind.{}]\nengine = {}", quoted(&kind.name), quoted(kind.engine.name())));
            line(format!("devices = {}", Value::from(devices)));
            line(format!("per_server = {}\ncost = {:?}", kind.per_server, kind.cost));
            if let Some(link) = kind.link {
                line(format!("link_gbps = {:?}", link.gbps));
            }
            if let Some(bytes) = kind.memory_bytes {
                line(format!("memory_bytes = {bytes}"));
            }
            line(String::new());
        }
        for profile in self.profiles() {
            let cuts = (0..profile.blocks()).map_while(|block| profile.cut_bytes(block));
            line(format!("[profile.{}]", quoted(profile.model())));
            line(format!("cut_bytes = {}", Value::from(cuts.collect::<Vec<_>>())));
            if !profile.cuts().is_empty() {
                line(format!("cuts = {}", Value::from(profile.cuts().to_vec())));
            }
            line(format!("[profile.{}.latency_us]", quoted(profile.model())));
            for kind in profile.kinds() {
                let blocks: Vec<String> = profile.blocks_on(kind).iter().map(latency).collect();
                line(format!("{} = [{}]", quoted(kind), blocks.join(", ")));
            }
            line(String::new());
        }
        for pipeline in self.pipelines() {
            let model = quoted(&pipeline.model);
            line(format!("[[model.{model}.pipeline]]\nbatch = {}", pipeline.batch));
            for stage in &pipeline.stages {
                line(format!("[[model.{model}.pipeline.stage]]"));
                if let Blocks::Run(run) = &stage.blocks {
                    line(format!("blocks = [{}, {}]", run.start, run.end));
                }
                line(format!("pool = {}", Value::from(stage.pool.devices.clone())));
            }
            line(String::new());
        }
        text
    }
}

fn quoted(name: &str) -> String {
    Value::from(name).to_string()
}

fn latency(latency: &Latency) -> String {
    match latency {
        Latency::Table(table) => format!("{table:?}"),
        Latency::Line(line) => format!("{{ fixed = {:?}, per_item = {:?} }}", line.fixed, line.per_item),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let plan = Plan::from_toml(crate::file::tests::FIRST_EXAMPLE, "plan.toml").unwrap();
        assert_eq!(Plan::from_toml(&plan.to_toml(), "again.toml").unwrap(), plan);
        let cut = r#"
            kind.a = { engine = "cpu", devices = ["a"] }
            profile.m = { latency_us.a = [[1], [2]], cuts = [["x", "y\"z"]] }
            model.m = { batch = 1, stage = [{ blocks = [0, 2], pool = ["a"] }] }
        "#;
        let plan = Plan::from_toml(cut, "plan.toml").unwrap();
        assert_eq!(plan.profiles()[0].cuts(), [["x", "y\"z"]]);
        assert_eq!(Plan::from_toml(&plan.to_toml(), "again.toml").unwrap(), plan);
    }
}
