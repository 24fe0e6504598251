//! What our engines cost beside plain ONNX Runtime: one thread, one item, the same models.
//!
//! | engine | what |
//! |---|---|
//! | `plain` | ONNX Runtime by the crate `ort` alone; what comes out is left where it is |
//! | `session` | the `onnxruntime` engine, as a device's thread calls it |
//! | `served` | the same through dispatcher, stage actor and device thread, as a workflow calls it |
//! | `tract` | the `cpu` engine, as a device's thread calls it |
//!
//! All in one process, which does nothing else, interleaved in rounds; processor time of the whole process, medians. Needs what
//! `scripts/fetch-models.sh` fetches; `engines resnet50 magika` runs only these.

use std::{error::Error, fs, path::Path, sync::Arc};

use cpu_time::ProcessTime;
use eddyline_benches::{Figure, median, report};
use eddyline_planner::{Cluster, DeviceKind, EngineKind, Pipeline, Plan};
use eddyline_runtime::{
    clock::Clock,
    engine::{
        Engine, Item, Session, StageModel,
        cpu::Cpu,
        onnxruntime::{Onnxruntime, library},
        stop::Stop,
    },
    onnx::OnnxModel,
    serve::{Call, ModelClient, Outcome, ServedModel, Serving, Work},
};
use ort::{
    environment::Environment,
    session::{Session as Plain, builder::GraphOptimizationLevel},
    value::TensorRef,
};
use tokio::runtime::Runtime;

#[path = "../../../runtime/tests/models/mod.rs"]
#[allow(clippy::unwrap_used, reason = "a model that cannot be made ends the measurement")]
mod models;

/// Rounds of each model; a round runs it once in each way.
const ROUNDS: usize = 25;
/// Rounds before those that count.
const WARM_UP: usize = 3;
const WAYS: [&str; 4] = ["plain", "session", "served", "tract"];

/// A model: its name, whether its weights are made up, and how long open dimensions are.
const MODELS: [(&str, bool, usize); 11] = [
    ("mobilenet_v2", true, 224),
    ("efficientnet_b0", true, 224),
    ("resnet50", true, 224),
    ("densenet121", true, 224),
    ("convnext_tiny", true, 224),
    ("doc_orientation", false, 224),
    ("magika", false, 2048),
    ("ocr_rec_tiny", false, 320),
    ("ocr_det_tiny", false, 480),
    ("ocr_det_v4", false, 480),
    ("yolov4_tiny", false, 416),
];

fn main() -> Result<(), Box<dyn Error>> {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut figures = Vec::new();
    let mut ratios = [const { Vec::new() }; WAYS.len()];
    println!("{:16} {}  ratio to plain", "ms", WAYS.map(|way| format!("{way:>9}")).join(""));
    for (name, seeded, open) in MODELS {
        if !asked.is_empty() && !asked.iter().any(|asked| asked == name) {
            continue;
        }
        let medians = measure(&load(name, seeded)?, open, &tokio)?;
        let ratio = medians.map(|ms| ms / medians[0]);
        let text = |values: [f64; 4], digits| values.map(|v| format!("{v:>9.digits$}")).join("");
        println!("{name:16} {}  {}", text(medians, 2), text(ratio, 3));
        for (at, way) in WAYS.into_iter().enumerate() {
            ratios[at].push(ratio[at]);
            figures.push(Figure { case: name, engine: way, value: medians[at], unit: "ms", rounds: ROUNDS });
        }
    }
    for (way, ratios) in WAYS.into_iter().zip(ratios) {
        let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
        figures.push(Figure {
            case: "mean ratio to plain",
            engine: way,
            value: mean,
            unit: "×",
            rounds: ROUNDS,
        });
    }
    report("engines", &figures)?;
    Ok(())
}

fn load(name: &str, seeded: bool) -> Result<Arc<OnnxModel>, Box<dyn Error>> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if seeded {
        return Ok(models::seeded(&home.join(format!("../shared/models/graphs/{name}.seeded.onnx"))));
    }
    Ok(Arc::new(OnnxModel::load(home.join(format!("target/models/{name}.onnx")))?))
}

/// The library that is installed, or else the one that `scripts/fetch-models.sh` has fetched.
fn onnxruntime() -> Result<Onnxruntime, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/models/onnxruntime");
    let fetched = || fs::read_dir(folder).ok()?.flatten().map(|file| file.path()).min();
    library().or_else(|why| fetched().ok_or(why)).and_then(|path| Onnxruntime::open_at(&path))
}

/// The median of each way, ms of processor time.
fn measure(model: &Arc<OnnxModel>, open: usize, tokio: &Runtime) -> Result<[f64; 4], Box<dyn Error>> {
    let item = models::item(model, open, 7);
    let stage = StageModel::Onnx(vec![model.clone()]);
    let ours = onnxruntime()?;
    let mut plain = plain(model, ours.environment())?;
    let mut session = ours.prepare(&stage)?;
    let mut tract = Cpu.prepare(&stage)?;
    let (serving, client) = tokio.block_on(served(model))?;
    let mut took = [const { Vec::new() }; WAYS.len()];
    for round in 0..WARM_UP + ROUNDS {
        for (way, took) in took.iter_mut().enumerate() {
            let from = ProcessTime::now();
            match way {
                0 => run_plain(&mut plain, &item)?,
                1 => run(&mut *session, &item)?,
                2 => call(tokio, &client, &item)?,
                _ => run(&mut *tract, &item)?,
            }
            if round >= WARM_UP {
                took.push(from.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    tokio.block_on(serving.stop());
    Ok(took.map(median))
}

/// ONNX Runtime with the same settings, by its own interface.
fn plain(model: &OnnxModel, environment: &Environment) -> Result<Plain, Box<dyn Error>> {
    let mut builder = Plain::builder(environment)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_optimization_level(GraphOptimizationLevel::All)?;
    Ok(builder.commit_from_memory(model.bytes())?)
}

fn run_plain(session: &mut Plain, item: &Item) -> Result<(), Box<dyn Error>> {
    let inputs = item.tensors.iter().map(|tensor| -> Result<_, Box<dyn Error>> {
        let shape: Vec<usize> = std::iter::once(1).chain(tensor.shape().iter().copied()).collect();
        Ok(match tensor.values::<f32>() {
            Ok(values) => ort::session::SessionInputValue::from(TensorRef::from_array_view((shape, values))?),
            Err(_) => TensorRef::from_array_view((shape, tensor.values::<i32>()?))?.into(),
        })
    });
    let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
    let outputs = session.run(inputs.as_slice())?;
    if outputs.len() == 0 {
        return Err("it gave nothing".into());
    }
    Ok(())
}

fn run(session: &mut dyn Session, item: &Item) -> Result<(), Box<dyn Error>> {
    session.run(std::slice::from_ref(item), &Stop::default()).swap_remove(0)?;
    Ok(())
}

async fn served(model: &Arc<OnnxModel>) -> Result<(Serving, ModelClient), Box<dyn Error>> {
    let cluster = Cluster::of([(DeviceKind::new("onnxruntime", EngineKind::Onnxruntime), 1)])?;
    let device = cluster.devices()[0].name.clone();
    let plan = Plan::new(cluster, Vec::new(), vec![Pipeline::whole("model", 1, [device.as_str()])])?;
    let models = vec![ServedModel::Onnx { name: "model".to_owned(), model: model.clone() }];
    let serving = Serving::start(plan, models, Clock::real()).await?;
    let client = serving.client("model").ok_or("the model is not served")?;
    Ok((serving, client))
}

fn call(tokio: &Runtime, client: &ModelClient, item: &Item) -> Result<(), Box<dyn Error>> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let done = Box::new(move |result| drop(tell.send(result)));
    let call = Call { work: Work::Items(vec![item.clone()]), retries: 0, deadline: None, done, wake: None };
    client.submit(call);
    match tokio.block_on(told)?.outcome {
        Outcome::Items(results) => results.into_iter().collect::<Result<Vec<_>, _>>().map(drop)?,
        Outcome::Functions(results) => results.into_iter().collect::<Result<_, _>>()?,
    }
    Ok(())
}
