//! # Serving: who runs what when, and what comes of a plan
//!
//! A plan assumes that items come in step; they do not. Here is what decides as they come, and what a plan then keeps of its promise.
//! Times are whole µs. Nothing reads a clock: the time is an argument, so the same policy decides for real devices and on a virtual clock.
//!
//! * [`Fleet`]: devices, links and the ways of each model through them, made of a [`Plan`](crate::Plan).
//! * [`Lane`]: what is promised on a device or on one direction of a link.
//! * [`State`]: what waits and what is promised; [`State::probe`] finds a way.
//! * [`Policy`]: decides what is launched. [`Reservation`] is the default.
//! * [`Arrivals`], [`Fault`], [`Deviation`]: what comes, what goes wrong, how far devices are from their profiles.
//! * [`simulate`]: all of it on a virtual clock; [`Outcome`]: what came of it; [`Load`]: how much can be carried;
//!   [`tune`]: the plan that carries most.

mod arrivals;
mod faults;
mod fleet;
mod lane;
mod load;
mod outcome;
mod policy;
mod scenario;
mod simulation;
mod state;
mod tune;

pub use arrivals::{Arrivals, ArrivalsError, Trace};
pub use faults::{Deviation, Fault, Trouble};
pub use fleet::{Fleet, FleetDevice, FleetError, FleetModel, FleetPipeline, FleetStage};
pub use lane::{Lane, Slot, earliest_on_both};
pub use load::{Load, Sustained};
pub use outcome::{BIN_US, ModelOutcome, Outcome, Ran};
pub use policy::{Cause, Decision, EarliestDeadline, FixedBatch, Parity, Policy, Reactive, Reservation};
pub use scenario::{Scenario, Stream};
pub use simulation::simulate;
pub use state::{Ask, Hop, Path, Send, Spot, State, Waiting};
pub use tune::{Setting, TuneError, Tuned, Tuning, tune};
