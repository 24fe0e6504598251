//! What a handler escalates: who answers, what becomes of it, and that nobody waits.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall panic")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use eddyline::{AnswerError, prelude::*, runtime::fault::FaultKind};

const LONG: Duration = Duration::from_secs(3600);

/// Asks about every record that is divisible by this.
fn asks(n: u64) -> impl FnMut(&u64) -> Verdict<u64> + Send + 'static {
    move |x| match x.is_multiple_of(n) {
        true => Verdict::Escalate(
            Question::new("what is it?", LONG, Answer::reject("nobody knew")).candidates([*x, x + 1]),
        ),
        false => Verdict::Pass,
    }
}

fn sorted(mut all: Vec<u64>) -> Vec<u64> {
    all.sort_unstable();
    all
}

#[tokio::test]
async fn each_answer_decides_one_record() {
    let flow = Workflow::new("answers");
    let (all, clerks) = flow.source("numbers", 0..8_u64).handle("even", asks(2)).escalate_to("clerks");
    let all = all.collect();
    clerks.answered_by(|x, question| {
        assert_eq!((&*question.text, &*question.candidates), ("what is it?", &[*x, x + 1][..]));
        Some(match x {
            0 => Answer::Pass,
            2 => Answer::Replace(200),
            4 => Answer::reject("no number"),
            _ => Answer::drop("not worth it"),
        })
    });
    let mut report = flow.run().await.unwrap();
    assert_eq!(sorted(report.take(all)), [0, 1, 3, 5, 7, 200]);
    let ended: Vec<_> = report.roots().ended.iter().map(|(fate, n)| (*fate, *n)).collect();
    assert_eq!(ended, [("dropped", 1), ("emitted", 6), ("escalated", 2), ("rejected", 1)]);
    assert!(report.is_balanced(), "{report}");
    assert_eq!((report.roots().created, report.faults().len()), (10, 1));
    assert_eq!((&*report.faults()[0].reason, report.faults()[0].kind), ("no number", FaultKind::Rejected));
    let people = report.snapshot().nodes.iter().find_map(|node| node.people).unwrap();
    assert_eq!((people.asked, people.answered, people.expired, people.withdrawn), (4, 4, 0, 0));
}

#[tokio::test]
async fn a_question_that_nobody_answers_ends_as_it_says() {
    let flow = Workflow::new("deadlines");
    let soon = Duration::from_millis(20);
    let (all, clerks) = flow
        .source("numbers", 0..4_u64)
        .handle("ask", move |x| {
            let otherwise =
                [Answer::Pass, Answer::Replace(100), Answer::reject("too late"), Answer::drop("too late")];
            Verdict::Escalate(Question::new("well?", soon, otherwise[*x as usize].clone()))
        })
        .escalate_to("clerks");
    let all = all.collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(sorted(report.take(all)), [0, 100]);
    let ended: Vec<_> = report.roots().ended.iter().map(|(fate, n)| (*fate, *n)).collect();
    assert_eq!(ended, [("dropped", 1), ("emitted", 2), ("escalated", 2), ("rejected", 1)]);
    assert_eq!(clerks.answer(0, Answer::Pass), Err(AnswerError::NotOpen(0)));
    assert_eq!(report.snapshot().nodes.iter().find_map(|node| node.people).unwrap().expired, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_person() {
    let flow = Workflow::new("no waiting").open_epochs(1).loop_permits(1).edge_capacity(1);
    let emitted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&emitted);
    let (numbers, again) = flow.source("numbers", 0..100_u64).feedback("again", Rounds::at_most(1));
    let (all, clerks) = numbers
        .handle_or_retry("check", again, |x| match x % 10 {
            0 => Verdict::Escalate(Question::new("well?", LONG, Answer::Pass)),
            1 => Verdict::Retry(x + 1),
            _ => Verdict::Pass,
        })
        .escalate_to("clerks");
    all.clone().for_each(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let ordered = all.ordered().collect();
    // Answers only when all others have come through.
    let answering = tokio::spawn(async move {
        let mut open = Vec::new();
        while open.len() < 10 {
            open.push(clerks.next().await.unwrap());
        }
        while emitted.load(Ordering::SeqCst) < 90 {
            tokio::task::yield_now().await;
        }
        assert_eq!(clerks.questions().len(), 10);
        for asked in open.iter().rev() {
            clerks.answer(asked.number, Answer::Replace(1000 + asked.value)).unwrap();
            assert_eq!(clerks.answer(asked.number, Answer::Pass), Err(AnswerError::NotOpen(asked.number)));
        }
        assert!(clerks.next().await.is_none());
    });
    let mut report = flow.run().await.unwrap();
    answering.await.unwrap();
    let ordered = report.take(ordered);
    let (answers, others): (Vec<u64>, Vec<u64>) = ordered.into_iter().partition(|x| *x >= 1000);
    let expected: Vec<u64> =
        (0..100).filter(|x| x % 10 != 0).map(|x| if x % 10 == 1 { x + 1 } else { x }).collect();
    assert_eq!(others, expected);
    assert_eq!(sorted(answers), (0..100).step_by(10).map(|x| 1000 + x).collect::<Vec<u64>>());
    assert!(report.is_balanced(), "{report}");
}

/// Where a copy sends its record back, what is asked about the other copy no longer stands, answered or not.
#[tokio::test]
async fn the_question_of_a_withdrawn_record_is_withdrawn() {
    for seed in 0..300 {
        let flow = Workflow::new("withdrawn").loop_permits(1 + seed as usize % 3).seeded(seed);
        let (numbers, again) = flow.source("numbers", 0..5_u64).feedback("again", Rounds::at_most(1));
        let (asked, clerks) = numbers
            .clone()
            .handle("ask", |x| {
                Verdict::Escalate(Question::new("well?", LONG, Answer::reject("nobody knew"))).into_even(*x)
            })
            .escalate_to("clerks");
        let asked = asked.collect();
        clerks.answered_by(|x, _| Some(Answer::Replace(x + 1000)));
        let judged = numbers
            .map(|x| x)
            .handle_or_retry("odd", again, |x| if *x < 100 { Verdict::Retry(x + 100) } else { Verdict::Pass })
            .collect();
        let mut report = flow.run().await.unwrap();
        assert_eq!(sorted(report.take(judged)), [100, 101, 102, 103, 104], "seed {seed}");
        assert_eq!(sorted(report.take(asked)), [101, 103, 1100, 1102, 1104], "seed {seed}");
        assert!(report.is_balanced(), "{report}");
        assert_eq!(report.roots().ended.get("emitted"), Some(&8), "{report}");
    }
}

trait IntoEven {
    fn into_even(self, x: u64) -> Self;
}

impl IntoEven for Verdict<u64> {
    /// Odd ones pass.
    fn into_even(self, x: u64) -> Self {
        if x.is_multiple_of(2) { self } else { Verdict::Pass }
    }
}

#[tokio::test]
async fn an_answer_may_be_too_late_for_a_window_that_has_passed() {
    let flow = Workflow::new("late");
    let (numbers, clerks) = flow
        .source("numbers", 0..200_u64)
        .timestamps(|x| *x as i64, Duration::ZERO)
        .handle("ask", |x| match x {
            5 => Verdict::Escalate(Question::new("well?", LONG, Answer::Pass)),
            _ => Verdict::Pass,
        })
        .escalate_to("clerks");
    let windows = numbers.group_by(|_| 0, Window::tumbling(Duration::from_millis(10)), 0, |sum, _| *sum += 1);
    let (seen, mut passed) = tokio::sync::mpsc::channel(100);
    windows.for_each(move |group| {
        let _ = seen.try_send(group.value);
    });
    tokio::spawn(async move {
        let asked = clerks.next().await.unwrap();
        // The window that the question belongs to has nine, and is over.
        assert_eq!(passed.recv().await, Some(9));
        clerks.answer(asked.number, Answer::Pass).unwrap();
    });
    let report = flow.run().await.unwrap();
    assert!(report.is_balanced(), "{report}");
    assert_eq!(report.faults().len(), 1, "{report}");
    assert_eq!(report.faults()[0].kind, FaultKind::Late);
}

#[tokio::test]
async fn one_that_drains_does_not_wait_for_people() {
    let flow = Workflow::new("drain");
    let (numbers, clerks) = flow.source("numbers", 0_u64..).handle("ask", asks(1)).escalate_to("clerks");
    numbers.ignore();
    let (watch, watched) = tokio::sync::oneshot::channel();
    let running = tokio::spawn(flow.run_with(Look(Some(watch))));
    let run = watched.await.unwrap();
    let first = clerks.next().await.unwrap();
    assert_eq!((first.number, first.value), (0, 0));
    let mut views = run.questions(3);
    while views.len() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        views = run.questions(3);
    }
    assert_eq!((views[0].number, &*views[0].text, &views[0].value), (0, "what is it?", &0.into()));
    assert_eq!(views[1].candidates, [1, 2].map(serde_json::Value::from));
    let error = run.answer(views[0].node, 0, serde_json::json!({ "choose": 2 })).unwrap_err();
    assert!(error.to_string().contains("this question has 2"), "{error}");
    run.answer(views[0].node, 0, serde_json::json!({ "choose": 1 })).unwrap();
    let error = run.answer(views[0].node, 1, serde_json::json!({ "replace": "seven" })).unwrap_err();
    assert!(error.to_string().contains("invalid type: string \"seven\", expected u64"), "{error}");
    assert_eq!(run.answer(views[0].node, 0, "pass".into()), Err(AnswerError::NotOpen(0)));
    assert_eq!(run.answer(99, 0, "pass".into()), Err(AnswerError::NoSuchDesk(99)));
    run.drain();
    let report = running.await.unwrap().unwrap();
    assert!(report.is_balanced() && report.roots().in_flight == 0, "{report}");
    assert_eq!(report.roots().ended["escalated"], 1, "{report}");
    assert_eq!(report.roots().ended["rejected"], report.roots().created - 2, "{report}");
    assert!(clerks.questions().is_empty());
}

/// Hands the run out.
struct Look(Option<tokio::sync::oneshot::Sender<Arc<dyn eddyline::runtime::observer::Watch>>>);

impl eddyline::Observer for Look {
    fn open(
        &mut self,
    ) -> eddyline::runtime::observer::BoxFuture<'_, Result<(), eddyline::runtime::observer::ObserverError>>
    {
        Box::pin(std::future::ready(Ok(())))
    }
    fn started(&mut self, run: Arc<dyn eddyline::runtime::observer::Watch>) {
        let _ = self.0.take().unwrap().send(run);
    }
    fn finished(
        &mut self,
        _: eddyline::runtime::observer::Ending,
    ) -> eddyline::runtime::observer::BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn a_run_that_stops_has_its_questions_in_flight() {
    let flow = Workflow::new("stop");
    let (numbers, clerks) = flow.source("numbers", 0..3_u64).handle("ask", asks(1)).escalate_to("clerks");
    numbers.ignore();
    let (watch, watched) = tokio::sync::oneshot::channel();
    let running = tokio::spawn(flow.run_with(Look(Some(watch))));
    let run = watched.await.unwrap();
    for _ in 0..3 {
        clerks.next().await.unwrap();
    }
    let snapshot = run.snapshot();
    assert!(snapshot.balances.roots.holds, "{:?}", snapshot.balances);
    run.stop();
    let report = running.await.unwrap().unwrap();
    assert!(report.is_balanced(), "{report}");
    assert_eq!((report.roots().created, report.roots().in_flight), (3, 3));
    assert!(clerks.next().await.is_none());
    assert!(clerks.questions().is_empty() && run.questions(3).is_empty());
    assert_eq!(clerks.answer(0, Answer::Pass), Err(AnswerError::NotOpen(0)));
}

#[tokio::test]
async fn a_handler_without_a_desk_has_nobody_to_ask() {
    let flow = Workflow::new("nobody");
    let all = flow.source("numbers", 1..=2_u64).handle("even", asks(2)).collect();
    let mut report = flow.run().await.unwrap();
    assert_eq!(report.take(all), [1]);
    assert!(report.faults()[0].reason.contains("put `.escalate_to(name)` behind the handler"));
}

#[tokio::test]
async fn a_clerk_that_panics_harms_one_record() {
    let flow = Workflow::new("panic");
    let (all, clerks) = flow.source("numbers", 1..=4_u64).handle("even", asks(2)).escalate_to("clerks");
    let all = all.collect();
    clerks.answered_by(|x, _| if *x == 2 { panic!("no idea") } else { Some(Answer::Pass) });
    let mut report = flow.run().await.unwrap();
    assert_eq!(sorted(report.take(all)), [1, 3, 4]);
    assert_eq!(
        (report.faults()[0].kind, report.faults()[0].value.clone()),
        (FaultKind::Panic, Some(2.into()))
    );
    assert!(report.is_balanced(), "{report}");
}

fn refusal(errors: RunError) -> String {
    let RunError::Build(errors) = errors else { panic!("{errors}") };
    assert_eq!(errors.errors.len(), 1, "{errors}");
    errors.to_string()
}

#[tokio::test]
async fn no_desk_inside_of_a_loop() {
    let flow = Workflow::new("inside");
    let (numbers, again) = flow.source("numbers", 0..3_u64).feedback("again", Rounds::at_most(1));
    let (asked, _) = numbers.handle("ask", asks(2)).escalate_to("clerks");
    asked.handle_or_retry("check", again, |_| Verdict::Pass).ignore();
    let error = refusal(flow.run().await.unwrap_err());
    assert!(error.contains("`clerks` is inside the loop of `again`"), "{error}");
}

#[tokio::test]
async fn no_desk_between_scatter_and_gather() {
    let flow = Workflow::new("between");
    let (parts, wholes) = flow.source("numbers", 0..3_u64).scatter(|x| vec![*x, *x]);
    let (parts, _) = parts.handle("ask", asks(2)).escalate_to("clerks");
    parts.gather(wholes, |x, _| x).ignore();
    let error = refusal(flow.run().await.unwrap_err());
    assert!(error.contains("`clerks` is between a scatter and its gather"), "{error}");
}

#[tokio::test]
async fn a_desk_stands_behind_a_handler() {
    let flow = Workflow::new("no handler");
    let (numbers, _) = flow.source("numbers", 0..3_u64).map(|x| x).escalate_to("clerks");
    numbers.ignore();
    let error = refusal(flow.run().await.unwrap_err());
    assert!(error.contains("put `.escalate_to(…)` straight behind `.handle(…)`"), "{error}");

    let flow = Workflow::new("two desks");
    let asked = flow.source("numbers", 0..3_u64).handle("ask", asks(2));
    let (first, _) = asked.clone().escalate_to("clerks");
    let (second, _) = asked.escalate_to("others");
    first.merge(second).ignore();
    let error = refusal(flow.run().await.unwrap_err());
    assert!(error.contains("put one desk behind each handler"), "{error}");
}

/// A third is answered, a third nobody looks at until its time is over, and a third is answered as its time ends, while the graph
/// runs at full speed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_questions_are_answered_ignored_and_expire_while_the_graph_runs() {
    const RECORDS: u64 = 100_000;
    let flow = Workflow::new("a thousand");
    let (numbers, again) = flow.source("numbers", 0..RECORDS).feedback("again", Rounds::at_most(1));
    let (all, clerks) = numbers
        .handle_or_retry("check", again, |x| match x % 100 {
            7 => Verdict::Retry(x + 1),
            50 => {
                let within =
                    [LONG, Duration::from_millis(30), Duration::from_millis(3)][(x / 100 % 3) as usize];
                Verdict::Escalate(Question::new("well?", within, Answer::drop("nobody knew")))
            }
            _ => Verdict::Pass,
        })
        .escalate_to("clerks");
    let all = all.collect();
    let answering = tokio::spawn(async move {
        let (mut asked, mut too_late) = (0, 0);
        while let Some(question) = clerks.next().await {
            asked += 1;
            if question.value / 100 % 3 == 1 {
                continue;
            }
            match clerks.answer(question.number, Answer::Replace(question.value + RECORDS)) {
                Ok(()) => {}
                Err(AnswerError::NotOpen(_)) => too_late += 1,
                Err(error) => panic!("{error}"),
            }
        }
        (asked, too_late)
    });
    let mut report = flow.run().await.unwrap();
    let (_, too_late) = answering.await.unwrap();
    let all = report.take(all);
    let answers = all.iter().filter(|x| **x >= RECORDS).count() as u64;
    assert_eq!(all.len() as u64 - answers, RECORDS - 1000);
    let people = report.snapshot().nodes.iter().find_map(|node| node.people).unwrap();
    assert_eq!((people.asked, people.withdrawn), (1000, 0));
    assert_eq!((people.answered, people.expired), (answers, 1000 - answers));
    assert!(answers <= 667 && too_late <= 333, "{answers} answers, {too_late} too late");
    let roots = report.roots();
    assert!(report.is_balanced() && roots.in_flight == 0, "{report}");
    assert_eq!(roots.created, RECORDS + answers, "{report}");
    assert_eq!(roots.ended["emitted"], RECORDS - 1000 + answers, "{report}");
    assert_eq!((roots.ended["escalated"], roots.ended["dropped"]), (answers, 1000 - answers), "{report}");
}
