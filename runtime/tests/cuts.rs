//! A model that is cut gives what the whole gives.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::sync::Arc;

use eddyline_runtime::onnx::{Cuts, OnnxModel};
use proptest::{prelude::*, test_runner::RngSeed};
use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto,
    attribute_proto::AttributeType,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};

mod models;

#[test]
fn the_models_of_the_examples_can_be_cut() {
    for path in ["account-numbers/heavy.onnx", "account-numbers/light.onnx", "template/iris.onnx"] {
        models::assert_cuts_change_nothing(&models::example(path), 1, &[2, 3]);
    }
    models::assert_cuts_change_nothing(&models::example("account-numbers/heavy.onnx"), 1, &[5, 7]);
}

/// What a layer of a random graph does with tensors that are there already.
#[derive(Clone, Debug)]
enum Layer {
    /// One element by one.
    Alone(&'static str, usize),
    /// Two tensors of one shape.
    Pair(&'static str, usize, usize),
    /// With a constant.
    Scale(&'static str, usize),
    /// With a constant that a node makes of another.
    Scaled(usize),
    /// Through the tensor's own shape, which then crosses or is known.
    Reshape(usize, usize),
    /// Rows and columns swapped, and back by the next one.
    Transpose(usize),
    /// Times a matrix.
    MatMul(usize),
    /// Scaled, and times what its mean says.
    Gate(usize),
    /// Two tensors beside each other, times a matrix.
    Beside(usize, usize),
    /// An activation of five layers.
    Gelu(usize),
}

fn layers() -> impl Strategy<Value = Vec<Layer>> {
    let at = || 0_usize..64;
    let layer = prop_oneof![
        (prop::sample::select(vec!["Relu", "Sigmoid", "Tanh", "Neg"]), at())
            .prop_map(|(o, a)| Layer::Alone(o, a)),
        (prop::sample::select(vec!["Add", "Mul", "Max"]), at(), at())
            .prop_map(|(o, a, b)| Layer::Pair(o, a, b)),
        (prop::sample::select(vec!["Add", "Mul"]), at()).prop_map(|(o, a)| Layer::Scale(o, a)),
        at().prop_map(Layer::Scaled),
        (at(), at()).prop_map(|(a, b)| Layer::Reshape(a, b)),
        at().prop_map(Layer::Transpose),
        at().prop_map(Layer::MatMul),
        at().prop_map(Layer::Gate),
        (at(), at()).prop_map(|(a, b)| Layer::Beside(a, b)),
        at().prop_map(Layer::Gelu),
    ];
    prop::collection::vec(layer, 3..14)
}

fn whole_numbers(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints,
        ..AttributeProto::default()
    }
}

/// A graph over [N, 4, 4]; wherever a layer points, it takes what the layers before it made.
fn graph(layers: &[Layer], outputs: &[usize]) -> Arc<OnnxModel> {
    let mut node = Vec::new();
    let mut add = |operator: &str, takes: &[String], gives: &str, attribute: Vec<AttributeProto>| {
        let (op_type, input) = (operator.to_owned(), takes.to_vec());
        node.push(NodeProto {
            op_type,
            input,
            output: vec![gives.into()],
            attribute,
            ..NodeProto::default()
        });
    };
    let mut made = vec!["x".to_owned()];
    for (at, layer) in layers.iter().enumerate() {
        let of = |a: &usize| made[a % made.len()].clone();
        let gives = format!("t{at}");
        match layer {
            Layer::Alone(operator, a) => add(operator, &[of(a)], &gives, vec![]),
            Layer::Pair(operator, a, b) => add(operator, &[of(a), of(b)], &gives, vec![]),
            Layer::Scale(operator, a) => add(operator, &[of(a), "w".into()], &gives, vec![]),
            Layer::Scaled(a) => {
                add("Sigmoid", &["w".into()], &format!("c{at}"), vec![]);
                add("Mul", &[of(a), format!("c{at}")], &gives, vec![]);
            }
            Layer::Reshape(a, b) => {
                add("Shape", &[of(b)], &format!("s{at}"), vec![]);
                add("Reshape", &[of(a), format!("s{at}")], &gives, vec![]);
            }
            Layer::Transpose(a) => {
                let perm = whole_numbers("perm", vec![0, 2, 1]);
                add("Transpose", &[of(a)], &gives, vec![perm]);
            }
            Layer::MatMul(a) => add("MatMul", &[of(a), "w".into()], &gives, vec![]),
            Layer::Gate(a) => {
                let axes = whole_numbers("axes", vec![1, 2]);
                add("Div", &[of(a), "six".into()], &format!("d{at}"), vec![]);
                add("ReduceMean", &[format!("d{at}")], &format!("m{at}"), vec![axes]);
                add("Sigmoid", &[format!("m{at}")], &format!("g{at}"), vec![]);
                add("Mul", &[format!("d{at}"), format!("g{at}")], &gives, vec![]);
            }
            Layer::Beside(a, b) => {
                let axis = AttributeProto {
                    name: "axis".into(),
                    r#type: AttributeType::Int as i32,
                    i: 2,
                    ..AttributeProto::default()
                };
                add("Concat", &[of(a), of(b)], &format!("b{at}"), vec![axis]);
                add("MatMul", &[format!("b{at}"), "tall".into()], &gives, vec![]);
            }
            Layer::Gelu(a) => {
                add("Div", &[of(a), "root".into()], &format!("e{at}"), vec![]);
                add("Erf", &[format!("e{at}")], &format!("f{at}"), vec![]);
                add("Add", &[format!("f{at}"), "one".into()], &format!("h{at}"), vec![]);
                add("Mul", &[of(a), format!("h{at}")], &format!("p{at}"), vec![]);
                add("Mul", &[format!("p{at}"), "half".into()], &gives, vec![]);
            }
        }
        made.push(gives);
    }
    let info = |name: &str| {
        let dim = |value| Dimension { value: Some(value), ..Dimension::default() };
        let four = || dim(dimension::Value::DimValue(4));
        let shape =
            Some(TensorShapeProto { dim: vec![dim(dimension::Value::DimParam("N".into())), four(), four()] });
        let value =
            type_proto::Value::TensorType(type_proto::Tensor { elem_type: DataType::Float as i32, shape });
        let r#type = Some(TypeProto { value: Some(value), ..TypeProto::default() });
        ValueInfoProto { name: name.into(), r#type, ..ValueInfoProto::default() }
    };
    let mut wanted: Vec<&String> = outputs.iter().map(|at| &made[1 + at % layers.len()]).collect();
    wanted.push(&made[layers.len()]);
    wanted.sort();
    wanted.dedup();
    let constant = |name: &str, dims: &[i64], float_data: Vec<f32>| TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        float_data,
        ..TensorProto::default()
    };
    let weights =
        |name, rows: usize| constant(name, &[rows as i64, 4], models::numbers(3).take(4 * rows).collect());
    let number = |name, value| constant(name, &[], vec![value]);
    let initializer = vec![
        weights("w", 4),
        weights("tall", 8),
        number("six", 6.0),
        number("root", std::f32::consts::SQRT_2),
        number("one", 1.0),
        number("half", 0.5),
    ];
    let graph = GraphProto {
        name: "random".into(),
        initializer,
        input: vec![info("x")],
        output: wanted.into_iter().map(|name| info(name)).collect(),
        node,
        ..GraphProto::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 13 }];
    let model = ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..ModelProto::default() };
    Arc::new(OnnxModel::from_bytes("random.onnx", model.encode_to_vec()).unwrap())
}

proptest! {
    // The same graphs each time, unless PROPTEST_RNG_SEED says which: of others about one in a thousand differs by rounding, where a tensor
    // is scaled in several places (MODELS.md).
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(2), ..ProptestConfig::with_cases(100) })]

    #[test]
    fn a_random_graph_gives_the_same_wherever_it_is_cut(
        layers in layers(),
        outputs in prop::collection::vec(0_usize..64, 0..3),
        picks in prop::collection::vec(0_usize..64, 1..5),
    ) {
        let model = graph(&layers, &outputs);
        let item = models::item(&model, 1, 5);
        let whole = models::run(std::slice::from_ref(&model), &item).unwrap();
        let cuts = Cuts::new(&model).unwrap();
        let all = cuts.places();
        if !all.is_empty() {
            let mut places: Vec<usize> = picks.iter().map(|pick| all[pick % all.len()].0).collect();
            places.sort_unstable();
            places.dedup();
            let parts = models::run(&cuts.segments(&places).unwrap(), &item);
            prop_assert_eq!(parts, Ok(whole), "cut at {:?}", places);
            for place in places {
                let names: Vec<String> = cuts.crossing(place).iter().map(|crossing| crossing.name.clone()).collect();
                let again = cuts.find(&names).unwrap();
                prop_assert_eq!(cuts.crossing(again), cuts.crossing(place));
            }
        }
    }
}

#[test]
fn what_cannot_be_cut_is_refused_with_what_to_do() {
    let model = models::example("account-numbers/heavy.onnx");
    let cuts = Cuts::new(&model).unwrap();
    let refused = cuts.blocks(40).unwrap_err().to_string();
    assert!(refused.contains("cannot be cut into 40 blocks: it can be cut at 6 places"), "{refused}");
    assert!(cuts.segments(&[1]).unwrap_err().to_string().contains("no segment from 0 to 1"));
    assert!(cuts.segments(&[99]).is_err() && cuts.segments(&[5, 3]).is_err());
    assert_eq!(cuts.find(&["lost".to_owned()]), None);
    let shapes = Cuts::of(&model, &[vec![1, 9, 9]]).err().unwrap().to_string();
    assert!(shapes.contains("takes no item of [1,9,9]"), "{shapes}");
}

#[test]
fn what_a_segment_holds_at_once_is_known() {
    // x → relu → tanh, then the sum with x, which is held all the way; 64 bytes each.
    let layers = [Layer::Alone("Relu", 0), Layer::Alone("Tanh", 1), Layer::Pair("Add", 0, 2)];
    let cuts = Cuts::new(&graph(&layers, &[])).unwrap();
    assert_eq!(cuts.activation_bytes(0..3), 192);
    assert_eq!(cuts.activation_bytes(0..1), 128);
    assert_eq!(cuts.activation_bytes(2..3), 192);
    assert_eq!(cuts.activation_bytes(1..1), 0);
}
