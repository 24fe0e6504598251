//! What tract takes on trust and a file may say wrongly: it would read beyond its data, or count for ever. Checked at each node before tract
//! works out what the node gives.

use tract_onnx::{
    prelude::*,
    tract_hir::{infer::Factoid, internal::DimLike},
};

/// Most dimensions of a tensor: working out a shape takes time by the square of them.
const MOST_DIMENSIONS: i64 = 64;
/// Most letters of a dimension that is a formula: one of its neighbours' dimensions may be twice as long.
const LONGEST_FORMULA: usize = 1000;

/// Refuses a node that tract must not see, once what it takes is known. Of a graph inside a node (`inside`) less is known before it runs.
pub fn check(graph: &InferenceModel, at: usize, inside: bool) -> TractResult<()> {
    recurrent_fits(graph, at)?;
    has_channels(graph, at, inside)?;
    norm_fits(graph, at, inside)?;
    has_numbers(graph, at)?;
    has_few_sizes(graph, at)?;
    has_single_limits(graph, at)
}

/// Refuses a recurrent layer whose weights are not as wide as its input: tract takes that on trust and would read beyond them.
fn recurrent_fits(graph: &InferenceModel, at: usize) -> TractResult<()> {
    let node = graph.node(at);
    if !matches!(&*node.op.name(), "LSTM" | "GRU" | "RNN") {
        return Ok(());
    }
    let width = |input: usize| {
        let fact = graph.outlet_fact(*node.inputs.get(input)?).ok()?;
        fact.shape.dims().nth(2)?.concretize()?.to_usize().ok()
    };
    match (width(0), width(1)) {
        (Some(input), Some(weights)) if input != weights => Err(TractError::msg(format!(
            "node `{}` ({}) takes an input of width {input}, but its weights are for {weights}",
            node.name,
            node.op.name()
        ))),
        _ => Ok(()),
    }
}

/// Refuses a layer over channels whose input has none: tract takes that on trust too.
fn has_channels(graph: &InferenceModel, at: usize, inside: bool) -> TractResult<()> {
    let node = graph.node(at);
    let name = node.op.name().to_lowercase();
    let is_over_channels =
        ["conv", "pool", "batchnorm", "instancenorm", "lrn"].iter().any(|kind| name.contains(kind));
    let given = graph.node(at).outputs.first().and_then(|output| output.fact.shape.rank().concretize());
    // What is said of the output is said of the input by tract.
    match rank(graph, at).into_iter().chain(given).min() {
        Some(rank) if is_over_channels && rank < 2 => Err(TractError::msg(format!(
            "node `{}` ({}) takes a tensor of {rank} dimensions, which has no channels",
            node.name,
            node.op.name()
        ))),
        // These read beyond it as soon as the graph around them tells how many there are.
        None if inside
            && (name.contains("batchnorm") || name.contains("pool") && !name.starts_with("global")) =>
        {
            Err(TractError::msg(format!(
                "node `{}` ({}) takes a tensor of a number of dimensions that is not known in a graph inside a node",
                node.name,
                node.op.name()
            )))
        }
        _ => Ok(()),
    }
}

/// Refuses a normalisation from a dimension that its input does not have: tract would count to it, which takes for ever.
fn norm_fits(graph: &InferenceModel, at: usize, inside: bool) -> TractResult<()> {
    let node = graph.node(at);
    if node.op.name() != "LayerNorm" {
        return Ok(());
    }
    // The operator does not say its dimension otherwise.
    let said = format!("{:?}", node.op);
    let axis =
        said.split_once("axis: ").and_then(|(_, rest)| rest.split(',').next()?.trim().parse::<i64>().ok());
    let Some(axis) = axis else { return Ok(()) };
    let rank = rank(graph, at);
    let starts = |of: String| {
        let (name, operator) = (&node.name, node.op.name());
        Err(TractError::msg(format!(
            "node `{name}` ({operator}) starts at dimension {axis} of a tensor of {of}"
        )))
    };
    match rank {
        Some(rank) if !(-rank..rank).contains(&axis) => starts(format!("{rank} dimensions")),
        None if inside && axis < 0 => {
            starts("a number of dimensions that is not known in a graph inside a node".to_owned())
        }
        _ => Ok(()),
    }
}

/// Refuses a tensor without elements where an operator reads a number: tract would read beyond it.
fn has_numbers(graph: &InferenceModel, at: usize) -> TractResult<()> {
    let node = graph.node(at);
    let name = node.op.name();
    let data = match &*name {
        "If" | "MelWeightMatrix" | "Range" => 0,
        window if window.ends_with("Window") => 0,
        "Clip" | "CumSum" | "DequantizeLinear" | "Dft" | "Dft17" | "Dropout" | "OneHot" | "Pad"
        | "QuantizeLinear" | "STFT" | "Topk" | "Trilu" => 1,
        _ => return Ok(()),
    };
    // What the graphs inside take comes behind the condition.
    let numbers = node.inputs.iter().skip(data).take(if name == "If" { 1 } else { usize::MAX });
    let is_empty = |input: &OutletId| {
        let fact = graph.outlet_fact(*input).ok();
        fact.is_some_and(|fact| {
            fact.shape
                .dims()
                .any(|dim| dim.concretize().is_some_and(|dim| dim.to_usize().is_ok_and(|len| len == 0)))
        })
    };
    match numbers.into_iter().any(is_empty) {
        true => Err(TractError::msg(format!(
            "node `{}` ({name}) takes a number from a tensor without elements",
            node.name
        ))),
        false => Ok(()),
    }
}

/// Refuses sizes of more dimensions than a tensor has: an engine makes formulas of them, many times as large.
fn has_few_sizes(graph: &InferenceModel, at: usize) -> TractResult<()> {
    let node = graph.node(at);
    let name = node.op.name();
    let data = match &*name {
        "ConstantOfShape" => 0,
        "MultiBroadcastTo" | "Pad" | "Reshape" | "Squeeze13" | "StridedSlice" | "Tile" | "Unsqueeze13" => 1,
        _ => return Ok(()),
    };
    let length =
        |input: &OutletId| graph.outlet_fact(*input).ok()?.shape.dims().next()?.concretize()?.to_i64().ok();
    // A pad has two numbers for each dimension.
    match node.inputs.iter().skip(data).filter_map(length).max() {
        Some(most) if most > 2 * MOST_DIMENSIONS => Err(TractError::msg(format!(
            "node `{}` ({name}) takes {most} numbers as its sizes, and a tensor has at most {MOST_DIMENSIONS} dimensions",
            node.name
        ))),
        _ => Ok(()),
    }
}

/// Refuses limits that are more than a number: what tract makes with them is larger than it says.
fn has_single_limits(graph: &InferenceModel, at: usize) -> TractResult<()> {
    let node = graph.node(at);
    let is_many = |input: &OutletId| {
        let fact = graph.outlet_fact(*input).ok();
        fact.is_some_and(|fact| {
            fact.shape
                .dims()
                .any(|dim| dim.concretize().is_some_and(|dim| dim.to_usize().is_ok_and(|len| len > 1)))
        })
    };
    match node.op.name() == "Clip" && node.inputs.iter().skip(1).any(is_many) {
        true => {
            Err(TractError::msg(format!("node `{}` (Clip) takes more than one number as a limit", node.name)))
        }
        false => Ok(()),
    }
}

/// How many dimensions the first input of a node has, where that is known.
fn rank(graph: &InferenceModel, at: usize) -> Option<i64> {
    graph.outlet_fact(*graph.node(at).inputs.first()?).ok()?.shape.rank().concretize()
}

/// Refuses shapes that take for ever to work with.
pub fn is_short(graph: &InferenceModel, at: usize, gives: &[InferenceFact]) -> TractResult<()> {
    let is_long = |dim: &TDim| dim.to_i64().is_err() && dim.to_string().len() > LONGEST_FORMULA;
    let what = gives.iter().find_map(|fact| {
        let rank = fact.shape.rank().concretize().filter(|rank| *rank > MOST_DIMENSIONS);
        let many = rank.map(|rank| format!("{rank} dimensions, more than {MOST_DIMENSIONS}"));
        let long = || fact.shape.dims().filter_map(|dim| dim.concretize()).any(|dim| is_long(&dim));
        many.or_else(|| long().then(|| "dimensions that cannot be worked out".to_owned()))
    });
    let node = graph.node(at);
    match what {
        Some(what) => Err(TractError::msg(format!(
            "node `{}` ({}) would make a tensor of {what}",
            node.name,
            node.op.name()
        ))),
        None => Ok(()),
    }
}
