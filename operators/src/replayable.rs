//! `replayable`: a source keeps what it brought until its record has ended, and takes it back from the quarantine.

use std::{collections::VecDeque, fmt, sync::Arc};

use eddyline_runtime::{
    Data,
    feed::Read,
    graph::Place,
    quarantine::{Beside, ReplayError, Replays},
    waker::Waker,
};
use parking_lot::Mutex;

use crate::stream::Stream;

impl<T: Data> Stream<T> {
    /// Keeps what a source brought until its record has ended, so that a fault of it is filed with that value too, whatever
    /// operators had made of it, and can be replayed from here: in the present run, while the source has not come to its end, on
    /// the page or over HTTP; or in another one, with `flow.replay(name, &faults.at_source(source))`.
    ///
    /// It costs a clone of each value. In the present run a replay is a new record of the source, behind those that
    /// it has brought; where the source has `.timestamps` it may be late. Of a record made of several source records, each comes
    /// back that was kept. Anywhere but straight behind a source this is an error of the workflow.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("lengths");
    /// let all = flow
    ///     .source("words", ["one", "three"].map(String::from))
    ///     .replayable()
    ///     .map(|word| word.len())
    ///     .handle("short", |n| if *n > 3 { Verdict::reject("long") } else { Verdict::Pass })
    ///     .collect();
    /// let mut report = flow.run().await?;
    /// assert_eq!(report.take(all), [3]);
    /// let fault = &report.faults()[0];
    /// assert_eq!((&fault.value, &fault.source_value), (&Some(5.into()), &Some("three".into())));
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn replayable(self) -> Stream<T> {
        let node = self.port.node();
        match &self.returning {
            Some(returning) => {
                if !std::mem::replace(&mut returning.state.lock().asked_for, true) {
                    self.graph.open_replays(node, Arc::clone(returning) as Arc<dyn Replays>);
                    self.graph.note(node, "replayable");
                }
            }
            None => self.graph.error(
                Some(node),
                Some(Place::here()),
                "`.replayable()` stands behind something that is no source",
                "put it straight behind the source: only what comes from there can come again",
            ),
        }
        self
    }
}

/// Replays that wait to come in at a source, at most.
const MOST: usize = 10_000;

/// A record that comes back.
pub(crate) struct Back<T> {
    pub read: Read<T>,
    pub beside: Beside,
}

/// What comes back to a source from the quarantine.
pub(crate) struct Returning<T> {
    name: String,
    state: Mutex<State<T>>,
}

struct State<T> {
    asked_for: bool,
    closed: bool,
    waker: Option<Arc<Waker>>,
    /// What a replay begins with.
    first: Option<Box<dyn Iterator<Item = Back<T>> + Send>>,
    waiting: VecDeque<Back<T>>,
}

impl<T> fmt::Debug for Returning<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what comes back to `{}`", self.name)
    }
}

impl<T: Data> Returning<T> {
    pub fn new(name: &str) -> Arc<Self> {
        let state =
            State { asked_for: false, closed: true, waker: None, first: None, waiting: VecDeque::new() };
        Arc::new(Self { name: name.to_owned(), state: Mutex::new(state) })
    }

    /// Has these come in.
    #[cfg(feature = "quarantine")]
    pub fn begin_with(&self, first: Box<dyn Iterator<Item = Back<T>> + Send>) {
        self.state.lock().first = Some(first);
    }

    /// The run begins.
    pub fn open(&self, waker: Arc<Waker>) {
        let mut state = self.state.lock();
        (state.waker, state.closed) = (Some(waker), false);
    }

    /// Whether what the source brought is to be kept.
    pub fn is_asked_for(&self) -> bool {
        self.state.lock().asked_for
    }

    /// What waits, so many at most.
    pub fn take(&self, most: usize) -> Vec<Back<T>> {
        let mut state = self.state.lock();
        if let Some(first) = &mut state.first {
            let some: Vec<_> = first.take(most).collect();
            if some.len() < most {
                state.first = None;
            }
            return some;
        }
        let some = state.waiting.len().min(most);
        state.waiting.drain(..some).collect()
    }

    /// Whether anything waits.
    pub fn is_waiting(&self) -> bool {
        let state = self.state.lock();
        state.first.is_some() || !state.waiting.is_empty()
    }

    /// Nothing more may come back; what has comes in.
    pub fn close(&self) {
        let mut state = self.state.lock();
        (state.closed, state.first) = (true, None);
    }

    /// The same, with what waits still.
    pub fn close_and_take(&self) -> Vec<Back<T>> {
        let mut state = self.state.lock();
        (state.closed, state.first) = (true, None);
        state.waiting.drain(..).collect()
    }
}

impl<T: Data> Replays for Returning<T> {
    fn replay(&self, json: &str, beside: &mut dyn FnMut() -> Beside) -> Result<(), ReplayError> {
        let value: T = serde_json::from_str(json).map_err(|error| ReplayError::OtherType {
            source_name: self.name.clone(),
            why: error.to_string(),
        })?;
        let mut state = self.state.lock();
        if state.closed {
            return Err(ReplayError::AtItsEnd(self.name.clone()));
        }
        if state.waiting.len() >= MOST {
            return Err(ReplayError::TooMany(MOST));
        }
        state.waiting.push_back(Back { read: Ok(value), beside: beside() });
        if let Some(waker) = &state.waker {
            waker.wake();
        }
        Ok(())
    }
}
