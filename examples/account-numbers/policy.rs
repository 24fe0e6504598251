//! The handlers: when to look again, how to correct, what not to let through.

use eddyline::{
    check_digit::{luhn_remainder, luhn_substitute},
    prelude::*,
};
use serde::Deserialize;

use crate::number::{Number, PLACES};

/// The constants of the handlers, chosen on the validation pictures by `train.py`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Policy {
    /// Standard deviation of the pictures' noise, on their scale of 0 to 16.
    pub noise_sigma: f32,
    /// A digit less certain than this is read again, where the check digit fits…
    pub retry_below_valid: f32,
    /// …and where it does not.
    pub retry_below_invalid: f32,
    /// A number whose joint log probability is below this is rejected.
    pub reject_below: f32,
    /// No probability counts as less than this.
    pub probability_floor: f32,
}

impl Policy {
    pub fn load() -> serde_json::Result<Self> {
        serde_json::from_str(include_str!("policy.json"))
    }

    /// Sends a number back with its uncertain digits marked for the heavy model.
    pub fn look_again(self, number: &Number, seen: &Seen) -> Verdict<Number, Number> {
        let fits = luhn_remainder(&number.read) == 0;
        let enough = if fits { self.retry_below_valid } else { self.retry_below_invalid };
        let confidence = |place: usize| number.thoughts[place][usize::from(number.read[place])];
        let uncertain: Vec<usize> = (0..PLACES).filter(|&place| confidence(place) < enough).collect();
        if seen.rounds_left == 0 || uncertain.is_empty() {
            return Verdict::Pass;
        }
        Verdict::Retry(Number { wanted: uncertain, heavily: true, ..number.clone() })
    }

    /// Where the check digit does not fit: of the ten digits that would make it fit, takes the most probable.
    pub fn correct(self, number: &Number) -> Verdict<Number> {
        if luhn_remainder(&number.read) == 0 {
            return Verdict::Pass;
        }
        let gain = |place: usize| {
            self.log_probability(number, place, luhn_substitute(&number.read, place))
                - self.log_probability(number, place, number.read[place])
        };
        // The first of equals: `max_by` takes the last.
        let Some(place) = (0..PLACES).rev().max_by(|&a, &b| gain(a).total_cmp(&gain(b))) else {
            return Verdict::Pass;
        };
        let mut corrected = number.clone();
        corrected.read[place] = luhn_substitute(&number.read, place);
        Verdict::Replace(corrected)
    }

    /// Does not let a number through that is improbable as a whole.
    pub fn reject(self, number: &Number) -> Verdict<Number> {
        let joint: f32 =
            (0..PLACES).map(|place| self.log_probability(number, place, number.read[place])).sum();
        if joint < self.reject_below { Verdict::reject("improbable as a whole") } else { Verdict::Pass }
    }

    fn log_probability(self, number: &Number, place: usize, digit: u8) -> f32 {
        number.thoughts[place][usize::from(digit)].max(self.probability_floor).ln()
    }
}
