//! What a graph would take before any of it is computed. A file of a few bytes can ask for more memory than there is: a size that is
//! computed, a row and a column that are added, a row of joins each twice as long as the one before.
//!
//! The shapes are worked out node by node, in an order in which they can run; the value of a node is computed only where it is known to
//! be small. A graph inside a node (of a branch or a loop) is looked at by itself, with the constants of the file that it takes; of those
//! that other nodes make it may take only small ones.

use std::collections::{HashMap, HashSet};

use tract_onnx::{
    Onnx,
    pb::{GraphProto, ModelProto, TensorProto},
    prelude::*,
    tract_core::model::order::eval_order_for_nodes,
    tract_hir::{
        infer::{Factoid, InferenceOp},
        internal::DimLike,
    },
};

use super::{agreed, trusted, wired};
use crate::tensor::dims;

/// Most bytes of one tensor that crosses a graph, for one item.
pub const LARGEST_BYTES: u64 = 4 << 30;
/// Most bytes of all tensors that are the same for every item and are computed while a stage is prepared, beside eight times those that
/// stand in the file.
pub const LARGEST_MADE_BYTES: u64 = 1 << 30;
/// Most bytes of constants that nodes make and that a graph inside a node takes.
const LARGEST_TAKEN_BYTES: u64 = 64 << 10;
/// A value above this is not computed here.
const SMALL_BYTES: u64 = 1 << 20;
/// Works out the shapes of a graph whose inputs have theirs, and refuses what would be too large. Gives the most bytes that one item holds at
/// once: what is made and still taken. What is the same for every item is not counted, nor what cannot be worked out.
pub(super) fn check(graph: &InferenceModel) -> TractResult<u64> {
    check_at(graph, false)
}

fn check_at(graph: &InferenceModel, inside: bool) -> TractResult<u64> {
    let mut graph = graph.clone();
    // By node: whether it gives the same for every item of these shapes.
    let mut constant = vec![false; graph.nodes().len()];
    // What may still be made of constants.
    let mut left = LARGEST_MADE_BYTES;
    // What no output needs is worked out by the engine too.
    let nodes: Vec<usize> = (0..graph.nodes().len()).collect();
    let inputs: Vec<usize> = graph.input_outlets()?.iter().map(|input| input.node).collect();
    let mut held = Held::default();
    for at in eval_order_for_nodes(graph.nodes(), &inputs, &nodes, &[])? {
        let node = graph.node(at);
        if node.inputs.is_empty() && node.outputs.iter().all(|output| output.fact.value.is_concrete()) {
            let given = all(node.outputs.iter().map(|output| &output.fact));
            left = left.saturating_add(given.saturating_mul(8));
            constant[at] = true;
            continue;
        }
        let inputs = node.inputs.iter().map(|input| Ok((input.node, graph.outlet_fact(*input)?)));
        let inputs = inputs.collect::<TractResult<TVec<_>>>()?;
        let is_constant =
            |(node, fact): &(usize, &InferenceFact)| constant[*node] || fact.value.is_concrete();
        let same = !inputs.is_empty() && inputs.iter().all(is_constant);
        let takes = all(inputs.iter().map(|(_, fact)| *fact));
        let made = inputs.iter().filter(|(node, _)| constant[*node] && !graph.node(*node).inputs.is_empty());
        let taken = all(made.map(|(_, fact)| *fact));
        drop(inputs);
        constant[at] = same;
        trusted::check(&graph, at, inside)?;
        if matches!(&*node.op.name(), "If" | "Scan") && taken > LARGEST_TAKEN_BYTES {
            return Err(TractError::msg(format!(
                "node `{}` ({}) takes {taken} bytes of computed constants into a graph inside it, more than {LARGEST_TAKEN_BYTES}",
                node.name,
                node.op.name()
            )));
        }
        let (_, gives, _) = inferred(&mut graph, at, |op, inputs, outputs, observed| {
            op.infer_facts(inputs, outputs, observed)
        })
        .map_err(|error| refuse(&graph, at, error))?;
        trusted::is_short(&graph, at, &gives)?;
        let counted = counted(&graph, at);
        let makes = all(gives.iter()).max(counted.unwrap_or(0));
        let most = if same { left } else { LARGEST_BYTES };
        if let Some(large) = gives.iter().find(|fact| bytes(fact).max(counted.unwrap_or(0)) > most) {
            let shape = shape_of(large);
            let (name, operator) = (&graph.node(at).name, graph.node(at).op.name());
            let limit = match same {
                true => format!("{LARGEST_MADE_BYTES} bytes in all may be computed from constants"),
                false => format!("more than {LARGEST_BYTES} bytes"),
            };
            return Err(TractError::msg(format!(
                "node `{name}` ({operator}) would make a tensor of [{shape}]: {limit}"
            )));
        }
        let working = if same { wired::check(&graph, at, &gives)? } else { 0 };
        if working > most {
            return Err(TractError::msg(format!(
                "node `{}` ({}) would make tensors of {working} bytes while it is computed: {LARGEST_MADE_BYTES} bytes in all may be computed from constants",
                graph.node(at).name,
                graph.node(at).op.name()
            )));
        }
        if same {
            left = left.saturating_sub(makes);
        }
        for (slot, fact) in gives.into_iter().enumerate() {
            set(&mut graph, OutletId::new(at, slot), &fact);
        }
        if !same {
            held.makes(&graph, at);
        }
        held.takes(&graph, at);
        if same && takes <= SMALL_BYTES && makes <= SMALL_BYTES {
            let made =
                inferred(&mut graph, at, |op, inputs, outputs, observed| op.infer(inputs, outputs, observed));
            for (slot, fact) in made.into_iter().flat_map(|(_, gives, _)| gives).enumerate() {
                set(&mut graph, OutletId::new(at, slot), &fact);
            }
        }
    }
    agreed::check(&mut graph, inside)?;
    Ok(held.most)
}

/// What is held while a graph runs.
#[derive(Default)]
struct Held {
    /// By tensor: its size, and how many are still to take it.
    tensors: HashMap<OutletId, (u64, usize)>,
    now: u64,
    most: u64,
}

impl Held {
    fn makes(&mut self, graph: &InferenceModel, at: usize) {
        for (slot, outlet) in graph.node(at).outputs.iter().enumerate() {
            let size = bytes(&outlet.fact);
            self.now = self.now.saturating_add(size);
            // What nobody takes is given, and held to the end.
            self.tensors.insert(OutletId::new(at, slot), (size, outlet.successors.len()));
        }
        self.most = self.most.max(self.now);
    }

    fn takes(&mut self, graph: &InferenceModel, at: usize) {
        for input in &graph.node(at).inputs {
            let Some((size, takers)) = self.tensors.get_mut(input) else { continue };
            *takers = takers.saturating_sub(1);
            if *takers == 0 {
                self.now = self.now.saturating_sub(*size);
            }
        }
    }
}

/// The same for the graphs inside nodes, of what is known of them: constants.
pub(super) fn check_inside(onnx: &Onnx, model: &ModelProto, folder: Option<&str>) -> TractResult<()> {
    fn look(onnx: &Onnx, model: &ModelProto, folder: Option<&str>, outer: &GraphProto) -> TractResult<()> {
        let graphs = outer.node.iter().flat_map(|node| &node.attribute);
        for graph in graphs.flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs)) {
            let own: HashSet<&str> =
                graph.initializer.iter().map(|constant| constant.name.as_str()).collect();
            let taken: HashSet<&str> =
                graph.node.iter().flat_map(|node| &node.input).map(String::as_str).collect();
            let lent = outer.initializer.iter().filter(|constant| {
                taken.contains(constant.name.as_str()) && !own.contains(constant.name.as_str())
            });
            let mut graph = graph.clone();
            let lent: Vec<TensorProto> = lent.cloned().collect();
            graph.initializer.extend(lent);
            let alone = ModelProto {
                ir_version: model.ir_version,
                opset_import: model.opset_import.clone(),
                graph: Some(graph.clone()),
                ..ModelProto::default()
            };
            // The innermost first: shapes of a node with a graph are worked out by way of the graph.
            look(onnx, model, folder, &graph)?;
            // What cannot be read by itself is for the engine to tell.
            if let Ok(parsed) = onnx.parse(&alone, folder) {
                check_at(&parsed.model, true)?;
            }
        }
        Ok(())
    }
    model.graph.as_ref().map_or(Ok(()), |graph| look(onnx, model, folder, graph))
}

type Facts = TVec<InferenceFact>;

/// What a node says of its inputs, its outputs and what else it looks at.
pub(super) fn inferred(
    graph: &mut InferenceModel,
    at: usize,
    infer: impl Fn(
        &mut dyn InferenceOp,
        TVec<&InferenceFact>,
        TVec<&InferenceFact>,
        TVec<&InferenceFact>,
    ) -> TractResult<(Facts, Facts, Facts)>,
) -> TractResult<(Facts, Facts, Facts)> {
    let node = graph.node(at);
    let (inputs, outputs) = graph.node_facts(at)?;
    let observed = node.op.observe_outlets(graph, node)?;
    let observed =
        observed.into_iter().map(|outlet| graph.outlet_fact(outlet)).collect::<TractResult<TVec<_>>>()?;
    let own = |facts: TVec<&InferenceFact>| -> Facts { facts.into_iter().cloned().collect() };
    let (inputs, outputs, observed) = (own(inputs), own(outputs), own(observed));
    let op = &mut *graph.node_mut(at).op;
    infer(op, inputs.iter().collect(), outputs.iter().collect(), observed.iter().collect())
}

/// What is said of a node whose inputs and outputs do not go together.
pub(super) fn refuse(graph: &InferenceModel, at: usize, error: TractError) -> TractError {
    let node = graph.node(at);
    error.context(format!(
        "what node `{}` ({}) takes and gives does not go together",
        node.name,
        node.op.name()
    ))
}

/// A shape, with `?` for what is not known.
pub(super) fn shape_of(fact: &InferenceFact) -> String {
    let lens =
        fact.shape.dims().map(|dim| dim.concretize().map_or_else(|| "?".to_owned(), |dim| dim.to_string()));
    dims(&lens.collect::<Vec<_>>())
}

fn set(graph: &mut InferenceModel, outlet: OutletId, fact: &InferenceFact) {
    let Ok(known) = graph.outlet_fact(outlet) else { return };
    if let Ok(both) = known.unify(fact) {
        // It fails only where there is no such outlet.
        let _ = graph.set_outlet_fact(outlet, both);
    }
}

/// How large what counts from one number to another is, where these are known: its shape is not reliable where they are large.
fn counted(graph: &InferenceModel, at: usize) -> Option<u64> {
    let node = graph.node(at);
    if node.op.name() != "Range" {
        return None;
    }
    let number = |input: &OutletId| {
        let value = graph.outlet_fact(*input).ok()?.value.concretize()?;
        value.cast_to_scalar::<f64>().ok()
    };
    let numbers = node.inputs.iter().map(number).collect::<Option<TVec<f64>>>()?;
    let [from, until, by] = numbers.as_slice() else { return None };
    // A number that is none is 0 here, and one that is too large the largest.
    Some((((until - from) / by).ceil().max(0.0) * 8.0) as u64)
}

/// All of these together.
fn all<'a>(facts: impl Iterator<Item = &'a InferenceFact>) -> u64 {
    facts.map(bytes).fold(0, u64::saturating_add)
}

/// How large a tensor is at least: dimensions that are not known count as 1.
pub(super) fn bytes(fact: &InferenceFact) -> u64 {
    let size = fact.datum_type.concretize().map_or(4, |of| of.size_of() as u64);
    let lens = fact.shape.dims().filter_map(|dim| dim.concretize()?.to_usize().ok());
    lens.fold(size, |bytes, len| bytes.saturating_mul(len as u64))
}
