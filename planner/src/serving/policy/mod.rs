//! Which items are launched when, and where: one file per policy. A policy is told the time, waits for nothing and calls nobody,
//! so that it decides alike for devices that compute and for devices that are made up.

mod fixed;
mod parity;
mod reactive;
mod reservation;

pub use fixed::FixedBatch;
pub use parity::Parity;
pub use reactive::{EarliestDeadline, Reactive};
pub use reservation::Reservation;

use serde::Serialize;

use super::state::{Path, State};

/// Decides for one queue at a time.
pub trait Policy {
    /// What it is called.
    fn name(&self) -> &'static str;

    /// Whether its launches are promised every stage at once. Otherwise items queue up before each stage, and the policy is asked again
    /// whenever a device falls idle.
    fn books_ahead(&self) -> bool {
        true
    }

    /// What to do with what waits in a queue that is not empty. Asked again until it says [`Decision::Wait`].
    fn decide(&mut self, now: u64, state: &State, queue: usize) -> Decision;
}

/// What a policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "most decisions are launches, and a box would cost each an allocation"
)]
pub enum Decision {
    /// The first so many of the queue go this way.
    Launch {
        /// How many.
        items: usize,
        /// Where and when.
        path: Path,
    },
    /// The first of the queue is declined.
    Decline(Cause),
    /// Nothing now. Look again at this moment, or when something has changed.
    Wait(Option<u64>),
}

/// Why an item was declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// No device would be done with it in time.
    Busy,
    /// It would be done in time alone, but not in a batch as planned, without which the plan's rate cannot be kept.
    SmallBatch,
    /// Its deadline passed while it waited.
    Expired,
    /// What it was on failed, and there is no time for another try.
    Failed,
}

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 4] = [Cause::Busy, Cause::SmallBatch, Cause::Expired, Cause::Failed];

    /// What a person reads.
    pub fn words(self) -> &'static str {
        match self {
            Cause::Busy => "no device in time",
            Cause::SmallBatch => "batch too small",
            Cause::Expired => "expired while waiting",
            Cause::Failed => "device failed",
        }
    }
}
