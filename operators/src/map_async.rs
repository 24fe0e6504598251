//! `map_async`: one value in, one value out, by futures of which several are under way at a time.
//!
//! Each value's future is a task of its own; what it comes to is put down for the operator, which is woken. When the run is over,
//! or is dropped, the tasks that are still there are ended.

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use eddyline_runtime::{
    Data,
    batch::Batch,
    clock::Clock,
    fault::FaultKind,
    graph::{NodeSpec, Start},
    guard::{self, Panicked},
    operator::{Cx, Holding, Operator},
    ports::{Inlet, Outlet},
    record::{RecordId, Tag, Trail},
    view::Role,
    waker::Waker,
};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::stream::{Stream, spec};

impl<T: Data> Stream<T> {
    /// Makes one value of each by a future, `limit` of them at a time: for services that are asked over a network, and the like.
    ///
    /// Results go on as they come, so that a slow one holds up nobody; behind [`ordered`](Self::ordered) they are in the order of
    /// their source again. A panic in `f`, or in its future, is a fault of that one record, which keeps only which record it was.
    /// What blocks a thread or computes for long belongs into a [`par_map`](Self::par_map). Where an answer may never come, see
    /// [`map_async_within`](Self::map_async_within).
    ///
    /// A closure that captures something, a client for instance, gives each future its own:
    /// `move |value| { let client = client.clone(); async move { client.ask(value).await } }`. An `async move |value|` that captures
    /// is refused by the compiler, which says that it "does not implement `Fn`".
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// /// Asks somebody who takes the longer the smaller the number.
    /// async fn square(n: u64) -> u64 {
    ///     tokio::time::sleep(Duration::from_millis(5 - n)).await;
    ///     n * n
    /// }
    ///
    /// let flow = Workflow::new("squares");
    /// let squares = flow.source("numbers", 1..=5).map_async(3, square).ordered().collect();
    /// assert_eq!(flow.run().await?.take(squares), [1, 4, 9, 16, 25]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn map_async<U: Data, Fut>(
        self,
        limit: usize,
        f: impl Fn(T) -> Fut + Send + Sync + 'static,
    ) -> Stream<U>
    where
        Fut: Future<Output = U> + Send + 'static,
    {
        self.by_tasks(spec("map_async", Role::Operator), limit, None, f)
    }

    /// [`map_async`](Self::map_async) where each future may take `time` and no longer: then it is dropped, and its record is a
    /// fault of kind [`TimeOut`](FaultKind::TimeOut).
    ///
    /// ```
    /// # use eddyline::{FaultKind, prelude::*};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("answers");
    /// let answers = flow
    ///     .source("questions", 1..=3)
    ///     .map_async_within(2, Duration::from_millis(20), async |n| match n {
    ///         2 => std::future::pending().await,
    ///         n => n * 10,
    ///     })
    ///     .collect();
    /// let mut report = flow.run().await?;
    /// assert_eq!(report.take(answers), [10, 30]);
    /// assert_eq!(report.faults()[0].kind, FaultKind::TimeOut);
    /// # Ok(()) }
    /// ```
    ///
    /// Where the record is to go on without an answer, the future itself has the limit, and a handler behind it decides:
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// /// A second engine, which never answers for 2.
    /// async fn second(n: u32) -> u32 {
    ///     if n == 2 { std::future::pending().await } else { n + 1 }
    /// }
    ///
    /// let flow = Workflow::new("second opinions");
    /// let read = flow
    ///     .source("read", [1, 2, 3])
    ///     .map_async(8, async |n| (n, tokio::time::timeout(Duration::from_millis(20), second(n)).await.ok()))
    ///     .handle("second engine", |(n, said)| match said {
    ///         Some(other) if other != n => Verdict::Replace((*other, *said)),
    ///         _ => Verdict::Abstain, // the same, or none in time
    ///     })
    ///     .map(|(n, _)| n)
    ///     .ordered()
    ///     .collect();
    /// assert_eq!(flow.run().await?.take(read), [2, 2, 4]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn map_async_within<U: Data, Fut>(
        self,
        limit: usize,
        time: Duration,
        f: impl Fn(T) -> Fut + Send + Sync + 'static,
    ) -> Stream<U>
    where
        Fut: Future<Output = U> + Send + 'static,
    {
        let mut spec = spec("map_async", Role::Operator);
        spec.notes.push(format!("within {time:?}"));
        self.by_tasks(spec, limit, Some(time), f)
    }

    fn by_tasks<U: Data, Fut>(
        self,
        mut spec: NodeSpec,
        limit: usize,
        time: Option<Duration>,
        f: impl Fn(T) -> Fut + Send + Sync + 'static,
    ) -> Stream<U>
    where
        Fut: Future<Output = U> + Send + 'static,
    {
        spec.notes.push(format!("{limit} at a time"));
        if limit == 0 {
            self.graph.error(
                Some(self.port.node()),
                Some(spec.place),
                "a map of which 0 futures are under way at a time never begins",
                "give `map_async` a limit of at least 1",
            );
        }
        self.graph.fed_by_task();
        self.then_one(spec, move |start: &Start<'_>| MapAsync {
            f: Arc::new(f),
            limit: limit.max(1),
            time,
            tasks: JoinSet::new(),
            under_way: HashMap::new(),
            next: 0,
            made: Arc::default(),
            clock: start.clock().clone(),
            waker: start.waker(),
            types: Default::default(),
        })
    }
}

/// What tasks came to, by number, in the order in which they ended.
type Made<U> = Arc<Mutex<Vec<(u64, Result<U, Failure>)>>>;

/// Why there is no result.
enum Failure {
    Panicked(Panicked),
    Late(Duration),
}

struct MapAsync<T, U, F> {
    f: Arc<F>,
    limit: usize,
    time: Option<Duration>,
    tasks: JoinSet<()>,
    /// The records whose values are with tasks, by number.
    under_way: HashMap<u64, Tag>,
    next: u64,
    made: Made<U>,
    clock: Clock,
    waker: Arc<Waker>,
    types: std::marker::PhantomData<fn(T)>,
}

impl<T, U, F, Fut> MapAsync<T, U, F>
where
    T: Data,
    U: Data,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = U> + Send + 'static,
{
    fn begin(&mut self, value: T, tag: Tag) {
        let number = self.next;
        self.next += 1;
        self.under_way.insert(number, tag);
        let (f, made, waker) = (Arc::clone(&self.f), Arc::clone(&self.made), Arc::clone(&self.waker));
        let (clock, time) = (self.clock.clone(), self.time);
        self.tasks.spawn(async move {
            let call = guarded(async move { f(value).await });
            let result = match time {
                None => call.await.map_err(Failure::Panicked),
                Some(time) => tokio::select! {
                    biased;
                    result = call => result.map_err(Failure::Panicked),
                    () = clock.sleep_until(clock.now() + time) => Err(Failure::Late(time)),
                },
            };
            made.lock().push((number, result));
            waker.wake();
        });
    }
}

/// Runs the author's future under a guard, poll by poll.
async fn guarded<U>(future: impl Future<Output = U>) -> Result<U, Panicked> {
    let mut future = pin!(future);
    poll_fn(|cx| match guard::call(|| future.as_mut().poll(cx)) {
        Ok(poll) => poll.map(Ok),
        Err(panicked) => std::task::Poll::Ready(Err(panicked)),
    })
    .await
}

impl<T, U, F, Fut> Operator for MapAsync<T, U, F>
where
    T: Data,
    U: Data,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = U> + Send + 'static,
{
    type In = Inlet<T>;
    type Out = Outlet<U>;

    fn process(&mut self, batch: Batch<T>, _: &mut Outlet<U>, _: &mut Cx<'_>) {
        for (value, tag) in batch.into_rows() {
            self.begin(value, tag);
        }
    }

    fn wake(&mut self, out: &mut Outlet<U>, cx: &mut Cx<'_>) -> bool {
        let made = std::mem::take(&mut *self.made.lock());
        if made.is_empty() {
            return false;
        }
        // What they came to is here; this only lets go of them.
        while self.tasks.try_join_next().is_some() {}
        let mut done = Batch::default();
        for (number, made) in made {
            let Some(tag) = self.under_way.remove(&number) else { continue };
            match made {
                Ok(value) => done.push(value, tag),
                Err(Failure::Panicked(Panicked(why))) => cx.fault::<()>(&tag, FaultKind::Panic, &why, None),
                Err(Failure::Late(time)) => {
                    cx.fault::<()>(&tag, FaultKind::TimeOut, &format!("it took longer than {time:?}"), None);
                }
            }
        }
        out.put(done, cx);
        true
    }

    fn room(&self) -> usize {
        self.limit.saturating_sub(self.under_way.len())
    }

    fn holding(&self) -> Holding {
        Holding { held: self.under_way.len(), ..Holding::default() }
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        for tag in self.under_way.values() {
            visit(tag.id, tag.trail.as_deref());
        }
    }

    fn stop(&mut self) {
        self.tasks.abort_all();
    }
}
