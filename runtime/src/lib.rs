//! The runtime of Eddyline: records, edges, loops, actors, engines and stages. It knows no operator by name.
//!
//! # Map
//!
//! | to learn about | read |
//! |---|---|
//! | what travels | [`data`], [`record`], [`batch`] |
//! | the graph while it is written | [`graph`], [`ports`] |
//! | how it moves | [`operator`] (a step), `team` and `helm` (who steps whom), [`edge`] (credit), [`loops`] (permits), [`scope`] (scatter and gather) |
//! | what may still come | [`epochs`] (completion, order), [`times`] (event time) |
//! | how records change | [`origin`] (versions, withdrawals, finality), [`linear`] (where none are needed), [`at_rest`] (rows that are told) |
//! | how records end | [`fate`], [`fault`], [`guard`] |
//! | where failed ones are kept, and come back from | [`quarantine`] |
//! | what people are asked | [`people`] |
//! | where handlers can be put while it runs | [`slots`] |
//! | a whole run | [`run()`](run::run), [`schedule`] (who steps when) |
//! | models | [`tensor`], [`engine`] (on a device), [`serve`] (dispatcher, devices' threads, reservations) |
//! | what happened to a record | [`lineage`] |
//! | who looks at it | [`observer`], [`view`], [`latency`] |
//! | time | [`clock`] |
//!
//! # What is absent, and why
//!
//! No operator by name: operators are written against [`operator::Operator`] in another crate. No downcast on the data
//! path: types are erased by closing over them. No time but through [`clock`]. No device but through [`engine`]. No queue
//! whose content is not counted.

mod actor;
pub mod at_rest;
pub mod batch;
pub mod clock;
pub mod data;
pub mod edge;
pub mod engine;
pub mod epochs;
pub mod fate;
pub mod fault;
pub mod feed;
mod filing;
pub mod graph;
pub mod guard;
mod helm;
pub mod ids;
pub mod image;
pub mod in_place;
#[cfg(test)]
mod interleavings;
pub mod latency;
mod leisure;
pub mod lineage;
pub mod linear;
pub mod loops;
mod node;
pub mod observer;
pub mod onnx;
pub mod operator;
pub mod origin;
pub mod people;
mod picture;
mod points;
pub mod ports;
pub mod quarantine;
pub mod record;
mod regions;
#[doc(hidden)]
pub mod rules;
pub mod run;
pub mod schedule;
pub mod scope;
pub mod serve;
mod shared;
pub mod slots;
mod sync;
mod team;
pub mod tensor;
pub mod times;
pub mod view;
pub mod waker;

pub use data::Data;
