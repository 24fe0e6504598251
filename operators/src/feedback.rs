//! `feedback`: where records may re-enter.

use eddyline_runtime::{
    Data,
    batch::Batch,
    operator::{Cx, Operator},
    ports::{Outlet, Port, Side, Two},
    record::FeedbackId,
    view::Role,
};

use crate::stream::{GraphHandle, Stream, named_spec};

/// How often one record may be sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounds(u32);

impl Rounds {
    /// At most `rounds` times. A verdict that asks for more ends the record in quarantine with the reason "rounds spent".
    pub fn at_most(rounds: u32) -> Self {
        Self(rounds)
    }

    pub(crate) fn limit(self) -> u32 {
        self.0
    }

    /// For the page.
    pub(crate) fn note(self) -> String {
        let times = if self.0 == 1 { "round" } else { "rounds" };
        format!("at most {} {times}", self.0)
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
        let node = graph.add(spec);
        let input = self.lead_to(node);
        let back = graph.input(node);
        let output = graph.output(node, "", false);
        let id = graph.open_feedback(node, name);
        let (again, out) = (back.clone(), output.clone());
        graph.build_with(node, move |_| {
            let ways_in = Two::right_first(input.inlet(), again.inlet());
            (Point { id, types: Default::default() }, ways_in, out.outlet())
        });
        (
            Stream { graph: graph.clone(), port: output },
            Feedback { graph, input: back, id, name: name.to_owned(), rounds },
        )
    }
}

/// Where records re-enter: a new one gets an origin, one that was sent back becomes the next version of its origin.
struct Point<T> {
    id: FeedbackId,
    types: std::marker::PhantomData<fn(T)>,
}

impl<T: Data> Operator for Point<T> {
    type In = Two<T, T>;
    type Out = Outlet<T>;

    fn process(&mut self, batch: Side<T, T>, out: &mut Outlet<T>, cx: &mut Cx<'_>) {
        let mut on = Batch::default();
        match batch {
            Side::Left(new) => {
                for (value, mut tag) in new.into_rows() {
                    cx.enter_point(&mut tag, self.id);
                    on.push(value, tag);
                }
            }
            Side::Right(again) => {
                for (value, tag) in again.into_rows() {
                    if let Some(tag) = cx.reenter_point(tag, self.id, None) {
                        on.push(value, tag);
                    }
                }
            }
        }
        out.put(on, cx);
    }
}
