//! Models made wrong: one to four changes, most of them to what the file means, some to its bytes.

use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto,
    attribute_proto::AttributeType, tensor_proto::DataType, tensor_shape_proto::dimension, type_proto,
};

/// Numbers that look random, the same for a seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// Below `end`; 0 where that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end.max(1)
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    fn number(&mut self) -> i64 {
        let numbers = [
            0,
            1,
            -1,
            2,
            3,
            4,
            7,
            8,
            16,
            64,
            100,
            255,
            1000,
            1 << 12,
            1 << 16,
            1 << 20,
            1 << 24,
            1 << 31,
            1 << 32,
            1 << 40,
            1 << 62,
            i64::MAX,
            i64::MIN,
            -2,
            -3,
            -100,
            i64::from(i32::MAX),
            i64::from(i32::MIN),
        ];
        numbers[self.below(numbers.len())]
    }

    fn float(&mut self) -> f32 {
        let numbers =
            [0.0, 1.0, -1.0, 0.5, 2.0, 1e9, 1e20, 1e38, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-30];
        numbers[self.below(numbers.len())]
    }
}

/// Changes a model; `others` lend it their nodes, `operators` are those that there are.
pub fn mutate(bytes: &[u8], others: &[Vec<u8>], operators: &[String], random: &mut Random) -> Vec<u8> {
    let most = 1 + random.below(4);
    let changes = 1 + random.below(most);
    let mut changed = bytes.to_vec();
    if random.below(6) > 0
        && let Ok(mut model) = ModelProto::decode(bytes)
        && let Some(graph) = model.graph.as_mut()
    {
        for _ in 0..changes {
            change(graph, others, operators, random);
        }
        if random.below(20) == 0 {
            model.opset_import.iter_mut().for_each(|opset| opset.version = random.number() % 30);
        }
        return model.encode_to_vec();
    }
    for _ in 0..changes {
        change_bytes(&mut changed, random);
    }
    changed
}

fn change_bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len());
    match random.below(6) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, random.next() as u8),
        2 if !bytes.is_empty() => drop(bytes.remove(at)),
        3 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        4 if !bytes.is_empty() => bytes[at] = random.next() as u8,
        _ => {
            let until = (at + random.below(40)).min(bytes.len());
            let copy = bytes[at..until].to_vec();
            let to = random.below(bytes.len());
            bytes.splice(to..to, copy);
        }
    }
}

/// The graph itself, or one inside one of its nodes.
fn somewhere<'a>(graph: &'a mut GraphProto, random: &mut Random) -> &'a mut GraphProto {
    let inner = graph.node.iter().position(|node| node.attribute.iter().any(|a| a.g.is_some()));
    match inner.filter(|_| random.below(2) == 0) {
        None => graph,
        Some(node) => {
            let attributes = &mut graph.node[node].attribute;
            let with: Vec<usize> = (0..attributes.len()).filter(|at| attributes[*at].g.is_some()).collect();
            let at = with[random.below(with.len())];
            somewhere(attributes[at].g.get_or_insert_default(), random)
        }
    }
}

fn change(graph: &mut GraphProto, others: &[Vec<u8>], operators: &[String], random: &mut Random) {
    let graph = somewhere(graph, random);
    let node = random.below(graph.node.len());
    match random.below(16) {
        0 => infos(graph, random),
        1 | 2 => constant(graph, random),
        3 | 4 => attribute(graph, node, random),
        5 => {
            if let (Some(node), Some(operator)) = (graph.node.get_mut(node), random.one(operators)) {
                node.op_type.clone_from(operator);
            }
        }
        6 | 7 => inputs(graph, node, random),
        8 if !graph.node.is_empty() => drop(graph.node.remove(node)),
        9 if !graph.node.is_empty() => {
            let with = random.below(graph.node.len());
            graph.node.swap(node, with);
        }
        10 => {
            if let Some(copy) = graph.node.get(node).cloned() {
                graph.node.insert(random.below(graph.node.len() + 1), copy);
            }
        }
        11 if !graph.initializer.is_empty() => {
            drop(graph.initializer.remove(random.below(graph.initializer.len())))
        }
        12 | 13 => insert(graph, operators, random),
        14 => borrow(graph, others, random),
        _ => nest(graph, node, random),
    }
}

/// What inputs and outputs are declared as.
fn infos(graph: &mut GraphProto, random: &mut Random) {
    let mut all: Vec<&mut ValueInfoProto> = graph.input.iter_mut().chain(&mut graph.output).collect();
    let count = all.len();
    let Some(info) = all.get_mut(random.below(count)) else { return };
    match random.below(8) {
        0 => info.r#type = None,
        1 => info.name.push('x'),
        _ => {}
    }
    let tensor = info.r#type.as_mut().and_then(|of| of.value.as_mut());
    let Some(type_proto::Value::TensorType(tensor)) = tensor else { return };
    match random.below(8) {
        0 => tensor.shape = None,
        1 => tensor.elem_type = random.below(25) as i32,
        _ => {
            let Some(shape) = tensor.shape.as_mut() else { return };
            let count = shape.dim.len();
            match random.below(4) {
                0 => drop(shape.dim.pop()),
                1 => shape.dim.extend(shape.dim.last().cloned()),
                _ => {
                    if let Some(dim) = shape.dim.get_mut(random.below(count)) {
                        dim.value = Some(dimension::Value::DimValue(random.number()));
                    }
                }
            }
        }
    }
}

fn constant(graph: &mut GraphProto, random: &mut Random) {
    let count = graph.initializer.len();
    let Some(tensor) = graph.initializer.get_mut(random.below(count)) else { return };
    match random.below(6) {
        0 => tensor.data_type = random.below(25) as i32,
        1 => {
            let at = random.below(tensor.dims.len());
            if let Some(dim) = tensor.dims.get_mut(at) {
                *dim = random.number();
            }
        }
        2 => {
            // As much data, in another shape.
            let at = random.below(tensor.dims.len() + 1);
            tensor.dims.insert(at, 1);
        }
        // Another number in it; or as many as a shape has that grew.
        3 if tensor.raw_data.len() >= 8 && tensor.data_type == DataType::Int64 as i32 => {
            let at = 8 * random.below(tensor.raw_data.len() / 8);
            tensor.raw_data[at..at + 8].copy_from_slice(&random.number().to_le_bytes());
        }
        3 if tensor.raw_data.len() >= 4 => {
            let at = 4 * random.below(tensor.raw_data.len() / 4);
            tensor.raw_data[at..at + 4].copy_from_slice(&random.float().to_le_bytes());
        }
        4 => {
            let (name, value) = (tensor.name.clone(), random.number());
            let dims = if random.below(2) == 0 { vec![] } else { vec![1] };
            *tensor = TensorProto {
                name,
                dims,
                data_type: DataType::Int64 as i32,
                int64_data: vec![value],
                ..TensorProto::default()
            };
        }
        _ => {
            let values = (0..random.below(6)).map(|_| random.number()).collect::<Vec<_>>();
            let (name, dims, data_type) =
                (tensor.name.clone(), vec![values.len() as i64], DataType::Int64 as i32);
            *tensor = TensorProto { name, dims, data_type, int64_data: values, ..TensorProto::default() };
        }
    }
}

fn attribute(graph: &mut GraphProto, node: usize, random: &mut Random) {
    let Some(node) = graph.node.get_mut(node) else { return };
    const NAMES: [&str; 20] = [
        "axis",
        "axes",
        "pads",
        "strides",
        "dilations",
        "kernel_shape",
        "group",
        "to",
        "perm",
        "shape",
        "keepdims",
        "num_outputs",
        "blocksize",
        "hidden_size",
        "auto_pad",
        "ceil_mode",
        "output_shape",
        "output_padding",
        "num_scan_inputs",
        "mode",
    ];
    if node.attribute.is_empty() || random.below(4) == 0 {
        let name = NAMES[random.below(NAMES.len())].to_owned();
        let added = match random.below(2) {
            0 => AttributeProto {
                name,
                r#type: AttributeType::Int as i32,
                i: random.number(),
                ..AttributeProto::default()
            },
            _ => {
                let ints = (0..random.below(5)).map(|_| random.number()).collect();
                AttributeProto { name, r#type: AttributeType::Ints as i32, ints, ..AttributeProto::default() }
            }
        };
        node.attribute.push(added);
        return;
    }
    let at = random.below(node.attribute.len());
    if random.below(6) == 0 {
        node.attribute.remove(at);
        return;
    }
    let attribute = &mut node.attribute[at];
    attribute.i = random.number();
    attribute.f = random.float();
    let at = random.below(attribute.ints.len());
    match attribute.ints.get_mut(at) {
        Some(value) if random.below(3) > 0 => *value = random.number(),
        Some(_) => drop(attribute.ints.remove(at)),
        None => attribute.ints.push(random.number()),
    }
    if let Some(value) = attribute.floats.first_mut() {
        *value = random.float();
    }
}

/// All names of a graph.
fn names(graph: &GraphProto) -> Vec<String> {
    let inputs = graph.input.iter().map(|input| &input.name);
    let constants = graph.initializer.iter().map(|constant| &constant.name);
    inputs.chain(constants).chain(graph.node.iter().flat_map(|node| &node.output)).cloned().collect()
}

fn inputs(graph: &mut GraphProto, node: usize, random: &mut Random) {
    let names = names(graph);
    let Some(node) = graph.node.get_mut(node) else { return };
    let at = random.below(node.input.len());
    let Some(name) = random.one(&names) else { return };
    match random.below(5) {
        0 => node.input.push(name.clone()),
        1 if !node.input.is_empty() => drop(node.input.remove(at)),
        2 if !node.input.is_empty() => node.input[at].clear(),
        _ if !node.input.is_empty() => node.input[at].clone_from(name),
        _ => {}
    }
}

/// A new node of some operator, whose output others take.
fn insert(graph: &mut GraphProto, operators: &[String], random: &mut Random) {
    const GROWS: [&str; 16] = [
        "ConstantOfShape",
        "Expand",
        "Tile",
        "Range",
        "Concat",
        "Add",
        "Mul",
        "MatMul",
        "Shape",
        "Pad",
        "Resize",
        "OneHot",
        "Cast",
        "Reshape",
        "Gather",
        "EyeLike",
    ];
    let names = names(graph);
    let grows = random.below(2) == 0;
    let operator = match random.one(operators) {
        Some(operator) if !grows => operator.clone(),
        _ => GROWS[random.below(GROWS.len())].to_owned(),
    };
    let takes = (0..1 + random.below(3)).filter_map(|_| random.one(&names).cloned()).collect();
    let gives = format!("new{}", graph.node.len());
    let mut node =
        NodeProto { op_type: operator, input: takes, output: vec![gives.clone()], ..NodeProto::default() };
    if node.op_type == "Cast" {
        let to = AttributeProto {
            name: "to".into(),
            r#type: AttributeType::Int as i32,
            i: random.below(13) as i64,
            ..AttributeProto::default()
        };
        node.attribute.push(to);
    }
    let after = random.below(graph.node.len());
    if let Some(taker) = graph.node.get_mut(after) {
        let at = random.below(taker.input.len());
        match taker.input.get_mut(at) {
            Some(input) => *input = gives,
            None => taker.input.push(gives),
        }
    }
    graph.node.insert(random.below(graph.node.len() + 1), node);
}

/// Nodes and constants of another model.
fn borrow(graph: &mut GraphProto, others: &[Vec<u8>], random: &mut Random) {
    let other = random.one(others).and_then(|bytes| ModelProto::decode(bytes.as_slice()).ok());
    let Some(other) = other.and_then(|model| model.graph) else { return };
    graph.initializer.extend(other.initializer);
    let names = names(graph);
    for mut node in other.node {
        for output in node.output.iter_mut().filter(|output| names.contains(output)) {
            output.push('+');
        }
        graph.node.push(node);
    }
}

/// The graph, or a part of it, inside one of its own nodes.
fn nest(graph: &mut GraphProto, node: usize, random: &mut Random) {
    let mut inner = graph.clone();
    inner.input.clear();
    if random.below(2) == 0 {
        inner.initializer.clear();
    }
    let Some(node) = graph.node.get_mut(node) else { return };
    node.op_type = ["If", "Scan"][random.below(2)].to_owned();
    let name = ["then_branch", "else_branch", "body"][random.below(3)].to_owned();
    let attribute = AttributeProto {
        name,
        r#type: AttributeType::Graph as i32,
        g: Some(inner),
        ..AttributeProto::default()
    };
    node.attribute.push(attribute);
}
