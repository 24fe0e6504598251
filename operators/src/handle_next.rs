//! `handle_or_next`: judges every record, and may ask a step further up for its next alternative.

use eddyline_handlers::{Handler, NextAlternative, Seen, Verdict, by};
use eddyline_runtime::{
    Data,
    batch::Batch,
    fault::FaultKind,
    graph::Place,
    operator::{Cx, Operator},
    origin::Standing,
    ports::{Inlet, Outlet},
    record::{FeedbackId, Tag},
    view::{Role, VerdictCounts},
};

use crate::{
    alternatives::{Ask, Tried, none_left},
    handle::{Back, NOT_AN_ANCESTOR, count, obey, pass_all},
    judged::{Judging, Timed},
    onward::{Elsewhere, Onward, onward},
    rows,
    stream::{Stream, WayBack, named_spec},
};

/// The key to a step with alternatives, or several, the nearest step's first: `&text` or `[&text, &channel]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a key to steps with alternatives",
    note = "give `&key`, or `[&nearest, &before]`, of keys that `.alternatives(…)` or `.model_cascade(…)` gave"
)]
pub trait Keys {
    #[doc(hidden)]
    fn each(&self) -> &[&Tried];
}

impl Keys for &Tried {
    fn each(&self) -> &[&Tried] {
        std::slice::from_ref(self)
    }
}

impl<const N: usize> Keys for [&Tried; N] {
    fn each(&self) -> &[&Tried] {
        self
    }
}

impl Keys for &[&Tried] {
    fn each(&self) -> &[&Tried] {
        self
    }
}

impl<T: Data> Stream<T> {
    /// Judges each value with a closure that may also ask for the next alternative of a step further up.
    ///
    /// [`Verdict::NextAlternative`] withdraws what was made of the step's last result and tries the next way on the same input. A
    /// record for which none is left goes into quarantine as "alternatives spent".
    ///
    /// With the keys of several steps, nearest first, the nearest that has something left is asked. If that is an earlier step,
    /// those behind it begin with their first alternative again: so all combinations are tried, the last step's alternatives
    /// fastest.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("backtracking");
    /// let scans = flow.source("scans", ["x".to_owned()]);
    /// let (channel, channels) = scans.alternatives("channel", |x| format!("{x}a")).or(|x| format!("{x}b")).key();
    /// let (text, readers) = channel.alternatives("read", |x| format!("{x}1")).or(|x| format!("{x}2")).key();
    /// let right = text
    ///     .handle_or_next("right", [&readers, &channels], |t| if t == "xb1" { Verdict::Pass } else { Verdict::NextAlternative })
    ///     .collect();
    /// let mut report = flow.run().await?;
    /// assert_eq!(report.take(right), ["xb1"], "after xa1 and xa2");
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn handle_or_next(
        self,
        name: &str,
        keys: impl Keys,
        mut judge: impl FnMut(&T) -> Verdict<T, NextAlternative> + Send + 'static,
    ) -> Stream<T> {
        self.handle_or_next_with(name, keys, by(move |value: &T, _: &Seen| judge(value)))
    }

    /// Judges each value with a [`Handler`] that may also ask for the next alternative of a step further up.
    ///
    /// The handler sees how many are left at the step that it would ask, and can decide otherwise when there are none.
    #[track_caller]
    pub fn handle_or_next_with(
        self,
        name: &str,
        keys: impl Keys,
        handler: impl Handler<T, Retry = NextAlternative>,
    ) -> Stream<T> {
        let graph = self.graph.clone();
        let spec = named_spec("handle", Role::Handler, name);
        let place = Place::here();
        let node = graph.add(spec);
        let input = self.lead_to(node);
        let (stream, forward) = onward(&graph, node);
        if keys.each().is_empty() {
            graph.error(
                Some(node),
                Some(place),
                format!("`{name}` has no key to a step with alternatives"),
                "give it `&key`, or use `.handle(name, …)`",
            );
        }
        let mut steps = Vec::new();
        let mut ways = Vec::new();
        for key in keys.each() {
            graph.note(node, format!("may ask `{}` for the next", key.name));
            let to = WayBack { graph: &key.graph, input: &key.input, id: key.id };
            let what = format!("the alternatives of `{}` belong", key.name);
            let advice = "list the alternatives on a stream of the same `Workflow`";
            let way = graph.lead_back(node, place, "next", &to, what, advice);
            steps.push(Step { id: key.id, count: key.count, name: key.name.clone() });
            ways.push(way);
        }
        graph.build_with(node, move |_| {
            let ways = ways.iter().map(|way| way.outlet()).collect::<Vec<_>>();
            let op = HandleOrNext { handler, steps, types: Default::default() };
            (op, input.inlet(), (forward.open(), ways))
        });
        stream
    }
}

/// A step that the handler may ask.
struct Step {
    id: FeedbackId,
    count: u32,
    name: String,
}

/// Whom to ask for the next alternative of what a record was made of.
struct Whom {
    /// The place of the step among those that the handler may ask.
    step: usize,
    origin: u64,
    left: u32,
}

struct HandleOrNext<T, H> {
    handler: H,
    steps: Vec<Step>,
    types: std::marker::PhantomData<fn(T)>,
}

/// The first step that has something left; where several of its results went into the record, the last that went in.
fn whom(steps: &[Step], tag: &Tag) -> Option<Whom> {
    let marks = &tag.trail.as_deref()?.marks;
    steps.iter().enumerate().find_map(|(nth, step)| {
        let of_step =
            marks.iter().rev().filter(|mark| mark.point() == step.id && mark.standing() != Standing::Final);
        let mut left = of_step.map(|mark| (mark.origin(), step.count.saturating_sub(mark.version())));
        let (origin, left) = left.find(|(_, left)| *left > 0)?;
        Some(Whom { step: nth, origin, left })
    })
}

impl<T: Data, H: Handler<T, Retry = NextAlternative>> Operator for HandleOrNext<T, H> {
    type In = Inlet<T>;
    type Out = (Onward<T>, Vec<Outlet<Ask>>);

    fn process(&mut self, batch: Batch<T>, (out, ways): &mut Self::Out, cx: &mut Cx<'_>) {
        if cx.is_off() {
            return pass_all(batch, out, cx);
        }
        let mut on = Batch::with_capacity(batch.len());
        let mut elsewhere = Elsewhere::default();
        let mut back: Vec<Batch<Ask>> = ways.iter().map(|_| Batch::default()).collect();
        let mut timed = Timed::new(batch.len(), cx);
        let late = self.handler.late();
        let judged = rows::look_at_rows(batch, cx, |value, tag| {
            let whom = whom(&self.steps, tag);
            let left = whom.as_ref().map_or(0, |whom| whom.left);
            let seen = Seen::after(tag.rounds(), 0).with_alternatives_left(left);
            (timed.time(|| self.handler.judge(value, &seen)), whom)
        });
        timed.count(cx);
        let mut counts = VerdictCounts::default();
        for (value, tag, (verdict, whom)) in judged {
            let Some((to, value, mut tag)) = obey(
                value,
                tag,
                verdict,
                Judging { on: &mut on, counts: &mut counts },
                &mut elsewhere,
                out,
                cx,
            ) else {
                continue;
            };
            let Back::Retry(NextAlternative) = to else {
                // The author took an ancestor from elsewhere.
                cx.fault(&tag, FaultKind::Error, NOT_AN_ANCESTOR, Some(&value));
                continue;
            };
            match whom {
                Some(Whom { step, origin, .. }) => {
                    counts.next_alternative += 1;
                    let Step { id, name, .. } = &self.steps[step];
                    tag.trail_mut().spend_round(*id);
                    cx.note_verdict(tag.id, "sent for the next alternative", name, tag.rounds_at(*id));
                    back[step].push(Ask { origin }, tag);
                }
                None => {
                    counts.rejected += 1;
                    let reason = none_left(self.steps.iter().map(|step| step.name.as_str()));
                    cx.fault(&tag, FaultKind::AlternativesSpent, &reason, Some(&value));
                }
            }
        }
        for (way, asks) in ways.iter_mut().zip(back) {
            way.put(asks, cx);
        }
        elsewhere.put(out, cx);
        out.put(on, cx);
        count(cx, VerdictCounts { late: self.handler.late() - late, ..counts });
    }
}
