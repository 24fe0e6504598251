//! The keeper: the actor that owns the devices' threads and looks at the clock for the dispatcher.
//!
//! No work passes through it. A device's thread runs others' code under a guard; where it dies all the same, by a defect of ours,
//! what it was at has failed, and the keeper starts another, which prepares its stages again and goes on with what waits.

use std::{
    sync::{Arc, Weak},
    thread::JoinHandle,
};

use eddyline_planner::EngineKind;
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{
    ServeError,
    hub::{Hub, LOOK, Seat},
    placement::PlacedDevice,
};
use crate::{
    clock::{Clock, Moment},
    engine::{
        PrepareError,
        thread::{DeviceThread, Prepared},
    },
};

/// A device's thread, to wait for its end.
pub(crate) type Handle = Arc<Mutex<Option<JoinHandle<()>>>>;

/// A thread that dies so often will die for ever.
const MOST_RESTARTS: u64 = 100;

pub(crate) enum Message {
    /// The dispatcher is to look again at this moment.
    Wait(Moment),
    /// It has come.
    Tick,
    /// Answers lie at the hub; see that somebody is told.
    Watch,
    /// The thread of a device has died.
    Died { device: usize, why: String },
    /// Another one could be prepared or not.
    Prepared { device: usize, prepared: Prepared },
}

pub(crate) struct Keeper;

/// What the keeper keeps.
pub(crate) struct Kept {
    pub hub: Weak<Hub>,
    pub clock: Clock,
    pub devices: Vec<KeptDevice>,
}

pub(crate) struct KeptDevice {
    pub placed: PlacedDevice,
    pub thread: Handle,
    pub restarts: u64,
}

/// Starts the thread of a device; the receiver tells when its stages are prepared.
pub(crate) fn start(
    hub: &Arc<Hub>,
    device: usize,
    placed: &PlacedDevice,
    clock: &Clock,
) -> Result<(JoinHandle<()>, tokio::sync::oneshot::Receiver<Prepared>), ServeError> {
    let seat = Seat::new(Arc::clone(hub), device, placed.engine == EngineKind::Cpu);
    let other = Arc::downgrade(hub);
    let died = move |why| {
        if let Some(hub) = other.upgrade() {
            hub.died(device, why);
        }
    };
    DeviceThread::start(&placed.name, placed.prepare.clone(), clock.clone(), seat, died)
        .map_err(|error| ServeError::Thread { device: placed.name.to_string(), error })
}

impl Actor for Keeper {
    type Msg = Message;
    type State = Kept;
    type Arguments = Kept;

    async fn pre_start(&self, _: ActorRef<Message>, kept: Kept) -> Result<Kept, ActorProcessingErr> {
        Ok(kept)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        kept: &mut Kept,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Wait(at) => {
                let clock = kept.clock.clone();
                tokio::spawn(async move {
                    clock.sleep_until(at).await;
                    let _ = myself.cast(Message::Tick);
                });
            }
            Message::Tick => {
                if let Some(hub) = kept.hub.upgrade() {
                    hub.ask(|dispatcher, now| dispatcher.tick(now));
                }
            }
            Message::Watch => {
                let (clock, hub) = (kept.clock.clone(), kept.hub.clone());
                tokio::spawn(async move {
                    loop {
                        clock.sleep_until(clock.now() + LOOK).await;
                        if !hub.upgrade().is_some_and(|hub| hub.look_for_untold()) {
                            return;
                        }
                    }
                });
            }
            Message::Died { device, why } => kept.start_again(device, &why, myself)?,
            Message::Prepared { device, prepared: Err((stage, error)) } => {
                return Err(ServeError::prepare(&kept.devices[device].placed, stage, error).into());
            }
            Message::Prepared { prepared: Ok(_), .. } => {}
        }
        Ok(())
    }
}

impl Kept {
    /// Another thread takes the place of one that died.
    fn start_again(
        &mut self,
        at: usize,
        why: &str,
        myself: ActorRef<Message>,
    ) -> Result<(), ActorProcessingErr> {
        let Some(hub) = self.hub.upgrade() else { return Ok(()) };
        let device = &mut self.devices[at];
        device.restarts += 1;
        if hub.is_torn() || device.restarts > MOST_RESTARTS {
            return Err(format!("the thread of device `{}`: {why}", device.placed.name).into());
        }
        hub.ask(|dispatcher, now| dispatcher.died(now, at, why));
        let (thread, prepared) = start(&hub, at, &device.placed, &self.clock)?;
        *device.thread.lock() = Some(thread);
        tokio::spawn(async move {
            let gone = || Err((0, PrepareError { message: "its thread ended; report this".to_owned() }));
            let prepared = prepared.await.unwrap_or_else(|_| gone());
            // Nobody is there any more where the run is over.
            let _ = myself.cast(Message::Prepared { device: at, prepared });
        });
        Ok(())
    }
}
