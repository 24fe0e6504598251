//! `eddyline plan diff`: what changes from one plan to another.

use std::{fs, path::PathBuf};

use clap::Args;
use eddyline_planner::{Placement, changes, moved};
use serde::Deserialize;

use crate::ask::CliError;

#[derive(Args)]
pub struct Diff {
    /// The plan before
    before: PathBuf,
    /// The plan after
    after: PathBuf,
}

/// Of a plan's file, what others read.
#[derive(Deserialize)]
struct PlanFile {
    placement: Placement,
}

impl Diff {
    pub fn run(&self) -> Result<(), CliError> {
        let (before, after) = (read(&self.before)?, read(&self.after)?);
        for change in changes(&before, &after) {
            println!("{change}");
        }
        for model in &after.models {
            let old = before.models.iter().find(|old| old.model == model.model);
            let old = old.map_or(0.0, |old| old.rate_per_s);
            println!("{}: {old:.1} → {:.1} items/s", model.model, model.rate_per_s);
        }
        println!("{:.2} devices take up other work", moved(&before, &after));
        Ok(())
    }
}

/// Reads the placement of a file that `eddyline plan -o` wrote.
pub fn read(path: &std::path::Path) -> Result<Placement, CliError> {
    let text = fs::read_to_string(path)
        .map_err(|error| CliError::file(path, format!("cannot be read: {error}; check the path")))?;
    if text.trim().is_empty() {
        return Err(CliError::file(path, "no plan: it is empty; give a file that `eddyline plan -o` wrote"));
    }
    let wrong = |what: String| {
        CliError::file(path, format!("no plan: {what}; give a file that `eddyline plan -o` wrote"))
    };
    let PlanFile { placement } = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let mut stages = placement.models.iter().flat_map(|model| &model.routes).flat_map(|route| &route.stages);
    let nothing =
        stages.find(|of| of.first_block >= of.end_block || [of.slices, of.batch, of.count].contains(&0));
    match nothing {
        Some(stage) => Err(wrong(format!("a stage on {} has no blocks, slices, batch or count", stage.kind))),
        None => Ok(placement),
    }
}
