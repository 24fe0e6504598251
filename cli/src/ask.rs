//! What `eddyline plan` is asked, from the command line to a checked question.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use eddyline_planner::{
    Cluster, Demand, DeployError, LoadError, Objective, PlanningError, Problem, ProblemError, Rules, Slo,
    Tables, TablesError,
    serving::{FleetError, TuneError},
};
use thiserror::Error;

#[derive(Args)]
pub struct Ask {
    /// The devices: a TOML file of `[kind.NAME]` sections
    #[arg(long, value_name = "FILE")]
    pub cluster: PathBuf,
    /// The folder of profiles: block_latency.csv and cut_bytes.csv, or a .json file per model
    #[arg(long, value_name = "DIR")]
    pub profiles: PathBuf,
    /// The models to place
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',', required = true)]
    pub models: Vec<String>,
    /// Deadlines: one for all (50ms) or per model (a=50ms,b=0.1s); default: those in the profiles
    #[arg(long, value_name = "TIME", value_delimiter = ',', allow_hyphen_values = true)]
    pub slo: Vec<String>,
    /// The part of a deadline that is left for waiting, 0 to 1
    #[arg(long, default_value_t = 0.4, allow_hyphen_values = true)]
    pub margin: f64,
    /// Items per second that must be carried, per model (a=100,b=20)
    #[arg(long, value_name = "MODEL=RATE", value_delimiter = ',', allow_hyphen_values = true)]
    pub rate: Vec<String>,
    /// Items per second beyond which more is of no use, per model
    #[arg(long, value_name = "MODEL=RATE", value_delimiter = ',', allow_hyphen_values = true)]
    pub at_most: Vec<String>,
    /// Shares of the models where they compete (a=0.3,b=0.7)
    #[arg(long, value_name = "MODEL=WEIGHT", value_delimiter = ',', allow_hyphen_values = true)]
    pub weight: Vec<String>,
    /// What is best: max-min, headroom, least-devices or least-cost
    #[arg(long, default_value = "max-min", value_parser = objective)]
    pub objective: Objective,
    /// Most stages of a route [default: 3]
    #[arg(long, allow_hyphen_values = true)]
    pub stages: Option<u32>,
    /// Into how many parts a device may be divided [default: 4]
    #[arg(long, allow_hyphen_values = true)]
    pub slices: Option<u32>,
    /// Most items in a batch [default: 16]
    #[arg(long, allow_hyphen_values = true)]
    pub batch: Option<u32>,
    /// Let batches grow from stage to stage
    #[arg(long)]
    pub growing_batches: bool,
    /// Plan by the published rules: two stages, fractions summed up
    #[arg(long)]
    pub published: bool,
    /// End the search after so many seconds, with the best plan and its bound
    #[arg(long, default_value_t = 60.0, allow_hyphen_values = true)]
    pub seconds: f64,
    /// End the search when so close to the bound, relative to the plan
    #[arg(long, default_value_t = 1e-4, allow_hyphen_values = true)]
    pub gap: f64,
    /// Follow this present plan, moving as few devices as can be
    #[arg(long, value_name = "PLAN.json")]
    pub from: Option<PathBuf>,
    /// With --from: how much of the objective may be given away for less movement
    #[arg(long, default_value_t = 0.001, allow_hyphen_values = true)]
    pub give_away: f64,
    /// Say what holds the plan back and what one more device of each kind would bring
    #[arg(long)]
    pub explain: bool,
    /// Write the plan here, as JSON
    #[arg(short, long, value_name = "PLAN.json")]
    pub output: Option<PathBuf>,
    /// Name devices and write what a workflow loads with `Plan::load` here
    #[arg(long, value_name = "PLAN.toml")]
    pub deploy: Option<PathBuf>,
    /// Draw pools and flows here
    #[arg(long, value_name = "PLAN.svg")]
    pub svg: Option<PathBuf>,
    /// Let the solver write its progress here
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

/// A command that could not be done.
#[derive(Debug, Error)]
pub enum CliError {
    #[error(
        "say what to plan, e.g.:  eddyline plan --cluster cluster.toml --profiles profiles --models a,b -o plan.json"
    )]
    Nothing,
    #[error(transparent)]
    Cluster(#[from] LoadError),
    #[error(transparent)]
    Tables(#[from] TablesError),
    #[error(transparent)]
    Problem(#[from] ProblemError),
    #[error(transparent)]
    Deploy(#[from] DeployError),
    #[error(transparent)]
    Planning(#[from] PlanningError),
    #[error(transparent)]
    Fleet(#[from] FleetError),
    #[error(transparent)]
    Tune(#[from] TuneError),
    #[error("--{option} `{value}`: {wanted}")]
    Argument { option: &'static str, value: String, wanted: String },
    #[error("model `{model}` has no deadline in the profiles; give one, e.g.:  --slo {model}=50ms")]
    NoSlo { model: String },
    #[error("`{file}`: {message}")]
    File { file: String, message: String },
}

impl CliError {
    pub fn file(path: &std::path::Path, message: impl ToString) -> Self {
        Self::File { file: path.display().to_string(), message: message.to_string() }
    }
}

impl Ask {
    /// Reads the files and checks the whole question.
    pub fn problem(&self) -> Result<Problem, CliError> {
        let cluster = Cluster::load(&self.cluster)?;
        let tables = Tables::load(&self.profiles)?;
        let slos = self.by_model("slo", &self.slo, microseconds)?;
        let number =
            |text: &str| text.parse::<f64>().map_err(|_| "give a number, e.g. `model=0.5`".to_owned());
        let rates = self.by_model("rate", &self.rate, number)?;
        let most = self.by_model("at-most", &self.at_most, number)?;
        let weights = self.by_model("weight", &self.weight, number)?;
        let of = |map: &BTreeMap<String, f64>, model: &str| map.get(model).or_else(|| map.get("")).copied();
        let mut demands = Vec::with_capacity(self.models.len());
        for model in &self.models {
            let known = of(&slos, model).or_else(|| tables.slo_us.get(model).copied());
            let latency_us = match known {
                Some(us) => us,
                // Of an unknown model the planner says so.
                None if tables.profiles.contains_key(model) => {
                    return Err(CliError::NoSlo { model: model.clone() });
                }
                None => 1.0,
            };
            demands.push(Demand {
                at_most_per_s: of(&most, model),
                weight: of(&weights, model).unwrap_or(1.0),
                ..Demand::new(model.clone(), of(&rates, model).unwrap_or(0.0))
                    .within(Slo { latency_us, margin: self.margin })
            });
        }
        let rules = if self.published { Rules::parity() } else { Rules::normal() };
        let rules = Rules {
            stages: self.stages.unwrap_or(rules.stages),
            slices: self.slices.unwrap_or(rules.slices),
            batch: self.batch.unwrap_or(rules.batch),
            growing_batches: self.growing_batches,
            ..rules
        };
        Ok(Problem::new(cluster, &tables.profiles, demands, rules, self.objective)?)
    }

    /// `model=value` pairs, or one value for all under the empty name.
    fn by_model(
        &self,
        option: &'static str,
        texts: &[String],
        read: impl Fn(&str) -> Result<f64, String>,
    ) -> Result<BTreeMap<String, f64>, CliError> {
        let mut values = BTreeMap::new();
        for text in texts {
            let wrong = |wanted: String| CliError::Argument { option, value: text.clone(), wanted };
            let (model, value) = text.split_once('=').unwrap_or(("", text));
            if !model.is_empty() && !self.models.iter().any(|known| known == model) {
                return Err(wrong(format!("`{model}` is not among --models")));
            }
            if values.insert(model.to_owned(), read(value).map_err(wrong)?).is_some() {
                return Err(wrong("it is given twice; keep one".to_owned()));
            }
        }
        Ok(values)
    }
}

pub fn microseconds(text: &str) -> Result<f64, String> {
    let units = [("ms", 1e3), ("us", 1.0), ("µs", 1.0), ("s", 1e6)];
    let found = units.iter().find_map(|(unit, us)| Some((text.strip_suffix(unit)?, us)));
    let number = found.and_then(|(number, us)| Some(number.trim().parse::<f64>().ok()? * us));
    number.ok_or_else(|| "give a time with its unit, e.g. `50ms`".to_owned())
}

fn objective(text: &str) -> Result<Objective, String> {
    match text {
        "max-min" => Ok(Objective::MaxMin),
        "headroom" => Ok(Objective::Headroom),
        "least-devices" => Ok(Objective::LeastDevices),
        "least-cost" => Ok(Objective::LeastCost),
        _ => Err("choose max-min, headroom, least-devices or least-cost".to_owned()),
    }
}
