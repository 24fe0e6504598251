//! What the nodes of a graph say of each other's tensors. Tract goes through nodes as they stand in the file and lets each speak of its
//! inputs too, so that a node may be told a shape by those that take from it before those that give to it. Here all is heard, with what
//! tract takes on trust checked at each step: whatever order tract takes, it does not come to know more.

use std::collections::BTreeSet;

use tract_onnx::{prelude::*, tract_hir::infer::Factoid};

use super::{
    bounds::{inferred, refuse},
    trusted,
};

/// Lets all nodes tell what they know until nothing is new; refuses a graph whose nodes contradict each other.
pub fn check(graph: &mut InferenceModel, inside: bool) -> TractResult<()> {
    let mut waiting: BTreeSet<usize> = (0..graph.nodes().len()).collect();
    while let Some(at) = waiting.pop_last() {
        trusted::check(graph, at, inside)?;
        let (takes, gives, _) =
            inferred(graph, at, |op, inputs, outputs, observed| op.infer_facts(inputs, outputs, observed))
                .map_err(|error| refuse(graph, at, error))?;
        trusted::is_short(graph, at, &gives)?;
        let inputs = graph.node(at).inputs.clone();
        let outputs = (0..gives.len()).map(|slot| OutletId::new(at, slot));
        let told: Vec<_> = inputs.into_iter().zip(takes).chain(outputs.zip(gives)).collect();
        for (outlet, fact) in told {
            let known = graph.outlet_fact(outlet)?;
            let both = known.unify(&fact).map_err(|error| refuse(graph, at, error))?;
            if both != *known {
                waiting.insert(outlet.node);
                waiting.extend(
                    graph.node(outlet.node).outputs[outlet.slot].successors.iter().map(|taker| taker.node),
                );
                graph.set_outlet_fact(outlet, both)?;
            }
        }
    }
    Ok(())
}
