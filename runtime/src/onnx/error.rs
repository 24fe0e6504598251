//! What can be wrong with a model: its file, or what an author says of it.

use thiserror::Error;

/// A model file that could not be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// It could not be read.
    #[error(
        "cannot read the model file `{file}`: {error}; check the path, relative paths start where the program does"
    )]
    Read {
        /// The file.
        file: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// It is something else, or damaged.
    #[error(
        "`{file}` is no usable ONNX model: {why}; export it again, or fetch it again if it was downloaded"
    )]
    NotOnnx {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// It uses an operator that the engine does not have.
    #[error(
        "`{file}` uses the operator `{operator}` (node `{node}`), which the cpu engine does not have; export the model without it, or simplify it first"
    )]
    Operator {
        /// The file.
        file: String,
        /// The operator.
        operator: String,
        /// The node.
        node: String,
    },
    /// Shapes inside that cannot be worked out.
    #[error(
        "`{file}` cannot be cut: {why}; give the shape of its items, or simplify the model and export it again"
    )]
    Shapes {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// More blocks than there are places to cut.
    #[error("`{file}` cannot be cut into {wanted} blocks: it can be cut at {places} places; ask for fewer")]
    Cuts {
        /// The file.
        file: String,
        /// Places where it can be cut.
        places: usize,
        /// Blocks asked for.
        wanted: usize,
    },
    /// A segment that cannot be.
    #[error("`{file}` has no segment from {from} to {to}: cut it where `eddyline inspect` shows a cut")]
    Segment {
        /// The file.
        file: String,
        /// Layers before it.
        from: usize,
        /// Layers up to its end.
        to: usize,
    },
    /// A tensor of a type that we do not have.
    #[error(
        "`{file}`: {what} `{name}` holds {found}; only f32, i32, i64, u8 and bool can be passed: export it with one of these"
    )]
    Type {
        /// The file.
        file: String,
        /// `input` or `output`.
        what: &'static str,
        /// The tensor.
        name: String,
        /// Its type.
        found: String,
    },
    /// A tensor without a shape.
    #[error(
        "`{file}`: {what} `{name}` has no tensor shape; run shape inference on the model and export it again"
    )]
    NoShape {
        /// The file.
        file: String,
        /// `input` or `output`.
        what: &'static str,
        /// The tensor.
        name: String,
    },
    /// An input that has no dimension for a batch.
    #[error(
        "`{file}`: input {input} has no dimensions; its first dimension must be the batch: export it as [N]"
    )]
    NoBatch {
        /// The file.
        file: String,
        /// The input.
        input: String,
    },
    /// A batch that is built in.
    #[error(
        "`{file}`: input {input} has a built-in batch of {batch}; export the model with a dynamic first dimension, or with 1"
    )]
    FixedBatch {
        /// The file.
        file: String,
        /// The input.
        input: String,
        /// The batch.
        batch: usize,
    },
}

/// Something that an author declares of a model and that its file does not allow.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ModelMismatch {
    /// No tensor of that name.
    #[error("model `{model}` ({file}) has no {what} named `{name}`; it has {has}")]
    NoSuchTensor {
        /// The model.
        model: String,
        /// Its file.
        file: String,
        /// `input` or `output`.
        what: &'static str,
        /// What was named.
        name: String,
        /// What there is.
        has: String,
    },
    /// Another type or shape.
    #[error(
        "model `{model}` ({file}): its {what} is {spec}, but {declared} are declared; one item is {item}"
    )]
    Differs {
        /// The model.
        model: String,
        /// Its file.
        file: String,
        /// `input` or `output`.
        what: &'static str,
        /// What was declared.
        declared: String,
        /// What it is.
        spec: String,
        /// What one item is.
        item: String,
    },
    /// An input that nobody gives.
    #[error("model `{model}` ({file}) also needs the input {spec}; give it in the pre-step")]
    NotFed {
        /// The model.
        model: String,
        /// Its file.
        file: String,
        /// The input.
        spec: String,
    },
}
