//! A feed: how records come in from outside, where code may block, to a source's actor, which may not.
//!
//! An iterator runs on a thread of its own, an async stream in a task of its own; both put what they get into a bounded
//! buffer and wake the actor, which takes all that is there. When the actor is hungry every record is handed over at once;
//! when it is busy they gather. An iterator's thread steps the graph itself where nobody else does and waking another would cost
//! more than it gains.

use std::{collections::VecDeque, sync::Arc, thread, time::Duration};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::{
    clock::Clock,
    helm::{Guest, Helm},
    schedule::Schedule,
    waker::Waker,
};

/// Something that could not be read: a row that does not parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Where: `rows.csv line 17`. Empty where the source says no more than its name.
    pub place: String,
    /// Why: ``column 2 `amount`: invalid float literal``. Equal reasons are counted together.
    pub reason: String,
    /// The raw text, where there is any.
    pub raw: Option<String>,
}

/// What a source gives.
pub type Read<T> = Result<T, Unreadable>;

/// What the actor takes at once.
#[derive(Debug)]
pub struct Fed<T> {
    /// The records, in order.
    pub values: Vec<T>,
    /// What could not be read, each with the number of values before it.
    pub bad: Vec<(usize, Unreadable)>,
}

impl<T> Default for Fed<T> {
    fn default() -> Self {
        Self { values: Vec::new(), bad: Vec::new() }
    }
}

impl<T> Fed<T> {
    fn len(&self) -> usize {
        self.values.len() + self.bad.len()
    }

    fn push(&mut self, read: Read<T>) {
        match read {
            Ok(value) => self.values.push(value),
            Err(bad) => self.bad.push((self.values.len(), bad)),
        }
    }

    fn append(&mut self, mut other: Fed<T>) {
        let before = self.values.len();
        self.values.append(&mut other.values);
        self.bad.extend(other.bad.into_iter().map(|(nth, bad)| (before + nth, bad)));
    }

    /// Keeps the first `most` values, with what could not be read between them, and gives back the others.
    fn split_off(&mut self, most: usize) -> Fed<T> {
        let values = self.values.split_off(most);
        let here = self.bad.iter().take_while(|(before, _)| *before <= most).count();
        let bad = self.bad.split_off(here).into_iter().map(|(before, bad)| (before - most, bad));
        Fed { values, bad: bad.collect() }
    }
}

/// The buffer between what brings records and the source's actor.
pub struct Feed<T> {
    state: Mutex<State<T>>,
    room: Condvar,
    room_async: tokio::sync::Notify,
    /// The other end has brought something.
    filled: Condvar,
    /// Whether [`take`](Self::take) waits for records, so that what it gives does not depend on who is quicker.
    patient: bool,
    waker: Arc<Waker>,
}

struct State<T> {
    /// As they were handed over, so that what is quick is copied no more.
    chunks: VecDeque<Fed<T>>,
    /// Values in them, and all that is in them.
    values: usize,
    len: usize,
    /// The other end waits for room.
    wanted: bool,
    /// The other end is to step the team that takes the records, rather than to wait.
    helm: Option<Arc<Helm>>,
    /// The other end will bring no more.
    ended: bool,
    /// The actor wants no more.
    closed: bool,
}

/// Records that wait in a feed at most, but for the last chunk.
const CAPACITY: usize = 8192;
/// Most records that an iterator hands over at once, and most bytes of them: they should stay in a core's own cache until their
/// last operator has seen them.
const CHUNK: usize = 1024;
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks of so many records are joined to others, larger ones are not copied.
const SMALL: usize = 64;
/// A chunk that took longer than this was too large.
const QUICK: Duration = Duration::from_micros(20);
/// A chunk holds at most so much of what came without a pause: nothing says that there is none before the next record.
const OF_WHAT_CAME: usize = 8;
/// Who needs less for a record gains little from another thread that works meanwhile…
const CHEAP: Duration = Duration::from_nanos(100);
/// …and who needs more loses little by being that thread, and would let the record wait until another is awake.
const SELDOM: Duration = Duration::from_micros(10);
/// After so long its own work is to go on.
const MOST: Duration = Duration::from_micros(500);

impl<T> State<T> {
    fn put(&mut self, some: Fed<T>) {
        self.values += some.values.len();
        self.len += some.len();
        match self.chunks.back_mut() {
            Some(last) if some.len() <= SMALL && last.len() + some.len() <= CHUNK => last.append(some),
            _ => self.chunks.push_back(some),
        }
    }

    /// Takes a chunk, or as much of it as is wanted; exactly as much where there is so much and the actor is `patient`.
    fn take(&mut self, most: usize, patient: bool) -> Fed<T> {
        let mut fed = self.chunks.pop_front().unwrap_or_default();
        while patient
            && fed.values.len() <= most
            && let Some(next) = self.chunks.pop_front()
        {
            fed.append(next);
        }
        if fed.values.len() > most {
            self.chunks.push_front(fed.split_off(most));
        }
        self.values -= fed.values.len();
        self.len -= fed.len();
        fed
    }
}

impl<T: Send + 'static> Feed<T> {
    fn new(waker: Arc<Waker>, patient: bool) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                chunks: VecDeque::new(),
                values: 0,
                len: 0,
                wanted: false,
                helm: None,
                ended: false,
                closed: false,
            }),
            room: Condvar::new(),
            room_async: tokio::sync::Notify::new(),
            filled: Condvar::new(),
            patient,
            waker,
        })
    }

    /// Runs `records` on a thread of its own. The iterator is made there, so it need not be `Send`.
    /// Where that fails, or the operating system gives no thread, the feed brings the reason and ends.
    pub fn from_iterator<I>(
        name: &str,
        waker: Arc<Waker>,
        clock: Clock,
        schedule: Schedule,
        make: impl FnOnce() -> I + Send + 'static,
    ) -> Arc<Self>
    where
        I: Iterator<Item = Read<T>>,
    {
        let feed = Self::new(waker, schedule != Schedule::Actors);
        let other = Arc::clone(&feed);
        let thread = thread::Builder::new().name(format!("source {name}")).spawn(move || {
            let mut some = Fed::default();
            if let Err(panicked) = crate::guard::call(|| other.pump(make(), &clock, &mut some)) {
                other.put(some, false);
                other.fail(format!("the source panicked: {}", panicked.0));
            }
            other.end();
        });
        if let Err(error) = thread {
            feed.fail(format!("the source cannot run: {error}"));
            feed.end();
        }
        feed
    }

    fn fail(self: &Arc<Self>, reason: String) {
        let mut one = Fed::default();
        one.push(Err(Unreadable { place: String::new(), reason, raw: None }));
        self.put(one, false);
    }

    /// Hands over what the iterator gives: one record at a time while it is slow, since what it gave should be on its way while it
    /// works on the next, and in growing chunks while it is quick and promises more.
    ///
    /// What it gave before it panicked is left in `some`.
    fn pump(self: &Arc<Self>, mut records: impl Iterator<Item = Read<T>>, clock: &Clock, some: &mut Fed<T>) {
        let (mut chunk, mut without_pause) = (1, 0);
        let most = (CHUNK_BYTES / size_of::<T>().max(1)).clamp(1, CHUNK);
        loop {
            let begun = clock.now();
            let promised = records.size_hint().0.max(1);
            some.values.reserve(chunk.min(promised));
            for _ in 0..chunk.min(promised) {
                let Some(read) = records.next() else { break };
                some.push(read);
            }
            let count = some.len();
            if count == 0 {
                return;
            }
            let took = clock.now() - begun;
            let each = took / count as u32;
            let Some(waiting) = self.put(std::mem::take(some), !(CHEAP..SELDOM).contains(&each)) else {
                return;
            };
            if took < QUICK {
                without_pause += count;
                // As many as wait already: none of these is in a hurry.
                chunk = waiting.max(without_pause / OF_WHAT_CAME).min(chunk * 2).clamp(1, most);
            } else {
                // What surely is quick; one where there was a pause.
                let quick = (QUICK / 2).as_nanos() / each.as_nanos().max(1);
                chunk = (quick as usize).clamp(1, chunk);
                without_pause = (chunk - 1) * OF_WHAT_CAME;
            }
        }
    }

    /// Hands records over; waits for room. Says how many wait now, and nothing where no more are wanted. Where the thread may step
    /// the team it does so if nobody else is at it, and in place of waiting.
    fn put(self: &Arc<Self>, some: Fed<T>, may_step: bool) -> Option<usize> {
        let mut state = self.state.lock();
        let mut offers = may_step && !self.patient;
        while state.len >= CAPACITY && !state.closed {
            state.wanted = true;
            if let Some(helm) = state.helm.take() {
                MutexGuard::unlocked(&mut state, || self.step(&helm));
            } else if std::mem::take(&mut offers) {
                let guest = Arc::clone(self) as Arc<dyn Guest>;
                MutexGuard::unlocked(&mut state, || self.waker.offer(guest));
            } else {
                self.room.wait(&mut state);
            }
        }
        let helm = state.helm.take();
        let waiting = self.file(state, some, may_step && helm.is_none());
        if let Some(helm) = helm {
            self.step(&helm);
        }
        waiting
    }

    /// Steps the team, of which this thread is at the helm.
    fn step(&self, helm: &Arc<Helm>) {
        self.waker.mark();
        helm.step_as_guest(MOST);
    }

    fn file(&self, mut state: MutexGuard<'_, State<T>>, some: Fed<T>, may_step: bool) -> Option<usize> {
        if state.closed {
            return None;
        }
        let was_empty = state.len == 0;
        state.put(some);
        let waiting = state.len;
        drop(state);
        match () {
            () if self.patient => {
                self.filled.notify_one();
            }
            () if was_empty && may_step => {
                self.waker.wake_or_step(MOST);
                return Some(0);
            }
            () if was_empty => self.waker.wake(),
            () => {}
        }
        Some(waiting)
    }

    /// A feed for a task that awaits its records.
    pub fn for_task(waker: Arc<Waker>) -> Arc<Self> {
        Self::new(waker, false)
    }

    /// Hands one record over from a task; waits for room. Says whether more are wanted.
    pub async fn give(&self, read: Read<T>) -> bool {
        loop {
            let room = self.room_async.notified();
            {
                let state = self.state.lock();
                if state.closed || state.len < CAPACITY {
                    let mut one = Fed::default();
                    one.push(read);
                    return self.file(state, one, false).is_some();
                }
            }
            room.await;
        }
    }

    /// No more will come.
    pub fn end(&self) {
        self.state.lock().ended = true;
        if self.patient {
            self.filled.notify_one();
        } else {
            self.waker.wake();
        }
    }

    /// Returns when no more is wanted. For the task that awaits the records, so that it does not wait for one in vain.
    pub async fn closed(&self) {
        loop {
            let room = self.room_async.notified();
            if self.state.lock().closed {
                return;
            }
            room.await;
        }
    }

    /// Takes what is there, up to `most` values.
    pub fn take(&self, most: usize) -> Fed<T> {
        let mut state = self.state.lock();
        while self.patient && !state.ended && !state.closed && state.values <= most {
            self.filled.wait(&mut state);
        }
        let fed = state.take(most, self.patient);
        // Half of the room at once: whoever brings records is not woken for each chunk.
        let wake = state.wanted && state.len * 2 <= CAPACITY;
        if wake {
            state.wanted = false;
        }
        drop(state);
        if wake {
            self.room.notify_one();
        }
        self.room_async.notify_one();
        fed
    }

    /// Whether something is there. Whoever brings something where nothing was wakes the actor.
    pub fn is_waiting(&self) -> bool {
        self.state.lock().len > 0
    }

    /// No more is wanted; what was not taken never came in.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.chunks.clear();
        (state.values, state.len) = (0, 0);
        drop(state);
        self.room.notify_one();
        self.room_async.notify_one();
    }

    /// Whether more may come.
    pub fn is_open(&self) -> bool {
        let state = self.state.lock();
        !state.closed && (!state.ended || state.len > 0)
    }
}

impl<T: Send + 'static> Guest for Feed<T> {
    fn take_over(&self, helm: &Arc<Helm>) -> bool {
        let mut state = self.state.lock();
        if !std::mem::take(&mut state.wanted) {
            return false;
        }
        state.helm = Some(Arc::clone(helm));
        drop(state);
        self.room.notify_one();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_iterator_stops_when_no_more_is_wanted() {
        let feed = Feed::from_iterator("ones", Waker::new(), Clock::real(), Schedule::Actors, || {
            std::iter::repeat(1).map(Ok)
        });
        let mut seen = 0;
        while seen < 10_000 {
            seen += feed.take(100).values.len();
            thread::yield_now();
        }
        feed.close();
        assert!(!feed.is_open());
    }

    #[test]
    fn a_panic_in_a_source_is_told() {
        crate::guard::install_hook();
        let feed = Feed::from_iterator("bad", Waker::new(), Clock::real(), Schedule::Actors, || {
            (0..3).map(|i| {
                assert!(i < 2, "no {i}");
                Ok(i)
            })
        });
        let mut all = Fed::default();
        while feed.is_open() {
            let fed = feed.take(100);
            all.values.extend(fed.values);
            all.bad.extend(fed.bad);
            thread::yield_now();
        }
        assert!(all.bad[0].1.reason.contains("no 2"), "{:?}", all.bad);
    }
}
