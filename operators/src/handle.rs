//! `handle`: judges every record, and does what the verdict says.

use eddyline_handlers::{Ancestor, Handler, NoLoop, Seen, Verdict, by};
use eddyline_runtime::{
    Data,
    batch::Batch,
    fate::Fate,
    fault::FaultKind,
    graph::Place,
    linear::Makes,
    operator::{Cx, Operator},
    ports::{Inlet, Outlet},
    record::{FeedbackId, Spent, Tag, Trail},
    view::{Role, VerdictCounts},
};

use crate::{
    feedback::Feedback,
    flat_map::put_many,
    judged::{Judging, REPLACED, judge_rows, seen},
    onward::{Elsewhere, Onward, onward},
    stream::{Stream, WayBack, named_spec},
};

impl<T: Data> Stream<T> {
    /// Judges each value with a closure.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("positive");
    /// let positive = flow
    ///     .source("numbers", [3, -1, 0])
    ///     .handle("sign", |n| match *n {
    ///         0 => Verdict::reject("zero"),
    ///         n if n < 0 => Verdict::Replace(-n),
    ///         _ => Verdict::Pass,
    ///     })
    ///     .collect();
    /// let mut report = flow.run().await?;
    /// assert_eq!(report.take(positive), [3, 1]);
    /// assert_eq!(&*report.faults()[0].reason, "zero");
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn handle(self, name: &str, mut judge: impl FnMut(&T) -> Verdict<T> + Send + 'static) -> Stream<T> {
        self.handle_with(name, by(move |value: &T, _: &Seen| judge(value)))
    }

    /// Judges each value with a [`Handler`].
    #[track_caller]
    pub fn handle_with(self, name: &str, handler: impl Handler<T, Retry = NoLoop>) -> Stream<T> {
        let graph = self.graph.clone();
        let node = graph.add(named_spec("handle", Role::Handler, name));
        let input = self.lead_to(node);
        let (stream, ways) = onward(&graph, node);
        graph.build_with(node, move |_| {
            let op = Handle { handler, flags: Vec::new(), types: Default::default() };
            (op, input.inlet(), ways.open())
        });
        stream
    }

    /// Judges each value with a closure that may also send it back to a feedback point.
    ///
    /// [`Verdict::Retry`] carries a value of that point's type. A record whose rounds are spent goes into quarantine instead.
    #[track_caller]
    pub fn handle_or_retry<U: Data>(
        self,
        name: &str,
        again: Feedback<U>,
        mut judge: impl FnMut(&T) -> Verdict<T, U> + Send + 'static,
    ) -> Stream<T> {
        self.handle_or_retry_with(name, again, by(move |value: &T, _: &Seen| judge(value)))
    }

    /// Judges each value with a [`Handler`] that may also send it back to a feedback point.
    ///
    /// The handler sees how many rounds are left and can decide otherwise when there are none.
    #[track_caller]
    pub fn handle_or_retry_with<U: Data>(
        self,
        name: &str,
        again: Feedback<U>,
        handler: impl Handler<T, Retry = U>,
    ) -> Stream<T> {
        let graph = self.graph.clone();
        let mut spec = named_spec("handle", Role::Handler, name);
        spec.notes.push(format!("sends back to `{}`", again.name));
        let place = Place::here();
        let node = graph.add(spec);
        let input = self.lead_to(node);
        let (stream, ways) = onward(&graph, node);
        let to = WayBack { graph: &again.graph, input: &again.input, id: again.id };
        let what = format!("the feedback `{}` belongs", again.name);
        let advice = "open the feedback on a stream of the same `Workflow`";
        graph.set_makes(node, Makes::OneThatReturns);
        let retry = graph.lead_back(node, place, "retry", &to, what, advice);
        let (id, limit) = (again.id, again.rounds.limit());
        graph.build_with(node, move |_| {
            let op =
                HandleOrRetry { handler, feedback: id, limit, flags: Vec::new(), types: Default::default() };
            (op, input.inlet(), (ways.open(), retry.outlet()))
        });
        stream
    }
}

struct Handle<T, H> {
    handler: H,
    /// Memory for judging.
    flags: Vec<bool>,
    types: std::marker::PhantomData<fn(T)>,
}

impl<T: Data, H: Handler<T, Retry = NoLoop>> Operator for Handle<T, H> {
    type In = Inlet<T>;
    type Out = Onward<T>;

    fn process(&mut self, batch: Batch<T>, out: &mut Onward<T>, cx: &mut Cx<'_>) {
        if cx.is_off() {
            return pass_all(batch, out, cx);
        }
        let mut elsewhere = Elsewhere::default();
        let late = self.handler.late();
        let judge = |value: &T, trail: Option<&Trail>| self.handler.judge(value, &seen(trail));
        let (on, counts) =
            judge_rows(batch, &mut self.flags, cx, judge, |value, tag, verdict, judging, cx| {
                obey_alone(value, tag, verdict, judging, &mut elsewhere, out, cx);
            });
        elsewhere.put(out, cx);
        out.put(on, cx);
        count(cx, VerdictCounts { late: self.handler.late() - late, ..counts });
    }
}

struct HandleOrRetry<T, U, H> {
    handler: H,
    feedback: FeedbackId,
    limit: u32,
    /// Memory for judging.
    flags: Vec<bool>,
    types: std::marker::PhantomData<fn(T) -> U>,
}

impl<T: Data, U: Data, H: Handler<T, Retry = U>> Operator for HandleOrRetry<T, U, H> {
    type In = Inlet<T>;
    type Out = (Onward<T>, Outlet<U>);

    fn process(&mut self, batch: Batch<T>, (out, retry): &mut Self::Out, cx: &mut Cx<'_>) {
        if cx.is_off() {
            return pass_all(batch, out, cx);
        }
        let mut elsewhere = Elsewhere::default();
        let mut back = Batch::default();
        let expected = batch.len().min(128);
        let mut spent = Spent::at(self.feedback);
        let late = self.handler.late();
        let judge = |value: &T, trail: Option<&Trail>| {
            let rounds = trail.map_or(0, |trail| trail.rounds_at(self.feedback));
            self.handler.judge(value, &Seen::after(rounds, self.limit.saturating_sub(rounds)))
        };
        let (on, counts) = judge_rows(
            batch,
            &mut self.flags,
            cx,
            judge,
            |value, mut tag, verdict, Judging { on, counts }, cx| {
                // By itself, so that what most verdicts do not need is not moved about.
                let Verdict::Retry(again) = verdict else {
                    let judging = Judging { on, counts: &mut *counts };
                    if let Some((_, value, tag)) = obey(value, tag, verdict, judging, &mut elsewhere, out, cx)
                    {
                        // The author took an ancestor from elsewhere.
                        cx.fault(&tag, FaultKind::Error, NOT_AN_ANCESTOR, Some(&value));
                    }
                    return;
                };
                counts.judged += 1;
                if tag.rounds_at(self.feedback) < self.limit {
                    counts.retried += 1;
                    spent.spend(&mut tag);
                    cx.note_verdict(tag.id, "sent back", "", tag.rounds_at(self.feedback));
                    if back.is_empty() {
                        back = Batch::with_capacity(expected);
                    }
                    back.push(again, tag);
                } else {
                    counts.rejected += 1;
                    let reason = format!("still sent back after {} rounds", self.limit);
                    cx.fault(&tag, FaultKind::RoundsSpent, &reason, Some(&value));
                }
            },
        );
        elsewhere.put(out, cx);
        retry.put(back, cx);
        out.put(on, cx);
        count(cx, VerdictCounts { late: self.handler.late() - late, ..counts });
    }
}

/// All go on as they are: nobody judges them.
pub(crate) fn pass_all<T: Data>(batch: Batch<T>, out: &mut Onward<T>, cx: &mut Cx<'_>) {
    let rows = batch.len() as u64;
    count(cx, VerdictCounts { judged: rows, passed: rows, ..VerdictCounts::default() });
    out.put(batch, cx);
}

/// Why a record is a fault whose verdict is about something else.
pub(crate) const NOT_AN_ANCESTOR: &str = "the verdict names an ancestor that the record was not made of; take it from the ancestors that come with the record";

/// What a handler sends back to where records may be revised.
pub(crate) enum Back<R> {
    Retry(R),
    Revise(Ancestor<R>, R),
    Append(Ancestor<R>, R),
    Delete(Ancestor<R>),
}

/// Does what a verdict says of a handler that has no loop to send anything back to.
pub(crate) fn obey_alone<T: Data>(
    value: T,
    tag: Tag,
    verdict: Verdict<T, NoLoop>,
    judging: Judging<'_, T>,
    elsewhere: &mut Elsewhere<T>,
    out: &Onward<T>,
    cx: &mut Cx<'_>,
) {
    match obey(value, tag, verdict, judging, elsewhere, out, cx) {
        None => {}
        Some((Back::Retry(never) | Back::Revise(_, never) | Back::Append(_, never), ..)) => match never {},
        Some((Back::Delete(nothing), ..)) => match *nothing {},
    }
}

/// Does what a verdict says, except for what it sends back, which it gives back with the record.
pub(crate) fn obey<T: Data, R>(
    value: T,
    tag: Tag,
    verdict: Verdict<T, R>,
    Judging { on, counts }: Judging<'_, T>,
    elsewhere: &mut Elsewhere<T>,
    out: &Onward<T>,
    cx: &mut Cx<'_>,
) -> Option<(Back<R>, T, Tag)> {
    counts.judged += 1;
    match verdict {
        Verdict::Pass => {
            counts.passed += 1;
            on.push(value, tag);
        }
        Verdict::Replace(value) => {
            counts.replaced += 1;
            cx.note_verdict(tag.id, REPLACED, "", 0);
            on.push(value, tag);
        }
        Verdict::Split(values) => {
            counts.split += 1;
            cx.note_verdict(tag.id, "split", "", 0);
            if values.is_empty() {
                cx.end(&tag, Fate::Dropped);
            } else {
                put_many(values, tag, on, cx);
            }
        }
        Verdict::Reject(reason) => {
            counts.rejected += 1;
            cx.fault(&tag, FaultKind::Rejected, &reason, Some(&value));
        }
        Verdict::Drop(reason) => {
            counts.dropped += 1;
            cx.note_verdict(tag.id, "dropped", &reason, 0);
            cx.end(&tag, Fate::Dropped);
        }
        Verdict::Escalate(question) => {
            counts.escalated += 1;
            cx.note_verdict(tag.id, "escalated", &question.text, 0);
            elsewhere.ask(value, question, tag, out, cx);
        }
        Verdict::Reroute(way) => {
            counts.rerouted += 1;
            cx.note_verdict(tag.id, "rerouted", &way, 0);
            elsewhere.reroute(value, &way, tag, out, cx);
        }
        Verdict::Retry(again) => return Some((Back::Retry(again), value, tag)),
        Verdict::Revise(ancestor, again) => return Some((Back::Revise(ancestor, again), value, tag)),
        Verdict::Append(ancestor, added) => return Some((Back::Append(ancestor, added), value, tag)),
        Verdict::Delete(ancestor) => return Some((Back::Delete(ancestor), value, tag)),
        _ => {
            counts.abstained += 1;
            on.push(value, tag);
        }
    }
    None
}

/// Adds to the handler's counts.
pub(crate) fn count(cx: &Cx<'_>, new: VerdictCounts) {
    cx.count_verdicts(|all| {
        all.judged += new.judged;
        all.passed += new.passed;
        all.replaced += new.replaced;
        all.retried += new.retried;
        all.revised += new.revised;
        all.appended += new.appended;
        all.deleted += new.deleted;
        all.next_alternative += new.next_alternative;
        all.split += new.split;
        all.rejected += new.rejected;
        all.dropped += new.dropped;
        all.escalated += new.escalated;
        all.rerouted += new.rerouted;
        all.abstained += new.abstained;
        all.late += new.late;
    });
}
