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

mod baseline;
mod change;
mod check;
mod cluster;
mod demand;
mod deploy;
#[cfg(test)]
mod exhaustive;
mod explain;
mod file;
mod forecast;
mod formulation;
mod fraction;
mod greedy;
#[cfg(feature = "highs")]
mod highs;
mod infeasible;
#[cfg(any(feature = "microlp", test))]
mod microlp;
mod pipeline;
mod placement;
mod plan;
mod problem;
mod profile;
#[cfg(test)]
mod random;
mod replan;
mod search;
mod solver;
mod tables;
mod template;

pub use baseline::{chain_pairs, no_partition};
pub use change::{PoolChange, changes, moved};
pub use check::Violation;
pub use cluster::{Cluster, ClusterError, Device, DeviceKind, EngineKind, Link};
pub use demand::{Demand, DemandError, Slo};
pub use deploy::DeployError;
pub use explain::{Explanation, Gain, Tight, explain};
pub use file::LoadError;
pub use forecast::Shortfall;
pub use fraction::{Fraction, FractionError};
pub use greedy::greedy;
#[cfg(feature = "highs")]
pub use highs::Highs;
pub use infeasible::Infeasible;
#[cfg(any(feature = "microlp", test))]
pub use microlp::Microlp;
pub use pipeline::{Blocks, Pipeline, Pool, Stage};
pub use placement::{ModelPlacement, Placement, Route, RouteStage};
pub use plan::{Plan, PlanError};
pub use problem::{Objective, Packing, Problem, ProblemError, Rules};
pub use profile::{Latency, Line, Profile, ProfileError};
pub use replan::{Replanned, replan};
pub use search::{Answer, PlanningError, Proof, plan, with_arrivals};
pub use solver::{Limits, Program, SolveError, Solved, Solver, Status};
pub use tables::{Tables, TablesError};
