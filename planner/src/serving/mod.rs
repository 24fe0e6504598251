//! # Serving: who runs what when, and what comes of a plan
//!
//! A plan assumes that items come in step; they do not. Here is what decides as they come, and what a plan then keeps of its promise.
//! Times are whole µs. Nothing reads a clock: the time is an argument, so that a policy can decide for real devices as it does here on a
//! virtual clock. The runtime's dispatcher has rules of its own so far.
//!
//! * [`Fleet`]: devices, links and the ways of each model through them, made of a [`Plan`](crate::Plan).
//! * [`Lane`]: what is promised on a device or on one direction of a link.
//! * [`State`]: what waits and what is promised; [`State::probe`] finds a way.
//! * [`Policy`]: decides what is launched. [`Reservation`] is the default.
//! * [`Arrivals`], [`Fault`], [`Deviation`]: what comes, what goes wrong, how far devices are from their profiles.
//! * [`simulate`]: all of it on a virtual clock; [`Outcome`]: what came of it; [`Load`]: how much can be carried;
//!   [`tune`]: the plan that carries most.
//!
//! Two devices of 10 ms carry 200 items a second, and a little less where these come as they like:
//!
//! ```
//! use std::collections::BTreeMap;
//! use eddyline_planner::{Plan, serving::*};
//!
//! let plan = Plan::from_toml(
//!     r#"
//!     kind.gpu = { engine = "throttled", devices = 2 }
//!     profile.reader = { latency_us.gpu = { fixed = 8000, per_item = 2000 } }
//!     model.reader = { batch = 1, pool = ["gpu-1", "gpu-2"] }
//!     "#,
//!     "plan.toml",
//! )?;
//! let slo_us = BTreeMap::from([("reader".to_owned(), 100_000.0)]);
//! let fleet = Fleet::new(&plan, &slo_us)?;
//! let at = |rate| {
//!     let scenario = Scenario::new(&[rate], Arrivals::Poisson, 20.0);
//!     simulate(&fleet, &mut Reservation::default(), &scenario, 1).attainment()
//! };
//! assert!(at(150.0) > 0.99);
//! assert!(at(300.0) < 0.70); // what cannot be in time is declined at once, two thirds are done
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
