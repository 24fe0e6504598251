//! The only source of time. Everything that needs a time or a timer takes a [`Clock`].

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A moment on a run's clock: the time since the run started.
pub type Moment = Duration;

/// A run's clock. Clones share their zero.
#[derive(Clone, Debug)]
pub struct Clock {
    zero: Arc<Zero>,
}

#[derive(Debug)]
struct Zero {
    instant: Instant,
    wall: SystemTime,
}

impl Clock {
    /// A clock that starts now and runs with the machine's.
    #[allow(clippy::disallowed_methods, reason = "this is the one file that asks the operating system")]
    pub fn real() -> Self {
        Self { zero: Arc::new(Zero { instant: Instant::now(), wall: SystemTime::now() }) }
    }

    /// Time since the clock started.
    pub fn now(&self) -> Moment {
        self.zero.instant.elapsed()
    }

    /// Microseconds since the clock started.
    pub fn now_us(&self) -> u64 {
        self.now().as_micros() as u64
    }

    /// When the clock started, in milliseconds of Unix time.
    pub fn started_unix_ms(&self) -> u64 {
        self.zero.wall.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
    }

    /// Waits until `moment`; returns at once if it has passed.
    pub async fn sleep_until(&self, moment: Moment) {
        tokio::time::sleep(moment.saturating_sub(self.now())).await;
    }
}
