//! What a run leaves behind: outputs, balances, faults.

use std::{fmt, sync::Arc};

use eddyline_runtime::{
    Data,
    fault::Fault,
    lineage::{Histories, Lineage},
    record::RecordId,
    run::{LineageOff, Summary},
    view::{BalanceView, DeviceView, GraphView, MemoryView, ProblemView, RunState, Snapshot, VerdictCounts},
};
use parking_lot::{Mutex, MutexGuard};

use crate::stream::GraphHandle;

/// The end of a stream.
#[derive(Debug)]
pub struct Sink {
    pub(crate) graph: GraphHandle,
    pub(crate) node: u32,
}

impl Sink {
    /// Gives the sink a name, for the page, for faults and for reports.
    pub fn named(self, name: &str) -> Self {
        self.graph.rename(self.node, name);
        self
    }
}

/// What a [`collect`](crate::Stream::collect) will have kept when the run is over.
#[must_use = "give it to `report.take(…)` after the run, or end the stream with `.ignore()`"]
#[derive(Debug)]
pub struct Output<T> {
    pub(crate) sink: Sink,
    pub(crate) collected: Collected<T>,
}

/// What a sink has kept so far.
#[derive(Debug)]
pub(crate) struct Collected<T>(Arc<Mutex<Kept<T>>>);

/// Values, and which records they were, where lineage is kept.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    pub values: Vec<T>,
    pub records: Vec<RecordId>,
}

impl<T> Default for Collected<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Kept { values: Vec::new(), records: Vec::new() })))
    }
}

impl<T> Clone for Collected<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Collected<T> {
    pub fn lock(&self) -> MutexGuard<'_, Kept<T>> {
        self.0.lock()
    }
}

impl<T: Data> Output<T> {
    /// Gives the sink a name, for the page, for faults and for reports.
    pub fn named(self, name: &str) -> Self {
        Self { sink: self.sink.named(name), collected: self.collected }
    }
}

/// What a run leaves behind.
///
/// Printed, it shows how the run ended, both balances, what each handler said and what went wrong.
#[derive(Clone, Debug)]
pub struct Report {
    summary: Summary,
}

impl Report {
    pub(crate) fn new(summary: Summary) -> Self {
        Self { summary }
    }

    /// The values that reached `output`, in order of arrival.
    pub fn take<T: Data>(&mut self, output: Output<T>) -> Vec<T> {
        std::mem::take(&mut output.collected.lock().values)
    }

    /// The values that reached `output`, each with the record that it was: ask [`lineage`](Self::lineage) about that.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("roots").lineage(Lineage::Ids);
    /// let roots = flow
    ///     .source("numbers", [4.0, -1.0, 9.0])
    ///     .handle("sign", |x: &f64| if *x < 0.0 { Verdict::reject("negative") } else { Verdict::Pass })
    ///     .map(|x: f64| x.sqrt())
    ///     .named("root")
    ///     .collect();
    /// let mut report = flow.run().await?;
    /// for (value, record) in report.take_traced(roots)? {
    ///     println!("{value}, because\n{}", report.lineage().of(record));
    /// }
    /// let history = report.lineage().of(report.faults()[0].record);
    /// assert_eq!(history.operators(), ["numbers", "sign"]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The workflow ran without [`lineage`](crate::Workflow::lineage), so that nobody knows which record a value was.
    pub fn take_traced<T: Data>(&mut self, output: Output<T>) -> Result<Vec<(T, RecordId)>, LineageOff> {
        if self.lineage().lineage() == Lineage::Off {
            return Err(LineageOff { workflow: self.graph().workflow.clone() });
        }
        let mut collected = output.collected.lock();
        let Kept { values, records } = &mut *collected;
        Ok(std::mem::take(values).into_iter().zip(std::mem::take(records)).collect())
    }

    /// What happened to each record and what it was made of, as far as the workflow was told to
    /// [write it down](crate::Workflow::lineage): `println!("{}", report.lineage().of(record))`.
    pub fn lineage(&self) -> &Histories {
        &self.summary.lineage
    }

    /// The quarantine: every record that failed or was rejected, with its reason, oldest first. Of more than 100,000 the rest
    /// is only counted.
    pub fn faults(&self) -> &[Fault] {
        self.summary.faults.faults()
    }

    /// Every record: created = ended + in flight.
    pub fn records(&self) -> &BalanceView {
        &self.summary.last.balances.records
    }

    /// Every source record, with one fate each.
    pub fn roots(&self) -> &BalanceView {
        &self.summary.last.balances.roots
    }

    /// Whether both balances hold.
    pub fn is_balanced(&self) -> bool {
        self.records().holds && self.roots().holds
    }

    /// What the handler with this name said.
    pub fn verdicts(&self, handler: &str) -> Option<VerdictCounts> {
        let node = self.graph().nodes.iter().position(|node| node.name == handler)?;
        self.snapshot().nodes.get(node)?.verdicts
    }

    /// Items that the model with this name was given.
    pub fn model_items(&self, model: &str) -> Option<u64> {
        let node = self.graph().nodes.iter().position(|node| node.name == model)?;
        self.snapshot().nodes.get(node)?.model.as_ref().map(|model| model.items)
    }

    /// How the run stood at its end: per operator, edge, loop and device.
    pub fn snapshot(&self) -> &Snapshot {
        &self.summary.last
    }

    /// The graph that ran.
    pub fn graph(&self) -> &GraphView {
        &self.summary.graph
    }

    /// Things worth looking at, such as a handler that never fired.
    pub fn hints(&self) -> &[ProblemView] {
        &self.summary.last.hints
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.snapshot();
        let how = match last.state {
            RunState::Finished => "finished",
            RunState::Stopped => "stopped",
            _ => "ended",
        };
        writeln!(f, "{} {how} after {:.2} s", self.graph().workflow, last.at_us as f64 / 1e6)?;
        write_balance(f, "records", self.records())?;
        write_balance(f, "roots", self.roots())?;
        for (node, totals) in self.graph().nodes.iter().zip(&last.nodes) {
            if let Some(v) = totals.verdicts {
                write!(
                    f,
                    "  handler {}: judged {}, passed {}, replaced {}, sent back {}, rejected {}, dropped {}",
                    node.name,
                    v.judged,
                    v.passed,
                    v.replaced,
                    v.retried + v.next_alternative,
                    v.rejected,
                    v.dropped
                )?;
                for (name, n) in [
                    ("split", v.split),
                    ("revised", v.revised),
                    ("added", v.appended),
                    ("deleted", v.deleted),
                    ("escalated", v.escalated),
                    ("rerouted", v.rerouted),
                    ("abstained", v.abstained),
                    ("late", v.late),
                ] {
                    if n > 0 {
                        write!(f, ", {name} {n}")?;
                    }
                }
                if let Some(took) = totals.latency {
                    write!(f, ", {:.1} µs each", took.mean_ns as f64 / 1e3)?;
                }
                writeln!(f)?;
            }
        }
        for (node, totals) in self.graph().nodes.iter().zip(&last.nodes) {
            for fate in ["filtered", "dropped"] {
                if let Some(n) = totals.ended.get(fate) {
                    writeln!(f, "  {}: {n} {fate}", node.name)?;
                }
            }
        }
        for device in last.devices.iter().filter(|device| device.memory.weight_bytes > 0) {
            write_device(f, device)?;
        }
        let reasons = &last.faults.by_reason;
        for reason in reasons.iter().take(SHOWN_REASONS) {
            let name = self.graph().nodes.get(reason.node as usize).map_or("", |node| node.name.as_str());
            let (n, kind, why, first) = (reason.count, reason.kind, &reason.reason, &reason.first);
            writeln!(f, "  {n} × {kind} at {name}: {why} (first: {first})")?;
        }
        if reasons.len() > SHOWN_REASONS {
            writeln!(f, "  … and more reasons; `report.faults()` has each record")?;
        }
        if let Some(store) = &last.faults.store {
            writeln!(f, "  quarantine: {} faults of run {} are in {}", store.written, store.run, store.path)?;
        }
        for hint in self.hints() {
            writeln!(f, "  note: {}\n        {}", hint.what, hint.advice)?;
        }
        Ok(())
    }
}

/// Reasons that a printed report shows.
const SHOWN_REASONS: usize = 8;

fn write_device(f: &mut fmt::Formatter<'_>, device: &DeviceView) -> fmt::Result {
    let MemoryView { weight_bytes, call_bytes, limit_bytes } = device.memory;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let (name, launches, items) = (&device.name, device.launches, device.items);
    let busy_s = device.busy_us as f64 / 1e6;
    write!(f, "  device {name}: {items} items in {launches} launches, busy for {busy_s:.2} s; ")?;
    write!(f, "memory: models {:.1} MB", mb(weight_bytes))?;
    if call_bytes > 0 {
        write!(f, ", a launch at most {:.1} MB", mb(call_bytes))?;
    }
    match limit_bytes {
        Some(limit) => writeln!(f, ", of {:.1} MB", mb(limit)),
        None => writeln!(f),
    }
}

fn write_balance(f: &mut fmt::Formatter<'_>, what: &str, balance: &BalanceView) -> fmt::Result {
    let ends: Vec<String> = balance.ended.iter().map(|(fate, n)| format!("{n} {fate}")).collect();
    let mark = if balance.holds { "✓" } else { "✗ does not hold:" };
    writeln!(
        f,
        "  balance {mark} {} {what} = {} + {} in flight",
        balance.created,
        if ends.is_empty() { "0".to_owned() } else { ends.join(" + ") },
        balance.in_flight
    )
}
