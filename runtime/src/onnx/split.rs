//! A segment of a graph as a model of its own, at the level of the file, so that every engine eats it: the nodes between two
//! cuts, the constants that they need, and what crosses as inputs and outputs.
//!
//! What crosses has the batch as its first dimension, as with any model. A tensor that has none (the shape of a picture, say)
//! crosses as a batch of one: a node in front of the cut adds the dimension and one behind it takes it away.

use std::{collections::HashMap, ops::Range};

use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto,
    attribute_proto::AttributeType,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};

use super::{Boundary, Cuts, OnnxError, OnnxModel, graph::Tensor};
use crate::tensor::{DType, Tensor as Value, Values};

/// The constant nodes and initialisers that a range needs, by their places in the file.
pub fn needed(cuts: &Cuts, range: &Range<usize>) -> (Vec<usize>, Vec<usize>) {
    let graph = &cuts.graph;
    let initialisers: HashMap<&str, usize> = graph
        .graph()
        .initializer
        .iter()
        .enumerate()
        .map(|(at, constant)| (constant.name.as_str(), at))
        .collect();
    let mut wanted: Vec<Tensor> =
        graph.order[range.clone()].iter().flat_map(|node| &graph.nodes[*node].takes).copied().collect();
    if range.end == graph.order.len() {
        wanted.extend(&graph.outputs);
    }
    let mut is_needed = vec![false; graph.nodes.len()];
    let mut seen = vec![false; graph.names.len()];
    let mut found = Vec::new();
    while let Some(tensor) = wanted.pop() {
        if !graph.constant[tensor] || std::mem::replace(&mut seen[tensor], true) {
            continue;
        }
        match graph.maker[tensor] {
            Some(node) if !is_needed[node] => {
                is_needed[node] = true;
                wanted.extend(&graph.nodes[node].takes);
            }
            Some(_) => {}
            None => found.extend(initialisers.get(graph.names[tensor].as_str())),
        }
    }
    found.sort_unstable();
    (graph.constants.iter().copied().filter(|node| is_needed[*node]).collect(), found)
}

/// What a range takes or gives that layers before it make.
fn from_before(cuts: &Cuts, range: &Range<usize>) -> Vec<Tensor> {
    let graph = &cuts.graph;
    let mut made = vec![false; graph.names.len()];
    for node in &graph.order[..range.start] {
        graph.nodes[*node].gives.iter().for_each(|tensor| made[*tensor] = true);
    }
    let takes = graph.order[range.clone()].iter().flat_map(|node| &graph.nodes[*node].takes);
    let mut taken: Vec<Tensor> = takes.copied().filter(|tensor| made[*tensor]).collect();
    taken.sort_unstable();
    taken.dedup();
    taken
}

fn constant(name: String, value: &Value) -> TensorProto {
    let (data_type, raw_data) = match value.data() {
        Values::F32(values) => (DataType::Float, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Values::I32(values) => (DataType::Int32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Values::I64(values) => (DataType::Int64, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Values::U8(values) => (DataType::Uint8, values.to_vec()),
        Values::Bool(values) => (DataType::Bool, values.iter().map(|v| u8::from(*v)).collect()),
    };
    let dims = value.shape().iter().map(|len| *len as i64).collect();
    TensorProto { name, dims, data_type: data_type as i32, raw_data, ..TensorProto::default() }
}

/// The layers of a range; both ends are cuts or ends of the model.
pub fn segment(cuts: &Cuts, range: Range<usize>) -> Result<OnnxModel, OnnxError> {
    let (graph, whole) = (&cuts.graph, cuts.graph.graph());
    let (constants, initialisers) = needed(cuts, &range);
    let mut made = GraphProto {
        name: format!("{} {range:?}", whole.name),
        initializer: initialisers.iter().map(|at| whole.initializer[*at].clone()).collect(),
        node: constants.iter().map(|at| whole.node[*at].clone()).collect(),
        ..GraphProto::default()
    };
    let mut alone = false;
    for tensor in from_before(cuts, &range) {
        if let Some((value, has_batch)) = &cuts.values[tensor] {
            made.initializer.push(constant(graph.names[tensor].clone(), value));
            alone |= has_batch;
        }
    }
    let opset =
        cuts.graph.proto.opset_import.iter().find(|of| of.domain.is_empty() || of.domain == "ai.onnx");
    let axes = Axes { as_input: opset.is_some_and(|of| of.version >= 13) };
    let before = cuts.live(range.start);
    if range.start == 0 {
        let is_input =
            |info: &&ValueInfoProto| graph.inputs.iter().any(|input| graph.names[*input] == info.name);
        made.input = whole.input.iter().filter(is_input).cloned().collect();
    } else {
        for crossing in before.iter().filter_map(|tensor| cuts.boundaries[*tensor].as_ref()) {
            made.input.push(info(crossing, cuts.is_open(), alone));
            if is_wrapped(crossing) {
                axes.node("Squeeze", wrapped(crossing), crossing.name.clone(), &mut made);
            }
        }
    }
    made.node.extend(graph.order[range.clone()].iter().map(|at| whole.node[*at].clone()));
    if range.end == graph.order.len() {
        made.output.clone_from(&whole.output);
    } else {
        for tensor in cuts.live(range.end) {
            let Some(crossing) = &cuts.boundaries[tensor] else { continue };
            made.output.push(info(crossing, cuts.is_open(), alone));
            let goes_through = range.start > 0 && before.contains(&tensor);
            if is_wrapped(crossing) && !goes_through {
                axes.node("Unsqueeze", crossing.name.clone(), wrapped(crossing), &mut made);
            }
        }
    }
    let model = ModelProto {
        ir_version: graph.proto.ir_version,
        opset_import: graph.proto.opset_import.clone(),
        functions: graph.proto.functions.clone(),
        graph: Some(made),
        ..ModelProto::default()
    };
    let file = format!("{}[{}..{}]", cuts.model.file(), range.start, range.end);
    OnnxModel::read(file, cuts.model.folder().map(str::to_owned), model.encode_to_vec())
}

/// Whether a tensor has no dimension that could be the batch.
fn is_wrapped(crossing: &Boundary) -> bool {
    crossing.shape.first() != Some(&1)
}

fn wrapped(crossing: &Boundary) -> String {
    format!("{}:item", crossing.name)
}

/// How the graph's version of ONNX says which dimension is added or taken away.
struct Axes {
    as_input: bool,
}

impl Axes {
    fn node(&self, operator: &str, from: String, to: String, graph: &mut GraphProto) {
        let mut node = NodeProto {
            op_type: operator.to_owned(),
            name: format!("{to}:{operator}"),
            input: vec![from],
            output: vec![to],
            ..NodeProto::default()
        };
        if self.as_input {
            let name = "eddyline:first".to_owned();
            if graph.initializer.iter().all(|constant| constant.name != name) {
                let data_type = DataType::Int64 as i32;
                let first = TensorProto {
                    name: name.clone(),
                    dims: vec![1],
                    data_type,
                    int64_data: vec![0],
                    ..TensorProto::default()
                };
                graph.initializer.push(first);
            }
            node.input.push(name);
        } else {
            let r#type = AttributeType::Ints as i32;
            node.attribute.push(AttributeProto {
                name: "axes".into(),
                r#type,
                ints: vec![0],
                ..AttributeProto::default()
            });
        }
        graph.node.push(node);
    }
}

/// What crosses, as an input or output of a segment; `alone`: of one that takes its items one by one.
fn info(crossing: &Boundary, open: bool, alone: bool) -> ValueInfoProto {
    let dim = |value| Dimension { value: Some(value), ..Dimension::default() };
    let inner = match is_wrapped(crossing) {
        true => crossing.shape.as_slice(),
        false => &crossing.shape[1..],
    };
    let batch = match crossing.is_batch && !alone {
        true => dim(dimension::Value::DimParam("N".to_owned())),
        false => dim(dimension::Value::DimValue(1)),
    };
    let inner = inner.iter().map(|len| match open {
        true => Dimension::default(),
        false => dim(dimension::Value::DimValue(*len as i64)),
    });
    let shape = Some(TensorShapeProto { dim: std::iter::once(batch).chain(inner).collect() });
    let elem_type = match crossing.dtype {
        DType::F32 => DataType::Float,
        DType::I32 => DataType::Int32,
        DType::I64 => DataType::Int64,
        DType::U8 => DataType::Uint8,
        DType::Bool => DataType::Bool,
    };
    let tensor = type_proto::Tensor { elem_type: elem_type as i32, shape };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    let name = if is_wrapped(crossing) { wrapped(crossing) } else { crossing.name.clone() };
    ValueInfoProto { name, r#type: Some(r#type), ..ValueInfoProto::default() }
}
