//! The dispatcher alone, on a clock that is a number: what it promises and what comes of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use proptest::prelude::*;

use super::{
    call::{Call, CallResult, Outcome, Work, split},
    dispatcher::{Dispatcher, LINGER},
    placement::{Place, PlacedModel, PlacedPipeline, PlacedStage},
};
use crate::{
    clock::Moment,
    engine::{
        Item, ItemErrorKind,
        thread::{Output, Ran, Work as Batch},
    },
    rules::Rules,
};

fn us(us: u64) -> Duration {
    Duration::from_micros(us)
}

/// What became of a call, and when.
type Answer = Arc<Mutex<Option<(Moment, CallResult)>>>;

/// The dispatcher, its devices and the time.
struct World {
    dispatcher: Dispatcher,
    now: Arc<Mutex<Moment>>,
    /// What runs where, until when.
    running: BTreeMap<usize, (Moment, Moment, Batch)>,
    tick_at: Option<Moment>,
    devices: usize,
}

/// A model of one pipeline: its batch, and of each stage the devices and the time per launch and item.
type Stages<'a> = &'a [(&'a [usize], u64, u64)];

fn model(name: &str, batch: u32, stages: Stages<'_>) -> PlacedModel {
    let place = |device: usize, fixed: u64, each: u64| Place {
        device,
        session: 0,
        pace: Some(Arc::new(move |items| us(fixed + each * items as u64))),
    };
    let stage = |(devices, fixed, each): &(&[usize], u64, u64)| PlacedStage {
        places: devices.iter().map(|device| place(*device, *fixed, *each)).collect(),
    };
    let pipelines = vec![PlacedPipeline { batch, stages: stages.iter().map(stage).collect() }];
    PlacedModel { name: name.into(), pipelines }
}

impl World {
    fn new(models: Vec<PlacedModel>, devices: usize, shared: bool) -> Self {
        let named = (0..devices).map(|n| (format!("d{n}").into(), shared)).collect();
        let dispatcher = Dispatcher::new(models, named, Rules::default());
        Self { dispatcher, now: Arc::default(), running: BTreeMap::new(), tick_at: None, devices }
    }

    fn now(&self) -> Moment {
        *self.now.lock()
    }

    fn submit(&mut self, model: usize, items: usize, deadline: Option<Moment>) -> Answer {
        let (answer, now) = (Answer::default(), Arc::clone(&self.now));
        let told = Arc::clone(&answer);
        let done = Box::new(move |result| {
            assert!(told.lock().replace((*now.lock(), result)).is_none(), "answered twice");
        });
        let work = Work::Items(vec![Item::default(); items]);
        let mut parts = Vec::new();
        split(Call { work, retries: 0, deadline, done, wake: None }, self.now(), &mut parts);
        self.dispatcher.submit(self.now(), model, parts);
        self.settle();
        answer
    }

    /// Gives the answers, and lets free devices begin.
    fn settle(&mut self) {
        let effects = self.dispatcher.effects();
        for (ticket, result) in effects.answers {
            let _ = ticket.answer(result);
        }
        self.tick_at = effects.tick_at.or(self.tick_at);
        for device in 0..self.devices {
            if !self.running.contains_key(&device)
                && let Some(order) = self.dispatcher.take(self.now(), device)
            {
                let slots = self.dispatcher.timeline(device).view();
                let until = slots.iter().find(|slot| slot.state == "running").map(|slot| us(slot.until_us));
                self.running.insert(device, (order.from, until.expect("it has begun"), order.work));
            }
        }
    }

    /// Goes on to the next thing that happens. Says whether there was one.
    fn go_on(&mut self) -> bool {
        let next = self.running.iter().map(|(device, (_, until, _))| (*until, *device)).min();
        match (next, self.tick_at) {
            (next, Some(tick)) if next.is_none_or(|(until, _)| tick < until) => {
                *self.now.lock() = tick.max(self.now());
                self.tick_at = None;
                self.dispatcher.tick(tick.max(self.now()));
            }
            (Some((until, device)), _) => {
                *self.now.lock() = until;
                let Some((from, _, work)) = self.running.remove(&device) else { return false };
                let output = match work {
                    Batch::Items(items) => Output::Items(items.into_iter().map(Ok).collect()),
                    Batch::Calls(calls) => Output::Calls(vec![Ok(()); calls.len()]),
                };
                self.dispatcher.ended(until, device, Ran { from, until, output, call_bytes: 0 });
            }
            (None, _) => return false,
        }
        self.settle();
        true
    }

    fn run(&mut self) {
        while self.go_on() {}
    }

    fn assert_no_overlaps(&self) {
        for device in 0..self.devices {
            for pair in self.dispatcher.timeline(device).view().windows(2) {
                assert!(pair[0].until_us <= pair[1].from_us, "{pair:?} overlap");
            }
        }
    }
}

fn items(answer: &Answer) -> (Moment, Vec<Result<(), ItemErrorKind>>) {
    let (at, result) = answer.lock().take().expect("it is answered");
    let Outcome::Items(items) = result.outcome else { panic!("items were sent") };
    (at, items.into_iter().map(|item| item.map(drop).map_err(|error| error.kind)).collect())
}

#[test]
fn a_batch_goes_when_it_is_full_or_the_device_has_nothing_else_to_do() {
    let mut world = World::new(vec![model("m", 4, &[(&[0], 100, 10)])], 1, false);
    let first = world.submit(0, 1, None);
    let others: Vec<Answer> = (0..6).map(|_| world.submit(0, 1, None)).collect();
    world.run();
    assert_eq!(items(&first).0, us(110));
    let ends: Vec<Moment> = others.iter().map(|answer| items(answer).0).collect();
    assert_eq!(ends, [us(250), us(250), us(250), us(250), us(370), us(370)]);
    let batches: Vec<u32> = world.dispatcher.timeline(0).view().iter().map(|slot| slot.batch).collect();
    assert_eq!(batches, [1, 4, 2]);
}

#[test]
fn who_lingers_on_a_shared_device_is_promised_a_slot_at_that_moment() {
    let models = vec![model("busy", 1, &[(&[0], 10_000, 0)]), model("rare", 64, &[(&[0], 1000, 0)])];
    let mut world = World::new(models, 1, true);
    let busy: Vec<Answer> = (0..50).map(|_| world.submit(0, 1, None)).collect();
    let rare = world.submit(1, 1, None);
    assert_eq!(world.tick_at, Some(LINGER));
    world.run();
    // Behind what was promised before it lingered, and one more, since it began level with the other.
    assert_eq!(items(&rare).0, us(41_000));
    assert_eq!(items(&busy[49]).0, us(501_000));
}

#[test]
fn a_stage_begins_with_what_the_one_before_gave_at_once() {
    let stages: Stages<'_> = &[(&[0, 1], 100, 0), (&[2], 50, 0)];
    let mut world = World::new(vec![model("m", 2, stages)], 3, false);
    let answer = world.submit(0, 8, None);
    world.run();
    assert_eq!(items(&answer), (us(300), vec![Ok(()); 8]));
    world.assert_no_overlaps();
}

#[test]
fn what_was_at_work_on_a_dead_device_fails_and_the_rest_goes_on() {
    let mut world = World::new(vec![model("m", 1, &[(&[0], 100, 0), (&[1], 100, 0)])], 2, false);
    let answers: Vec<Answer> = (0..3).map(|_| world.submit(0, 1, None)).collect();
    *world.now.lock() = us(40);
    world.running.remove(&0);
    world.dispatcher.died(us(40), 0, "on purpose");
    world.settle();
    world.run();
    assert_eq!(items(&answers[0]), (us(40), vec![Err(ItemErrorKind::Engine)]));
    assert_eq!(items(&answers[1]), (us(240), vec![Ok(())]));
    assert_eq!(items(&answers[2]), (us(340), vec![Ok(())]));
    world.assert_no_overlaps();
}

proptest! {
    /// Devices keep to their profiles: then what is not declined is there in time, whatever comes when, every item is answered
    /// once, and nothing waits for ever.
    #[test]
    fn what_is_not_declined_is_in_time(
        calls in prop::collection::vec((0_usize..2, 1_usize..12, 0_u64..3000, prop::option::of(0_u64..20_000)), 1..60),
        shared in any::<bool>(),
    ) {
        let second: Stages<'_> = if shared { &[(&[0, 1], 50, 100)] } else { &[(&[3], 50, 100)] };
        let models = vec![model("two", 4, &[(&[0, 1], 300, 100), (&[2], 200, 20)]), model("one", 3, second)];
        let mut world = World::new(models, 4, shared);
        let mut answers = Vec::new();
        for (of, count, pause, deadline) in calls {
            let until = world.now() + us(pause);
            let next = |world: &World| world.running.values().map(|(_, until, _)| *until).chain(world.tick_at).min();
            while next(&world).is_some_and(|next| next <= until) {
                world.go_on();
            }
            *world.now.lock() = until;
            let deadline = deadline.map(|after| until + us(after));
            answers.push((deadline, count, world.submit(of, count, deadline)));
        }
        world.run();
        world.assert_no_overlaps();
        for (deadline, count, answer) in answers {
            let (at, results) = items(&answer);
            prop_assert_eq!(results.len(), count);
            for result in results {
                match (result, deadline) {
                    (Ok(()), Some(deadline)) if shared => prop_assert!(at <= deadline + us(20_000)),
                    (Ok(()), Some(deadline)) => prop_assert!(at <= deadline, "{at:?} is after {deadline:?}"),
                    (Ok(()), None) => {}
                    (Err(kind), deadline) => prop_assert!(kind == ItemErrorKind::Declined && deadline.is_some()),
                }
            }
        }
    }
}
