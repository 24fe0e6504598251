//! A model's graph, checked: every tensor is made once and by somebody, nothing goes round in a circle, and no size is declared that
//! would fill the memory. With an order in which its nodes can run.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    path::Path,
};

use prost::Message;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, tensor_shape_proto::dimension, type_proto,
};

use super::{sizes, weights, wire};

/// A tensor, by its place among all of a graph.
pub type Tensor = usize;

/// A graph that can be relied on.
pub struct Graph {
    /// What was read.
    pub proto: ModelProto,
    /// The tensors' names.
    pub names: Vec<String>,
    /// What is fed, in the file's order, without initialisers.
    pub inputs: Vec<Tensor>,
    /// What is wanted, in the file's order.
    pub outputs: Vec<Tensor>,
    /// The nodes, in the file's order.
    pub nodes: Vec<Node>,
    /// The nodes that depend on an input, in an order in which they can run: the file's, where it is one.
    pub order: Vec<usize>,
    /// The other nodes, likewise: what they give is the same for every item.
    pub constants: Vec<usize>,
    /// Which node makes a tensor; `None` for inputs and initialisers.
    pub maker: Vec<Option<usize>>,
    /// Whether a tensor is the same for every item: an initialiser, or made of such only.
    pub constant: Vec<bool>,
}

/// What a node takes and gives.
pub struct Node {
    /// Its inputs, with what the graphs inside it take from outside; each once.
    pub takes: Vec<Tensor>,
    /// Its outputs.
    pub gives: Vec<Tensor>,
}

/// Operators that give something else each time.
const RANDOM: [&str; 6] =
    ["RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"];

impl Graph {
    /// Reads and checks the bytes of a file. `folder`: where weights in files of their own may be.
    pub fn read(bytes: &[u8], folder: Option<&Path>) -> Result<Self, String> {
        wire::check(bytes)?;
        let proto = ModelProto::decode(bytes).map_err(|error| error.to_string())?;
        let graph = proto.graph.as_ref().ok_or("it has no graph")?;
        check_names(graph)?;
        check_tensors(graph, folder)?;
        sizes::check(graph)?;
        let mut made = Made::default();
        let inputs_and_initialisers = made.given(graph)?;
        let nodes = made.nodes(graph)?;
        let outputs = graph.output.iter().map(|output| {
            made.ids
                .get(output.name.as_str())
                .copied()
                .ok_or_else(|| format!("no node of its graph makes the output `{}`", output.name))
        });
        let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
        if outputs.is_empty() {
            return Err("its graph has no outputs".to_owned());
        }
        let order = order(graph, &nodes, &made.maker)?;
        let mut constant = vec![false; made.names.len()];
        let (inputs, initialisers) = inputs_and_initialisers;
        for tensor in initialisers {
            constant[tensor] = true;
        }
        let is_constant = |at: &usize, constant: &mut [bool]| {
            let node = &nodes[*at];
            let is = !RANDOM.contains(&graph.node[*at].op_type.as_str())
                && node.takes.iter().all(|t| constant[*t]);
            node.gives.iter().for_each(|tensor| constant[*tensor] = is);
            is
        };
        let (constants, order) = order.into_iter().partition(|at| is_constant(at, &mut constant));
        let Made { names, maker, .. } = made;
        let names = names.into_iter().map(str::to_owned).collect();
        Ok(Self { names, inputs, outputs, nodes, order, constants, maker, constant, proto })
    }

    /// The graph as it was read.
    pub fn graph(&self) -> &GraphProto {
        static EMPTY: std::sync::LazyLock<GraphProto> = std::sync::LazyLock::new(GraphProto::default);
        self.proto.graph.as_ref().unwrap_or(&EMPTY)
    }
}

/// The tensors found so far, and who makes them.
#[derive(Default)]
struct Made<'a> {
    ids: HashMap<&'a str, Tensor>,
    names: Vec<&'a str>,
    maker: Vec<Option<usize>>,
}

impl<'a> Made<'a> {
    fn add(&mut self, name: &'a str, maker: Option<usize>) -> Result<Tensor, String> {
        let tensor = self.names.len();
        if self.ids.insert(name, tensor).is_some() {
            return Err(format!("two things make the tensor `{name}`"));
        }
        self.names.push(name);
        self.maker.push(maker);
        Ok(tensor)
    }

    /// Inputs and initialisers. Older files name initialisers among the inputs too.
    fn given(&mut self, graph: &'a GraphProto) -> Result<(Vec<Tensor>, Vec<Tensor>), String> {
        if let Some(sparse) = graph.sparse_initializer.first() {
            let name = sparse.values.as_ref().map_or("", |values| &values.name);
            return Err(format!("the constant `{name}` is sparse; make it dense"));
        }
        let mut initialisers = Vec::with_capacity(graph.initializer.len());
        for constant in &graph.initializer {
            initialisers.push(self.add(&constant.name, None)?);
        }
        let mut inputs = Vec::new();
        let constants: HashSet<&str> =
            graph.initializer.iter().map(|constant| constant.name.as_str()).collect();
        for input in graph.input.iter().filter(|input| !constants.contains(input.name.as_str())) {
            inputs.push(self.add(&input.name, None)?);
        }
        Ok((inputs, initialisers))
    }

    fn nodes(&mut self, graph: &'a GraphProto) -> Result<Vec<Node>, String> {
        let mut gives = Vec::with_capacity(graph.node.len());
        for (at, node) in graph.node.iter().enumerate() {
            let outputs = node.output.iter().filter(|name| !name.is_empty());
            gives.push(outputs.map(|name| self.add(name, Some(at))).collect::<Result<Vec<_>, _>>()?);
        }
        let mut nodes = Vec::with_capacity(graph.node.len());
        for (node, gives) in graph.node.iter().zip(gives) {
            let mut names: Vec<&str> =
                node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
            taken_inside(node, &mut names);
            let tensor = |name: &str| {
                let missing = || {
                    format!("node {} takes `{name}`, which no input, constant or node gives", called(node))
                };
                self.ids.get(name).copied().ok_or_else(missing)
            };
            let mut takes = names.into_iter().map(tensor).collect::<Result<Vec<_>, _>>()?;
            takes.sort_unstable();
            takes.dedup();
            nodes.push(Node { takes, gives });
        }
        Ok(nodes)
    }
}

/// A node as messages call it.
pub fn called(node: &NodeProto) -> String {
    let name = [&node.name].into_iter().chain(&node.output).find(|name| !name.is_empty());
    format!("`{}` ({})", name.map_or("", |name| name), node.op_type)
}

/// The graphs inside a node.
pub fn graphs_of(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

/// What the graphs inside a node (of a loop or a branch) take from outside. The wire check bounds the depth.
fn taken_inside<'a>(node: &'a NodeProto, names: &mut Vec<&'a str>) {
    for graph in graphs_of(node) {
        let inputs = graph.input.iter().map(|input| input.name.as_str());
        let constants = graph.initializer.iter().map(|constant| constant.name.as_str());
        let made = graph.node.iter().flat_map(|node| &node.output).map(String::as_str);
        let own: HashSet<&str> = inputs.chain(constants).chain(made).collect();
        let mut taken: Vec<&str> = Vec::new();
        for node in &graph.node {
            taken.extend(node.input.iter().map(String::as_str));
            taken_inside(node, &mut taken);
        }
        taken.extend(graph.output.iter().map(|output| output.name.as_str()));
        names.extend(taken.into_iter().filter(|name| !name.is_empty() && !own.contains(name)));
    }
}

/// All nodes, each behind those that it takes from; otherwise in the file's order.
fn order(graph: &GraphProto, nodes: &[Node], maker: &[Option<usize>]) -> Result<Vec<usize>, String> {
    let mut waits: Vec<usize> = Vec::with_capacity(nodes.len());
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        let before = node.takes.iter().filter_map(|tensor| maker[*tensor]);
        waits.push(before.map(|before| next[before].push(at)).count());
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        waits.iter().enumerate().filter(|(_, waits)| **waits == 0).map(|(at, _)| Reverse(at)).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(at)) = ready.pop() {
        order.push(at);
        for after in &next[at] {
            waits[*after] -= 1;
            if waits[*after] == 0 {
                ready.push(Reverse(*after));
            }
        }
    }
    match waits.iter().position(|waits| *waits > 0) {
        None => Ok(order),
        Some(at) => Err(format!(
            "node {} waits for its own output: the graph goes round in a circle",
            called(&graph.node[at])
        )),
    }
}

/// Names are shown: they are text on one line. The wire check bounds the depth.
fn check_names(graph: &GraphProto) -> Result<(), String> {
    let infos = graph.input.iter().chain(&graph.output).map(|info| &info.name);
    let of_nodes = graph
        .node
        .iter()
        .flat_map(|node| [&node.name, &node.op_type].into_iter().chain(&node.input).chain(&node.output));
    let mut names = infos.chain(graph.initializer.iter().map(|constant| &constant.name)).chain(of_nodes);
    match names.find(|name| name.contains(char::is_control)) {
        Some(name) => Err(format!("the name {name:?} has characters that cannot be shown")),
        None => graph.node.iter().flat_map(graphs_of).try_for_each(check_names),
    }
}

/// Every constant, and every size that is declared of a tensor, in the graph and in graphs inside it.
fn check_tensors(graph: &GraphProto, folder: Option<&Path>) -> Result<(), String> {
    let of_node = |node: &NodeProto| -> Result<(), String> {
        let mut tensors =
            node.attribute.iter().flat_map(|attribute| attribute.t.iter().chain(&attribute.tensors));
        let named = |tensor: &TensorProto| {
            weights::check(tensor, folder).map_err(|why| format!("node {}: {why}", called(node)))
        };
        tensors.try_for_each(named)?;
        graphs_of(node).try_for_each(|graph| check_tensors(graph, folder))
    };
    graph.initializer.iter().try_for_each(|constant| weights::check(constant, folder))?;
    graph.input.iter().chain(&graph.output).chain(&graph.value_info).try_for_each(check_size)?;
    graph.node.iter().try_for_each(of_node)
}

fn check_size(info: &ValueInfoProto) -> Result<(), String> {
    let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_ref().and_then(|of| of.value.as_ref())
    else {
        return Ok(());
    };
    let dims = tensor.shape.iter().flat_map(|shape| &shape.dim);
    let fixed = dims.filter_map(|dim| match dim.value {
        Some(dimension::Value::DimValue(len)) if len > 0 => Some(len),
        _ => None,
    });
    let elements = weights::elements(&fixed.collect::<Vec<_>>());
    let size = weights::element_bytes(tensor.elem_type).unwrap_or(1);
    match elements.and_then(|n| n.checked_mul(size)) {
        Some(bytes) if bytes <= weights::LARGEST_BYTES => Ok(()),
        _ => Err(format!(
            "the tensor `{}` is declared larger than {} bytes",
            info.name,
            weights::LARGEST_BYTES
        )),
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{
        AttributeProto, TensorProto, TensorShapeProto, TypeProto, tensor_proto::DataType,
        tensor_shape_proto::Dimension,
    };

    use super::*;

    fn node(operator: &str, takes: &[&str], gives: &[&str]) -> NodeProto {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        NodeProto { op_type: operator.into(), input: own(takes), output: own(gives), ..NodeProto::default() }
    }

    fn info(name: &str, dims: &[i64]) -> ValueInfoProto {
        let dim =
            |len: &i64| Dimension { value: Some(dimension::Value::DimValue(*len)), ..Dimension::default() };
        let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
        let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape };
        let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
        ValueInfoProto { name: name.into(), r#type: Some(r#type), ..ValueInfoProto::default() }
    }

    fn floats(name: &str, dims: &[i64]) -> TensorProto {
        let float_data = vec![1.0; dims.iter().product::<i64>() as usize];
        TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: DataType::Float as i32,
            float_data,
            ..TensorProto::default()
        }
    }

    fn sizes(name: &str, values: &[i64]) -> TensorProto {
        let (dims, data_type) = (vec![values.len() as i64], DataType::Int64 as i32);
        TensorProto {
            name: name.into(),
            dims,
            data_type,
            int64_data: values.to_vec(),
            ..TensorProto::default()
        }
    }

    fn read(node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Result<Graph, String> {
        let (input, output) = (vec![info("x", &[1, 4])], vec![info("y", &[1, 4])]);
        let graph = GraphProto { node, initializer, input, output, ..GraphProto::default() };
        Graph::read(&ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec(), None)
    }

    fn refused(node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> String {
        read(node, initializer).err().unwrap_or_default()
    }

    #[test]
    fn nodes_are_put_in_an_order_in_which_they_can_run_and_constants_are_known() {
        let nodes = vec![
            node("Add", &["a", "double"], &["y"]),
            node("Relu", &["x"], &["a"]),
            node("Add", &["w", "w"], &["double"]),
            node("RandomNormal", &[], &["noise"]),
        ];
        let graph = read(nodes, vec![floats("w", &[4])]).unwrap();
        assert_eq!((graph.order, graph.constants), (vec![1, 0, 3], vec![2]));
        let constant: Vec<&String> =
            graph.names.iter().zip(&graph.constant).filter(|(_, is)| **is).map(|(name, _)| name).collect();
        assert_eq!(constant, ["w", "double"]);
    }

    #[test]
    fn a_graph_that_is_none_is_refused_with_the_node() {
        let circle = vec![
            node("Add", &["x", "b"], &["a"]),
            node("Relu", &["a"], &["b"]),
            node("Relu", &["b"], &["y"]),
        ];
        assert!(refused(circle, vec![]).contains("node `a` (Add) waits for its own output"));
        let itself = vec![node("Add", &["x", "y"], &["y"])];
        assert!(refused(itself, vec![]).contains("goes round in a circle"));
        let missing = vec![node("Add", &["x", "w"], &["y"])];
        assert!(
            refused(missing, vec![])
                .contains("node `y` (Add) takes `w`, which no input, constant or node gives")
        );
        let twice = vec![node("Relu", &["x"], &["y"]), node("Relu", &["x"], &["y"])];
        assert!(refused(twice, vec![]).contains("two things make the tensor `y`"));
        let shadowed = vec![node("Relu", &["x"], &["w"])];
        assert!(refused(shadowed, vec![floats("w", &[1])]).contains("two things make the tensor `w`"));
        assert!(refused(vec![node("Relu", &["x"], &["z"])], vec![]).contains("makes the output `y`"));
        let short = TensorProto { float_data: vec![1.0], ..floats("w", &[4]) };
        assert!(refused(vec![node("Add", &["x", "w"], &["y"])], vec![short]).contains("needs 16 bytes"));
    }

    #[test]
    fn what_would_fill_the_memory_is_refused() {
        let relu = || vec![node("Relu", &["x"], &["y"])];
        let declared = |dims: &[i64]| {
            let (input, output) = (vec![info("x", dims)], vec![info("y", &[1])]);
            let graph = GraphProto { node: relu(), input, output, ..GraphProto::default() };
            let bytes = ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec();
            Graph::read(&bytes, None).err().unwrap_or_default()
        };
        assert!(declared(&[1, 1 << 20, 1 << 20]).contains("`x` is declared larger than"));
        assert!(declared(&[1, i64::MAX, i64::MAX]).contains("`x` is declared larger than"));
        assert_eq!(declared(&[1, 1 << 10, 1 << 10]), "");
        for (operator, takes) in
            [("ConstantOfShape", &["s"][..]), ("Expand", &["x", "s"]), ("Tile", &["x", "s"])]
        {
            let nodes = || vec![node(operator, takes, &["y"])];
            let why = refused(nodes(), vec![sizes("s", &[1 << 20, 1 << 20])]);
            assert!(
                why.contains(&format!("node `y` ({operator}) asks for a tensor of [1048576, 1048576]")),
                "{why}"
            );
            assert_eq!(refused(nodes(), vec![sizes("s", &[4, 4])]), "");
        }
        let range = || vec![node("Range", &["from", "to", "by"], &["y"])];
        let of = |to| vec![sizes("from", &[0]), sizes("to", &[to]), sizes("by", &[1])];
        assert!(refused(range(), of(1 << 40)).contains("asks for a tensor"));
        assert_eq!(refused(range(), of(10)), "");
    }

    #[test]
    fn names_that_cannot_be_shown_and_orders_that_are_none_are_refused() {
        let why = refused(vec![node("Relu", &["x"], &["y\n"])], vec![]);
        assert!(why.contains(r#"the name "y\n" has characters that cannot be shown"#), "{why}");
        let ordered = |perm: &[i64]| {
            let perm =
                AttributeProto { name: "perm".into(), ints: perm.to_vec(), ..AttributeProto::default() };
            vec![NodeProto { attribute: vec![perm], ..node("Transpose", &["x"], &["y"]) }]
        };
        assert!(refused(ordered(&[1, 1]), vec![]).contains("into the order [1, 1], which is none"));
        assert_eq!(refused(ordered(&[1, 0]), vec![]), "");
    }

    #[test]
    fn graphs_inside_nodes_take_from_outside() {
        let inner = GraphProto {
            node: vec![node("Add", &["a", "w"], &["inner"])],
            output: vec![info("inner", &[1, 4])],
            ..GraphProto::default()
        };
        let branch =
            AttributeProto { name: "then_branch".into(), g: Some(inner), ..AttributeProto::default() };
        let branching = NodeProto { attribute: vec![branch], ..node("If", &["x"], &["y"]) };
        let graph =
            read(vec![branching.clone(), node("Relu", &["x"], &["a"])], vec![floats("w", &[4])]).unwrap();
        assert_eq!(graph.order, [1, 0]);
        assert!(refused(vec![branching], vec![]).contains("takes `a`"));
    }
}
