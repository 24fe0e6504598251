//! Layers that engines make one of. A cut between them would cost time and round otherwise.
//!
//! Scaling and shifting by constants goes into the weights of what comes before it, and changes of layout go into what comes
//! behind them, through norms too.

use super::graph::Graph;

/// By tensor: the last place before a layer that belongs with its maker; `None` where there is none.
pub fn glued(graph: &Graph) -> Vec<Option<usize>> {
    let mut glued = vec![None; graph.names.len()];
    for (place, node) in graph.order.iter().enumerate() {
        for tensor in &graph.nodes[*node].takes {
            let Some(maker) = graph.maker[*tensor] else { continue };
            let together = match kind(graph, maker) {
                Kind::Weights | Kind::Scale => kind(graph, *node) == Kind::Scale,
                Kind::Layout => kind(graph, *node) != Kind::Other,
                Kind::Norm => matches!(kind(graph, *node), Kind::Layout | Kind::Weights),
                Kind::Other => false,
            };
            if together {
                glued[*tensor] = Some(place);
            }
        }
    }
    glued
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Multiplies with weights.
    Weights,
    /// Scales or shifts by constants.
    Scale,
    /// Sums along a dimension, in the order in which the layout has them.
    Norm,
    /// Moves elements.
    Layout,
    Other,
}

fn kind(graph: &Graph, node: usize) -> Kind {
    let by_constants =
        || graph.nodes[node].takes.iter().filter(|tensor| !graph.constant[**tensor]).count() == 1;
    match graph.graph().node[node].op_type.as_str() {
        "Conv" | "ConvTranspose" | "Gemm" | "MatMul" => Kind::Weights,
        "BatchNormalization" => Kind::Scale,
        "Add" | "Sub" | "Mul" | "Div" if by_constants() => Kind::Scale,
        "GroupNormalization" | "InstanceNormalization" | "LayerNormalization" => Kind::Norm,
        "Flatten" | "Reshape" | "Squeeze" | "Transpose" | "Unsqueeze" => Kind::Layout,
        _ => Kind::Other,
    }
}
