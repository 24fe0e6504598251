//! Whether what comes still looks like what the models were made for.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use serde::Serialize;

use crate::Check;

/// Compares a number of the latest values (a brightness, a length, a price, a confidence) with a reference: those that a model
/// was trained on, or those that came first.
///
/// The two are told apart by the largest distance between their cumulative distributions, the two-sample test of Kolmogorov and
/// Smirnov: it sees a shift as well as another spread or a second kind of values, and takes no distribution for granted. Where
/// nothing has changed, one comparison in `1 / false_alarms` is taken for a drift at most (with its asymptotic limit,
/// `√(−ln(false_alarms / 2) / 2 · (n + m) / (n · m))` for `n` values against `m`; equal values make it rarer). Comparisons are made
/// each time a quarter of the window is new, so they overlap.
///
/// A [`Check`] asks it: [`Check::steady`]. Each value that the check looks at is counted; while the latest comparison differs, the
/// rule does not hold. Cheap to clone: clones are one, so keep one to read.
///
/// A model's own confidence tells of a drift where its input is too wide to be one number.
///
/// ```
/// use eddyline_handlers::{Check, Drift, Handler, Verdict, testing};
///
/// let daylight = (0..500).map(|n| 100.0 + f64::from(n * 7 % 50));
/// let drift = Drift::from_reference(daylight)?.window(100);
/// let check = Check::new().steady("brightness", &drift, |brightness: &f64| *brightness);
///
/// // It gets dark after 200 pictures.
/// let pictures = (0..400).map(|n| f64::from(n * 11 % 50) + if n < 200 { 100.0 } else { 60.0 });
/// let said = testing::judge(check.or_reject(), pictures);
/// let first = said.iter().position(|said| *said == Verdict::reject("brightness has drifted"));
/// assert!(first.is_some_and(|first| (200..250).contains(&first)), "{first:?}");
/// let seen = drift.read();
/// assert!(seen.is_drifted && seen.quartiles[1] < seen.reference_quartiles[1] - 30.0);
/// println!("brightness: {seen}");
/// # Ok::<(), eddyline_handlers::DriftError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Drift {
    window: usize,
    false_alarms: f64,
    watched: Arc<Mutex<Watched>>,
}

#[derive(Debug, Default)]
struct Watched {
    /// In rising order once it is whole.
    reference: Vec<f64>,
    /// How many are still to come into it.
    missing: usize,
    latest: VecDeque<f64>,
    /// Values since the latest comparison.
    new: usize,
    seen: u64,
    comparisons: u64,
    differed: u64,
    drifted_since: Option<u64>,
    distance: f64,
    limit: f64,
}

/// What a [`Drift`] has seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DriftSeen {
    /// Values that it looked at, those of a reference that came first included.
    pub values: u64,
    /// Comparisons of the window with the reference.
    pub comparisons: u64,
    /// Those of them in which the two differed.
    pub differed: u64,
    /// Whether they did in the latest.
    pub is_drifted: bool,
    /// The value, counted from 0, with which that began.
    pub since: Option<u64>,
    /// The distance in the latest comparison, 0 to 1.
    pub distance: f64,
    /// The distance above which they differ.
    pub limit: f64,
    /// A quarter, a half and three quarters of the window are below these.
    pub quartiles: [f64; 3],
    /// The same of the reference.
    pub reference_quartiles: [f64; 3],
}

impl std::fmt::Display for DriftSeen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { comparisons, differed, distance, limit, quartiles, reference_quartiles, .. } = self;
        match self.since {
            Some(since) => write!(f, "drifted since value {since}")?,
            None if *comparisons == 0 => return write!(f, "nothing compared after {} values", self.values),
            None => f.write_str("steady")?,
        }
        let [[_, median, _], [_, reference, _]] = [quartiles, reference_quartiles];
        write!(
            f,
            ": distance {distance:.3} (limit {limit:.3}), median {median} where it was {reference}; {differed} of {comparisons} comparisons differed"
        )
    }
}

/// A reference that nothing can be compared with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DriftError {
    /// It is too small.
    #[error("a reference of {0} values is too small to compare with; give at least {LEAST}")]
    TooSmall(usize),
    /// A value has no place in an order.
    #[error("value {0} of the reference (counted from 0) is not a number; leave it out")]
    NotANumber(usize),
}

/// Fewer values tell nothing apart.
const LEAST: usize = 8;

impl Drift {
    /// Compares with these values, at least 8.
    ///
    /// # Errors
    /// There are fewer, or one is not a number.
    pub fn from_reference<N: Into<f64>>(values: impl IntoIterator<Item = N>) -> Result<Self, DriftError> {
        let mut reference: Vec<f64> = values.into_iter().map(Into::into).collect();
        if let Some(place) = reference.iter().position(|value| value.is_nan()) {
            return Err(DriftError::NotANumber(place));
        }
        if reference.len() < LEAST {
            return Err(DriftError::TooSmall(reference.len()));
        }
        reference.sort_by(f64::total_cmp);
        Ok(Self::watching(Watched { reference, ..Watched::default() }))
    }

    /// Compares with the first so many values that come, at least 8; they themselves have not drifted.
    ///
    /// # Errors
    /// It is fewer.
    pub fn from_first(values: usize) -> Result<Self, DriftError> {
        if values < LEAST {
            return Err(DriftError::TooSmall(values));
        }
        Ok(Self::watching(Watched { missing: values, ..Watched::default() }))
    }

    fn watching(watched: Watched) -> Self {
        Self { window: 200, false_alarms: 0.001, watched: Arc::new(Mutex::new(watched)) }
    }

    /// How many of the latest values are compared, at least 8; 200 if nothing is said. More see a smaller drift, later.
    #[must_use]
    pub fn window(self, values: usize) -> Self {
        Self { window: values.max(LEAST), ..self }
    }

    /// How often a comparison may find a drift where there is none, 0 to 1; 0.001 if nothing is said.
    #[must_use]
    pub fn false_alarms(self, share: f64) -> Self {
        Self { false_alarms: share.clamp(f64::MIN_POSITIVE, 1.0), ..self }
    }

    /// What it has seen so far.
    pub fn read(&self) -> DriftSeen {
        let watched = self.watched.lock();
        let mut latest: Vec<f64> = watched.latest.iter().copied().collect();
        latest.sort_by(f64::total_cmp);
        let is_whole = watched.missing == 0;
        DriftSeen {
            values: watched.seen,
            comparisons: watched.comparisons,
            differed: watched.differed,
            is_drifted: watched.drifted_since.is_some(),
            since: watched.drifted_since,
            distance: watched.distance,
            limit: watched.limit,
            quartiles: quartiles(&latest),
            reference_quartiles: if is_whole { quartiles(&watched.reference) } else { [f64::NAN; 3] },
        }
    }

    /// Looks at one value, and says whether what came latest differs.
    fn look(&self, value: f64) -> bool {
        let mut watched = self.watched.lock();
        // Whatever is not a number is unlike all numbers.
        let value = if value.is_nan() { f64::INFINITY } else { value };
        let at = watched.seen;
        watched.seen += 1;
        if watched.missing > 0 {
            watched.reference.push(value);
            watched.missing -= 1;
            if watched.missing == 0 {
                watched.reference.sort_by(f64::total_cmp);
            }
            return false;
        }
        if watched.latest.len() == self.window {
            watched.latest.pop_front();
        }
        watched.latest.push_back(value);
        watched.new += 1;
        if watched.latest.len() == self.window && watched.new >= self.window.div_ceil(4) {
            watched.compare(at, self.false_alarms);
        }
        watched.drifted_since.is_some()
    }
}

impl Watched {
    fn compare(&mut self, at: u64, false_alarms: f64) {
        let mut latest: Vec<f64> = self.latest.iter().copied().collect();
        latest.sort_by(f64::total_cmp);
        let (n, m) = (latest.len() as f64, self.reference.len() as f64);
        self.new = 0;
        self.comparisons += 1;
        self.distance = distance(&latest, &self.reference);
        self.limit = (-(false_alarms / 2.0).ln() / 2.0 * (n + m) / (n * m)).sqrt();
        if self.distance > self.limit {
            self.differed += 1;
            self.drifted_since.get_or_insert(at);
        } else {
            self.drifted_since = None;
        }
    }
}

/// The largest distance between the cumulative distributions of two samples, each in rising order.
fn distance(one: &[f64], other: &[f64]) -> f64 {
    let (mut a, mut b, mut most) = (0, 0, 0.0_f64);
    while a < one.len() && b < other.len() {
        let at = one[a].min(other[b]);
        a += one[a..].iter().take_while(|value| **value <= at).count();
        b += other[b..].iter().take_while(|value| **value <= at).count();
        most = most.max((a as f64 / one.len() as f64 - b as f64 / other.len() as f64).abs());
    }
    most
}

/// Of values in rising order.
fn quartiles(values: &[f64]) -> [f64; 3] {
    [1, 2, 3].map(|quarter| values.get(values.len() * quarter / 4).copied().unwrap_or(f64::NAN))
}

impl<T> Check<T> {
    /// The latest values of a number, of which `name` says what it is, are distributed as they were: see [`Drift`]. While they are
    /// not, it does not hold, whatever the value.
    #[must_use]
    pub fn steady<N: Into<f64>>(
        self,
        name: &str,
        drift: &Drift,
        number: impl Fn(&T) -> N + Send + 'static,
    ) -> Self {
        let drift = drift.clone();
        self.rule(format!("{name} has drifted"), move |value| !drift.look(number(value).into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{Verdict, testing};

    #[test]
    fn without_a_drift_few_comparisons_find_one() {
        let (mut comparisons, mut differed) = (0, 0);
        for seed in 0..400 {
            let mut random = StdRng::seed_from_u64(seed);
            let drift = Drift::from_first(300).unwrap().window(100).false_alarms(0.02);
            for _ in 0..1000 {
                drift.look(random.random::<f64>().powi(3));
            }
            let seen = drift.read();
            (comparisons, differed) = (comparisons + seen.comparisons, differed + seen.differed);
        }
        assert_eq!(comparisons, 400 * 25);
        assert!((differed as f64) < 0.02 * comparisons as f64 * 1.3, "{differed} of {comparisons}");
    }

    #[test]
    fn a_shift_another_spread_and_a_second_kind_are_found_and_their_end_too() {
        let shapes: [fn(f64) -> f64; 3] =
            [|x| x + 0.3, |x| 0.5 + (x - 0.5) / 5.0, |x| if x < 0.4 { 3.0 } else { x }];
        for shape in shapes {
            let mut random = StdRng::seed_from_u64(7);
            let drift = Drift::from_reference((0..1000).map(|n| f64::from(n) / 1000.0)).unwrap();
            let mut look = |shape: fn(f64) -> f64, times: usize| {
                (0..times).map(|_| drift.look(shape(random.random()))).filter(|drifted| *drifted).count()
            };
            assert_eq!(look(|x| x, 400), 0);
            let found = look(shape, 400);
            assert!(found >= 200, "{found}");
            look(|x| x, 400);
            assert!(!drift.read().is_drifted);
        }
    }

    proptest! {
        #[test]
        fn the_distance_is_the_largest_at_any_value(
            mut one in prop::collection::vec(0_u8..20, 1..40), mut other in prop::collection::vec(0_u8..20, 1..40),
        ) {
            one.sort_unstable();
            other.sort_unstable();
            let part = |values: &[u8], at: u8| values.iter().filter(|value| **value <= at).count() as f64 / values.len() as f64;
            let expected = (0..20).map(|at| (part(&one, at) - part(&other, at)).abs()).fold(0.0, f64::max);
            let [one, other] = [one, other].map(|values| values.into_iter().map(f64::from).collect::<Vec<f64>>());
            prop_assert!((distance(&one, &other) - expected).abs() < 1e-12);
            prop_assert_eq!(distance(&one, &one), 0.0);
        }
    }

    #[test]
    fn a_window_of_what_is_not_a_number_has_drifted() {
        let drift = Drift::from_first(100).unwrap().window(50);
        let check = Check::new().steady("length", &drift, |value: &f64| *value);
        let values = (0..200).map(|n| if n < 150 { f64::from(n % 10) } else { f64::NAN });
        let said = testing::judge(check.or_reject(), values);
        assert!(said[..150].iter().all(|said| *said == Verdict::Abstain));
        assert_eq!(said[199], Verdict::reject("length has drifted"));
        assert_eq!(
            drift.read().to_string(),
            "drifted since value 175: distance 0.780 (limit 0.338), median inf where it was 5; 2 of 4 comparisons differed"
        );
        assert!(serde_json::to_value(drift.read()).unwrap()["is_drifted"].as_bool().unwrap());
    }

    #[test]
    fn what_cannot_be_compared_with_is_refused() {
        assert_eq!(Drift::from_first(7).unwrap_err(), DriftError::TooSmall(7));
        assert_eq!(Drift::from_reference([1.0; 3]).unwrap_err(), DriftError::TooSmall(3));
        assert_eq!(Drift::from_reference([1.0, f64::NAN]).unwrap_err(), DriftError::NotANumber(1));
        assert!(Drift::from_first(3).unwrap_err().to_string().contains("at least 8"));
    }
}
