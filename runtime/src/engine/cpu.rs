//! The cpu engine: ONNX models through tract, on the thread that calls it.
//!
//! A batch is a loop over one concrete plan of batch 1: tract's plans for larger or symbolic batches cost 1.6 to 7 times
//! as much per item. Where a model leaves dimensions besides the batch open, there is one plan per shape seen, the latest
//! [`PLANS`] are kept.

use std::{collections::HashMap, sync::Arc};

use tract_onnx::{prelude::*, tract_core::plan::eval};

use super::{
    Engine, Item, ItemError, ItemErrorKind, PrepareError, Session, StageModel, bounds, check_item, functions,
    guarded, stop::Stop,
};
use crate::guard;
use crate::onnx::OnnxModel;
use crate::tensor::{DType, Dim, Element, Tensor as Ours, TensorSpec, dims};

/// Most concrete plans that a stage keeps of one model.
pub const PLANS: usize = 8;

/// Runs on the processor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Engine for Cpu {
    fn prepare(&self, stage: &StageModel) -> Result<Box<dyn Session>, PrepareError> {
        match stage {
            StageModel::Function => Ok(functions()),
            StageModel::Onnx(models) => {
                let graphs = models.iter().map(Graph::prepare).collect::<Result<_, _>>()?;
                Ok(Box::new(Graphs(graphs)))
            }
        }
    }
}

/// Graphs one behind the other.
struct Graphs(Vec<Graph>);

impl Session for Graphs {
    fn run(&mut self, batch: &[Item], stop: &Stop) -> Vec<Result<Item, ItemError>> {
        let mut run = |item: &Item| {
            self.0.iter_mut().try_fold(item.clone(), |item, graph| {
                let file = graph.model.file().to_owned();
                guarded(|| graph.run(&item, stop)).unwrap_or_else(|panic| {
                    Err(ItemError::new(panic.kind, format!("`{file}`: {}", one_line(&panic.message))))
                })
            })
        };
        // Whatever a stopped one says of why it has no result, the reason is the stop.
        let run = |item: &Item| {
            run(item).map_err(|error| if stop.is_stopped() { ItemError::stopped() } else { error })
        };
        batch.iter().map(run).collect()
    }

    fn call_bytes(&self, _: usize) -> u64 {
        self.0.iter().map(|graph| graph.call_bytes).max().unwrap_or(0)
    }
}

type Runnable = Arc<TypedRunnableModel>;

/// One ONNX graph with its concrete plans.
struct Graph {
    model: Arc<OnnxModel>,
    /// Present where shapes are open, so that further plans can be made.
    inferred: Option<InferenceModel>,
    /// Plans by the shapes of their inputs, the latest last.
    plans: Vec<(Vec<Vec<usize>>, Runnable)>,
    /// Most bytes that an item held at once, of the shapes so far.
    call_bytes: u64,
}

impl Graph {
    fn prepare(model: &Arc<OnnxModel>) -> Result<Self, PrepareError> {
        let fail = |what: String| PrepareError {
            message: format!(
                "`{}` cannot be run by the cpu engine: {what}; try to simplify the model and export it again",
                model.file()
            ),
        };
        let made = attempt(|| -> TractResult<Self> {
            let (inferred, _) = parse(model)?;
            match fixed_shapes(model) {
                None => Ok(Self {
                    model: model.clone(),
                    inferred: Some(inferred),
                    plans: Vec::new(),
                    call_bytes: 0,
                }),
                Some(shapes) => {
                    let (plan, call_bytes) = concrete(inferred, model, &shapes)?;
                    Ok(Self { model: model.clone(), inferred: None, plans: vec![(shapes, plan)], call_bytes })
                }
            }
        });
        made.map_err(fail)
    }

    /// Ends between two nodes where it is stopped.
    fn run(&mut self, item: &Item, stop: &Stop) -> Result<Item, ItemError> {
        if stop.is_stopped() {
            return Err(ItemError::stopped());
        }
        check_item(&self.model, item)?;
        let engine = |error: TractError| {
            ItemError::new(
                ItemErrorKind::Engine,
                format!("`{}` could not run this item: {}", self.model.file(), chain(&error)),
            )
        };
        let plan = match self.plans.iter().position(|(shapes, _)| fits(shapes, item)) {
            Some(at) => self.plans[at].1.clone(),
            None => {
                let shapes: Vec<Vec<usize>> = item.tensors.iter().map(|t| t.shape().to_vec()).collect();
                let Some(inferred) = self.inferred.clone() else {
                    return Err(ItemError::new(
                        ItemErrorKind::Input,
                        "the item has a shape that the model does not take",
                    ));
                };
                let (plan, call_bytes) = concrete(inferred, &self.model, &shapes).map_err(engine)?;
                self.call_bytes = self.call_bytes.max(call_bytes);
                if self.plans.len() == PLANS {
                    self.plans.remove(0);
                }
                self.plans.push((shapes, plan.clone()));
                plan
            }
        };
        let inputs = item.tensors.iter().map(batch_of_one).collect::<TractResult<_>>().map_err(engine)?;
        let mut state = plan.spawn().map_err(engine)?;
        let outputs =
            state.run_plan_with_eval(inputs, |context, state, node, inputs| match stop.is_stopped() {
                true => Err(TractError::msg("stopped")),
                false => eval(context, state, node, inputs),
            });
        let outputs = outputs.map_err(engine)?;
        let specs = self.model.outputs().iter();
        specs
            .zip(&outputs)
            .map(|(spec, output)| item_of(spec, output).map_err(engine))
            .collect::<Result<_, _>>()
            .map(Item::new)
    }
}

pub(super) fn fits(shapes: &[Vec<usize>], item: &Item) -> bool {
    shapes.iter().zip(&item.tensors).all(|(shape, tensor)| shape == tensor.shape())
}

/// Exporters write a symbolic batch into inner shapes, which tract then refuses to unify with a concrete input; so both
/// value infos and output shapes are ignored and worked out again.
pub(super) fn parse(model: &OnnxModel) -> TractResult<(InferenceModel, HashMap<String, OutletId>)> {
    let onnx = tract_onnx::onnx().with_ignore_value_info(true).with_ignore_output_shapes(true);
    let proto = onnx.proto_model_for_read(&mut model.bytes())?;
    bounds::check_inside(&onnx, &proto, model.folder())?;
    let parsed = onnx.parse(&proto, model.folder())?;
    if !parsed.unresolved_inputs.is_empty() {
        let missing = parsed.unresolved_inputs.join("`, `");
        return Err(TractError::msg(format!("no node makes `{missing}`")));
    }
    Ok((parsed.model, parsed.outlets_by_name))
}

/// The shapes of an item, where the model leaves none open.
pub(super) fn fixed_shapes(model: &OnnxModel) -> Option<Vec<Vec<usize>>> {
    let fixed = |spec: &TensorSpec| {
        let lens = spec.item_shape().iter().map(|dim| match dim {
            Dim::Fixed(len) => Some(*len),
            Dim::Dynamic(_) => None,
        });
        lens.collect::<Option<Vec<usize>>>()
    };
    model.inputs().iter().map(fixed).collect()
}

fn concrete(
    inferred: InferenceModel,
    model: &OnnxModel,
    item_shapes: &[Vec<usize>],
) -> TractResult<(Runnable, u64)> {
    let inferred = at(inferred, model, item_shapes)?;
    let call_bytes = bounds::check(&inferred)?;
    Ok((inferred.into_optimized()?.into_runnable()?, call_bytes))
}

/// A graph for one item of these shapes.
pub(super) fn at(
    mut inferred: InferenceModel,
    model: &OnnxModel,
    item_shapes: &[Vec<usize>],
) -> TractResult<InferenceModel> {
    for (at, (spec, shape)) in model.inputs().iter().zip(item_shapes).enumerate() {
        let shape: Vec<usize> = std::iter::once(1).chain(shape.iter().copied()).collect();
        inferred.set_input_fact(at, InferenceFact::dt_shape(datum_type(spec.dtype), shape))?;
    }
    Ok(inferred)
}

pub(super) fn datum_type(dtype: DType) -> DatumType {
    match dtype {
        DType::F32 => f32::datum_type(),
        DType::I32 => i32::datum_type(),
        DType::I64 => i64::datum_type(),
        DType::U8 => u8::datum_type(),
        DType::Bool => bool::datum_type(),
    }
}

fn batch_of_one(tensor: &Ours) -> TractResult<TValue> {
    use crate::tensor::Values::{Bool, F32, I32, I64, U8};
    let shape: TVec<usize> = std::iter::once(1).chain(tensor.shape().iter().copied()).collect();
    let made = match tensor.data() {
        F32(values) => Tensor::from_shape(&shape, values),
        I32(values) => Tensor::from_shape(&shape, values),
        I64(values) => Tensor::from_shape(&shape, values),
        U8(values) => Tensor::from_shape(&shape, values),
        Bool(values) => Tensor::from_shape(&shape, values),
    };
    Ok(made?.into_tvalue())
}

fn item_of(spec: &TensorSpec, output: &Tensor) -> TractResult<Ours> {
    let [1, shape @ ..] = output.shape() else {
        let found = dims(output.shape());
        return Err(TractError::msg(format!(
            "output `{}` came as [{found}], which is not a batch of one",
            spec.name
        )));
    };
    copied(output, spec.dtype, shape)
}

/// The elements of a tensor in another shape of as many.
pub(super) fn copied(tensor: &Tensor, dtype: DType, shape: &[usize]) -> TractResult<Ours> {
    fn copy<T: Datum + Element>(tensor: &Tensor, shape: &[usize]) -> TractResult<Ours> {
        let cast = tensor.cast_to::<T>()?;
        let values = cast.to_plain_array_view::<T>()?.iter().copied().collect();
        Ours::new(shape, values).map_err(|error| TractError::msg(error.to_string()))
    }
    match dtype {
        DType::F32 => copy::<f32>(tensor, shape),
        DType::I32 => copy::<i32>(tensor, shape),
        DType::I64 => copy::<i64>(tensor, shape),
        DType::U8 => copy::<u8>(tensor, shape),
        DType::Bool => copy::<bool>(tensor, shape),
    }
}

/// Does something with a graph; a panic is told like an error.
pub(super) fn attempt<T>(run: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    match guard::call(run) {
        Ok(done) => done.map_err(|error| chain(&error)),
        Err(panicked) => Err(one_line(&format!("the engine panicked: {}", panicked.0))),
    }
}

/// An error with what is behind it, on one line.
fn chain(error: &TractError) -> String {
    one_line(&format!("{error:#}"))
}

/// A message without a stack, and not longer than a person reads.
fn one_line(text: &str) -> String {
    let text = text.split("\n\nStack backtrace").next().unwrap_or_default();
    let mut text = text.replace('\n', " ");
    if let Some((end, _)) = text.char_indices().nth(400) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::tests::model;

    fn floats(values: &[f32]) -> Item {
        Item::from(Ours::new([values.len()], values.to_vec()).unwrap())
    }

    #[test]
    fn a_batch_is_run_and_a_wrong_item_fails_alone() {
        let stage = StageModel::Onnx(vec![model("Mul", "x", "y", &[-1, 2], 3.0)]);
        let mut session = Cpu.prepare(&stage).unwrap();
        let batch = [floats(&[1.0, 2.0]), floats(&[1.0, 2.0, 3.0]), floats(&[5.0, 6.0]), Item::default()];
        let results = session.run(&batch, &Stop::default());
        assert_eq!(results[0], Ok(floats(&[3.0, 6.0])));
        assert_eq!(
            results[1].as_ref().unwrap_err().message,
            "`mul.onnx` takes f32[2] as `x`, but this item has f32[3]; change the pre-step"
        );
        assert_eq!(results[2], Ok(floats(&[15.0, 18.0])));
        assert_eq!(results[3].as_ref().unwrap_err().kind, ItemErrorKind::Input);
    }

    #[test]
    fn a_launch_that_is_stopped_gives_its_items_up_and_the_next_one_runs() {
        let stage = StageModel::Onnx(vec![model("Mul", "x", "y", &[-1, 2], 3.0)]);
        let mut session = Cpu.prepare(&stage).unwrap();
        let stop = Stop::default();
        assert!(session.run(&[floats(&[1.0, 2.0])], &stop)[0].is_ok());
        stop.stop();
        let ended = session.run(&[floats(&[1.0, 2.0]), floats(&[1.0])], &stop);
        assert!(ended.iter().all(|result| *result == Err(ItemError::stopped())), "{ended:?}");
        assert!(session.run(&[floats(&[1.0, 2.0])], &Stop::default())[0].is_ok());
    }

    #[test]
    fn graphs_follow_one_another() {
        let stage = StageModel::Onnx(vec![
            model("Mul", "x", "y", &[1, 2], 3.0),
            model("Add", "y", "z", &[1, 2], 1.0),
        ]);
        let mut session = Cpu.prepare(&stage).unwrap();
        assert_eq!(session.run(&[floats(&[1.0, 2.0])], &Stop::default()), vec![Ok(floats(&[4.0, 7.0]))]);
    }

    #[test]
    fn open_dimensions_get_a_plan_per_shape() {
        let stage = StageModel::Onnx(vec![model("Add", "x", "y", &[-1, -1], 1.0)]);
        let mut session = Cpu.prepare(&stage).unwrap();
        for len in (1..=PLANS + 2).chain(1..3) {
            let result = session.run(&[floats(&vec![1.0; len])], &Stop::default());
            assert_eq!(result, vec![Ok(floats(&vec![2.0; len]))]);
        }
    }
}
