//! `timestamps`: a source's records have times of their own.

use std::time::Duration;

use eddyline_runtime::{Data, graph::Place, times::Timestamps};

use crate::stream::Stream;

impl<T: Data> Stream<T> {
    /// Says when each record of a source happened, in milliseconds since any beginning (the Unix epoch, usually; negative
    /// times are fine). `time` is called once for each record; a panic in it is a fault of that record.
    ///
    /// Records may come out of order by up to `lateness` (whole milliseconds): one that is older than the newest so far by more
    /// than that is *late*, and a fault of kind [`Late`](crate::FaultKind::Late). In exchange, joins and windows know when
    /// nothing can come any more that is older than the newest less the lateness, and give the same results whoever is quicker.
    ///
    /// A record made of several has the latest of their times; one that is sent back to a feedback keeps the time with which it
    /// first came there. Anywhere but straight behind a source, and twice behind one, this is an error of the workflow: all
    /// clones of the source's stream share it.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("readings");
    /// // The third is 600 ms older than the second: too late.
    /// let readings = [(1_000, 20.5), (1_800, 20.7), (1_200, 20.6), (1_500, 20.9)];
    /// let kept = flow.source("sensor", readings).timestamps(|r| r.0, Duration::from_millis(500)).collect();
    /// let mut report = flow.run().await?;
    /// assert_eq!(report.faults()[0].kind.name(), "late");
    /// assert_eq!(report.take(kept), [(1_000, 20.5), (1_800, 20.7), (1_500, 20.9)]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn timestamps(self, time: impl FnMut(&T) -> i64 + Send + 'static, lateness: Duration) -> Stream<T> {
        self.graph.give_times(&self.port, Timestamps::new(time, lateness), Place::here());
        self
    }
}
