//! A threshold per class that keeps a rate of errors among what comes later, as far as a labelled sample can show it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Check,
    calibrated::{CalibrationError, by_class},
};

/// Most thresholds that are tried for a class; fewer where there are few results.
const LEVELS: usize = 10;

/// Confidence thresholds, one per class, above which results are accepted: with a stated certainty, the share of errors among **all
/// results like those of the sample** that they accept is at most a stated rate.
///
/// Nothing is taken for granted of the model: its confidences may be as wrong as they like, and a threshold is then high, or there
/// is none. The one assumption is that what comes later is like the sample, that is, drawn from the same source, and not
/// chosen by what the model said of it. Where that changes (another camera, another season), fit again.
///
/// For each class up to ten thresholds are tried, at ranks that are fixed before a label is looked at. One is
/// kept where so few errors above it would be less likely than `(1 - certainty) / levels` if the rate were higher: the exact tail
/// of the binomial distribution, with Bonferroni's correction (*Learn then Test*, Angelopoulos, Bates, Candès, Jordan and Lei 2021; after
/// Geifman and El-Yaniv, NeurIPS 2017). Of those that are kept the lowest is taken. The certainty is each class's own, over samples:
/// where it is 0.9, one sample in ten may give a threshold that is too low. Mostly the rate is much lower than stated.
///
/// It needs more than [`Calibration`](crate::Calibration), which keeps the rate on the sample only: at a rate of 0.05 and a
/// certainty of 0.9 at least 45 results of a class without an error, at 0.01 at least 230.
///
/// Store it as JSON beside the model: it is `Serialize`.
///
/// ```
/// use eddyline_handlers::{Check, Conformal, Verdict, testing};
///
/// // class, confidence, and whether it was right: 200 cats, of which the model is wrong about some it is less sure of, and a few dogs
/// let cats = (0..200).map(|n| ("cat", f64::from(n) / 200.0, n > 60 || n % 2 == 0));
/// let dogs = (0..20).map(|n| ("dog", f64::from(n) / 20.0, true));
/// let conformal = Conformal::fit(cats.chain(dogs), 0.05, 0.9)?;
/// assert!(conformal.accepts(&"cat", 0.6) && !conformal.accepts(&"cat", 0.2));
/// assert_eq!(conformal.too_few(), [&"dog"]);
/// println!("{conformal}");
///
/// let check = Check::new().conformal(&conformal, |r: &(&'static str, f64)| *r);
/// let reasons = [
///     Verdict::Abstain,
///     Verdict::reject("not sure enough for an error rate of 0.05"),
///     Verdict::reject("no confidence of its class is enough for an error rate of 0.05"),
/// ];
/// assert_eq!(testing::judge(check.or_reject(), [("cat", 0.6), ("cat", 0.2), ("dog", 0.99)]), reasons);
/// # Ok::<(), eddyline_handlers::CalibrationError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conformal<C> {
    /// The share of errors among what is accepted, that is kept.
    pub error_rate: f64,
    /// How likely a sample is to give a threshold that keeps it.
    pub certainty: f64,
    /// One per class of the sample, in order.
    pub classes: Vec<ConformalClass<C>>,
}

/// What was fitted for one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConformalClass<C> {
    /// The class.
    pub class: C,
    /// What is accepted.
    pub accepted: Accepted,
    /// Results of this class in the sample.
    pub results: usize,
    /// Those of them that are accepted.
    pub above: usize,
    /// Those of the accepted that are wrong.
    pub errors: usize,
    /// How many results without any error would be needed, where there are fewer.
    pub needs: Option<usize>,
}

/// Which results of a class are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accepted {
    /// None: there are too few, or too many of the surest are wrong.
    None,
    /// Those of a greater confidence.
    Above(f64),
    /// All.
    All,
}

impl Accepted {
    fn accepts(self, confidence: f64) -> bool {
        match self {
            Accepted::None => false,
            Accepted::Above(threshold) => confidence > threshold,
            Accepted::All => !confidence.is_nan(),
        }
    }
}

impl<C: Ord> Conformal<C> {
    /// Fits thresholds on `sample`, of which each result is its class, its confidence and whether it is right. `error_rate` is the
    /// share of errors to be kept, such as 0.02; `certainty` how sure that is to be, such as 0.9.
    ///
    /// Takes time n log n in the size of the sample, which is kept as two words per result meanwhile.
    ///
    /// # Errors
    ///
    /// Where `error_rate` or `certainty` is not between 0 and 1, or a confidence is not a number.
    pub fn fit(
        sample: impl IntoIterator<Item = (C, f64, bool)>,
        error_rate: f64,
        certainty: f64,
    ) -> Result<Self, CalibrationError> {
        let is_between = |share: f64| share > 0.0 && share < 1.0;
        if !is_between(error_rate) {
            return Err(CalibrationError::NoRate(error_rate));
        }
        if !is_between(certainty) {
            return Err(CalibrationError::NoCertainty(certainty));
        }
        let fit = |(class, results): (C, Vec<(f64, bool)>)| {
            ConformalClass::fit(class, &results, error_rate, 1.0 - certainty)
        };
        Ok(Self { error_rate, certainty, classes: by_class(sample)?.into_iter().map(fit).collect() })
    }

    /// Whether a result of `class` with this confidence is accepted. Nothing of a class is that the sample had not.
    pub fn accepts(&self, class: &C, confidence: f64) -> bool {
        let fitted = self.classes.iter().find(|fitted| fitted.class == *class);
        fitted.is_some_and(|fitted| fitted.accepted.accepts(confidence))
    }

    /// The classes with too few results: nothing of theirs is accepted until there are more.
    pub fn too_few(&self) -> Vec<&C> {
        self.classes.iter().filter(|fitted| fitted.needs.is_some()).map(|fitted| &fitted.class).collect()
    }
}

impl<C> ConformalClass<C> {
    /// Of results in falling order of their confidence.
    fn fit(class: C, results: &[(f64, bool)], error_rate: f64, doubt: f64) -> Self {
        let len = results.len();
        let mut fitted =
            Self { class, accepted: Accepted::None, results: len, above: 0, errors: 0, needs: None };
        // How many results without an error show the rate where so many thresholds are tried.
        let least = |levels: usize| ((doubt / levels as f64).ln() / (-error_rate).ln_1p()).ceil() as usize;
        let levels = [LEVELS, 5, 2, 1].into_iter().find(|levels| least(*levels) <= len);
        let Some(levels) = levels else {
            fitted.needs = Some(least(1));
            return fitted;
        };
        // Fixed ranks, from all results down to the fewest that could do, each the same part of the one before.
        let part = least(levels).max(1) as f64 / len as f64;
        for level in 0..levels {
            let rank = (len as f64 * part.powf(level as f64 / (levels - 1).max(1) as f64)).round() as usize;
            // What is above the first that is left out: then those above are a sample of all that will be above it.
            let accepted =
                results.get(rank).map_or(Accepted::All, |(first_out, _)| Accepted::Above(*first_out));
            let above = results[..rank].partition_point(|(confidence, _)| accepted.accepts(*confidence));
            let errors = results[..above].iter().filter(|(_, right)| !right).count();
            if above > 0 && tail(errors, above, error_rate) <= doubt / levels as f64 {
                (fitted.accepted, fitted.above, fitted.errors) = (accepted, above, errors);
                break;
            }
        }
        fitted
    }
}

/// How likely at most `errors` errors are among `results`, of which each is wrong with this probability.
fn tail(errors: usize, results: usize, rate: f64) -> f64 {
    // In logarithms: the chance of none may be too small for a number.
    let mut term = results as f64 * (-rate).ln_1p();
    let mut sum = term.exp();
    for error in 1..=errors.min(results) {
        term += ((results - error + 1) as f64 / error as f64 * rate / (1.0 - rate)).ln();
        sum += term.exp();
    }
    sum.min(1.0)
}

impl<C: std::fmt::Display> std::fmt::Display for Conformal<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "| class | accepted | results | of them accepted | errors | |\n|---|--:|--:|--:|--:|---|"
        )?;
        for ConformalClass { class, accepted, results, above, errors, needs } in &self.classes {
            let accepted = match accepted {
                Accepted::None => "none".to_owned(),
                Accepted::Above(threshold) => format!("above {threshold:.3}"),
                Accepted::All => "all".to_owned(),
            };
            let note = needs.map_or_else(String::new, |needs| format!("too few results: {needs} at least"));
            writeln!(f, "| {class} | {accepted} | {results} | {above} | {errors} | {note} |")?;
        }
        Ok(())
    }
}

impl<T> Check<T> {
    /// The confidence of a result is above the threshold of its class, which keeps a rate of errors: see [`Conformal`]. `result` gives
    /// the class and the confidence. Of a class that has no threshold nothing is sure enough.
    #[must_use]
    pub fn conformal<C: Ord + Clone + Send + 'static, N: Into<f64>>(
        self,
        conformal: &Conformal<C>,
        result: impl Fn(&T) -> (C, N) + Send + 'static,
    ) -> Self {
        let classes = conformal.classes.iter().map(|fitted| (fitted.class.clone(), fitted.accepted));
        let classes: BTreeMap<C, Accepted> = classes.collect();
        let rate = conformal.error_rate;
        let words = [
            format!("no confidence of its class is enough for an error rate of {rate}"),
            format!("not sure enough for an error rate of {rate}"),
        ];
        self.rule_in_words(words.to_vec(), move |value| {
            let (class, confidence) = result(value);
            match classes.get(&class).copied().unwrap_or(Accepted::None) {
                Accepted::None => Some(0),
                accepted if accepted.accepts(confidence.into()) => None,
                _ => Some(1),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    /// Results of a class whose confidences are even, and wrong the more often the lower they are.
    fn sample(seed: u64, results: usize, wrong: impl Fn(f64) -> f64) -> Vec<(u8, f64, bool)> {
        let mut random = StdRng::seed_from_u64(seed);
        let result = |_| {
            let confidence: f64 = random.random();
            (0, confidence, random.random::<f64>() >= wrong(confidence))
        };
        (0..results).map(result).collect()
    }

    #[test]
    fn of_many_samples_no_more_give_a_threshold_that_is_too_low_than_was_stated() {
        // Above a threshold t the true rate is (1 - t) / 4.
        let (rate, certainty, samples) = (0.05, 0.8, 2000);
        for results in [60, 150, 3000] {
            let (mut too_low, mut found, mut sum) = (0, 0, 0.0);
            for seed in 0..samples {
                let sample = sample(seed, results, |confidence| (1.0 - confidence) / 2.0);
                let fitted = Conformal::fit(sample, rate, certainty).unwrap().classes.remove(0);
                let threshold = match fitted.accepted {
                    Accepted::None => continue,
                    Accepted::Above(threshold) => threshold,
                    Accepted::All => 0.0,
                };
                let truly = (1.0 - threshold) / 4.0;
                found += 1;
                too_low += usize::from(truly > rate);
                sum += truly;
            }
            let may = (1.0 - certainty) * samples as f64;
            assert!((too_low as f64) < may + 3.0 * may.sqrt(), "{too_low} of {samples} at {results}");
            assert!(results < 3000 || found > samples / 2, "only {found} of {samples} have a threshold");
            assert!(found == 0 || sum / f64::from(found as u32) <= rate, "{sum} over {found}");
        }
    }

    #[test]
    fn a_model_that_is_no_better_where_it_is_sure_gets_no_threshold() {
        let found = (0..200).filter(|seed| {
            let fitted = Conformal::fit(sample(*seed, 400, |_| 0.2), 0.05, 0.9).unwrap();
            fitted.classes[0].accepted != Accepted::None
        });
        assert!(found.count() <= 30);
    }

    proptest! {
        #[test]
        fn the_tail_is_that_of_the_distribution(results in 1_usize..12, rate in 0.01..0.99_f64, errors in 0_usize..14) {
            // By adding up all ways in which results can be right and wrong.
            let ways = (0_u32..1 << results).map(|wrong| wrong.count_ones()).filter(|wrong| *wrong as usize <= errors);
            let each = ways.map(|wrong| rate.powi(wrong as i32) * (1.0 - rate).powi(results as i32 - wrong as i32));
            prop_assert!((tail(errors, results, rate) - each.sum::<f64>()).abs() < 1e-9);
        }

        #[test]
        fn more_errors_never_lower_the_threshold(seed in any::<u64>(), len in 50_usize..300, worse in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
            let good = sample(seed, len, |confidence| (1.0 - confidence) / 3.0);
            let mut bad = good.clone();
            for index in worse {
                bad[index.index(len)].2 = false;
            }
            let above = |sample: Vec<_>| Conformal::fit(sample, 0.1, 0.9).unwrap().classes[0].above;
            prop_assert!(above(bad) <= above(good));
        }

        #[test]
        fn what_it_says_of_its_sample_is_so(seed in any::<u64>(), len in 1_usize..300, steps in 1_u8..20) {
            // Few confidences, so that many are equal.
            let coarse = |(class, confidence, right): (u8, f64, bool)| (class, (confidence * f64::from(steps)).round(), right);
            let sample: Vec<_> = sample(seed, len, |confidence| (1.0 - confidence) / 3.0).into_iter().map(coarse).collect();
            let conformal = Conformal::fit(sample.clone(), 0.1, 0.9).unwrap();
            let fitted = &conformal.classes[0];
            let accepted: Vec<_> = sample.iter().filter(|(class, confidence, _)| conformal.accepts(class, *confidence)).collect();
            prop_assert_eq!((accepted.len(), accepted.iter().filter(|result| !result.2).count()), (fitted.above, fitted.errors));
            prop_assert_eq!(fitted.needs, (len < 22).then_some(22));
            let json = serde_json::to_string(&conformal).unwrap();
            prop_assert_eq!(serde_json::from_str::<Conformal<u8>>(&json).unwrap(), conformal);
        }
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let fit = |rate, certainty, confidence| {
            Conformal::fit([("a", confidence, true)], rate, certainty).unwrap_err().to_string()
        };
        assert!(fit(0.0, 0.9, 0.5).starts_with("an error rate of 0 cannot be shown"));
        assert!(fit(0.1, 1.0, 0.5).starts_with("a certainty of 1 cannot be had"));
        assert!(fit(0.1, 0.9, f64::NAN).starts_with("result 0 of the sample"));
    }

    #[test]
    fn a_class_that_the_sample_had_not_and_a_confidence_that_is_no_number_are_not_accepted() {
        let conformal = Conformal::fit((0..50).map(|n| ("a", f64::from(n), true)), 0.1, 0.9).unwrap();
        assert_eq!(conformal.classes[0].accepted, Accepted::All);
        assert!(
            conformal.accepts(&"a", 0.0)
                && !conformal.accepts(&"a", f64::NAN)
                && !conformal.accepts(&"b", 9.0)
        );
        assert!(conformal.to_string().contains("| a | all | 50 | 50 | 0 |  |"), "{conformal}");
    }
}
