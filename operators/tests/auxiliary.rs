//! What the auxiliary graph says of an edge is what happens on it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use eddyline::{Change, Delta, Window, prelude::*};

type Make = fn(Stream<i64>) -> Stream<i64>;

/// All but those with threads of their own, where nothing says which values come out before they are withdrawn.
fn operators() -> Vec<(&'static str, Make)> {
    vec![
        ("map", |s| s.map(|n| n + 1)),
        ("try_map", |s| s.try_map(|n| Ok::<_, String>(*n))),
        ("filter", |s| s.filter(|_| true)),
        ("flat_map", |s| s.flat_map(|n| [n, n])),
        ("inspect", |s| s.inspect(|_| ())),
        ("merge", |s| s.clone().merge(s)),
        ("split", |s| {
            let (yes, no) = s.split(|n| n % 2 == 0);
            yes.merge(no)
        }),
        ("join", |s| s.clone().join(s, Duration::from_secs(100), |n| *n, |n| *n).map(|(a, b)| a + b)),
        ("gather", |s| {
            let (parts, key) = s.scatter(|n| vec![*n]);
            parts.gather(key, |n, _| n)
        }),
        ("handle", |s| s.handle("nothing", |_| Verdict::Pass)),
        ("scan", |s| s.scan(0, |sum, n| *sum + n)),
        ("batch", |s| s.batch(2).map(|all| all.into_iter().sum())),
        ("group_by", |s| s.group_by(|_| 0, Window::count(2), 0, |sum, n| *sum += n).map(|group| group.value)),
        ("ordered", |s| s.ordered()),
    ]
}

/// A stream that may be revised goes through the operator; what happened behind it, and what the auxiliary graph says of that.
async fn behind(make: Make, seed: u64) -> (Vec<Change<i64>>, Delta) {
    let flow = Workflow::new("behind").seeded(seed);
    let (numbers, again) = flow.source("numbers", 1..4).feedback("again", Rounds::at_most(1));
    let changes = make(numbers.clone()).collect_changes().named("changes");
    numbers
        .handle_or_retry("judge", again, |n| if *n < 10 { Verdict::Retry(n + 10) } else { Verdict::Pass })
        .ignore();
    let said = flow.auxiliary().edges.into_iter().find(|edge| edge.to == "changes").unwrap().delta;
    (flow.run().await.unwrap().take(changes), said)
}

#[tokio::test]
async fn records_are_taken_back_only_where_it_says_so() {
    for (kind, make) in operators() {
        let mut taken_back = false;
        let mut said = None;
        for seed in 0..30 {
            let (changes, delta) = behind(make, seed).await;
            taken_back |= changes.iter().any(|change| matches!(change, Change::Remove { .. }));
            said = Some(delta);
        }
        let is = if taken_back { Delta::AddedAndTakenBack } else { Delta::Added };
        assert_eq!(said, Some(is), "behind `{kind}`");
    }
}
