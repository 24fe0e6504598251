//! How an actor learns that there is something to do.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::RwLock;
use ractor::ActorRef;
use tokio::sync::Notify;

/// The one message of a node's actor: look for work.
#[derive(Clone, Copy, Debug)]
pub struct Work;

/// Wakes an actor: posts it one piece of work unless one is pending already.
#[derive(Debug, Default)]
pub struct Waker {
    pending: AtomicBool,
    /// Another one where the actor died and was started again.
    target: RwLock<Option<Target>>,
}

/// Who is told.
#[derive(Debug)]
enum Target {
    Actor(ActorRef<Work>),
    Task(Arc<Notify>),
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
        match &*self.target.read() {
            Some(Target::Actor(actor)) => {
                // An actor that has ended needs no waking; one that takes its place looks for work first of all.
                let _ = actor.cast(Work);
            }
            Some(Target::Task(woken)) => woken.notify_one(),
            None => {}
        }
    }

    pub(crate) fn attach(&self, actor: ActorRef<Work>) {
        self.attach_to(Target::Actor(actor));
    }

    pub(crate) fn attach_task(&self, woken: Arc<Notify>) {
        self.attach_to(Target::Task(woken));
    }

    fn attach_to(&self, target: Target) {
        *self.target.write() = Some(target);
        self.pending.store(false, Ordering::Release);
        self.wake();
    }

    /// Kills the actor, as a defect of the machinery would.
    #[cfg(test)]
    pub(crate) fn kill(&self) {
        if let Some(Target::Actor(actor)) = &*self.target.read() {
            actor.kill();
        }
    }

    /// Whether the actor is to look for work.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    pub(crate) fn taken(&self) {
        self.pending.store(false, Ordering::Release);
        // Whoever filed something before this saw `pending`; what it filed must be seen by the step that follows.
        std::sync::atomic::fence(Ordering::SeqCst);
    }
}
