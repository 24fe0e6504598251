//! Ends a launch early, from another thread: nobody wants what it gives any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use crate::clock::{Clock, Moment};

/// The end of one launch, before its time. Clones are the same one; it is of no use for another launch.
///
/// An engine looks at it where it can: between items, between the nodes of a graph, while it waits. Items without a result then end as
/// stopped.
#[derive(Clone, Default)]
pub struct Stop(Arc<Shared>);

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    /// What an engine at work is told by, beside the flag.
    hook: Mutex<Option<Box<dyn Fn() + Send>>>,
    told: Condvar,
}

/// The operating system wakes a sleeper some 50 µs late, so the last stretch is spun.
const SPIN: Duration = Duration::from_micros(120);

impl Stop {
    /// Ends the launch. Does not wait until it has ended.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::Release);
        // Whoever is about to wait, or to leave a hook, has the lock or has seen the flag.
        if let Some(hook) = &*self.0.hook.lock() {
            hook();
        }
        self.0.told.notify_all();
    }

    /// Whether it was ended.
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Acquire)
    }

    /// Blocks this thread until a moment, or until the launch is ended.
    pub fn block_until(&self, clock: &Clock, moment: Moment) {
        let mut hook = self.0.hook.lock();
        while !self.is_stopped()
            && let Some(rest) = moment.checked_sub(clock.now() + SPIN)
        {
            self.0.told.wait_for(&mut hook, rest);
        }
        drop(hook);
        while !self.is_stopped() && clock.now() < moment {
            std::hint::spin_loop();
        }
    }

    /// Runs something that only `hook` ends: it is called, once at most, where the launch is ended meanwhile or was before.
    pub fn ended_by<R>(&self, hook: impl Fn() + Send + 'static, run: impl FnOnce() -> R) -> R {
        struct Unhook<'a>(&'a Stop);
        impl Drop for Unhook<'_> {
            fn drop(&mut self) {
                self.0.0.hook.lock().take();
            }
        }
        {
            let mut place = self.0.hook.lock();
            if self.is_stopped() {
                hook();
            } else {
                *place = Some(Box::new(hook));
            }
        }
        let _unhook = Unhook(self);
        run()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc::sync_channel, thread};

    use super::*;

    #[test]
    fn a_wait_of_an_hour_ends_when_it_is_stopped() {
        let (stop, clock) = (Stop::default(), Clock::real());
        let from = clock.now();
        let (waits, waiting) = sync_channel(1);
        let waiter = thread::spawn({
            let (stop, clock) = (stop.clone(), clock.clone());
            move || {
                waits.send(()).unwrap();
                stop.block_until(&clock, from + Duration::from_secs(3600));
            }
        });
        waiting.recv().unwrap();
        stop.stop();
        waiter.join().unwrap();
        assert!(stop.is_stopped());
        // One that is stopped already does not begin to wait.
        stop.block_until(&clock, from + Duration::from_secs(3600));
    }

    #[test]
    fn a_hook_is_called_once_whenever_the_stop_comes() {
        let (calls, called) = sync_channel(8);
        let hook = move || calls.send(()).unwrap();
        let before = Stop::default();
        before.stop();
        before.ended_by(hook.clone(), || assert!(called.try_recv().is_ok()));
        let meanwhile = Stop::default();
        meanwhile.ended_by(hook.clone(), || {
            meanwhile.stop();
            assert!(called.try_recv().is_ok());
        });
        let after = Stop::default();
        after.ended_by(hook, || ());
        after.stop();
        assert!(called.try_recv().is_err());
    }
}
