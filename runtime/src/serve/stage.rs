//! The stage actor: one per stage and device. It hands launches to the device's thread, answers for what failed or is
//! finished, and sends the rest straight to the actor of the next stage.

use std::sync::{
    Arc,
    mpsc::{SyncSender, TrySendError},
};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{
    call::{self, Ticket, note_run},
    dispatcher,
};
use crate::{
    clock::Clock,
    engine::{
        Item, ItemError, ItemErrorKind,
        thread::{Order, Output, Ran, Work},
    },
};

/// One stop of a launch on its way through the stages.
pub(crate) struct Hop {
    pub device: usize,
    pub place: usize,
    pub reservation: u64,
    pub actor: ActorRef<Message>,
}

/// Where a launch goes.
pub(crate) struct Route {
    pub model: usize,
    pub pipeline: usize,
    pub hops: Vec<Hop>,
}

/// A batch on its way.
pub(crate) struct Launch {
    pub route: Arc<Route>,
    pub hop: usize,
    /// One per item or function of the work, in its order.
    pub tickets: Vec<Ticket>,
}

pub(crate) enum Message {
    /// Run this on the device.
    Run(Launch, Work),
    /// The device has run it.
    Ran(Launch, Ran),
}

/// A stage on a device.
pub(crate) struct StageActor;

pub(crate) struct Stage {
    pub device: Arc<str>,
    pub queue: SyncSender<Order>,
    pub session: usize,
    pub clock: Clock,
    pub dispatcher: ActorRef<dispatcher::Message>,
}

impl Actor for StageActor {
    type Msg = Message;
    type State = Stage;
    type Arguments = Stage;

    async fn pre_start(&self, _: ActorRef<Message>, stage: Stage) -> Result<Stage, ActorProcessingErr> {
        Ok(stage)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        stage: &mut Stage,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Run(launch, work) => stage.run(myself, launch, work),
            Message::Ran(launch, ran) => stage.ran(launch, ran),
        }
        Ok(())
    }
}

impl Stage {
    fn run(&self, myself: ActorRef<Message>, launch: Launch, work: Work) {
        let count = launch.tickets.len();
        let is_function = matches!(work, Work::Calls(_));
        let (route, hop, dispatcher) = (launch.route.clone(), launch.hop, self.dispatcher.clone());
        let calls = call::calls(&launch.tickets);
        let begun = Box::new(move |at| {
            call::note_begin(&calls, at);
            let _ = dispatcher.cast(dispatcher::Message::Began { route, hop, at });
        });
        // The dispatcher hears of begin and end from the device's thread itself, so always in this order.
        let dispatcher = self.dispatcher.clone();
        let ended = Box::new(move |ran: Ran| {
            let _ = dispatcher.cast(dispatcher::Message::ended(&launch, &ran));
            let _ = myself.cast(Message::Ran(launch, ran));
        });
        let order = Order { session: self.session, work, begun, ended };
        match self.queue.try_send(order) {
            Ok(()) => {}
            // The thread is gone: dropping the order answers for its items.
            Err(TrySendError::Disconnected(_)) => {}
            // The dispatcher promises less than the queue holds.
            Err(TrySendError::Full(order)) => {
                let message = format!("device `{}` took no more launches; report this", self.device);
                let error = ItemError::new(ItemErrorKind::Engine, message);
                let output = if is_function {
                    Output::Calls(vec![Err(error); count])
                } else {
                    Output::Items(vec![Err(error); count])
                };
                let now = self.clock.now();
                (order.ended)(Ran { from: now, until: now, output });
            }
        }
    }

    fn ran(&self, launch: Launch, ran: Ran) {
        let Launch { route, hop, tickets } = launch;
        note_run(&tickets, &self.device, hop == 0, ran.from, ran.until);
        let items = match ran.output {
            Output::Items(items) => items,
            Output::Calls(calls) => calls.into_iter().map(|call| call.map(|()| Item::default())).collect(),
        };
        let Some(next) = route.hops.get(hop + 1) else {
            for (ticket, result) in tickets.into_iter().zip(items) {
                ticket.answer(result);
            }
            return;
        };
        let (mut going, mut batch) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        for (ticket, result) in tickets.into_iter().zip(items) {
            match result {
                Ok(item) => {
                    going.push(ticket);
                    batch.push(item);
                }
                Err(error) => ticket.answer(Err(error)),
            }
        }
        if !going.is_empty() {
            let launch = Launch { route: route.clone(), hop: hop + 1, tickets: going };
            let _ = next.actor.cast(Message::Run(launch, Work::Items(batch)));
        }
    }
}
