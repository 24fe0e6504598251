//! How much a fleet sustains: the highest load at which every model is done in time often enough.

use super::{
    arrivals::Arrivals, fleet::Fleet, outcome::Outcome, policy::Policy, scenario::Scenario,
    simulation::simulate,
};

/// A load that is raised and lowered as a whole.
#[derive(Clone, Debug)]
pub struct Load {
    /// Items per second and model, in the fleet's order, at a load of 1.
    pub shares: Vec<f64>,
    /// How they lie in time.
    pub arrivals: Arrivals,
    /// For how long they come, s.
    pub seconds: f64,
    /// The seeds, each a run.
    pub seeds: Vec<u64>,
    /// The share of each model's items that is to be done in time, in the mean over the seeds; 0.99 is usual.
    pub attainment: f64,
}

/// What a fleet sustains.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Sustained {
    /// The highest load that was tried and carried; items per second are this times the shares.
    pub load: f64,
    /// Half the width of a 95 % confidence interval, from the loads that each seed alone carries (Student's t); `None` with one
    /// seed.
    pub confidence: Option<f64>,
}

/// Steps of a bisection, each of which halves the interval.
const STEPS: usize = 9;
/// Two-sided 95 % points of Student's t for 1, 2, … degrees of freedom; beyond, the normal distribution's.
const STUDENT: [f64; 9] = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26];

impl Load {
    /// Runs it at that load, seed by seed.
    pub fn run<'a>(
        &'a self,
        fleet: &'a Fleet,
        policy: &'a dyn Fn() -> Box<dyn Policy>,
        load: f64,
    ) -> impl Iterator<Item = Outcome> + 'a {
        let rates: Vec<f64> = self.shares.iter().map(|share| share * load).collect();
        let scenario = Scenario::new(&rates, self.arrivals.clone(), self.seconds);
        self.seeds.iter().map(move |seed| simulate(fleet, policy().as_mut(), &scenario, *seed))
    }

    /// The share of each model's items that is done in time at that load, in the mean over the seeds.
    pub fn attainments(&self, fleet: &Fleet, policy: &dyn Fn() -> Box<dyn Policy>, load: f64) -> Vec<f64> {
        let mut means = vec![0.0; self.shares.len()];
        for outcome in self.run(fleet, policy, load) {
            for (mean, model) in means.iter_mut().zip(&outcome.models) {
                *mean += model.attainment() / self.seeds.len() as f64;
            }
        }
        means
    }

    /// Whether every model keeps to the attainment at that load.
    pub fn carries(&self, fleet: &Fleet, policy: &dyn Fn() -> Box<dyn Policy>, load: f64) -> bool {
        self.attainments(fleet, policy, load).iter().all(|share| *share >= self.attainment)
    }

    /// The highest load between these, by bisection to 1/512 of what is between; `low` is taken to be carried.
    pub fn between(&self, fleet: &Fleet, policy: &dyn Fn() -> Box<dyn Policy>, low: f64, high: f64) -> f64 {
        let (mut low, mut high) = (low, high);
        for _ in 0..STEPS {
            let middle = (low + high) / 2.0;
            if self.carries(fleet, policy, middle) { low = middle } else { high = middle }
        }
        low
    }

    /// What the fleet sustains, looked for around `guess`, and how sure that is.
    pub fn sustained(&self, fleet: &Fleet, policy: &dyn Fn() -> Box<dyn Policy>, guess: f64) -> Sustained {
        let look = |load: &Self| {
            // Outwards until the guess is between, then inwards.
            let (mut low, mut high) = (guess * 0.95, guess * 1.05);
            while high < guess * 8.0 && load.carries(fleet, policy, high) {
                (low, high) = (high, high * 1.15);
            }
            while low > guess * 1e-3 && !load.carries(fleet, policy, low) {
                (low, high) = (low * 0.8, low);
            }
            load.between(fleet, policy, low, high)
        };
        let alone: Vec<f64> = match self.seeds.len() {
            0 | 1 => Vec::new(),
            _ => self.seeds.iter().map(|seed| look(&Self { seeds: vec![*seed], ..self.clone() })).collect(),
        };
        let count = alone.len() as f64;
        let mean = alone.iter().sum::<f64>() / count;
        let spread = (alone.iter().map(|load| (load - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
        let student = STUDENT.get(alone.len().wrapping_sub(2)).copied().unwrap_or(1.96);
        let confidence = (alone.len() > 1).then(|| student * spread / count.sqrt());
        Sustained { load: look(self), confidence }
    }
}
