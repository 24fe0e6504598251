//! A desk: where people, or a program in their place, see questions and answer them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

use eddyline_handlers::{Answer, Question};
use eddyline_runtime::{
    Data,
    clock::Moment,
    data,
    guard::{self, Panicked},
    people::{AnswerError, QuestionView, Questions},
    waker::Waker,
};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Notify;

/// Where the questions of one handler wait; see [`Stream::escalate_to`](crate::Stream::escalate_to). Clones are the same desk.
pub struct Desk<T>(Arc<Inner<T>>);

impl<T> Clone for Desk<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Desk<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "desk `{}` with {} questions", self.0.name, self.0.state.lock().open.len())
    }
}

/// A question that waits for an answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenQuestion<T> {
    /// Its number at this desk, from 0.
    pub number: u64,
    /// The value that it is about.
    pub value: T,
    /// What is asked.
    pub question: Question<T>,
}

struct Inner<T> {
    name: String,
    node: u32,
    state: Mutex<State<T>>,
    /// A question has been asked, or the run is over.
    changed: Notify,
}

type Clerk<T> = Box<dyn FnMut(&T, &Question<T>) -> Option<Answer<T>> + Send>;

struct State<T> {
    open: BTreeMap<u64, Open<T>>,
    /// Numbers that were answered since the operator looked.
    given: Vec<u64>,
    waker: Option<Arc<Waker>>,
    clerk: Option<Clerk<T>>,
    /// The first that [`Desk::next`] has not given out.
    unseen: u64,
    over: bool,
}

struct Open<T> {
    value: T,
    question: Question<T>,
    asked: Moment,
    answer: Option<Answer<T>>,
    /// The value and the candidates as a page shows them: it looks often, and pictures take their time.
    shown: OnceLock<(Value, Vec<Value>)>,
}

impl<T: Data> Desk<T> {
    pub(crate) fn new(name: &str, node: u32) -> Self {
        let state = State {
            open: BTreeMap::new(),
            given: Vec::new(),
            waker: None,
            clerk: None,
            unseen: 0,
            over: false,
        };
        let (state, changed) = (Mutex::new(state), Notify::new());
        Self(Arc::new(Inner { name: name.to_owned(), node, state, changed }))
    }

    /// Has a program look at each question when it is asked; where it gives no answer, the question waits for one. Said before
    /// the workflow runs.
    ///
    /// A panic in it is a fault of the record.
    pub fn answered_by(
        &self,
        clerk: impl FnMut(&T, &Question<T>) -> Option<Answer<T>> + Send + 'static,
    ) -> &Self {
        self.0.state.lock().clerk = Some(Box::new(clerk));
        self
    }

    /// The questions that wait for an answer, oldest first.
    pub fn questions(&self) -> Vec<OpenQuestion<T>> {
        self.0.state.lock().waiting(0).map(|(number, open)| open.view(number)).collect()
    }

    /// The next question that this has not given out yet; `None` when the run is over.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("answers from a task");
    /// let (all, clerks) = flow
    ///     .source("numbers", [7, -1])
    ///     .handle("sign", |n| match *n {
    ///         n if n < 0 => Verdict::Escalate(Question::new(
    ///             "what should it be?",
    ///             Duration::from_secs(60),
    ///             Answer::reject("nobody knew"),
    ///         )),
    ///         _ => Verdict::Pass,
    ///     })
    ///     .escalate_to("clerks");
    /// let all = all.collect();
    /// tokio::spawn(async move {
    ///     while let Some(asked) = clerks.next().await {
    ///         let _ = clerks.answer(asked.number, Answer::Replace(-asked.value));
    ///     }
    /// });
    /// assert_eq!(flow.run().await?.take(all), [7, 1]);
    /// # Ok(()) }
    /// ```
    pub async fn next(&self) -> Option<OpenQuestion<T>> {
        loop {
            // Made before looking, so that what comes in between is not missed.
            let mut changed = std::pin::pin!(self.0.changed.notified());
            changed.as_mut().enable();
            {
                let mut state = self.0.state.lock();
                let next = state.waiting(state.unseen).next().map(|(number, open)| open.view(number));
                if let Some(next) = next {
                    state.unseen = next.number + 1;
                    return Some(next);
                }
                if state.over {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// Answers a question. The answer that comes first counts.
    ///
    /// # Errors
    /// The question no longer waits: it was answered, its time is over, or its record was withdrawn.
    pub fn answer(&self, number: u64, answer: Answer<T>) -> Result<(), AnswerError> {
        let mut state = self.0.state.lock();
        state.waiting_mut(number).ok_or(AnswerError::NotOpen(number))?.answer = Some(answer);
        state.given.push(number);
        if let Some(waker) = &state.waker {
            waker.wake();
        }
        Ok(())
    }
}

impl<T> State<T> {
    /// The questions from this number on that wait for an answer; none once the run is over.
    fn waiting(&self, from: u64) -> impl Iterator<Item = (u64, &Open<T>)> {
        let waits = |(_, open): &(&u64, &Open<T>)| !self.over && open.answer.is_none();
        self.open.range(from..).filter(waits).map(|(number, open)| (*number, open))
    }

    fn waiting_mut(&mut self, number: u64) -> Option<&mut Open<T>> {
        let over = self.over;
        self.open.get_mut(&number).filter(|open| !over && open.answer.is_none())
    }
}

impl<T: Data> Open<T> {
    fn shown(&self) -> &(Value, Vec<Value>) {
        self.shown.get_or_init(|| {
            let candidates = self.question.candidates.iter().map(|value| data::pictured(value, 1000));
            (data::pictured(&self.value, 4000), candidates.collect())
        })
    }

    fn view(&self, number: u64) -> OpenQuestion<T> {
        OpenQuestion { number, value: self.value.clone(), question: self.question.clone() }
    }
}

/// What the operator does at its desk.
impl<T: Data> Desk<T> {
    pub(crate) fn open(&self, waker: Arc<Waker>) {
        self.0.state.lock().waker = Some(waker);
    }

    /// Asks the program, if there is one.
    pub(crate) fn ask_clerk(&self, value: &T, question: &Question<T>) -> Result<Option<Answer<T>>, Panicked> {
        // Not under the lock: it may look at the desk.
        let Some(mut clerk) = self.0.state.lock().clerk.take() else { return Ok(None) };
        let answer = guard::call(|| clerk(value, question));
        self.0.state.lock().clerk.get_or_insert(clerk);
        answer
    }

    fn candidate(&self, number: u64, nth: usize) -> Result<T, AnswerError> {
        let state = self.0.state.lock();
        let open = state.open.get(&number).ok_or(AnswerError::NotOpen(number))?;
        let all = &open.question.candidates;
        all.get(nth).cloned().ok_or_else(|| AnswerError::Unreadable {
            why: format!(
                "there is no candidate {nth}; they are numbered from 0, and this question has {}",
                all.len()
            ),
        })
    }

    /// Puts a question on the desk, with its answer if that is known.
    pub(crate) fn put(
        &self,
        number: u64,
        value: T,
        question: Question<T>,
        asked: Moment,
        answer: Option<Answer<T>>,
    ) {
        self.0
            .state
            .lock()
            .open
            .insert(number, Open { value, question, asked, answer, shown: OnceLock::new() });
        self.0.changed.notify_waiters();
    }

    /// The numbers that were answered since this was last asked.
    pub(crate) fn given(&self) -> Vec<u64> {
        std::mem::take(&mut self.0.state.lock().given)
    }

    /// Nobody has answered in time. Says whether nobody had.
    pub(crate) fn expire(&self, number: u64) -> bool {
        let mut state = self.0.state.lock();
        let open = state.waiting_mut(number);
        open.map(|open| open.answer = Some((*open.question.otherwise).clone())).is_some()
    }

    /// Takes a question away that is answered.
    pub(crate) fn take_answered(&self, number: u64) -> Option<(T, Answer<T>)> {
        let mut state = self.0.state.lock();
        state.open.get(&number)?.answer.as_ref()?;
        let open = state.open.remove(&number)?;
        Some((open.value, open.answer?))
    }

    /// Takes a question away whose record is withdrawn.
    pub(crate) fn take_back(&self, number: u64) {
        self.0.state.lock().open.remove(&number);
    }

    /// No more questions come, and none is answered.
    pub(crate) fn close(&self) {
        self.0.state.lock().over = true;
        self.0.changed.notify_waiters();
    }
}

/// An answer as it comes from outside: also the place of a candidate, whose value may have been shown cut.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Given<T> {
    Pass,
    Replace(T),
    Reject(String),
    Drop(String),
    Choose(usize),
}

impl<T: Data> Questions for Desk<T> {
    fn open(&self, most: usize) -> Vec<QuestionView> {
        let state = self.0.state.lock();
        let view = |(number, open): (u64, &Open<T>)| {
            let (value, candidates) = open.shown().clone();
            QuestionView {
                node: self.0.node,
                number,
                text: open.question.text.clone(),
                value,
                candidates,
                asked_at_us: open.asked.as_micros() as u64,
                until_us: u64::try_from(open.asked.saturating_add(open.question.within).as_micros())
                    .unwrap_or(u64::MAX),
            }
        };
        state.waiting(0).take(most).map(view).collect()
    }

    fn whole(&self, number: u64) -> Option<Value> {
        let state = self.0.state.lock();
        serde_json::to_value(&state.waiting(number).next().filter(|(n, _)| *n == number)?.1.value).ok()
    }

    fn answer(&self, number: u64, answer: Value) -> Result<(), AnswerError> {
        let given = serde_json::from_value(answer);
        let given = given.map_err(|error| AnswerError::Unreadable { why: error.to_string() })?;
        let answer = match given {
            Given::Pass => Answer::Pass,
            Given::Replace(value) => Answer::Replace(value),
            Given::Reject(reason) => Answer::Reject(reason),
            Given::Drop(reason) => Answer::Drop(reason),
            Given::Choose(nth) => Answer::Replace(self.candidate(number, nth)?),
        };
        Desk::answer(self, number, answer)
    }
}
