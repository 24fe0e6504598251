//! `par_map`: one value in, one value out, several at a time, on threads of their own.
//!
//! The operator keeps its records in order of arrival, each with its result once there is one; the threads take values from a
//! desk that they share with it. Who puts down a record's result is decided at the desk, under its lock: the thread that worked
//! on it, or the operator where the time is up. So every record has one end, and a result that comes late is thrown away.

use std::{collections::VecDeque, sync::Arc, thread, time::Duration};

use eddyline_runtime::{
    Data,
    batch::Batch,
    clock::{Clock, Moment},
    fault::FaultKind,
    graph::{NodeSpec, Start},
    guard,
    operator::{Cx, Holding, Operator},
    ports::{Inlet, Outlet},
    record::{RecordId, Tag, Trail},
    view::Role,
    waker::Waker,
};
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::stream::{Stream, spec};

impl<T: Data> Stream<T> {
    /// Makes one value of each, `threads` of them at a time. The results go on in the order in which the values came.
    ///
    /// For work that takes long or waits: it runs on threads of its own and holds up nobody else. A panic in `f` is a fault of
    /// that one record, which keeps only which record it was, as with [`map`](Self::map). Where `f` may never come back, see
    /// [`par_map_within`](Self::par_map_within).
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("squares");
    /// let squares = flow.source("numbers", 1..=5).par_map(4, |n| n * n).collect();
    /// assert_eq!(flow.run().await?.take(squares), [1, 4, 9, 16, 25]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn par_map<U: Data>(self, threads: usize, f: impl Fn(T) -> U + Send + Sync + 'static) -> Stream<U> {
        self.on_threads(spec("par_map", Role::Operator), threads, None, f)
    }

    /// [`par_map`](Self::par_map) where each call may take `limit` and no longer: a record whose call takes longer is a fault of
    /// kind [`TimeOut`](FaultKind::TimeOut), and another thread takes the place of the one that is late.
    ///
    /// A call cannot be ended from outside: it goes on on its thread, and its result is thrown away. While 64 calls are late at
    /// once no further threads are started; where none is left, records fail at once. Give `f` a limit of its own where it can
    /// have one.
    ///
    /// ```
    /// # use eddyline::{FaultKind, prelude::*};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("answers");
    /// let answers = flow
    ///     .source("questions", 1..=4)
    ///     .par_map_within(2, Duration::from_millis(50), |n| {
    ///         std::thread::sleep(Duration::from_millis(if n == 3 { 500 } else { 0 }));
    ///         n * 10
    ///     })
    ///     .collect();
    /// let mut report = flow.run().await?;
    /// assert_eq!(report.take(answers), [10, 20, 40]);
    /// assert_eq!(report.faults()[0].kind, FaultKind::TimeOut);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn par_map_within<U: Data>(
        self,
        threads: usize,
        limit: Duration,
        f: impl Fn(T) -> U + Send + Sync + 'static,
    ) -> Stream<U> {
        let mut spec = spec("par_map", Role::Operator);
        spec.notes.push(format!("within {limit:?}"));
        self.on_threads(spec, threads, Some(limit), f)
    }

    fn on_threads<U: Data>(
        self,
        mut spec: NodeSpec,
        threads: usize,
        limit: Option<Duration>,
        f: impl Fn(T) -> U + Send + Sync + 'static,
    ) -> Stream<U> {
        spec.notes.push(format!("{threads} at a time"));
        if threads == 0 {
            self.graph.error(
                Some(self.port.node()),
                Some(spec.place),
                "a parallel map with 0 threads never begins",
                "give `par_map` at least 1 thread",
            );
        }
        self.graph.fed_by_task();
        self.then_one(spec, move |start| ParMap {
            desk: Desk::new(threads.max(1), limit, f, start),
            rows: VecDeque::new(),
            first: 0,
        })
    }
}

/// Values that are taken in for each thread, so that none of them waits for the operator.
const AHEAD: usize = 16;
/// Late calls at once beyond which no threads are started in their place.
const MOST_LATE: usize = 64;

/// Why there is no result.
enum Failure {
    Panicked(String),
    Late,
    NoThread(String),
}

type Made<U> = Result<U, Failure>;

/// Where operator and threads meet.
struct Desk<T, U> {
    state: Mutex<State<T, U>>,
    filled: Condvar,
    f: Box<dyn Fn(T) -> U + Send + Sync>,
    threads: usize,
    limit: Option<Duration>,
    clock: Clock,
    waker: Arc<Waker>,
}

/// Values go by their number, in order of arrival.
struct State<T, U> {
    queue: VecDeque<(u64, T)>,
    /// Being worked on, and since when. Whoever takes a number out puts down its result.
    running: Vec<(u64, Moment)>,
    made: Vec<(u64, Made<U>)>,
    /// Threads that are at work or wait for it, those of them that wait, and those whose record has ended before them.
    threads: usize,
    idle: usize,
    late: usize,
    closed: bool,
}

impl<T: Data, U: Data> Desk<T, U> {
    fn new(
        threads: usize,
        limit: Option<Duration>,
        f: impl Fn(T) -> U + Send + Sync + 'static,
        start: &Start<'_>,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                running: Vec::new(),
                made: Vec::new(),
                threads: 0,
                idle: 0,
                late: 0,
                closed: false,
            }),
            filled: Condvar::new(),
            f: Box::new(f),
            threads,
            limit,
            clock: start.clock().clone(),
            waker: start.waker(),
        })
    }

    fn add(self: &Arc<Self>, values: impl Iterator<Item = (u64, T)>) {
        let mut state = self.state.lock();
        state.queue.extend(values);
        self.staff(&mut state);
    }

    /// Sees that there are threads for what waits. Where there can be none, what waits fails.
    fn staff(self: &Arc<Self>, state: &mut State<T, U>) {
        let mut trouble = format!("{MOST_LATE} calls have not come back");
        while state.queue.len() > state.idle && state.threads < self.threads && state.late < MOST_LATE {
            let desk = Arc::clone(self);
            if let Err(error) = thread::Builder::new().name("par_map".to_owned()).spawn(move || desk.work()) {
                trouble = error.to_string();
                break;
            }
            state.threads += 1;
            // It counts as waiting until it has taken its first value.
            state.idle += 1;
        }
        if state.threads == 0 {
            let reason = |(number, _)| (number, Err(Failure::NoThread(trouble.clone())));
            state.made.extend(state.queue.drain(..).map(reason));
        }
        self.filled.notify_all();
    }

    /// What a thread does.
    fn work(&self) {
        let mut state = self.state.lock();
        loop {
            // Here it counts as waiting.
            let (number, value) = loop {
                if state.closed {
                    return;
                }
                match state.queue.pop_front() {
                    Some(job) => break job,
                    None => self.filled.wait(&mut state),
                }
            };
            state.idle -= 1;
            let begun = self.clock.now();
            state.running.push((number, begun));
            let made = MutexGuard::unlocked(&mut state, || guard::call(|| (self.f)(value)));
            match state.running.iter().position(|(other, _)| *other == number) {
                Some(at) => {
                    state.running.swap_remove(at);
                    let late = self.limit.is_some_and(|limit| self.clock.now() - begun > limit);
                    let made = made.map_err(|panicked| Failure::Panicked(panicked.0));
                    state.made.push((number, if late { Err(Failure::Late) } else { made }));
                    self.waker.wake();
                }
                None => {
                    // Its record has ended as late, and another thread has its place, or there was none to be had.
                    state.late -= 1;
                    if state.threads >= self.threads {
                        return;
                    }
                    state.threads += 1;
                }
            }
            state.idle += 1;
        }
    }

    /// Takes what was made, and ends what is late.
    fn take(self: &Arc<Self>) -> Vec<(u64, Made<U>)> {
        let mut state = self.state.lock();
        if let Some(limit) = self.limit {
            let now = self.clock.now();
            let before = state.running.len();
            let State { running, made, .. } = &mut *state;
            running.retain(|&(number, begun)| {
                let late = now - begun > limit;
                if late {
                    made.push((number, Err(Failure::Late)));
                }
                !late
            });
            let late = before - running.len();
            state.late += late;
            state.threads -= late;
            if late > 0 {
                self.staff(&mut state);
            }
        }
        std::mem::take(&mut state.made)
    }

    /// When the first call may be late: of those under way, or of one that begins right now.
    fn due(&self) -> Option<Moment> {
        let limit = self.limit?;
        let begun = self.state.lock().running.iter().map(|(_, begun)| *begun).min();
        // A call is late after its limit, not at it.
        Some(begun.unwrap_or_else(|| self.clock.now()) + limit + Duration::from_micros(1))
    }

    /// No more is wanted: threads end, each after the call that it is in.
    fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.queue.clear();
        self.filled.notify_all();
    }
}

struct ParMap<T: Data, U: Data> {
    desk: Arc<Desk<T, U>>,
    /// In order of arrival; those with a result wait for those before them.
    rows: VecDeque<(Tag, Option<Made<U>>)>,
    /// The number of the first.
    first: u64,
}

impl<T: Data, U: Data> Operator for ParMap<T, U> {
    type In = Inlet<T>;
    type Out = Outlet<U>;

    fn process(&mut self, batch: Batch<T>, _: &mut Outlet<U>, _: &mut Cx<'_>) {
        let next = self.first + self.rows.len() as u64;
        let (values, tags) = batch.into_parts();
        self.rows.extend(tags.into_iter().map(|tag| (tag, None)));
        self.desk.add((next..).zip(values));
    }

    fn wake(&mut self, out: &mut Outlet<U>, cx: &mut Cx<'_>) -> bool {
        let made = self.desk.take();
        if made.is_empty() {
            return false;
        }
        for (number, made) in made {
            if let Some(row) = self.rows.get_mut((number - self.first) as usize) {
                row.1 = Some(made);
            }
        }
        let mut done = Batch::default();
        while self.rows.front().is_some_and(|(_, made)| made.is_some()) {
            let Some((tag, Some(made))) = self.rows.pop_front() else { break };
            self.first += 1;
            match made {
                Ok(value) => done.push(value, tag),
                Err(failure) => {
                    let (kind, reason) = failure.told(self.desk.limit);
                    cx.fault::<()>(&tag, kind, &reason, None);
                }
            }
        }
        out.put(done, cx);
        true
    }

    fn room(&self) -> usize {
        (self.desk.threads * AHEAD).saturating_sub(self.rows.len())
    }

    fn holding(&self) -> Holding {
        Holding { held: self.rows.len(), ..Holding::default() }
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        for (tag, _) in &self.rows {
            visit(tag.id, tag.trail.as_deref());
        }
    }

    fn next_wake(&self) -> Option<Moment> {
        if self.rows.is_empty() { None } else { self.desk.due() }
    }

    fn stop(&mut self) {
        self.desk.close();
    }
}

impl Failure {
    fn told(self, limit: Option<Duration>) -> (FaultKind, String) {
        match self {
            Failure::Panicked(reason) => (FaultKind::Panic, reason),
            Failure::Late => {
                (FaultKind::TimeOut, format!("the call took longer than {:?}", limit.unwrap_or_default()))
            }
            Failure::NoThread(why) => (FaultKind::TimeOut, format!("no thread was left for the call: {why}")),
        }
    }
}

impl<T: Data, U: Data> Drop for ParMap<T, U> {
    fn drop(&mut self) {
        self.desk.close();
    }
}
