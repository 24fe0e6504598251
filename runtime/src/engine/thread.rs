//! A device's thread: prepares its stages, then runs what comes through a bounded queue, one launch after another.
//!
//! Nothing asynchronous runs here and nothing here waits for an actor. The thread ends when the last sender of its queue
//! is gone; once it is told to stop, what is still queued is dropped instead of run.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

use super::{Engine, Item, ItemError, ItemErrorKind, PrepareError, Session, StageModel, UserCall, guarded};
use crate::clock::{Clock, Moment};

/// A batch for a prepared stage.
pub enum Work {
    /// Items for an ONNX stage.
    Items(Vec<Item>),
    /// User functions.
    Calls(Vec<UserCall>),
}

/// What a batch gave, one result per item or function, in order.
pub enum Output {
    /// Of items.
    Items(Vec<Result<Item, ItemError>>),
    /// Of functions.
    Calls(Vec<Result<(), ItemError>>),
}

/// What really happened.
pub struct Ran {
    /// When it started.
    pub from: Moment,
    /// When it ended.
    pub until: Moment,
    /// The results.
    pub output: Output,
}

/// One launch. Whoever drops it unrun drops what its callbacks hold, and so tells its owners.
pub struct Order {
    /// Which of the device's prepared stages.
    pub session: usize,
    /// The batch.
    pub work: Work,
    /// Called when it starts.
    pub begun: Box<dyn FnOnce(Moment) + Send>,
    /// Called when it has ended.
    pub ended: Box<dyn FnOnce(Ran) + Send>,
}

/// A stage to be prepared, with its engine.
pub type Prepare = (Arc<dyn Engine>, StageModel);

/// Whether the stages could be prepared: if not, which one failed, and why.
pub type Prepared = Result<(), (usize, PrepareError)>;

/// A running device thread.
pub struct DeviceThread {
    /// Its queue. Sending never blocks: use `try_send`.
    pub queue: SyncSender<Order>,
    /// Set to drop what is queued instead of running it.
    pub stop: Arc<AtomicBool>,
    /// To wait for its end.
    pub handle: JoinHandle<()>,
}

impl DeviceThread {
    /// Starts the thread of a device; the receiver tells when all its stages are prepared. `capacity`: most launches queued.
    pub fn start(
        device: &str,
        stages: Vec<Prepare>,
        capacity: usize,
        clock: Clock,
    ) -> io::Result<(Self, oneshot::Receiver<Prepared>)> {
        let (queue, orders) = sync_channel(capacity);
        let (tell, told) = oneshot::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let handle = thread::Builder::new().name(format!("device {device}")).spawn(move || {
            match prepare_all(&stages) {
                Ok(mut sessions) => {
                    if tell.send(Ok(())).is_ok() {
                        work(&mut sessions, &orders, &stopped, &clock);
                    }
                }
                // Nobody listens only where the start was given up.
                Err(error) => drop(tell.send(Err(error))),
            }
        })?;
        Ok((Self { queue, stop, handle }, told))
    }
}

fn prepare_all(stages: &[Prepare]) -> Result<Vec<Box<dyn Session>>, (usize, PrepareError)> {
    let prepare = |(at, (engine, model)): (usize, &Prepare)| match guarded(|| engine.prepare(model)) {
        Ok(prepared) => prepared.map_err(|error| (at, error)),
        Err(panic) => Err((at, PrepareError { message: panic.message })),
    };
    stages.iter().enumerate().map(prepare).collect()
}

fn work(sessions: &mut [Box<dyn Session>], orders: &Receiver<Order>, stopped: &AtomicBool, clock: &Clock) {
    while let Ok(order) = orders.recv() {
        let Some(session) = sessions.get_mut(order.session).filter(|_| !stopped.load(Ordering::Acquire))
        else {
            continue;
        };
        let from = clock.now();
        (order.begun)(from);
        let output = run(session.as_mut(), order.work);
        (order.ended)(Ran { from, until: clock.now(), output });
    }
}

/// Whatever an engine does, every item gets exactly one result.
fn run(session: &mut dyn Session, work: Work) -> Output {
    match work {
        Work::Items(batch) => Output::Items(one_each(guarded(|| session.run(&batch)), batch.len())),
        Work::Calls(calls) => {
            let count = calls.len();
            Output::Calls(one_each(guarded(|| session.call(calls)), count))
        }
    }
}

fn one_each<T>(
    results: Result<Vec<Result<T, ItemError>>, ItemError>,
    wanted: usize,
) -> Vec<Result<T, ItemError>> {
    let error = match results {
        Ok(results) if results.len() == wanted => return results,
        Ok(results) => {
            let message =
                format!("the engine gave {} results for {wanted} items; report this", results.len());
            ItemError::new(ItemErrorKind::Engine, message)
        }
        Err(panic) => panic,
    };
    std::iter::repeat_with(|| Err(error.clone())).take(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Odd;
    impl Engine for Odd {
        fn prepare(&self, _: &StageModel) -> Result<Box<dyn Session>, PrepareError> {
            Ok(Box::new(Odd))
        }
    }
    impl Session for Odd {
        fn run(&mut self, batch: &[Item]) -> Vec<Result<Item, ItemError>> {
            assert!(batch.len() != 3, "three is too many");
            vec![]
        }
    }

    #[tokio::test]
    async fn a_faulty_engine_costs_its_items_and_not_the_thread() {
        let stages: Vec<Prepare> = vec![(Arc::new(Odd), StageModel::Function)];
        let (device, prepared) = DeviceThread::start("odd", stages, 2, Clock::real()).unwrap();
        prepared.await.unwrap().unwrap();
        for (items, message) in [(3, "three is too many"), (2, "0 results for 2 items")] {
            let (tell, told) = oneshot::channel();
            let order = Order {
                session: 0,
                work: Work::Items(vec![Item::default(); items]),
                begun: Box::new(|_| ()),
                ended: Box::new(move |ran| drop(tell.send(ran))),
            };
            assert!(device.queue.try_send(order).is_ok());
            let Output::Items(results) = told.await.unwrap().output else { panic!("items were sent") };
            assert_eq!(results.len(), items);
            assert!(results.iter().all(|r| r.as_ref().unwrap_err().message.contains(message)));
        }
        drop(device.queue);
        device.handle.join().unwrap();
    }
}
