//! Sources that fall silent: with `idle_after` they hold back nobody, and what they bring afterwards ends as it should.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::sync::Arc;

use eddyline::{FaultKind, prelude::*};
use futures::{StreamExt, stream};
use tokio::sync::Notify;

const SOON: Duration = Duration::from_millis(5);
const TEN: Duration = Duration::from_millis(10);

/// Some times at once, and the others when it is told to go on.
fn times(first: Vec<i64>, go: &Arc<Notify>, others: Vec<i64>) -> impl futures::Stream<Item = i64> + use<> {
    let go = Arc::clone(go);
    let others = stream::once(async move {
        go.notified().await;
        stream::iter(others)
    });
    stream::iter(first).chain(others.flatten())
}

#[tokio::test]
async fn windows_close_without_a_silent_source_and_what_comes_later_is_late() {
    let (go_on, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let flow = Workflow::new("windows");
    let steady = flow.source_stream("steady", times(vec![1, 12, 25, 38], &end, vec![51]));
    let silent = flow.source_stream("silent", times(vec![2], &go_on, vec![11, 39]));
    let steady = steady.timestamps(|t| *t, Duration::ZERO);
    let silent = silent.timestamps(|t| *t, Duration::ZERO).idle_after(SOON);
    let (closed, other_end) = (go_on, end);
    let silent = silent.inspect(move |t| {
        if *t == 39 {
            other_end.notify_one();
        }
    });
    let groups = steady
        .merge(silent)
        .group_by(|_| 0_u8, Window::tumbling(TEN), Vec::new(), |all, t| all.push(*t))
        .inspect(move |group| {
            // The third window has closed though the silent source has only come to 2.
            if group.from == 20 {
                closed.notify_one();
            }
        })
        .map(|group| (group.from, group.value))
        .collect();
    let mut report = flow.run().await.unwrap();
    let mut groups = report.take(groups);
    groups.sort();
    let expected = [(0, vec![1, 2]), (10, vec![12]), (20, vec![25]), (30, vec![38, 39]), (50, vec![51])];
    assert_eq!(groups, expected);
    let faults: Vec<_> = report.faults().iter().map(|fault| (fault.kind, fault.value.clone())).collect();
    assert_eq!(faults, [(FaultKind::Late, Some(11.into()))]);
    assert!(report.is_balanced(), "{report}");
}

#[tokio::test]
async fn rows_of_a_join_do_not_wait_for_a_silent_source() {
    let (go_on, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let flow = Workflow::new("join");
    let left = flow.source_stream("left", times(vec![1, 20, 40], &end, vec![]));
    let right = flow.source_stream("right", times(vec![2], &go_on, vec![21, 41]));
    let left = left.timestamps(|t| *t, Duration::ZERO);
    let right = right.timestamps(|t| *t, Duration::ZERO).idle_after(SOON);
    let (alone, paired) = (go_on, end);
    let pairs = left
        .left_interval_join(right, TEN / 2, |_| 0, |_| 0)
        .inspect(move |pair| match pair {
            (20, None) => alone.notify_one(),
            (40, Some(_)) => paired.notify_one(),
            _ => {}
        })
        .collect();
    let mut report = flow.run().await.unwrap();
    let mut pairs = report.take(pairs);
    pairs.sort();
    assert_eq!(pairs, [(1, Some(2)), (20, None), (40, Some(41))]);
    assert!(report.is_balanced(), "{report}");
}

#[tokio::test]
async fn where_all_are_silent_time_stands_still() {
    let flow = Workflow::new("still");
    let slow = stream::iter([1_i64, 5, 14]).then(async |t| {
        tokio::time::sleep(SOON * 6).await;
        t
    });
    let slow = flow.source_stream("slow", slow).timestamps(|t| *t, Duration::ZERO).idle_after(SOON);
    let ended = flow.source("ended", [3_i64]).timestamps(|t| *t, Duration::ZERO);
    let groups = slow
        .merge(ended)
        .group_by(|_| 0_u8, Window::tumbling(TEN), Vec::new(), |all, t| all.push(*t))
        .map(|group| group.value)
        .collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(groups), [vec![1, 3, 5], vec![14]], "{report}");
}

#[tokio::test]
async fn it_stands_behind_timestamps_once() {
    let flow = Workflow::new("wrong");
    flow.source("no times", [1_i64]).idle_after(SOON).ignore();
    let twice = flow.source("twice", [1_i64]).timestamps(|t| *t, Duration::ZERO);
    twice.idle_after(SOON).idle_after(SOON).ignore();
    let error = flow.run().await.unwrap_err().to_string();
    assert!(error.contains("whose records have no times") && error.contains("stands twice"), "{error}");
}
