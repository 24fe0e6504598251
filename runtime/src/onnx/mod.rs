//! ONNX models: read, checked before any engine sees them, and cut into stages. Nothing here runs one.
//!
//! * [`OnnxModel`]: a file with what it takes and gives, held against what an author says of it.
//! * [`Cuts`]: where a model can be cut, what crosses there, and its segments as models of their own.
//! * `split`: a segment at the level of the file; `glue`: layers that are not parted.
//! * `graph`: what must hold of a graph; `wire`, `weights` and `sizes`: what a file may claim.
//! * [`blocks`]: of many cuts those that make pieces of about equal time and send few bytes.
//! * [`cost`]: about how long a layer takes, before anything was measured.

pub mod blocks;
pub mod cost;
mod cuts;
mod error;
mod glue;
mod graph;
mod model;
mod sizes;
mod split;
mod weights;
mod wire;

pub use cuts::{Boundary, Cuts, Layer};
pub use error::{ModelMismatch, OnnxError};
#[cfg(test)]
pub(crate) use model::tests;
pub use model::{Declared, OnnxModel};
