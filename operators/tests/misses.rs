//! What finds no partner in a join goes on and is judged; rows of a group are judged together, and revised from behind it.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test may")]

use std::collections::BTreeMap;

use eddyline::{Change, prelude::*};

const LONG: Duration = Duration::from_secs(1000);

#[tokio::test]
async fn what_found_no_partner_goes_on_once_when_no_more_can_come() {
    for seed in 0..50 {
        let flow = Workflow::new("misses").seeded(seed);
        let left = flow.source("left", 0..100);
        let right = flow.source("right", (0..100).filter(|n| n % 3 == 0));
        let all = left.left_join(right, LONG, |n| *n, |n| *n).collect();
        let mut report = flow.run().await.unwrap();
        let mut all = report.take(all);
        all.sort_unstable();
        let wanted: Vec<_> = (0..100).map(|n| (n, (n % 3 == 0).then_some(n))).collect();
        assert_eq!(all, wanted, "seed {seed}");
        assert!(report.is_balanced(), "{report}");
        assert!(!report.records().ended.contains_key("filtered"), "{report}");
    }
}

/// In a loop: what is missed is sent back as something that has a partner, or ends with its rounds.
#[tokio::test]
async fn a_handler_sends_back_what_was_missed() {
    for seed in 0..50 {
        let flow = Workflow::new("misses").seeded(seed);
        let (left, again) = flow.source("left", 0..40u32).feedback("again", Rounds::at_most(2));
        let right = flow.source("right", 0..40u32).filter(|n| n % 4 == 0);
        // Its time is over at once, whatever it has found by then.
        let found = left
            .left_join(right, Duration::ZERO, |n| *n, |n| *n)
            .handle_or_retry("missed", again, |(n, partner)| match partner {
                None => Verdict::Retry(*n),
                Some(_) => Verdict::Pass,
            })
            .collect();
        let mut report = flow.run().await.unwrap();
        let found = report.take(found);
        assert!(found.iter().all(|(n, partner)| *partner == Some(*n) && n % 4 == 0), "{found:?}");
        assert!(report.faults().iter().all(|fault| fault.kind.name() == "rounds spent"), "{report}");
        assert_eq!(found.len() + report.faults().len(), 40, "seed {seed}: {report}");
        assert!(report.is_balanced(), "{report}");
    }
}

/// A partner that is withdrawn after all leaves its row without one.
#[tokio::test]
async fn a_partner_that_was_withdrawn_is_none() {
    for seed in 0..50 {
        let flow = Workflow::new("withdrawn").seeded(seed);
        let left = flow.source("left", 0..20);
        let (right, again) = flow.source("right", 0..20).feedback("again", Rounds::at_most(1));
        let right = right.map(|n| n).clone();
        right
            .clone()
            .handle_or_retry(
                "even",
                again,
                |n| if n % 2 == 1 { Verdict::Retry(n + 100) } else { Verdict::Pass },
            )
            .ignore();
        let all = left.left_join(right, LONG, |n| *n, |n| *n).collect();
        let mut report = flow.run().await.unwrap();
        let mut all = report.take(all);
        all.sort_unstable();
        let wanted: Vec<_> = (0..20).map(|n| (n, (n % 2 == 0).then_some(n))).collect();
        assert_eq!(all, wanted, "seed {seed}");
        assert!(report.is_balanced(), "{report}");
    }
}

/// A handler over a set revises, withdraws and adds rows that have been emitted long before: a change sink is told.
#[tokio::test]
async fn a_handler_of_a_set_amends_what_was_emitted() {
    for seed in 0..50 {
        let flow = Workflow::new("amended").seeded(seed);
        // Four rows that should be different, at most 8, and add up to 10.
        let (rows, sets) = flow.source("sets", [vec![3, 1, 9, 1]]).scatter(|set: &Vec<i32>| set.clone());
        let (rows, kept) = rows.keep("row", Rounds::at_most(4));
        let emitted = rows.clone().collect_changes();
        let sets = rows
            .gather(sets, |_, rows| rows.into_values().collect::<Vec<i32>>())
            .handle_kept("set", &kept, |set, kept| {
                let nth = |n: i32| kept.iter().find(|row| ***row == n);
                let twice = set.iter().find(|n| set.iter().filter(|m| m == n).count() > 1);
                match set.iter().sum::<i32>() {
                    _ if set.contains(&9) => nth(9).map_or(Verdict::Pass, |nine| nine.revise(2)),
                    _ if twice.is_some() => {
                        twice.and_then(|n| nth(*n)).map_or(Verdict::Pass, |row| row.delete())
                    }
                    sum if sum < 10 => kept.nearest().map_or(Verdict::Pass, |row| row.append(10 - sum)),
                    _ => Verdict::Pass,
                }
            })
            .collect();
        let mut report = flow.run().await.unwrap();
        let mut last = report.take(sets);
        last.iter_mut().for_each(|set| set.sort_unstable());
        assert_eq!(last.last(), Some(&vec![1, 2, 3, 4]), "seed {seed}: {report}");
        let said = report.verdicts("set").unwrap();
        assert!(said.revised >= 1 && said.deleted >= 1 && said.appended >= 1, "{said:?}");
        let mut there = BTreeMap::new();
        let mut was_final = 0;
        for change in report.take(emitted) {
            match change {
                Change::Add { row, value } => assert_eq!(there.insert(row, value), None),
                Change::Remove { row, value } => assert_eq!(there.remove(&row), Some(value)),
                Change::Final { .. } => was_final += 1,
            }
        }
        let mut values: Vec<_> = there.into_values().collect();
        values.sort_unstable();
        assert_eq!((values, was_final), (vec![1, 2, 3, 4], 4), "seed {seed}: {report}");
        assert!(report.is_balanced(), "{report}");
    }
}
