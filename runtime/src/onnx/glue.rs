//! Layers that engines make one of. A cut between them would cost time and round otherwise.
//!
//! Scaling and shifting by constants goes into the weights of what comes before it, and in front of it behind a sum; changes of layout go
//! into what comes behind them, through norms too; weights over parts put together become a sum over the parts; and what a curve (an
//! activation) is made of becomes one function. Such rules look at how many take a tensor: so where one of those who take it is joined with
//! its maker, no cut is between the maker and the last of them.

use super::graph::Graph;

/// By tensor: the last place before a layer that belongs with its maker; `None` where there is none.
pub fn glued(graph: &Graph) -> Vec<Option<usize>> {
    let mut glued = vec![None; graph.names.len()];
    let mut last = vec![None; graph.names.len()];
    for (place, node) in graph.order.iter().enumerate() {
        for tensor in &graph.nodes[*node].takes {
            let Some(maker) = graph.maker[*tensor] else { continue };
            last[*tensor] = Some(place);
            if are_joined(kind(graph, maker), kind(graph, *node)) {
                glued[*tensor] = Some(place);
            }
        }
    }
    glued.into_iter().zip(last).map(|(glued, last)| glued.and(last)).collect()
}

fn are_joined(maker: Kind, taker: Kind) -> bool {
    use Kind::{Curve, Layout, Norm, Other, Parts, Product, Scale, Sum, Weights};
    match maker {
        Weights => taker == Scale,
        Scale => matches!(taker, Scale | Sum | Curve | Product),
        Sum => matches!(taker, Sum | Scale | Product),
        Curve => matches!(taker, Scale | Product),
        Product => matches!(taker, Scale | Sum | Curve | Product),
        Layout => matches!(taker, Weights | Scale | Norm | Layout | Sum | Product),
        Norm => matches!(taker, Layout | Weights),
        Parts => taker == Weights,
        Other => false,
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Multiplies with weights.
    Weights,
    /// Scales or shifts by constants.
    Scale,
    /// Sums along dimensions.
    Sum,
    /// A function that activations are made of.
    Curve,
    /// Multiplies what was computed, or takes powers of it.
    Product,
    /// Sums along a dimension, in the order in which the layout has them.
    Norm,
    /// Moves elements.
    Layout,
    /// Puts tensors behind one another.
    Parts,
    Other,
}

fn kind(graph: &Graph, node: usize) -> Kind {
    let by_constants =
        || graph.nodes[node].takes.iter().filter(|tensor| !graph.constant[**tensor]).count() == 1;
    match graph.graph().node[node].op_type.as_str() {
        "Conv" | "ConvTranspose" | "Gemm" | "MatMul" => Kind::Weights,
        "BatchNormalization" => Kind::Scale,
        // A square has one tensor and no constant.
        "Mul" if graph.nodes[node].takes.len() == 1 => Kind::Product,
        "Add" | "Sub" | "Mul" | "Div" if by_constants() => Kind::Scale,
        "Mul" | "Div" | "Pow" | "Sqrt" | "Reciprocal" => Kind::Product,
        "GlobalAveragePool" | "ReduceMean" | "ReduceSum" | "ReduceSumSquare" | "ReduceL2" => Kind::Sum,
        "Sigmoid" | "Erf" | "Tanh" => Kind::Curve,
        "GroupNormalization" | "InstanceNormalization" | "LayerNormalization" => Kind::Norm,
        "Flatten" | "Reshape" | "Squeeze" | "Transpose" | "Unsqueeze" => Kind::Layout,
        "Concat" => Kind::Parts,
        _ => Kind::Other,
    }
}
