//! Looks at the run four times a second for everyone who reads, and not at all while nobody does.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::{MissedTickBehavior, interval},
};

use crate::{api::ApiError, present::PresentRun};

/// Least time between two looks.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// Most pages open at the same time.
pub(crate) const MOST_READERS: usize = 64;

/// One look at the run, as it is sent. A graph belongs to every frame, so that a reader who skipped one misses nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) graph: Arc<str>,
    pub(crate) snapshot: Arc<str>,
}

/// Hands out the frames.
#[derive(Clone)]
pub(crate) struct Ticker {
    frames: watch::Receiver<Option<Frame>>,
    seats: Arc<Semaphore>,
    arrived: Arc<Notify>,
}

/// One open page. Dropping it gives the seat back.
pub(crate) struct Reader {
    frames: watch::Receiver<Option<Frame>>,
    _seat: OwnedSemaphorePermit,
}

impl Ticker {
    /// Starts the ticker; it ends when `present` is gone.
    pub(crate) fn start(present: PresentRun) -> Self {
        let (sender, frames) = watch::channel(None);
        let ticker = Self { frames, seats: Arc::new(Semaphore::new(MOST_READERS)), arrived: Arc::default() };
        let (ticking, gone) = (ticker.clone(), present.clone().gone());
        tokio::spawn(async move {
            tokio::select! {
                () = gone => {}
                () = ticking.tick(&sender, &present) => {}
            }
        });
        ticker
    }

    async fn tick(&self, frames: &watch::Sender<Option<Frame>>, present: &PresentRun) {
        let mut interval = interval(TICK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.readers() == 0 {
                self.arrived.notified().await;
                continue;
            }
            interval.tick().await;
            // Before the first run there is no frame; a look that failed leaves the last one.
            let before = frames.borrow().as_ref().map(|frame| frame.graph.clone());
            if let Ok(frame) = look(present, before).await {
                frames.send_replace(Some(frame));
            }
        }
    }

    /// How many pages are open.
    pub(crate) fn readers(&self) -> usize {
        MOST_READERS - self.seats.available_permits()
    }

    /// A seat for one more reader.
    pub(crate) fn read(&self) -> Result<Reader, ApiError> {
        let seat = self.seats.clone().try_acquire_owned().map_err(|_| ApiError::TooManyReaders)?;
        let mut frames = self.frames.clone();
        frames.mark_unchanged();
        self.arrived.notify_one();
        Ok(Reader { frames, _seat: seat })
    }
}

impl Reader {
    /// The latest frame, once there is one that this reader has not seen; `None` when there will be no more.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            self.frames.changed().await.ok()?;
            if let Some(frame) = self.frames.borrow_and_update().clone() {
                return Some(frame);
            }
        }
    }
}

async fn look(present: &PresentRun, before: Option<Arc<str>>) -> Result<Frame, ApiError> {
    let present = present.get()?;
    let graph = present.graph().await?;
    // The same text is the same allocation, so that comparing two frames' graphs costs nothing.
    let graph = before.filter(|before| **before == *graph).unwrap_or_else(|| graph.into());
    Ok(Frame { graph, snapshot: present.snapshot().await?.into() })
}
