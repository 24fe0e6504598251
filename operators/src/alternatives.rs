//! `alternatives`: an ordered list of ways to do one step, the cheapest first.
//!
//! A record that comes to the step gets an origin, as at a feedback, and goes the first way. Its input stays on the shelf here
//! while somebody may still find the result wrong. Whoever does says
//! [`Verdict::NextAlternative`](crate::Verdict::NextAlternative); the record becomes the next version of its origin and goes
//! the next way. So the version says which alternative a record was made by, and each is tried once.

use std::{collections::HashMap, fmt};

use eddyline_runtime::{
    Data,
    batch::Batch,
    fate::Fate,
    fault::FaultKind,
    graph::NodeSpec,
    guard,
    operator::{Cx, Operator},
    origin::{Change, Notice, Standing},
    ports::{Outlet, Port, Side, Two},
    record::{FeedbackId, Tag},
    view::Role,
};
use serde::{Deserialize, Serialize};

use crate::{
    rows,
    stream::{GraphHandle, Stream, named_spec},
};

/// The key to a step with alternatives: a handler that holds it may ask for the next one. Several handlers may hold it.
#[must_use = "give it to `.handle_or_next(name, &key, …)`, or keep the first alternative only"]
#[derive(Debug)]
pub struct Tried {
    pub(crate) graph: GraphHandle,
    pub(crate) input: Port<Ask>,
    pub(crate) id: FeedbackId,
    pub(crate) name: String,
    /// How many alternatives there are.
    pub(crate) count: u32,
}

/// What travels back to the step: whose input is to be tried once more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub(crate) origin: u64,
}

/// The ways to do one step while they are being listed; see [`Stream::alternatives`].
#[must_use = "add others with `.or(…)` and end the list with `.key()`"]
pub struct Alternatives<T, U> {
    stream: Stream<T>,
    spec: NodeSpec,
    ways: Vec<Way<T, U>>,
}

type Way<T, U> = Box<dyn FnMut(&T) -> U + Send>;

impl<T, U> fmt::Debug for Alternatives<T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} alternatives", self.ways.len())
    }
}

impl<T: Data> Stream<T> {
    /// Makes one value of each, in one of several ways: the first, and the next one each time that a handler further down says
    /// [`Verdict::NextAlternative`](crate::Verdict::NextAlternative) of what came of it. List the cheapest first.
    ///
    /// The key that [`key`](Alternatives::key) gives goes to [`handle_or_next`](Stream::handle_or_next). What was made of an
    /// earlier result is withdrawn. Each way is tried once on each value, so there are no rounds to give; a value that comes to
    /// the step anew, round a loop or as the next alternative of a step before it, starts with the first way again.
    ///
    /// A copy of each value is kept here as long as a record that was made of it can still be judged. A panic in one of the ways
    /// is a fault of that record, and not a reason to try the next.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("numbers");
    /// let (numbers, others) = flow
    ///     .source("texts", ["7", "0x1f", "seven"].map(String::from))
    ///     .alternatives("read", |text| text.parse::<i64>().ok())
    ///     .or(|text| i64::from_str_radix(text.trim_start_matches("0x"), 16).ok())
    ///     .key();
    /// let numbers = numbers
    ///     .handle_or_next("readable", &others, |n| if n.is_some() { Verdict::Pass } else { Verdict::NextAlternative })
    ///     .collect();
    /// let mut report = flow.run().await?;
    /// let mut numbers = report.take(numbers);
    /// numbers.sort();
    /// assert_eq!(numbers, [Some(7), Some(31)]);
    /// assert_eq!(report.faults()[0].kind.name(), "alternatives spent");
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn alternatives<U: Data>(
        self,
        name: &str,
        first: impl FnMut(&T) -> U + Send + 'static,
    ) -> Alternatives<T, U> {
        let spec = named_spec("alternatives", Role::Feedback, name);
        Alternatives { stream: self, spec, ways: vec![Box::new(first)] }
    }
}

impl<T: Data, U: Data> Alternatives<T, U> {
    /// One more way, to be tried when those before it would not do.
    pub fn or(mut self, next: impl FnMut(&T) -> U + Send + 'static) -> Self {
        self.ways.push(Box::new(next));
        self
    }

    /// That is all of them: gives what they make, and the key by which a handler asks for the next.
    pub fn key(self) -> (Stream<U>, Tried) {
        let Self { stream, spec, ways } = self;
        let (graph, point) = open(&stream, spec, ways.len());
        let output = graph.output(point.node, "", false);
        let (out, back, shelf) = (output.clone(), point.key.input.clone(), Shelf::new(&point.key));
        graph.build_with(point.node, move |_| {
            let ways_in = Two::right_first(point.input.inlet(), back.inlet());
            (Try { shelf, ways }, ways_in, out.outlet())
        });
        (Stream::new(graph, output), point.key)
    }
}

/// A step with alternatives that is about to be built.
pub(crate) struct Step<T> {
    pub node: u32,
    pub input: Port<T>,
    pub key: Tried,
}

/// Adds the node of a step with so many alternatives behind `stream`.
pub(crate) fn open<T: Data>(stream: &Stream<T>, mut spec: NodeSpec, count: usize) -> (GraphHandle, Step<T>) {
    let graph = stream.graph.clone();
    let name = spec.name.clone().unwrap_or_default();
    spec.notes.push(format!("{count} alternatives"));
    let place = spec.place;
    let node = graph.add(spec);
    if count < 2 {
        graph.error(
            Some(node),
            Some(place),
            format!("`{name}` has {count} alternatives, of which one is to be chosen"),
            "give it a second one, or use `.map(…)` or `.model(…)`",
        );
    }
    let input = stream.lead_to(node);
    let back = graph.input(node);
    let id = graph.open_alternatives(node, &name);
    let key = Tried { graph: graph.clone(), input: back, id, name, count: count as u32 };
    (graph, Step { node, input, key })
}

/// The inputs of records of which another alternative may be asked for, by their origin.
pub(crate) struct Shelf<T> {
    id: FeedbackId,
    count: u32,
    name: String,
    inputs: HashMap<u64, T>,
}

impl<T: Data> Shelf<T> {
    pub fn new(key: &Tried) -> Self {
        Self { id: key.id, count: key.count, name: key.name.clone(), inputs: HashMap::new() }
    }

    /// What is to be tried now: the number of the alternative, and on what.
    pub fn take(&mut self, batch: Side<T, Ask>, cx: &mut Cx<'_>) -> Vec<(usize, T, Tag)> {
        match batch {
            Side::Left(new) => {
                let rows = new.into_rows();
                rows.filter_map(|(value, tag)| self.enter(value, tag, cx)).collect()
            }
            Side::Right(asks) => {
                let rows = asks.into_rows();
                rows.filter_map(|(ask, judged)| self.again(&ask, judged, cx)).collect()
            }
        }
    }

    fn enter(&mut self, value: T, mut tag: Tag, cx: &mut Cx<'_>) -> Option<(usize, T, Tag)> {
        cx.enter_point(&mut tag, self.id);
        self.keep(value, tag, cx)
    }

    fn again(&mut self, ask: &Ask, judged: Tag, cx: &mut Cx<'_>) -> Option<(usize, T, Tag)> {
        let tag = cx.reenter_origin(judged, ask.origin)?;
        let Some(value) = self.inputs.remove(&ask.origin) else {
            // A handler asks only while one is left, so this is not met while every rule holds.
            cx.fault::<()>(&tag, FaultKind::AlternativesSpent, &none_left([self.name.as_str()]), None);
            return None;
        };
        self.keep(value, tag, cx)
    }

    /// Keeps the input if there is one more way to try, and has itself told when nobody can ask for it any more.
    fn keep(&mut self, value: T, tag: Tag, cx: &mut Cx<'_>) -> Option<(usize, T, Tag)> {
        let (origin, version) =
            tag.trail.as_deref()?.marks.last().map(|mark| (mark.origin(), mark.version()))?;
        if version < self.count {
            if cx.hold(&tag) == Standing::Withdrawn {
                cx.end(&tag, Fate::Withdrawn);
                return None;
            }
            self.inputs.insert(origin, value.clone());
        }
        Some((version as usize - 1, value, tag))
    }

    pub fn notice(&mut self, notices: &[Notice]) {
        for notice in notices.iter().filter(|notice| notice.change == Change::Settled) {
            self.inputs.remove(&notice.origin());
        }
    }
}

/// Why a record ends for which every alternative of these steps has been tried.
pub(crate) fn none_left<'a>(steps: impl IntoIterator<Item = &'a str>) -> String {
    let steps: Vec<String> = steps.into_iter().map(|step| format!("`{step}`")).collect();
    format!("no alternative of {} is left", steps.join(" or "))
}

struct Try<T, U> {
    shelf: Shelf<T>,
    ways: Vec<Way<T, U>>,
}

impl<T: Data, U: Data> Operator for Try<T, U> {
    type In = Two<T, Ask>;
    type Out = Outlet<U>;

    fn process(&mut self, batch: Side<T, Ask>, out: &mut Outlet<U>, cx: &mut Cx<'_>) {
        let mut made = Batch::default();
        for (nth, value, tag) in self.shelf.take(batch, cx) {
            match guard::call(|| (self.ways[nth])(&value)) {
                Ok(result) => made.push(result, tag),
                Err(panicked) => rows::fault_of_panic(cx, &tag, &panicked, Some(&value)),
            }
        }
        out.put(made, cx);
    }

    fn notice(&mut self, notices: &[Notice], _: &mut Outlet<U>, _: &mut Cx<'_>) {
        self.shelf.notice(notices);
    }
}
