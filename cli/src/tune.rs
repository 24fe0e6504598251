//! `eddyline tune`: the plan that carries most, found by planning and simulating.

use clap::Args;
use eddyline_planner::{
    Highs, Limits, Objective,
    serving::{Load, Tuning, tune},
    with_arrivals,
};

use crate::{
    ask::{Ask, CliError},
    plan,
    simulate::{arrivals, policy, within},
};

#[derive(Args)]
pub struct Tune {
    #[command(flatten)]
    ask: Ask,
    /// When items come: constant, poisson, mmpp, day or trace:FILE
    #[arg(long, default_value = "poisson")]
    arrivals: String,
    /// Who decides: reservation, reactive, fixed-batch, earliest-deadline or parity
    #[arg(long, default_value = "reservation")]
    policy: String,
    /// Margins to try for all models, before those of single models
    #[arg(long, value_delimiter = ',', default_values_t = [0.4, 0.3, 0.2, 0.1], allow_hyphen_values = true)]
    margins: Vec<f64>,
    /// Rounds in which margins and shares of single models are tried
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// The share of each model's items that is to be done in time
    #[arg(long, default_value_t = 0.99, allow_hyphen_values = true)]
    attainment: f64,
    /// For how long items come in each simulation of the search
    #[arg(long, default_value_t = 10.0, allow_hyphen_values = true)]
    run_seconds: f64,
    /// How many runs the result is measured by, of three times that length, with seeds that the search has not seen
    #[arg(long, default_value_t = 5)]
    seeds: u64,
}

impl Tune {
    pub fn run(&self) -> Result<(), CliError> {
        let (policy, arrivals) = (policy(&self.policy)?, arrivals(&self.arrivals)?);
        within("attainment", self.attainment, 0.5, 1.0)?;
        within("run-seconds", self.run_seconds, 0.1, 3600.0)?;
        within("seeds", self.seeds as f64, 1.0, 100.0)?;
        within("seconds", self.ask.seconds, 1e-3, 1e6)?;
        self.margins.iter().try_for_each(|margin| within("margins", *margin, 0.0, 0.9).map(drop))?;
        let problem = self.ask.problem()?;
        if problem.objective() != Objective::MaxMin {
            let wanted = "tuning is for the most that is carried: leave it at max-min".to_owned();
            return Err(CliError::Argument {
                option: "objective",
                value: format!("{:?}", problem.objective()),
                wanted,
            });
        }
        [&self.ask.output, &self.ask.deploy]
            .into_iter()
            .flatten()
            .try_for_each(|path| plan::writable(path))?;
        let limits = Limits { seconds: self.ask.seconds, gap: self.ask.gap, ..Limits::default() };
        let problem = with_arrivals(&problem, &Highs, &limits)?;
        let load = Load {
            shares: problem.demands().iter().map(|demand| demand.weight).collect(),
            arrivals,
            seconds: self.run_seconds,
            seeds: vec![1001, 1002],
            attainment: self.attainment,
        };
        let mut batches = vec![1, problem.rules().batch];
        let mut slices = vec![1, problem.rules().slices];
        [&mut batches, &mut slices].into_iter().for_each(|of| of.dedup());
        let (margins, lending) = (self.margins.clone(), vec![false, true]);
        let tuning =
            Tuning { margins, batches, slices, lending, policy, rounds: self.rounds, load: load.clone() };
        eprintln!("planning and simulating; the search has the seeds 1001 and 1002");
        let tuned = tune(&problem, &Highs, &limits, &tuning)?;
        let measured = Load { seconds: 3.0 * self.run_seconds, seeds: (1..=self.seeds).collect(), ..load };
        let sustained = measured.sustained(&tuned.fleet, &policy, tuned.load);
        print!("{}", tuned.answer.placement);
        let setting = &tuned.setting;
        println!(
            "\n{:32} {:>7} {:>9} {:>9} {:>12}",
            "model", "margin", "planned/s", "carried/s", "95 % of runs"
        );
        for (at, (model, demand)) in tuned.answer.placement.models.iter().zip(problem.demands()).enumerate() {
            let spread =
                sustained.confidence.map_or("".to_owned(), |half| format!("± {:.1}", half * demand.weight));
            let (margin, carried) = (setting.margins[at], sustained.load * demand.weight);
            println!("{:32} {margin:7.2} {:9.1} {carried:9.1} {spread:>12}", model.model, model.rate_per_s);
        }
        let total: f64 = problem.demands().iter().map(|demand| sustained.load * demand.weight).sum();
        println!(
            "{total:.1} items/s in all, {} % of each model's in time; batches up to {}, devices in up to {} parts, lending: {}; \
             {} simulated",
            100.0 * self.attainment,
            setting.batch,
            setting.slices,
            if setting.lending { "yes" } else { "no" },
            tuned.tried,
        );
        if let Some(path) = &self.ask.output {
            plan::write_plan(path, &problem, &tuned.answer)?;
        }
        match &self.ask.deploy {
            Some(path) => plan::write(path, &tuned.answer.placement.deploy(&problem)?.to_toml()),
            None => Ok(()),
        }
    }
}
