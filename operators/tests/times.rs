//! Times of their own: late records, interval joins and windows come to the same whoever is quicker, in loops and behind
//! them, with few permits, few open epochs and slow sinks.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall panic")]

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use eddyline::{
    FaultKind, Observer,
    prelude::*,
    runtime::observer::{BoxFuture, Ending, ObserverError, Watch},
};
use tokio::sync::mpsc::{Receiver, channel};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A time and a number.
type Row = (i64, u32);

fn rows(times: &[i64]) -> Vec<Row> {
    times.iter().zip(0..).map(|(time, number)| (*time, number)).collect()
}

fn sorted<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort();
    all
}

/// The workflow under many schedules, with one permit and more, and one open epoch and more.
async fn under_schedules<R: PartialEq + std::fmt::Debug>(
    expected: R,
    mut run: impl AsyncFnMut(Workflow) -> (Report, R),
) {
    for seed in 0..60_u64 {
        let flow = Workflow::new("times")
            .seeded(seed)
            .loop_permits([1, 2, 5, 4096][seed as usize % 4])
            .open_epochs([1, 3, 64][seed as usize % 3])
            .edge_capacity([1, 2, 8192][seed as usize % 3]);
        check(run(flow).await, &expected, &format!("seed {seed}"));
    }
    for _ in 0..5 {
        check(run(Workflow::new("times")).await, &expected, "actors");
    }
}

fn check<R: PartialEq + std::fmt::Debug>((report, got): (Report, R), expected: &R, which: &str) {
    assert_eq!(&got, expected, "{which}");
    assert!(report.is_balanced(), "{which}: {report}");
    assert_eq!((report.records().in_flight, report.roots().in_flight), (0, 0), "{which}: {report}");
}

/// Its rows would wait for what comes of the whole, and the whole for its rows.
#[tokio::test]
async fn no_pairs_of_parts_by_time_where_the_whole_can_come_back() {
    let flow = Workflow::new("parts");
    let numbers = flow.source("numbers", 0..3_i64).timestamps(|n| *n, Duration::ZERO);
    let (parts, wholes) = numbers.scatter(|n| vec![*n, -n]);
    let (kept, again) = parts.clone().keep("kept", Rounds::at_most(1));
    let pairs = parts.interval_join(kept, Duration::ZERO, |n| *n, |n| *n).named("pairs");
    let wholes = pairs.map(|(n, _)| n).gather(wholes, |n, _| n).named("wholes");
    wholes.handle_kept("check", &again, |_, _| Verdict::Pass).ignore();
    let error = flow.run().await.unwrap_err().to_string();
    assert!(
        error.contains("`pairs` pairs parts for `wholes`, and what that makes can come back to it"),
        "{error}"
    );
}

#[tokio::test]
async fn late_records_are_faults_and_the_same_ones_whoever_is_quicker() {
    let times = [-5, 10, 3, 6, 2, 10, 30, 23, 22, 30];
    under_schedules((vec![0, 1, 2, 3, 5, 6, 7, 9], vec![4, 8]), async |flow| {
        let out = flow.source("rows", rows(&times)).timestamps(|r| r.0, ms(7)).map(|r| r.1).collect();
        let mut report = flow.run().await.unwrap();
        assert!(report.faults().iter().all(|fault| fault.kind == FaultKind::Late && fault.value.is_some()));
        let late = report.faults().iter().map(|fault| fault.record.seq() as u32).collect();
        let kept = sorted(report.take(out));
        (report, (kept, late))
    })
    .await;
}

#[tokio::test]
async fn a_panic_in_the_authors_functions_is_a_fault_of_one_row() {
    under_schedules((vec![(0, 4), (10, 11)], 3), async |flow| {
        let out = flow
            .source("rows", rows(&[0, 1, 2, 3, 4, 11, 12]))
            .timestamps(|r| if r.1 == 2 { panic!("no time") } else { r.0 }, ms(0))
            .group_by(
                |r| if r.1 == 3 { panic!("no key") } else { 0_u8 },
                Window::tumbling(ms(10)),
                0,
                |sum, r| {
                    assert!(r.1 != 6, "no sum");
                    *sum += if r.1 == 5 { 11 } else { u32::from(r.1 == 4) * 4 };
                },
            )
            .map(|g| (g.from, g.value))
            .collect();
        let mut report = flow.run().await.unwrap();
        let panics = report.faults().iter().filter(|fault| fault.kind == FaultKind::Panic).count();
        let got = report.take(out);
        (report, (got, panics))
    })
    .await;
}

#[tokio::test]
async fn a_left_row_that_comes_round_again_meets_what_it_met_before() {
    // Right rows at 1 and 8, a left row at 3 that is sent back once it has met the later one.
    under_schedules(vec![(1, 1), (1, 8)], async |flow| {
        let right = flow.source("right", [1, 8_i64]).timestamps(|t| *t, ms(0));
        let left = flow.source("left", [(3_i64, 0_u32)]).timestamps(|l| l.0, ms(0));
        let (left, again) = left.feedback("again", Rounds::at_most(1));
        let out = left
            .interval_join(right, ms(6), |_| (), |_| ())
            .handle_or_retry("later", again, |((time, round), right)| match (round, right) {
                (0, 8) => Verdict::Retry((*time, 1)),
                _ => Verdict::Pass,
            })
            .map(|((_, round), right)| (round, right))
            .collect();
        let mut report = flow.run().await.unwrap();
        let got = sorted(report.take(out));
        (report, got)
    })
    .await;
}

#[tokio::test]
async fn a_join_that_waits_for_its_inputs_to_end_says_so() {
    for (inside, expected) in [(true, 1), (false, 0)] {
        let flow = Workflow::new("notes");
        let numbers = flow.source("numbers", [1, 2_i64]).timestamps(|t| *t, ms(0));
        let (again, key) = numbers.clone().feedback("again", Rounds::at_most(1));
        let right = if inside { again.clone() } else { numbers.clone() };
        numbers.ignore();
        again
            .interval_join(right, ms(0), |t| *t, |t| *t)
            .named("pairs")
            .handle_or_retry("judge", key, |(t, _)| if *t < 2 { Verdict::Retry(5) } else { Verdict::Pass })
            .ignore();
        let report = flow.run().await.unwrap();
        let pairs = report.graph().nodes.iter().find(|node| node.name == "pairs").unwrap();
        let held = pairs.notes.iter().filter(|note| note.contains("until its inputs end")).count();
        assert_eq!(held, expected, "{:?}", pairs.notes);
        assert!(report.is_balanced(), "{report}");
    }
}

#[tokio::test]
async fn windows_behind_a_loop_hold_what_is_final_only() {
    // Each odd number is sent back, and comes as an even one to the window of its time.
    let all: Vec<i64> = (-20..40).collect();
    let mut expected = BTreeMap::<i64, (i64, usize)>::new();
    for n in &all {
        let (sum, rows) = expected.entry(n.div_euclid(10) * 10).or_default();
        *sum += if n % 2 == 0 { *n } else { n * 100 };
        *rows += 1;
    }
    let expected: Vec<_> = expected.into_iter().map(|(from, (sum, rows))| (from, sum, rows)).collect();
    under_schedules(expected, async |flow| {
        let numbers = flow.source("numbers", all.clone()).timestamps(|n| *n, ms(3));
        let (numbers, again) = numbers.feedback("again", Rounds::at_most(1));
        // The handler sees a copy, so that the other one reaches the window and is withdrawn there.
        numbers
            .clone()
            .handle_or_retry(
                "even",
                again,
                |n| if n % 2 == 0 { Verdict::Pass } else { Verdict::Retry(n * 100) },
            )
            .ignore();
        let out = numbers
            .group_by(|_| 0, Window::tumbling(ms(10)), 0, |sum, n| *sum += n)
            .map(|g| (g.from, g.value, g.rows))
            .collect();
        let mut report = flow.run().await.unwrap();
        let got = report.take(out);
        (report, got)
    })
    .await;
}

#[tokio::test]
async fn sessions_close_at_a_pause_also_where_their_last_row_was_withdrawn() {
    // 14 binds 10 and 18; its next version has another key.
    under_schedules(vec![("a", 10, 11, 1), ("a", 18, 23, 2), ("b", 14, 15, 1)], async |flow| {
        let (rows, again) = flow
            .source("rows", rows(&[10, 14, 18, 22, 40]))
            .timestamps(|r| r.0, ms(0))
            .feedback("again", Rounds::at_most(1));
        rows.clone()
            .handle_or_retry("judge", again, |r| match r {
                (14, 1) => Verdict::Retry((0, 100)),
                (40, 4) => Verdict::drop("the end"),
                _ => Verdict::Pass,
            })
            .ignore();
        let out = rows
            .filter(|r| r.0 != 40)
            .group_by(|r| r.1 / 100, Window::session(ms(4)), (), |(), _| ())
            .map(|g| (if g.key == 0 { "a".to_owned() } else { "b".to_owned() }, g.from, g.to, g.rows))
            .collect();
        let mut report = flow.run().await.unwrap();
        let got = sorted(report.take(out));
        let got = got.iter().map(|(key, from, to, n)| (if key == "a" { "a" } else { "b" }, *from, *to, *n));
        let got = got.collect();
        (report, got)
    })
    .await;
}

#[tokio::test]
async fn rows_are_added_in_the_order_of_their_times_and_of_their_source() {
    under_schedules(vec!["acbde".to_owned()], async |flow| {
        let rows = [(1_i64, 'a'), (5, 'b'), (3, 'c'), (5, 'd'), (9, 'e')];
        let (slow, quick) = flow.source("rows", rows).timestamps(|r| r.0, ms(5)).split(|r| r.1 == 'b');
        let out = slow
            .map(|r| r)
            .merge(quick)
            .group_by(|_| 0_u8, Window::whole(), String::new(), |word, r| word.push(r.1))
            .map(|g| g.value)
            .collect();
        let mut report = flow.run().await.unwrap();
        let got = report.take(out);
        (report, got)
    })
    .await;
}

#[tokio::test]
async fn without_records_nothing_comes_and_with_one_side_only_none_is_lost() {
    under_schedules((vec![], vec![], vec![(0, None), (0, None)]), async |flow| {
        let nothing = flow.source("nothing", Vec::<i64>::new()).timestamps(|t| *t, ms(0));
        let some = flow.source("some", [0, 0_i64]).timestamps(|t| *t, ms(0));
        let pairs = some.clone().interval_join(nothing.clone(), Duration::MAX, |_| (), |_| ()).collect();
        let alone = some.left_interval_join(nothing.clone(), ms(0), |_| (), |_| ()).collect();
        let groups = nothing.group_by(|_| 0, Window::whole(), 0, |_, _| ()).map(|g| g.value).collect();
        let mut report = flow.run().await.unwrap();
        let got = (report.take(pairs), report.take(groups), report.take(alone));
        (report, got)
    })
    .await;
}

/// A batch computation of what a workflow must come to.
mod at_once {
    use super::Row;

    /// The rows that are not late.
    pub fn in_time(rows: &[Row], lateness: i64) -> Vec<Row> {
        let mut newest = i64::MIN;
        let in_time = |row: &&Row| {
            let stands = row.0 >= newest.saturating_sub(lateness);
            newest = newest.max(row.0);
            stands
        };
        rows.iter().filter(in_time).copied().collect()
    }

    pub fn pairs(left: &[Row], right: &[Row], within: i64) -> Vec<(Row, Option<Row>)> {
        let meet = |a: &Row, b: &Row| a.1 % 3 == b.1 % 3 && (a.0 - b.0).abs() <= within;
        let of = |a: &Row| {
            let found: Vec<_> = right.iter().filter(|b| meet(a, b)).map(|b| (*a, Some(*b))).collect();
            if found.is_empty() { vec![(*a, None)] } else { found }
        };
        left.iter().flat_map(of).collect()
    }

    /// A key, the bounds, and the numbers of the rows.
    pub type Group = (u32, i64, i64, Vec<u32>);

    pub fn slices(rows: &[Row], size: i64, every: i64) -> Vec<Group> {
        let mut groups = Vec::new();
        for key in 0..3 {
            for start in (-400..400).map(|nth| nth * every) {
                let inside = |row: &&Row| row.1 % 3 == key && (start..start + size).contains(&row.0);
                let mut inside: Vec<Row> = rows.iter().filter(inside).copied().collect();
                inside.sort();
                if !inside.is_empty() {
                    groups.push((key, start, start + size, inside.iter().map(|row| row.1).collect()));
                }
            }
        }
        groups
    }

    /// The sorted rows of each key, cut where `cuts` says so of the rows before and the next one.
    pub fn cut(rows: &[Row], cuts: impl Fn(&[Row], Row) -> bool) -> Vec<Group> {
        let mut groups = Vec::new();
        for key in 0..3 {
            let mut of_key: Vec<Row> = rows.iter().filter(|row| row.1 % 3 == key).copied().collect();
            of_key.sort();
            let mut group: Vec<Row> = Vec::new();
            for row in of_key {
                if !group.is_empty() && cuts(&group, row) {
                    groups.push(std::mem::take(&mut group));
                }
                group.push(row);
            }
            groups.extend((!group.is_empty()).then_some(group));
        }
        let named = |group: Vec<Row>| {
            let (first, last) = (group[0], group[group.len() - 1]);
            (first.1 % 3, first.0, last.0 + 1, group.iter().map(|row| row.1).collect())
        };
        groups.into_iter().map(named).collect()
    }
}

/// Rows whose times go on with steps between −4 and 9.
fn wandering(seed: u64, count: usize) -> Vec<Row> {
    let mut time = seed as i64 % 50 - 25;
    let mut draw = seed;
    let step = |number: u32| {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        time += (draw >> 33) as i64 % 14 - 4;
        (time, number)
    };
    (0..count as u32).map(step).collect()
}

fn grouped(stream: &Stream<Row>, window: Window) -> Output<at_once::Group> {
    let groups = stream.clone().group_by(|r| r.1 % 3, window, Vec::new(), |all, r| all.push(r.1));
    groups.map(|g| (g.key, g.from, g.to, g.value)).collect()
}

#[tokio::test]
async fn joins_and_windows_agree_with_a_batch_computation_on_a_thousand_inputs() {
    for seed in 0..1000_u64 {
        let (left, right) = (wandering(seed, seed as usize % 23), wandering(seed + 7919, seed as usize % 17));
        let (lateness, within) = (seed as i64 % 7, seed as i64 % 11);
        let mut flow = Workflow::new("batch").open_epochs(1 + seed as usize % 3);
        if seed % 8 != 0 {
            flow = flow.seeded(seed);
        }
        let a = flow.source("a", left.clone()).timestamps(|r| r.0, ms(lateness as u64));
        let b = flow.source("b", right.clone()).timestamps(|r| r.0, ms(2));
        let (key, w) = (|r: &Row| r.1 % 3, ms(within as u64));
        let inner = a.clone().interval_join(b.clone(), w, key, key).collect();
        let outer = a.clone().left_interval_join(b, w, key, key).collect();
        let tumbling = grouped(&a, Window::tumbling(ms(8)));
        let sliding = grouped(&a, Window::sliding(ms(9), ms(4)));
        let session = grouped(&a, Window::session(ms(3)));
        let count = grouped(&a, Window::count(3));
        let whole = grouped(&a, Window::whole());
        a.ignore();
        let mut report = flow.run().await.unwrap();
        assert!(report.is_balanced(), "{report}");

        let (left, right) = (at_once::in_time(&left, lateness), at_once::in_time(&right, 2));
        let pairs = at_once::pairs(&left, &right, within);
        let found = pairs.iter().filter_map(|(a, b)| Some((*a, (*b)?))).collect();
        assert_eq!(sorted(report.take(inner)), sorted(found), "seed {seed}");
        assert_eq!(sorted(report.take(outer)), sorted(pairs), "seed {seed}");
        let mut same = |out, expected: Vec<at_once::Group>| {
            assert_eq!(sorted(report.take(out)), sorted(expected), "seed {seed}");
        };
        same(tumbling, at_once::slices(&left, 8, 8));
        same(sliding, at_once::slices(&left, 9, 4));
        same(session, at_once::cut(&left, |group, next| next.0 - group[group.len() - 1].0 > 3));
        same(count, at_once::cut(&left, |group, _| group.len() == 3));
        same(whole, at_once::cut(&left, |_, _| false));
    }
}

#[tokio::test]
async fn windows_close_and_rows_without_a_partner_go_on_while_the_source_lives() {
    let (give, take) = channel(64);
    let flow = Workflow::new("live");
    let numbers = flow.source_stream("numbers", live(take)).timestamps(|t| *t, ms(5));
    let none = flow.source("none", Vec::<i64>::new()).timestamps(|t| *t, ms(0));
    let (closed, mut on_closed) = channel(64);
    let (lonely, mut on_lonely) = channel(64);
    numbers
        .clone()
        .group_by(|_| 0, Window::tumbling(ms(10)), 0, |sum, t| *sum += t)
        .for_each(move |g| closed.try_send((g.from, g.value)).unwrap());
    numbers
        .clone()
        .left_interval_join(numbers.map(|t| t + 1), ms(1), |t| *t, |t| *t)
        .map(|(t, _)| t)
        .merge(none)
        .for_each(move |t| lonely.try_send(t).unwrap());
    let feed = async move {
        give.send(3).await.unwrap();
        give.send(14).await.unwrap();
        assert_eq!(on_lonely.recv().await, Some(3), "14 − 5 is beyond 3 + 1");
        give.send(15).await.unwrap();
        assert_eq!(on_closed.recv().await, Some((0, 3)), "15 − 5 is the end of the first window");
        drop(give);
        assert_eq!(on_closed.recv().await, Some((10, 29)));
    };
    let (report, ()) = tokio::join!(flow.run(), feed);
    assert!(report.unwrap().is_balanced());
}

/// Keeps the run for whoever looks at it.
struct HandOver(Arc<OnceLock<Arc<dyn Watch>>>);

impl Observer for HandOver {
    fn open(&mut self) -> BoxFuture<'_, Result<(), ObserverError>> {
        Box::pin(async { Ok(()) })
    }

    fn started(&mut self, run: Arc<dyn Watch>) {
        let _ = self.0.set(run);
    }

    fn finished(&mut self, _: Ending) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

fn live(take: Receiver<i64>) -> impl futures::Stream<Item = i64> + Send {
    futures::stream::unfold(take, async |mut take| Some((take.recv().await?, take)))
}

#[tokio::test]
async fn rows_beside_a_loop_are_forgotten_when_the_loop_is_past_them() {
    let ((give_left, left), (give_right, right)) = (channel(64), channel(64));
    let flow = Workflow::new("live");
    let left = flow.source_stream("left", live(left)).timestamps(|t| *t, ms(0));
    let right = flow.source_stream("right", live(right)).timestamps(|t| *t, ms(0));
    let (left, again) = left.feedback("again", Rounds::at_most(1));
    let (seen, mut on_seen) = channel(64);
    left.interval_join(right, ms(2), |_| (), |_| ())
        .named("join")
        .handle_or_retry(
            "odd",
            again,
            |(t, _)| if t % 2 == 1 { Verdict::Retry(t + 1) } else { Verdict::Pass },
        )
        .for_each(move |pair| seen.try_send(pair).unwrap());
    let watch = Arc::new(OnceLock::new());
    let observer = HandOver(Arc::clone(&watch));
    let feed = async move {
        for time in (0..200).step_by(10) {
            give_right.send(time).await.unwrap();
            give_left.send(time + 1).await.unwrap();
            if time > 0 {
                let pair = on_seen.recv().await;
                assert_eq!(
                    pair,
                    Some((time - 8, time - 10)),
                    "the next version meets the partner of the first"
                );
            }
        }
        // Only the last rows still wait for what may come.
        let watch = watch.get().unwrap();
        let join = watch.graph().nodes.iter().position(|node| node.name == "join").unwrap();
        while watch.snapshot().nodes[join].parked > 3 {
            tokio::time::sleep(ms(1)).await;
        }
        drop((give_left, give_right));
    };
    let (report, ()) = tokio::join!(flow.run_with(observer), feed);
    assert!(report.unwrap().is_balanced());
}

#[tokio::test]
async fn without_times_each_row_is_in_one_window_of_its_arrival() {
    for seed in 0..20 {
        let flow = Workflow::new("arrival").seeded(seed);
        let (rows, again) = flow.source("rows", 0..50_u32).feedback("again", Rounds::at_most(1));
        let judged = rows.handle_or_retry("odd", again, |n| match n {
            n if n % 2 == 1 && *n < 100 => Verdict::Retry(n + 99),
            _ => Verdict::Pass,
        });
        let all = |window| {
            judged
                .clone()
                .group_by(|n| n % 3, window, Vec::new(), |all, n| all.push(*n))
                .map(|g| g.value)
                .collect()
        };
        let outs = [
            all(Window::tumbling(ms(2))),
            all(Window::session(ms(1))),
            all(Window::count(4)),
            all(Window::whole()),
        ];
        judged.ignore();
        let mut report = flow.run().await.unwrap();
        assert!(report.is_balanced(), "{report}");
        let expected = sorted((0..50).map(|n| if n % 2 == 1 { n + 99 } else { n }).collect());
        for out in outs {
            assert_eq!(sorted(report.take(out).concat()), expected);
        }
    }
}
