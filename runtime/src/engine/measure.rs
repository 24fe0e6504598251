//! How long a prepared stage takes: warmed up, repeated, with the spread.

use std::time::Duration;

use super::{Engine, Item, ItemError, PrepareError, Session, StageModel, stop::Stop};
use crate::{
    clock::Clock,
    onnx::OnnxModel,
    tensor::{DType, Tensor, TensorError},
};

/// A stage that is measured.
pub struct Measured {
    session: Box<dyn Session>,
    clock: Clock,
    /// How long it took to prepare.
    pub load: Duration,
}

/// What launches of one batch took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Launches {
    /// The median, µs.
    pub median_us: f64,
    /// The median distance from it, as a part of it: 0.05 is 5 %.
    pub noise: f64,
}

impl Measured {
    /// Prepares a stage. Blocks, maybe for seconds.
    ///
    /// # Errors
    /// Where the engine cannot run it.
    pub fn prepare(engine: &dyn Engine, stage: &StageModel) -> Result<Self, PrepareError> {
        let clock = Clock::real();
        let from = clock.now();
        let session = engine.prepare(stage)?;
        Ok(Self { session, load: clock.now() - from, clock })
    }

    /// What it makes of an item.
    ///
    /// # Errors
    /// Where the item is not what it takes.
    pub fn run(&mut self, item: &Item) -> Result<Item, ItemError> {
        self.session.run(std::slice::from_ref(item), &Stop::default()).swap_remove(0)
    }

    /// Runs a batch of `batch` times this item: `warm_up` launches that do not count, then `repeats` that do, at least one.
    ///
    /// # Errors
    /// Where the item is not what it takes.
    pub fn launches(
        &mut self,
        item: &Item,
        batch: usize,
        warm_up: usize,
        repeats: usize,
    ) -> Result<Launches, ItemError> {
        let batch = vec![item.clone(); batch];
        let mut took = Vec::with_capacity(repeats);
        for launch in 0..warm_up + repeats.max(1) {
            let from = self.clock.now();
            let results = self.session.run(&batch, &Stop::default());
            let us = (self.clock.now() - from).as_secs_f64() * 1e6;
            results.into_iter().collect::<Result<Vec<_>, _>>()?;
            if launch >= warm_up {
                took.push(us);
            }
        }
        let median_us = median(&mut took);
        let mut apart: Vec<f64> = took.iter().map(|us| (us - median_us).abs()).collect();
        Ok(Launches { median_us, noise: median(&mut apart) / median_us.max(1e-9) })
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2).copied().unwrap_or(0.0);
    let lower = values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(upper);
    (lower + upper) / 2.0
}

/// An item of these shapes, one per input, with numbers from 0 to 1, or zeros where whole numbers are wanted.
///
/// # Errors
/// Where a shape is larger than memory can be.
pub fn sample(model: &OnnxModel, item_shapes: &[Vec<usize>]) -> Result<Item, TensorError> {
    let tensor = |(spec, shape): (&crate::tensor::TensorSpec, &Vec<usize>)| {
        let count = shape.iter().try_fold(1_usize, |product, len| product.checked_mul(*len));
        let wanted = || TensorError::Length { shape: shape.clone(), found: 0, wanted: None };
        let count = count.filter(|count| *count <= 1 << 30).ok_or_else(wanted)?;
        // Steps of the golden ratio are spread evenly and look random enough.
        let number = |at: usize| (at as f64 * 0.618_033_988_749_895).fract() as f32;
        match spec.dtype {
            DType::F32 => Tensor::new(shape, (0..count).map(number).collect::<Vec<f32>>()),
            DType::I32 => Tensor::new(shape, vec![0_i32; count]),
            DType::I64 => Tensor::new(shape, vec![0_i64; count]),
            DType::U8 => Tensor::new(shape, vec![0_u8; count]),
            DType::Bool => Tensor::new(shape, vec![false; count]),
        }
    };
    let tensors = model.inputs().iter().zip(item_shapes).map(tensor);
    Ok(Item::new(tensors.collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine::cpu::Cpu, onnx::tests::model};

    #[test]
    fn a_stage_is_run_as_often_as_asked_and_a_wrong_item_is_told() {
        let model = model("Mul", "x", "y", &[-1, 2], 3.0);
        let item = sample(&model, &[vec![2]]).unwrap();
        let mut stage = Measured::prepare(&Cpu, &StageModel::Onnx(vec![model])).unwrap();
        let gave = stage.run(&item).unwrap();
        assert_eq!(gave.tensors[0].values::<f32>().unwrap()[0], 0.0);
        let launches = stage.launches(&item, 4, 1, 3).unwrap();
        assert!(launches.median_us > 0.0 && launches.noise.is_finite());
        assert!(stage.launches(&Item::default(), 1, 0, 1).is_err());
    }

    #[test]
    fn the_median_is_between_the_two_in_the_middle() {
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(&mut [5.0, 1.0, 3.0]), 3.0);
        assert_eq!(median(&mut []), 0.0);
    }
}
