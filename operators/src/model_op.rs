//! The operator of `model`: turns rows into calls, hands them to the dispatcher, and makes values of what comes back.
//!
//! Whoever takes a call out of `calls` ends its records: the answer, or the operator where the time is up. So each ends once, and
//! an answer that comes later is thrown away.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
    vec,
};

use eddyline_runtime::{
    Data,
    batch::Batch,
    clock::{Clock, Moment},
    engine::{Item, ItemError, ItemErrorKind},
    fault::FaultKind,
    graph::Start,
    guard,
    operator::{Cx, Holding, Operator},
    ports::Inlet,
    record::{RecordId, Tag, Trail},
    serve::{Call, CallResult, ModelClient, Outcome, Sent, Work},
    tensor::Tensor,
    waker::Waker,
};
use parking_lot::Mutex;

use crate::{catch::Catching, model::Runner};

/// How many times its limit what waits behind a late call may wait for a device, until that call has come back.
const PATIENCE: u32 = 10;

/// Rows that are with the dispatcher. More can come to those of a function until a device begins with it, which takes its own
/// hold of them.
type Rows<I> = Arc<Mutex<Arc<Vec<I>>>>;

/// A call that is with the dispatcher.
struct Pending<I> {
    rows: Rows<I>,
    tags: Vec<Tag>,
    /// Per row: how many items it became. Empty for functions.
    items: Vec<usize>,
    since: Moment,
    sent: Option<Sent>,
    /// Not to be given more: its function has panicked on this row and others.
    alone: bool,
    /// When the function was called; a launch may hold several calls, which run one after the other.
    called: Arc<OnceLock<Moment>>,
}

impl<I> Pending<I> {
    fn new(rows: Vec<I>, tags: Vec<Tag>, items: Vec<usize>) -> Self {
        let rows = Arc::new(Mutex::new(Arc::new(rows)));
        Self { rows, tags, items, since: Moment::ZERO, sent: None, alone: false, called: Arc::default() }
    }

    fn rows(&self) -> Arc<Vec<I>> {
        Arc::clone(&self.rows.lock())
    }

    /// When it was begun with, if it was. Nothing any more once a call of items has been answered.
    fn begun(&self) -> Option<Moment> {
        match self.items.is_empty() {
            true => self.called.get().copied(),
            false => self.sent.as_ref().and_then(Sent::begun),
        }
    }

    /// How many items it is for the dispatcher.
    fn count(&self) -> usize {
        if self.items.is_empty() { self.tags.len() } else { self.items.iter().sum() }
    }
}

/// Where calls that come back are put down, from any thread.
struct Returned<O> {
    answers: Answers<O>,
    waker: Arc<Waker>,
}

type Answers<O> = Arc<Mutex<Vec<Answer<O>>>>;

struct Answer<O> {
    number: u64,
    result: CallResult,
    /// Of functions.
    values: Option<Vec<O>>,
    at: Moment,
}

pub(crate) struct ModelOp<I, O> {
    client: Option<ModelClient>,
    code: Runner<I, O>,
    clock: Clock,
    limit: Option<Duration>,
    /// By number, so in the order in which they were handed over.
    calls: BTreeMap<u64, Pending<I>>,
    /// Calls that were given up and have not come back, and when the last one was.
    late: (usize, Moment),
    returned: Returned<O>,
    next: u64,
    rows: usize,
    items: usize,
}

impl<I: Data, O: Data> ModelOp<I, O> {
    pub fn new(name: &str, code: Runner<I, O>, limit: Option<Duration>, start: &Start<'_>) -> Self {
        Self {
            client: start.model(name),
            code,
            clock: start.clock().clone(),
            limit,
            calls: BTreeMap::new(),
            late: (0, Moment::ZERO),
            returned: Returned { answers: Arc::default(), waker: start.waker() },
            next: 0,
            rows: 0,
            items: 0,
        }
    }

    fn submit(
        &mut self,
        mut pending: Pending<I>,
        work: Work,
        items: usize,
        slot: Option<Arc<Mutex<Vec<O>>>>,
    ) {
        let Some(client) = &self.client else { return };
        let number = self.next;
        self.next += 1;
        let retries = retries(&pending.tags);
        self.rows += pending.tags.len();
        self.items += items;
        let (answers, waker) = (Arc::clone(&self.returned.answers), Arc::clone(&self.returned.waker));
        let clock = self.clock.clone();
        pending.since = clock.now();
        let sent = client.submit(Call {
            work,
            retries,
            deadline: None,
            done: Box::new(move |result| {
                let values = slot.map(|slot| std::mem::take(&mut *slot.lock()));
                answers.lock().push(Answer { number, result, values, at: clock.now() });
            }),
            wake: Some(waker),
        });
        pending.sent = Some(sent);
        self.calls.insert(number, pending);
    }

    /// Takes a call out: its records are about to end here or to go on.
    fn take(&mut self, number: u64) -> Option<Pending<I>> {
        let pending = self.calls.remove(&number)?;
        self.rows -= pending.tags.len();
        self.items -= pending.count();
        Some(pending)
    }

    /// Whether an answer came too late, though it was not given up yet.
    fn took_too_long(&self, answer: &Answer<O>, pending: &Pending<I>) -> bool {
        let waited = Duration::from_micros(answer.result.waited_us);
        let begun = pending.begun().unwrap_or(pending.since + waited);
        self.limit.is_some_and(|limit| answer.at.saturating_sub(begun) > limit)
    }

    /// When a call is given up unless its answer is there by then.
    fn due(&self, pending: &Pending<I>) -> Option<Moment> {
        let limit = self.limit.filter(|_| !pending.sent.as_ref().is_none_or(Sent::is_answered))?;
        // A call is late after its limit, not at it.
        let after = |since: Moment, limit: Duration| since + limit + Duration::from_micros(1);
        match (pending.begun(), self.late) {
            (Some(begun), _) => Some(after(begun, limit)),
            (None, (0, _)) => None,
            (None, (_, last)) => Some(after(pending.since.max(last), limit * PATIENCE)),
        }
    }

    /// Gives up what takes too long. Says whether there was something.
    fn give_up_late(&mut self, out: &mut Catching<I, O>, cx: &mut Cx<'_>) -> bool {
        let Some(limit) = self.limit else { return false };
        let now = self.clock.now();
        let is_late = |pending: &Pending<I>| self.due(pending).is_some_and(|due| due <= now);
        let late: Vec<u64> =
            self.calls.iter().filter(|(_, p)| is_late(p)).map(|(number, _)| *number).collect();
        for number in &late {
            let Some(mut pending) = self.take(*number) else { continue };
            let begun = pending.begun().is_some();
            if let Some(sent) = pending.sent.take() {
                sent.give_up();
            }
            self.late = (self.late.0 + 1, now);
            Self::time_out(&pending, limit, begun, out, cx);
        }
        !late.is_empty()
    }

    fn time_out(
        pending: &Pending<I>,
        limit: Duration,
        begun: bool,
        out: &mut Catching<I, O>,
        cx: &mut Cx<'_>,
    ) {
        let why = match begun {
            true => format!("the call took longer than {limit:?}"),
            false => {
                format!("no device was free, since a call that took longer than {limit:?} has not come back")
            }
        };
        cx.count_model(|model| model.late += pending.tags.len() as u64);
        for (value, tag) in pending.rows().iter().zip(&pending.tags) {
            out.fail(tag, FaultKind::TimeOut, &why, value, cx);
        }
    }

    fn call_onnx(&mut self, batch: Batch<I>, most: usize, out: &mut Catching<I, O>, cx: &mut Cx<'_>) {
        let mut rows = Vec::new();
        let mut tags = Vec::new();
        let mut counts = Vec::new();
        let mut items: Vec<Item> = Vec::new();
        let mut ready = Vec::new();
        for (value, tag) in batch.into_rows() {
            let Runner::Onnx { before, order, .. } = &mut self.code else { return };
            let made = match guard::call(|| before(&value)) {
                Ok(Ok(made)) => made,
                Ok(Err(why)) => {
                    let why = format!("the step before the model: {why}");
                    out.fail(&tag, FaultKind::Error, &why, &value, cx);
                    continue;
                }
                Err(panicked) => {
                    let why = format!("the step before the model: {}", panicked.0);
                    out.fail(&tag, FaultKind::Panic, &why, &value, cx);
                    continue;
                }
            };
            counts.push(made.len());
            items.extend(made.into_iter().map(|tensors| in_order(tensors, order)));
            rows.push(value);
            tags.push(tag);
            if items.len() >= most {
                ready.push(std::mem::take(&mut (rows, tags, counts, items)));
                (rows, tags, counts, items) = Default::default();
            }
        }
        if !rows.is_empty() {
            ready.push((rows, tags, counts, items));
        }
        for (rows, tags, counts, items) in ready {
            let n = items.len();
            cx.count_model(|model| model.items += n as u64);
            let pending = Pending::new(rows, tags, counts);
            self.submit(pending, Work::Items(items), n, None);
        }
    }

    fn call_function(&mut self, batch: Batch<I>, most: usize, cx: &mut Cx<'_>) {
        cx.count_model(|model| model.items += batch.len() as u64);
        let (rows, tags) = batch.into_parts();
        let (mut rows, mut tags) = (rows.into_iter(), tags.into_iter().collect::<Vec<Tag>>());
        let taken = self.top_up(most, &mut rows, &tags);
        let mut tags = tags.drain(taken..);
        while rows.len() > 0 {
            let some = rows.by_ref().take(most).collect();
            self.run_function(some, tags.by_ref().take(most).collect(), false);
        }
    }

    /// Gives the first rows to the latest call, if that is not full and still waits, and says how many it took: a function is
    /// called with as many as its batch holds, however they come.
    fn top_up(&mut self, most: usize, rows: &mut vec::IntoIter<I>, tags: &[Tag]) -> usize {
        let Some(mut last) = self.calls.last_entry() else { return 0 };
        let pending = last.get_mut();
        let count = most.saturating_sub(pending.tags.len()).min(rows.len());
        let Some(sent) = pending.sent.as_ref().filter(|_| count > 0 && !pending.alone) else { return 0 };
        let add = || {
            // Nobody else holds them, since nobody has begun.
            if let Some(own) = Arc::get_mut(&mut pending.rows.lock()) {
                own.extend(rows.take(count));
            }
        };
        if !sent.top_up(count, retries(&tags[..count]), add) {
            return 0;
        }
        self.rows += count;
        self.items += count;
        pending.tags.extend_from_slice(&tags[..count]);
        count
    }

    fn run_function(&mut self, rows: Vec<I>, tags: Vec<Tag>, alone: bool) {
        let Runner::Function(f) = &self.code else { return };
        let (f, slot) = (Arc::clone(f), Arc::new(Mutex::new(Vec::new())));
        let into = Arc::clone(&slot);
        let pending = Pending { alone, ..Pending::new(rows, tags, Vec::new()) };
        let (called, clock) = (Arc::clone(&pending.called), self.clock.clone());
        let input = Arc::clone(&pending.rows);
        let run = move || {
            let _ = called.set(clock.now());
            let rows = Arc::clone(&input.lock());
            let values = (f.lock())(&rows);
            *into.lock() = values;
        };
        let items = pending.tags.len();
        let work = Work::Function { items, run: Box::new(run) };
        self.submit(pending, work, items, Some(slot));
    }

    fn finish_onnx(
        &mut self,
        pending: Pending<I>,
        results: Vec<Result<Item, ItemError>>,
        made: &mut Batch<O>,
        out: &mut Catching<I, O>,
        cx: &mut Cx<'_>,
    ) {
        let Runner::Onnx { after, output, .. } = &mut self.code else { return };
        let mut results = results.into_iter();
        let rows = pending.rows();
        for ((value, tag), count) in rows.iter().zip(pending.tags).zip(pending.items) {
            let mut tensors = Vec::with_capacity(count);
            let mut failure = None;
            for result in results.by_ref().take(count) {
                match result {
                    Ok(mut item) if *output < item.tensors.len() => {
                        tensors.push(item.tensors.swap_remove(*output))
                    }
                    Ok(_) => failure = Some((FaultKind::Model, "the model gave too few outputs".to_owned())),
                    Err(error) => failure = Some((fault_kind(&error), error.message)),
                }
            }
            let result = match failure {
                Some((kind, why)) => Err((kind, why)),
                None => match guard::call(|| after(value, tensors)) {
                    Ok(Ok(made)) => Ok(made),
                    Ok(Err(why)) => Err((FaultKind::Error, format!("the step after the model: {why}"))),
                    Err(panicked) => {
                        Err((FaultKind::Panic, format!("the step after the model: {}", panicked.0)))
                    }
                },
            };
            match result {
                Ok(value) => made.push(value, tag),
                Err((kind, why)) => {
                    cx.count_model(|model| model.failed += 1);
                    out.fail(&tag, kind, &why, value, cx);
                }
            }
        }
    }

    fn finish_function(
        &mut self,
        pending: Pending<I>,
        result: Result<(), ItemError>,
        values: Vec<O>,
        made: &mut Batch<O>,
        out: &mut Catching<I, O>,
        cx: &mut Cx<'_>,
    ) {
        let rows = pending.rows();
        let why = match result {
            Ok(()) if values.len() == rows.len() => {
                for (value, tag) in values.into_iter().zip(pending.tags) {
                    made.push(value, tag);
                }
                return;
            }
            Ok(()) => ItemError::new(
                ItemErrorKind::Engine,
                format!(
                    "the function gave {} values for {}; it must give one for each",
                    values.len(),
                    rows.len()
                ),
            ),
            Err(error) => error,
        };
        if why.kind == ItemErrorKind::Panic && rows.len() > 1 {
            // Only the values on which it panics shall fail: try each alone.
            for (value, tag) in rows.iter().zip(pending.tags) {
                self.run_function(vec![value.clone()], vec![tag], true);
            }
            return;
        }
        for (value, tag) in rows.iter().zip(&pending.tags) {
            cx.count_model(|model| model.failed += 1);
            out.fail(tag, fault_kind(&why), &why.message, value, cx);
        }
    }
}

/// How many have been round a loop.
fn retries(tags: &[Tag]) -> u32 {
    tags.iter().filter(|tag| tag.rounds() > 0).count() as u32
}

fn in_order(mut tensors: Vec<Tensor>, order: &[usize]) -> Item {
    if order.len() > 1 && tensors.len() == order.len() {
        tensors = order.iter().map(|&i| tensors[i].clone()).collect();
    }
    Item::new(tensors)
}

fn fault_kind(error: &ItemError) -> FaultKind {
    if error.kind == ItemErrorKind::Panic { FaultKind::Panic } else { FaultKind::Model }
}

impl<I: Data, O: Data> Operator for ModelOp<I, O> {
    type In = Inlet<I>;
    type Out = Catching<I, O>;

    fn process(&mut self, batch: Batch<I>, out: &mut Self::Out, cx: &mut Cx<'_>) {
        let most = self.client.as_ref().map_or(1, ModelClient::batch).max(1);
        match &self.code {
            Runner::Onnx { .. } => self.call_onnx(batch, most, out, cx),
            Runner::Function(_) => self.call_function(batch, most, cx),
            Runner::Broken => {
                for (value, tag) in batch.into_rows() {
                    out.fail(&tag, FaultKind::Model, "the model was not loaded", &value, cx);
                }
            }
        }
        let waiting = self.items as u64;
        cx.count_model(|model| model.waiting = waiting);
        out.put(Batch::default(), cx);
    }

    fn wake(&mut self, out: &mut Self::Out, cx: &mut Cx<'_>) -> bool {
        let answers = std::mem::take(&mut *self.returned.answers.lock());
        let mut busy = !answers.is_empty();
        let mut made = Batch::default();
        for answer in answers {
            cx.count_model(|model| model.launches += u64::from(answer.result.launches));
            let Some(pending) = self.take(answer.number) else {
                // It was given up.
                self.late.0 -= 1;
                continue;
            };
            if self.took_too_long(&answer, &pending) {
                Self::time_out(&pending, self.limit.unwrap_or_default(), true, out, cx);
                continue;
            }
            match answer.result.outcome {
                Outcome::Items(results) => self.finish_onnx(pending, results, &mut made, out, cx),
                Outcome::Function(result) => {
                    let values = answer.values.unwrap_or_default();
                    self.finish_function(pending, result, values, &mut made, out, cx);
                }
            }
        }
        busy |= self.give_up_late(out, cx);
        if !busy {
            return false;
        }
        let waiting = self.items as u64;
        cx.count_model(|model| model.waiting = waiting);
        out.put(made, cx);
        true
    }

    fn is_ready(&self) -> bool {
        self.client.as_ref().is_none_or(|client| self.items < client.in_flight_hint().max(1))
    }

    fn next_wake(&self) -> Option<Moment> {
        let limit = self.limit.filter(|_| !self.calls.is_empty())?;
        // A call that waits may begin right now.
        let soon = self.clock.now() + limit + Duration::from_micros(1);
        self.calls.values().map(|pending| self.due(pending).unwrap_or(soon)).min()
    }

    fn holding(&self) -> Holding {
        Holding { held: self.rows, ..Holding::default() }
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        for tag in self.calls.values().flat_map(|pending| &pending.tags) {
            visit(tag.id, tag.trail.as_deref());
        }
    }
}
