//! Handlers that revise what a record was made of: which of several, from behind a gather, by two handlers at once, and what
//! becomes of what they add and delete.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use eddyline::{Change, FaultKind, prelude::*};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A few schedules of each case, from a seed.
const SCHEDULES: u64 = 40;

async fn run(flow: Workflow) -> Report {
    let report = flow.run().await.unwrap();
    assert!(report.is_balanced(), "{report}");
    assert_eq!(report.records().in_flight, 0, "{report}");
    report
}

#[tokio::test]
async fn of_several_ancestors_the_named_one_is_revised() {
    for seed in 0..SCHEDULES {
        let flow = Workflow::new("pairs").seeded(seed);
        let (numbers, kept) = flow.source("numbers", [1, 2]).keep("number", Rounds::at_most(3));
        let (odd, even) = numbers.split(|n| n % 2 == 1);
        let pairs = odd
            .join(even, Duration::from_secs(100), |_| 0, |_| 0)
            .handle_kept("sum", &kept, |(odd, even), kept| {
                assert_eq!(kept.len(), 2, "both went into the pair");
                match kept.iter().find(|kept| ***kept == 2) {
                    Some(two) if odd + even < 10 => two.revise(10),
                    _ => Verdict::Pass,
                }
            })
            .collect();
        let mut report = run(flow).await;
        assert_eq!(report.take(pairs), [(1, 10)], "seed {seed}");
        assert_eq!(report.verdicts("sum").unwrap().revised, 1);
    }
}

#[tokio::test]
async fn a_whole_is_made_again_and_only_the_last_is_final() {
    for seed in 0..SCHEDULES {
        let flow = Workflow::new("pages").seeded(seed);
        let (words, pages) = flow
            .source("pages", ["a b c".to_owned()])
            .scatter(|page| page.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let (words, kept) = words.keep("word", Rounds::at_most(2));
        let whole = words.gather(pages, |_, words| words.into_values().collect::<Vec<_>>().concat());
        let seen = whole.clone().collect_changes();
        let done = whole
            .handle_kept("no small letters", &kept, |_, words| {
                match words.iter().find(|word| word.chars().all(char::is_lowercase)) {
                    Some(small) => small.revise(small.to_uppercase()),
                    None => Verdict::Pass,
                }
            })
            .collect();
        let mut report = run(flow).await;
        let reason = format!("seed {seed}: {report}");
        // Of three small letters two can be revised: each whole has spent what its parts have.
        assert_eq!(report.take(done), Vec::<String>::new(), "{reason}");
        let faults = report.faults();
        assert_eq!(faults.len(), 1, "{reason}");
        assert_eq!(faults[0].kind, FaultKind::RoundsSpent, "{reason}");
        let changes = report.take(seen);
        let finals = changes.iter().filter(|change| matches!(change, Change::Final { .. })).count();
        let standing = changes.iter().fold(0, |n, change| match change {
            Change::Add { .. } => n + 1,
            Change::Remove { .. } => n - 1,
            Change::Final { .. } => n,
        });
        assert_eq!((finals, standing), (1, 1), "{reason}");
    }
}

#[tokio::test]
async fn two_handlers_at_once_revise_one_value_once_each_version() {
    for seed in 0..SCHEDULES {
        let flow = Workflow::new("two opinions").seeded(seed).loop_permits(1 + seed as usize % 3);
        let (numbers, kept) = flow.source("numbers", 0..6).keep("number", Rounds::at_most(1));
        let up = numbers.clone().handle_kept("up", &kept, |n, kept| match kept.nearest() {
            Some(number) if *n < 100 => number.revise(n + 100),
            _ => Verdict::Pass,
        });
        let down = numbers.handle_kept("down", &kept, |n, kept| match kept.nearest() {
            Some(number) if *n < 100 => number.revise(n + 200),
            _ => Verdict::Pass,
        });
        let all = up.merge(down).collect();
        let mut all = run(flow).await.take(all);
        all.sort_unstable();
        assert_eq!(all.len(), 12, "both copies of each, of one version: {all:?}");
        for pair in all.chunks(2) {
            assert_eq!(pair[0], pair[1], "seed {seed}: the first to speak won, for both copies: {all:?}");
        }
        all.dedup();
        assert_eq!(all.iter().map(|n| n % 100).collect::<std::collections::BTreeSet<_>>().len(), 6);
    }
}

#[tokio::test]
async fn what_is_deleted_ends_as_dropped_with_all_that_was_made_of_it() {
    for seed in 0..SCHEDULES {
        let flow = Workflow::new("twins").seeded(seed);
        let (numbers, kept) = flow.source("numbers", 0..4).keep("number", Rounds::at_most(1));
        let twins = numbers
            .flat_map(|n| [n, -n])
            .handle_kept("negative", &kept, |n, kept| match kept.nearest() {
                Some(number) if *n == -2 => number.delete(),
                _ => Verdict::Pass,
            })
            .collect();
        let mut report = run(flow).await;
        let mut twins = report.take(twins);
        twins.sort_unstable();
        assert_eq!(twins, [-3, -1, 0, 0, 1, 3], "seed {seed}");
        assert_eq!(report.roots().ended.get("dropped"), Some(&1), "{report}");
    }
}

#[tokio::test]
async fn what_is_added_without_a_round_left_is_kept_in_quarantine() {
    let flow = Workflow::new("more").seeded(1);
    let (numbers, kept) = flow.source("numbers", [1]).keep("number", Rounds::at_most(2));
    let all = numbers
        .handle_kept("one more", &kept, |n, kept| {
            kept.nearest().map_or(Verdict::Pass, |number| number.append(n + 1))
        })
        .collect();
    let mut report = run(flow).await;
    let mut all = report.take(all);
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3], "one, and two rounds");
    let faults = report.faults();
    assert_eq!((faults.len(), faults[0].kind), (1, FaultKind::RoundsSpent), "{report}");
    assert_eq!(faults[0].value, Some(4.into()), "what would have been added");
}

#[tokio::test]
async fn an_ancestor_from_elsewhere_is_a_fault_of_the_record() {
    let flow = Workflow::new("smuggled").seeded(1);
    let (numbers, kept) = flow.source("numbers", [1, 2]).keep("number", Rounds::at_most(1));
    let mut first = None;
    let all = numbers
        .handle_kept("wrong", &kept, move |_, kept| {
            let mine = kept.nearest().unwrap().clone();
            first.get_or_insert(mine).revise(7)
        })
        .collect();
    let report = run(flow).await;
    let wrong = report
        .faults()
        .iter()
        .filter(|fault| fault.reason.contains("an ancestor that the record was not made of"))
        .count();
    assert_eq!(wrong, 2, "the second record, and the first's next version: {report}");
    drop(all);
}

/// Counts how many of it there are.
struct Counted(Arc<AtomicI64>);

static THERE: std::sync::LazyLock<Arc<AtomicI64>> = std::sync::LazyLock::new(Arc::default);
static MOST: AtomicI64 = AtomicI64::new(0);

impl Counted {
    fn new() -> Self {
        let there = THERE.fetch_add(1, Ordering::SeqCst) + 1;
        MOST.fetch_max(there, Ordering::SeqCst);
        Self(Arc::clone(&THERE))
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        <()>::deserialize(from).map(|()| Self::new())
    }
}

#[tokio::test]
async fn kept_values_are_let_go_of() {
    let flow = Workflow::new("memory").loop_permits(4).edge_capacity(4);
    let (values, kept) =
        flow.source("values", (0..40_000).map(|_| Counted::new())).keep("value", Rounds::at_most(1));
    values.handle_kept("judge", &kept, |_, _| Verdict::Pass).ignore();
    drop(kept);
    run(flow).await;
    assert_eq!(THERE.load(Ordering::SeqCst), 0, "nothing is kept when the run is over");
    let most = MOST.load(Ordering::SeqCst);
    assert!(most < 20_000, "what is final is let go of while the run goes on: {most} at once");
}
