//! What the items of a graph would take, for an engine that does not say before it computes: the shapes are worked out by tract, once for
//! each shape of an item.

use tract_onnx::{
    prelude::*,
    tract_hir::{
        infer::{DimFact, ShapeFactoid},
        internal::ToDim,
    },
};

use super::{
    Item, bounds,
    cpu::{PLANS, at, attempt, datum_type, fits, fixed_shapes, parse},
};
use crate::{onnx::OnnxModel, tensor::Dim};

/// What the items of a graph take, for an engine that does not say before it computes.
pub struct Limits {
    /// Present where shapes are open.
    inferred: Option<InferenceModel>,
    /// Shapes that were looked at, the latest last.
    seen: Vec<Vec<Vec<usize>>>,
    /// Most bytes that an item holds at once, of the shapes so far.
    pub call_bytes: u64,
}

impl Limits {
    /// Refuses a graph that cannot be prepared in bounded memory, whatever its open dimensions will be.
    pub fn of(model: &OnnxModel) -> Result<Self, String> {
        attempt(|| {
            let (mut inferred, _) = parse(model)?;
            if let Some(shapes) = fixed_shapes(model) {
                let call_bytes = bounds::check(&at(inferred, model, &shapes)?)?;
                return Ok(Self { inferred: None, seen: vec![shapes], call_bytes });
            }
            for (at, spec) in model.inputs().iter().enumerate() {
                let len = |dim: &Dim| match dim {
                    Dim::Fixed(len) => len.to_dim().into(),
                    Dim::Dynamic(_) => DimFact::default(),
                };
                let shape = std::iter::once(1.to_dim().into()).chain(spec.item_shape().iter().map(len));
                let fact =
                    InferenceFact::dt_shape(datum_type(spec.dtype), ShapeFactoid::closed(shape.collect()));
                inferred.set_input_fact(at, fact)?;
            }
            bounds::check(&inferred)?;
            Ok(Self { inferred: Some(inferred), seen: Vec::new(), call_bytes: 0 })
        })
    }

    /// Refuses an item of a shape of which the graph would make too much.
    pub fn check(&mut self, model: &OnnxModel, item: &Item) -> Result<(), String> {
        let Some(inferred) =
            self.inferred.as_ref().filter(|_| !self.seen.iter().any(|shapes| fits(shapes, item)))
        else {
            return Ok(());
        };
        let shapes: Vec<Vec<usize>> = item.tensors.iter().map(|tensor| tensor.shape().to_vec()).collect();
        let call_bytes = attempt(|| bounds::check(&at(inferred.clone(), model, &shapes)?))?;
        self.call_bytes = self.call_bytes.max(call_bytes);
        if self.seen.len() == PLANS {
            self.seen.remove(0);
        }
        self.seen.push(shapes);
        Ok(())
    }
}
