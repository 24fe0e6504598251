//! Who shares an actor: neighbours do, until one is slow or is to be alone.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall panic")]

use std::{
    sync::mpsc::{RecvTimeoutError, sync_channel},
    thread::sleep,
    time::Duration,
};

use eddyline::prelude::*;

const RECORDS: u64 = 40;

/// An operator that waits, on record `at`, for the one before it to have begun with the next: it waits in vain where both share an
/// actor. Says how many records came through.
async fn met(alone: bool, slow_until: u64, at: u64) -> usize {
    let (begun, next) = sync_channel(RECORDS as usize);
    let flow = Workflow::new("two at once");
    let first = flow.source("numbers", 0..RECORDS).map(move |n| {
        if n < slow_until {
            sleep(Duration::from_millis(2));
        }
        if n == at + 1 {
            begun.send(()).unwrap();
        }
        n
    });
    let second = first.map(move |n| {
        let waited = if n == at { next.recv_timeout(Duration::from_secs(10)) } else { Ok(()) };
        assert_ne!(waited, Err(RecvTimeoutError::Timeout), "the other one has not begun");
        n
    });
    let second = if alone { second.alone() } else { second };
    let through = second.collect();
    let mut report = flow.run().await.unwrap();
    assert!(report.is_balanced());
    report.take(through).len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_take_turns_unless_one_is_alone() {
    assert_eq!(met(true, 0, 0).await, RECORDS as usize);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_operator_gets_an_actor_of_its_own() {
    assert_eq!(met(false, RECORDS, 30).await, RECORDS as usize);
}
