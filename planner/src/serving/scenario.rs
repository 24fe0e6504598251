//! What is simulated: what comes, how, for how long, and what is not as it should be.

use super::{
    arrivals::Arrivals,
    faults::{Deviation, Fault},
};

/// Items that come in one way.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// For which model, as a place in the fleet.
    pub model: usize,
    /// Items per second in the mean.
    pub rate_per_s: f64,
    /// How soon each is to be done, µs; the model's objective where `None`.
    pub slo_us: Option<u64>,
    /// 0 is served first.
    pub priority: u8,
}

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What comes, each drawn for itself.
    pub streams: Vec<Stream>,
    /// How it lies in time.
    pub arrivals: Arrivals,
    /// For how long items come, µs; what has come is then brought to an end.
    pub run_us: u64,
    /// How devices differ from their profiles.
    pub deviation: Deviation,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Whether [`super::Outcome::ran`] is written.
    pub record: bool,
}

impl Scenario {
    /// One stream per model at these rates, for so long, with nothing that goes wrong.
    pub fn new(rates_per_s: &[f64], arrivals: Arrivals, seconds: f64) -> Self {
        let stream = |(model, rate_per_s): (usize, &f64)| Stream {
            model,
            rate_per_s: *rate_per_s,
            slo_us: None,
            priority: 0,
        };
        Self {
            streams: rates_per_s.iter().enumerate().map(stream).collect(),
            arrivals,
            run_us: (seconds * 1e6) as u64,
            deviation: Deviation::default(),
            faults: Vec::new(),
            record: false,
        }
    }
}
