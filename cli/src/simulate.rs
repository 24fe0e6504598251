//! `eddyline simulate`: a plan on a virtual clock, seed by seed, with what goes wrong.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use eddyline_planner::{
    Demand, Placement, Plan,
    serving::{
        Arrivals, Cause, Deviation, EarliestDeadline, Fault, FixedBatch, Fleet, Outcome, Parity, Policy,
        Reactive, Reservation, Scenario, Trouble, simulate,
    },
};
use serde::Deserialize;

use crate::{
    ask::{CliError, microseconds},
    chart::{Chart, Line},
    gantt, plan,
};

#[derive(Args)]
pub struct Simulate {
    /// The plan: what `eddyline plan -o` or `--deploy` wrote
    pub plan: PathBuf,
    /// When items come: constant, poisson, mmpp, day or trace:FILE
    #[arg(long, default_value = "poisson")]
    pub arrivals: String,
    /// Items per second, per model (a=100,b=20); default: what is planned
    #[arg(long, value_name = "MODEL=RATE", value_delimiter = ',', allow_hyphen_values = true)]
    pub rate: Vec<String>,
    /// By what all rates are multiplied
    #[arg(long, default_value_t = 1.0, allow_hyphen_values = true)]
    pub load: f64,
    /// Deadlines: one for all (50ms) or per model (a=50ms,b=0.1s); default: those that were planned for
    #[arg(long, value_name = "TIME", value_delimiter = ',', allow_hyphen_values = true)]
    pub slo: Vec<String>,
    /// For how long items come
    #[arg(long, default_value_t = 30.0, allow_hyphen_values = true)]
    pub seconds: f64,
    /// How many runs, with the seeds 1, 2, …
    #[arg(long, default_value_t = 5)]
    pub seeds: u64,
    /// Who decides: reservation, reactive, fixed-batch, earliest-deadline or parity
    #[arg(long, default_value = "reservation")]
    pub policy: String,
    /// Lend idle devices between stages and models
    #[arg(long)]
    pub lend: bool,
    /// Standard deviation of each launch, as a part of its latency
    #[arg(long, default_value_t = 0.0, allow_hyphen_values = true)]
    pub jitter: f64,
    /// By how much profiles may be wrong, as a part of a stage's latency
    #[arg(long, default_value_t = 0.0, allow_hyphen_values = true)]
    pub profile_error: f64,
    /// What goes wrong, and when: dies:DEVICE@10s, stalls:DEVICE@10s+2s, slows:DEVICE@10s*3, starts:DEVICE@0s+3s
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub fault: Vec<String>,
    /// Write all figures here, as JSON
    #[arg(short, long, value_name = "FILE.json")]
    pub output: Option<PathBuf>,
    /// Draw what ran where in the first second of the first run here
    #[arg(long, value_name = "FILE.svg")]
    pub gantt: Option<PathBuf>,
    /// Draw the share in time over the load here: 0.1 to 1.5 times the rates
    #[arg(long, value_name = "FILE.svg")]
    pub curve: Option<PathBuf>,
}

/// Of a plan's file, what is simulated.
#[derive(Deserialize)]
struct PlanFile {
    #[serde(default)]
    demands: Vec<Demand>,
    placement: Placement,
    deployment: Option<String>,
}

/// A plan with its devices, objectives and rates.
struct Loaded {
    plan: Plan,
    slo_us: BTreeMap<String, f64>,
    rates: BTreeMap<String, f64>,
    placement: Placement,
}

/// The policy of that name.
pub fn policy(name: &str) -> Result<fn() -> Box<dyn Policy>, CliError> {
    Ok(match name {
        "reservation" => || Box::new(Reservation::default()),
        "reactive" => || Box::new(Reactive),
        "fixed-batch" => || Box::new(FixedBatch::default()),
        "earliest-deadline" => || Box::new(EarliestDeadline),
        "parity" => || Box::new(Parity::default()),
        _ => {
            let wanted = "give reservation, reactive, fixed-batch, earliest-deadline or parity".to_owned();
            return Err(CliError::Argument { option: "policy", value: name.to_owned(), wanted });
        }
    })
}

/// The arrivals of that name.
pub fn arrivals(text: &str) -> Result<Arrivals, CliError> {
    let wrong = |error: eddyline_planner::serving::ArrivalsError| CliError::Argument {
        option: "arrivals",
        value: text.to_owned(),
        wanted: error.to_string(),
    };
    text.parse().map_err(wrong)
}

/// Refuses a number out of its range.
pub fn within(option: &'static str, value: f64, least: f64, most: f64) -> Result<f64, CliError> {
    match value.is_finite() && (least..=most).contains(&value) {
        true => Ok(value),
        false => {
            let wanted = format!("give a number from {least} to {most}");
            Err(CliError::Argument { option, value: value.to_string(), wanted })
        }
    }
}

impl Simulate {
    pub fn run(&self) -> Result<(), CliError> {
        let (policy, arrivals) = (policy(&self.policy)?, arrivals(&self.arrivals)?);
        within("seconds", self.seconds, 0.01, 86_400.0)?;
        within("load", self.load, 1e-6, 1e6)?;
        within("seeds", self.seeds as f64, 1.0, 1000.0)?;
        let deviation = Deviation {
            jitter: within("jitter", self.jitter, 0.0, 1.0)?,
            profile: within("profile-error", self.profile_error, 0.0, 0.9)?,
        };
        [&self.output, &self.gantt, &self.curve]
            .into_iter()
            .flatten()
            .try_for_each(|path| plan::writable(path))?;
        let loaded = self.load()?;
        let fleet = Fleet::new(&loaded.plan, &loaded.slo_us)?.uncut_as_planned(&loaded.placement);
        let fleet = if self.lend { fleet.overflowing(&loaded.plan).lending() } else { fleet };
        let rate = |model: &str| self.load * loaded.rates.get(model).copied().unwrap_or(0.0);
        let rates: Vec<f64> = fleet.models.iter().map(|model| rate(&model.name)).collect();
        let all = rates.iter().sum::<f64>() * self.seconds;
        if all > 2e7 {
            let wanted =
                format!("{all:.0} items are more than the 20,000,000 of a run; give fewer or less time");
            return Err(CliError::Argument { option: "rate", value: self.rate.join(","), wanted });
        }
        let faults = self.fault.iter().map(|text| fault(text, &fleet)).collect::<Result<_, _>>()?;
        let scenario = Scenario { deviation, faults, ..Scenario::new(&rates, arrivals, self.seconds) };
        let mut outcomes = Vec::with_capacity(self.seeds as usize);
        for seed in 1..=self.seeds {
            let scenario = Scenario { record: seed == 1 && self.gantt.is_some(), ..scenario.clone() };
            let mut outcome = simulate(&fleet, policy().as_mut(), &scenario, seed);
            eprintln!(
                "  seed {seed} of {}: at least {:.4} of a model in time",
                self.seeds,
                outcome.attainment()
            );
            if let Some(path) = self.gantt.as_ref().filter(|_| scenario.record) {
                plan::write(path, &gantt::svg(&fleet, &std::mem::take(&mut outcome.ran)))?;
            }
            outcomes.push(outcome);
        }
        table(&outcomes, &rates);
        if let Some(path) = &self.output {
            let text = serde_json::to_string_pretty(&figures(&outcomes, &rates))
                .map_err(|error| CliError::file(path, error))?;
            plan::write(path, &(text + "\n"))?;
        }
        match &self.curve {
            Some(path) => plan::write(path, &curve(&fleet, &scenario, policy, self.load).svg()),
            None => Ok(()),
        }
    }

    fn load(&self) -> Result<Loaded, CliError> {
        let path = &self.plan;
        let text = fs::read_to_string(path)
            .map_err(|error| CliError::file(path, format!("cannot be read: {error}; check the path")))?;
        let mut loaded = if text.trim_start().starts_with('{') {
            from_json(path, &text)?
        } else {
            let plan = Plan::from_toml(&text, &path.display().to_string())?;
            let mut rates: BTreeMap<String, f64> = BTreeMap::new();
            for pipeline in plan.pipelines() {
                *rates.entry(pipeline.model.clone()).or_default() += plan.rate_per_s(pipeline).unwrap_or(0.0);
            }
            Loaded { plan, slo_us: BTreeMap::new(), rates, placement: Placement::default() }
        };
        let models: Vec<String> = loaded.rates.keys().cloned().collect();
        let number = |text: &str| match text.parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate >= 0.0 => Ok(rate),
            _ => Err("give items per second, 0 or more".to_owned()),
        };
        by_model("slo", &self.slo, &models, &mut loaded.slo_us, microseconds)?;
        by_model("rate", &self.rate, &models, &mut loaded.rates, number)?;
        Ok(loaded)
    }
}

fn from_json(path: &Path, text: &str) -> Result<Loaded, CliError> {
    let wrong = |what: String| {
        CliError::file(path, format!("no plan: {what}; give a file that `eddyline plan -o` wrote"))
    };
    let file: PlanFile = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let Some(toml) = file.deployment else {
        let why = "it has no devices by name, since it does not go onto them or is of an older version; plan again, \
                   without --published";
        return Err(CliError::file(path, why));
    };
    let plan = Plan::from_toml(&toml, &path.display().to_string())?;
    let slo = |demand: &Demand| Some((demand.model.clone(), demand.slo?.latency_us));
    let slo_us = file.demands.iter().filter_map(slo).collect();
    let rates = file.placement.models.iter().map(|model| (model.model.clone(), model.rate_per_s)).collect();
    Ok(Loaded { plan, slo_us, rates, placement: file.placement })
}

/// `model=value` pairs, or one value for all.
fn by_model(
    option: &'static str,
    texts: &[String],
    models: &[String],
    into: &mut BTreeMap<String, f64>,
    read: impl Fn(&str) -> Result<f64, String>,
) -> Result<(), CliError> {
    for text in texts {
        let wrong = |wanted: String| CliError::Argument { option, value: text.clone(), wanted };
        let (model, value) = text.split_once('=').unwrap_or(("", text));
        let value = read(value).map_err(wrong)?;
        if model.is_empty() {
            into.extend(models.iter().map(|model| (model.clone(), value)));
        } else if models.iter().any(|known| known == model) {
            into.insert(model.to_owned(), value);
        } else {
            return Err(wrong(format!("the plan has no model `{model}`, only `{}`", models.join("`, `"))));
        }
    }
    Ok(())
}

/// `dies:DEVICE@10s`, `stalls:DEVICE@10s+2s`, `slows:DEVICE@10s*3` or `starts:DEVICE@0s+3s`.
fn fault(text: &str, fleet: &Fleet) -> Result<Fault, CliError> {
    let wrong = |wanted: &str| CliError::Argument {
        option: "fault",
        value: text.to_owned(),
        wanted: wanted.to_owned(),
    };
    let shape = "give dies:DEVICE@10s, stalls:DEVICE@10s+2s, slows:DEVICE@10s*3 or starts:DEVICE@0s+3s";
    let (what, rest) = text.split_once(':').ok_or_else(|| wrong(shape))?;
    let (device, when) = rest.rsplit_once('@').ok_or_else(|| wrong(shape))?;
    let known = fleet.devices.iter().position(|known| known.name == device);
    let device = known.ok_or_else(|| wrong("the plan has no such device"))? as u32;
    let time = |text: &str| match microseconds(text) {
        Ok(us) if (0.0..1e12).contains(&us) => Ok(us as u64),
        _ => Err(wrong(shape)),
    };
    let (at, what) = match what {
        "dies" => (when, Trouble::Dies),
        "stalls" | "starts" => {
            let (at, length) = when.split_once('+').ok_or_else(|| wrong(shape))?;
            let us = time(length)?;
            (at, if what == "stalls" { Trouble::Stalls(us) } else { Trouble::Starts(us) })
        }
        "slows" => {
            let (at, times) = when.split_once('*').ok_or_else(|| wrong(shape))?;
            let times: f64 = times.parse().map_err(|_| wrong(shape))?;
            if !(0.01..=1000.0).contains(&times) {
                return Err(wrong("a device may take 0.01 to 1000 times as long"));
            }
            (at, Trouble::Slows(times))
        }
        _ => return Err(wrong(shape)),
    };
    Ok(Fault { at_us: time(at)?, device, what })
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().sum::<f64>() / values.count().max(1) as f64
}

/// Per model over all runs: what came, how it ended, how long it took.
fn table(outcomes: &[Outcome], rates: &[f64]) {
    let Some(first) = outcomes.first() else { return };
    println!(
        "{:32} {:>9} {:>9} {:>8} {:>9} {:>9} {:>9}",
        "model", "items/s", "in time", "late", "p50, ms", "p95, ms", "p99, ms"
    );
    for (at, model) in first.models.iter().enumerate() {
        let of = || outcomes.iter().map(move |outcome| &outcome.models[at]);
        let ms = |part: f64| mean(of().filter_map(|model| model.latency_us(part)).map(|us| us as f64 / 1e3));
        let came = of().map(|model| model.came).sum::<u64>().max(1) as f64;
        println!(
            "{:32} {:9.1} {:8.3}% {:7.3}% {:9.2} {:9.2} {:9.2}",
            model.model,
            rates[at],
            100.0 * mean(of().map(|model| model.attainment())),
            100.0 * of().map(|model| model.late).sum::<u64>() as f64 / came,
            ms(0.5),
            ms(0.95),
            ms(0.99),
        );
        for cause in Cause::ALL {
            let declined: u64 = of().filter_map(|model| model.declined.get(&cause)).sum();
            if declined > 0 {
                println!("    declined, {}: {:.3}%", cause.words(), 100.0 * declined as f64 / came);
            }
        }
    }
    let uses = first.use_of.keys().map(|kind| {
        let used = mean(outcomes.iter().filter_map(|outcome| outcome.use_of.get(kind)).copied());
        format!("{kind} {:.1}%", 100.0 * used)
    });
    println!("computing: {}", uses.collect::<Vec<_>>().join(", "));
    let fenced: u64 = outcomes.iter().map(|outcome| outcome.fenced).sum();
    if fenced > 0 {
        println!("devices found missing: {fenced}");
    }
}

/// The same for programs: every run with its percentiles.
fn figures(outcomes: &[Outcome], rates: &[f64]) -> serde_json::Value {
    let run = |outcome: &Outcome| {
        let mut value = serde_json::json!(outcome);
        for (at, model) in outcome.models.iter().enumerate() {
            let of = &mut value["models"][at];
            of["attainment"] = model.attainment().into();
            for (name, part) in [("p50_us", 0.5), ("p95_us", 0.95), ("p99_us", 0.99)] {
                of[name] = model.latency_us(part).into();
            }
        }
        value
    };
    serde_json::json!({ "rates_per_s": rates, "runs": outcomes.iter().map(run).collect::<Vec<_>>() })
}

/// The share in time over the load, one line per model, of the first seed.
fn curve(fleet: &Fleet, scenario: &Scenario, policy: fn() -> Box<dyn Policy>, load: f64) -> Chart {
    let name =
        |model: &eddyline_planner::serving::FleetModel| Line { name: model.name.clone(), points: Vec::new() };
    let mut lines: Vec<Line> = fleet.models.iter().map(name).collect();
    for step in 1..=15 {
        let factor = f64::from(step) / 10.0;
        let mut at = scenario.clone();
        at.streams.iter_mut().for_each(|stream| stream.rate_per_s *= factor);
        let outcome = simulate(fleet, policy().as_mut(), &at, 1);
        for (line, model) in lines.iter_mut().zip(&outcome.models) {
            line.points.push((factor * load, Some(100.0 * model.attainment())));
        }
    }
    let title = format!("% in time, {} arrivals", policy().name());
    Chart { title, across: "load, times the rates".to_owned(), lines, marks: vec![load] }
}
