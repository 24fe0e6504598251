//! Profiles from a folder: tables as CSV, or one model per JSON file. Every refusal names file, row, field and value.
//!
//! * `block_latency.csv`: `model, gpu, slices, block, batch, latency_us`; blocks from 0, batches from 1, without holes.
//! * `cut_bytes.csv`: `model, cut_after_block, bytes_per_sample_fp16`.
//! * `models.csv`: `model` and, where known, `slo_us` and `whole_engine_us_KIND` (batch 1).
//! * `*.json`: `{ "model", "latency_us": { "KIND": […per block] }, "cut_bytes", "cuts", "whole_us", "block_bytes", "slo_us",
//!   "measured" }`, as `eddyline profile` writes it; `measured` says how and is not read.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
    str::FromStr,
};

use serde::Deserialize;
use thiserror::Error;

use crate::{Fraction, Latency, Profile, ProfileError};

/// Profiles by model, and the service objectives that came with them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tables {
    /// The profiles.
    pub profiles: BTreeMap<String, Profile>,
    /// Objectives per model, µs.
    pub slo_us: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileFile {
    model: String,
    latency_us: BTreeMap<String, Vec<Latency>>,
    #[serde(default)]
    cut_bytes: Vec<u64>,
    #[serde(default)]
    cuts: Vec<Vec<String>>,
    #[serde(default)]
    whole_us: BTreeMap<String, Latency>,
    #[serde(default)]
    block_bytes: Vec<u64>,
    slo_us: Option<f64>,
    /// How it was measured, which nobody plans by.
    #[serde(default, rename = "measured")]
    _measured: Option<serde::de::IgnoredAny>,
}

/// Per model and kind: latencies by block and batch.
type Latencies = BTreeMap<String, BTreeMap<String, BTreeMap<u32, BTreeMap<u32, f64>>>>;

impl Tables {
    /// Reads all profiles of a folder.
    ///
    /// # Errors
    /// Where a file cannot be read, or a row means nothing.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self, TablesError> {
        let folder = folder.as_ref();
        let mut tables = Self::default();
        let latencies = folder.join("block_latency.csv");
        if latencies.exists() {
            tables.read_csv(folder)?;
        }
        let listing = fs::read_dir(folder).map_err(|error| TablesError::read(folder, error))?;
        let mut files: Vec<_> = listing.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        for file in files {
            tables.read_json(&file)?;
        }
        if tables.profiles.is_empty() {
            return Err(TablesError::Nothing { folder: folder.display().to_string() });
        }
        Ok(tables)
    }

    fn read_json(&mut self, path: &Path) -> Result<(), TablesError> {
        let file = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| TablesError::read(path, error))?;
        if text.trim().is_empty() {
            return Err(TablesError::Empty { file });
        }
        let parsed: ProfileFile = serde_json::from_str(&text)
            .map_err(|error| TablesError::Json { file: file.clone(), message: error.to_string() })?;
        let wrong = |error| TablesError::Profile { file: file.clone(), error };
        let mut profile =
            Profile::new(parsed.model.clone(), parsed.latency_us, parsed.cut_bytes).map_err(wrong)?;
        profile = profile.with_whole(parsed.whole_us).map_err(wrong)?;
        if !parsed.cuts.is_empty() {
            profile = profile.with_cuts(parsed.cuts).map_err(wrong)?;
        }
        if !parsed.block_bytes.is_empty() {
            profile = profile.with_block_bytes(parsed.block_bytes).map_err(wrong)?;
        }
        if let Some(slo_us) = parsed.slo_us {
            if !slo_us.is_finite() || slo_us <= 0.0 {
                return Err(TablesError::Json {
                    file,
                    message: format!("slo_us is {slo_us}; give µs above 0"),
                });
            }
            self.slo_us.insert(parsed.model.clone(), slo_us);
        }
        match self.profiles.insert(parsed.model.clone(), profile) {
            None => Ok(()),
            Some(_) => Err(TablesError::Twice { file, model: parsed.model }),
        }
    }

    fn read_csv(&mut self, folder: &Path) -> Result<(), TablesError> {
        let file = folder.join("block_latency.csv");
        let latencies = read_latencies(&file)?;
        let cuts_file = folder.join("cut_bytes.csv");
        let mut cuts = if cuts_file.exists() { read_cuts(&cuts_file)? } else { BTreeMap::new() };
        for (model, of_kinds) in latencies {
            let mut latency_us = BTreeMap::new();
            for (kind, blocks) in of_kinds {
                latency_us.insert(kind.clone(), without_holes(&file, &model, &kind, blocks)?);
            }
            let cut_bytes = cuts.remove(&model).unwrap_or_default();
            let cut_bytes = list(cut_bytes).map_err(|missing| TablesError::Missing {
                file: cuts_file.display().to_string(),
                what: format!("model `{model}`, cut_after_block {missing}"),
            })?;
            let profile = Profile::new(model.clone(), latency_us, cut_bytes);
            let profile = profile
                .map_err(|error| TablesError::Profile { file: folder.display().to_string(), error })?;
            self.profiles.insert(model, profile);
        }
        if let Some((model, _)) = cuts.into_iter().next() {
            let what = format!("model `{model}`, which cut_bytes.csv names");
            return Err(TablesError::Missing { file: file.display().to_string(), what });
        }
        let models = folder.join("models.csv");
        if models.exists() { self.read_models(&models) } else { Ok(()) }
    }

    fn read_models(&mut self, path: &Path) -> Result<(), TablesError> {
        let mut rows = Rows::open(path)?;
        let kinds: Vec<String> = rows
            .header
            .keys()
            .filter_map(|name| name.strip_prefix("whole_engine_us_"))
            .map(Into::into)
            .collect();
        while rows.next()? {
            let model: String = rows.get("model")?;
            let mut whole_us = BTreeMap::new();
            for kind in &kinds {
                let us = rows.positive(&format!("whole_engine_us_{kind}"))?;
                whole_us.insert(kind.clone(), Latency::Table(vec![us]));
            }
            if rows.header.contains_key("slo_us") {
                self.slo_us.insert(model.clone(), rows.positive("slo_us")?);
            }
            if let Some(profile) = self.profiles.remove(&model) {
                let profile = profile.with_whole(whole_us);
                let profile =
                    profile.map_err(|error| TablesError::Profile { file: rows.file.clone(), error })?;
                self.profiles.insert(model, profile);
            }
        }
        Ok(())
    }
}

fn read_latencies(path: &Path) -> Result<Latencies, TablesError> {
    let mut rows = Rows::open(path)?;
    let mut latencies = Latencies::new();
    while rows.next()? {
        let slices: u32 = rows.at_least_one("slices")?;
        let kind = Fraction::new(rows.get::<String>("gpu")?, slices).to_string();
        let (block, batch) = (rows.get("block")?, rows.at_least_one("batch")?);
        let us = rows.positive("latency_us")?;
        let of_model = latencies.entry(rows.get("model")?).or_default();
        if of_model.entry(kind).or_default().entry(block).or_default().insert(batch, us).is_some() {
            return Err(rows.wrong("batch", "another row has the same model, gpu, slices, block and batch"));
        }
    }
    Ok(latencies)
}

fn read_cuts(path: &Path) -> Result<BTreeMap<String, BTreeMap<u32, u64>>, TablesError> {
    let mut rows = Rows::open(path)?;
    let mut cuts: BTreeMap<String, BTreeMap<u32, u64>> = BTreeMap::new();
    while rows.next()? {
        let of_model = cuts.entry(rows.get("model")?).or_default();
        if of_model.insert(rows.get("cut_after_block")?, rows.get("bytes_per_sample_fp16")?).is_some() {
            return Err(rows.wrong("cut_after_block", "another row has the same model and cut"));
        }
    }
    Ok(cuts)
}

fn without_holes(
    path: &Path,
    model: &str,
    kind: &str,
    blocks: BTreeMap<u32, BTreeMap<u32, f64>>,
) -> Result<Vec<Latency>, TablesError> {
    let missing = |what: String| TablesError::Missing {
        file: path.display().to_string(),
        what: format!("model `{model}` on `{kind}`, {what}"),
    };
    let mut latencies = Vec::with_capacity(blocks.len());
    for (block, mut batches) in
        list(blocks).map_err(|block| missing(format!("block {block}")))?.into_iter().enumerate()
    {
        // Batches count from 1.
        batches = batches.into_iter().map(|(batch, us)| (batch - 1, us)).collect();
        let table = list(batches).map_err(|batch| missing(format!("block {block}, batch {}", batch + 1)))?;
        latencies.push(Latency::Table(table));
    }
    Ok(latencies)
}

/// Values in order of their keys 0, 1, 2…; the first missing key where there is a hole.
fn list<T>(map: BTreeMap<u32, T>) -> Result<Vec<T>, u32> {
    let hole = map.keys().zip(0..).find(|(key, at)| *key != at).map(|(_, at)| at);
    hole.map_or_else(|| Ok(map.into_values().collect()), Err)
}

/// A CSV file, row by row.
struct Rows {
    file: String,
    reader: csv::Reader<fs::File>,
    header: HashMap<String, usize>,
    record: csv::StringRecord,
}

impl Rows {
    fn open(path: &Path) -> Result<Self, TablesError> {
        let file = path.display().to_string();
        let opened = fs::File::open(path).map_err(|error| TablesError::read(path, error))?;
        if opened.metadata().is_ok_and(|of| of.is_dir()) {
            return Err(TablesError::read(path, std::io::ErrorKind::IsADirectory.into()));
        }
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(opened);
        let names = reader
            .headers()
            .map_err(|error| TablesError::Csv { file: file.clone(), message: error.to_string() })?;
        if names.is_empty() {
            return Err(TablesError::Empty { file });
        }
        let mut header = HashMap::new();
        for (at, name) in names.iter().enumerate() {
            if header.insert(name.to_owned(), at).is_some() {
                let message = format!("the column `{name}` is there twice");
                return Err(TablesError::Csv { file, message });
            }
        }
        Ok(Self { file, reader, header, record: csv::StringRecord::new() })
    }

    fn next(&mut self) -> Result<bool, TablesError> {
        self.reader
            .read_record(&mut self.record)
            .map_err(|error| TablesError::Csv { file: self.file.clone(), message: error.to_string() })
    }

    fn get<T: FromStr>(&self, field: &str) -> Result<T, TablesError> {
        self.parsed(field, "give a whole number, 0 or more")
    }

    fn parsed<T: FromStr>(&self, field: &str, wanted: &str) -> Result<T, TablesError> {
        let Some(at) = self.header.get(field) else {
            return Err(TablesError::NoColumn { file: self.file.clone(), field: field.to_owned() });
        };
        match self.record.get(*at).unwrap_or_default() {
            "" => Err(self.wrong(field, "a value is missing")),
            text => text.parse().map_err(|_| self.wrong(field, wanted)),
        }
    }

    fn positive(&self, field: &str) -> Result<f64, TablesError> {
        let wanted = "give µs above 0";
        let value: f64 = self.parsed(field, wanted)?;
        if value.is_finite() && value > 0.0 { Ok(value) } else { Err(self.wrong(field, wanted)) }
    }

    fn at_least_one(&self, field: &str) -> Result<u32, TablesError> {
        let wanted = "give a whole number, 1 or more";
        match self.parsed(field, wanted)? {
            0 => Err(self.wrong(field, wanted)),
            value => Ok(value),
        }
    }

    fn wrong(&self, field: &str, wanted: &str) -> TablesError {
        let value = self.header.get(field).and_then(|at| self.record.get(*at)).unwrap_or_default();
        TablesError::Value {
            file: self.file.clone(),
            row: self.record.position().map_or(0, csv::Position::line),
            field: field.to_owned(),
            value: value.to_owned(),
            wanted: wanted.to_owned(),
        }
    }
}

/// Profiles that could not be used.
#[derive(Debug, Error)]
pub enum TablesError {
    /// A file or folder could not be read.
    #[error("cannot read `{file}`: {error}; check the path")]
    Read {
        /// The file.
        file: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// A folder without profiles.
    #[error("there is no profile in `{folder}`; it needs a block_latency.csv, or one .json file per model")]
    Nothing {
        /// The folder.
        folder: String,
    },
    /// A file of 0 bytes.
    #[error("`{file}` is empty; write a profile into it, or remove it")]
    Empty {
        /// The file.
        file: String,
    },
    /// No CSV.
    #[error("`{file}` is no CSV table: {message}; correct that row")]
    Csv {
        /// The file.
        file: String,
        /// What is wrong.
        message: String,
    },
    /// No JSON profile.
    #[error("`{file}` is no profile: {message}")]
    Json {
        /// The file.
        file: String,
        /// Line, column and what was expected.
        message: String,
    },
    /// A table without a column.
    #[error("`{file}` has no column `{field}`; add it to the header and to every row")]
    NoColumn {
        /// The file.
        file: String,
        /// The column.
        field: String,
    },
    /// A field that means nothing.
    #[error("`{file}`, line {row}, {field} = `{value}`: {wanted}")]
    Value {
        /// The file.
        file: String,
        /// The line, from 1, the header counted.
        row: u64,
        /// The column.
        field: String,
        /// What was given.
        value: String,
        /// What is wrong, or wanted.
        wanted: String,
    },
    /// A hole in a table.
    #[error("`{file}` has no row for {what}; add it, or remove what comes after it")]
    Missing {
        /// The file.
        file: String,
        /// What is missing.
        what: String,
    },
    /// Two profiles of a model.
    #[error("`{file}` is a second profile of `{model}`; keep one")]
    Twice {
        /// The second file.
        file: String,
        /// The model.
        model: String,
    },
    /// Figures that read well and mean something impossible.
    #[error("`{file}`: {error}")]
    Profile {
        /// The file.
        file: String,
        /// What is wrong.
        error: ProfileError,
    },
}

impl TablesError {
    fn read(path: &Path, error: std::io::Error) -> Self {
        TablesError::Read { file: path.display().to_string(), error }
    }
}
