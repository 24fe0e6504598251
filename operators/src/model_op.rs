//! The operator of `model`: turns rows into calls, hands them to the dispatcher, and makes values of what comes back.
//!
//! Whoever takes a call out of `calls` ends its records: the answer, or the operator where the time is up. So each ends once, and
//! an answer that comes later is thrown away.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use eddyline_runtime::{
    Data,
    batch::{Batch, Tags},
    clock::{Clock, Moment},
    engine::{Item, ItemError, ItemErrorKind, UserCall},
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

use crate::{
    catch::Catching,
    memo::{Key, Remembering},
    model::Runner,
};

/// How many times its limit what waits behind a late call may wait for a device, until that call has come back.
const PATIENCE: u32 = 10;

/// A call that is with the dispatcher.
struct Pending<I, O> {
    values: Values<I, O>,
    /// Who the rows are.
    tags: Batch<()>,
    /// Per row: how many items it became. Empty for functions.
    items: Vec<usize>,
    /// What the items are known by, where they are to be remembered.
    keys: Vec<Key>,
    since: Moment,
    sent: Option<Sent>,
}

/// The values of a call.
enum Values<I, O> {
    Items(Vec<I>),
    Function(Arc<FunctionCall<I, O>>),
}

/// What the operator and the device share of a function's call.
struct FunctionCall<I, O> {
    /// Rows that the function gets at once, at most; where there are more it runs several times.
    most: usize,
    /// More can come until a device begins with it.
    waiting: Mutex<Vec<I>>,
    /// When the function was called, where there is a limit, and with what; a launch may hold several calls, which run one after the
    /// other.
    begun: OnceLock<(Option<Moment>, Vec<I>)>,
    /// What each run gave.
    values: Mutex<Vec<Vec<O>>>,
    /// Not to be given more: the function has panicked on this row and others.
    alone: bool,
}

impl<I, O> FunctionCall<I, O> {
    fn run(&self, nth: usize, f: &mut (dyn FnMut(&[I]) -> Vec<O> + Send), now: Option<Moment>) {
        let (_, rows) = {
            // Whoever looks at the rows finds them here or there.
            let mut waiting = self.waiting.lock();
            self.begun.get_or_init(|| (now, std::mem::take(&mut *waiting)))
        };
        let from = nth * self.most;
        let made = f(&rows[from..rows.len().min(from + self.most)]);
        if let Some(values) = self.values.lock().get_mut(nth) {
            *values = made;
        }
    }
}

impl<I, O> Pending<I, O> {
    /// When it was begun with, if it was. Nothing any more once a call of items has been answered.
    fn begun(&self) -> Option<Moment> {
        match &self.values {
            Values::Items(_) => self.sent.as_ref().and_then(Sent::begun),
            Values::Function(call) => call.begun.get().and_then(|(at, _)| *at),
        }
    }

    /// How many items it is for the dispatcher.
    fn count(&self) -> usize {
        if self.items.is_empty() { self.tags.len() } else { self.items.iter().sum() }
    }

    /// Looks at each row.
    fn each_row(&self, mut look: impl FnMut(&I, &Tag)) {
        let mut each = |rows: &[I]| {
            rows.iter().enumerate().for_each(|(row, value)| look(value, &self.tags.tag(row)));
        };
        match &self.values {
            Values::Items(rows) => each(rows),
            Values::Function(call) => {
                let waiting = call.waiting.lock();
                each(call.begun.get().map_or(&waiting, |(_, rows)| rows));
            }
        }
    }
}

/// Where calls that come back are put down, from any thread.
struct Returned {
    answers: Arc<Mutex<Vec<Answer>>>,
    waker: Arc<Waker>,
}

struct Answer {
    number: u64,
    result: CallResult,
    /// When it came, where there is a limit.
    at: Option<Moment>,
}

/// Rows for an ONNX file on their way to a device.
struct Gathered<I> {
    rows: Vec<I>,
    tags: Batch<()>,
    /// Per row: how many items it became.
    counts: Vec<usize>,
    items: Vec<Item>,
    keys: Vec<Key>,
}

impl<I> Default for Gathered<I> {
    fn default() -> Self {
        let (rows, counts, items, keys) = Default::default();
        Self { rows, tags: Batch::default(), counts, items, keys }
    }
}

pub(crate) struct ModelOp<I, O> {
    client: Option<ModelClient>,
    code: Runner<I, O>,
    memory: Option<Remembering>,
    clock: Clock,
    limit: Option<Duration>,
    /// By number, so in the order in which they were handed over.
    calls: BTreeMap<u64, Pending<I, O>>,
    /// Calls that were given up and have not come back, and when the last one was.
    late: (usize, Moment),
    returned: Returned,
    next: u64,
    rows: usize,
    items: usize,
}

impl<I: Data, O: Data> ModelOp<I, O> {
    pub fn new(
        name: &str,
        (code, memory): (Runner<I, O>, Option<Remembering>),
        limit: Option<Duration>,
        start: &Start<'_>,
    ) -> Self {
        Self {
            client: start.model(name),
            code,
            memory,
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

    /// Hands calls over, together.
    fn submit(&mut self, calls: Vec<(Pending<I, O>, Work)>) {
        let Some(client) = &self.client else { return };
        let first = self.next;
        let mut handed_over = Vec::with_capacity(calls.len());
        for (mut pending, work) in calls {
            let number = self.next;
            self.next += 1;
            self.rows += pending.tags.len();
            self.items += pending.count();
            let clock = self.limit.map(|_| self.clock.clone());
            pending.since = clock.as_ref().map_or(Moment::ZERO, Clock::now);
            let answers = Arc::clone(&self.returned.answers);
            let done = move |result| {
                let at = clock.as_ref().map(Clock::now);
                answers.lock().push(Answer { number, result, at });
            };
            handed_over.push(Call {
                work,
                retries: retries(&pending.tags),
                deadline: None,
                done: Box::new(done),
                wake: Some(Arc::clone(&self.returned.waker)),
            });
            self.calls.insert(number, pending);
        }
        let sent = client.submit_all(handed_over);
        for ((_, pending), sent) in self.calls.range_mut(first..).zip(sent) {
            pending.sent = Some(sent);
        }
    }

    /// Takes a call out: its records are about to end here or to go on.
    fn take(&mut self, number: u64) -> Option<Pending<I, O>> {
        let pending = self.calls.remove(&number)?;
        self.rows -= pending.tags.len();
        self.items -= pending.count();
        Some(pending)
    }

    /// Whether an answer came too late, though it was not given up yet.
    fn took_too_long(&self, answer: &Answer, pending: &Pending<I, O>) -> bool {
        let waited = Duration::from_micros(answer.result.waited_us);
        let begun = pending.begun().unwrap_or(pending.since + waited);
        let took = answer.at.map(|at| at.saturating_sub(begun));
        took.zip(self.limit).is_some_and(|(took, limit)| took > limit)
    }

    /// When a call is given up unless its answer is there by then.
    fn due(&self, pending: &Pending<I, O>) -> Option<Moment> {
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
        let is_late = |pending: &Pending<I, O>| self.due(pending).is_some_and(|due| due <= now);
        let late: Vec<u64> =
            self.calls.iter().filter(|(_, p)| is_late(p)).map(|(number, _)| *number).collect();
        for number in &late {
            let Some(pending) = self.take(*number) else { continue };
            let begun = pending.begun().is_some();
            if let (Some(client), Some(sent)) = (&self.client, &pending.sent) {
                client.give_up(sent);
            }
            self.late = (self.late.0 + 1, now);
            Self::time_out(&pending, limit, begun, out, cx);
        }
        !late.is_empty()
    }

    fn time_out(
        pending: &Pending<I, O>,
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
        pending.each_row(|value, tag| out.fail(tag, FaultKind::TimeOut, &why, value, cx));
    }

    /// Has a device compute what is not remembered; gives what is.
    fn call_onnx(
        &mut self,
        batch: Batch<I>,
        most: usize,
        out: &mut Catching<I, O>,
        cx: &mut Cx<'_>,
    ) -> Batch<O> {
        let (mut gathered, mut ready) = (Gathered::default(), Vec::new());
        let (mut known, mut results) = (Gathered::default(), Vec::new());
        for (value, tag) in batch.into_rows() {
            let Runner::Onnx { before, order, .. } = &mut self.code else { break };
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
            let items: Vec<Item> = made.into_iter().map(|tensors| in_order(tensors, order)).collect();
            let key = |memory: &Remembering| items.iter().map(|item| memory.key(item)).collect();
            let keys: Vec<Key> = self.memory.as_ref().map(key).unwrap_or_default();
            let recalled = self.memory.as_ref().and_then(|memory| memory.recall(&keys));
            let to = if recalled.is_some() { &mut known } else { &mut gathered };
            to.counts.push(items.len());
            to.rows.push(value);
            to.tags.push((), tag);
            if let Some(recalled) = recalled {
                results.extend(recalled.into_iter().map(Ok));
                continue;
            }
            gathered.items.extend(items);
            gathered.keys.extend(keys);
            if gathered.items.len() >= most {
                ready.push(std::mem::take(&mut gathered));
            }
        }
        if !gathered.rows.is_empty() {
            ready.push(gathered);
        }
        let calls = ready.into_iter().map(|Gathered { rows, tags, counts, items, keys }| {
            cx.count_model(|model| model.items += items.len() as u64);
            let values = Values::Items(rows);
            let pending = Pending { values, tags, items: counts, keys, since: Moment::ZERO, sent: None };
            (pending, Work::Items(items))
        });
        let calls = calls.collect();
        self.submit(calls);
        let mut made = Batch::with_capacity(known.rows.len());
        if !known.rows.is_empty() {
            cx.count_model(|model| model.remembered += results.len() as u64);
            for (record, items) in known.tags.ids().iter().zip(&known.counts) {
                cx.note_remembered(record, *items);
            }
            self.finish_onnx(&known.rows, (known.tags, known.counts), results, &mut made, out, cx);
        }
        made
    }

    fn call_function(&mut self, mut batch: Batch<I>, most: usize, cx: &mut Cx<'_>) {
        cx.count_model(|model| model.items += batch.len() as u64);
        // Calls that are answered together would be given up together.
        let together = self.client.as_ref().filter(|_| self.limit.is_none()).map_or(1, ModelClient::together);
        let room = self.room_of_last(most).min(batch.len());
        // From the end, so that no row is moved twice.
        let mut parts = Vec::new();
        let last = (batch.len() - room) % most;
        if last > 0 {
            parts.push(batch.split_off(batch.len() - last));
        }
        while batch.len() > room {
            let several = most * together.max(1);
            parts.push(batch.split_off(room + (batch.len() - room - 1) / several * several));
        }
        if !batch.is_empty()
            && let Some(rest) = self.top_up(batch)
        {
            parts.push(rest);
        }
        let calls =
            parts.into_iter().rev().filter_map(|part| self.function_call(part, most, false)).collect();
        self.submit(calls);
    }

    /// How many more rows the latest call could take: a function is called with as many as its batch holds, however they come.
    /// Not where a call may be late: all that is in it would end with it.
    fn room_of_last(&self, most: usize) -> usize {
        match self.calls.last_key_value().filter(|_| self.limit.is_none()) {
            Some((_, Pending { values: Values::Function(call), tags, .. })) if !call.alone => {
                most.saturating_sub(tags.len())
            }
            _ => 0,
        }
    }

    /// Gives these rows to the latest call, or gives them back where a device has begun with that.
    fn top_up(&mut self, batch: Batch<I>) -> Option<Batch<I>> {
        let (Some(client), Some(mut last)) = (&self.client, self.calls.last_entry()) else {
            return Some(batch);
        };
        let Pending { values: Values::Function(call), tags, sent: Some(sent), .. } = last.get_mut() else {
            return Some(batch);
        };
        let (count, retries) = (batch.len(), retries(&batch));
        let (values, new_tags) = batch.into_parts();
        let mut values = Some(values);
        let add = || call.waiting.lock().extend(values.take().unwrap_or_default());
        if !client.top_up(sent, count, retries, add) {
            return Some(Batch::from_parts(values.unwrap_or_default(), new_tags));
        }
        self.rows += count;
        self.items += count;
        tags.append(Batch::from_parts(vec![(); count], new_tags));
        None
    }

    /// A call of the function with these rows, so many at once.
    fn function_call(&self, batch: Batch<I>, most: usize, alone: bool) -> Option<(Pending<I, O>, Work)> {
        let Runner::Function(f) = &self.code else { return None };
        let (rows, tags) = batch.into_parts();
        let count = rows.len();
        let call = Arc::new(FunctionCall {
            most,
            waiting: Mutex::new(rows),
            begun: OnceLock::new(),
            values: Mutex::new(std::iter::repeat_with(Vec::new).take(count.div_ceil(most)).collect()),
            alone,
        });
        let run = |nth: usize| {
            let (f, own) = (Arc::clone(f), Arc::clone(&call));
            let clock = self.limit.map(|_| self.clock.clone());
            let run = Box::new(move || own.run(nth, &mut *f.lock(), clock.as_ref().map(Clock::now)));
            UserCall { items: most.min(count - nth * most), run }
        };
        let work = Work::Functions((0..count.div_ceil(most)).map(run).collect());
        let (values, tags) = (Values::Function(call), Batch::from_parts(vec![(); count], tags));
        Some((
            Pending { values, tags, items: Vec::new(), keys: Vec::new(), since: Moment::ZERO, sent: None },
            work,
        ))
    }

    fn finish_onnx(
        &mut self,
        rows: &[I],
        (tags, items): (Batch<()>, Vec<usize>),
        results: Vec<Result<Item, ItemError>>,
        made: &mut Batch<O>,
        out: &mut Catching<I, O>,
        cx: &mut Cx<'_>,
    ) {
        let Runner::Onnx { after, output, .. } = &mut self.code else { return };
        let mut results = results.into_iter();
        for ((value, ((), tag)), count) in rows.iter().zip(tags.into_rows()).zip(items) {
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
        call: &FunctionCall<I, O>,
        tags: Batch<()>,
        results: Vec<Result<(), ItemError>>,
        made: &mut Batch<O>,
        out: &mut Catching<I, O>,
        cx: &mut Cx<'_>,
    ) {
        let values = std::mem::take(&mut *call.values.lock());
        let waiting = std::mem::take(&mut *call.waiting.lock());
        let rows = call.begun.get().map_or(&waiting, |(_, rows)| rows);
        let mut tags = tags.into_parts().1;
        let fits = |(rows, values): (&[I], &Vec<O>)| rows.len() == values.len();
        if results.iter().all(Result::is_ok) && rows.chunks(call.most).zip(&values).all(fits) {
            return made.append_parts(values, tags);
        }
        for ((rows, values), result) in rows.chunks(call.most).zip(values).zip(results) {
            let others = tags.split_off(rows.len());
            let own = std::mem::replace(&mut tags, others);
            self.finish_run(rows, own, (values, result), made, out, cx);
        }
    }

    fn finish_run(
        &mut self,
        rows: &[I],
        tags: Tags,
        (values, result): (Vec<O>, Result<(), ItemError>),
        made: &mut Batch<O>,
        out: &mut Catching<I, O>,
        cx: &mut Cx<'_>,
    ) {
        let why = match result {
            Ok(()) if values.len() == rows.len() => {
                made.append(Batch::from_parts(values, tags));
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
        let several = rows.len() > 1;
        let rows = rows.iter().zip(tags);
        if why.kind == ItemErrorKind::Panic && several {
            // Only the values on which it panics shall fail: try each alone.
            let alone = rows.filter_map(|(value, tag)| {
                let mut one = Batch::default();
                one.push(value.clone(), tag);
                self.function_call(one, 1, true)
            });
            let alone = alone.collect();
            return self.submit(alone);
        }
        for (value, tag) in rows {
            cx.count_model(|model| model.failed += 1);
            out.fail(&tag, fault_kind(&why), &why.message, value, cx);
        }
    }
}

/// How many have been round a loop.
fn retries<T>(rows: &Batch<T>) -> u32 {
    if rows.is_plain() {
        return 0;
    }
    (0..rows.len()).filter(|row| rows.tag(*row).rounds() > 0).count() as u32
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
        let mut made = Batch::default();
        match &self.code {
            Runner::Onnx { .. } => made = self.call_onnx(batch, most, out, cx),
            Runner::Function(_) => self.call_function(batch, most, cx),
            Runner::Broken => {
                for (value, tag) in batch.into_rows() {
                    out.fail(&tag, FaultKind::Model, "the model was not loaded", &value, cx);
                }
            }
        }
        let waiting = self.items as u64;
        cx.count_model(|model| model.waiting = waiting);
        out.put(made, cx);
    }

    fn wake(&mut self, out: &mut Self::Out, cx: &mut Cx<'_>) -> bool {
        let answers = std::mem::take(&mut *self.returned.answers.lock());
        let mut busy = !answers.is_empty();
        let rows = answers.iter().filter_map(|answer| self.calls.get(&answer.number));
        let mut made = Batch::with_capacity(rows.map(|pending| pending.tags.len()).sum());
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
            cx.note_call(pending.tags.ids(), pending.count(), &answer.result);
            let Pending { values, tags, items, keys, .. } = pending;
            match (answer.result.outcome, values) {
                (Outcome::Items(results), Values::Items(rows)) => {
                    for (key, result) in keys.into_iter().zip(&results) {
                        if let (Some(memory), Ok(item)) = (&self.memory, result) {
                            memory.keep(key, item);
                        }
                    }
                    self.finish_onnx(&rows, (tags, items), results, &mut made, out, cx);
                }
                (Outcome::Functions(results), Values::Function(call)) => {
                    self.finish_function(&call, tags, results, &mut made, out, cx);
                }
                // Items are answered with items, a function with a function.
                (Outcome::Items(_), Values::Function(_)) | (Outcome::Functions(_), Values::Items(_)) => {}
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
        self.calls.values().for_each(|pending| pending.tags.visit_tags(visit));
    }
}
