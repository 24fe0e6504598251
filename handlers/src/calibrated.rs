//! A threshold per class, fitted on labelled results.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Check;

/// Confidence thresholds, one per class, of which each is the lowest that keeps the share of errors among what it accepts within
/// a rate **on the sample that it was fitted on**.
///
/// It is the empirical selective risk of El-Yaniv and Wiener (JMLR 2010), per class. What comes later may be worse: the threshold
/// was chosen by looking at this very sample, and a few dozen results say little about a rate of one in a hundred. Fit on
/// one sample, and measure on another with [`testing::confusion`](crate::testing::confusion); or use
/// [`Conformal`](crate::Conformal), whose rate holds for what comes later, and which accepts less for it.
///
/// Store it as JSON beside the model: it is `Serialize`.
///
/// ```
/// use eddyline_handlers::{Calibration, Check, Verdict, testing};
///
/// // class, confidence, and whether it was right
/// let sample = [
///     ("cat", 0.9, true), ("cat", 0.8, true), ("cat", 0.7, false), ("cat", 0.6, true),
///     ("dog", 0.6, true), ("dog", 0.5, true), ("dog", 0.4, true), ("dog", 0.3, false),
///     ("owl", 0.9, true),
/// ];
/// let calibration = Calibration::fit(sample, 0.0, 3)?;
/// assert_eq!(calibration.threshold(&"cat"), Some(0.8));
/// assert_eq!(calibration.threshold(&"dog"), Some(0.4));
/// assert_eq!(calibration.too_few(), [&"owl"]);
/// println!("{calibration}");
///
/// let check = Check::new().calibrated(&calibration, |r: &(&'static str, f64)| *r);
/// let reasons = [
///     Verdict::Abstain,
///     Verdict::reject("confidence is below the threshold of its class"),
///     Verdict::reject("its class has no threshold"),
/// ];
/// assert_eq!(testing::judge(check.or_reject(), [("dog", 0.45), ("cat", 0.45), ("owl", 0.99)]), reasons);
/// # Ok::<(), eddyline_handlers::CalibrationError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration<C> {
    /// The share of errors among what is accepted, that was allowed.
    pub error_rate: f64,
    /// One per class of the sample, in order.
    pub classes: Vec<CalibratedClass<C>>,
}

/// What was fitted for one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibratedClass<C> {
    /// The class.
    pub class: C,
    /// The least confidence that is accepted; none where there were too few results, or where no threshold keeps the rate.
    pub threshold: Option<f64>,
    /// Results of this class in the sample.
    pub results: usize,
    /// Those of them that the threshold accepts.
    pub accepted: usize,
    /// Those of the accepted that are wrong.
    pub errors: usize,
    /// Whether there were fewer results than asked for.
    pub too_few: bool,
}

/// Thresholds that cannot be fitted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    /// The rate is not a share.
    #[error("an error rate of {0} is not a share; give one from 0 to 1, such as 0.02")]
    Rate(f64),
    /// The rate is not one that a sample can show.
    #[error("an error rate of {0} cannot be shown by a sample; give one between 0 and 1, such as 0.02")]
    NoRate(f64),
    /// The certainty is not one that a sample can give.
    #[error("a certainty of {0} cannot be had from a sample; give one between 0 and 1, such as 0.9")]
    NoCertainty(f64),
    /// A confidence has no place in an order.
    #[error(
        "result {place} of the sample (counted from 0) has the confidence {confidence}; leave it out or mend the model's output"
    )]
    Confidence {
        /// Its place in the sample, from 0.
        place: usize,
        /// What it has.
        confidence: f64,
    },
}

/// The results of each class, those of the greatest confidence first.
pub(crate) fn by_class<C: Ord>(
    sample: impl IntoIterator<Item = (C, f64, bool)>,
) -> Result<BTreeMap<C, Vec<(f64, bool)>>, CalibrationError> {
    let mut classes: BTreeMap<C, Vec<(f64, bool)>> = BTreeMap::new();
    for (place, (class, confidence, right)) in sample.into_iter().enumerate() {
        if confidence.is_nan() {
            return Err(CalibrationError::Confidence { place, confidence });
        }
        classes.entry(class).or_default().push((confidence, right));
    }
    classes.values_mut().for_each(|results| results.sort_by(|a, b| b.0.total_cmp(&a.0)));
    Ok(classes)
}

impl<C: Ord> Calibration<C> {
    /// Fits thresholds on `sample`, of which each result is its class, its confidence and whether it is right. Among what a
    /// threshold accepts, the share of errors in the sample is `error_rate` at most. A class with fewer than `at_least` results
    /// gets none.
    ///
    /// Takes time n log n in the size of the sample, which is kept as two words per result meanwhile.
    ///
    /// # Errors
    ///
    /// Where `error_rate` is not from 0 to 1, or a confidence is not a number.
    pub fn fit(
        sample: impl IntoIterator<Item = (C, f64, bool)>,
        error_rate: f64,
        at_least: usize,
    ) -> Result<Self, CalibrationError> {
        if !(0.0..=1.0).contains(&error_rate) {
            return Err(CalibrationError::Rate(error_rate));
        }
        let fit = |(class, results)| CalibratedClass::fit(class, results, error_rate, at_least);
        Ok(Self { error_rate, classes: by_class(sample)?.into_iter().map(fit).collect() })
    }

    /// The least confidence that is accepted of `class`; none where the class has no threshold.
    pub fn threshold(&self, class: &C) -> Option<f64> {
        self.classes.iter().find(|fitted| fitted.class == *class)?.threshold
    }

    /// The classes with too few results: nothing of theirs is accepted until there are more.
    pub fn too_few(&self) -> Vec<&C> {
        self.classes.iter().filter(|fitted| fitted.too_few).map(|fitted| &fitted.class).collect()
    }
}

impl<C> CalibratedClass<C> {
    fn fit(class: C, results: Vec<(f64, bool)>, error_rate: f64, at_least: usize) -> Self {
        let mut fitted = Self {
            class,
            threshold: None,
            results: results.len(),
            accepted: 0,
            errors: 0,
            too_few: results.len() < at_least,
        };
        if fitted.too_few {
            return fitted;
        }
        let (mut accepted, mut errors) = (0, 0);
        // A threshold accepts all results with the same confidence, or none of them.
        for equals in results.chunk_by(|a, b| a.0 == b.0) {
            accepted += equals.len();
            errors += equals.iter().filter(|(_, right)| !right).count();
            if errors as f64 <= error_rate * accepted as f64 {
                (fitted.threshold, fitted.accepted, fitted.errors) = (Some(equals[0].0), accepted, errors);
            }
        }
        fitted
    }
}

impl<C: std::fmt::Display> std::fmt::Display for Calibration<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "| class | threshold | results | accepted | errors | |\n|---|--:|--:|--:|--:|---|")?;
        for CalibratedClass { class, threshold, results, accepted, errors, too_few } in &self.classes {
            let threshold = threshold.map_or("none".to_owned(), |t| format!("{t:.3}"));
            let note = if *too_few { "too few results" } else { "" };
            writeln!(f, "| {class} | {threshold} | {results} | {accepted} | {errors} | {note} |")?;
        }
        Ok(())
    }
}

impl<T> Check<T> {
    /// The confidence of a result is at least the threshold of its class. `result` gives the class and the confidence. A class
    /// that has no threshold is never confident enough.
    #[must_use]
    pub fn calibrated<C: Ord + Clone + Send + 'static, N: Into<f64>>(
        self,
        calibration: &Calibration<C>,
        result: impl Fn(&T) -> (C, N) + Send + 'static,
    ) -> Self {
        let thresholds: BTreeMap<C, f64> = calibration
            .classes
            .iter()
            .filter_map(|fitted| Some((fitted.class.clone(), fitted.threshold?)))
            .collect();
        let words = ["its class has no threshold", "confidence is below the threshold of its class"];
        self.rule_in_words(words.map(str::to_owned).to_vec(), move |value| {
            let (class, confidence) = result(value);
            match thresholds.get(&class) {
                None => Some(0),
                Some(threshold) if confidence.into() >= *threshold => None,
                Some(_) => Some(1),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn samples() -> impl Strategy<Value = Vec<(u8, f64, bool)>> {
        // Few confidences, so that many are equal.
        prop::collection::vec((0..3_u8, (0..10_u8).prop_map(|c| f64::from(c) / 10.0), any::<bool>()), 0..60)
    }

    proptest! {
        #[test]
        fn on_its_sample_a_threshold_keeps_the_rate_and_no_lower_one_does(
            sample in samples(), rate in 0.0..0.5, at_least in 0..10_usize,
        ) {
            let calibration = Calibration::fit(sample.clone(), rate, at_least).unwrap();
            let kept = |class: u8, threshold: f64| {
                let accepted: Vec<_> = sample.iter().filter(|(c, conf, _)| *c == class && *conf >= threshold).collect();
                let errors = accepted.iter().filter(|(_, _, right)| !right).count();
                (accepted.len(), errors, errors as f64 <= rate * accepted.len() as f64)
            };
            for fitted in &calibration.classes {
                let lower = (0..10).map(|c| f64::from(c) / 10.0).filter(|c| fitted.threshold.is_none_or(|t| *c < t));
                if let Some(threshold) = fitted.threshold {
                    prop_assert_eq!(kept(fitted.class, threshold), (fitted.accepted, fitted.errors, true));
                }
                if fitted.too_few {
                    prop_assert!(fitted.results < at_least && fitted.threshold.is_none());
                    continue;
                }
                for threshold in lower {
                    // A threshold between two results accepts what the higher of them does.
                    let (accepted, _, within) = kept(fitted.class, threshold);
                    prop_assert!(accepted == fitted.accepted || !within, "{} would do", threshold);
                }
            }
        }

        #[test]
        fn what_is_stored_as_json_is_the_same_again(sample in samples()) {
            let calibration = Calibration::fit(sample, 0.1, 2).unwrap();
            let json = serde_json::to_string(&calibration).unwrap();
            prop_assert_eq!(serde_json::from_str::<Calibration<u8>>(&json).unwrap(), calibration);
        }
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        assert_eq!(Calibration::fit([("a", 0.5, true)], 2.0, 1), Err(CalibrationError::Rate(2.0)));
        let error = Calibration::fit([("a", 0.5, true), ("a", f64::NAN, true)], 0.1, 1).unwrap_err();
        assert!(error.to_string().starts_with("result 1 of the sample"), "{error}");
    }

    #[test]
    fn a_class_that_is_always_wrong_has_no_threshold_and_is_not_too_few() {
        let calibration = Calibration::fit([("a", 0.5, false), ("a", 0.9, false)], 0.1, 2).unwrap();
        assert_eq!((calibration.threshold(&"a"), calibration.too_few()), (None, vec![]));
        assert!(calibration.to_string().contains("| a | none | 2 | 0 | 0 |"));
    }

    #[test]
    fn a_confidence_that_is_not_a_number_is_below_every_threshold() {
        let calibration = Calibration::fit([("a", 0.5, true)], 0.0, 1).unwrap();
        let check = Check::new().calibrated(&calibration, |c: &f64| ("a", *c));
        assert_eq!(check.violations(&f64::NAN).len(), 1);
        assert!(check.violations(&0.5).is_empty());
    }
}
