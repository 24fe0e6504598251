//! How an actor learns that there is something to do.

use std::sync::{Arc, atomic::Ordering};

use ractor::ActorRef;
use tokio::sync::Notify;

#[cfg(test)]
use crate::sync::Mailbox;
use crate::sync::{AtomicBool, OnceLock};

/// The one message of a node's actor: look for work.
#[derive(Clone, Copy, Debug)]
pub struct Work;

/// Wakes an actor: posts it one piece of work unless one is pending already.
#[derive(Debug, Default)]
pub struct Waker {
    pending: AtomicBool,
    target: OnceLock<Target>,
}

/// Who is told.
#[derive(Debug)]
enum Target {
    Actor(ActorRef<Work>),
    Task(Arc<Notify>),
    #[cfg(test)]
    Thread(Arc<Mailbox>),
}

impl Waker {
    /// A waker whose actor is not there yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Makes the actor look for work.
    pub fn wake(&self) {
        if self.pending.swap(true, Ordering::AcqRel) {
            return;
        }
        match self.target.get() {
            Some(Target::Actor(actor)) => {
                // An actor that has ended needs no waking.
                let _ = actor.cast(Work);
            }
            Some(Target::Task(woken)) => woken.notify_one(),
            #[cfg(test)]
            Some(Target::Thread(mailbox)) => mailbox.post(),
            None => {}
        }
    }

    pub(crate) fn attach(&self, actor: ActorRef<Work>) {
        self.attach_to(Target::Actor(actor));
    }

    pub(crate) fn attach_task(&self, woken: Arc<Notify>) {
        self.attach_to(Target::Task(woken));
    }

    #[cfg(test)]
    pub(crate) fn attach_thread(&self, mailbox: Arc<Mailbox>) {
        self.attach_to(Target::Thread(mailbox));
    }

    fn attach_to(&self, target: Target) {
        let _ = self.target.set(target);
        self.pending.store(false, Ordering::Release);
        self.wake();
    }

    /// Whether the actor is to look for work.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// The actor is about to step. Whoever files something from now on asks for another step; what was filed by those who
    /// asked in vain before is seen by this one, since this reads what they wrote.
    pub(crate) fn taken(&self) {
        self.pending.swap(false, Ordering::AcqRel);
    }
}
