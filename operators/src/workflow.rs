//! The beginning and the end: a workflow is made, written, and run.

use eddyline_planner::Plan;
use eddyline_runtime::{
    graph::Graph,
    observer::{Observer, Unwatched},
    run::{self, RunError, RunOptions},
};

use crate::{report::Report, stream::GraphHandle};

/// A workflow: make one, bring records in with [`source`](Self::source) and its kin, lead them to sinks, [`run`](Self::run) it.
#[derive(Debug)]
pub struct Workflow {
    pub(crate) graph: GraphHandle,
    options: RunOptions,
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
