//! `model`: a model in the stream. It always runs as *plan → dispatcher → device → engine*.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use eddyline_runtime::{
    Data,
    graph::{Graph, Place},
    linear::Makes,
    onnx::{Declared, OnnxError, OnnxModel},
    serve::ServedModel,
    tensor::{Tensor, TensorError},
    view::Role,
};
use parking_lot::Mutex;

use crate::{
    catch::{Failed, Ways},
    memo::{Memo, Remembering},
    model_op::ModelOp,
    stream::{Stream, named_spec},
};

/// A model that makes an `O` of each `I`: an ONNX graph with a step before and a step after, or a function over a batch.
pub struct Model<I, O> {
    code: Code<I, O>,
    place: Place,
    /// How long a call may take.
    limit: Option<Duration>,
    memo: Option<Memo>,
}

enum Code<I, O> {
    Onnx {
        file: Result<Arc<OnnxModel>, OnnxError>,
        inputs: Vec<String>,
        output: String,
        before: Before<I>,
        after: After<I, O>,
    },
    Function(Arc<Mutex<Function<I, O>>>),
}

/// One record becomes items: the tensors of each, in the order of the declared inputs.
pub(crate) type Before<I> = Box<dyn FnMut(&I) -> Result<Vec<Vec<Tensor>>, String> + Send>;
/// A record and its items' outputs become a value.
pub(crate) type After<I, O> = Box<dyn FnMut(&I, Vec<Tensor>) -> Result<O, String> + Send>;
pub(crate) type Function<I, O> = dyn FnMut(&[I]) -> Vec<O> + Send;

impl<I, O> fmt::Debug for Model<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Code::Onnx { file: Ok(model), .. } => write!(f, "Model({})", model.file()),
            Code::Onnx { file: Err(error), .. } => write!(f, "Model({error})"),
            Code::Function(_) => write!(f, "Model(function)"),
        }
    }
}

/// An ONNX file whose inputs and output are still to be named; see [`Model::onnx`].
#[must_use = "name its input with `.input(…)` and its output with `.output(…)`"]
pub struct OnnxBuilder {
    file: Result<Arc<OnnxModel>, OnnxError>,
    place: Place,
}

/// An ONNX file with its input named; see [`Model::onnx`].
#[must_use = "name its output with `.output(…)`"]
pub struct OnnxInput<I> {
    builder: OnnxBuilder,
    inputs: Vec<String>,
    before: Before<I>,
}

/// What a step before a model may give: a [`Tensor`], or a `Result` of one.
pub trait IntoTensor {
    /// The tensor, or why there is none.
    fn into_tensor(self) -> Result<Tensor, String>;
}

impl IntoTensor for Tensor {
    fn into_tensor(self) -> Result<Tensor, String> {
        Ok(self)
    }
}

impl IntoTensor for Result<Tensor, TensorError> {
    fn into_tensor(self) -> Result<Tensor, String> {
        self.map_err(|error| error.to_string())
    }
}

impl Model<(), ()> {
    /// A model from an ONNX file. Name its input and its output, and say how a value becomes a tensor and back:
    ///
    /// ```no_run
    /// # use eddyline::prelude::*;
    /// # #[derive(Clone, serde::Serialize, serde::Deserialize)] struct Digit { pixels: Vec<f32> }
    /// let reader = Model::onnx("light.onnx")
    ///     .input("picture", |digit: &Digit| Tensor::new([1, 8, 8], digit.pixels.clone()))
    ///     .output("probabilities", |_digit, p| p.values::<f32>().map(<[f32]>::to_vec).unwrap_or_default());
    /// ```
    ///
    /// Tensors are those of one item, without the batch dimension. A file that is missing or damaged and a tensor that the file
    /// does not have are reported when the workflow is run, with this line.
    #[track_caller]
    pub fn onnx(path: impl AsRef<Path>) -> OnnxBuilder {
        OnnxBuilder { file: OnnxModel::load(path).map(Arc::new), place: Place::here() }
    }

    /// The same from the bytes of an ONNX file; `name` is what messages call it.
    #[track_caller]
    pub fn onnx_bytes(name: &str, bytes: &[u8]) -> OnnxBuilder {
        OnnxBuilder { file: OnnxModel::from_bytes(name, bytes).map(Arc::new), place: Place::here() }
    }

    /// A model that is a function over a batch: it gives one value for each, in order.
    ///
    /// It runs on the thread of the device that the plan gives it. If it panics, each value is tried alone, so that only those
    /// on which it panics end as faults.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("lengths");
    /// let lengths = flow
    ///     .source("words", ["a", "bcd"].map(String::from))
    ///     .model("length", Model::function(|words: &[String]| words.iter().map(String::len).collect()))
    ///     .collect();
    /// assert_eq!(flow.run().await?.take(lengths), [1, 3]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn function<I: Data, O: Data>(f: impl FnMut(&[I]) -> Vec<O> + Send + 'static) -> Model<I, O> {
        Model { code: Code::Function(Arc::new(Mutex::new(f))), place: Place::here(), limit: None, memo: None }
    }
}

impl<I: Data, O: Data> Model<I, O> {
    /// Each call may take `limit` and no longer: the records of one that takes longer are faults of kind
    /// [`TimeOut`](crate::FaultKind::TimeOut), and its answer is thrown away. The others go on.
    ///
    /// A call is what the operator hands over at a time, up to the plan's batch. Its time runs from when a device begins with it
    /// (with the launch that it is in, where it is an ONNX file), not while it waits for one. A device cannot be taken away from what it is at: what waits behind a call that is late waits
    /// on, and only where that call has not come back for ten times the limit are the records that wait given up too. The end of a
    /// run does not wait for it.
    ///
    /// ```
    /// # use eddyline::{FaultKind, prelude::*};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("answers");
    /// let slow = Model::function(|questions: &[u64]| {
    ///     std::thread::sleep(Duration::from_millis(300));
    ///     questions.to_vec()
    /// });
    /// let answers = flow.source("questions", [1]).model("slow", slow.within(Duration::from_millis(50))).collect();
    /// let mut report = flow.run().await?;
    /// assert!(report.take(answers).is_empty());
    /// assert_eq!(report.faults()[0].kind, FaultKind::TimeOut);
    /// # Ok(()) }
    /// ```
    pub fn within(self, limit: Duration) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// What it has given before it is not called for again, in this run or in others that share `memo`: see [`Memo`]. For ONNX files.
    pub fn memo(self, memo: &Memo) -> Self {
        Self { memo: Some(memo.clone()), ..self }
    }
}

impl OnnxBuilder {
    /// The model has one input, called `name`; `f` makes its tensor of a value.
    pub fn input<I: Data, R: IntoTensor>(
        self,
        name: &str,
        mut f: impl FnMut(&I) -> R + Send + 'static,
    ) -> OnnxInput<I> {
        let before = move |value: &I| Ok(vec![vec![f(value).into_tensor()?]]);
        OnnxInput { builder: self, inputs: vec![name.to_owned()], before: Box::new(before) }
    }

    /// The model has several inputs; `f` makes their tensors of a value, in the order of `names`.
    pub fn inputs<I: Data>(
        self,
        names: &[&str],
        mut f: impl FnMut(&I) -> Vec<Tensor> + Send + 'static,
    ) -> OnnxInput<I> {
        let inputs = names.iter().map(|name| (*name).to_owned()).collect();
        OnnxInput { builder: self, inputs, before: Box::new(move |value: &I| Ok(vec![f(value)])) }
    }

    /// The model has one input, called `name`, and runs as often on a value as `f` makes tensors of it: the crops of a
    /// picture, the windows of a sound.
    pub fn items<I: Data>(
        self,
        name: &str,
        mut f: impl FnMut(&I) -> Vec<Tensor> + Send + 'static,
    ) -> OnnxItems<I> {
        let before = move |value: &I| Ok(f(value).into_iter().map(|tensor| vec![tensor]).collect());
        OnnxItems(OnnxInput { builder: self, inputs: vec![name.to_owned()], before: Box::new(before) })
    }
}

impl<I: Data> OnnxInput<I> {
    /// The model's output called `name` is what is wanted; `f` makes a value of it and of what went in.
    pub fn output<O: Data>(
        self,
        name: &str,
        mut f: impl FnMut(&I, &Tensor) -> O + Send + 'static,
    ) -> Model<I, O> {
        self.finish(
            name,
            Box::new(move |value, tensors| match tensors.as_slice() {
                [tensor] => Ok(f(value, tensor)),
                _ => Err(format!("the model gave {} tensors for one item", tensors.len())),
            }),
        )
    }

    fn finish<O>(self, output: &str, after: After<I, O>) -> Model<I, O> {
        let OnnxBuilder { file, place } = self.builder;
        let code =
            Code::Onnx { file, inputs: self.inputs, output: output.to_owned(), before: self.before, after };
        Model { code, place, limit: None, memo: None }
    }
}

/// An ONNX file that runs several times on each value; see [`OnnxBuilder::items`].
#[must_use = "name its output with `.outputs(…)`"]
pub struct OnnxItems<I>(OnnxInput<I>);

impl<I: Data> OnnxItems<I> {
    /// `f` makes a value of what went in and of the output called `name` of each item, in order.
    pub fn outputs<O: Data>(
        self,
        name: &str,
        mut f: impl FnMut(&I, Vec<Tensor>) -> O + Send + 'static,
    ) -> Model<I, O> {
        self.0.finish(name, Box::new(move |value, tensors| Ok(f(value, tensors))))
    }
}

impl<T: Data> Stream<T> {
    /// Runs a model on each value. The plan places it (see [`Workflow::placed`](crate::Workflow::placed)) under this name;
    /// without a plan it runs on the CPU.
    ///
    /// A value on which it fails is a fault of that record; the rest of its batch is not concerned. With several devices,
    /// results come out in the order in which they are ready.
    #[track_caller]
    pub fn model<O: Data>(self, name: &str, model: Model<T, O>) -> Stream<O> {
        self.model_or_catch(name, model, Place::here(), false).0
    }

    /// [`model`](Self::model) whose failures come out second as [`Failed`] records instead of ending in quarantine: for another model, for
    /// a handler, or back to a feedback point.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("fallback");
    /// let quick = Model::function(|all: &[u32]| all.iter().map(|n| 12 / n).collect());
    /// let (made, failed) = flow.source("numbers", [3, 0, 4]).model_catch("quick", quick);
    /// let careful = Model::function(|all: &[u32]| all.iter().map(|n| n + 100).collect());
    /// let made = made.merge(failed.map(|failed| failed.value).model("careful", careful)).collect();
    /// let mut report = flow.run().await?;
    /// let mut made = report.take(made);
    /// made.sort();
    /// assert_eq!(made, [3, 4, 100]);
    /// assert!(report.faults().is_empty());
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn model_catch<O: Data>(self, name: &str, model: Model<T, O>) -> (Stream<O>, Stream<Failed<T>>) {
        self.model_or_catch(name, model, Place::here(), true)
    }

    fn model_or_catch<O: Data>(
        self,
        name: &str,
        model: Model<T, O>,
        written: Place,
        caught: bool,
    ) -> (Stream<O>, Stream<Failed<T>>) {
        let graph = self.graph.clone();
        let mut spec = named_spec("model", Role::Model, name);
        spec.place = written;
        let name = name.to_owned();
        let place = model.place;
        match &model.code {
            Code::Onnx { file: Ok(onnx), .. } => spec.notes.push(short_file(onnx.file())),
            Code::Onnx { file: Err(_), .. } => {}
            Code::Function(_) => spec.notes.push("function".to_owned()),
        }
        let limit = model.limit;
        if let Some(limit) = limit {
            spec.notes.push(format!("within {limit:?}"));
        }
        if model.memo.is_some() {
            spec.notes.push("remembers".to_owned());
        }
        let memory = match (&model.memo, &model.code) {
            (Some(memo), Code::Onnx { file: Ok(onnx), .. }) => Some(Remembering::new(memo.clone(), onnx)),
            _ => None,
        };
        let forgets = model.memo.is_some() && matches!(model.code, Code::Function(_));
        let (runner, mut wrong) = prepare(model, &name, &graph);
        if forgets {
            wrong.push((
                format!(
                    "model `{name}` is a function, of which nobody can tell whether it is still the same"
                ),
                "give `.memo(…)` to models from ONNX files only",
            ));
        }
        if limit.is_some_and(|limit| limit.is_zero()) {
            wrong.push((
                format!("the calls of model `{name}` may take no time at all"),
                "give `within` more than 0",
            ));
        }
        let node = graph.add(spec);
        let input = self.lead_to(node);
        let (ways, made, failed) = Ways::new(&graph, node, caught);
        graph.set_makes(node, Makes::One);
        graph.build_with(node, move |start| {
            (ModelOp::new(&name, (runner, memory), limit, start), input.inlet(), ways.open())
        });
        for (what, advice) in wrong {
            graph.error(Some(node), Some(place), what, advice);
        }
        (made, failed)
    }
}

fn short_file(path: &str) -> String {
    path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned()
}

/// What is wrong with a model, and what to do about it.
type Wrong = Vec<(String, &'static str)>;

/// Holds the model against its file, and declares it to the run.
fn prepare<I, O>(model: Model<I, O>, name: &str, graph: &Graph) -> (Runner<I, O>, Wrong) {
    match model.code {
        Code::Function(f) => {
            graph.declare_model(ServedModel::Function { name: name.to_owned() });
            (Runner::Function(f), Wrong::new())
        }
        Code::Onnx { file: Err(error), .. } => (
            Runner::Broken,
            vec![(format!("model `{name}`: {error}"), "give `Model::onnx` a whole ONNX file")],
        ),
        Code::Onnx { file: Ok(onnx), inputs, output, before, after } => {
            let declare = |names: &[String]| names.iter().map(Declared::new).collect::<Vec<_>>();
            let wrong: Wrong = onnx
                .check(name, &declare(&inputs), &declare(std::slice::from_ref(&output)))
                .iter()
                .map(|mismatch| {
                    (mismatch.to_string(), "use the file's names in `.input(…)` and `.output(…)`")
                })
                .collect();
            // Tensors travel in the file's order.
            let order: Option<Vec<usize>> =
                onnx.inputs().iter().map(|spec| inputs.iter().position(|name| *name == spec.name)).collect();
            let (Some(order), Some(output), true) = (order, onnx.output_index(&output), wrong.is_empty())
            else {
                return (Runner::Broken, wrong);
            };
            graph.declare_model(ServedModel::Onnx { name: name.to_owned(), model: onnx });
            (Runner::Onnx { before, after, order, output }, wrong)
        }
    }
}

/// What a model operator runs.
pub(crate) enum Runner<I, O> {
    Onnx {
        before: Before<I>,
        after: After<I, O>,
        order: Vec<usize>,
        output: usize,
    },
    Function(Arc<Mutex<Function<I, O>>>),
    /// The workflow is refused before this could run.
    Broken,
}
