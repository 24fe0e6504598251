//! The onnxruntime engine: ONNX models through ONNX Runtime, whose library is loaded when it is first asked for. It runs on the thread
//! that calls it, and on no other.
//!
//! A batch is one launch where every input and output has an open first dimension, and its items have one shape; otherwise, and
//! where a launch fails, items run one by one, so that a wrong item fails alone. What goes in for one item is not copied.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use ort::{
    environment::Environment,
    session::{
        NoSelectedOutputs, RunOptions, Session as Loaded, SessionInputValue, SessionInputs,
        builder::GraphOptimizationLevel,
    },
    value::{DynValue, PrimitiveTensorElementType, TensorRef},
};

use super::{
    Engine, Item, ItemError, ItemErrorKind, PrepareError, Session, StageModel, check_item, functions,
    guarded, limits::Limits, stop::Stop,
};
use crate::{
    onnx::OnnxModel,
    tensor::{DType, Dim, Element, Tensor, TensorSpec, Values, dims},
};

/// Runs on the processor by ONNX Runtime.
pub struct Onnxruntime {
    environment: Environment,
}

/// The library, once it was asked for.
static LOADED: OnceLock<Result<Environment, String>> = OnceLock::new();

impl Onnxruntime {
    /// Loads the library, once for the whole program: the one that `ORT_DYLIB_PATH` names, or that of the PyPI package `onnxruntime`
    /// in the virtual environment that is active, or one of the system.
    ///
    /// # Errors
    /// Where there is none that can be loaded; says what to do.
    pub fn open() -> Result<Self, String> {
        match LOADED.get() {
            Some(loaded) => Ok(Self { environment: loaded.clone()? }),
            None => Self::open_at(&library()?),
        }
    }

    /// Loads this library; where the program has loaded one already, that one stays.
    ///
    /// # Errors
    /// Where it cannot be loaded; says why.
    pub fn open_at(library: &Path) -> Result<Self, String> {
        let load = || {
            let environment = guarded(|| {
                let builder = ort::init_from(library).map_err(|error| error.to_string())?;
                builder.with_telemetry(false).build().map_err(|error| error.to_string())
            });
            let environment = environment.map_err(|panic| panic.message).and_then(|made| made);
            environment.map_err(|why| {
                format!(
                    "`{}` cannot be loaded as the library of ONNX Runtime: {why}; give one of version 1.17 or later in ORT_DYLIB_PATH",
                    library.display()
                )
            })
        };
        let environment = LOADED.get_or_init(load).clone()?;
        Ok(Self { environment })
    }

    /// The environment that it loaded. There can be one in a program: who also uses `ort` takes this.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// Where the library is.
pub fn library() -> Result<PathBuf, String> {
    if let Some(path) = env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    let site_packages = |root: &Path| {
        let versions = fs::read_dir(root.join("lib")).into_iter().flatten().flatten();
        versions.map(|version| version.path().join("site-packages/onnxruntime/capi")).collect::<Vec<_>>()
    };
    let mut folders =
        env::var_os("VIRTUAL_ENV").map(|root| site_packages(Path::new(&root))).unwrap_or_default();
    folders.extend(["/usr/local/lib", "/usr/lib"].map(PathBuf::from));
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let is_library = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy());
        name.is_some_and(|name| name.starts_with("libonnxruntime.so") || name == "libonnxruntime.dylib")
    };
    files.map(|file| file.path()).find(is_library).ok_or_else(|| {
        "no library of ONNX Runtime was found; `pip install onnxruntime` into a virtual environment and activate it, or let \
         ORT_DYLIB_PATH name its libonnxruntime.so"
            .to_owned()
    })
}

impl Engine for Onnxruntime {
    fn prepare(&self, stage: &StageModel) -> Result<Box<dyn Session>, PrepareError> {
        match stage {
            StageModel::Function => Ok(functions()),
            StageModel::Onnx(models) => {
                let graph = |model: &Arc<OnnxModel>| {
                    Graph::load(&self.environment, model).map_err(|why| PrepareError {
                        message: format!(
                            "`{}` cannot be run by the onnxruntime engine: {why}; try to simplify the model and export it again",
                            model.file()
                        ),
                    })
                };
                let graphs = models.iter().map(graph).collect::<Result<_, _>>()?;
                Ok(Box::new(Graphs(graphs)))
            }
        }
    }
}

/// Graphs one behind the other.
struct Graphs(Vec<Graph>);

impl Session for Graphs {
    fn run(&mut self, batch: &[Item], stop: &Stop) -> Vec<Result<Item, ItemError>> {
        let mut results: Vec<Result<Item, ItemError>> = batch.iter().cloned().map(Ok).collect();
        for graph in &mut self.0 {
            graph.run(&mut results, stop);
        }
        if stop.is_stopped() {
            results
                .iter_mut()
                .filter(|result| result.is_err())
                .for_each(|result| *result = Err(ItemError::stopped()));
        }
        results
    }

    fn call_bytes(&self, items: usize) -> u64 {
        let of = |graph: &Graph| match graph.takes_batches {
            true => graph.limits.call_bytes.saturating_mul(items as u64),
            false => graph.limits.call_bytes,
        };
        self.0.iter().map(of).max().unwrap_or(0)
    }
}

struct Graph {
    model: Arc<OnnxModel>,
    session: Loaded,
    /// By which a launch is ended, between two nodes.
    options: Arc<RunOptions<NoSelectedOutputs>>,
    /// Whether a launch may hold several items.
    takes_batches: bool,
    limits: Limits,
}

impl Graph {
    fn load(environment: &Environment, model: &Arc<OnnxModel>) -> Result<Self, String> {
        let limits = Limits::of(model)?;
        let say = |error: &dyn std::fmt::Display| error.to_string().replace('\n', " ");
        let session = guarded(|| {
            let builder = Loaded::builder(environment).map_err(|error| say(&error))?;
            let builder = builder.with_intra_threads(1).map_err(|error| say(&error))?;
            let builder = builder.with_inter_threads(1).map_err(|error| say(&error))?;
            let builder = builder.with_intra_op_spinning(false).map_err(|error| say(&error))?;
            let level = GraphOptimizationLevel::All;
            let mut builder = builder.with_optimization_level(level).map_err(|error| say(&error))?;
            if let Some(folder) = model.folder() {
                let key = "session.model_external_initializers_file_folder_path";
                builder = builder.with_config_entry(key, folder).map_err(|error| say(&error))?;
            }
            builder.commit_from_memory(model.bytes()).map_err(|error| say(&error))
        });
        let session = session.map_err(|panic| panic.message)??;
        let is_open = |spec: &TensorSpec| matches!(spec.shape.first(), Some(Dim::Dynamic(_)));
        let takes_batches = model.inputs().iter().chain(model.outputs()).all(is_open);
        let options =
            guarded(RunOptions::new).map_err(|panic| panic.message)?.map_err(|error| say(&error))?;
        Ok(Self { model: model.clone(), session, options: Arc::new(options), takes_batches, limits })
    }

    /// Puts what it gives in the place of what it takes.
    fn run(&mut self, results: &mut [Result<Item, ItemError>], stop: &Stop) {
        for result in results.iter_mut() {
            if let Some(error) = result.as_ref().ok().and_then(|item| self.check(item).err()) {
                *result = Err(error);
            }
        }
        let items: Vec<&Item> = results.iter().flatten().collect();
        let alike = |pair: &[&Item]| {
            pair[0].tensors.iter().zip(&pair[1].tensors).all(|(a, b)| a.shape() == b.shape())
        };
        let together = self.takes_batches && items.len() > 1 && items.windows(2).all(alike);
        let launched = together.then(|| self.launch(&items, stop).ok()).flatten();
        if let Some(given) = launched {
            results
                .iter_mut()
                .filter(|result| result.is_ok())
                .zip(given)
                .for_each(|(result, item)| *result = Ok(item));
            return;
        }
        for result in results {
            if let Ok(item) = result {
                let given = self.launch(&[item], stop).map(|mut given| given.swap_remove(0));
                *result = given.map_err(|why| self.failed(&why));
            }
        }
    }

    fn check(&mut self, item: &Item) -> Result<(), ItemError> {
        check_item(&self.model, item)?;
        self.limits.check(&self.model, item).map_err(|why| self.failed(&why))
    }

    fn failed(&self, why: &str) -> ItemError {
        let message = format!("`{}` could not run this item: {why}", self.model.file());
        ItemError::new(ItemErrorKind::Engine, message)
    }

    /// Runs items of one shape together, at least one.
    fn launch(&mut self, items: &[&Item], stop: &Stop) -> Result<Vec<Item>, String> {
        if stop.is_stopped() {
            return Err("stopped".to_owned());
        }
        let count = items.len();
        let Self { model, session, options, .. } = self;
        let end = {
            let options = Arc::clone(options);
            // Where it fails the launch runs to its end.
            move || drop(options.terminate())
        };
        let run = || -> Result<Vec<Item>, String> {
            let inputs = model.inputs().iter().enumerate().map(|(at, spec)| {
                let tensors: Vec<&Tensor> = items.iter().map(|item| &item.tensors[at]).collect();
                Ok((spec.name.as_str(), input(&tensors)?))
            });
            let inputs: Vec<(&str, SessionInputValue<'_>)> = inputs.collect::<Result<_, String>>()?;
            let inputs = SessionInputs::<0>::from(inputs);
            let given = stop
                .ended_by(end, || session.run_with_options(inputs, options.as_ref()))
                .map_err(|error| error.to_string().replace('\n', " "))?;
            let mut made: Vec<Item> = vec![Item::default(); count];
            for spec in model.outputs() {
                let value = given.get(&spec.name).ok_or_else(|| format!("it gave no `{}`", spec.name))?;
                for (item, tensor) in made.iter_mut().zip(parts(spec, value, count)?) {
                    item.tensors.push(tensor);
                }
            }
            Ok(made)
        };
        let done = guarded(run).map_err(|panic| panic.message)?;
        if stop.is_stopped() {
            // The next launch is another one.
            options.unterminate().map_err(|error| error.to_string())?;
        }
        done
    }
}

/// One input of a launch. A single item's elements are lent, several are put one behind the other.
fn input<'a>(tensors: &[&'a Tensor]) -> Result<SessionInputValue<'a>, String> {
    fn stacked<'a, T>(tensors: &[&'a Tensor], shape: Vec<usize>) -> Result<SessionInputValue<'a>, String>
    where
        T: Element + PrimitiveTensorElementType + std::fmt::Debug + Clone,
    {
        let say = |error: ort::Error| error.to_string();
        if let [only] = tensors {
            let values = only.values::<T>().map_err(|error| error.to_string())?;
            return Ok(TensorRef::from_array_view((shape, values)).map_err(say)?.into());
        }
        let mut all = Vec::with_capacity(shape.iter().product());
        for tensor in tensors {
            all.extend_from_slice(tensor.values::<T>().map_err(|error| error.to_string())?);
        }
        Ok(ort::value::Tensor::from_array((shape, all)).map_err(say)?.into())
    }
    let first = tensors.first().ok_or("a launch of no items")?;
    let shape = std::iter::once(tensors.len()).chain(first.shape().iter().copied()).collect();
    match first.data() {
        Values::F32(_) => stacked::<f32>(tensors, shape),
        Values::I32(_) => stacked::<i32>(tensors, shape),
        Values::I64(_) => stacked::<i64>(tensors, shape),
        Values::U8(_) => stacked::<u8>(tensors, shape),
        Values::Bool(_) => stacked::<bool>(tensors, shape),
    }
}

/// One output of a launch, taken apart into its items.
fn parts(spec: &TensorSpec, value: &DynValue, count: usize) -> Result<Vec<Tensor>, String> {
    fn apart<T>(spec: &TensorSpec, value: &DynValue, count: usize) -> Result<Vec<Tensor>, String>
    where
        T: Element + PrimitiveTensorElementType,
    {
        let (shape, values) = value.try_extract_tensor::<T>().map_err(|error| error.to_string())?;
        let shape: Vec<usize> = shape.iter().map(|len| usize::try_from(*len).unwrap_or(0)).collect();
        let wrong =
            || format!("output `{}` came as [{}], which is no batch of {count}", spec.name, dims(&shape));
        let [batch, item @ ..] = shape.as_slice() else { return Err(wrong()) };
        if *batch != count || values.len() % count != 0 {
            return Err(wrong());
        }
        let size = values.len() / count;
        let tensor =
            |at: usize| Tensor::from_values(item, T::wrap(values[at * size..(at + 1) * size].into()));
        (0..count).map(|at| tensor(at).map_err(|error| error.to_string())).collect()
    }
    match spec.dtype {
        DType::F32 => apart::<f32>(spec, value, count),
        DType::I32 => apart::<i32>(spec, value, count),
        DType::I64 => apart::<i64>(spec, value, count),
        DType::U8 => apart::<u8>(spec, value, count),
        DType::Bool => apart::<bool>(spec, value, count),
    }
}
