//! Operators whose output is as large as a number in the file says: a few bytes could ask for more memory than there is.

use std::collections::HashMap;

use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, tensor_proto::DataType};

use super::{
    graph::{called, graphs_of},
    weights::{LARGEST_BYTES, elements},
};

/// Refuses what would be too large. Limits: only sizes that stand in the file as a constant, not those that are computed.
pub fn check(graph: &GraphProto) -> Result<(), String> {
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
        if let Some(sizes) = sizes {
            let large = sizes.iter().map(|size| (*size).max(1)).collect::<Vec<_>>();
            if elements(&large).is_none_or(|elements| elements > LARGEST_BYTES / 4) {
                return Err(format!(
                    "node {} asks for a tensor of {sizes:?}, more than {LARGEST_BYTES} bytes",
                    called(node)
                ));
            }
        }
        graphs_of(node).try_for_each(check)?;
    }
    Ok(())
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
