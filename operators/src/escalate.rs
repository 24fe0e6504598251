//! `escalate_to`: what a handler escalates is asked at a desk, and goes on from there when somebody has answered.

use std::collections::{BTreeMap, BTreeSet};

use eddyline_handlers::{Answer, Question};
use eddyline_runtime::{
    Data,
    batch::Batch,
    clock::Moment,
    fate::Fate,
    fault::FaultKind,
    graph::Place,
    operator::{Cx, Holding, Operator},
    origin::{Notice, Standing},
    ports::{Outlet, Side, Two},
    record::{RecordId, Tag, Trail},
    view::Role,
};
use serde::{Deserialize, Serialize};

use crate::{
    at_rest::{ByOrigin, is_withdrawn},
    desk::Desk,
    rows,
    stream::{Stream, named_spec},
};

/// Questions that wait at a desk, at most: where there are more, the answer is what the question says for nobody's.
const MOST: usize = 10_000;

/// A record and what is asked about it, on its way to the desk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Asked<T> {
    pub value: T,
    pub question: Question<T>,
}

impl<T: Data> Stream<T> {
    /// Puts a desk behind a handler, where people are asked what it [escalates](eddyline_handlers::Verdict::Escalate). They
    /// answer by the [`Desk`], or on the page.
    ///
    /// Nobody waits for them: what is asked about leaves its loop and every order, and other records overtake it. Its answer goes
    /// on from here as a record of a new source, named like the desk, once nothing can withdraw the question any more; until
    /// then a question may vanish, with an answer that was given already. It has the time of what was asked about, and where
    /// windows or joins have passed that time it is late, and ends as a fault.
    ///
    /// A question waits for as long as it says, and then has the answer that it says for this case; so do all that wait when
    /// sources are told to stop, and those beyond 10,000 at once. A run ends when its last question has ended. What was asked about ends
    /// as *escalated*, or as *rejected* or *dropped* where that is the answer.
    ///
    /// It is an error of the workflow to ask where an answer could be sent back to before its question (inside a loop; the
    /// handler that ends a loop is not), or where a gather would wait for it.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("digits");
    /// let (digits, clerks) = flow
    ///     .source("readings", [("7", 0.98), ("1", 0.41)].map(|(digit, sure)| (digit.to_owned(), sure)))
    ///     .handle("sure", |(digit, sure)| match sure {
    ///         0.9.. => Verdict::Pass,
    ///         _ => Verdict::Escalate(
    ///             Question::new("which digit is it?", Duration::from_secs(3600), Answer::reject("nobody knew"))
    ///                 .candidates([(digit.clone(), 1.0), ("7".to_owned(), 1.0)]),
    ///         ),
    ///     })
    ///     .escalate_to("clerks");
    /// let digits = digits.map(|(digit, _)| digit).collect();
    /// // Here a program takes the place of the clerks: it always chooses the second candidate.
    /// clerks.answered_by(|_, question| Some(Answer::Replace(question.candidates[1].clone())));
    /// let mut report = flow.run().await?;
    /// assert_eq!(report.take(digits), ["7", "7"]);
    /// assert_eq!(report.roots().ended["escalated"], 1);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn escalate_to(self, name: &str) -> (Stream<T>, Desk<T>) {
        let graph = self.graph.clone();
        let spec = named_spec("desk", Role::Desk, name);
        let place = Place::here();
        let node = graph.add(spec);
        let desk = Desk::new(name, node);
        let input = self.lead_to(node);
        let asked = graph.input(node);
        match self.exits.as_ref().map(|exits| &exits.ask) {
            Some(asks) if asks.is_led() => graph.error(
                Some(node),
                Some(place),
                "the handler before this desk has another one already",
                "put one desk behind each handler that escalates",
            ),
            Some(asks) => graph.connect(asks, &asked, false),
            None => graph.error(
                Some(node),
                Some(place),
                format!("`{name}` stands behind something that is no handler, which asks nothing"),
                "put `.escalate_to(…)` straight behind `.handle(…)` or one of its kind",
            ),
        }
        graph.open_desk(node, std::sync::Arc::new(desk.clone()));
        let output = graph.output(node, "", false);
        let (out, at) = (output.clone(), desk.clone());
        graph.build_with(node, move |start| {
            at.open(start.waker());
            let op = Escalate {
                desk: at,
                rows: BTreeMap::new(),
                deadlines: BTreeSet::new(),
                by_origin: ByOrigin::default(),
                next: 0,
                entered: 0,
            };
            (op, Two::new(input.inlet(), asked.inlet()), out.outlet())
        });
        (Stream::new(graph, output), desk)
    }
}

struct Escalate<T> {
    desk: Desk<T>,
    /// What is asked about, by the number of the question. The values are on the desk.
    rows: BTreeMap<u64, Row>,
    deadlines: BTreeSet<(Moment, u64)>,
    by_origin: ByOrigin<u64>,
    /// Questions asked.
    next: u64,
    /// Records brought in.
    entered: u64,
}

struct Row {
    tag: Tag,
    until: Moment,
    expired: bool,
}

impl<T: Data> Escalate<T> {
    /// Puts a question on the desk.
    fn ask(&mut self, Asked { value, question }: Asked<T>, mut tag: Tag, cx: &mut Cx<'_>) {
        cx.leave_epochs(&mut tag);
        let number = self.next;
        if self.by_origin.hold(&tag, number, cx) == Standing::Withdrawn {
            return cx.end(&tag, Fate::Withdrawn);
        }
        self.next += 1;
        let answer = match self.desk.ask_clerk(&value, &question) {
            Ok(answer) => answer,
            Err(panicked) => return rows::fault_of_panic(cx, &tag, &panicked, Some(&value)),
        };
        cx.count_people(|all| all.asked += 1);
        let now = cx.clock().now();
        let until = now.saturating_add(question.within);
        let expired = answer.is_none() && (self.rows.len() >= MOST || cx.is_draining());
        let answer = answer.or_else(|| expired.then(|| (*question.otherwise).clone()));
        self.desk.put(number, value, question, now, answer);
        self.rows.insert(number, Row { tag, until, expired });
        self.deadlines.insert((until, number));
    }

    /// Has those whose time is over answered by what they say for this case.
    fn expire(&mut self, cx: &Cx<'_>) -> Vec<u64> {
        let now = if cx.is_draining() { Moment::MAX } else { cx.clock().now() };
        let mut expired = Vec::new();
        while let Some(&(until, number)) = self.deadlines.first()
            && until <= now
        {
            self.deadlines.pop_first();
            if self.desk.expire(number)
                && let Some(row) = self.rows.get_mut(&number)
            {
                row.expired = true;
                expired.push(number);
            }
        }
        expired
    }

    /// Lets go of those of these that are answered, if nothing can withdraw them any more. Says whether there were any.
    fn let_go(
        &mut self,
        numbers: impl IntoIterator<Item = u64>,
        out: &mut Outlet<T>,
        cx: &mut Cx<'_>,
    ) -> bool {
        let mut on = Vec::new();
        let mut any = false;
        for number in numbers {
            let Some(Row { tag, .. }) = self.rows.get(&number) else { continue };
            if is_withdrawn(tag) {
                any = true;
                self.take_back(number, cx);
                continue;
            }
            let is_final = tag.trail.as_deref().is_none_or(|trail| trail.standing() == Standing::Final);
            let may_go = is_final || !cx.answers_wait();
            let Some((value, answer)) = may_go.then(|| self.desk.take_answered(number)).flatten() else {
                continue;
            };
            let Some(Row { tag, until, expired }) = self.rows.remove(&number) else { continue };
            any = true;
            self.deadlines.remove(&(until, number));
            cx.count_people(|all| *(if expired { &mut all.expired } else { &mut all.answered }) += 1);
            let value = match answer {
                Answer::Pass => value,
                Answer::Replace(value) => value,
                Answer::Reject(reason) => {
                    cx.fault(&tag, FaultKind::Rejected, &reason, Some(&value));
                    continue;
                }
                Answer::Drop(_) => {
                    cx.end(&tag, Fate::Dropped);
                    continue;
                }
            };
            on.push((value, tag.id, tag.trail.as_deref().and_then(|trail| trail.time)));
            cx.end(&tag, Fate::Escalated);
        }
        self.bring(on, out, cx);
        any
    }

    /// Brings answers in, with the times of what was asked about.
    fn bring(&mut self, answers: Vec<(T, RecordId, Option<i64>)>, out: &mut Outlet<T>, cx: &mut Cx<'_>) {
        if answers.is_empty() {
            return;
        }
        let (ids, trail) = cx.enter(self.entered, answers.len());
        self.entered += answers.len() as u64;
        let mut on = Batch::with_capacity(answers.len());
        for (id, (value, asked, time)) in ids.into_iter().zip(answers) {
            let mut tag = Tag { id, trail: trail.clone() };
            cx.note_made_of(&tag, [asked]);
            if time.is_some() {
                tag.trail_mut().time = time;
            }
            on.push(value, tag);
        }
        out.put(on, cx);
    }

    /// Ends a record that is withdrawn, with its question.
    fn take_back(&mut self, number: u64, cx: &mut Cx<'_>) {
        if let Some(Row { tag, until, .. }) = self.rows.remove(&number) {
            self.deadlines.remove(&(until, number));
            self.desk.take_back(number);
            cx.count_people(|all| all.withdrawn += 1);
            cx.end(&tag, Fate::Withdrawn);
        }
    }
}

impl<T: Data> Operator for Escalate<T> {
    type In = Two<T, Asked<T>>;
    type Out = Outlet<T>;

    fn process(&mut self, batch: Side<T, Asked<T>>, out: &mut Outlet<T>, cx: &mut Cx<'_>) {
        match batch {
            Side::Left(batch) => out.put(batch, cx),
            Side::Right(asked) => {
                let first = self.next;
                for (asked, tag) in asked.into_rows() {
                    self.ask(asked, tag, cx);
                }
                self.let_go(first..self.next, out, cx);
            }
        }
    }

    fn notice(&mut self, notices: &[Notice], out: &mut Outlet<T>, cx: &mut Cx<'_>) {
        let told: BTreeSet<u64> =
            self.by_origin.told(notices).into_iter().map(|(number, _)| number).collect();
        self.let_go(told, out, cx);
    }

    fn wake(&mut self, out: &mut Outlet<T>, cx: &mut Cx<'_>) -> bool {
        let mut answered = self.desk.given();
        answered.extend(self.expire(cx));
        answered.sort_unstable();
        self.let_go(answered, out, cx)
    }

    fn flush(&mut self, _: &mut Outlet<T>, cx: &mut Cx<'_>) {
        self.desk.close();
        cx.leave();
    }

    fn is_open(&self) -> bool {
        !self.rows.is_empty()
    }

    fn holding(&self) -> Holding {
        Holding { waiting: self.rows.len(), ..Holding::default() }
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        for row in self.rows.values() {
            visit(row.tag.id, row.tag.trail.as_deref());
        }
    }

    fn next_wake(&self) -> Option<Moment> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    fn stop(&mut self) {
        self.desk.close();
    }
}
