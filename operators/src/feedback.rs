//! `feedback`: where records may re-enter.

use eddyline_runtime::{
    Data,
    batch::Batch,
    fault::FaultKind,
    linear::Makes,
    operator::{Cx, Operator},
    origin::Notice,
    ports::{Outlet, Port, Side, Two},
    record::FeedbackId,
    view::Role,
};

use crate::{
    oscillation::Had,
    stream::{GraphHandle, Stream, named_spec},
};

/// How often one record may be sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounds {
    limit: u32,
    pub(crate) distinct: bool,
}

impl Rounds {
    /// At most `rounds` times. A verdict that asks for more ends the record in quarantine with the reason "rounds spent".
    pub fn at_most(rounds: u32) -> Self {
        Self { limit: rounds, distinct: false }
    }

    /// Each time with another value: a record that is sent back with one that it had before at the same point would go round
    /// in circles, and ends in quarantine as an "oscillation" instead of spending the rounds that it has left.
    ///
    /// Values are the same if they are the same as JSON; one that cannot be written as JSON is taken to be new. Leave this out
    /// where the same value may come to something else the next time, since something in the loop is drawn at random.
    ///
    /// It costs the writing of each value that comes to the point, and 8 bytes per round while the record is in the loop.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("circles");
    /// let (numbers, again) = flow.source("numbers", [3, 8]).feedback("again", Rounds::at_most(100).distinct());
    /// let large = numbers
    ///     .handle_or_retry("large", again, |n| if *n > 5 { Verdict::Pass } else { Verdict::Retry(-n) })
    ///     .collect();
    /// let mut report = flow.run().await?;
    /// assert_eq!(report.take(large), [8]);
    /// let fault = &report.faults()[0];
    /// assert_eq!((fault.kind.name(), &fault.value), ("oscillation", &Some(3.into())));
    /// assert_eq!(&*fault.reason, "sent back with the value that it had 2 rounds before");
    /// # Ok(()) }
    /// ```
    pub fn distinct(self) -> Self {
        Self { distinct: true, ..self }
    }

    pub(crate) fn limit(self) -> u32 {
        self.limit
    }

    /// For the page.
    pub(crate) fn note(self) -> String {
        let times = if self.limit == 1 { "round" } else { "rounds" };
        format!("at most {} {times}", self.limit)
    }
}

/// The only key to a feedback point: whoever holds it may send records of type `T` back there.
#[must_use = "give the key to `.handle_or_retry(name, key, …)`, or leave the feedback out"]
#[derive(Debug)]
pub struct Feedback<T> {
    pub(crate) graph: GraphHandle,
    pub(crate) input: Port<T>,
    pub(crate) id: FeedbackId,
    pub(crate) name: String,
    pub(crate) rounds: Rounds,
}

impl<T: Data> Stream<T> {
    /// Opens a point where records may re-enter, each at most `rounds` times, and hands out the only key to it.
    ///
    /// The key goes to [`handle_or_retry`](Stream::handle_or_retry) further down. Records on their way back come before new
    /// ones, and the number of records inside the loop is bounded, so that it cannot fill up.
    #[track_caller]
    pub fn feedback(self, name: &str, rounds: Rounds) -> (Stream<T>, Feedback<T>) {
        let graph = self.graph.clone();
        let mut spec = named_spec("feedback", Role::Feedback, name);
        spec.notes.push(rounds.note());
        if rounds.distinct {
            spec.notes.push("never the same value twice".to_owned());
        }
        let node = graph.add(spec);
        let input = self.lead_to(node);
        let back = graph.input(node);
        let output = graph.output(node, "", false);
        let id = graph.open_feedback(node, name);
        if !rounds.distinct {
            graph.set_makes(node, Makes::One);
        }
        let (again, out) = (back.clone(), output.clone());
        graph.build_with(node, move |start| {
            let ways_in = Two::right_first(input.inlet(), again.inlet());
            let had = rounds.distinct.then(Had::default);
            (
                Point { id, linear: start.is_in_linear_loop(), had, types: Default::default() },
                ways_in,
                out.outlet(),
            )
        });
        (
            Stream::new(graph.clone(), output),
            Feedback { graph, input: back, id, name: name.to_owned(), rounds },
        )
    }
}

/// Where records re-enter: a new one gets an origin, one that was sent back becomes the next version of its origin.
struct Point<T> {
    id: FeedbackId,
    /// Whether a record in the loop is always alone, so that it needs no origin.
    linear: bool,
    /// What each record has been, where it may not be the same twice.
    had: Option<Had>,
    types: std::marker::PhantomData<fn(T)>,
}

impl<T: Data> Operator for Point<T> {
    type In = Two<T, T>;
    type Out = Outlet<T>;

    fn process(&mut self, batch: Side<T, T>, out: &mut Outlet<T>, cx: &mut Cx<'_>) {
        let mut on = Batch::default();
        match batch {
            Side::Left(new) if self.linear => on = new,
            Side::Right(again) if self.linear => {
                cx.go_round(again.len());
                on = again;
            }
            Side::Left(new) => {
                for (value, mut tag) in new.into_rows() {
                    cx.enter_point(&mut tag, self.id);
                    if let Some(had) = &mut self.had {
                        had.add(&value, &tag, cx);
                    }
                    on.push(value, tag);
                }
            }
            Side::Right(again) => {
                for (value, tag) in again.into_rows() {
                    if let Some(why) = self.had.as_ref().and_then(|had| had.why_not(&value, &tag, self.id)) {
                        cx.fault(&tag, FaultKind::Oscillation, &why, Some(&value));
                    } else if let Some(tag) = cx.reenter_point(tag, self.id) {
                        if let Some(had) = &mut self.had {
                            had.add(&value, &tag, cx);
                        }
                        on.push(value, tag);
                    }
                }
            }
        }
        out.put(on, cx);
    }

    fn notice(&mut self, notices: &[Notice], _: &mut Outlet<T>, _: &mut Cx<'_>) {
        if let Some(had) = &mut self.had {
            had.notice(notices);
        }
    }
}
