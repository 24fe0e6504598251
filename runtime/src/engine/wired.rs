//! What tract makes of one node, and whether that is what the node's operator says of its outputs. Tract computes constants before it
//! compares the two: an operator that says "as large as my first input", and takes a row and a column, would fill the memory by then. The
//! operator is wired alone, with sources instead of its inputs, so that nothing large is computed.

use std::collections::HashMap;

use tract_onnx::{
    prelude::*,
    tract_core::internal::TypedFact,
    tract_hir::{infer::Factoid, ops::expandable::Expansion},
};

use super::bounds::{bytes, shape_of};
use crate::guard;

/// Most elements of an input whose values a wiring sees: sizes and limits, in a row, so that what is made of them alone is small.
const MOST_ELEMENTS: usize = 128;

/// Refuses a node whose outputs are larger than it says. Gives the bytes of all tensors that are made for it, itself included; 0 where
/// tract does not tell before it computes.
pub fn check(graph: &InferenceModel, at: usize, says: &[InferenceFact]) -> TractResult<u64> {
    // A panic here is one in the engine too, which tells it.
    let Ok(Some((target, outlets))) = guard::call(|| wire(graph, at)) else { return Ok(0) };
    let node = graph.node(at);
    for (outlet, says) in outlets.iter().zip(says) {
        let Ok(fact) = target.outlet_fact(*outlet) else { continue };
        let makes = InferenceFact::from(fact);
        if says.shape.is_concrete() && bytes(&makes) > bytes(says).max(1) && !same_shape(&makes, says) {
            return Err(TractError::msg(format!(
                "node `{}` ({}) would make a tensor of [{}] where its operator gives one of [{}]: its inputs do not go together",
                node.name,
                node.op.name(),
                shape_of(&makes),
                shape_of(says)
            )));
        }
    }
    let made = target.nodes().iter().filter(|node| !node.inputs.is_empty()).flat_map(|node| &node.outputs);
    Ok(made.map(|output| bytes(&InferenceFact::from(&output.fact))).fold(0, u64::saturating_add))
}

fn same_shape(one: &InferenceFact, other: &InferenceFact) -> bool {
    one.shape.unify(&other.shape).is_ok()
}

/// The node alone, wired; `None` where that needs more than is known.
fn wire(graph: &InferenceModel, at: usize) -> Option<(TypedModel, TVec<OutletId>)> {
    let node = graph.node(at);
    let mut target = TypedModel::default();
    let mut mapping = HashMap::new();
    for input in &node.inputs {
        if mapping.contains_key(input) {
            continue;
        }
        let name = format!("input.{}.{}", input.node, input.slot);
        let fact = graph.outlet_fact(*input).ok()?;
        let small = fact.value.concretize().filter(|value| value.rank() <= 1 && value.len() <= MOST_ELEMENTS);
        let source = match small {
            Some(value) => target.add_const(name, value),
            None => {
                let shape = fact.shape.concretize()?;
                let fact: TypedFact = fact.datum_type.concretize()?.fact(&*shape);
                target.add_source(name, fact)
            }
        };
        mapping.insert(*input, source.ok()?);
    }
    let outlets = match node.op_as::<Box<dyn Expansion>>() {
        Some(expansion) => {
            let inputs: TVec<OutletId> = node.inputs.iter().map(|input| mapping[input]).collect();
            expansion.wire_with_inference_model_and_node(&node.name, graph, node, &mut target, &inputs)
        }
        None => node.op.to_typed(graph, node, &mut target, &mapping),
    };
    Some((target, outlets.ok()?))
}
