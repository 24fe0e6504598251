//! How fast a model is: latency per block and batch on each kind of device, and the bytes at each cut.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Blocks, Fraction, FractionError};

/// How long one block takes for a batch of b items, µs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a list of µs for a batch of 1, 2, 3…, or `{ fixed = µs, per_item = µs }`")]
pub enum Latency {
    /// Entry i is for a batch of i + 1; beyond the list the last step goes on.
    Table(Vec<f64>),
    /// `fixed + b · per_item`.
    Line(Line),
}

/// A latency that grows with the batch along a line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// µs for every launch.
    pub fixed: f64,
    /// µs more for every item.
    pub per_item: f64,
}

impl Latency {
    /// `fixed + b · per_item`, both in µs.
    pub fn line(fixed_us: f64, per_item_us: f64) -> Self {
        Latency::Line(Line { fixed: fixed_us, per_item: per_item_us })
    }

    /// µs for a batch of `batch` items; nothing takes no time.
    pub fn at_us(&self, batch: u32) -> f64 {
        if batch == 0 {
            return 0.0;
        }
        match self {
            Latency::Line(line) => line.fixed + f64::from(batch) * line.per_item,
            Latency::Table(table) => match (table.get(batch as usize - 1), table.as_slice()) {
                (Some(us), _) => *us,
                (None, [.., before, last]) => {
                    last + (last - before).max(0.0) * f64::from(batch - table.len() as u32)
                }
                (None, [only]) => only * f64::from(batch),
                (None, []) => 0.0,
            },
        }
    }

    /// The largest batch that was measured; `None` for a line.
    fn batches(&self) -> Option<u32> {
        match self {
            Latency::Table(table) => Some(table.len() as u32),
            Latency::Line(_) => None,
        }
    }

    fn check(&self) -> Result<(), f64> {
        let bad = |us: &&f64| !us.is_finite() || **us < 0.0;
        match self {
            Latency::Table(table) => table.iter().find(bad).map_or(Ok(()), |us| Err(*us)),
            Latency::Line(line) => [line.fixed, line.per_item].iter().find(bad).map_or(Ok(()), |us| Err(*us)),
        }
    }
}

/// One model's latencies. Checked: every kind has the same number of blocks, and no latency is negative.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    model: String,
    latency_us: BTreeMap<String, Vec<Latency>>,
    cut_bytes: Vec<u64>,
    cuts: Vec<Vec<String>>,
    whole_us: BTreeMap<String, Latency>,
    block_bytes: Vec<u64>,
}

impl Profile {
    /// Checks and keeps a model's figures: per device kind one [`Latency`] per block, and, where cuts are to be
    /// planned, the bytes of one item at the cut behind every block but the last.
    pub fn new(
        model: impl Into<String>,
        latency_us: BTreeMap<String, Vec<Latency>>,
        cut_bytes: Vec<u64>,
    ) -> Result<Self, ProfileError> {
        let model = model.into();
        let Some((first, blocks)) = latency_us.iter().next().map(|(kind, b)| (kind.clone(), b.len())) else {
            return Err(ProfileError::NoKinds { model });
        };
        for (kind, latencies) in &latency_us {
            if let Err(error) = kind.parse::<Fraction>() {
                return Err(ProfileError::Kind { model, error });
            }
            if latencies.is_empty()
                || latencies.iter().any(|l| matches!(l, Latency::Table(t) if t.is_empty()))
            {
                return Err(ProfileError::Empty { model, kind: kind.clone() });
            }
            if latencies.len() != blocks {
                let (kind, found) = (kind.clone(), latencies.len());
                return Err(ProfileError::BlockCount { model, kind, found, first, blocks });
            }
            for (block, latency) in latencies.iter().enumerate() {
                if let Err(value_us) = latency.check() {
                    return Err(ProfileError::Value { model, kind: kind.clone(), block, value_us });
                }
            }
        }
        if !cut_bytes.is_empty() && cut_bytes.len() + 1 != blocks {
            return Err(ProfileError::Cuts { model, found: cut_bytes.len(), wanted: blocks - 1 });
        }
        let (cuts, whole_us, block_bytes) = (Vec::new(), BTreeMap::new(), Vec::new());
        Ok(Self { model, latency_us, cut_bytes, cuts, whole_us, block_bytes })
    }

    /// Adds where the blocks end: the names of the tensors that cross the cut behind every block but the last. A graph is then cut
    /// just there; without them it is cut into as many blocks of about equal time.
    pub fn with_cuts(mut self, cuts: Vec<Vec<String>>) -> Result<Self, ProfileError> {
        let wanted = self.blocks() as usize - 1;
        if cuts.len() != wanted || cuts.iter().any(Vec::is_empty) {
            let found = cuts.iter().filter(|cut| !cut.is_empty()).count();
            return Err(ProfileError::CutNames { model: self.model, found, wanted });
        }
        self.cuts = cuts;
        Ok(self)
    }

    /// Adds what the uncut model takes per kind. It is often less than the sum of its blocks (by 13 % in the mean of 18
    /// models on an L4, and up to 49 %), since a compiler joins what a cut keeps apart.
    pub fn with_whole(mut self, whole_us: BTreeMap<String, Latency>) -> Result<Self, ProfileError> {
        for (kind, latency) in &whole_us {
            if let Err(value_us) = latency.check() {
                let (model, kind) = (self.model, kind.clone());
                return Err(ProfileError::Whole { model, kind, value_us });
            }
        }
        self.whole_us = whole_us;
        Ok(self)
    }

    /// Adds the memory that each block needs on a device, bytes.
    pub fn with_block_bytes(mut self, block_bytes: Vec<u64>) -> Result<Self, ProfileError> {
        if block_bytes.len() != self.blocks() as usize {
            let (found, wanted) = (block_bytes.len(), self.blocks() as usize);
            return Err(ProfileError::BlockBytes { model: self.model, found, wanted });
        }
        self.block_bytes = block_bytes;
        Ok(self)
    }

    /// The same without the kinds that `keep` turns down; `None` where nothing is left.
    pub fn on(&self, keep: impl Fn(&str) -> bool) -> Option<Self> {
        let mut kept = self.clone();
        kept.latency_us.retain(|kind, _| keep(kind));
        kept.whole_us.retain(|kind, _| keep(kind));
        (!kept.latency_us.is_empty()).then_some(kept)
    }

    /// The model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// How many blocks it is divided into, ≥ 1.
    pub fn blocks(&self) -> u32 {
        self.latency_us.values().next().map_or(0, |blocks| blocks.len() as u32)
    }

    /// The kinds on which it was measured.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.latency_us.keys().map(String::as_str)
    }

    /// The latency of each block on that kind, first block first; empty where it was not measured.
    pub fn blocks_on(&self, kind: &str) -> &[Latency] {
        self.latency_us.get(kind).map_or(&[], Vec::as_slice)
    }

    /// µs for a batch of these blocks on a device of that kind: the sum over the blocks. `None` where it was not measured.
    pub fn latency_us(&self, kind: &str, blocks: &Blocks, batch: u32) -> Option<f64> {
        let all = self.latency_us.get(kind)?;
        let part = match blocks {
            Blocks::Whole => all.as_slice(),
            Blocks::Run(run) => all.get(run.start as usize..run.end as usize)?,
        };
        Some(part.iter().map(|block| block.at_us(batch)).sum())
    }

    /// µs for a batch of the uncut model on that kind, where it was measured for that batch.
    pub fn whole_us(&self, kind: &str, batch: u32) -> Option<f64> {
        let latency = self.whole_us.get(kind)?;
        latency.batches().is_none_or(|most| batch <= most).then(|| latency.at_us(batch))
    }

    /// The largest batch that was measured for every block on that kind; `None` where the latency is a line or the kind
    /// is unknown, so that any batch will do.
    pub fn batches(&self, kind: &str) -> Option<u32> {
        self.latency_us.get(kind)?.iter().filter_map(Latency::batches).min()
    }

    /// The memory that these blocks need, bytes; 0 where it is not known.
    pub fn memory_bytes(&self, blocks: std::ops::Range<u32>) -> u64 {
        self.block_bytes.get(blocks.start as usize..blocks.end as usize).map_or(0, |run| run.iter().sum())
    }

    /// The tensors that cross the cut behind each block but the last; empty where they were not named.
    pub fn cuts(&self) -> &[Vec<String>] {
        &self.cuts
    }

    /// Bytes of one item at the cut behind that block; `None` where it was not measured.
    pub fn cut_bytes(&self, after_block: u32) -> Option<u64> {
        self.cut_bytes.get(after_block as usize).copied()
    }
}

/// A profile that cannot be.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ProfileError {
    /// No figures at all.
    #[error("profile.{model}.latency_us is empty; give the latency for at least one kind of device")]
    NoKinds {
        /// The model.
        model: String,
    },
    /// A kind that is written like a part of a device and is none.
    #[error("profile.{model}.latency_us: {error}")]
    Kind {
        /// The model.
        model: String,
        /// What is wrong.
        error: FractionError,
    },
    /// A kind without figures.
    #[error(
        "profile.{model}.latency_us.{kind} is an empty list; give the µs for a batch of 1, 2, 3…, or `{{ fixed = 400, per_item = 100 }}`"
    )]
    Empty {
        /// The model.
        model: String,
        /// The kind of device.
        kind: String,
    },
    /// Kinds that disagree about the number of blocks.
    #[error(
        "profile.{model}.latency_us.{kind} has {found} blocks, but `{first}` has {blocks}; a model has the same blocks on every kind of device"
    )]
    BlockCount {
        /// The model.
        model: String,
        /// The kind of device that differs.
        kind: String,
        /// Its number of blocks.
        found: usize,
        /// The kind that it differs from.
        first: String,
        /// The number of blocks there.
        blocks: usize,
    },
    /// A latency that is no time.
    #[error(
        "profile.{model}.latency_us.{kind}, block {block}: {value_us} is no latency; give a number of µs, 0 or more"
    )]
    Value {
        /// The model.
        model: String,
        /// The kind of device.
        kind: String,
        /// Which block, from 0.
        block: usize,
        /// What was given.
        value_us: f64,
    },
    /// An uncut latency that is no time.
    #[error("profile.{model}.whole_us.{kind}: {value_us} is no latency; give a number of µs, 0 or more")]
    Whole {
        /// The model.
        model: String,
        /// The kind of device.
        kind: String,
        /// What was given.
        value_us: f64,
    },
    /// The wrong number of memory sizes.
    #[error("profile.{model}.block_bytes has {found} entries; give {wanted}, one per block, or leave it out")]
    BlockBytes {
        /// The model.
        model: String,
        /// Entries found.
        found: usize,
        /// Entries wanted.
        wanted: usize,
    },
    /// The wrong number of cuts by name.
    #[error(
        "profile.{model}.cuts names the tensors of {found} cuts; name those of {wanted}, one list behind every block but the last, or leave it out"
    )]
    CutNames {
        /// The model.
        model: String,
        /// Cuts with names.
        found: usize,
        /// Cuts wanted.
        wanted: usize,
    },
    /// The wrong number of cuts.
    #[error(
        "profile.{model}.cut_bytes has {found} entries; give {wanted}, one behind every block but the last, or leave it out"
    )]
    Cuts {
        /// The model.
        model: String,
        /// Entries found.
        found: usize,
        /// Entries wanted.
        wanted: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(latencies: Vec<Latency>) -> BTreeMap<String, Vec<Latency>> {
        BTreeMap::from([("slow".to_owned(), latencies)])
    }

    #[test]
    fn a_table_goes_on_with_its_last_step() {
        let table = Latency::Table(vec![60.0, 100.0, 130.0]);
        assert_eq!(table.at_us(1), 60.0);
        assert_eq!(table.at_us(3), 130.0);
        assert_eq!(table.at_us(5), 190.0);
        assert_eq!(Latency::Table(vec![50.0]).at_us(4), 200.0);
        assert_eq!(Latency::line(400.0, 100.0).at_us(16), 2000.0);
    }

    #[test]
    fn a_run_of_blocks_takes_the_sum() {
        let blocks = vec![Latency::line(10.0, 1.0), Latency::line(20.0, 2.0), Latency::line(30.0, 3.0)];
        let profile = Profile::new("m", kinds(blocks), vec![5, 6]).unwrap();
        assert_eq!(profile.latency_us("slow", &Blocks::Run(1..3), 2), Some(60.0));
        assert_eq!(profile.latency_us("slow", &Blocks::Whole, 1), Some(66.0));
        assert_eq!(profile.latency_us("fast", &Blocks::Whole, 1), None);
        assert_eq!(profile.latency_us("slow", &Blocks::Run(2..4), 1), None);
        assert_eq!(profile.cut_bytes(1), Some(6));
        let named = |cuts: &[&[&str]]| {
            let cuts = cuts.iter().map(|cut| cut.iter().map(|name| (*name).to_owned()).collect());
            profile.clone().with_cuts(cuts.collect()).map(|profile| profile.cuts().len())
        };
        assert_eq!(named(&[&["a", "b"], &["c"]]), Ok(2));
        assert!(named(&[&["a"]]).unwrap_err().to_string().contains("of 1 cuts; name those of 2"));
        assert!(named(&[&["a"], &[]]).is_err());
    }

    #[test]
    fn wrong_figures_are_refused_with_their_place() {
        let error = Profile::new("m", kinds(vec![Latency::Table(vec![1.0, -2.0])]), vec![]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "profile.m.latency_us.slow, block 0: -2 is no latency; give a number of µs, 0 or more"
        );
        assert!(matches!(
            Profile::new("m", kinds(vec![Latency::Table(vec![])]), vec![]),
            Err(ProfileError::Empty { .. })
        ));
        assert!(matches!(
            Profile::new("m", kinds(vec![Latency::line(1.0, 1.0)]), vec![3]),
            Err(ProfileError::Cuts { found: 1, wanted: 0, .. })
        ));
    }
}
