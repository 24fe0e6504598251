//! What actors synchronise by: the usual types; in this crate's own tests, types that let shuttle say whose turn it is.
//!
//! What no actor waits for (counters, what is set before a run) is not among them, so that there are fewer orders to try.
//! See `interleavings`.

#[cfg(test)]
pub(crate) use explored::*;
#[cfg(not(test))]
pub(crate) use usual::*;

/// What keeps actors from waiting for ever. All of these hold, always, but in a test of what one is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A producer that found no room is woken when there is some.
    RoomWakes,
    /// The consumer is woken when an edge is closed.
    ClosingWakes,
    /// Permits that are given back wake those whose overflow waits for one.
    PermitsWakeOverflow,
    /// Where no overflow waits, they wake those who would let records in.
    PermitsWakeIngress,
    /// When only parked rows are left in a loop, somebody is asked to let them go.
    ParkedRowsAreFlushed,
    /// A row waits to be final only where the notice of that will find it.
    RowsThatWaitAreFound,
}

#[cfg(not(test))]
mod usual {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};

    pub(crate) use parking_lot::Mutex;

    /// Whether a rule holds.
    #[inline(always)]
    pub(crate) const fn holds(_: super::Rule) -> bool {
        true
    }
}

#[cfg(test)]
mod explored {
    use std::{
        cell::Cell,
        ops::{Deref, DerefMut},
        sync::{PoisonError, atomic},
    };

    use shuttle::sync as turns;

    use super::Rule;

    thread_local! {
        // What shuttle calls threads all run on the one thread of their test.
        static EXPLORING: Cell<bool> = const { Cell::new(false) };
        static OFF: Cell<Option<Rule>> = const { Cell::new(None) };
    }

    /// As long as this lives, shuttle says whose turn it is on this thread.
    pub(crate) struct Exploring(());

    impl Exploring {
        /// All rules hold but this one.
        pub fn without(rule: Option<Rule>) -> Self {
            EXPLORING.set(true);
            OFF.set(rule);
            Self(())
        }
    }

    impl Drop for Exploring {
        fn drop(&mut self) {
            EXPLORING.set(false);
            OFF.set(None);
        }
    }

    /// Whether a rule holds.
    pub(crate) fn holds(rule: Rule) -> bool {
        OFF.get() != Some(rule)
    }

    /// Something that others may use before whoever is about to use it.
    #[derive(Debug, Default)]
    pub(crate) struct Turns<A>(A);

    pub(crate) type AtomicBool = Turns<atomic::AtomicBool>;
    pub(crate) type AtomicU32 = Turns<atomic::AtomicU32>;
    pub(crate) type AtomicUsize = Turns<atomic::AtomicUsize>;

    impl<A> Turns<A> {
        pub fn new<T: Into<A>>(value: T) -> Self {
            Self(value.into())
        }
    }

    impl<A> Deref for Turns<A> {
        type Target = A;

        fn deref(&self) -> &A {
            if EXPLORING.get() {
                // Any use of one of shuttle's own is a turn.
                turns::atomic::AtomicBool::new(false).load(atomic::Ordering::SeqCst);
            }
            &self.0
        }
    }

    #[derive(Debug)]
    pub(crate) struct Mutex<T> {
        value: parking_lot::Mutex<T>,
        /// Whoever has this one finds the other one free.
        turn: Option<turns::Mutex<()>>,
    }

    pub(crate) struct MutexGuard<'a, T> {
        value: parking_lot::MutexGuard<'a, T>,
        _turn: Option<turns::MutexGuard<'a, ()>>,
    }

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self { value: value.into(), turn: EXPLORING.get().then(turns::Mutex::default) }
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            let turn = self.turn.as_ref().map(|turn| turn.lock().unwrap_or_else(PoisonError::into_inner));
            MutexGuard { value: self.value.lock(), _turn: turn }
        }
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.value
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.value
        }
    }

    /// What stands for an actor's mailbox: how much work it has been posted.
    #[derive(Debug, Default)]
    pub(crate) struct Mailbox {
        work: turns::Mutex<usize>,
        posted: turns::Condvar,
    }

    impl Mailbox {
        pub fn post(&self) {
            *self.work.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            self.posted.notify_one();
        }

        /// Waits for work and takes one piece.
        pub fn take(&self) {
            let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
            while *work == 0 {
                work = self.posted.wait(work).unwrap_or_else(PoisonError::into_inner);
            }
            *work -= 1;
        }
    }
}
