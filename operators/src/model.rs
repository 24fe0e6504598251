//! `model`: a model in the stream. It always runs as *plan → dispatcher → stage actors → engine*.

use std::{collections::HashMap, fmt, path::Path, sync::Arc};

use eddyline_runtime::{
    Data,
    batch::Batch,
    engine::{
        Item, ItemError, ItemErrorKind,
        onnx::{Declared, OnnxError, OnnxModel},
    },
    fault::FaultKind,
    graph::{Graph, Place},
    guard,
    operator::{Cx, Holding, Operator},
    ports::{Inlet, Outlet},
    record::{RecordId, Tag, Trail},
    serve::{Call, CallResult, ModelClient, Outcome, ServedModel, Work},
    tensor::{Tensor, TensorError},
    view::Role,
    waker::Waker,
};
use parking_lot::Mutex;

use crate::stream::{Stream, named_spec};

/// A model that makes an `O` of each `I`: an ONNX graph with a step before and a step after, or a function over a batch.
pub struct Model<I, O> {
    code: Code<I, O>,
    place: Place,
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
type Before<I> = Box<dyn FnMut(&I) -> Result<Vec<Vec<Tensor>>, String> + Send>;
/// A record and its items' outputs become a value.
type After<I, O> = Box<dyn FnMut(&I, Vec<Tensor>) -> Result<O, String> + Send>;
type Function<I, O> = dyn FnMut(&[I]) -> Vec<O> + Send;

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
        Model { code: Code::Function(Arc::new(Mutex::new(f))), place: Place::here() }
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
        Model { code, place }
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
        let graph = self.graph.clone();
        let mut spec = named_spec("model", Role::Model, name);
        let name = name.to_owned();
        let place = model.place;
        match &model.code {
            Code::Onnx { file: Ok(onnx), .. } => spec.notes.push(short_file(onnx.file())),
            Code::Onnx { file: Err(_), .. } => {}
            Code::Function(_) => spec.notes.push("function".to_owned()),
        }
        let (runner, wrong) = prepare(model, &name, &graph);
        let made = self.then(spec, move |start| ModelOp {
            client: start.model(&name),
            code: runner,
            calls: HashMap::new(),
            returned: Returned { answers: Arc::default(), waker: start.waker() },
            next: 0,
            rows: 0,
            items: 0,
        });
        for (what, advice) in wrong {
            graph.error(Some(made.port.node()), Some(place), what, advice);
        }
        made
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

enum Runner<I, O> {
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

/// Rows that are with the dispatcher.
struct Pending<I> {
    rows: Arc<Vec<I>>,
    tags: Vec<Tag>,
    /// Per row: how many items it became. Empty for functions.
    items: Vec<usize>,
}

/// Where calls that come back are put down, from any thread.
struct Returned<O> {
    answers: Answers<O>,
    waker: Arc<Waker>,
}

type Answers<O> = Arc<Mutex<Vec<(u64, CallResult, Option<Vec<O>>)>>>;

struct ModelOp<I, O> {
    client: Option<ModelClient>,
    code: Runner<I, O>,
    calls: HashMap<u64, Pending<I>>,
    returned: Returned<O>,
    next: u64,
    rows: usize,
    items: usize,
}

impl<I: Data, O: Data> ModelOp<I, O> {
    fn submit(&mut self, pending: Pending<I>, work: Work, items: usize, slot: Option<Arc<Mutex<Vec<O>>>>) {
        let Some(client) = &self.client else { return };
        let number = self.next;
        self.next += 1;
        let retries = pending.tags.iter().filter(|tag| tag.rounds() > 0).count() as u32;
        self.rows += pending.tags.len();
        self.items += items;
        self.calls.insert(number, pending);
        let (answers, waker) = (Arc::clone(&self.returned.answers), Arc::clone(&self.returned.waker));
        client.submit(Call {
            work,
            retries,
            deadline: None,
            done: Box::new(move |result| {
                let values = slot.map(|slot| std::mem::take(&mut *slot.lock()));
                answers.lock().push((number, result, values));
                waker.wake();
            }),
        });
    }

    fn call_onnx(&mut self, batch: Batch<I>, most: usize, cx: &mut Cx<'_>) {
        let mut rows = Vec::new();
        let mut tags = Vec::new();
        let mut counts = Vec::new();
        let mut items: Vec<Item> = Vec::new();
        let mut ready = Vec::new();
        for (value, tag) in batch.into_rows() {
            let Runner::Onnx { before, order, .. } = &mut self.code else { return };
            let made = match guard::call(|| before(&value)) {
                Ok(Ok(made)) => made,
                Ok(Err(why)) => {
                    cx.fault(
                        &tag,
                        FaultKind::Error,
                        &format!("the step before the model: {why}"),
                        Some(&value),
                    );
                    continue;
                }
                Err(panicked) => {
                    let why = format!("the step before the model: {}", panicked.0);
                    cx.fault(&tag, FaultKind::Panic, &why, Some(&value));
                    continue;
                }
            };
            counts.push(made.len());
            items.extend(made.into_iter().map(|tensors| in_order(tensors, order)));
            rows.push(value);
            tags.push(tag);
            if items.len() >= most {
                ready.push(std::mem::take(&mut (rows, tags, counts, items)));
                (rows, tags, counts, items) = Default::default();
            }
        }
        if !rows.is_empty() {
            ready.push((rows, tags, counts, items));
        }
        for (rows, tags, counts, items) in ready {
            let n = items.len();
            cx.count_model(|model| model.items += n as u64);
            let pending = Pending { rows: Arc::new(rows), tags, items: counts };
            self.submit(pending, Work::Items(items), n, None);
        }
    }

    fn call_function(&mut self, mut batch: Batch<I>, most: usize, cx: &mut Cx<'_>) {
        while !batch.is_empty() {
            let rest = if batch.len() > most { batch.split_off(most) } else { Batch::default() };
            let (rows, tags) = std::mem::replace(&mut batch, rest).into_parts();
            cx.count_model(|model| model.items += rows.len() as u64);
            self.run_function(Arc::new(rows), tags.into_iter().collect());
        }
    }

    fn run_function(&mut self, rows: Arc<Vec<I>>, tags: Vec<Tag>) {
        let Runner::Function(f) = &self.code else { return };
        let (f, input, slot) = (Arc::clone(f), Arc::clone(&rows), Arc::new(Mutex::new(Vec::new())));
        let into = Arc::clone(&slot);
        let run = move || {
            let values = (f.lock())(&input);
            *into.lock() = values;
        };
        let items = rows.len();
        let work = Work::Function { items, run: Box::new(run) };
        self.submit(Pending { rows, tags, items: Vec::new() }, work, items, Some(slot));
    }

    fn finish_onnx(
        &mut self,
        pending: Pending<I>,
        results: Vec<Result<Item, ItemError>>,
        out: &mut Batch<O>,
        cx: &mut Cx<'_>,
    ) {
        let Runner::Onnx { after, output, .. } = &mut self.code else { return };
        let mut results = results.into_iter();
        for ((value, tag), count) in pending.rows.iter().zip(pending.tags).zip(pending.items) {
            let mut tensors = Vec::with_capacity(count);
            let mut failure = None;
            for result in results.by_ref().take(count) {
                match result {
                    Ok(mut item) if *output < item.tensors.len() => {
                        tensors.push(item.tensors.swap_remove(*output))
                    }
                    Ok(_) => failure = Some((FaultKind::Model, "the model gave too few outputs".to_owned())),
                    Err(error) => failure = Some((fault_kind(&error), error.message)),
                }
            }
            let made = match failure {
                Some((kind, why)) => Err((kind, why)),
                None => match guard::call(|| after(value, tensors)) {
                    Ok(Ok(made)) => Ok(made),
                    Ok(Err(why)) => Err((FaultKind::Error, format!("the step after the model: {why}"))),
                    Err(panicked) => {
                        Err((FaultKind::Panic, format!("the step after the model: {}", panicked.0)))
                    }
                },
            };
            match made {
                Ok(made) => out.push(made, tag),
                Err((kind, why)) => {
                    cx.count_model(|model| model.failed += 1);
                    cx.fault(&tag, kind, &why, Some(value));
                }
            }
        }
    }

    fn finish_function(
        &mut self,
        pending: Pending<I>,
        result: Result<(), ItemError>,
        values: Vec<O>,
        out: &mut Batch<O>,
        cx: &mut Cx<'_>,
    ) {
        let why = match result {
            Ok(()) if values.len() == pending.rows.len() => {
                for (value, tag) in values.into_iter().zip(pending.tags) {
                    out.push(value, tag);
                }
                return;
            }
            Ok(()) => ItemError::new(
                ItemErrorKind::Engine,
                format!(
                    "the function gave {} values for {}; it must give one for each",
                    values.len(),
                    pending.rows.len()
                ),
            ),
            Err(error) => error,
        };
        if why.kind == ItemErrorKind::Panic && pending.rows.len() > 1 {
            // Only the values on which it panics shall fail: try each alone.
            for (value, tag) in pending.rows.iter().zip(pending.tags) {
                self.run_function(Arc::new(vec![value.clone()]), vec![tag]);
            }
            return;
        }
        for (value, tag) in pending.rows.iter().zip(&pending.tags) {
            cx.count_model(|model| model.failed += 1);
            cx.fault(tag, fault_kind(&why), &why.message, Some(value));
        }
    }
}

fn in_order(mut tensors: Vec<Tensor>, order: &[usize]) -> Item {
    if order.len() > 1 && tensors.len() == order.len() {
        tensors = order.iter().map(|&i| tensors[i].clone()).collect();
    }
    Item::new(tensors)
}

fn fault_kind(error: &ItemError) -> FaultKind {
    if error.kind == ItemErrorKind::Panic { FaultKind::Panic } else { FaultKind::Model }
}

impl<I: Data, O: Data> Operator for ModelOp<I, O> {
    type In = Inlet<I>;
    type Out = Outlet<O>;

    fn process(&mut self, batch: Batch<I>, _: &mut Outlet<O>, cx: &mut Cx<'_>) {
        let most = self.client.as_ref().map_or(1, ModelClient::batch).max(1);
        match &self.code {
            Runner::Onnx { .. } => self.call_onnx(batch, most, cx),
            Runner::Function(_) => self.call_function(batch, most, cx),
            Runner::Broken => {
                for (value, tag) in batch.into_rows() {
                    cx.fault(&tag, FaultKind::Model, "the model was not loaded", Some(&value));
                }
            }
        }
        let waiting = self.items as u64;
        cx.count_model(|model| model.waiting = waiting);
    }

    fn wake(&mut self, out: &mut Outlet<O>, cx: &mut Cx<'_>) -> bool {
        let answers = std::mem::take(&mut *self.returned.answers.lock());
        if answers.is_empty() {
            return false;
        }
        let mut made = Batch::default();
        for (number, result, values) in answers {
            let Some(pending) = self.calls.remove(&number) else { continue };
            self.rows -= pending.tags.len();
            self.items -=
                if pending.items.is_empty() { pending.tags.len() } else { pending.items.iter().sum() };
            cx.count_model(|model| model.launches += u64::from(result.launches));
            match result.outcome {
                Outcome::Items(results) => self.finish_onnx(pending, results, &mut made, cx),
                Outcome::Function(result) => {
                    self.finish_function(pending, result, values.unwrap_or_default(), &mut made, cx);
                }
            }
        }
        let waiting = self.items as u64;
        cx.count_model(|model| model.waiting = waiting);
        out.put(made, cx);
        true
    }

    fn is_ready(&self) -> bool {
        self.client.as_ref().is_none_or(|client| self.items < client.in_flight_hint().max(1))
    }

    fn holding(&self) -> Holding {
        Holding { held: self.rows, ..Holding::default() }
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        for tag in self.calls.values().flat_map(|pending| &pending.tags) {
            visit(tag.id, tag.trail.as_deref());
        }
    }
}
