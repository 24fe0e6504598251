//! A device's thread: prepares its stages, then runs what its desk gives it, one launch after another.
//!
//! Nothing asynchronous runs here and nothing here waits for an actor. The thread ends when its desk has nothing more for it.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

use super::{
    Engine, Item, ItemError, ItemErrorKind, PrepareError, Session, StageModel, UserCall, guarded, stop::Stop,
};
use crate::{
    clock::{Clock, Moment},
    guard,
};

/// A batch for a prepared stage.
pub enum Work {
    /// Items for an ONNX stage.
    Items(Vec<Item>),
    /// User functions.
    Calls(Vec<UserCall>),
}

impl Work {
    fn items(&self) -> usize {
        match self {
            Work::Items(items) => items.len(),
            Work::Calls(calls) => calls.iter().map(|call| call.items).sum(),
        }
    }
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
    /// Most bytes that it held at once, beside the weights.
    pub call_bytes: u64,
}

/// One launch.
pub struct Order {
    /// Which of the device's prepared stages.
    pub session: usize,
    /// The batch.
    pub work: Work,
    /// When it starts, which is now.
    pub from: Moment,
    /// What may end it early.
    pub stop: Stop,
}

/// Where a device's thread gets its launches.
pub trait Desk: Send + 'static {
    /// Takes what came of the launch before and waits for the next one; none where the device is to end.
    fn next(&mut self, ended: Option<Ran>) -> Option<Order>;
}

/// A stage to be prepared.
#[derive(Clone)]
pub struct Prepare {
    /// What prepares it.
    pub engine: Arc<dyn Engine>,
    /// The stage.
    pub stage: StageModel,
    /// Most items of a launch.
    pub batch: usize,
}

/// Whether the stages could be prepared, with the most bytes that a launch of one of them will hold, as far as that is known; if not, which
/// one failed, and why.
pub type Prepared = Result<u64, (usize, PrepareError)>;

/// Starts threads of devices.
pub struct DeviceThread;

impl DeviceThread {
    /// Starts the thread of a device; the receiver tells when all its stages are prepared. `died` is called where the thread
    /// dies, which is never the fault of an engine or of a function.
    pub fn start(
        device: &str,
        stages: Vec<Prepare>,
        clock: Clock,
        mut desk: impl Desk,
        died: impl FnOnce(String) + Send + 'static,
    ) -> io::Result<(JoinHandle<()>, oneshot::Receiver<Prepared>)> {
        let (tell, told) = oneshot::channel();
        let handle = thread::Builder::new().name(format!("device {device}")).spawn(move || {
            match prepare_all(&stages) {
                Ok(mut sessions) => {
                    let calls = stages.iter().zip(&sessions);
                    let call_bytes = calls.map(|(stage, session)| session.call_bytes(stage.batch)).max();
                    if tell.send(Ok(call_bytes.unwrap_or(0))).is_ok()
                        && let Err(panicked) = guard::call(|| work(&mut sessions, &mut desk, &clock))
                    {
                        died(panicked.0);
                    }
                }
                // Nobody listens only where the start was given up.
                Err(error) => drop(tell.send(Err(error))),
            }
        })?;
        Ok((handle, told))
    }
}

fn prepare_all(stages: &[Prepare]) -> Result<Vec<Box<dyn Session>>, (usize, PrepareError)> {
    let prepare = |(at, of): (usize, &Prepare)| match guarded(|| of.engine.prepare(&of.stage)) {
        Ok(prepared) => prepared.map_err(|error| (at, error)),
        Err(panic) => Err((at, PrepareError { message: panic.message })),
    };
    stages.iter().enumerate().map(prepare).collect()
}

fn work(sessions: &mut [Box<dyn Session>], desk: &mut impl Desk, clock: &Clock) {
    let mut ended = None;
    while let Some(Order { session, work, from, stop }) = desk.next(ended.take()) {
        let (output, call_bytes) = match sessions.get_mut(session) {
            Some(session) => {
                let items = work.items();
                let output = run(session.as_mut(), work, &stop);
                (output, session.call_bytes(items))
            }
            None => (unprepared(&work), 0),
        };
        ended = Some(Ran { from, until: clock.now(), output, call_bytes });
    }
}

/// What comes of work for a stage that the device does not have.
fn unprepared(work: &Work) -> Output {
    let error = ItemError::new(ItemErrorKind::Engine, "the device has no such stage; report this");
    match work {
        Work::Items(items) => Output::Items(vec![Err(error); items.len()]),
        Work::Calls(calls) => Output::Calls(vec![Err(error); calls.len()]),
    }
}

/// Whatever an engine does, every item gets exactly one result.
fn run(session: &mut dyn Session, work: Work, stop: &Stop) -> Output {
    match work {
        Work::Items(batch) => Output::Items(one_each(guarded(|| session.run(&batch, stop)), batch.len())),
        Work::Calls(calls) => {
            let count = calls.len();
            Output::Calls(one_each(guarded(|| session.call(calls, stop)), count))
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
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    struct Odd;
    impl Engine for Odd {
        fn prepare(&self, _: &StageModel) -> Result<Box<dyn Session>, PrepareError> {
            Ok(Box::new(Odd))
        }
    }
    impl Session for Odd {
        fn run(&mut self, batch: &[Item], _: &Stop) -> Vec<Result<Item, ItemError>> {
            assert!(batch.len() != 3, "three is too many");
            vec![]
        }
    }

    /// Gives out what comes on a channel.
    struct Channels {
        orders: Receiver<Order>,
        ran: SyncSender<Ran>,
    }
    impl Desk for Channels {
        fn next(&mut self, ended: Option<Ran>) -> Option<Order> {
            ended.map_or(Ok(()), |ran| self.ran.send(ran)).ok()?;
            self.orders.recv().ok()
        }
    }

    #[tokio::test]
    async fn a_faulty_engine_costs_its_items_and_not_the_thread() {
        let stages = vec![Prepare { engine: Arc::new(Odd), stage: StageModel::Function, batch: 8 }];
        let ((order, orders), (ran, all_ran)) = (sync_channel(8), sync_channel(8));
        let desk = Channels { orders, ran };
        let died = |why| panic!("{why}");
        let (thread, prepared) = DeviceThread::start("odd", stages, Clock::real(), desk, died).unwrap();
        prepared.await.unwrap().unwrap();
        for (session, items, message) in
            [(0, 3, "three is too many"), (0, 2, "0 results for 2 items"), (1, 1, "no such stage")]
        {
            let work = Work::Items(vec![Item::default(); items]);
            let stop = Stop::default();
            order.send(Order { session, work, from: Moment::ZERO, stop }).unwrap();
            let Output::Items(results) = all_ran.recv().unwrap().output else { panic!("items were sent") };
            assert_eq!(results.len(), items);
            assert!(results.iter().all(|r| r.as_ref().unwrap_err().message.contains(message)));
        }
        drop(order);
        thread.join().unwrap();
    }
}
