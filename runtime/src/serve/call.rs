//! Calls: what a model operator hands over and gets back. A call may be cut over several launches, and share one with
//! others; whoever drops its last part ends it.

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::hub::Hub;
use crate::{
    clock::Moment,
    engine::{Item, ItemError, ItemErrorKind, UserCall, guarded},
    waker::Waker,
};

/// Most items that a function is taken to stand for when batches are added up.
const MOST_ITEMS: usize = 1 << 20;

/// One request to a model: some items, answered together.
pub struct Call {
    /// What is to be run.
    pub work: Work,
    /// How many of its items have been round a loop before; shown on the page, nothing else.
    pub retries: u32,
    /// When its results must be there; what cannot be is declined. `None`: whenever.
    pub deadline: Option<Moment>,
    /// Called once, from another thread or task; must not block.
    pub done: Box<dyn FnOnce(CallResult) + Send>,
    /// Who is to look at the result once `done` has been called: together with others, and up to a millisecond later, as
    /// long as there is more for the device to do.
    pub wake: Option<Arc<Waker>>,
}

/// What a call is about.
pub enum Work {
    /// Items for an ONNX model. Cut and merged into launches as the plan's batch says.
    Items(Vec<Item>),
    /// Functions for a function model, one or several. None is cut: hand over at most [`ModelClient::batch`] items in each. Each runs
    /// on a device's thread and puts its results where the caller finds them in `done`; if it never runs, it is dropped.
    Functions(Vec<UserCall>),
}

impl Work {
    /// A function that works on so many items.
    pub fn function(items: usize, run: impl FnOnce() + Send + 'static) -> Self {
        Self::Functions(vec![UserCall { items, run: Box::new(run) }])
    }
}

/// How a call went.
#[derive(Debug)]
pub struct CallResult {
    /// The results.
    pub outcome: Outcome,
    /// The device that ran its last part; empty if none did.
    pub device: Arc<str>,
    /// Over how many launches it was spread.
    pub launches: u32,
    /// From submission to the start of its first launch, µs.
    pub waited_us: u64,
    /// Time its launches took on their devices, all stages, µs. A launch shared with other calls counts whole.
    pub ran_us: u64,
}

/// The results of a call.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// One per item, in the order of the call.
    Items(Vec<Result<Item, ItemError>>),
    /// Whether each function ran to its end.
    Functions(Vec<Result<(), ItemError>>),
}

/// The way to one model. Clones are cheap.
#[derive(Clone)]
pub struct ModelClient {
    pub(super) hub: Arc<Hub>,
    pub(super) model: usize,
    pub(super) is_function: bool,
    pub(super) batch: usize,
    pub(super) hints: Arc<Hints>,
    pub(super) late: Late,
}

/// How a model is best called, as its devices have turned out so far.
#[derive(Debug)]
pub(crate) struct Hints {
    /// Items that a caller should keep with it.
    pub in_flight: AtomicUsize,
    /// Full batches of a function that should be one call.
    pub together: AtomicUsize,
}

/// How many calls of a run have been given up and have not come back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Late(Arc<AtomicUsize>);

impl Late {
    /// Whether a device is still at work on something that nobody wants.
    pub fn is_any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// A call that is on its way, for whoever handed it over.
pub struct Sent(Weak<CallState>);

impl Sent {
    /// When the first device began with it, if one has. Nothing any more once it has been answered.
    pub fn begun(&self) -> Option<Moment> {
        self.0.upgrade().and_then(|call| call.progress.lock().begun)
    }

    /// Whether its answer is there or about to be put down.
    pub fn is_answered(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl ModelClient {
    /// Hands over a call. Never blocks; the caller bounds what it has in flight, see [`in_flight_hint`](Self::in_flight_hint).
    ///
    /// `done` is called in every case: after a stop with errors of kind `Stopped`.
    pub fn submit(&self, call: Call) -> Sent {
        let mut parts = Vec::new();
        let sent = self.parts(call, self.hub.now(), &mut parts);
        self.hub.ask(|dispatcher, now| dispatcher.submit(now, self.model, parts));
        sent
    }

    /// The same for several calls at once, which cost less so.
    pub fn submit_all(&self, calls: impl IntoIterator<Item = Call>) -> Vec<Sent> {
        let (mut parts, now) = (Vec::new(), self.hub.now());
        let sent = calls.into_iter().map(|call| self.parts(call, now, &mut parts)).collect();
        self.hub.ask(|dispatcher, now| dispatcher.submit(now, self.model, parts));
        sent
    }

    /// Makes parts of a call, unless it is of a kind that the model does not take.
    fn parts(&self, call: Call, now: Moment, into: &mut Vec<Part>) -> Sent {
        let is_function = matches!(call.work, Work::Functions(_));
        let from = into.len();
        let state = split(call, now, into);
        if is_function != self.is_function {
            let message = if self.is_function {
                "this model is a function and takes no tensors; send it a function"
            } else {
                "this model is an ONNX graph and takes no function; send it items"
            };
            let refuse = |part: Part| part.ticket.answer(Err(ItemError::new(ItemErrorKind::Input, message)));
            into.drain(from..).filter_map(refuse).for_each(|waker| waker.wake());
        }
        Sent(state)
    }

    /// Nobody wants the answer any more, which is still given. What of it waits in the queue is taken out, and the run does not
    /// wait at its end for the device that is at work on it.
    pub fn give_up(&self, sent: &Sent) {
        let Some(call) = sent.0.upgrade() else { return };
        if call.given_up.set(self.late.clone()).is_ok() {
            self.late.0.fetch_add(1, Ordering::AcqRel);
            self.hub.ask(|dispatcher, now| dispatcher.drop_given_up(now, self.model));
        }
    }

    /// So many more items for a function that nobody has begun with, of which `retries` have been round a loop; `add` gives them
    /// to it. Says whether it took them: not where it has begun, others came behind it, or a launch has no room for so many.
    pub fn top_up(&self, sent: &Sent, items: usize, retries: u32, add: impl FnOnce()) -> bool {
        let is_it = |ticket: &Ticket| std::ptr::eq(Arc::as_ptr(&ticket.state), sent.0.as_ptr());
        let items = items.min(MOST_ITEMS) as u32;
        self.hub.ask(|dispatcher, now| {
            let took = dispatcher.top_up(now, self.model, is_it, items, retries);
            if took {
                // Nobody can begin with it before this is over.
                add();
            }
            took
        })
    }

    /// Most items that one launch takes, by the plan.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// How many full batches of a quick function are best handed over as one call: they are answered together.
    pub fn together(&self) -> usize {
        self.hints.together.load(Ordering::Relaxed)
    }

    /// How many items to keep in flight so that no device of the first stage waits: two batches for each, and once it has turned out how
    /// quick they are, what is promised to them beside and as many as they do in two milliseconds.
    pub fn in_flight_hint(&self) -> usize {
        self.hints.in_flight.load(Ordering::Relaxed)
    }
}

/// One item, or one function, of a call on its way.
pub(crate) struct Part {
    pub ticket: Ticket,
    pub work: PartWork,
    pub deadline: Option<Moment>,
    pub since: Moment,
}

pub(crate) enum PartWork {
    Item(Item),
    Call(UserCall),
}

/// The right to answer for one place of a call. Dropped unanswered, it answers *stopped*.
pub(crate) struct Ticket {
    state: Arc<CallState>,
    place: usize,
    /// Items it stands for; 1 but for functions.
    pub items: u32,
    /// How many of them have been round a loop.
    pub retries: u32,
}

/// What is known of a call so far. Its end is the end of its last ticket.
pub(crate) struct CallState {
    progress: Mutex<Progress>,
    given_up: OnceLock<Late>,
}

struct Progress {
    /// One per item or function; often there is one.
    results: SmallVec<[Option<Result<Item, ItemError>>; 1]>,
    is_function: bool,
    device: Arc<str>,
    launches: u32,
    submitted: Moment,
    begun: Option<Moment>,
    ran: Duration,
    done: Option<Box<dyn FnOnce(CallResult) + Send>>,
    wake: Option<Arc<Waker>>,
}

impl Drop for CallState {
    fn drop(&mut self) {
        if let Some(waker) = self.end() {
            waker.wake();
        }
    }
}

impl CallState {
    /// Gives the answer, once, and says who is to look at it.
    fn end(&mut self) -> Option<Arc<Waker>> {
        let progress = self.progress.get_mut();
        let done = progress.done.take()?;
        if let Some(late) = self.given_up.get() {
            late.0.fetch_sub(1, Ordering::AcqRel);
        }
        let results =
            progress.results.drain(..).map(|result| result.unwrap_or_else(|| Err(ItemError::stopped())));
        let outcome = if progress.is_function {
            Outcome::Functions(results.map(|result| result.map(drop)).collect())
        } else {
            Outcome::Items(results.collect())
        };
        let begun = progress.begun.unwrap_or(progress.submitted);
        let result = CallResult {
            outcome,
            device: progress.device.clone(),
            launches: progress.launches,
            waited_us: begun.saturating_sub(progress.submitted).as_micros() as u64,
            ran_us: progress.ran.as_micros() as u64,
        };
        let wake = progress.wake.take();
        // A caller that panics must not take the device's thread along; there is nobody left to tell.
        let _ = guarded(move || done(result));
        wake
    }
}

impl Ticket {
    /// Answers for this place. Where it was the last one of the call, says who is to look at the result.
    pub fn answer(self, result: Result<Item, ItemError>) -> Option<Arc<Waker>> {
        if let Some(slot) = self.state.progress.lock().results.get_mut(self.place) {
            *slot = Some(result);
        }
        Arc::into_inner(self.state).and_then(|mut state| state.end())
    }

    /// Whether nobody wants the answer any more.
    pub fn is_given_up(&self) -> bool {
        self.state.given_up.get().is_some()
    }
}

/// Notes with the calls that have a part in a launch that a device begins with it; tickets of one call are neighbours.
pub(super) fn note_begin(tickets: &[Ticket], at: Moment) {
    for call in tickets.chunk_by(|a, b| Arc::ptr_eq(&a.state, &b.state)) {
        if let Some(ticket) = call.first() {
            ticket.state.progress.lock().begun.get_or_insert(at);
        }
    }
}

/// Notes a run on a device with every call that has a part in it; tickets of one call are neighbours.
pub(crate) fn note_run(
    tickets: &[Ticket],
    device: &Arc<str>,
    first_stage: bool,
    from: Moment,
    until: Moment,
) {
    for call in tickets.chunk_by(|a, b| Arc::ptr_eq(&a.state, &b.state)) {
        let Some(ticket) = call.first() else { continue };
        let mut progress = ticket.state.progress.lock();
        progress.launches += u32::from(first_stage);
        progress.begun = Some(progress.begun.map_or(from, |begun| begun.min(from)));
        progress.ran += until.saturating_sub(from);
        progress.device = device.clone();
    }
}

/// Turns a call into parts; a call without items ends here.
pub(crate) fn split(call: Call, now: Moment, into: &mut Vec<Part>) -> Weak<CallState> {
    let (places, is_function) = match &call.work {
        Work::Items(items) => (items.len(), false),
        Work::Functions(calls) => (calls.len(), true),
    };
    let progress = Progress {
        results: std::iter::repeat_with(|| None).take(places).collect(),
        is_function,
        device: Arc::from(""),
        launches: 0,
        submitted: now,
        begun: None,
        ran: Duration::ZERO,
        done: Some(call.done),
        wake: call.wake,
    };
    let state = Arc::new(CallState { progress: Mutex::new(progress), given_up: OnceLock::new() });
    let sent = Arc::downgrade(&state);
    let deadline = call.deadline;
    let part = |place: usize, items: u32, retries: u32, work: PartWork| {
        let ticket = Ticket { state: state.clone(), place, items, retries };
        Part { ticket, work, deadline, since: now }
    };
    match call.work {
        Work::Items(items) => into.extend(items.into_iter().enumerate().map(|(place, item)| {
            let retries = u32::from((place as u64) < u64::from(call.retries));
            part(place, 1, retries, PartWork::Item(item))
        })),
        Work::Functions(calls) => {
            let mut retries = call.retries;
            into.extend(calls.into_iter().enumerate().map(|(place, call)| {
                let count = call.items.min(MOST_ITEMS) as u32;
                let own = retries.min(count);
                retries -= own;
                part(place, count, own, PartWork::Call(call))
            }));
        }
    }
    sent
}
