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

    /// Has joins and windows wait no longer than `after` (of real time) for a source that brings nothing: straight behind its
    /// [`timestamps`](Self::timestamps). Without this, a source that falls silent holds back the time of all that it meets, for as
    /// long as it has not ended.
    ///
    /// While it is silent, its time counts as the newest of those that it meets; where all are silent, time stands still at the newest.
    /// What is given up: when it brings something again, a record that is older than what has been let go of is too late for a window
    /// (a fault of kind [`Late`](crate::FaultKind::Late)) and misses its partners in a join. So results depend on how long sources
    /// are silent. A source that is paused, or that waits for room, is not silent.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// # use futures::stream::once;
    /// let flow = Workflow::new("doors");
    /// let (tell, told) = tokio::sync::oneshot::channel();
    /// let front = flow.source("front", [1_000, 2_000]).timestamps(|t| *t, Duration::ZERO);
    /// // Nobody comes by the back door before it is known that the first came alone.
    /// let back = flow.source_stream("back", once(async { told.await.map_or(0, |()| 2_001) }));
    /// let back = back.timestamps(|t| *t, Duration::ZERO).idle_after(Duration::from_millis(20));
    /// let mut tell = Some(tell);
    /// let met = front
    ///     .left_interval_join(back, Duration::from_millis(10), |_| 0, |_| 0)
    ///     .inspect(move |_| tell.take().into_iter().for_each(|tell| tell.send(()).unwrap_or_default()))
    ///     .collect();
    /// assert_eq!(flow.run().await?.take(met), [(1_000, None), (2_000, Some(2_001))]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn idle_after(self, after: Duration) -> Stream<T> {
        self.graph.give_idle_time(&self.port, after, Place::here());
        self
    }
}
