//! What each handler of a run said, what it cost, and, where the truth is known, what it was good for: as a table and as JSON.

use std::fmt::{self, Display, Formatter};

use eddyline_handlers::{Confusion, Counts};
use eddyline_runtime::{latency::LatencyView, view::VerdictCounts};
use serde::Serialize;

use crate::report::Report;

/// One handler of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HandlerRow {
    /// Its name.
    pub handler: String,
    /// What it said.
    pub verdicts: VerdictCounts,
    /// How long it took for a value: one of sixteen is timed, and the first of each batch.
    pub latency: Option<LatencyView>,
    /// Time spent in its steps, µs: the handler's own code and what is done with its verdicts.
    pub busy_us: u64,
    /// What it did to right and to wrong values, where [`with_truth`](HandlerTable::with_truth) says.
    pub truth: Option<Confusion>,
}

/// The handlers of a run: a table by `Display`, JSON by `Serialize`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct HandlerTable {
    rows: Vec<HandlerRow>,
}

impl Report {
    /// What each handler said, how long it took, and what it cost.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// use eddyline::handlers::Meter;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// // (what was read, what is true)
    /// let meter = Meter::new("digit").with_truth(|&(read, truth): &(i32, i32)| Some(read == truth));
    /// let handler = Check::new()
    ///     .range("digit", |&(read, _): &(i32, i32)| read, 0..10)
    ///     .or_replace(|&(read, truth)| (read % 10, truth))
    ///     .metered(&meter);
    /// let flow = Workflow::new("digits");
    /// flow.source("read", [(3, 3), (7, 1), (12, 2), (15, 8)]).handle_with("digit", handler).ignore();
    /// let report = flow.run().await?;
    ///
    /// let handlers = report.handlers().with_truth([meter.read()]);
    /// let digit = handlers.get("digit").unwrap();
    /// assert_eq!((digit.verdicts.replaced, digit.truth.unwrap().repaired()), (2, 1));
    /// assert!(digit.latency.unwrap().p99_ns > 0);
    /// println!("{handlers}"); // a table
    /// println!("{}", serde_json::to_string(&handlers).unwrap());
    /// # Ok(()) }
    /// ```
    pub fn handlers(&self) -> HandlerTable {
        let nodes = self.graph().nodes.iter().zip(&self.snapshot().nodes);
        let rows = nodes.filter_map(|(node, totals)| {
            let (handler, latency) = (node.name.clone(), totals.latency);
            Some(HandlerRow {
                handler,
                verdicts: totals.verdicts?,
                latency,
                busy_us: totals.busy_us,
                truth: None,
            })
        });
        HandlerTable { rows: rows.collect() }
    }
}

impl HandlerTable {
    /// The same with what meters know of the truth, by their handlers' names.
    #[must_use]
    pub fn with_truth(mut self, meters: impl IntoIterator<Item = Counts>) -> Self {
        for counts in meters {
            for row in self.rows.iter_mut().filter(|row| row.handler == counts.handler) {
                row.truth = counts.truth;
            }
        }
        self
    }

    /// The handlers, in the order in which they were written.
    pub fn rows(&self) -> &[HandlerRow] {
        &self.rows
    }

    /// The handler with this name.
    pub fn get(&self, handler: &str) -> Option<&HandlerRow> {
        self.rows.iter().find(|row| row.handler == handler)
    }
}

impl Display for HandlerTable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "| handler | judged | corrected | sent back | rejected | dropped | escalated | rerouted | left "
        )?;
        write!(f, "| mean, µs | p99, µs | cost, ms ")?;
        let truth = self.rows.iter().any(|row| row.truth.is_some());
        let late = self.rows.iter().any(|row| row.verdicts.late > 0);
        if late {
            write!(f, "| late ")?;
        }
        if truth {
            write!(f, "| repaired | harmed | undetected ")?;
        }
        writeln!(f, "|\n|---|{}", "--:|".repeat(11 + usize::from(late) + if truth { 3 } else { 0 }))?;
        for row in &self.rows {
            let v = &row.verdicts;
            let back = v.retried + v.next_alternative + v.revised + v.appended;
            let (corrected, dropped) = (v.replaced + v.split, v.dropped + v.deleted);
            write!(
                f,
                "| {} | {} | {corrected} | {back} | {} | {dropped} ",
                row.handler, v.judged, v.rejected
            )?;
            write!(f, "| {} | {} | {} ", v.escalated, v.rerouted, v.passed + v.abstained)?;
            match &row.latency {
                Some(took) => {
                    write!(f, "| {:.2} | {:.2} ", took.mean_ns as f64 / 1e3, took.p99_ns as f64 / 1e3)?
                }
                None => write!(f, "| | ")?,
            }
            write!(f, "| {:.1} ", row.busy_us as f64 / 1e3)?;
            if late {
                write!(f, "| {} ", v.late)?;
            }
            match &row.truth {
                Some(t) => write!(f, "| {} | {} | {} ", t.repaired(), t.harmed(), t.undetected())?,
                None if truth => write!(f, "| | | ")?,
                None => {}
            }
            writeln!(f, "|")?;
        }
        Ok(())
    }
}
