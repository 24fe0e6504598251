//! `keep`: values that handlers further down may look at, revise, delete, or put others beside.

use std::{collections::HashMap, sync::Arc};

use eddyline_handlers::{Ancestor, Ancestors, Seen, Verdict};
use eddyline_runtime::{
    Data,
    batch::Batch,
    fate::Fate,
    fault::FaultKind,
    graph::Place,
    operator::{Cx, Operator},
    origin::{Change, Mark, Notice, Standing},
    ports::{Inlet, Outlet, Port, Side, Two},
    record::{FeedbackId, Tag},
    view::{Role, VerdictCounts},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    feedback::Rounds,
    handle::{Back, NOT_AN_ANCESTOR, count, obey, pass_all},
    judged::{Judging, Timed},
    onward::{Elsewhere, Onward, onward},
    rows,
    stream::{GraphHandle, Stream, WayBack, named_spec},
};

/// The values that passed a [`keep`](Stream::keep) and may still be revised, for handlers further down. Cheap to clone.
#[must_use = "give it to `.handle_kept(name, &kept, …)`, or leave the `.keep(…)` out"]
pub struct Kept<A> {
    graph: GraphHandle,
    input: Port<Correction<A>>,
    id: FeedbackId,
    name: String,
    rounds: Rounds,
    values: Values<A>,
}

impl<A> Clone for Kept<A> {
    fn clone(&self) -> Self {
        Self {
            graph: self.graph.clone(),
            input: self.input.clone(),
            name: self.name.clone(),
            values: self.values.clone(),
            ..*self
        }
    }
}

impl<A> std::fmt::Debug for Kept<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "what `{}` keeps", self.name)
    }
}

/// What goes back to where values are kept: for which origin, and what is to become of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Correction<A> {
    Revise(Option<u64>, A),
    Append(u64, A),
    Delete(u64),
}

/// The current value of each origin that is open, with its version. As many as there are records in the loop, at most, and
/// those parked in it.
struct Values<A>(Arc<Mutex<Current<A>>>);
type Current<A> = HashMap<u64, (u32, Arc<A>)>;

impl<A> Clone for Values<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A> Values<A> {
    fn keep(&self, mark: &Mark, value: A) {
        self.0.lock().insert(mark.origin(), (mark.version(), Arc::new(value)));
    }

    /// What the record was made of, as far as it is current.
    fn of(&self, tag: &Tag, point: FeedbackId, seen: Seen) -> Ancestors<A> {
        let values = self.0.lock();
        let may_be = |mark: &&Mark| mark.point() == point && mark.standing() != Standing::Final;
        let marks = tag.trail.iter().flat_map(|trail| &trail.marks).filter(may_be);
        let known = |mark: &Mark| {
            let (version, value) = values.get(&mark.origin())?;
            (*version == mark.version()).then(|| Ancestor::new(mark.origin(), *version, Arc::clone(value)))
        };
        Ancestors::new(marks.filter_map(known).collect(), seen)
    }
}

impl<T: Data> Stream<T> {
    /// Keeps each value for as long as something that was made of it can still revise it, and hands out a way to get at them:
    /// handlers further down see what a record was made of, and may say that *this* is to be another value, is not to be, or
    /// is to have another one beside it.
    ///
    /// A value may be revised at most `rounds` times. Unlike the key of a [`feedback`](Stream::feedback) this one can be cloned
    /// and given to several handlers, also behind joins and gathers: a whole of which a part is revised is made again.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("receipts");
    /// let (items, receipts) = flow
    ///     .source("receipts", [("tea 3 milk 7".to_owned(), 4)])
    ///     .scatter(|(items, _)| items.split(' ').map(str::to_owned).collect::<Vec<_>>());
    /// // A 7 may be a misread 1.
    /// let (items, read) = items.keep("item", Rounds::at_most(1));
    /// let receipts = items
    ///     .gather(receipts, |(_, total), items| (items.into_values().collect::<Vec<_>>(), total))
    ///     .handle_kept("total", &read, |(items, total), read| {
    ///         let sum: i32 = items.iter().filter_map(|item| item.parse::<i32>().ok()).sum();
    ///         match read.iter().find(|item| item.as_str() == "7") {
    ///             Some(seven) if sum != *total => seven.revise("1".to_owned()),
    ///             _ => Verdict::Pass,
    ///         }
    ///     })
    ///     .collect();
    /// let receipts = flow.run().await?.take(receipts);
    /// assert_eq!(receipts, [(["tea", "3", "milk", "1"].map(String::from).to_vec(), 4)]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn keep(self, name: &str, rounds: Rounds) -> (Stream<T>, Kept<T>) {
        let graph = self.graph.clone();
        let mut spec = named_spec("keep", Role::Feedback, name);
        spec.notes.push(rounds.note());
        if rounds.distinct {
            graph.error(
                None,
                Some(spec.place),
                format!("`{name}` keeps values, and does not look for those that it had before"),
                "leave `.distinct()` out, or use a `.feedback(…)`",
            );
        }
        let node = graph.add(spec);
        let input = self.lead_to(node);
        let back = graph.input(node);
        let output = graph.output(node, "", false);
        let id = graph.open_feedback(node, name);
        let values = Values(Arc::default());
        let (again, out, kept) = (back.clone(), output.clone(), values.clone());
        graph.build_with(node, move |_| {
            let ways_in = Two::right_first(input.inlet(), again.inlet());
            (Keep { id, values: kept }, ways_in, out.outlet())
        });
        (
            Stream::new(graph.clone(), output),
            Kept { graph, input: back, id, name: name.to_owned(), rounds, values },
        )
    }

    /// Judges each value with a closure that also sees what it was made of, and may revise that.
    ///
    /// `Verdict::Retry(value)` revises the nearest of the kept values. A verdict about a value that is no longer current, because
    /// another handler was quicker, ends as withdrawn.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("track");
    /// // Positions of an object in frames 1, 2 and 4: the third was lost.
    /// let (frames, kept) = flow.source("frames", [(1, 10), (2, 20), (4, 40)]).keep("frame", Rounds::at_most(1));
    /// let mut seen = Vec::new();
    /// let track = frames
    ///     .handle_kept("gap", &kept, move |(frame, x), kept| {
    ///         seen.push(*frame);
    ///         match kept.nearest() {
    ///             Some(this) if *frame > 1 && !seen.contains(&(frame - 1)) => this.append((frame - 1, x - 10)),
    ///             _ => Verdict::Pass,
    ///         }
    ///     })
    ///     .collect();
    /// let mut track = flow.run().await?.take(track);
    /// track.sort();
    /// assert_eq!(track, [(1, 10), (2, 20), (3, 30), (4, 40)]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn handle_kept<A: Data>(
        self,
        name: &str,
        kept: &Kept<A>,
        judge: impl FnMut(&T, &Ancestors<A>) -> Verdict<T, A> + Send + 'static,
    ) -> Stream<T> {
        let graph = self.graph.clone();
        let mut spec = named_spec("handle", Role::Handler, name);
        spec.notes.push(format!("may revise `{}`", kept.name));
        let place = Place::here();
        let node = graph.add(spec);
        let input = self.lead_to(node);
        let (stream, forward) = onward(&graph, node);
        let to = WayBack { graph: &kept.graph, input: &kept.input, id: kept.id };
        let what = format!("what `{}` keeps belongs", kept.name);
        let advice = "keep values of a stream of the same `Workflow`";
        let back = graph.lead_back(node, place, "revise", &to, what, advice);
        let (id, limit, values) = (kept.id, kept.rounds.limit(), kept.values.clone());
        graph.build_with(node, move |_| {
            let op = HandleKept { judge, point: id, limit, values, types: Default::default() };
            (op, input.inlet(), (forward.open(), back.outlet()))
        });
        stream
    }
}

/// Where values are kept: a new one gets an origin, a correction is applied to the origin that it names.
struct Keep<A> {
    id: FeedbackId,
    values: Values<A>,
}

impl<A: Data> Keep<A> {
    fn put(&mut self, value: A, tag: Tag, on: &mut Batch<A>, cx: &mut Cx<'_>) {
        let own = tag.trail.as_deref().and_then(|trail| trail.marks.last());
        if let Some(mark) = own.filter(|mark| mark.point() == self.id) {
            self.values.keep(mark, value.clone());
            cx.hold_marks([mark]);
        }
        on.push(value, tag);
    }
}

impl<A: Data> Operator for Keep<A> {
    type In = Two<A, Correction<A>>;
    type Out = Outlet<A>;

    fn process(&mut self, batch: Side<A, Correction<A>>, out: &mut Outlet<A>, cx: &mut Cx<'_>) {
        let mut on = Batch::default();
        match batch {
            Side::Left(new) => {
                for (value, mut tag) in new.into_rows() {
                    cx.enter_point(&mut tag, self.id);
                    self.put(value, tag, &mut on, cx);
                }
            }
            Side::Right(corrections) => {
                for (correction, tag) in corrections.into_rows() {
                    match correction {
                        Correction::Revise(origin, value) => {
                            let next = match origin {
                                Some(origin) => cx.reenter_origin(tag, origin),
                                None => cx.reenter_point(tag, self.id),
                            };
                            if let Some(tag) = next {
                                self.put(value, tag, &mut on, cx);
                            }
                        }
                        Correction::Append(origin, value) => {
                            if let Some(tag) = cx.append_at(tag, self.id, origin) {
                                self.put(value, tag, &mut on, cx);
                            }
                        }
                        Correction::Delete(origin) => {
                            if let Some(tag) = cx.reenter_origin(tag, origin) {
                                cx.end(&tag, Fate::Dropped);
                            }
                        }
                    }
                }
            }
        }
        out.put(on, cx);
    }

    fn notice(&mut self, notices: &[Notice], _: &mut Outlet<A>, _: &mut Cx<'_>) {
        let mut values = self.values.0.lock();
        for notice in notices {
            if let Some((version, _)) = values.get(&notice.origin())
                && (notice.change == Change::Settled || notice.is_about(*version))
            {
                values.remove(&notice.origin());
            }
        }
    }
}

struct HandleKept<T, A, J> {
    judge: J,
    point: FeedbackId,
    limit: u32,
    values: Values<A>,
    types: std::marker::PhantomData<fn(T)>,
}

impl<T, A, J> HandleKept<T, A, J> {
    fn is_made_of(&self, tag: &Tag, ancestor: &Ancestor<A>) -> bool {
        let is_it = |mark: &Mark| {
            mark.point() == self.point
                && mark.origin() == ancestor.origin()
                && mark.version() == ancestor.version()
        };
        tag.trail.as_deref().is_some_and(|trail| trail.marks.iter().any(is_it))
    }

    fn no_rounds_left<V: Serialize>(&self, tag: &Tag, value: &V, cx: &mut Cx<'_>) {
        let reason = format!("still revised after {} rounds", self.limit);
        cx.fault(tag, FaultKind::RoundsSpent, &reason, Some(value));
    }
}

impl<T, A, J> Operator for HandleKept<T, A, J>
where
    T: Data,
    A: Data,
    J: FnMut(&T, &Ancestors<A>) -> Verdict<T, A> + Send + 'static,
{
    type In = Inlet<T>;
    type Out = (Onward<T>, Outlet<Correction<A>>);

    fn process(&mut self, batch: Batch<T>, (out, back): &mut Self::Out, cx: &mut Cx<'_>) {
        if cx.is_off() {
            return pass_all(batch, out, cx);
        }
        let mut on = Batch::with_capacity(batch.len());
        let mut elsewhere = Elsewhere::default();
        let mut corrections = Batch::default();
        let mut timed = Timed::new(batch.len(), cx);
        let judged = rows::look_at_rows(batch, cx, |value, tag| {
            let rounds = tag.rounds_at(self.point);
            let seen = Seen::after(rounds, self.limit.saturating_sub(rounds));
            let kept = self.values.of(tag, self.point, seen);
            timed.time(|| (self.judge)(value, &kept))
        });
        timed.count(cx);
        let mut counts = VerdictCounts::default();
        for (value, tag, verdict) in judged {
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
            let (named, correction) = match to {
                Back::Retry(again) => (None, Correction::Revise(None, again)),
                Back::Revise(of, again) => {
                    let correction = Correction::Revise(Some(of.origin()), again);
                    (Some(of), correction)
                }
                Back::Append(to, added) => {
                    let correction = Correction::Append(to.origin(), added);
                    (Some(to), correction)
                }
                Back::Delete(of) => {
                    let correction = Correction::Delete(of.origin());
                    (Some(of), correction)
                }
            };
            if named.is_some_and(|ancestor| !self.is_made_of(&tag, &ancestor)) {
                cx.fault(&tag, FaultKind::Error, NOT_AN_ANCESTOR, Some(&value));
                continue;
            }
            match correction {
                Correction::Append(_, added) if tag.rounds_at(self.point) >= self.limit => {
                    let added_tag = cx.append(&mut tag);
                    counts.rejected += 1;
                    self.no_rounds_left(&added_tag, &added, cx);
                    on.push(value, tag);
                }
                Correction::Append(..) => {
                    let mut added = cx.append(&mut tag);
                    counts.appended += 1;
                    added.trail_mut().spend_round(self.point);
                    cx.note_verdict(tag.id, "had another put beside", "", added.rounds_at(self.point));
                    corrections.push(correction, added);
                    on.push(value, tag);
                }
                Correction::Delete(_) => {
                    counts.deleted += 1;
                    cx.note_verdict(tag.id, "had an ancestor deleted", "", tag.rounds_at(self.point) + 1);
                    corrections.push(correction, tag);
                }
                Correction::Revise(..) if tag.rounds_at(self.point) >= self.limit => {
                    counts.rejected += 1;
                    self.no_rounds_left(&tag, &value, cx);
                }
                Correction::Revise(..) => {
                    counts.revised += 1;
                    tag.trail_mut().spend_round(self.point);
                    cx.note_verdict(tag.id, "had an ancestor revised", "", tag.rounds_at(self.point));
                    corrections.push(correction, tag);
                }
            }
        }
        back.put(corrections, cx);
        elsewhere.put(out, cx);
        out.put(on, cx);
        count(cx, counts);
    }
}
