//! A model's graph, divided into the blocks of its plan. A stage of several blocks is one segment.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use eddyline_planner::{Blocks, Plan};

use crate::onnx::{Cuts, OnnxError, OnnxModel};

/// A graph with the places of its blocks, and the segments made so far.
pub struct Division {
    model: Arc<OnnxModel>,
    /// Only where a stage is not the whole.
    cuts: Option<(Cuts, Vec<usize>)>,
    made: BTreeMap<(usize, usize), Arc<OnnxModel>>,
}

impl Division {
    /// Divides `model` as the pipelines of `name` need it: where its profile says, or else into as many blocks of about equal
    /// time.
    pub fn new(plan: &Plan, name: &str, model: &Arc<OnnxModel>) -> Result<Self, String> {
        let stages = plan.pipelines_of(name).flat_map(|pipeline| &pipeline.stages);
        let runs = stages.filter_map(|stage| match &stage.blocks {
            Blocks::Whole => None,
            Blocks::Run(run) => Some(run.clone()),
        });
        let profile = plan.profile(name);
        let runs: Vec<Range<u32>> = runs.collect();
        let blocks = profile.map(|profile| profile.blocks()).or_else(|| runs.iter().map(|run| run.end).max());
        let blocks = blocks.unwrap_or(1);
        let mut division = Self { model: model.clone(), cuts: None, made: BTreeMap::new() };
        if runs.iter().all(|run| *run == (0..blocks)) {
            return Ok(division);
        }
        let say = |error: OnnxError| error.to_string();
        let cuts = Cuts::new(model).map_err(say)?;
        let named = profile.map(|profile| profile.cuts()).unwrap_or_default();
        let mut places = match named {
            [] => cuts.blocks(blocks as usize).map_err(say)?,
            named => {
                let place = |names: &Vec<String>| {
                    let lost = || format!("it has no cut where just `{}` cross", names.join("`, `"));
                    cuts.find(names).ok_or_else(lost)
                };
                named.iter().map(place).collect::<Result<_, _>>()?
            }
        };
        if places.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err("its profile does not name the cuts in the order of the graph".to_owned());
        }
        places.insert(0, 0);
        places.push(cuts.layers().len());
        division.cuts = Some((cuts, places));
        Ok(division)
    }

    /// The graph of these blocks; the same one where it is asked for again.
    pub fn stage(&mut self, blocks: &Blocks) -> Result<Arc<OnnxModel>, String> {
        let (Blocks::Run(run), Some((cuts, places))) = (blocks, &self.cuts) else {
            return Ok(self.model.clone());
        };
        let place = |block: u32| {
            let missing = || format!("it has {} blocks and not {block}", places.len() - 1);
            places.get(block as usize).copied().ok_or_else(missing)
        };
        let range = (place(run.start)?, place(run.end)?);
        if let Some(made) = self.made.get(&range) {
            return Ok(made.clone());
        }
        let made = cuts.segment(range.0..range.1).map_err(|error| error.to_string())?;
        self.made.insert(range, made.clone());
        Ok(made)
    }
}
