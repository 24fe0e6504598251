//! How far a figure may be off, since it was measured on some receipts and not on all: a percentile bootstrap (Efron 1979).

use rand::{Rng, SeedableRng, rngs::StdRng};

/// Times that the sample is drawn again.
const DRAWS: usize = 2000;

/// Where `figure` lies in 95 of 100 samples like this one of `count` things, which are given by their numbers.
pub fn interval(count: usize, figure: impl Fn(&[usize]) -> f64) -> (f64, f64) {
    let mut random = StdRng::seed_from_u64(95);
    let mut figures: Vec<f64> = (0..DRAWS)
        .map(|_| figure(&(0..count).map(|_| random.random_range(0..count.max(1))).collect::<Vec<_>>()))
        .collect();
    figures.sort_by(f64::total_cmp);
    (figures[DRAWS / 40], figures[DRAWS - 1 - DRAWS / 40])
}
