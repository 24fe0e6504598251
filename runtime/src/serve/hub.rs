//! The hub: the dispatcher behind a lock. Whoever has something to say to it does at once what follows from that, so that no
//! actor and no thread of its own is between a caller and a device.
//!
//! A device's thread reports a launch and takes the next one. Who waits for an answer is told at once where the device has
//! nothing more to do, and otherwise together with others after [`TELL_WITHIN`]: to wake a thread costs as much as a
//! small model's launch. Better still, the device's thread steps whom it would wake, as far as its device is not held up by that:
//! where it has nothing to do, or is a processor of this machine, on which the step would run anyway (`leisure.rs`).

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex, MutexGuard};
use ractor::ActorRef;
use smallvec::SmallVec;

use super::{
    dispatcher::{Dispatcher, Effects, Next},
    keeper::Message,
};
use crate::{
    clock::{Clock, Moment},
    engine::{
        stop::Stop,
        thread::{Desk, Order, Ran},
    },
    leisure::Leisure,
    waker::Waker,
};

/// How long an answer may lie before somebody is told of it, while the device goes on with what is ready.
const TELL_WITHIN: Duration = Duration::from_millis(1);
/// How often somebody looks whether an answer lies longer, since a launch takes longer than expected.
pub(crate) const LOOK: Duration = Duration::from_millis(10);
/// Of the time that its launches take, a device's thread may spend one part in so many on steps, and at most so long at once.
const STEPS: u32 = 8;
const LONG_STEP: Duration = Duration::from_micros(500);

/// Where callers, devices and the keeper meet.
pub(crate) struct Hub {
    clock: Clock,
    state: Mutex<State>,
    /// One per device: something is ready for it, or it is to end.
    benches: Vec<Condvar>,
    untold: Mutex<Untold>,
    /// Whether the keeper looks for answers that lie too long.
    watched: AtomicBool,
    keeper: OnceLock<ActorRef<Message>>,
    /// The next thread that takes a launch dies, as a defect of ours would have it.
    #[cfg(test)]
    deadly: AtomicBool,
}

struct State {
    dispatcher: Dispatcher,
    /// Somebody died while changing it.
    torn: bool,
}

/// Who is still to be told of answers, and since when.
#[derive(Default)]
struct Untold {
    wakers: Vec<Arc<Waker>>,
    since: Moment,
}

impl Hub {
    pub fn new(dispatcher: Dispatcher, devices: usize, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            state: Mutex::new(State { dispatcher, torn: false }),
            benches: std::iter::repeat_with(Condvar::new).take(devices).collect(),
            untold: Mutex::default(),
            watched: AtomicBool::new(false),
            keeper: OnceLock::new(),
            #[cfg(test)]
            deadly: AtomicBool::new(false),
        })
    }

    /// Who keeps the threads and looks at the clock.
    pub fn kept_by(&self, keeper: ActorRef<Message>) {
        self.keeper.get_or_init(|| keeper);
    }

    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Asks the dispatcher something and does what follows.
    pub fn ask<R>(&self, ask: impl FnOnce(&mut Dispatcher, Moment) -> R) -> R {
        let (result, effects) = self.change(ask);
        self.settle(effects).for_each(|waker| waker.wake());
        result
    }

    /// Looks at the dispatcher.
    pub fn look<R>(&self, look: impl FnOnce(&Dispatcher) -> R) -> R {
        look(&self.state.lock().dispatcher)
    }

    /// Whether somebody died while changing the dispatcher, so that nobody knows what it holds.
    pub fn is_torn(&self) -> bool {
        self.state.lock().torn
    }

    /// Nothing is launched any more; what waits ends as stopped, and what runs as soon as its engine can.
    pub fn stop(&self) {
        self.ask(|dispatcher, _| dispatcher.stop());
    }

    /// The thread of a device has died.
    pub fn died(&self, device: usize, why: String) {
        // Nobody is there any more where the run is over.
        let _ = self.keeper.get().map(|keeper| keeper.cast(Message::Died { device, why }));
    }

    #[cfg(test)]
    pub fn kill_one(&self) {
        self.deadly.store(true, Ordering::SeqCst);
    }

    fn change<R>(&self, ask: impl FnOnce(&mut Dispatcher, Moment) -> R) -> (R, Effects) {
        let mut state = self.state.lock();
        // Read with the lock, so that it never goes back.
        let now = self.clock.now();
        self.change_locked(&mut state, now, ask)
    }

    fn change_locked<R>(
        &self,
        state: &mut MutexGuard<'_, State>,
        now: Moment,
        ask: impl FnOnce(&mut Dispatcher, Moment) -> R,
    ) -> (R, Effects) {
        state.torn = true;
        let result = ask(&mut state.dispatcher, now);
        state.torn = false;
        (result, state.dispatcher.effects())
    }

    /// Does what follows from a change, without the lock, since others' code is called; says who is to be woken.
    fn settle(&self, effects: Effects) -> impl Iterator<Item = Arc<Waker>> {
        let Effects { answers, dropped, stops, ready, tick_at } = effects;
        stops.iter().for_each(Stop::stop);
        for device in ready {
            self.benches[device].notify_one();
        }
        if let (Some(at), Some(keeper)) = (tick_at, self.keeper.get()) {
            // It fails only where the run is over.
            let _ = keeper.cast(Message::Wait(at));
        }
        drop(dropped);
        answers.into_iter().filter_map(|(ticket, result)| ticket.answer(result))
    }

    /// Who has not been told of an answer, and is to be told now.
    fn take_untold(&self) -> Vec<Arc<Waker>> {
        std::mem::take(&mut self.untold.lock().wakers)
    }

    /// Somebody is to be told, now or with others. Says since when the first of them waits.
    fn note_untold(&self, wakers: impl IntoIterator<Item = Arc<Waker>>, now: Moment) -> Option<Moment> {
        let mut untold = self.untold.lock();
        for waker in wakers {
            if untold.wakers.is_empty() {
                untold.since = now;
            }
            if !untold.wakers.iter().any(|other| Arc::ptr_eq(other, &waker)) {
                untold.wakers.push(waker);
            }
        }
        (!untold.wakers.is_empty()).then_some(untold.since)
    }

    /// What the keeper does every [`LOOK`]: tells whom nobody has told for longer than [`TELL_WITHIN`]. Says whether it is to look again.
    pub fn look_for_untold(&self) -> bool {
        if self.untold.lock().wakers.is_empty() {
            self.watched.store(false, Ordering::SeqCst);
            // Somebody may have come in between and relied on this.
            return !self.untold.lock().wakers.is_empty() && !self.watched.swap(true, Ordering::SeqCst);
        }
        if self.now() > self.untold.lock().since + TELL_WITHIN {
            self.take_untold().iter().for_each(|waker| waker.wake());
        }
        true
    }

    /// Whether somebody will look for those who are not told now.
    fn is_watched(&self) -> bool {
        self.watched.load(Ordering::SeqCst)
            || self.keeper.get().is_some_and(|keeper| {
                self.watched.swap(true, Ordering::SeqCst) || keeper.cast(Message::Watch).is_ok()
            })
    }
}

/// A device's place at the hub.
pub(crate) struct Seat {
    hub: Arc<Hub>,
    device: usize,
    /// Whether it is a processor of this machine.
    is_processor: bool,
    leisure: Leisure,
}

impl Desk for Seat {
    fn next(&mut self, ended: Option<Ran>) -> Option<Order> {
        let order = match ended.and_then(|ran| self.report(ran)) {
            None => self.wait(),
            order => order,
        };
        #[cfg(test)]
        assert!(!self.hub.deadly.swap(false, Ordering::SeqCst), "on purpose");
        order
    }
}

impl Seat {
    pub fn new(hub: Arc<Hub>, device: usize, is_processor: bool) -> Self {
        Self { hub, device, is_processor, leisure: Leisure::new(STEPS, LONG_STEP) }
    }

    /// A launch has ended: takes the next one, if there is one, gives the answers, and sees that who waits for them is told.
    fn report(&mut self, ran: Ran) -> Option<Order> {
        let Self { hub, device, is_processor, leisure } = self;
        leisure.worked(ran.until.saturating_sub(ran.from));
        let ((next, order, now), effects) = hub.change(|dispatcher, now| {
            dispatcher.ended(now, *device, ran);
            let next = dispatcher.next(*device);
            (next, dispatcher.take(now, *device), now)
        });
        let wakers: SmallVec<[_; 2]> = hub.settle(effects).collect();
        let Some(since) = hub.note_untold(wakers, now) else { return order };
        let may_lie = |next: Next| next.more && next.until <= since + TELL_WITHIN;
        if next.is_some_and(may_lie) && hub.is_watched() {
            return order;
        }
        let may_step = *is_processor || order.is_none();
        let mut now = now;
        for waker in hub.take_untold() {
            match leisure.left().filter(|_| may_step) {
                Some(left) => {
                    waker.wake_or_step(left);
                    let from = std::mem::replace(&mut now, hub.now());
                    leisure.stepped(now.saturating_sub(from));
                }
                None => waker.wake(),
            }
        }
        order.map(|order| Order { from: now, ..order })
    }

    /// Waits for the next launch; none where all is over.
    fn wait(&mut self) -> Option<Order> {
        let Self { hub, device, .. } = self;
        let mut state = hub.state.lock();
        loop {
            if state.dispatcher.is_stopped() {
                return None;
            }
            // Who takes a launch answers nobody and wakes nobody.
            let (order, Effects { stops, .. }) =
                hub.change_locked(&mut state, hub.clock.now(), |dispatcher, now| {
                    dispatcher.take(now, *device)
                });
            if order.is_some() {
                stops.iter().for_each(Stop::stop);
                return order;
            }
            hub.benches[*device].wait(&mut state);
        }
    }
}
