//! `feedback`: where records may re-enter.

use eddyline_runtime::{Data, ports::Port, record::FeedbackId, view::Role};

use crate::{
    merge::Through,
    stream::{GraphHandle, Stream, named_spec},
};

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
        let times = if rounds.0 == 1 { "round" } else { "rounds" };
        spec.notes.push(format!("at most {} {times}", rounds.0));
        let node = graph.add(spec);
        let input = self.lead_to(node);
        let output = graph.output(node, "", false);
        let id = graph.open_feedback(node, name);
        let (inlet, out) = (input.clone(), output.clone());
        graph.build_with(node, move |_| (Through(Default::default()), inlet.inlet(), out.outlet()));
        (
            Stream { graph: graph.clone(), port: output },
            Feedback { graph, input, id, name: name.to_owned(), rounds },
        )
    }
}
