//! When items arrive: constant, Poisson, Markov-modulated, over a day, or as a trace has it. Whole µs, drawn from a seed.

use std::{fs, path::Path, str::FromStr};

use rand::{Rng, SeedableRng, rngs::StdRng};
use thiserror::Error;

/// How arrivals lie in time.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// At equal distances, from a moment within the first that is drawn.
    Constant,
    /// Independent of each other at one rate.
    Poisson,
    /// Poisson at half the rate for 2 s in the mean, then at twice the rate for 1 s, both exponential; each model changes for
    /// itself. The mean over the run is scaled to the rate.
    Modulated,
    /// Poisson at a rate that goes once through a day: 1 + 0.6 · sin, from its mean upwards. The day takes the whole run.
    Day,
    /// A trace, folded: its moments modulo the run, sorted, repeated or thinned out to the rate. Each model begins the trace at another
    /// place.
    Trace(Trace),
}

/// Moments of a recorded trace, µs from its first, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    moments_us: Vec<u64>,
}

/// Mean stay in the slow and the fast state, s, and the factors of the rate there.
const STATES: [(f64, f64); 2] = [(2.0, 0.5), (1.0, 2.0)];

impl FromStr for Arrivals {
    type Err = ArrivalsError;

    /// `constant`, `poisson`, `mmpp`, `day` or `trace:FILE`.
    fn from_str(text: &str) -> Result<Self, ArrivalsError> {
        match text {
            "constant" => Ok(Arrivals::Constant),
            "poisson" => Ok(Arrivals::Poisson),
            "mmpp" => Ok(Arrivals::Modulated),
            "day" => Ok(Arrivals::Day),
            _ => match text.strip_prefix("trace:") {
                Some(file) => Ok(Arrivals::Trace(Trace::load(file)?)),
                None => Err(ArrivalsError::Unknown { text: text.to_owned() }),
            },
        }
    }
}

impl Arrivals {
    /// Moments from 0 up to the end of the run, µs, in order: `rate_per_s` of them per second in the mean. `stream` tells streams of
    /// one seed apart.
    pub fn moments_us(&self, rate_per_s: f64, run_us: u64, seed: u64, stream: u64) -> Vec<u64> {
        let mut rng =
            StdRng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ stream.rotate_left(32));
        if rate_per_s <= 0.0 || run_us == 0 {
            return Vec::new();
        }
        match self {
            Arrivals::Constant => {
                let gap = 1e6 / rate_per_s;
                let first = rng.random::<f64>() * gap;
                let count = ((run_us as f64 - first) / gap).ceil().max(0.0) as u64;
                (0..count).map(|n| (first + n as f64 * gap) as u64).collect()
            }
            Arrivals::Poisson => poisson(&mut rng, rate_per_s, 0.0, run_us as f64),
            Arrivals::Modulated => modulated(&mut rng, rate_per_s, run_us as f64),
            Arrivals::Day => {
                let mut moments = poisson(&mut rng, 1.6 * rate_per_s, 0.0, run_us as f64);
                let part = |at: u64| 1.0 + 0.6 * (std::f64::consts::TAU * at as f64 / run_us as f64).sin();
                moments.retain(|at| rng.random::<f64>() * 1.6 < part(*at));
                moments
            }
            Arrivals::Trace(trace) => trace.folded(&mut rng, rate_per_s, run_us),
        }
    }
}

fn poisson(rng: &mut StdRng, rate_per_s: f64, from_us: f64, until_us: f64) -> Vec<u64> {
    let mut moments = Vec::with_capacity(((until_us - from_us) * rate_per_s / 1e6 * 1.1) as usize);
    let mut at = from_us;
    loop {
        at += -(1.0 - rng.random::<f64>()).ln() * 1e6 / rate_per_s;
        if at >= until_us {
            return moments;
        }
        moments.push(at as u64);
    }
}

fn modulated(rng: &mut StdRng, rate_per_s: f64, run_us: f64) -> Vec<u64> {
    // In the long run two thirds of the time are slow.
    let mut state = usize::from(rng.random::<f64>() >= 2.0 / 3.0);
    let (mut stays, mut at) = (Vec::new(), 0.0);
    while at < run_us {
        let (mean_s, factor) = STATES[state];
        let until = (at - (1.0 - rng.random::<f64>()).ln() * mean_s * 1e6).min(run_us);
        stays.push((at, until, factor));
        (at, state) = (until, 1 - state);
    }
    let mean = stays.iter().map(|(from, until, factor)| (until - from) * factor).sum::<f64>() / run_us;
    let stay = |(from, until, factor)| poisson(rng, rate_per_s * factor / mean, from, until);
    stays.into_iter().flat_map(stay).collect()
}

impl Trace {
    /// Reads a CSV file whose first column, below a heading, is a time: seconds as a number, or `2023-11-16 18:17:03.9799600`.
    ///
    /// # Errors
    /// Where it cannot be read, a time means nothing, or there are fewer than two.
    pub fn load(file: impl AsRef<Path>) -> Result<Self, ArrivalsError> {
        let (path, file) = (file.as_ref(), file.as_ref().display().to_string());
        let text = fs::read_to_string(path)
            .map_err(|error| ArrivalsError::Read { file: file.clone(), message: error.to_string() })?;
        let mut moments = Vec::new();
        for (line, row) in text.lines().enumerate().skip(1).filter(|(_, row)| !row.trim().is_empty()) {
            let value = row.split(',').next().unwrap_or_default().trim();
            let us = microseconds(value).ok_or_else(|| ArrivalsError::Time {
                file: file.clone(),
                line: line + 1,
                value: value.to_owned(),
            })?;
            moments.push(us);
        }
        moments.sort_unstable();
        let first = moments.first().copied().unwrap_or_default();
        let moments_us: Vec<u64> = moments.into_iter().map(|at| at - first).collect();
        match moments_us.len() {
            0 | 1 => Err(ArrivalsError::Short { file }),
            _ => Ok(Self { moments_us }),
        }
    }

    /// The trace at that rate: from a place that is drawn on, round and round, its distances are kept, and every moment is taken modulo
    /// the run until there are as many as the rate asks for. A run that has fewer than the trace takes the first of it.
    fn folded(&self, rng: &mut StdRng, rate_per_s: f64, run_us: u64) -> Vec<u64> {
        let wanted = (rate_per_s * run_us as f64 / 1e6).round() as usize;
        let first = rng.random_range(0..self.moments_us.len());
        let whole = self.moments_us.last().copied().unwrap_or_default() + 1;
        let at = |n: usize| {
            let place = first + n;
            let round = (place / self.moments_us.len()) as u64;
            (self.moments_us[place % self.moments_us.len()] + round * whole - self.moments_us[first]) % run_us
        };
        let mut moments: Vec<u64> = (0..wanted).map(at).collect();
        moments.sort_unstable();
        moments
    }
}

/// Seconds, or a date and a time, as µs. Of a date only differences mean something.
fn microseconds(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return (0.0..1e12).contains(&seconds).then_some((seconds * 1e6) as u64);
    }
    let (date, time) = text.split_once([' ', 'T'])?;
    let numbers = |text: &str, by: char| -> Option<Vec<f64>> {
        text.trim_end_matches('Z').split(by).map(|part| part.parse().ok()).collect()
    };
    let ([year, month, day], [hour, minute, second]) =
        (<[f64; 3]>::try_from(numbers(date, '-')?).ok()?, <[f64; 3]>::try_from(numbers(time, ':')?).ok()?);
    let good = (1.0..1e4).contains(&year)
        && (1.0..13.0).contains(&month)
        && (1.0..32.0).contains(&day)
        && (0.0..25.0).contains(&hour)
        && (0.0..60.0).contains(&minute)
        && (0.0..61.0).contains(&second);
    // Days since the year 0 (Hinnant, chrono-compatible low-level date algorithms).
    let (year, month) = if month <= 2.0 { (year - 1.0, month + 9.0) } else { (year, month - 3.0) };
    let days = (365.25 * year).floor() - (year / 100.0).floor()
        + (year / 400.0).floor()
        + ((153.0 * month + 2.0) / 5.0).floor()
        + day;
    let seconds = days * 86_400.0 + hour * 3_600.0 + minute * 60.0;
    good.then_some(seconds as u64 * 1_000_000 + (second * 1e6).round() as u64)
}

/// Arrivals that mean nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ArrivalsError {
    /// No kind of arrivals.
    #[error("there are no arrivals `{text}`; give constant, poisson, mmpp, day or trace:FILE")]
    Unknown {
        /// What was given.
        text: String,
    },
    /// A file that cannot be read.
    #[error("cannot read the trace `{file}`: {message}; check the path")]
    Read {
        /// The file.
        file: String,
        /// What the system says.
        message: String,
    },
    /// No time.
    #[error(
        "`{file}`, line {line}: `{value}` is no time; give seconds, or `2023-11-16 18:17:03.97`, in the first column"
    )]
    Time {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is there.
        value: String,
    },
    /// A trace without distances.
    #[error("`{file}` has fewer than two times below its heading; give a longer trace")]
    Short {
        /// The file.
        file: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_rate_that_is_asked_for_in_order_and_again_for_the_same_seed() {
        let trace = Trace { moments_us: (0..500_u64).map(|n| n * n * 7).collect() };
        for arrivals in [
            Arrivals::Constant,
            Arrivals::Poisson,
            Arrivals::Modulated,
            Arrivals::Day,
            Arrivals::Trace(trace),
        ] {
            let moments = arrivals.moments_us(1000.0, 20_000_000, 7, 1);
            assert!((19_000..21_000).contains(&moments.len()), "{arrivals:?}: {}", moments.len());
            assert!(moments.is_sorted() && moments.last().is_some_and(|last| *last < 20_000_000));
            assert_eq!(moments, arrivals.moments_us(1000.0, 20_000_000, 7, 1));
            assert_ne!(moments, arrivals.moments_us(1000.0, 20_000_000, 8, 1));
            assert_ne!(moments, arrivals.moments_us(1000.0, 20_000_000, 7, 2));
            assert!(arrivals.moments_us(0.0, 20_000_000, 7, 1).is_empty());
        }
    }

    #[test]
    fn modulated_arrivals_are_four_times_as_many_in_the_fast_state() {
        let moments = Arrivals::Modulated.moments_us(1000.0, 60_000_000, 3, 0);
        let mut per_half: Vec<usize> =
            moments.chunk_by(|a, b| a / 500_000 == b / 500_000).map(<[u64]>::len).collect();
        per_half.sort_unstable();
        let ratio = per_half[per_half.len() * 9 / 10] as f64 / per_half[per_half.len() / 5] as f64;
        assert!((3.0..5.0).contains(&ratio), "{ratio}");
    }

    #[test]
    fn times_of_traces_are_read_across_the_end_of_a_month() {
        let at = |text| microseconds(text).unwrap();
        assert_eq!(at("2024-03-01 00:00:00.5") - at("2024-02-28 23:59:59"), 86_401_500_000);
        assert_eq!(at("12.25"), 12_250_000);
        assert!(
            ["", "x", "2024-13-01 00:00:00", "-1", "2024-02-02"]
                .iter()
                .all(|text| microseconds(text).is_none())
        );
        assert!("burst".parse::<Arrivals>().unwrap_err().to_string().contains("give constant, poisson"));
        assert!("trace:no/such.csv".parse::<Arrivals>().unwrap_err().to_string().contains("no/such.csv"));
    }
}
