//! The time-line of one device or of one direction of a link: what is promised on it. Slots never overlap, and a gap is used
//! where something fits into it.

use smallvec::SmallVec;

/// Promised time, µs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// From here.
    pub from: u64,
    /// Up to, but without, this moment.
    pub until: u64,
    /// Its input is not there before.
    pub ready: u64,
    /// Whose it is.
    pub owner: u32,
}

/// What is promised on one device or one direction of a link, in order of time.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    slots: SmallVec<[Slot; 6]>,
    /// Whether the first slot has really begun.
    running: bool,
}

impl Lane {
    /// What is promised.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Whether nothing is promised from `now` on.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// When the last promise ends; 0 where there is none.
    pub fn end(&self) -> u64 {
        self.slots.last().map_or(0, |slot| slot.until)
    }

    /// When something of this length could start, at `ready` at the earliest: the first gap that it fits into.
    pub fn earliest(&self, ready: u64, len: u64) -> u64 {
        let mut from = ready;
        for slot in &self.slots {
            if from + len <= slot.from {
                break;
            }
            from = from.max(slot.until);
        }
        from
    }

    /// How long it would have been idle before `from`, at most since `since`.
    pub fn idle_before(&self, from: u64, since: u64) -> u64 {
        let before = self.slots.iter().take_while(|slot| slot.until <= from).last();
        from - before.map_or(since, |slot| slot.until.max(since)).min(from)
    }

    /// Promises a slot, which must be free.
    pub fn book(&mut self, slot: Slot) {
        let at = self.slots.iter().rposition(|other| other.from <= slot.from).map_or(0, |at| at + 1);
        self.slots.insert(at, slot);
    }

    /// When something whose input really is there at `ready` could start if what comes later gives way.
    pub fn turn(&self, ready: u64) -> u64 {
        let before = self.slots[..self.places_before(ready)].last();
        before.map_or(ready, |slot| slot.until.max(ready))
    }

    /// Promises a slot from [`turn`](Self::turn) on; what comes later moves behind it.
    pub fn squeeze_in(&mut self, slot: Slot) {
        self.slots.insert(self.places_before(slot.ready), slot);
        self.lay_out();
    }

    /// What runs, and what is there as early, keeps its place.
    fn places_before(&self, ready: u64) -> usize {
        let keeps = |(at, slot): &(usize, &Slot)| (self.running && *at == 0) || slot.ready <= ready;
        self.slots.iter().enumerate().take_while(keeps).count()
    }

    /// Takes back what is promised to `owner`; of several slots the last.
    pub fn cancel(&mut self, owner: u32) {
        if let Some(at) = self.slots.iter().rposition(|slot| slot.owner == owner) {
            self.running &= at > 0;
            self.slots.remove(at);
        }
    }

    /// The next in turn, where nothing runs.
    pub fn next(&self) -> Option<&Slot> {
        self.slots.first().filter(|_| !self.running)
    }

    /// What is promised to `owner` really begins, earlier or later than promised; those before it, if any, move behind it.
    pub fn begin(&mut self, owner: u32, now: u64) {
        let Some(at) = self.slots.iter().position(|slot| slot.owner == owner) else { return };
        let slot = self.slots.remove(at);
        let until = now + (slot.until - slot.from);
        self.slots.insert(0, Slot { from: now, until, ..slot });
        self.running = true;
        self.lay_out();
    }

    /// What runs is over, earlier or later than promised.
    pub fn finish(&mut self, now: u64) {
        if self.running {
            self.running = false;
            let slot = self.slots.remove(0);
            if slot.until != now {
                self.push_behind(now);
            }
        }
    }

    /// What should be over by now and is not will be at once: what comes behind it moves.
    pub fn overrun(&mut self, now: u64) {
        if let Some(first) = self.slots.first_mut().filter(|first| self.running && first.until <= now) {
            first.until = now + 1;
            self.lay_out();
        }
    }

    /// Forgets what is over, on a lane whose promises are always kept.
    pub fn forget_before(&mut self, now: u64) {
        let over = self.slots.iter().take_while(|slot| slot.until <= now).count();
        self.slots.drain(..over);
    }

    fn push_behind(&mut self, mut free: u64) {
        for slot in &mut self.slots {
            let len = slot.until - slot.from;
            slot.from = slot.ready.max(free);
            slot.until = slot.from + len;
            free = slot.until;
        }
    }

    /// Moves every promise behind the first to the earliest time after those before it, if it would overlap.
    fn lay_out(&mut self) {
        let mut free = 0;
        for slot in &mut self.slots {
            if slot.from >= free {
                free = slot.until;
                continue;
            }
            let len = slot.until - slot.from;
            slot.from = free;
            slot.until = free + len;
            free = slot.until;
        }
    }
}

/// When something of this length could start on both lanes at once, at `ready` at the earliest.
pub fn earliest_on_both(one: &Lane, other: &Lane, ready: u64, len: u64) -> u64 {
    let mut from = ready;
    loop {
        let next = other.earliest(one.earliest(from, len), len);
        if next == from {
            return from;
        }
        from = next;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slot(owner: u32, from: u64, until: u64) -> Slot {
        Slot { from, until, ready: from, owner }
    }

    fn times(lane: &Lane) -> Vec<(u32, u64, u64)> {
        lane.slots().iter().map(|slot| (slot.owner, slot.from, slot.until)).collect()
    }

    #[test]
    fn a_gap_is_used_where_something_fits() {
        let mut lane = Lane::default();
        lane.book(slot(1, 0, 10));
        lane.book(slot(2, 50, 60));
        assert_eq!(lane.earliest(0, 40), 10);
        assert_eq!(lane.earliest(0, 41), 60);
        assert_eq!(lane.earliest(12, 38), 12);
        assert_eq!(lane.idle_before(50, 0), 40);
        lane.book(slot(3, 10, 30));
        assert_eq!(times(&lane), [(1, 0, 10), (3, 10, 30), (2, 50, 60)]);
        let mut other = Lane::default();
        other.book(slot(4, 30, 45));
        assert_eq!(earliest_on_both(&lane, &other, 0, 5), 45);
        assert_eq!(earliest_on_both(&lane, &other, 0, 6), 60);
    }

    #[test]
    fn what_really_happens_moves_what_was_promised() {
        let mut lane = Lane::default();
        [slot(1, 0, 10), slot(2, 10, 20), slot(3, 30, 40)].into_iter().for_each(|slot| lane.book(slot));
        lane.begin(1, 5);
        assert_eq!(times(&lane), [(1, 5, 15), (2, 15, 25), (3, 30, 40)]);
        lane.overrun(27);
        assert_eq!(times(&lane), [(1, 5, 28), (2, 28, 38), (3, 38, 48)]);
        lane.finish(27);
        assert_eq!(times(&lane), [(2, 27, 37), (3, 37, 47)]);
        lane.cancel(2);
        assert_eq!(lane.next().map(|slot| slot.owner), Some(3));
    }

    proptest! {
        /// Whatever is promised, begins late or early and takes however long: no two slots overlap.
        #[test]
        fn slots_never_overlap(steps in prop::collection::vec((0_u8..5, 0_u64..40, 1_u64..60), 1..120)) {
            let mut lane = Lane::default();
            let (mut now, mut owner) = (0, 0);
            for (step, wait, len) in steps {
                now += wait % 9;
                lane.overrun(now);
                match step {
                    0 if len % 3 == 0 => {
                        let from = lane.turn(now + wait);
                        owner += 1;
                        lane.squeeze_in(Slot { from, until: from + len, ready: now + wait, owner });
                    }
                    0 | 1 => {
                        let from = lane.earliest(now + wait, len);
                        owner += 1;
                        lane.book(Slot { from, until: from + len, ready: now + wait, owner });
                    }
                    2 => if let Some(first) = lane.next().copied() {
                        let other = lane.slots()[wait as usize % lane.slots().len()];
                        lane.begin(if len > 30 { first.owner } else { other.owner }, now);
                    },
                    3 => lane.finish(now),
                    _ => lane.cancel(owner),
                }
                for pair in lane.slots().windows(2) {
                    prop_assert!(pair[0].until <= pair[1].from, "{pair:?}");
                }
            }
        }
    }
}
