//! How an actor learns that there is something to do.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use parking_lot::RwLock;
use ractor::ActorRef;
use tokio::sync::Notify;

use crate::actor::Helper;
use crate::sync::AtomicBool;
#[cfg(test)]
use crate::sync::Mailbox;

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
    /// An actor, and how others can step in its place.
    Actor(ActorRef<Work>, Arc<Helper>),
    /// Whoever steps this one beside others.
    Team(Arc<Waker>),
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
        if self.claim() {
            self.tell();
        }
    }

    /// Makes the actor look for work, or looks in its place, on this thread and at once, for about so long at most. For whoever
    /// has the time: to wake another thread takes longer than most steps.
    pub(crate) fn wake_or_step(&self, most: Duration) {
        if !self.claim() {
            return;
        }
        // Nothing is locked during a step: it may wake others.
        let team = match &*self.target.read() {
            Some(Target::Team(team)) => Some(Arc::clone(team)),
            _ => None,
        };
        match team {
            None => self.tell(),
            Some(team) if team.claim() => {
                let helper = match &*team.target.read() {
                    Some(Target::Actor(_, helper)) => Some(Arc::clone(helper)),
                    _ => None,
                };
                if !helper.is_some_and(|helper| helper.step(most)) {
                    team.tell();
                }
            }
            Some(_) => {}
        }
    }

    fn tell(&self) {
        let target = self.target.read();
        match &*target {
            Some(Target::Actor(actor, _)) => {
                // An actor that has ended needs no waking; one that takes its place looks for work first of all.
                let _ = actor.cast(Work);
            }
            Some(Target::Team(team)) => team.wake(),
            Some(Target::Task(woken)) => woken.notify_one(),
            #[cfg(test)]
            Some(Target::Thread(mailbox)) => {
                let mailbox = Arc::clone(mailbox);
                drop(target);
                mailbox.post();
            }
            None => {}
        }
    }

    pub(crate) fn attach(&self, actor: ActorRef<Work>, helper: Helper) {
        self.attach_to(Target::Actor(actor, Arc::new(helper)));
    }

    pub(crate) fn attach_team(&self, team: Arc<Waker>) {
        self.attach_to(Target::Team(team));
    }

    pub(crate) fn attach_task(&self, woken: Arc<Notify>) {
        self.attach_to(Target::Task(woken));
    }

    #[cfg(test)]
    pub(crate) fn attach_thread(&self, mailbox: Arc<Mailbox>) {
        self.attach_to(Target::Thread(mailbox));
    }

    fn attach_to(&self, target: Target) {
        *self.target.write() = Some(target);
        self.pending.store(false, Ordering::Release);
        self.wake();
    }

    /// Kills the actor, as a defect of the machinery would.
    #[cfg(test)]
    pub(crate) fn kill(&self) {
        match &*self.target.read() {
            Some(Target::Actor(actor, _)) => actor.kill(),
            Some(Target::Team(team)) => team.kill(),
            _ => {}
        }
    }

    /// Whether the actor is to look for work.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// There is more to do, and whoever steps is at it.
    pub(crate) fn mark(&self) {
        self.pending.store(true, Ordering::Release);
    }

    /// Takes over the work that nobody has been told of. Says `false` where somebody has.
    pub(crate) fn claim(&self) -> bool {
        !self.pending.swap(true, Ordering::AcqRel)
    }

    /// The actor is about to step. Whoever files something from now on asks for another step; what was filed by those who
    /// asked in vain before is seen by this one, since this reads what they wrote.
    pub(crate) fn taken(&self) {
        self.pending.swap(false, Ordering::AcqRel);
    }
}
