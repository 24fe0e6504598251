//! # Eddyline's planner: numbers in, a plan out
//!
//! Pure arithmetic over what there is and what is asked for. No async, no randomness but from a seed, no I/O but loading files, and no clock
//! but the limit of a solver. All times are microseconds (`f64`) and say so in their names.
//!
//! # Layout
//!
//! What is known:
//!
//! * [`Cluster`]: the [`Device`]s there are, grouped by [`DeviceKind`]; all devices of a kind are equally fast. A
//!   [`Fraction`] is a part of one; a [`Link`] is what the devices of a server share.
//! * [`Profile`]: how long each block of a model takes, per device kind and batch, and what a cut after it costs;
//!   [`Tables`] reads a folder of them.
//! * [`Demand`] and [`Slo`]: how many items per second are asked for, and how soon each must be done.
//!
//! What runs:
//!
//! * [`Plan`]: every model has one or more [`Pipeline`]s, a pipeline has [`Stage`]s one behind the other, and a stage is a
//!   run of blocks on a [`Pool`] of devices of one kind, by name. [`forecast`](Plan::latency_us): what it promises.
//!
//! How a plan is found:
//!
//! * [`Problem`]: the question, with its [`Rules`] and its [`Objective`].
//! * [`plan`]: of the templates (`template.rs`) and what devices are worth (`prices.rs`) tables are made (`division.rs`), which mostly
//!   prove the best; where they do not, a program (`formulation.rs`) that a [`Solver`] solves. The [`Answer`] is a
//!   [`Placement`] with its [`Proof`]. Who wants to know how far it is gives [`Limits`] a [`Watcher`]. [`greedy`] needs no solver; [`no_partition`] and [`chain_pairs`] are what pooled
//!   plans are compared with.
//! * [`Placement::check`] verifies without a solver, [`Placement::deploy`] names devices, [`Plan::to_toml`] writes the
//!   result for others to load, [`explain`] says what holds a
//!   placement back, [`replan`] follows a present one, and [`changes`] are the difference of two.
//!
//! What comes of it:
//!
//! * [`serving`]: who runs what when, and what a plan keeps of its promise, on a virtual clock.
//!
//! A [`Plan`] is written by hand as TOML, or made from a placement; either way it is checked whole before anybody sees it, so
//! that whoever holds one need not check it again. The format is shown at [`Plan::from_toml`].
//!
//! # Features
//!
//! Neither is on by default: `highs` is the solver that proves, and compiles HiGHS, which needs CMake, a C++ compiler and
//! libclang; `microlp` is a solver in Rust for small questions.
//!
//! ```
//! use std::collections::BTreeMap;
//! use eddyline_planner::*;
//!
//! let block = |us: f64| Latency::Table(vec![us, 1.8 * us]);
//! let latency_us = BTreeMap::from([
//!     ("fast".to_owned(), vec![block(500.0), block(500.0)]),
//!     ("slow".to_owned(), vec![block(800.0), block(4000.0)]),
//! ]);
//! let reader = Profile::new("reader", latency_us, vec![40_000])?;
//! let kind = |name| DeviceKind::new(name, EngineKind::Throttled);
//! let cluster = Cluster::of([(kind("fast"), 2), (kind("slow"), 3)])?;
//! let demand = Demand::new("reader", 0.0).within(Slo { latency_us: 4_000.0, margin: 0.4 });
//! let profiles = BTreeMap::from([("reader".to_owned(), reader)]);
//! let problem = Problem::new(cluster, &profiles, vec![demand], Rules::normal(), Objective::MaxMin)?;
//!
//! // With the feature `highs`: `plan(&problem, &Highs, &Limits::default())?`, which also gives a bound.
//! let answer = greedy(&problem)?;
//! assert_eq!(answer.placement.check(&problem), Ok(()));
//! let plan = answer.placement.deploy(&problem)?;
//! assert_eq!(plan.pipelines()[0].model, "reader");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod baseline;
mod change;
mod check;
mod cluster;
mod demand;
mod deploy;
mod division;
#[cfg(test)]
mod exhaustive;
mod explain;
mod file;
mod forecast;
mod formulation;
mod fraction;
mod greedy;
mod grid;
#[cfg(feature = "highs")]
mod highs;
mod infeasible;
mod microlp;
#[cfg(test)]
mod objectives;
mod pipeline;
mod placement;
mod plan;
mod prices;
mod problem;
mod profile;
#[cfg(test)]
mod random;
mod replan;
mod search;
pub mod serving;
mod solver;
mod tables;
mod template;
mod write;
mod yields;

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
pub use microlp::Microlp;
pub use pipeline::{Blocks, Pipeline, Pool, Stage};
pub use placement::{ModelPlacement, Placement, Route, RouteStage};
pub use plan::{Plan, PlanError};
pub use problem::{Objective, Packing, Problem, ProblemError, Rules};
pub use profile::{Latency, Line, Profile, ProfileError};
pub use replan::{Replanned, replan};
pub use search::{Answer, PlanningError, Proof, plan, with_arrivals};
pub use solver::{Limits, Program, Progress, SolveError, Solved, Solver, Status, Watcher};
pub use tables::{Tables, TablesError};
