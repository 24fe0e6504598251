//! The type and shape of every tensor of a graph, worked out without running it.

use std::collections::HashMap;

use tract_onnx::{
    prelude::*,
    tract_hir::infer::{Factoid, InferenceModelExt},
    tract_hir::internal::DimLike,
};

use super::{
    bounds,
    cpu::{attempt, copied, datum_type, parse},
};
use crate::{
    onnx::OnnxModel,
    tensor::{DType, Dim, Tensor as Ours},
};

/// What is known of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Its type, where it is one of ours.
    pub dtype: Option<DType>,
    /// Its dimensions at a batch of 1.
    pub dims: Vec<usize>,
    /// Whether its first dimension is the batch.
    pub is_batch: bool,
    /// What it holds, where that follows from the shapes alone: the size of a picture, say.
    pub value: Option<Ours>,
    /// Whether that changes with the batch.
    pub value_has_batch: bool,
}

/// Most elements of a value that is kept: sizes have few.
const MOST_ELEMENTS: usize = 4096;

/// The tensors of a model for one item of these shapes, by name. What cannot be worked out is left out.
pub fn shapes(model: &OnnxModel, item_shapes: &[Vec<usize>]) -> Result<HashMap<String, Shape>, String> {
    let one = at_batch(model, item_shapes, 1)?;
    let open = model.inputs().iter().all(|input| matches!(input.shape.first(), Some(Dim::Dynamic(_))));
    // A graph that does not take a batch of 2, whatever it says, gets its items one by one.
    let two = if open { at_batch(model, item_shapes, 2).unwrap_or_default() } else { HashMap::new() };
    let shape = |(name, mut shape): (String, Shape)| {
        let doubled = two.get(&name);
        shape.is_batch = match (shape.dims.as_slice(), doubled.map(|doubled| doubled.dims.as_slice())) {
            ([1, rest @ ..], Some([2, doubled @ ..])) => rest == doubled,
            _ => false,
        };
        shape.value_has_batch = open && doubled.is_none_or(|doubled| doubled.value != shape.value);
        (name, shape)
    };
    Ok(one.into_iter().map(shape).collect())
}

fn at_batch(
    model: &OnnxModel,
    item_shapes: &[Vec<usize>],
    batch: usize,
) -> Result<HashMap<String, Shape>, String> {
    let worked_out = || -> TractResult<HashMap<String, Shape>> {
        let (mut inferred, outlets) = parse(model)?;
        for (at, (spec, shape)) in model.inputs().iter().zip(item_shapes).enumerate() {
            let shape: Vec<usize> = std::iter::once(batch).chain(shape.iter().copied()).collect();
            inferred.set_input_fact(at, InferenceFact::dt_shape(datum_type(spec.dtype), shape))?;
        }
        bounds::check(&inferred)?;
        inferred.analyse(false)?;
        let mut known = HashMap::with_capacity(outlets.len());
        for (name, outlet) in outlets {
            let fact = inferred.outlet_fact(outlet)?;
            let dims = fact
                .shape
                .concretize()
                .and_then(|dims| dims.iter().map(|dim| dim.to_usize().ok()).collect::<Option<Vec<usize>>>());
            let Some(dims) = dims else { continue };
            let dtype = fact.datum_type.concretize().and_then(ours);
            let small = fact.value.concretize().filter(|value| value.len() <= MOST_ELEMENTS);
            let value = small.zip(dtype).and_then(|(value, dtype)| copied(&value, dtype, &dims).ok());
            let shape = Shape { dtype, dims, is_batch: false, value, value_has_batch: false };
            known.insert(name, shape);
        }
        Ok(known)
    };
    attempt(worked_out)
}

fn ours(datum: DatumType) -> Option<DType> {
    let all = [DType::F32, DType::I32, DType::I64, DType::U8, DType::Bool];
    // Sizes are whole numbers that tract may still have as a formula.
    let datum = if datum == TDim::datum_type() { i64::datum_type() } else { datum };
    all.into_iter().find(|dtype| datum_type(*dtype) == datum)
}
