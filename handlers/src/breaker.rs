//! A circuit breaker: a handler that does too much, or harm, is not obeyed for a while.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;

use crate::{
    Handler, Seen, Verdict,
    confusion::{Change, Truth},
};

/// Limits on what a handler may say over a window of records, and what becomes of it beyond them (M. Nygard, *Release It!*,
/// 2nd edition 2018, chapter 5).
///
/// ```text
///            a limit is exceeded                     after so many records
///   closed ───────────────────────▶ open ──────────────────────────────────▶ half-open
///     ▲     obeyed                    ▲   abstains, is not asked                  │  abstains, is asked
///     │                               └── a limit is exceeded ────────────────────┤
///     └─────────────────────────────────── a whole window within the limits ──────┘
/// ```
///
/// The window is the last so many records that the handler judged; limits hold once it is full. The record with which a limit is
/// exceeded is left alone already. While it is half-open the handler is tried as in shadow, so that the trial harms nobody.
/// Without a limit it never opens. Cheap to clone: clones are one breaker, so keep one to read its state.
///
/// ```
/// use eddyline_handlers::{Breaker, BreakerState, Check, Handler, Verdict, testing};
///
/// let breaker = Breaker::over(4).corrected_at_most(0.5).half_open_after(100);
/// let handler = Check::new().range("count", |n: &i32| *n, ..10).or_replace(|_| 9).breaker(&breaker);
/// let verdicts = testing::judge(handler, [3, 12, 12, 3, 12, 12]);
/// assert_eq!(verdicts[1], Verdict::Replace(9));
/// assert_eq!(verdicts[4..], [Verdict::Abstain, Verdict::Abstain]);
/// assert_eq!(breaker.state(), BreakerState::Open);
/// assert_eq!(breaker.last_trip().as_deref(), Some("corrected 3 of 4 records, more than 0.5"));
/// ```
pub struct Breaker<T> {
    limits: Limits,
    truth: Option<Truth<T>>,
    circuit: Arc<Mutex<Circuit>>,
}

/// Whether a handler is obeyed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// It is.
    #[default]
    Closed,
    /// It is not, and not asked.
    Open,
    /// It is not, but asked: after a window within the limits it is obeyed again.
    HalfOpen,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    window: usize,
    corrected: Option<f64>,
    taken_out: Option<f64>,
    late: Option<f64>,
    half_open_after: Option<u64>,
}

#[derive(Debug, Default)]
struct Circuit {
    state: BreakerState,
    window: VecDeque<Tally>,
    /// Of the records of the window together.
    sum: Tally,
    /// Records since it opened.
    waited: u64,
    trips: u64,
    last_trip: Option<String>,
}

/// What was said of one record, or of those of a window.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    corrected: usize,
    taken_out: usize,
    late: usize,
    repaired: usize,
    harmed: usize,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.corrected += other.corrected;
        self.taken_out += other.taken_out;
        self.late += other.late;
        self.repaired += other.repaired;
        self.harmed += other.harmed;
    }

    fn take(&mut self, other: Tally) {
        self.corrected -= other.corrected;
        self.taken_out -= other.taken_out;
        self.late -= other.late;
        self.repaired -= other.repaired;
        self.harmed -= other.harmed;
    }
}

impl<T> Breaker<T> {
    /// Limits over the last `records` that the handler judged; at least one.
    pub fn over(records: usize) -> Self {
        let window = records.max(1);
        let limits = Limits { window, corrected: None, taken_out: None, late: None, half_open_after: None };
        Self { limits, truth: None, circuit: Arc::default() }
    }

    /// It opens where more than this share (0 to 1) of the window is corrected, here or further up.
    #[must_use]
    pub fn corrected_at_most(mut self, share: f64) -> Self {
        self.limits.corrected = Some(share);
        self
    }

    /// It opens where more than this share (0 to 1) of the window is rejected or dropped.
    #[must_use]
    pub fn taken_out_at_most(mut self, share: f64) -> Self {
        self.limits.taken_out = Some(share);
        self
    }

    /// It opens where the handler was late for more than this share (0 to 1) of the window. See [`Handler::within`].
    #[must_use]
    pub fn late_at_most(mut self, share: f64) -> Self {
        self.limits.late = Some(share);
        self
    }

    /// It opens where more records of the window were right and are wrong now than the other way round. `truth` says whether a
    /// value is right, `None` where it does not know.
    #[must_use]
    pub fn harmless(self, truth: impl Fn(&T) -> Option<bool> + Send + Sync + 'static) -> Self {
        Self { truth: Some(Arc::new(truth)), ..self }
    }

    /// After so many records it is tried again. Without this it stays open until [`reset`](Breaker::reset).
    #[must_use]
    pub fn half_open_after(mut self, records: u64) -> Self {
        self.limits.half_open_after = Some(records);
        self
    }

    /// Whether the handler is obeyed.
    pub fn state(&self) -> BreakerState {
        self.circuit.lock().state
    }

    /// How often it has opened.
    pub fn trips(&self) -> u64 {
        self.circuit.lock().trips
    }

    /// Why it opened last; none if it never did.
    pub fn last_trip(&self) -> Option<String> {
        self.circuit.lock().last_trip.clone()
    }

    /// Closes it, with an empty window.
    pub fn reset(&self) {
        self.circuit.lock().turn(BreakerState::Closed);
    }

    /// Whether the handler is to be asked about the next record.
    fn asks(&self) -> bool {
        self.circuit.lock().asks(&self.limits)
    }

    /// Whether the handler is obeyed that has said this, in time or not.
    fn obeys<R>(&self, value: &T, verdict: &Verdict<T, R>, is_late: bool) -> bool {
        // The author's truth is asked before the lock is taken: it may panic.
        let change = Change::of(value, verdict, |value| self.truth.as_ref().and_then(|truth| truth(value)));
        let tally = Tally {
            corrected: change.said.changes().into(),
            taken_out: change.said.takes_out().into(),
            late: is_late.into(),
            repaired: change.repaired().into(),
            harmed: change.harmed().into(),
        };
        self.circuit.lock().judged(tally, &self.limits)
    }
}

impl Circuit {
    fn turn(&mut self, state: BreakerState) {
        self.state = state;
        self.window.clear();
        self.sum = Tally::default();
        self.waited = 0;
    }

    fn asks(&mut self, limits: &Limits) -> bool {
        if self.state == BreakerState::Open {
            self.waited += 1;
            if limits.half_open_after.is_none_or(|records| self.waited <= records) {
                return false;
            }
            self.turn(BreakerState::HalfOpen);
        }
        true
    }

    fn judged(&mut self, tally: Tally, limits: &Limits) -> bool {
        let was = self.state;
        if was == BreakerState::Open {
            return false; // Another handler with this breaker has opened it meanwhile.
        }
        self.window.push_back(tally);
        self.sum.add(tally);
        if self.window.len() > limits.window
            && let Some(oldest) = self.window.pop_front()
        {
            self.sum.take(oldest);
        }
        if self.window.len() == limits.window {
            if let Some(reason) = limits.exceeded_by(&self.sum) {
                self.turn(BreakerState::Open);
                self.trips += 1;
                self.last_trip = Some(reason);
            } else if was == BreakerState::HalfOpen {
                self.turn(BreakerState::Closed);
            }
        }
        was == BreakerState::Closed && self.state == BreakerState::Closed
    }
}

impl Limits {
    /// Which of them a full window exceeds, in words.
    fn exceeded_by(&self, sum: &Tally) -> Option<String> {
        let over = |what: &str, records: usize, share: Option<f64>| {
            let share = share.filter(|share| records as f64 > share * self.window as f64)?;
            Some(format!("{what} {records} of {} records, more than {share}", self.window))
        };
        let Tally { repaired, harmed, .. } = sum;
        over("corrected", sum.corrected, self.corrected)
            .or_else(|| over("took out", sum.taken_out, self.taken_out))
            .or_else(|| over("late for", sum.late, self.late))
            .or_else(|| {
                let harm = || format!("of {} records harmed {harmed} and repaired {repaired}", self.window);
                (harmed > repaired).then(harm)
            })
    }
}

impl<T> Clone for Breaker<T> {
    fn clone(&self) -> Self {
        Self { limits: self.limits, truth: self.truth.clone(), circuit: Arc::clone(&self.circuit) }
    }
}

/// A handler with a [`Breaker`]; see [`Handler::breaker`].
pub struct Guarded<T, H> {
    handler: H,
    breaker: Breaker<T>,
}

impl<T, H> Guarded<T, H> {
    pub(crate) fn new(handler: H, breaker: Breaker<T>) -> Self {
        Self { handler, breaker }
    }
}

impl<T: 'static, H: Handler<T>> Handler<T> for Guarded<T, H> {
    type Retry = H::Retry;

    fn judge(&mut self, value: &T, seen: &Seen) -> Verdict<T, H::Retry> {
        if !self.breaker.asks() {
            return Verdict::Abstain;
        }
        let late = self.handler.late();
        let verdict = self.handler.judge(value, seen);
        if self.breaker.obeys(value, &verdict, self.handler.late() > late) {
            verdict
        } else {
            Verdict::Abstain
        }
    }

    fn late(&self) -> u64 {
        self.handler.late()
    }

    fn state(&self) -> Option<Value> {
        self.handler.state()
    }

    fn restore(&mut self, state: Value) -> Result<(), serde_json::Error> {
        self.handler.restore(state)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Meter, NoLoop, by, testing::judge};

    /// Corrects 1, rejects 2, abstains from 0.
    fn handler() -> impl Handler<u8, Retry = NoLoop> {
        by(|n: &u8, _: &Seen| match n {
            0 => Verdict::Abstain,
            1 => Verdict::Replace(9),
            _ => Verdict::reject("two"),
        })
    }

    proptest! {
        #[test]
        fn while_it_never_opens_every_verdict_is_obeyed(values in prop::collection::vec(0..3_u8, 0..40)) {
            let breaker = Breaker::over(5).corrected_at_most(1.0).taken_out_at_most(1.0);
            prop_assert_eq!(judge(handler().breaker(&breaker), values.clone()), judge(handler(), values));
            prop_assert_eq!((breaker.state(), breaker.trips()), (BreakerState::Closed, 0));
        }

        #[test]
        fn it_opens_at_the_first_full_window_above_a_limit_and_obeys_nothing_from_there(
            values in prop::collection::vec(0..3_u8, 0..60), window in 1..8_usize, most in 0..8_usize,
        ) {
            let share = most as f64 / window as f64;
            let breaker = Breaker::over(window).corrected_at_most(share);
            let verdicts = judge(handler().breaker(&breaker), values.clone());
            let above = values.windows(window).position(|w| w.iter().filter(|n| **n == 1).count() > most);
            let opens = above.map_or(values.len(), |at| at + window - 1);
            let (obeyed, left) = verdicts.split_at(opens);
            prop_assert_eq!(obeyed, judge(handler(), values[..opens].to_vec()));
            prop_assert!(left.iter().all(|verdict| *verdict == Verdict::Abstain));
            prop_assert_eq!(breaker.trips(), u64::from(above.is_some()));
        }
    }

    #[test]
    fn half_open_it_is_tried_without_effect_and_closes_after_a_good_window() {
        let breaker = Breaker::over(2).taken_out_at_most(0.5).half_open_after(3);
        let mut handler = handler().breaker(&breaker);
        let mut say = |n: u8| (handler.judge(&n, &Seen::default()), breaker.state());
        use BreakerState::*;
        assert_eq!(say(2), (Verdict::reject("two"), Closed));
        assert_eq!(say(2), (Verdict::Abstain, Open));
        for _ in 0..3 {
            assert_eq!(say(2), (Verdict::Abstain, Open), "not asked");
        }
        assert_eq!(say(2), (Verdict::Abstain, HalfOpen), "asked, and not obeyed");
        assert_eq!(say(2), (Verdict::Abstain, Open), "a bad window opens it again");
        for _ in 0..3 {
            say(0);
        }
        assert_eq!(say(2), (Verdict::Abstain, HalfOpen));
        assert_eq!(say(0), (Verdict::Abstain, Closed), "a good one closes it");
        assert_eq!(say(2), (Verdict::reject("two"), Closed));
        assert_eq!(breaker.trips(), 2);
        assert_eq!(breaker.last_trip().as_deref(), Some("took out 2 of 2 records, more than 0.5"));
    }

    #[test]
    fn it_can_be_closed_by_hand() {
        let breaker = Breaker::over(1).corrected_at_most(0.0);
        let mut handler = handler().breaker(&breaker);
        handler.judge(&1, &Seen::default());
        assert_eq!(breaker.state(), BreakerState::Open);
        breaker.reset();
        assert_eq!(handler.judge(&2, &Seen::default()), Verdict::reject("two"));
    }

    /// A signal with its truth, of which every eighth point has an outlier; the handler smooths with the median of three, which
    /// mends outliers and flattens every peak of the signal itself.
    #[test]
    fn a_handler_that_harms_is_found_by_the_meters_and_tripped_by_its_breaker() {
        type Point = ([i32; 3], i32);
        let truth = |i: i32| if i % 2 == 0 { 10 } else { 0 };
        let read = |i: i32| truth(i) + if i % 8 == 3 { 90 } else { 0 };
        let points = || (1..=200).map(move |i| ([read(i - 1), read(i), read(i + 1)], truth(i)));
        let right = |(read, truth): &Point| Some(read[1] == *truth);
        let median = || {
            by(|&(mut read, truth): &Point, _: &Seen| -> Verdict<Point> {
                let at = read[1];
                read.sort_unstable();
                if read[1] == at { Verdict::Abstain } else { Verdict::Replace(([read[1]; 3], truth)) }
            })
        };

        let alone = Meter::new("median").with_truth(right);
        judge(median().metered(&alone), points());
        let counts = alone.read().truth.unwrap();
        assert!(counts.harmed() > 4 * counts.repaired().max(1), "{counts}");

        let (breaker, obeyed) = (Breaker::over(20).harmless(right), Meter::new("median").with_truth(right));
        judge(median().breaker(&breaker).metered(&obeyed), points());
        let counts = obeyed.read().truth.unwrap();
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(counts.harmed() < 20, "{counts}");
        assert!(breaker.last_trip().unwrap().starts_with("of 20 records harmed "));

        let shadow = Meter::new("median").with_truth(right);
        let said = judge(median().shadow(&shadow), points());
        assert!(said.iter().all(|verdict| *verdict == Verdict::Abstain));
        assert_eq!(shadow.read().truth, alone.read().truth);
    }
}
