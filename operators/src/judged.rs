//! Judging a batch: most records go on as they are, so only those of which more is said are taken out of their places.

use std::time::Duration;

use eddyline_handlers::Verdict;
use eddyline_runtime::{
    Data, batch::Batch, clock::Clock, guard, operator::Cx, record::Tag, view::VerdictCounts,
};

use crate::rows;

/// What was said of a batch's rows; its memory is used for the next batch too.
pub(crate) struct Said<T, R> {
    said: Vec<(usize, Verdict<T, R>)>,
    flags: Vec<bool>,
}

impl<T, R> Default for Said<T, R> {
    fn default() -> Self {
        Self { said: Vec::new(), flags: Vec::new() }
    }
}

/// What the rest of a batch's records come to.
pub(crate) struct Judging<'b, T> {
    /// Those that go on.
    pub on: &'b mut Batch<T>,
    pub counts: &'b mut VerdictCounts,
}

/// Times some calls of a handler: asking for the time is as dear as a small judgement.
pub(crate) struct Timed {
    clock: Clock,
    took: Vec<Duration>,
}

/// One row of so many is timed.
const ONE_OF: usize = 16;

impl Timed {
    pub fn new(cx: &Cx<'_>) -> Self {
        Self { clock: cx.clock().clone(), took: Vec::new() }
    }

    /// Calls, and times it if it is this row's turn.
    pub fn time<R>(&mut self, row: usize, call: impl FnOnce() -> R) -> R {
        if !row.is_multiple_of(ONE_OF) {
            return call();
        }
        let begun = self.clock.now();
        let said = call();
        self.took.push(self.clock.now() - begun);
        said
    }

    /// Counts what was timed.
    pub fn count(self, cx: &Cx<'_>) {
        cx.count_latency(self.took);
    }
}

/// Asks `judge` about every row and has `obey` do what it says of those that do not simply go on, in order. Gives what goes on.
/// A row on which `judge` panicked ends as a fault.
pub(crate) fn judge_rows<T: Data, R>(
    batch: Batch<T>,
    Said { said, flags }: &mut Said<T, R>,
    cx: &mut Cx<'_>,
    mut judge: impl FnMut(&T, &Tag) -> Verdict<T, R>,
    mut obey: impl FnMut(T, Tag, Verdict<T, R>, Judging<'_, T>, &mut Cx<'_>),
) -> (Batch<T>, VerdictCounts) {
    let mut counts = VerdictCounts::default();
    let (mut values, tags) = batch.into_parts();
    let mut timed = Timed::new(cx);
    let panics =
        guard::each(0..values.len(), |row| match timed.time(row, || judge(&values[row], &tags.get(row))) {
            Verdict::Pass => counts.passed += 1,
            Verdict::Replace(value) => {
                counts.replaced += 1;
                values[row] = value;
            }
            Verdict::Abstain => counts.abstained += 1,
            verdict => said.push((row, verdict)),
        });
    timed.count(cx);
    counts.judged = counts.passed + counts.replaced + counts.abstained;
    let batch = Batch::from_parts(values, tags);
    if said.is_empty() && panics.is_empty() {
        return (batch, counts);
    }

    flags.clear();
    flags.resize(batch.len(), true);
    said.iter()
        .map(|(row, _)| *row)
        .chain(panics.iter().map(|(row, _)| *row))
        .for_each(|row| flags[row] = false);
    let splits = said.iter().any(|(_, verdict)| matches!(verdict, Verdict::Split(_)));
    let (mut said, mut panics) = (said.drain(..).peekable(), panics.into_iter().peekable());
    let mut on = Batch::with_capacity(if splits { batch.len() } else { 0 });
    let mut leave = |row: usize, value: T, tag: Tag, on: &mut Batch<T>, cx: &mut Cx<'_>| {
        if let Some((_, verdict)) = said.next_if(|(at, _)| *at == row) {
            obey(value, tag, verdict, Judging { on, counts: &mut counts }, cx);
        } else if let Some((_, panicked)) = panics.next_if(|(at, _)| *at == row) {
            rows::fault_of_panic(cx, &tag, &panicked, Some(&value));
        }
    };
    if splits {
        // Several take the place of one, between the others.
        for (row, (value, tag)) in batch.into_rows().enumerate() {
            if flags[row] { on.push(value, tag) } else { leave(row, value, tag, &mut on, cx) }
        }
    } else {
        let (stay, rest) = batch.partition(flags);
        on = stay;
        let places = flags.iter().enumerate().filter(|(_, stays)| !**stays).map(|(row, _)| row);
        for (row, (value, tag)) in places.zip(rest.into_rows()) {
            leave(row, value, tag, &mut on, cx);
        }
    }
    (on, counts)
}
