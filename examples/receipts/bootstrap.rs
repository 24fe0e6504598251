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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_is_about_two_standard_errors_to_either_side() {
        let values: Vec<f64> = (0..100).map(|n| f64::from(n % 2)).collect();
        let mean = |numbers: &[usize]| numbers.iter().map(|n| values[*n]).sum::<f64>() / numbers.len() as f64;
        let (least, most) = interval(values.len(), mean);
        assert!((least - 0.402).abs() < 0.02 && (most - 0.598).abs() < 0.02, "{least} to {most}");
    }
}
