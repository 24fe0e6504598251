//! Callers, devices, a stop and a death at the same time, many times: every call ends once, and whoever waits for it is woken.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use eddyline_planner::Plan;
use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use super::*;
use crate::{clock::Clock, engine::ItemErrorKind, schedule::Draws, waker::Waker};

/// Longer than any test takes unless somebody waits for ever.
const FOR_EVER: Duration = Duration::from_secs(30);

async fn serving(devices: usize) -> Serving {
    let names: Vec<String> = (0..devices).map(|n| format!("\"cpu-{n}\"")).collect();
    let names = names.join(", ");
    let text = format!(
        "kind.cpu = {{ engine = \"cpu\", devices = [{names}] }}\n[model.f]\nbatch = 4\npool = [{names}]\n"
    );
    let models = vec![ServedModel::Function { name: "f".into() }];
    Serving::start(Plan::from_toml(&text, "plan.toml").unwrap(), models, Clock::real()).await.unwrap()
}

/// The answers to one call.
type Answers = Vec<Result<(), ItemErrorKind>>;

/// Somebody who hands over calls and is woken when there are answers.
#[derive(Clone)]
struct Caller {
    client: ModelClient,
    /// How often each call was answered, and how.
    answers: Arc<Mutex<Vec<Answers>>>,
    waker: Arc<Waker>,
    woken: Arc<Notify>,
}

impl Caller {
    fn new(serving: &Serving) -> Self {
        let (waker, woken) = (Waker::new(), Arc::new(Notify::new()));
        waker.attach_task(Arc::clone(&woken));
        Self { client: serving.client("f").unwrap(), answers: Arc::default(), waker, woken }
    }

    fn call(&self, items: usize, run: impl FnOnce() + Send + 'static) -> Sent {
        let number = {
            let mut answers = self.answers.lock();
            answers.push(Vec::new());
            answers.len() - 1
        };
        let answers = Arc::clone(&self.answers);
        self.client.submit(Call {
            work: Work::function(items, run),
            retries: 0,
            deadline: None,
            done: Box::new(move |result| {
                let Outcome::Functions(outcomes) = result.outcome else { panic!("it was a function") };
                let outcomes = outcomes.into_iter().map(|outcome| outcome.map_err(|error| error.kind));
                answers.lock()[number].extend(outcomes);
            }),
            wake: Some(Arc::clone(&self.waker)),
        })
    }

    fn answered(&self) -> usize {
        self.answers.lock().iter().filter(|answers| !answers.is_empty()).count()
    }

    /// Looks only when it is woken, as an actor does.
    async fn wait_for(&self, most: usize) {
        let all = async {
            loop {
                self.waker.taken();
                if self.answered() >= most {
                    return;
                }
                self.woken.notified().await;
            }
        };
        tokio::time::timeout(FOR_EVER, all).await.expect("an answer of which nobody was told");
    }

    fn assert_each_once(&self) {
        assert!(self.answers.lock().iter().all(|answers| answers.len() == 1), "{:?}", self.answers.lock());
    }
}

/// A gate at which a device waits.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        self.0.1.wait_while(&mut self.0.0.lock(), |open| !*open);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_is_woken_for_every_answer() {
    let serving = serving(2).await;
    for round in 0..300 {
        let caller = Caller::new(&serving);
        let calls = 1 + round % 40;
        for n in 0..calls {
            caller.call(1 + n % 4, || ());
        }
        caller.wait_for(calls).await;
        caller.assert_each_once();
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_told_though_the_next_launch_takes_for_ever() {
    let serving = serving(1).await;
    let caller = Caller::new(&serving);
    // So that the device is known to be quick.
    for n in 1..=200 {
        caller.call(4, || ());
        caller.wait_for(n).await;
    }
    let gate = Gate::default();
    let begins = gate.clone();
    caller.call(4, move || begins.wait());
    caller.call(4, || ());
    let stuck = gate.clone();
    caller.call(4, move || thread::sleep(Duration::from_micros(10)));
    let last = Gate::default();
    let held = last.clone();
    caller.call(4, move || held.wait());
    caller.call(4, || ());
    caller.call(4, || ());
    stuck.open();
    caller.wait_for(203).await;
    last.open();
    caller.wait_for(206).await;
    caller.assert_each_once();
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_handed_over_given_up_filled_and_stopped_at_once_end_once() {
    let mut draws = Draws::new(7);
    for _ in 0..200 {
        let serving = Arc::new(serving(1 + draws.below(2)).await);
        let ran = Arc::new(AtomicUsize::new(0));
        let (callers, calls) = (1 + draws.below(3), 1 + draws.below(60));
        let stop_after = draws.below(callers * calls + 1);
        let all: Vec<Caller> = (0..callers).map(|_| Caller::new(&serving)).collect();
        let threads: Vec<_> = all
            .iter()
            .cloned()
            .map(|caller| {
                let (ran, seed) = (Arc::clone(&ran), draws.below(1 << 20) as u64);
                thread::spawn(move || {
                    let mut draws = Draws::new(seed);
                    for _ in 0..calls {
                        let ran = Arc::clone(&ran);
                        let sent = caller.call(1 + draws.below(3), move || {
                            ran.fetch_add(1, Ordering::Relaxed);
                        });
                        match draws.below(4) {
                            0 => caller.client.give_up(&sent),
                            1 => {
                                let mut added = 0;
                                let took = caller.client.top_up(&sent, 1, 1, || added += 1);
                                assert_eq!(added, usize::from(took));
                            }
                            2 => assert!(sent.begun().is_none_or(|begun| begun > Duration::ZERO)),
                            _ => {}
                        }
                    }
                })
            })
            .collect();
        while ran.load(Ordering::Relaxed) < stop_after && !threads.iter().all(|thread| thread.is_finished()) {
            tokio::task::yield_now().await;
        }
        serving.stop().await;
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        for caller in &all {
            caller.wait_for(calls).await;
            caller.assert_each_once();
        }
        let answers: Vec<_> = all.iter().flat_map(|caller| caller.answers.lock().concat()).collect();
        assert!(answers.iter().all(|answer| matches!(answer, Ok(()) | Err(ItemErrorKind::Stopped))));
        let done = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(done, ran.load(Ordering::Relaxed));
        assert!(!serving.late.is_any());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_devices_thread_that_dies_is_replaced_and_only_what_it_was_at_fails() {
    let serving = serving(1).await;
    let caller = Caller::new(&serving);
    let gate = Gate::default();
    let first = gate.clone();
    caller.call(4, move || first.wait());
    for _ in 0..50 {
        caller.call(4, || ());
    }
    serving.hub.kill_one();
    gate.open();
    caller.wait_for(51).await;
    caller.assert_each_once();
    let failed: Vec<_> = caller.answers.lock().concat().into_iter().filter_map(Result::err).collect();
    assert_eq!(failed, [ItemErrorKind::Engine]);
    let device = &serving.devices()[0];
    assert!(device.reservations.iter().all(|reservation| ["done", "failed"].contains(&reservation.state)));
    serving.stop().await;
}
