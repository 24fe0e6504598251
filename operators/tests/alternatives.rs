//! Alternatives: in which order they are tried, what is withdrawn, what is kept, and what happens when none is left.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall panic")]

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use eddyline::{FaultKind, prelude::*};

/// Runs what `make` makes under the actors' schedule and under many seeds.
async fn under_every_schedule<F: Future<Output = ()>>(make: impl Fn(Workflow) -> F) {
    for _ in 0..3 {
        make(Workflow::new("alternatives")).await;
    }
    for seed in 0..40 {
        let flow = Workflow::new("alternatives").seeded(seed);
        make(flow.edge_capacity(1 + seed as usize % 3).loop_permits(1 + seed as usize % 4)).await;
    }
}

fn assert_all_ended(report: &Report) {
    assert!(report.is_balanced(), "{report}");
    assert_eq!((report.records().in_flight, report.roots().in_flight), (0, 0), "{report}");
    assert!(report.snapshot().loops.iter().all(|l| l.used == 0), "permits are still held: {report}");
    assert_eq!(report.snapshot().stalls, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_steps_are_tried_in_every_combination_the_last_one_fastest() {
    under_every_schedule(|flow| async move {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let (channel, channels) =
            flow.source("one", [0_u64]).alternatives("channel", |_| 'a').or(|_| 'b').key();
        let (text, readers) = channel
            .alternatives("read", |c| format!("{c}1"))
            .or(|c| format!("{c}2"))
            .or(|c| format!("{c}3"))
            .key();
        let out = text
            .map(|text| text + "!")
            .handle_or_next_with(
                "never right",
                [&readers, &channels],
                by(move |text: &String, seen: &Seen| {
                    log.lock().unwrap().push((text.clone(), seen.alternatives_left));
                    Verdict::NextAlternative
                }),
            )
            .collect();
        let mut report = flow.run().await.unwrap();
        assert_all_ended(&report);
        assert!(report.take(out).is_empty());
        let seen: Vec<(String, u32)> = seen.lock().unwrap().clone();
        let seen: Vec<(&str, u32)> = seen.iter().map(|(text, left)| (text.as_str(), *left)).collect();
        let tried = [("a1!", 2), ("a2!", 1), ("a3!", 1), ("b1!", 2), ("b2!", 1), ("b3!", 0)];
        assert_eq!(seen, tried);
        let [fault] = report.faults() else { panic!("{:?}", report.faults()) };
        assert_eq!(fault.kind, FaultKind::AlternativesSpent);
        assert_eq!(&*fault.reason, "no alternative of `read` or `channel` is left");
        assert_eq!(fault.value, Some("b3!".into()));
        let verdicts = report.verdicts("never right").unwrap();
        assert_eq!((verdicts.judged, verdicts.next_alternative, verdicts.rejected), (6, 5, 1));
        assert_eq!(report.roots().ended["rejected"], 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_in_a_row_ask_each_for_its_own_step() {
    under_every_schedule(|flow| async move {
        let (tens, of_tens) =
            flow.source("numbers", 0..8_u64).alternatives("tens", |n| n * 100).or(|n| n * 100 + 10).key();
        let (ones, of_ones) = tens.alternatives("ones", |n| n + 1).or(|n| n + 2).or(|n| n + 3).key();
        let out = ones
            .handle_or_next("ones are 3", &of_ones, |n| match n % 10 {
                3 => Verdict::Pass,
                _ => Verdict::NextAlternative,
            })
            .handle_or_next("tens are 1", &of_tens, |n| match n / 10 % 10 {
                1 => Verdict::Pass,
                _ => Verdict::NextAlternative,
            })
            .collect();
        let mut report = flow.run().await.unwrap();
        assert_all_ended(&report);
        let mut out = report.take(out);
        out.sort_unstable();
        assert_eq!(out, (0..8).map(|n| n * 100 + 13).collect::<Vec<_>>());
        // Twice three tries for each, of which the last of three passes the first handler.
        assert_eq!(report.verdicts("ones are 3").unwrap().judged, 8 * 6);
        assert_eq!(report.verdicts("ones are 3").unwrap().next_alternative, 8 * 4);
        assert_eq!(report.verdicts("tens are 1").unwrap().next_alternative, 8);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_of_an_earlier_result_is_withdrawn_wherever_it_is() {
    under_every_schedule(|flow| async move {
        let keys = flow.source("keys", 0..6_u64);
        let (numbers, others) = flow
            .source("numbers", 0..6_u64)
            .alternatives("read", |n| (*n, 1))
            .or(|n| (*n, 2))
            .or(|n| (*n, 3))
            .key();
        let aside = numbers.clone().collect();
        let (parts, wholes) =
            numbers.scatter(|&(n, way)| (0..=n).map(|part| (part, way)).collect::<Vec<_>>());
        let out = parts
            .filter(|(part, _)| part % 2 == 0)
            .gather(wholes, |(n, way), parts| (n, way, parts.into_values().map(|(_, way)| way).sum::<i32>()))
            .join(keys, Duration::from_secs(1000), |whole| whole.0, |key| *key)
            .handle_or_next("way", &others, |((n, way, _), _)| {
                if *way as u64 > n % 3 { Verdict::Pass } else { Verdict::NextAlternative }
            })
            .map(|((n, way, sum), _)| (n, way, sum))
            .collect();
        let mut report = flow.run().await.unwrap();
        assert_all_ended(&report);
        let (mut aside, mut out) = (report.take(aside), report.take(out));
        aside.sort_unstable();
        out.sort_unstable();
        let ways: Vec<(u64, i32)> = (0..6).map(|n| (n, n as i32 % 3 + 1)).collect();
        assert_eq!(aside, ways);
        let sums: Vec<_> = ways.iter().map(|&(n, way)| (n, way, way * (n as i32 / 2 + 1))).collect();
        assert_eq!(out, sums);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_comes_round_a_loop_starts_with_the_first_alternative_again() {
    under_every_schedule(|flow| async move {
        let (numbers, again) = flow.source("numbers", [0_u64]).feedback("again", Rounds::at_most(1));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let (read, others) = numbers.alternatives("read", |n| n + 1).or(|n| n + 2).key();
        let out = read
            .handle_or_next("second", &others, move |n| {
                log.lock().unwrap().push(*n);
                if n % 10 == 2 { Verdict::Pass } else { Verdict::NextAlternative }
            })
            .handle_or_retry("large", again, |n| if *n < 10 { Verdict::Retry(10) } else { Verdict::Pass })
            .collect();
        let mut report = flow.run().await.unwrap();
        assert_all_ended(&report);
        assert_eq!(report.take(out), [12]);
        assert_eq!(*seen.lock().unwrap(), [1, 2, 11, 12]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_handler_may_decide_otherwise_when_none_is_left() {
    let flow = Workflow::new("decides");
    let (numbers, others) =
        flow.source("numbers", 0..50).alternatives("read", |n| n * 10).or(|n| n * 10 + 1).key();
    let out = numbers
        .handle_or_next_with(
            "hard to please",
            &others,
            by(|n: &i32, seen: &Seen| match seen.alternatives_left {
                0 => Verdict::Replace(-n),
                _ => Verdict::NextAlternative,
            }),
        )
        .collect();
    let mut report = flow.run().await.unwrap();
    assert_all_ended(&report);
    let mut out = report.take(out);
    out.sort_unstable_by_key(|n| -n);
    assert_eq!(out, (0..50).map(|n| -(n * 10 + 1)).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_model_of_a_cascade_gets_what_the_ones_before_it_would_not_do_for() {
    under_every_schedule(|flow| async move {
        let model = |way: u64| Model::function(move |all: &[u64]| all.iter().map(|n| (*n, way)).collect());
        let (read, others) = flow
            .source("numbers", 0..30_u64)
            .model_cascade("read", [("light", model(0)), ("middle", model(1)), ("heavy", model(2))]);
        let (dates, formats) = (&others, &others);
        let out = read
            .handle_or_next("date", dates, |&(n, way)| {
                if n % 2 == 0 && way < 1 { Verdict::NextAlternative } else { Verdict::Pass }
            })
            .handle_or_next("format", formats, |&(n, way)| {
                if n % 3 == 0 && way < 2 { Verdict::NextAlternative } else { Verdict::Pass }
            })
            .collect();
        let mut report = flow.run().await.unwrap();
        assert_all_ended(&report);
        let mut out = report.take(out);
        out.sort_unstable();
        let way = |n: u64| if n.is_multiple_of(3) { 2 } else { u64::from(n.is_multiple_of(2)) };
        assert_eq!(out, (0..30).map(|n| (n, way(n))).collect::<Vec<_>>());
        let items = |name| report.model_items(name).unwrap();
        assert_eq!((items("light"), items("middle"), items("heavy")), (30, 20, 10));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_inputs_that_went_into_a_record_the_last_is_tried_first_and_then_the_other() {
    let flow = Workflow::new("pairs");
    let tried = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&tried);
    let (read, others) = flow.source("numbers", [1_u64, 2]).alternatives("read", |n| *n).or(|n| n * 10).key();
    let (left, right) = read.split(|n| matches!(n, 1 | 10));
    left.join(right, Duration::from_secs(1000), |_| (), |_| ())
        .handle_or_next("never right", &others, move |pair| {
            log.lock().unwrap().push(*pair);
            Verdict::NextAlternative
        })
        .ignore();
    let report = flow.run().await.unwrap();
    assert_all_ended(&report);
    assert_eq!(*tried.lock().unwrap(), [(1, 2), (1, 20), (10, 20)]);
    assert_eq!(report.faults().len(), 1);
}

/// A number that knows how many of it there are.
#[derive(serde::Serialize, serde::Deserialize)]
struct Counted(u64);

static THERE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

impl Counted {
    fn new(n: u64) -> Self {
        MOST.fetch_max(THERE.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        Self(n)
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(self.0)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        THERE.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inputs_are_kept_no_longer_than_somebody_can_ask_for_them() {
    let flow = Workflow::new("kept").loop_permits(8).edge_capacity(8).seeded(1);
    let (read, others) = flow
        .source("numbers", 0..3000)
        .map(Counted::new)
        .alternatives("read", |n| n.0)
        .or(|n| n.0 + 1)
        .or(|n| n.0 + 2)
        .key();
    let out = read
        .handle_or_next("every fifth", &others, |n| {
            if n % 5 == 0 { Verdict::NextAlternative } else { Verdict::Pass }
        })
        .collect();
    let mut report = flow.run().await.unwrap();
    assert_all_ended(&report);
    assert_eq!(report.take(out).len(), 3000);
    assert_eq!(THERE.load(Ordering::Relaxed), 0);
    let most = MOST.load(Ordering::Relaxed);
    assert!(most < 100, "{most} inputs were there at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_one_way_is_a_fault_and_keeps_the_input() {
    let flow = Workflow::new("panics");
    let (numbers, others) = flow
        .source("numbers", 0..4_u64)
        .alternatives("read", |n| *n)
        .or(|n| {
            assert!(*n != 2, "not two");
            n + 10
        })
        .key();
    let out = numbers
        .handle_or_next("large", &others, |n| if *n < 10 { Verdict::NextAlternative } else { Verdict::Pass })
        .collect();
    let mut report = flow.run().await.unwrap();
    assert_all_ended(&report);
    let mut out = report.take(out);
    out.sort_unstable();
    assert_eq!(out, [10, 11, 13]);
    assert_eq!(
        (report.faults()[0].kind, report.faults()[0].value.clone()),
        (FaultKind::Panic, Some(2.into()))
    );
}
