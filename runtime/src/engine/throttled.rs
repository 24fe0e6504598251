//! The throttled device: another engine's output, at a slower profiled pace. A laptop can then run a plan over unlike
//! devices end to end and see what batches gain.

use std::{sync::Arc, time::Duration};

use super::{Engine, Item, ItemError, PrepareError, Session, StageModel, UserCall, stop::Stop};
use crate::clock::Clock;

/// How long a launch of so many items takes on a device.
pub type Pace = Arc<dyn Fn(usize) -> Duration + Send + Sync>;

/// Runs another engine, then waits until the profiled time of the batch has passed since its start.
///
/// Where it is stopped it waits no longer. Where the other engine is slower than the profile, its own time counts: a profile faster than the processor cannot be
/// kept.
pub struct Throttled {
    inner: Arc<dyn Engine>,
    clock: Clock,
    pace: Pace,
}

impl Throttled {
    /// Throttles `inner` to `pace`.
    pub fn new(inner: Arc<dyn Engine>, clock: Clock, pace: Pace) -> Self {
        Self { inner, clock, pace }
    }
}

impl Engine for Throttled {
    fn prepare(&self, stage: &StageModel) -> Result<Box<dyn Session>, PrepareError> {
        let inner = self.inner.prepare(stage)?;
        Ok(Box::new(ThrottledSession { inner, clock: self.clock.clone(), pace: self.pace.clone() }))
    }
}

struct ThrottledSession {
    inner: Box<dyn Session>,
    clock: Clock,
    pace: Pace,
}

impl Session for ThrottledSession {
    fn run(&mut self, batch: &[Item], stop: &Stop) -> Vec<Result<Item, ItemError>> {
        let until = self.clock.now() + (self.pace)(batch.len());
        let results = self.inner.run(batch, stop);
        stop.block_until(&self.clock, until);
        results
    }

    fn call(&mut self, calls: Vec<UserCall>, stop: &Stop) -> Vec<Result<(), ItemError>> {
        let until = self.clock.now() + (self.pace)(calls.iter().map(|call| call.items).sum());
        let results = self.inner.call(calls, stop);
        stop.block_until(&self.clock, until);
        results
    }

    fn call_bytes(&self, items: usize) -> u64 {
        self.inner.call_bytes(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::cpu::Cpu;

    #[test]
    fn a_launch_takes_the_profiled_time_of_its_items() {
        let clock = Clock::real();
        let pace: Pace = Arc::new(|items| Duration::from_micros(1000 + 500 * items as u64));
        let engine = Throttled::new(Arc::new(Cpu), clock.clone(), pace);
        let mut session = engine.prepare(&StageModel::Function).unwrap();
        crate::guard::install_hook();
        let line = line!() + 4;
        let from = clock.now();
        let calls = vec![
            UserCall { items: 3, run: Box::new(|| ()) },
            UserCall { items: 1, run: Box::new(|| panic!("on purpose")) },
        ];
        let results = session.call(calls, &Stop::default());
        assert!(clock.now() - from >= Duration::from_micros(3000));
        assert!(results[0].is_ok());
        let error = results[1].as_ref().unwrap_err().to_string();
        assert_eq!(error, format!("the model's code panicked: on purpose (at {}:{line})", file!()));
    }
}
