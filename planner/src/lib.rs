//! # Eddyline's planner: numbers in, a plan out
//!
//! Pure arithmetic over what there is and what is asked for. No clock, no async, no randomness, and no I/O but loading
//! files. All times are microseconds (`f64`) and say so in their names.
//!
//! # Layout
//!
//! * [`Cluster`]: the [`Device`]s there are, grouped by [`DeviceKind`]; all devices of a kind are equally fast.
//! * [`Profile`]: how long each block of a model takes, per device kind and batch, and what a cut after it costs.
//! * [`Demand`] and [`Slo`]: how many items per second are asked for, and how soon each must be done.
//! * [`Plan`]: the answer. Every model has one or more [`Pipeline`]s, a pipeline has [`Stage`]s one behind the other, and
//!   a stage is a run of blocks on a [`Pool`] of devices of one kind.
//! * [`forecast`](Plan::latency_us): what a plan promises, and where it falls short of a demand.
//!
//! A plan is written by hand as TOML, or made by a planner; either way it is checked whole before anybody sees it, so
//! that whoever holds a [`Plan`] need not check it again. The format is shown at [`Plan::from_toml`].

mod cluster;
mod demand;
mod file;
mod forecast;
mod pipeline;
mod plan;
mod profile;

pub use cluster::{Cluster, ClusterError, Device, DeviceKind, EngineKind};
pub use demand::{Demand, Slo};
pub use file::LoadError;
pub use forecast::Shortfall;
pub use pipeline::{Blocks, Pipeline, Pool, Stage};
pub use plan::{Plan, PlanError};
pub use profile::{Latency, Line, Profile, ProfileError};
