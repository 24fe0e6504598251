//! `model_cascade`: models that do the same, the lightest first. Each is a node of its own, so the dispatcher batches each.

use eddyline_runtime::{
    Data,
    batch::Batch,
    operator::{Cx, Operator},
    origin::Notice,
    ports::{Outlet, Side, Two},
    view::Role,
};

use crate::{
    alternatives::{self, Ask, Shelf, Tried},
    merge::Through,
    model::Model,
    stream::{Stream, named_spec, spec},
};

impl<T: Data> Stream<T> {
    /// Runs one of several models on each value: the first, and the next one each time that a handler further down says
    /// [`Verdict::NextAlternative`](crate::Verdict::NextAlternative) of what came of it. List the lightest first.
    ///
    /// It is [`alternatives`](Self::alternatives) with models for ways: the same key, the same rules. Each model has a name of its
    /// own, under which the plan places it.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("lengths");
    /// // A light model that knows short words only, and a heavy one that knows them all.
    /// let light = Model::function(|words: &[String]| words.iter().map(|w| w.len().min(3)).collect());
    /// let heavy = Model::function(|words: &[String]| words.iter().map(String::len).collect());
    /// let (lengths, others) = flow
    ///     .source("words", ["a", "horse"].map(String::from))
    ///     .model_cascade("length", [("light", light), ("heavy", heavy)]);
    /// let lengths = lengths
    ///     .handle_or_next_with("sure", &others, by(|n, seen| match n {
    ///         3 if seen.alternatives_left > 0 => Verdict::NextAlternative,
    ///         _ => Verdict::Pass,
    ///     }))
    ///     .collect();
    /// let mut report = flow.run().await?;
    /// let mut lengths = report.take(lengths);
    /// lengths.sort();
    /// assert_eq!(lengths, [1, 5]);
    /// assert_eq!((report.model_items("light"), report.model_items("heavy")), (Some(2), Some(1)));
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn model_cascade<'a, O: Data>(
        self,
        name: &str,
        models: impl IntoIterator<Item = (&'a str, Model<T, O>)>,
    ) -> (Stream<O>, Tried) {
        let models: Vec<_> = models.into_iter().collect();
        let step = named_spec("alternatives", Role::Feedback, name);
        let mut whichever = spec("merge", Role::Operator);
        whichever.name = Some(format!("{name}: whichever"));
        let (graph, step) = alternatives::open(&self, step, models.len());
        let merge = graph.add(whichever);
        let (into, output) = (graph.input(merge), graph.output(merge, "", false));
        let mut ways = Vec::new();
        for (name, model) in models {
            let way = graph.output(step.node, "", false);
            ways.push(way.clone());
            let made = Stream::new(graph.clone(), way).model(name, model);
            graph.connect(&made.port, &into, false);
        }
        let (out, back, shelf) = (output.clone(), step.key.input.clone(), Shelf::new(&step.key));
        graph.build_with(step.node, move |_| {
            let ways_in = Two::right_first(step.input.inlet(), back.inlet());
            (Choose { shelf }, ways_in, ways.iter().map(|way| way.outlet()).collect::<Vec<_>>())
        });
        graph.build_with(merge, move |_| (Through(Default::default()), into.inlet(), out.outlet()));
        (Stream::new(graph, output), step.key)
    }
}

struct Choose<T> {
    shelf: Shelf<T>,
}

impl<T: Data> Operator for Choose<T> {
    type In = Two<T, Ask>;
    type Out = Vec<Outlet<T>>;

    fn process(&mut self, batch: Side<T, Ask>, out: &mut Self::Out, cx: &mut Cx<'_>) {
        let mut chosen: Vec<Batch<T>> = out.iter().map(|_| Batch::default()).collect();
        for (nth, value, tag) in self.shelf.take(batch, cx) {
            chosen[nth].push(value, tag);
        }
        for (way, batch) in out.iter_mut().zip(chosen) {
            way.put(batch, cx);
        }
    }

    fn notice(&mut self, notices: &[Notice], _: &mut Self::Out, _: &mut Cx<'_>) {
        self.shelf.notice(notices);
    }
}
