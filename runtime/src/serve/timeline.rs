//! The time-line of one device: what it was, is and will be used for. Promises never overlap, and are laid out again
//! whenever something really starts or ends.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::{clock::Moment, view::ReservationView};

/// Most past reservations that are kept for the page.
const KEPT: usize = 200;

/// What a reservation is for.
#[derive(Clone, Debug)]
pub(crate) struct Purpose {
    pub model: Arc<str>,
    pub stage: u32,
    /// Items.
    pub batch: u32,
    /// How many of them have been round a loop.
    pub retries: u32,
}

/// A promised slot on a device.
#[derive(Clone, Debug)]
struct Reservation {
    id: u64,
    purpose: Purpose,
    /// Its input is not there before.
    ready: Moment,
    /// How long it is expected to take.
    len: Duration,
    from: Moment,
    until: Moment,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Promised,
    Running,
    Done,
    Failed,
}

/// The reservations of one device in the order of their time.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    past: VecDeque<Reservation>,
    /// The running one, if any, then promises. None overlaps another.
    open: Vec<Reservation>,
    busy: Duration,
    items: u64,
    launches: u64,
    problem: Option<String>,
}

impl Timeline {
    /// Reservations that have not ended.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Whether a launch of this model is promised and has not started.
    pub fn promises(&self, model: &str) -> bool {
        self.open.iter().any(|slot| slot.state == State::Promised && &*slot.purpose.model == model)
    }

    /// When an open reservation is to end.
    pub fn until(&self, id: u64) -> Option<Moment> {
        self.open.iter().find(|slot| slot.id == id).map(|slot| slot.until)
    }

    /// When something of this length, whose input is there at `ready`, could start: the first gap it fits into.
    pub fn probe(&mut self, now: Moment, ready: Moment, len: Duration) -> Moment {
        self.lay_out(now);
        self.gap(now.max(ready), len).1
    }

    /// Whether something of this length could start now and be over before the next promise.
    pub fn is_idle_for(&mut self, now: Moment, len: Duration) -> bool {
        self.probe(now, now, len) == now && self.open.first().is_none_or(|slot| slot.state == State::Promised)
    }

    /// The place among the open ones, and the start, of the first gap at or after `from` that is so long.
    fn gap(&self, mut from: Moment, len: Duration) -> (usize, Moment) {
        for (place, slot) in self.open.iter().enumerate() {
            if slot.state == State::Promised && from + len <= slot.from {
                return (place, from);
            }
            from = from.max(slot.until);
        }
        (self.open.len(), from)
    }

    /// Promises that slot and says when it ends.
    pub fn reserve(
        &mut self,
        now: Moment,
        id: u64,
        purpose: Purpose,
        ready: Moment,
        len: Duration,
    ) -> Moment {
        self.lay_out(now);
        let (place, from) = self.gap(now.max(ready), len);
        let until = from + len;
        self.open.insert(place, Reservation { id, purpose, ready, len, from, until, state: State::Promised });
        until
    }

    /// It really started; where it was not the next in turn, those before it move behind it. Says when it will end.
    pub fn started(&mut self, id: u64, at: Moment) -> Option<Moment> {
        let place = self.open.iter().position(|slot| slot.id == id)?;
        let mut slot = self.open.remove(place);
        slot.state = State::Running;
        slot.from = at;
        slot.until = at + slot.len;
        let until = slot.until;
        self.open.insert(0, slot);
        self.lay_out(at);
        Some(until)
    }

    /// It really ended.
    pub fn ended(&mut self, id: u64, from: Moment, until: Moment, failure: Option<String>) {
        let Some(place) = self.open.iter().position(|slot| slot.id == id) else { return };
        let mut slot = self.open.remove(place);
        slot.from = from;
        slot.until = until;
        slot.state = if failure.is_some() { State::Failed } else { State::Done };
        self.problem = failure;
        self.busy += until.saturating_sub(from);
        self.items += u64::from(slot.purpose.batch);
        self.launches += 1;
        if self.past.len() == KEPT {
            self.past.pop_front();
        }
        self.past.push_back(slot);
        self.lay_out(until);
    }

    /// Its input will be there at another time.
    pub fn ready(&mut self, id: u64, ready: Moment, now: Moment) -> Option<Moment> {
        let slot = self.open.iter_mut().find(|slot| slot.id == id && slot.state == State::Promised)?;
        slot.ready = ready;
        self.lay_out(now);
        self.open.iter().find(|slot| slot.id == id).map(|slot| slot.until)
    }

    /// Fewer items will come.
    pub fn shrink(&mut self, id: u64, batch: u32, retries: u32, len: Duration) {
        if let Some(slot) = self.open.iter_mut().find(|slot| slot.id == id) {
            (slot.purpose.batch, slot.purpose.retries, slot.len) = (batch, retries, len);
        }
    }

    /// Nothing will come.
    pub fn cancel(&mut self, id: u64, now: Moment) {
        self.open.retain(|slot| slot.id != id);
        self.lay_out(now);
    }

    /// Moves every promise to the earliest time after those before it. What runs longer than expected ends now.
    fn lay_out(&mut self, now: Moment) {
        let mut free = self.past.back().map_or(Moment::ZERO, |last| last.until);
        for slot in &mut self.open {
            if slot.state == State::Running {
                slot.until = (slot.from + slot.len).max(now);
            } else {
                slot.from = slot.ready.max(free).max(now);
                slot.until = slot.from + slot.len;
            }
            free = slot.until;
        }
    }

    /// Time it was busy, µs; items; launches; what went wrong with the latest launch.
    pub fn totals(&self) -> (u64, u64, u64, Option<String>) {
        (self.busy.as_micros() as u64, self.items, self.launches, self.problem.clone())
    }

    /// The latest reservations, oldest first, at most 200.
    pub fn view(&self) -> Vec<ReservationView> {
        let skipped = (self.past.len() + self.open.len()).saturating_sub(KEPT);
        let view = |slot: &Reservation| ReservationView {
            id: slot.id,
            from_us: slot.from.as_micros() as u64,
            until_us: slot.until.as_micros() as u64,
            model: slot.purpose.model.to_string(),
            stage: slot.purpose.stage,
            batch: slot.purpose.batch,
            retries: slot.purpose.retries,
            state: match slot.state {
                State::Promised => "promised",
                State::Running => "running",
                State::Done => "done",
                State::Failed => "failed",
            },
        };
        self.past.iter().chain(&self.open).skip(skipped).map(view).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    fn purpose() -> Purpose {
        Purpose { model: "m".into(), stage: 0, batch: 4, retries: 1 }
    }

    fn times(line: &Timeline) -> Vec<(u64, u64, u64)> {
        line.view().iter().map(|r| (r.id, r.from_us, r.until_us)).collect()
    }

    #[test]
    fn promises_queue_up_and_a_gap_is_used() {
        let mut line = Timeline::default();
        line.reserve(us(0), 1, purpose(), us(0), us(10));
        line.reserve(us(0), 2, purpose(), us(50), us(10));
        assert_eq!(line.probe(us(0), us(0), us(40)), us(10));
        assert_eq!(line.probe(us(0), us(0), us(41)), us(60));
        line.reserve(us(0), 3, purpose(), us(0), us(20));
        assert_eq!(times(&line), [(1, 0, 10), (3, 10, 30), (2, 50, 60)]);
    }

    #[test]
    fn what_really_happened_moves_what_was_promised() {
        let mut line = Timeline::default();
        for id in 1..=3 {
            line.reserve(us(0), id, purpose(), us(0), us(10));
        }
        assert_eq!(line.started(1, us(5)), Some(us(15)));
        assert_eq!(times(&line), [(1, 5, 15), (2, 15, 25), (3, 25, 35)]);
        line.ended(1, us(5), us(8), None);
        assert_eq!(times(&line), [(1, 5, 8), (2, 8, 18), (3, 18, 28)]);
        line.started(3, us(9));
        assert_eq!(times(&line), [(1, 5, 8), (3, 9, 19), (2, 19, 29)]);
        assert_eq!(line.probe(us(40), us(40), us(1)), us(50));
        line.ended(3, us(9), us(41), Some("it broke".into()));
        line.cancel(2, us(41));
        assert_eq!(line.open(), 0);
        assert_eq!(line.view()[1].state, "failed");
        assert_eq!(line.totals(), (35, 8, 2, Some("it broke".into())));
    }

    #[test]
    fn at_most_two_hundred_are_kept() {
        let mut line = Timeline::default();
        for id in 0..300 {
            line.reserve(us(id), id, purpose(), us(id), us(1));
            line.started(id, us(id));
            line.ended(id, us(id), us(id + 1), None);
        }
        line.reserve(us(300), 300, purpose(), us(300), us(1));
        assert_eq!(line.view().len(), 200);
        assert_eq!(line.view()[199].id, 300);
    }

    proptest! {
        /// Whatever is promised, starts in whatever order and takes however long: no two reservations overlap, and
        /// none is promised before its input is there.
        #[test]
        fn reservations_never_overlap(steps in prop::collection::vec((0_u8..6, 0_u64..40, 0_u64..60), 1..120)) {
            let mut line = Timeline::default();
            let (mut now, mut next, mut running) = (us(0), 0, None);
            for (step, pick, length) in steps {
                now += us(pick % 7);
                let promised: Vec<u64> =
                    line.open.iter().filter(|slot| slot.state == State::Promised).map(|slot| slot.id).collect();
                let chosen = promised.get(pick as usize % promised.len().max(1)).copied();
                match (step, running, chosen) {
                    (0 | 1, _, _) => {
                        let until = line.reserve(now, next, purpose(), now + us(pick), us(length));
                        prop_assert!(until >= now + us(pick) + us(length));
                        next += 1;
                    }
                    (2, None, Some(id)) => {
                        line.started(id, now);
                        running = Some((id, now));
                    }
                    (3, Some((id, from)), _) => {
                        line.ended(id, from, now, None);
                        running = None;
                    }
                    (4, _, Some(id)) => drop(line.ready(id, now + us(length), now)),
                    (5, _, Some(id)) => line.cancel(id, now),
                    _ => {}
                }
                let slots: Vec<&Reservation> = line.past.iter().chain(&line.open).collect();
                for pair in slots.windows(2) {
                    prop_assert!(pair[0].until <= pair[1].from, "{:?} overlaps {:?}", pair[0], pair[1]);
                }
                for slot in line.open.iter().filter(|slot| slot.state == State::Promised) {
                    prop_assert!(slot.from >= slot.ready && slot.until == slot.from + slot.len);
                }
            }
        }
    }
}
