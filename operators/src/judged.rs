//! Judging a batch where it lies: most records go on as they are, so only those of which more is said are taken out.

use std::{cell::Cell, panic, time::Duration};

use eddyline_handlers::{Seen, Verdict};
use eddyline_runtime::{
    Data,
    batch::Batch,
    clock::Clock,
    guard,
    in_place::Sieve,
    operator::Cx,
    record::{Tag, Trail},
    view::VerdictCounts,
};

use crate::rows;

/// What is said in a [history](eddyline_runtime::lineage) of a record that got another value.
pub(crate) const REPLACED: &str = "replaced";

/// What the rest of a batch's records come to.
pub(crate) struct Judging<'b, T> {
    /// Those that go on.
    pub on: &'b mut Batch<T>,
    pub counts: &'b mut VerdictCounts,
}

/// Times calls of a handler: all where they are slow, some where asking for the time would be as dear as the judgement.
pub(crate) struct Timed {
    clock: Clock,
    /// How long a call took, and for how many it stands: itself and those up to the next that is timed.
    took: Vec<(Duration, u32)>,
    /// Rows that no call stands for yet.
    left: usize,
    /// Rows that are judged before one is timed again.
    untimed: usize,
}

/// Calls that take so long together are timed once.
const ONCE_IN: Duration = Duration::from_micros(30);

impl Timed {
    /// For a batch of so many rows.
    pub fn new(rows: usize, cx: &Cx<'_>) -> Self {
        Self { clock: cx.clock().clone(), took: Vec::new(), left: rows, untimed: 0 }
    }

    /// Calls for the next row, and times it if it is this row's turn.
    #[inline(always)]
    pub fn time<R>(&mut self, call: impl FnOnce() -> R) -> R {
        if self.untimed > 0 {
            self.untimed -= 1;
            return call();
        }
        let begun = self.clock.now();
        let said = call();
        let took = self.clock.now() - begun;
        let calls = (ONCE_IN.as_nanos() / took.as_nanos().max(1)).clamp(1, self.left.max(1) as u128) as usize;
        self.left = self.left.saturating_sub(calls);
        self.took.push((took, calls as u32));
        self.untimed = calls - 1;
        said
    }

    /// Counts what was timed.
    pub fn count(self, cx: &Cx<'_>) {
        cx.count_latency(self.took);
    }
}

/// What a handler sees that sends nothing back.
pub(crate) fn seen(trail: Option<&Trail>) -> Seen {
    Seen::after(trail.map_or(0, Trail::rounds), 0)
}

/// Asks `judge` about every row and has `obey` do what it says of those that do not simply go on, in order. Gives what goes on.
/// A row on which `judge` panicked ends as a fault. `flags` is memory that is used for the next batch too.
pub(crate) fn judge_rows<T: Data, R>(
    batch: Batch<T>,
    flags: &mut Vec<bool>,
    cx: &mut Cx<'_>,
    mut judge: impl FnMut(&T, Option<&Trail>) -> Verdict<T, R>,
    mut obey: impl FnMut(T, Tag, Verdict<T, R>, Judging<'_, T>, &mut Cx<'_>),
) -> (Batch<T>, VerdictCounts) {
    let mut counts = VerdictCounts::default();
    let (values, mut tags) = batch.into_parts();
    let rows = values.len();
    let mut sieve = Sieve::new(values);
    let mut timed = Timed::new(rows, cx);
    flags.clear();
    flags.resize(rows, true);
    // What takes the place of a row, and how many rows go on before it.
    let (mut instead, mut part) = (Vec::new(), Batch::default());
    let obeying = Cell::new(false);
    loop {
        let judged = guard::call(|| {
            while let Some((row, value)) = sieve.current() {
                match timed.time(|| judge(value, tags.trail(row))) {
                    Verdict::Pass => counts.passed += 1,
                    Verdict::Replace(new) => {
                        counts.replaced += 1;
                        *value = new;
                        cx.note_verdict(tags.ids().get(row), REPLACED, "", 0);
                    }
                    Verdict::Abstain => counts.abstained += 1,
                    verdict => {
                        flags[row] = false;
                        obeying.set(true);
                        let judging = Judging { on: &mut part, counts: &mut counts };
                        obey(sieve.take(), tags.take(row), verdict, judging, cx);
                        obeying.set(false);
                        if !part.is_empty() {
                            instead.push((sieve.kept(), std::mem::take(&mut part)));
                        }
                        continue;
                    }
                }
                sieve.keep();
            }
        });
        match judged {
            Ok(()) => break,
            // Not the author's code.
            Err(panicked) if obeying.get() => panic::resume_unwind(Box::new(panicked.0)),
            Err(panicked) => {
                let row = sieve.row();
                flags[row] = false;
                let tag = tags.take(row);
                rows::fault_of_panic(cx, &tag, &panicked, Some(&sieve.take()));
            }
        }
    }
    timed.count(cx);
    counts.judged += sieve.kept() as u64;
    let values = sieve.finish();
    if values.len() < rows {
        tags.retain(flags);
    }
    let on = Batch::from_parts(values, tags);
    if instead.is_empty() {
        return (on, counts);
    }
    let mut all = Batch::with_capacity(rows);
    let mut instead = instead.into_iter().peekable();
    for (row, (value, tag)) in on.into_rows().enumerate() {
        while let Some((_, part)) = instead.next_if(|(before, _)| *before == row) {
            all.append(part);
        }
        all.push(value, tag);
    }
    instead.for_each(|(_, part)| all.append(part));
    (all, counts)
}
