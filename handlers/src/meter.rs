//! What a handler says, counted; and what it does good and what harm, where the truth is known.

use std::{
    fmt::{self, Display, Formatter},
    sync::Arc,
};

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;

use crate::{
    Confusion, Handler, Said, Seen, Verdict,
    confusion::{Change, Truth},
};

/// Counts the verdicts of one handler. Cheap to clone: clones count together, so that one is kept to be read, during a run too.
///
/// What is said of a record that is withdrawn later stays counted: it was said. Latency and cost are not here: a handler has no clock. The runtime measures them.
///
/// ```
/// use eddyline_handlers::{Check, Handler, Meter, MeterReport, testing};
///
/// // (what was read, what is true)
/// let meter = Meter::new("digits").with_truth(|&(read, truth): &(i32, i32)| Some(read == truth));
/// let handler = Check::new()
///     .range("digit", |&(read, _): &(i32, i32)| read, 0..10)
///     .or_replace(|&(read, truth)| (read % 10, truth))
///     .metered(&meter);
/// testing::judge(handler, [(3, 3), (7, 1), (12, 2), (15, 8)]);
///
/// let counts = meter.read();
/// assert_eq!((counts.seen, counts.fired(), counts.corrected), (4, 2, 2));
/// let truth = counts.truth.unwrap();
/// assert_eq!((truth.repaired(), truth.harmed(), truth.undetected()), (1, 0, 1));
///
/// println!("{}", MeterReport::of([counts])); // a table; as JSON it is `Serialize`
/// ```
pub struct Meter<T> {
    counts: Arc<Mutex<Counts>>,
    truth: Option<Truth<T>>,
}

/// What a meter has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// The handler's name.
    pub handler: String,
    /// Whether it only was in shadow: what it said was not obeyed.
    pub shadow: bool,
    /// Values judged.
    pub seen: u64,
    /// `Pass`.
    pub passed: u64,
    /// `Abstain`.
    pub abstained: u64,
    /// `Replace` and `Split`.
    pub corrected: u64,
    /// `Retry`, `NextAlternative`, `Revise`, `Append`.
    pub returned: u64,
    /// `Reject`.
    pub rejected: u64,
    /// `Drop`, `Delete` and a `Split` into nothing.
    pub dropped: u64,
    /// `Escalate`.
    pub escalated: u64,
    /// Sent another way.
    pub rerouted: u64,
    /// Values that it did not judge in time ([`Handler::within`]); they are also counted as what was said of them then.
    pub late: u64,
    /// Values on which it panicked in shadow; elsewhere a panic is a fault of the record, and is not counted here.
    pub panicked: u64,
    /// What it did to right and to wrong values, where the meter has a truth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truth: Option<Confusion>,
}

impl Counts {
    /// Verdicts that changed what became of a record.
    pub fn fired(&self) -> u64 {
        self.corrected + self.returned + self.rejected + self.dropped + self.escalated + self.rerouted
    }

    fn count(&mut self, change: Change) {
        self.seen += 1;
        *match change.said {
            Said::Passed => &mut self.passed,
            Said::Abstained => &mut self.abstained,
            Said::Corrected => &mut self.corrected,
            Said::Returned => &mut self.returned,
            Said::Rejected => &mut self.rejected,
            Said::Dropped => &mut self.dropped,
            Said::Escalated => &mut self.escalated,
            Said::Rerouted => &mut self.rerouted,
        } += 1;
        if let Some(truth) = &mut self.truth {
            truth.count(change);
        }
    }
}

impl<T> Meter<T> {
    /// A meter for the handler `name`, that knows no truth.
    pub fn new(name: impl Into<String>) -> Self {
        let counts = Counts { handler: name.into(), ..Counts::default() };
        Self { counts: Arc::new(Mutex::new(counts)), truth: None }
    }

    /// Also counts good and harm. `truth` says whether a value is right, `None` where it does not know: most often it looks up what
    /// is true of the record by a key that the value has. It is asked for every value, and again for what a value is corrected to.
    #[must_use]
    pub fn with_truth(self, truth: impl Fn(&T) -> Option<bool> + Send + Sync + 'static) -> Self {
        self.counts.lock().truth = Some(Confusion::default());
        Self { truth: Some(Arc::new(truth)), ..self }
    }

    /// What has been counted so far.
    pub fn read(&self) -> Counts {
        self.counts.lock().clone()
    }

    pub(crate) fn panicked(&self) {
        self.counts.lock().panicked += 1;
    }

    pub(crate) fn in_shadow(&self) {
        self.counts.lock().shadow = true;
    }

    fn count<R>(&self, value: &T, verdict: &Verdict<T, R>, late: u64) {
        let truth = |value: &T| self.truth.as_ref().and_then(|truth| truth(value));
        // The author's truth is asked before the lock is taken: it may panic.
        let change = Change::of(value, verdict, truth);
        let mut counts = self.counts.lock();
        counts.count(change);
        counts.late += late;
    }
}

impl<T> Clone for Meter<T> {
    fn clone(&self) -> Self {
        Self { counts: Arc::clone(&self.counts), truth: self.truth.clone() }
    }
}

/// A handler whose verdicts are counted; see [`Handler::metered`].
pub struct Metered<T, H> {
    handler: H,
    meter: Meter<T>,
}

impl<T, H> Metered<T, H> {
    pub(crate) fn new(handler: H, meter: Meter<T>) -> Self {
        Self { handler, meter }
    }

    pub(crate) fn meter(&self) -> &Meter<T> {
        &self.meter
    }
}

impl<T: 'static, H: Handler<T>> Handler<T> for Metered<T, H> {
    type Retry = H::Retry;

    fn judge(&mut self, value: &T, seen: &Seen) -> Verdict<T, H::Retry> {
        let late = self.handler.late();
        let verdict = self.handler.judge(value, seen);
        self.meter.count(value, &verdict, self.handler.late() - late);
        verdict
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

/// The counts of several handlers: a table by `Display`, JSON by `Serialize`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct MeterReport {
    handlers: Vec<Counts>,
}

impl MeterReport {
    /// A report of these counts.
    pub fn of(counts: impl IntoIterator<Item = Counts>) -> Self {
        Self { handlers: counts.into_iter().collect() }
    }
}

impl Display for MeterReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "| handler | seen | fired | corrected | returned | rejected | dropped | escalated | rerouted | abstained "
        )?;
        let late = self.handlers.iter().any(|c| c.late > 0);
        let columns = if late { 13 } else { 12 };
        let head = if late { "| late " } else { "" };
        writeln!(f, "{head}| repaired | harmed | undetected |\n|---|{}", "--:|".repeat(columns))?;
        for c in &self.handlers {
            let shadow = if c.shadow { " (shadow)" } else { "" };
            write!(f, "| {}{shadow} | {} | {} | {} ", c.handler, c.seen, c.fired(), c.corrected)?;
            write!(f, "| {} | {} | {} ", c.returned, c.rejected, c.dropped)?;
            write!(f, "| {} | {} | {} ", c.escalated, c.rerouted, c.abstained)?;
            if late {
                write!(f, "| {} ", c.late)?;
            }
            match c.truth {
                Some(t) => writeln!(f, "| {} | {} | {} |", t.repaired(), t.harmed(), t.undetected())?,
                None => writeln!(f, "| | | |")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Check, by, testing};

    proptest! {
        #[test]
        fn a_meter_counts_every_verdict_once_and_changes_none(values in prop::collection::vec(0..8_u8, 0..60)) {
            let handler = || by(|n: &u8, _: &Seen| -> Verdict<u8, u8> {
                match n {
                    0 => Verdict::Pass,
                    1 => Verdict::Replace(9),
                    2 => Verdict::Split(vec![]),
                    3 => Verdict::Split(vec![1, 2]),
                    4 => Verdict::Retry(0),
                    5 => Verdict::reject("five"),
                    6 => Verdict::drop("six"),
                    _ => Verdict::Abstain,
                }
            });
            let meter = Meter::new("all");
            let verdicts = testing::judge(handler().metered(&meter), values.clone());
            prop_assert_eq!(verdicts, testing::judge(handler(), values.clone()));
            let of = |kinds: &[u8]| values.iter().filter(|n| kinds.contains(n)).count() as u64;
            let c = meter.read();
            prop_assert_eq!((c.seen, c.passed, c.corrected), (values.len() as u64, of(&[0]), of(&[1, 3])));
            prop_assert_eq!((c.returned, c.rejected, c.dropped), (of(&[4]), of(&[5]), of(&[2, 6])));
            prop_assert_eq!(c.fired() + c.passed + c.abstained, c.seen);
        }
    }

    #[test]
    fn what_truth_does_not_know_is_seen_and_not_compared() {
        let meter = Meter::new("odd").with_truth(|n: &i32| (*n >= 0).then_some(n % 2 == 1));
        let handler = Check::new().holds("odd", |n: &i32| n.rem_euclid(2) == 1).or_replace(|n| n - 1);
        testing::judge(handler.metered(&meter), [1, 2, 0, -2]);
        let counts = meter.read();
        let truth = counts.truth.unwrap();
        assert_eq!((counts.seen, counts.corrected), (4, 3));
        // 2 becomes 1; 0 becomes -1, of which nothing is known, as of -2.
        assert_eq!((truth.right.all(), truth.wrong.all(), truth.repaired()), (1, 1, 1));
    }

    #[test]
    fn a_report_is_a_table_and_json() {
        let meter = Meter::new("even");
        testing::judge(
            Check::new().holds("even", |n: &u32| n.is_multiple_of(2)).or_reject().metered(&meter),
            [1, 2],
        );
        let report = MeterReport::of([meter.read()]);
        let table = report.to_string();
        assert!(table.ends_with("| even | 2 | 1 | 0 | 0 | 1 | 0 | 0 | 0 | 1 | | | |\n"), "{table}");
        let columns: Vec<_> = table.lines().map(|line| line.matches('|').count()).collect();
        assert_eq!(columns, [14, 14, 14]);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json[0]["handler"], &json[0]["rejected"]), (&"even".into(), &1.into()));
        assert!(json[0].get("truth").is_none());
    }
}
