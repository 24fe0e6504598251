//! ONNX Runtime beside the cpu engine on graphs of full cost: cut into 2, 3 and 5, by either engine, they give what the whole gives by ONNX
//! Runtime, to 1e-4 of the largest number. Where its library is not found the tests fail and say so; `EDDYLINE_ONNXRUNTIME=skip` leaves
//! them out.
#![cfg(feature = "onnxruntime")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::{fs, sync::Arc};

use eddyline_runtime::{
    engine::{
        Engine, Item, ItemError, ItemErrorKind, StageModel,
        cpu::Cpu,
        onnxruntime::{Onnxruntime, library},
        stop::Stop,
    },
    onnx::{Cuts, OnnxModel},
    tensor::Tensor,
};

#[path = "../../runtime/tests/models/mod.rs"]
mod models;

#[path = "graphs/mod.rs"]
mod graphs;

/// The engine; `None` where it is left out.
fn onnxruntime() -> Option<Onnxruntime> {
    if std::env::var_os("EDDYLINE_ONNXRUNTIME").is_some_and(|value| value == "skip") {
        return None;
    }
    // The one that is installed, or else the one that scripts/fetch-models.sh has fetched.
    let fetched = || {
        fs::read_dir(graphs::home().join("target/models/onnxruntime"))
            .ok()?
            .flatten()
            .map(|file| file.path())
            .min()
    };
    let found = library().or_else(|why| fetched().ok_or(why)).and_then(|path| Onnxruntime::open_at(&path));
    Some(found.unwrap_or_else(|why| {
        panic!("{why}; or run scripts/fetch-models.sh, or set EDDYLINE_ONNXRUNTIME=skip")
    }))
}

/// What graphs one behind the other give.
fn run(engine: &dyn Engine, graphs: &[Arc<OnnxModel>], item: &Item) -> Item {
    let mut session = engine.prepare(&StageModel::Onnx(graphs.to_vec())).unwrap();
    session.run(std::slice::from_ref(item), &Stop::default()).remove(0).unwrap()
}

/// An item of numbers such as the model is made for: detectors take exponents of what they make of others.
fn item(model: &OnnxModel, open: usize) -> Item {
    let item = models::item(model, open, 7);
    let most = match model.file() {
        "yunet.onnx" => 255.0,
        "yolov4_tiny.onnx" => 1.0,
        _ => return item,
    };
    let tensor = |tensor: &Tensor| {
        let values = tensor.values::<f32>().unwrap().iter().map(|value| (value + 1.0) / 2.0 * most);
        Tensor::new(tensor.shape(), values.collect::<Vec<f32>>()).unwrap()
    };
    Item::new(item.tensors.iter().map(tensor).collect())
}

/// The largest difference between the numbers of two items, over the largest number. One below 0.01 is measured by that: where a network
/// finds nothing all is about 0, and engines round the tails of a sigmoid in their own ways.
fn apart(one: &Item, other: &Item) -> f32 {
    let scaled = |item: &Item| {
        let tensor = |tensor: &Tensor| {
            let Ok(values) = tensor.values::<f32>() else { return tensor.clone() };
            let values = values.iter().copied().chain([0.01]).collect::<Vec<f32>>();
            Tensor::vector(values)
        };
        Item::new(item.tensors.iter().map(tensor).collect())
    };
    let shapes = |item: &Item| item.tensors.iter().map(|tensor| tensor.shape().to_vec()).collect::<Vec<_>>();
    assert_eq!(shapes(one), shapes(other));
    models::difference(&scaled(one), &scaled(other))
}

mod gives_the_same_whole_and_cut_by_either_engine {
    use super::*;

    fn check(model: &Arc<OnnxModel>, open: usize) {
        let Some(onnxruntime) = onnxruntime() else { return };
        let item = item(model, open);
        let whole = run(&onnxruntime, std::slice::from_ref(model), &item);
        let shapes: Vec<Vec<usize>> = item.tensors.iter().map(|tensor| tensor.shape().to_vec()).collect();
        let cuts = Cuts::of(model, &shapes).unwrap();
        for count in [2, 3, 5] {
            let segments = cuts.segments(&cuts.blocks(count).unwrap()).unwrap();
            for (name, engine) in [("onnxruntime", &onnxruntime as &dyn Engine), ("cpu", &Cpu)] {
                let apart = apart(&run(engine, &segments, &item), &whole);
                assert!(apart <= 1e-4, "{model:?} in {count} by {name}: {apart} apart");
            }
        }
    }

    graphs::graphs!(check);
}

fn floats(values: &[f32]) -> Item {
    Item::from(Tensor::new([1, 8, 8], values.to_vec()).unwrap())
}

#[test]
fn a_batch_is_run_at_once_and_a_wrong_item_fails_alone() {
    let Some(onnxruntime) = onnxruntime() else { return };
    let model = models::example("account-numbers/heavy.onnx");
    let mut session = onnxruntime.prepare(&StageModel::Onnx(vec![model.clone()])).unwrap();
    let picture = |seed| floats(&models::numbers(seed).take(64).collect::<Vec<f32>>());
    let batch = [picture(1), Item::default(), picture(2), Item::from(Tensor::vector(vec![1_u8])), picture(3)];
    let gave = session.run(&batch, &Stop::default());
    for (item, gave) in batch.iter().zip(&gave) {
        let alone = run_alone(&model, item);
        match (gave, alone) {
            (Ok(gave), Ok(alone)) => assert!(models::difference(gave, &alone) <= 1e-4),
            (gave, alone) => assert_eq!(*gave, alone),
        }
    }
    assert_eq!(gave.iter().filter(|result| result.is_ok()).count(), 3);
}

fn run_alone(model: &Arc<OnnxModel>, item: &Item) -> Result<Item, ItemError> {
    let mut session = Cpu.prepare(&StageModel::Onnx(vec![model.clone()])).unwrap();
    session.run(std::slice::from_ref(item), &Stop::default()).remove(0)
}

#[test]
fn a_launch_that_is_stopped_gives_its_items_up_and_the_next_one_runs() {
    let Some(onnxruntime) = onnxruntime() else { return };
    let model = models::example("account-numbers/heavy.onnx");
    let mut session = onnxruntime.prepare(&StageModel::Onnx(vec![model])).unwrap();
    let item = floats(&[0.5; 64]);
    let batch = [item.clone(), item];
    assert!(session.run(&batch, &Stop::default())[0].is_ok());
    let stop = Stop::default();
    stop.stop();
    let ended = session.run(&batch, &stop);
    assert!(
        ended.iter().all(|result| result.as_ref().is_err_and(|e| e.kind == ItemErrorKind::Stopped)),
        "{ended:?}"
    );
    assert!(session.run(&batch, &Stop::default()).iter().all(Result::is_ok));
}

#[test]
fn a_graph_that_asks_for_more_than_there_is_is_refused_by_it_too() {
    let Some(onnxruntime) = onnxruntime() else { return };
    for bomb in ["bomb_computed_size", "bomb_row_and_column", "bomb_doubling"] {
        let path = graphs::home().join(format!("runtime/tests/hostile/corpus/{bomb}.onnx"));
        let model = Arc::new(OnnxModel::load(path).unwrap());
        let refused = onnxruntime.prepare(&StageModel::Onnx(vec![model])).err().unwrap().to_string();
        assert!(refused.contains("would make a tensor of"), "{bomb}: {refused}");
    }
}
