//! A model's own confidence, against one threshold.

use crate::Check;

impl<T> Check<T> {
    /// The confidence of a result is at least `threshold`. Both are on the model's own scale, usually 0 to 1; a confidence that is
    /// not a number is below every threshold.
    ///
    /// A model's confidence is its own opinion: what it does not see (a box that it has not found, a page that it reads upside
    /// down) does not lower it. Put rules about the *content* beside it. A threshold that is fitted on labelled results is
    /// [`calibrated`](Check::calibrated).
    ///
    /// ```
    /// use eddyline_handlers::{Check, Seen, Verdict, testing};
    ///
    /// #[derive(Clone, Debug, PartialEq)]
    /// struct Reading { text: &'static str, confidence: f32 }
    ///
    /// let blank = Check::new().confidence(|r: &Reading| r.confidence, 0.1).or_reject();
    /// let faint = Reading { text: "7", confidence: 0.05 };
    /// let reasons = [Verdict::reject("confidence is below 0.1")];
    /// assert_eq!(testing::judge(blank, [faint]), reasons);
    ///
    /// let unsure = Check::new().confidence(|r: &Reading| r.confidence, 0.8).or_retry(|r| r.text);
    /// let reading = Reading { text: "1", confidence: 0.5 };
    /// assert_eq!(testing::judge_seen(unsure, Seen::after(0, 1), [reading]), [Verdict::Retry("1")]);
    /// ```
    #[must_use]
    pub fn confidence<N: Into<f64>>(self, of: impl Fn(&T) -> N + Send + 'static, threshold: f64) -> Self {
        self.rule(format!("confidence is below {threshold}"), move |value| of(value).into() >= threshold)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_at_least_the_threshold_fits_and_nothing_else(confidence in any::<f64>(), threshold in 0.0..=1.0) {
            let check = Check::new().confidence(|c: &f64| *c, threshold);
            prop_assert_eq!(check.violations(&confidence).is_empty(), confidence >= threshold);
        }
    }

    #[test]
    fn not_a_number_is_not_confident() {
        assert_eq!(Check::new().confidence(|c: &f32| *c, 0.0).violations(&f32::NAN).len(), 1);
    }
}
