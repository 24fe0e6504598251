//! Models for tests, and whether cutting one changes what it gives.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::{fs, path::Path, sync::Arc};

use eddyline_runtime::{
    engine::{Engine, Item, StageModel, cpu::Cpu, stop::Stop},
    onnx::{Cuts, OnnxModel},
    tensor::{DType, Dim, Tensor},
};
use prost::Message;
use tract_onnx::pb::{ModelProto, TensorProto, tensor_proto::DataType};

/// A model of the examples.
pub fn example(path: &str) -> Arc<OnnxModel> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(path);
    Arc::new(OnnxModel::load(path).unwrap())
}

/// Numbers between −1 and 1 that look random, the same each time.
pub fn numbers(seed: u64) -> impl Iterator<Item = f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
}

/// An item that a model takes; open dimensions are `open` long.
pub fn item(model: &OnnxModel, open: usize, seed: u64) -> Item {
    let tensor = |(at, spec): (usize, &eddyline_runtime::tensor::TensorSpec)| {
        let len = |dim: &Dim| if let Dim::Fixed(len) = dim { *len } else { open };
        let shape: Vec<usize> = spec.item_shape().iter().map(len).collect();
        let values = numbers(seed + at as u64).take(shape.iter().product());
        match spec.dtype {
            DType::F32 => Tensor::new(shape, values.collect()),
            DType::I32 => Tensor::new(shape, values.map(|v| (v.abs() * 255.0) as i32).collect()),
            other => panic!("no values of {other}"),
        }
        .unwrap()
    };
    Item::new(model.inputs().iter().enumerate().map(tensor).collect())
}

/// What graphs one behind the other give.
pub fn run(graphs: &[Arc<OnnxModel>], item: &Item) -> Result<Item, String> {
    let mut item = item.clone();
    for graph in graphs {
        let session = Cpu.prepare(&StageModel::Onnx(vec![graph.clone()]));
        let mut session = session.map_err(|error| error.message)?;
        item = session.run(&[item], &Stop::default()).remove(0).map_err(|error| error.message)?;
    }
    Ok(item)
}

/// Cuts a model into so many blocks of each, and holds what they give against the whole: no difference at all.
pub fn assert_cuts_change_nothing(model: &Arc<OnnxModel>, open: usize, counts: &[usize]) {
    let item = item(model, open, 7);
    let whole = run(std::slice::from_ref(model), &item).unwrap();
    let finite = whole.tensors.iter().filter_map(|tensor| tensor.values::<f32>().ok());
    assert!(finite.flatten().all(|value| value.is_finite()), "{model:?} gives no numbers");
    let shapes: Vec<Vec<usize>> = item.tensors.iter().map(|tensor| tensor.shape().to_vec()).collect();
    let cuts = Cuts::of(model, &shapes).unwrap();
    for count in counts {
        let places = cuts.blocks(*count).unwrap();
        let segments = cuts.segments(&places).unwrap();
        assert_eq!(segments.len(), *count);
        let parts = run(&segments, &item).unwrap_or_else(|error| panic!("cut at {places:?}: {error}"));
        assert_eq!(difference(&parts, &whole), 0.0, "{model:?}, cut at {places:?}");
    }
}

/// The largest difference between two items' numbers, over the largest number; infinite where they are not alike.
pub fn difference(one: &Item, other: &Item) -> f32 {
    if one == other {
        return 0.0;
    }
    let of = |tensors: (&Tensor, &Tensor)| {
        let (a, b) = (tensors.0.values::<f32>().ok()?, tensors.1.values::<f32>().ok()?);
        let most = b.iter().fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
        let apart = a.iter().zip(b).fold(0.0_f32, |apart, (a, b)| apart.max((a - b).abs()));
        (tensors.0.shape() == tensors.1.shape()).then_some(apart / most)
    };
    let alike = one.tensors.len() == other.tensors.len();
    let pairs = one.tensors.iter().zip(&other.tensors).map(of);
    pairs.map(|apart| apart.filter(|_| alike).unwrap_or(f32::INFINITY)).fold(0.0, f32::max)
}

/// A graph whose weights were left out, with others of the same shapes and spread.
pub fn seeded(path: &Path) -> Arc<OnnxModel> {
    let mut model = ModelProto::decode(fs::read(path).unwrap().as_slice()).unwrap();
    let seeds = model.metadata_props.iter().find(|entry| entry.key == "seeded").unwrap().value.clone();
    let graph = model.graph.as_mut().unwrap();
    let seeds: Vec<(String, Vec<i64>, f32, f32)> = serde_json::from_str(&seeds).unwrap();
    for (at, (name, dims, mean, deviation)) in seeds.into_iter().enumerate() {
        let count = dims.iter().product::<i64>() as usize;
        // Evenly spread numbers deviate by 1/√3.
        let values = numbers(at as u64).take(count).map(|value| value * 1.732 * deviation + mean);
        let raw_data = values.flat_map(f32::to_le_bytes).collect();
        let data_type = DataType::Float as i32;
        graph.initializer.push(TensorProto { name, dims, data_type, raw_data, ..TensorProto::default() });
    }
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    Arc::new(OnnxModel::from_bytes(name, model.encode_to_vec()).unwrap())
}
