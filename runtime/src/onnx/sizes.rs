//! Operators whose output is as large as a number in the file says: a few bytes could ask for more memory than there is.

use std::collections::HashMap;

use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, tensor_proto::DataType};

use super::{
    graph::{called, graphs_of},
    weights::{LARGEST_BYTES, elements},
};

/// Most elements of a kernel: engines make a table of them.
const LARGEST_KERNEL: u64 = 1 << 20;

/// Most dimensions of a tensor that a node may name one of.
const MOST_DIMENSIONS: u64 = 64;

/// Refuses what would be too large by a size that stands in the file as a constant. A size that is computed is refused only in graphs inside
/// nodes: those of the graph itself are worked out when a stage is prepared.
pub fn check(graph: &GraphProto) -> Result<(), String> {
    check_at(graph, false)
}

fn check_at(graph: &GraphProto, inside: bool) -> Result<(), String> {
    let mut constants: HashMap<&str, Vec<i64>> = HashMap::new();
    for constant in &graph.initializer {
        constants.extend(whole_numbers(constant).map(|values| (constant.name.as_str(), values)));
    }
    for node in graph.node.iter().filter(|node| node.op_type == "Constant") {
        let values = attribute(node, "value").and_then(|a| a.t.as_ref()).and_then(whole_numbers);
        let values = values.or_else(|| attribute(node, "value_ints").map(|a| a.ints.clone()));
        if let (Some(name), Some(values)) = (node.output.first(), values) {
            constants.insert(name, values);
        }
    }
    for node in &graph.node {
        let input = |at: usize| node.input.get(at).and_then(|name| constants.get(name.as_str())).cloned();
        let ints = |name: &str| attribute(node, name).map(|attribute| attribute.ints.clone());
        if let Some(kernel) = ints("kernel_shape")
            && elements(&kernel).is_none_or(|elements| elements > LARGEST_KERNEL)
        {
            return Err(format!("node {} has a kernel of {kernel:?}, which no model has", called(node)));
        }
        if let Some(perm) = ints("perm").filter(|perm| !is_permutation(perm)) {
            return Err(format!(
                "node {} puts dimensions into the order {perm:?}, which is none",
                called(node)
            ));
        }
        // Engines count up from the first one to it.
        let axis = attribute(node, "axis").map(|attribute| attribute.i);
        if let Some(axis) =
            axis.into_iter().chain(ints("axes").into_iter().flatten()).find(|axis| is_far(*axis))
        {
            return Err(format!(
                "node {} names dimension {axis}, and there are at most {MOST_DIMENSIONS}",
                called(node)
            ));
        }
        // Engines make lists that are as long as these say.
        for (name, most) in [("num_scan_inputs", node.input.len()), ("num_outputs", node.output.len())] {
            let count = attribute(node, name).map_or(0, |attribute| attribute.i);
            if usize::try_from(count).ok().is_none_or(|count| count > most) {
                return Err(format!("node {} has {count} as its {name}, but there are {most}", called(node)));
            }
        }
        let sizes = match node.op_type.as_str() {
            "ConstantOfShape" => input(0),
            "Expand" | "Tile" | "OneHot" => input(1),
            "Resize" => input(3),
            "Pad" => input(1).or_else(|| ints("pads")),
            "RandomNormal" | "RandomUniform" => ints("shape"),
            "Range" => input(0).zip(input(1)).zip(input(2)).and_then(|((from, to), by)| {
                let (from, to, by) = (*from.first()?, *to.first()?, *by.first()?);
                Some(vec![to.checked_sub(from)?.checked_div(by)?])
            }),
            _ => None,
        };
        let is_sized = matches!(node.op_type.as_str(), "ConstantOfShape" | "Expand" | "Tile" | "Range");
        if inside && is_sized && sizes.is_none() {
            return Err(format!(
                "node {}, in a graph inside a node, has a size that is computed; there it must be a constant",
                called(node)
            ));
        }
        if let Some(sizes) = sizes {
            let large = sizes.iter().map(|size| (*size).max(1)).collect::<Vec<_>>();
            if elements(&large).is_none_or(|elements| elements > LARGEST_BYTES / 4) {
                return Err(format!(
                    "node {} asks for a tensor of {sizes:?}, more than {LARGEST_BYTES} bytes",
                    called(node)
                ));
            }
        }
        graphs_of(node).try_for_each(|graph| check_at(graph, true))?;
    }
    Ok(())
}

fn is_far(axis: i64) -> bool {
    axis.unsigned_abs() > MOST_DIMENSIONS
}

/// Whether each number from 0 is in it once. Engines rely on that.
fn is_permutation(perm: &[i64]) -> bool {
    let mut sorted = perm.to_vec();
    sorted.sort_unstable();
    sorted.iter().zip(0..).all(|(found, wanted)| *found == wanted)
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// The values of a small constant of whole numbers; sizes have few.
fn whole_numbers(tensor: &TensorProto) -> Option<Vec<i64>> {
    match DataType::try_from(tensor.data_type).ok()? {
        DataType::Int64 if tensor.raw_data.is_empty() => {
            Some(tensor.int64_data.iter().copied().take(64).collect())
        }
        DataType::Int64 => {
            let (values, _) = tensor.raw_data.as_chunks::<8>();
            Some(values.iter().take(64).map(|bytes| i64::from_le_bytes(*bytes)).collect())
        }
        DataType::Int32 if tensor.raw_data.is_empty() => {
            Some(tensor.int32_data.iter().take(64).map(|v| i64::from(*v)).collect())
        }
        _ => None,
    }
}
