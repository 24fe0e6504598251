//! Full batches only, as a queue with a batch size and a time-out makes them.

use super::{
    Decision, Policy,
    reactive::{idle, launch},
};
use crate::serving::state::State;

/// Waits until a batch is full, or until the first has waited for a part of its objective; knows no deadline.
#[derive(Clone, Copy, Debug)]
pub struct FixedBatch {
    /// After which part of its objective the first goes with whoever is there, 0 to 1.
    pub patience: f64,
}

impl Default for FixedBatch {
    fn default() -> Self {
        Self { patience: 0.25 }
    }
}

impl Policy for FixedBatch {
    fn name(&self) -> &'static str {
        "fixed-batch"
    }

    fn books_ahead(&self) -> bool {
        false
    }

    fn decide(&mut self, now: u64, state: &State, queue: usize) -> Decision {
        let line = state.queue(queue);
        let (Some(at), Some(head)) = (idle(state, queue), line.front()) else { return Decision::Wait(None) };
        let (spot, model) = (state.spots()[queue], &state.fleet().models[state.spots()[queue].model]);
        let batch = model.pipelines[at.0].batch;
        let left = model.slo_us - (self.patience.clamp(0.0, 1.0) * model.slo_us as f64) as u64;
        let goes_at = head.deadline.saturating_sub(left);
        if line.len() >= batch || spot.stage.is_some() || now >= goes_at {
            return launch(now, state, queue, at, line.len().min(batch));
        }
        Decision::Wait(Some(goes_at))
    }
}
