//! Leisure: the time that a thread with work of its own has for stepping a team in the place of its actor.
//!
//! A source's iterator and a device run on threads of their own, which tell an actor what came of it. To wake another thread for
//! that costs either of them some 10 µs, and the record 50 µs more on the way; most steps take less. So such a thread
//! steps by itself as long as that costs its own work little, and otherwise wakes the actor as everybody does.

use std::time::Duration;

/// How dearly a step is paid for that took longer than it should: so much longer no other one is tried.
const TOO_LONG: i64 = 2;

/// What is left for steps.
#[derive(Debug)]
pub(crate) struct Leisure {
    share: u32,
    most: Duration,
    /// In nanoseconds; below 0 where steps took more than there was.
    left: i64,
}

impl Leisure {
    /// One part in `share` of the time that the thread's own work takes, and at most so long at once.
    pub fn new(share: u32, most: Duration) -> Self {
        Self { share, most, left: 0 }
    }

    /// The thread's own work took so long.
    pub fn worked(&mut self, took: Duration) {
        let earned = nanos(took / self.share.max(1));
        self.left = self.left.saturating_add(earned).min(nanos(self.most));
    }

    /// How much time there is for steps; none where nobody should begin with one.
    pub fn left(&self) -> Option<Duration> {
        u64::try_from(self.left).ok().filter(|left| *left > 0).map(Duration::from_nanos)
    }

    /// Steps took so long.
    pub fn stepped(&mut self, took: Duration) {
        let weight = if took > self.most { TOO_LONG } else { 1 };
        self.left = self.left.saturating_sub(nanos(took).saturating_mul(weight));
    }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn steps_take_their_share_and_one_that_is_long_is_not_tried_again_soon() {
        let mut leisure = Leisure::new(4, us(20));
        assert_eq!(leisure.left(), None);
        leisure.worked(us(40));
        leisure.stepped(us(9));
        assert_eq!(leisure.left(), Some(us(1)));
        leisure.stepped(us(2));
        assert_eq!(leisure.left(), None);
        // Not saved up for long.
        leisure.worked(us(100_000));
        leisure.stepped(us(20));
        assert_eq!(leisure.left(), None);
        leisure.worked(us(100));
        leisure.stepped(us(50));
        let mut work = 0;
        while leisure.left().is_none() {
            leisure.worked(us(100));
            work += 100;
        }
        assert_eq!(work, 400);
    }
}
