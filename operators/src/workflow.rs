//! The beginning and the end: a workflow is made, written, and run.

use eddyline_planner::Plan;
use eddyline_runtime::{
    graph::Graph,
    lineage::Lineage,
    observer::{Observer, Unwatched},
    rules::Rules,
    run::{self, RunError, RunOptions},
    schedule::Schedule,
};

use crate::{report::Report, stream::GraphHandle};

/// A workflow: make one, bring records in with [`source`](Self::source) and its kin, lead them to sinks, [`run`](Self::run) it.
#[derive(Debug)]
pub struct Workflow {
    pub(crate) graph: GraphHandle,
    pub(crate) options: RunOptions,
}

impl Workflow {
    /// An empty workflow.
    pub fn new(name: &str) -> Self {
        Self { graph: GraphHandle(Graph::new(name)), options: RunOptions::default() }
    }

    /// Places the models on devices as `plan` says. Without a plan each model runs whole on the CPU.
    pub fn placed(mut self, plan: Plan) -> Self {
        self.options.plan = Some(plan);
        self
    }

    /// At most this many records are inside each loop; 4096 unless told otherwise.
    pub fn loop_permits(mut self, permits: usize) -> Self {
        self.options.permits = permits;
        self
    }

    /// At most this many records wait on each edge outside of the loops; 8192 unless told otherwise.
    pub fn edge_capacity(mut self, records: usize) -> Self {
        self.options.edge_capacity = records;
        self
    }

    /// A source brings no more while this many runs of its records are on their way to an operator that asks for order; 64
    /// unless told otherwise. It bounds what [`ordered`](crate::Stream::ordered) keeps.
    pub fn open_epochs(mut self, runs: usize) -> Self {
        self.options.open_epochs = runs;
        self
    }

    /// Runs the operators one after the other in an order drawn from `seed`, with small batches and some operators slow: for
    /// tests of a workflow whose result might depend on who is quicker. Without models and timers, every run of a seed is the
    /// same run.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// for seed in 0..20 {
    ///     let flow = Workflow::new("evens").seeded(seed);
    ///     let evens = flow.source("numbers", 0..10).filter(|n| n % 2 == 0).collect();
    ///     assert_eq!(flow.run().await?.take(evens), [0, 2, 4, 6, 8], "seed {seed}");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn seeded(mut self, seed: u64) -> Self {
        self.options.schedule = Schedule::Seeded(seed);
        self
    }

    /// Whether neighbouring operators share an actor, which hands records from one to the next without a message; they do unless
    /// told otherwise.
    ///
    /// Results, counts, faults and pauses are the same; it costs less than half the time. An operator that turns out to be slow
    /// (more than 0.5 µs for a record, and steps of more than 0.1 ms) gets an actor of its own by itself, so that others go on
    /// beside it. [`Stream::alone`](crate::Stream::alone) gives it one from the start: where the author's code waits for
    /// something outside, for instance.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// for fused in [true, false] {
    ///     let flow = Workflow::new("evens").fused(fused);
    ///     let evens = flow.source("numbers", 0..10).filter(|n| n % 2 == 0).map(|n| n / 2).collect();
    ///     assert_eq!(flow.run().await?.take(evens), [0, 1, 2, 3, 4]);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn fused(mut self, fused: bool) -> Self {
        self.options.fused = fused;
        self
    }

    /// Runs without the handler of this name: all passes it. Several may be named, one after the other. A name that no handler has is
    /// told when the workflow is run.
    ///
    /// What a handler is worth is what changes without it: models that remember ([`Memo`](crate::Memo)) are called again only for what
    /// does, and a [`Comparison`](crate::Comparison) names it.
    ///
    /// ```
    /// # use eddyline::{Comparison, prelude::*};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = |name: &str| {
    ///     let flow = Workflow::new(name);
    ///     let numbers = flow.source("numbers", [3_i32, -1, 4]).handle("sign", |n| match *n {
    ///         n if n < 0 => Verdict::Replace(-n),
    ///         _ => Verdict::Pass,
    ///     });
    ///     (flow, numbers.map(|n| (n.abs(), n)).collect())
    /// };
    /// let (with, pairs) = flow("with it");
    /// let before = with.run().await?.take(pairs);
    /// let (without, pairs) = flow("without it");
    /// let after = without.without("sign").run().await?.take(pairs);
    /// let comparison = Comparison::of(&before, &after, |pair| pair.0);
    /// assert_eq!(comparison.to_string().lines().next(), Some("1 of 3 changed, in 1 cell"));
    /// assert_eq!(comparison.changed[0].to_string(), "1: [1] 1 → -1");
    /// # Ok(()) }
    /// ```
    pub fn without(mut self, handler: &str) -> Self {
        self.options.without.push(handler.to_owned());
        self
    }

    /// Writes down what each record was made of and what happened to it at each operator, so that it can be asked for: by
    /// [`Report::lineage`], on the page, or under `/api/lineage/…`. Nothing is written unless asked for.
    ///
    /// What is kept is bounded: the newest 64 MiB, unless [`lineage_mib`](Self::lineage_mib) says otherwise. What happened before is
    /// forgotten, and a history says so. A record takes nothing where a batch comes as its source brought it, up to 8 bytes for
    /// each operator behind filters, and some 20 to 60 where it is made of others or judged: 64 MiB are some million records in a
    /// workflow of five operators.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("halves").lineage(Lineage::Values);
    /// let (numbers, again) = flow.source("numbers", [12]).feedback("again", Rounds::at_most(3));
    /// let odd = numbers
    ///     .handle_or_retry("odd", again, |n| if n % 2 == 0 { Verdict::Retry(n / 2) } else { Verdict::Pass })
    ///     .collect();
    /// let mut report = flow.run().await?;
    /// let (value, record) = report.take_traced(odd)?[0];
    /// let history = report.lineage().of(record);
    /// assert_eq!((value, history.rounds()), (3, 2));
    /// assert!(history.to_string().contains("odd: sent back, round 1  12 → 6"), "{history}");
    /// # Ok(()) }
    /// ```
    pub fn lineage(mut self, lineage: Lineage) -> Self {
        self.options.lineage = lineage;
        self
    }

    /// How much of the [`lineage`](Self::lineage) is kept, in MiB: 64 unless told otherwise.
    pub fn lineage_mib(mut self, mib: usize) -> Self {
        self.options.lineage_mib = mib;
        self
    }

    /// Switches rules of the runtime off, to show what they are for.
    #[doc(hidden)]
    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.options.rules = rules;
        self
    }

    /// Runs the workflow until its sources are at their end and every record has ended. Ctrl-C lets what is inside run out;
    /// a second one stops at once.
    ///
    /// # Errors
    /// Everything that is wrong with the workflow, at once, with the lines where it was written.
    pub async fn run(self) -> Result<Report, RunError> {
        self.run_with(Unwatched).await
    }

    /// Runs the workflow while `observer` looks: `flow.run_with(web_ui::on("127.0.0.1:8080"))`.
    ///
    /// # Errors
    /// As [`run`](Self::run), and where the observer cannot look (its address is in use, say).
    pub async fn run_with(self, mut observer: impl Observer) -> Result<Report, RunError> {
        run::run(self.graph.0, self.options, &mut observer).await.map(Report::new)
    }
}
