//! What is written down of records, and what a history makes of it, on small graphs whose answers can be told by hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use eddyline::{History, RecordId, lineage::What, prelude::*};

/// What happened to one record, as `operator: what`.
fn told(history: &History, record: RecordId) -> Vec<String> {
    let word = |what: &What| match what {
        What::Entered => "came in".to_owned(),
        What::Made { of } => format!("made of {}", of.len()),
        What::Version { version, .. } => format!("version {version}"),
        What::TakenIn => "taken in".to_owned(),
        What::WentInto { .. } => "went into".to_owned(),
        What::Judged { verdict, rounds, .. } => {
            rounds.map_or_else(|| (*verdict).to_owned(), |n| format!("{verdict} {n}"))
        }
        What::Called { .. } => "called".to_owned(),
        What::Failed { kind, .. } => kind.name().to_owned(),
        What::Ended { fate } => fate.name().to_owned(),
        What::Withdrawn => "withdrawn".to_owned(),
        other => format!("{other:?}"),
    };
    let life = history.life(record).unwrap();
    life.events.iter().map(|event| format!("{}: {}", event.operator, word(&event.what))).collect()
}

/// The source records of a result by their places in their sources.
fn roots(history: &History) -> Vec<u64> {
    history.roots().into_iter().map(RecordId::seq).collect()
}

#[tokio::test]
async fn a_record_that_stays_itself_has_one_time_line() {
    let flow = Workflow::new("line").lineage(Lineage::Ids);
    let even = flow
        .source("numbers", 0..100)
        .filter(|n| n % 2 == 0)
        .named("even")
        .map(|n: i32| n / 2)
        .named("half")
        .handle("small", |n| if *n > 40 { Verdict::reject("too large") } else { Verdict::Pass })
        .collect()
        .named("halves");
    let mut report = flow.run().await.unwrap();
    let faults: Vec<RecordId> = report.faults().iter().map(|fault| fault.record).collect();
    let halves = report.take_traced(even).unwrap();
    assert_eq!(halves.len(), 41);
    for (half, record) in halves {
        let history = report.lineage().of(record);
        assert_eq!((roots(&history), record.source()), (vec![half as u64 * 2], Some(0)));
        let whole =
            ["numbers: came in", "even: taken in", "half: taken in", "small: passed", "halves: emitted"];
        assert_eq!(told(&history, record), whole);
    }
    let history = report.lineage().of(faults[0]);
    assert_eq!(told(&history, faults[0]).last().unwrap(), "small: rejected");
    assert!(history.to_string().contains("rejected: too large"), "{history}");
    let odd = RecordId::of_source(0, 7);
    assert_eq!(told(&report.lineage().of(odd), odd), ["numbers: came in", "even: filtered"]);
    let none = report.lineage().of(RecordId::of_source(0, 100));
    assert_eq!(none.to_string(), "nothing is known of numbers #100: there was no such record");
}

#[tokio::test]
async fn off_leaves_nothing_and_says_so() {
    let flow = Workflow::new("off");
    let numbers = flow.source("numbers", 0..10).collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.lineage().bytes(), 0);
    let record = RecordId::of_source(0, 3);
    let history = report.lineage().of(record);
    assert!(!history.is_known() && history.to_string().contains("lineage is off"), "{history}");
    let error = report.take_traced(numbers).unwrap_err().to_string();
    assert!(error.contains("`off`") && error.contains(".lineage(Lineage::Ids)"), "{error}");
}

#[tokio::test]
async fn the_value_before_a_verdict_and_after_it_is_kept() {
    let flow = Workflow::new("values").lineage(Lineage::Values);
    let absolute = flow
        .source("numbers", [3, -4])
        .handle("sign", |n| if *n < 0 { Verdict::Replace(-n) } else { Verdict::Pass })
        .collect()
        .named("absolute");
    let mut report = flow.run().await.unwrap();
    let traced = report.take_traced(absolute).unwrap();
    let history = report.lineage().of(traced[1].1);
    let event = history.events().iter().find(|event| event.operator == "sign").unwrap();
    assert_eq!((&event.value, &event.after), (&Some((-4).into()), &Some(4.into())));
    assert!(matches!(event.what, What::Judged { verdict: "replaced", .. }));
    let text = history.to_string();
    assert!(text.contains("sign: replaced  -4 → 4") && text.contains("absolute: emitted  4"), "{text}");
    let json = serde_json::to_value(&history).unwrap();
    assert_eq!(json["lives"][0]["events"][1]["verdict"], "replaced");
    assert_eq!((&json["record"], &json["lives"][0]["name"]), (&"0-1".into(), &"numbers #1".into()));
}

#[tokio::test]
async fn rounds_of_a_linear_loop_are_on_one_time_line() {
    let flow = Workflow::new("linear").lineage(Lineage::Values);
    let (numbers, again) = flow.source("numbers", [40, 7]).feedback("again", Rounds::at_most(5));
    let odd = numbers
        .handle_or_retry("odd", again, |n| if n % 2 == 0 { Verdict::Retry(n / 2) } else { Verdict::Pass })
        .collect()
        .named("odds");
    let mut report = flow.run().await.unwrap();
    let traced = report.take_traced(odd).unwrap();
    let (_, five) = traced.iter().find(|(odd, _)| *odd == 5).unwrap();
    let history = report.lineage().of(*five);
    let rounds =
        ["again: taken in", "odd: sent back 1", "again: taken in", "odd: sent back 2", "again: taken in"];
    let all = [
        &["numbers: came in"],
        &rounds[..],
        &["odd: sent back 3", "again: taken in", "odd: passed", "odds: emitted"],
    ];
    assert_eq!(told(&history, *five), all.concat());
    assert_eq!((history.rounds(), roots(&history)), (3, vec![0]));
    assert!(history.to_string().contains("odd: sent back, round 2  20 → 10"), "{history}");
}

/// One copy of each word is shown at once; the other is judged, and sent back.
#[tokio::test]
async fn versions_are_told_apart_and_the_withdrawn_one_is_shown_as_such() {
    let flow = Workflow::new("versions").seeded(3).lineage(Lineage::Ids);
    let (words, again) = flow.source("words", ["tea".to_owned()]).feedback("again", Rounds::at_most(1));
    let shown = words.clone().collect_changes().named("shown");
    let judge = |word: &String| match word.as_str() {
        "tea" => Verdict::Retry("Tea".to_owned()),
        _ => Verdict::Pass,
    };
    words.handle_or_retry("judge", again, judge).ignore().named("done");
    let mut report = flow.run().await.unwrap();
    let traced = report.take_traced(shown).unwrap();
    let records: Vec<RecordId> = traced.iter().map(|(_, record)| *record).collect();
    // Added, taken back, added, final: the first two are of one record, the others of another.
    assert!(records[0] == records[1] && records[2] == records[3] && records[0] != records[2]);
    let first = report.lineage().of(records[0]);
    assert_eq!(first.lives[0].fate(), Some(Fate::Withdrawn));
    let second = report.lineage().of(records[2]);
    assert_eq!((second.lives[0].fate(), roots(&second), second.rounds()), (Some(Fate::Emitted), vec![0], 1));
    let because = second.lives.iter().find(|life| {
        life.events.iter().any(|event| matches!(event.what, What::Judged { verdict: "sent back", .. }))
    });
    assert_eq!(because.unwrap().fate(), Some(Fate::Superseded));
    let words = second.to_string();
    assert!(words.contains("version 2 of words #0"), "{words}");
}

#[tokio::test]
async fn a_pair_has_two_parents() {
    let flow = Workflow::new("pairs").lineage(Lineage::Ids);
    let left = flow.source("left", [(1, 'a'), (2, 'b')]);
    let right = flow.source("right", [(2, 'x'), (2, 'y'), (3, 'z')]);
    let pairs = left.join(right, Duration::from_secs(3600), |l| l.0, |r| r.0).named("join").collect();
    let mut report = flow.run().await.unwrap();
    for (((_, l), (_, r)), record) in report.take_traced(pairs).unwrap() {
        let history = report.lineage().of(record);
        assert_eq!((l, history.lives.len()), ('b', 3));
        let places = history.roots().into_iter().map(|root| (root.source(), root.seq()));
        let expected = [(Some(0), 1), (Some(1), u64::from(r == 'y'))];
        assert_eq!(places.collect::<Vec<_>>(), expected);
        assert_eq!(told(&history, history.roots()[0]).last().unwrap(), "join: absorbed");
    }
    let alone = RecordId::of_source(1, 2);
    assert_eq!(told(&report.lineage().of(alone), alone).last().unwrap(), "join: filtered");
}

#[tokio::test]
async fn a_whole_is_made_of_its_parts_and_of_the_revised_one_only_the_last() {
    let flow = Workflow::new("wholes").lineage(Lineage::Values);
    let (items, receipts) = flow
        .source("receipts", [("tea 3 milk 7".to_owned(), 4)])
        .scatter(|(items, _)| items.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let (items, read) = items.keep("item", Rounds::at_most(1));
    let receipts = items
        .gather(receipts, |(_, total), items| (items.into_values().collect::<Vec<_>>(), total))
        .handle_kept("total", &read, |(items, total), read| {
            let sum: i32 = items.iter().filter_map(|item| item.parse::<i32>().ok()).sum();
            match read.iter().find(|item| item.as_str() == "7") {
                Some(seven) if sum != *total => seven.revise("1".to_owned()),
                _ => Verdict::Pass,
            }
        })
        .collect();
    let mut report = flow.run().await.unwrap();
    let (_, record) = report.take_traced(receipts).unwrap()[0];
    let history = report.lineage().of(record);
    assert_eq!(roots(&history), [0]);
    let What::Made { of } = &history.events()[0].what else { panic!("{history}") };
    // The parent, three parts as they were, and the second version of the fourth.
    assert_eq!(of.len(), 5, "{history}");
    let version = |record: &RecordId| {
        let life = history.life(*record).unwrap();
        matches!(life.events[0].what, What::Version { version: 2, .. })
    };
    assert_eq!(of.iter().filter(|record| version(record)).count(), 1, "{history}");
    // The first whole is why.
    let causes: Vec<_> = history.lives.iter().filter(|life| life.is_cause).collect();
    assert!(causes.iter().any(|life| life.fate() == Some(Fate::Superseded)), "{history}");
}

#[tokio::test]
async fn alternatives_and_the_calls_of_models_are_told() {
    let flow = Workflow::new("cascade").lineage(Lineage::Ids);
    let light = Model::function(|n: &[i32]| n.iter().map(|n| n % 5).collect());
    let heavy = Model::function(|n: &[i32]| n.iter().map(|n| n % 7).collect());
    let (rest, others) =
        flow.source("numbers", [3, 10]).model_cascade("rest", [("light", light), ("heavy", heavy)]);
    let rest = rest
        .handle_or_next("good", &others, |n| if *n == 0 { Verdict::NextAlternative } else { Verdict::Pass })
        .collect();
    let mut report = flow.run().await.unwrap();
    for (value, record) in report.take_traced(rest).unwrap() {
        let history = report.lineage().of(record);
        assert_eq!(history.devices(), ["cpu"], "{history}");
        let operators = history.operators();
        assert_eq!(operators.contains(&"heavy"), roots(&history) == [1], "{value}: {operators:?}");
        assert_eq!(history.rounds(), usize::from(roots(&history) == [1]));
    }
}

#[tokio::test]
async fn what_somebody_answered_leads_to_what_was_asked() {
    let flow = Workflow::new("asked").lineage(Lineage::Ids);
    let (digits, clerks) = flow
        .source("digits", ['1', '7'])
        .handle("sure", |digit| match digit {
            '7' => Verdict::Escalate(Question::new("7 or 1?", Duration::from_secs(3600), Answer::Pass)),
            _ => Verdict::Pass,
        })
        .escalate_to("clerks");
    let digits = digits.collect();
    clerks.answered_by(|_, _| Some(Answer::Replace('4')));
    let mut report = flow.run().await.unwrap();
    let traced = report.take_traced(digits).unwrap();
    let (_, record) = traced.iter().find(|(digit, _)| *digit == '4').unwrap();
    let history = report.lineage().of(*record);
    assert_eq!(roots(&history), [1]);
    let asked = RecordId::of_source(0, 1);
    assert_eq!(
        told(&history, asked)[1..],
        ["sure: escalated", "clerks: escalated", "clerks: went into"].map(String::from)
    );
    assert!(history.to_string().contains("escalated: 7 or 1?"), "{history}");
}

#[tokio::test]
async fn a_million_records_take_no_more_than_was_allowed() {
    let flow = Workflow::new("many").lineage(Lineage::Ids).lineage_mib(2);
    let odd = flow
        .source("numbers", 0..1_000_000)
        .filter(|n| n % 3 != 0)
        .map(|n: u64| n * 3)
        .clone()
        .filter(|n| n % 2 == 1)
        .collect();
    let mut report = flow.run().await.unwrap();
    assert!(report.lineage().bytes() <= 2 << 20);
    let traced = report.take_traced(odd).unwrap();
    let (first, last) = (traced[0].1, traced[traced.len() - 1].1);
    let history = report.lineage().of(last);
    assert_eq!((history.events().len(), roots(&history).len()), (5, 1), "{history}");
    let text = report.lineage().of(first).to_string();
    assert!(text.contains("has been forgotten") && text.contains(".lineage_mib("), "{text}");
}
