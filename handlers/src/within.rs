//! A deadline: a handler that takes too long does not hold up the stream.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use serde::de::Error;
use serde_json::Value;

use crate::{Handler, Seen, Verdict};

/// See [`Handler::within`].
pub struct Within<T, H: Handler<T>> {
    limit: Duration,
    reject: bool,
    late: u64,
    handler: Arc<Mutex<H>>,
    worker: Option<Worker<T, H::Retry>>,
}

/// The thread on which the handler judges.
struct Worker<T, R> {
    values: SyncSender<(T, Seen)>,
    verdicts: Receiver<thread::Result<Verdict<T, R>>>,
    /// It still judges a value whose time is up.
    is_late: bool,
}

impl<T, H> Within<T, H>
where
    T: Clone + Send + 'static,
    H: Handler<T, Retry: Send + Sync + 'static>,
{
    pub(crate) fn new(handler: H, limit: Duration) -> Self {
        Self { limit, reject: false, late: 0, handler: Arc::new(Mutex::new(handler)), worker: None }
    }

    /// Rejects a record that it does not judge in time, where it would abstain.
    ///
    /// ```
    /// use std::{thread, time::Duration};
    /// use eddyline_handlers::{Handler, NoLoop, Seen, Verdict, by, testing};
    ///
    /// let asleep = by(|_: &i32, _: &Seen| -> Verdict<i32> {
    ///     thread::sleep(Duration::from_secs(60));
    ///     Verdict::Pass
    /// });
    /// let said = testing::judge(asleep.within(Duration::from_millis(5)).or_reject(), [1]);
    /// assert_eq!(said, [Verdict::reject("was not judged within 5ms")]);
    /// ```
    #[must_use]
    pub fn or_reject(self) -> Self {
        Self { reject: true, ..self }
    }

    /// The verdict of the handler; none where it gives none in time.
    fn ask(&mut self, value: &T, seen: &Seen) -> Option<Verdict<T, H::Retry>> {
        if self.worker.is_none() {
            // Where there is no thread to be had, nobody judges.
            self.worker = Worker::start(Arc::clone(&self.handler)).ok();
        }
        let worker = self.worker.as_mut()?;
        if worker.is_late {
            match worker.verdicts.try_recv() {
                // What it says of a record that has gone on is of no use.
                Ok(_) => worker.is_late = false,
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => {
                    self.worker = None;
                    return None;
                }
            }
        }
        let sent = worker.values.try_send((value.clone(), *seen));
        match sent
            .map_err(|_| RecvTimeoutError::Disconnected)
            .and_then(|()| worker.verdicts.recv_timeout(self.limit))
        {
            Ok(Ok(verdict)) => Some(verdict),
            // As if it had been on this thread.
            Ok(Err(panicked)) => panic::resume_unwind(panicked),
            Err(RecvTimeoutError::Timeout) => {
                worker.is_late = true;
                None
            }
            Err(RecvTimeoutError::Disconnected) => {
                self.worker = None;
                None
            }
        }
    }
}

impl<T: Send + 'static, R: Send + Sync + 'static> Worker<T, R> {
    /// Ends when what it belongs to is dropped, but not before the handler has come back.
    fn start(handler: Arc<Mutex<impl Handler<T, Retry = R>>>) -> std::io::Result<Self> {
        let (values, judged) = mpsc::sync_channel::<(T, Seen)>(1);
        let (say, verdicts) = mpsc::sync_channel(1);
        thread::Builder::new().name("handler".to_owned()).spawn(move || {
            for (value, seen) in judged {
                let judge = AssertUnwindSafe(|| handler.lock().judge(&value, &seen));
                if say.send(panic::catch_unwind(judge)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { values, verdicts, is_late: false })
    }
}

impl<T, H> Handler<T> for Within<T, H>
where
    T: Clone + Send + 'static,
    H: Handler<T, Retry: Send + Sync + 'static>,
{
    type Retry = H::Retry;

    fn judge(&mut self, value: &T, seen: &Seen) -> Verdict<T, H::Retry> {
        self.ask(value, seen).unwrap_or_else(|| {
            self.late += 1;
            match self.reject {
                true => Verdict::Reject(format!("was not judged within {:?}", self.limit)),
                false => Verdict::Abstain,
            }
        })
    }

    fn late(&self) -> u64 {
        self.late
    }

    /// None while it is late: what it has learned is with its thread.
    fn state(&self) -> Option<Value> {
        self.handler.try_lock()?.state()
    }

    fn restore(&mut self, state: Value) -> Result<(), serde_json::Error> {
        let handler = self.handler.try_lock();
        handler.ok_or_else(|| serde_json::Error::custom("the handler is late; try again"))?.restore(state)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Breaker, BreakerState, Budget, Chain, Check, Meter, NoLoop, by, stateful, testing::judge};

    /// Time that is never up, and time that always is, where the handler waits for the test.
    const AGES: Duration = Duration::from_secs(600);
    const NONE: Duration = Duration::from_millis(1);

    /// Judges a value once it is let.
    fn waits(go: Receiver<()>) -> impl Handler<i32, Retry = NoLoop> {
        by(move |n: &i32, _: &Seen| {
            let _ = go.recv();
            Verdict::Replace(n + 1)
        })
    }

    #[test]
    fn in_time_it_says_what_it_says() {
        let make = || Check::new().range("n", |n: &i32| *n, ..3).or_reject();
        let within = judge(make().within(AGES), 0..6);
        assert_eq!(within, judge(make(), 0..6));
    }

    #[test]
    fn while_it_is_late_nobody_waits_and_then_it_is_asked_again() {
        let (go, wait) = mpsc::sync_channel(1);
        let mut handler = waits(wait).within(NONE);
        let seen = Seen::default();
        for late in 1..=3 {
            assert_eq!(handler.judge(&1, &seen), Verdict::Abstain);
            assert_eq!(handler.late(), late);
        }
        go.send(()).unwrap();
        // What it says of the first record comes too late; of a later one it is asked again, for longer.
        handler.limit = AGES;
        drop(go);
        let again =
            std::iter::repeat_with(|| handler.judge(&4, &seen)).find(|said| *said != Verdict::Abstain);
        assert_eq!(again, Some(Verdict::Replace(5)));
    }

    #[test]
    fn a_late_record_is_rejected_where_that_is_asked_for() {
        let (_go, wait) = mpsc::sync_channel(1);
        assert_eq!(
            judge(waits(wait).within(NONE).or_reject(), [1, 2]),
            [Verdict::reject("was not judged within 1ms"), Verdict::reject("was not judged within 1ms")]
        );
    }

    #[test]
    fn whoever_is_around_it_knows_how_often_it_was_late() {
        let (_go, wait) = mpsc::sync_channel(1);
        let (meter, budget) = (Meter::new("slow"), Budget::of(9));
        let breaker = Breaker::over(2).late_at_most(0.5);
        let slow = waits(wait).within(NONE).budget(&budget).metered(&meter).breaker(&breaker);
        let mut chain = Chain::new().then(slow);
        for n in 0..5 {
            assert_eq!(chain.judge(&n, &Seen::default()), Verdict::Abstain);
        }
        assert_eq!((breaker.state(), breaker.trips()), (BreakerState::Open, 1));
        assert_eq!(breaker.last_trip().as_deref(), Some("late for 2 of 2 records, more than 0.5"));
        assert_eq!((chain.late(), meter.read().late, meter.read().seen), (2, 2, 2), "then it is not asked");
        assert!(crate::MeterReport::of([meter.read()]).to_string().contains("| late |"));
    }

    #[test]
    fn a_panic_is_that_of_its_record() {
        let mut handler = by(|n: &i32, _: &Seen| -> Verdict<i32> {
            assert!(*n != 2, "two");
            Verdict::Pass
        })
        .within(AGES);
        let mut judge = |n| panic::catch_unwind(AssertUnwindSafe(|| handler.judge(&n, &Seen::default())));
        assert_eq!(judge(1).unwrap(), Verdict::Pass);
        assert_eq!(judge(2).unwrap_err().downcast_ref::<&str>(), Some(&"two"));
        assert_eq!(judge(3).unwrap(), Verdict::Pass);
    }

    #[test]
    fn what_it_has_learned_is_handed_on_unless_it_is_late() {
        let (go, wait) = mpsc::sync_channel::<()>(1);
        let make = |wait: Option<Receiver<()>>| {
            stateful(0, move |sum: &mut i32, n: &i32, _: &Seen| -> Verdict<i32> {
                *sum += n;
                if let Some(wait) = &wait {
                    let _ = wait.recv();
                }
                Verdict::Replace(*sum)
            })
        };
        let mut first = make(None).within(AGES);
        first.judge(&3, &Seen::default());
        assert_eq!(first.state(), Some(json!(3)));
        let mut second = make(Some(wait)).within(NONE);
        second.restore(json!(3)).unwrap();
        // The first record that it is late with: it may not have begun with it before.
        second.judge(&4, &Seen::default());
        while second.handler.try_lock().is_some() {
            thread::yield_now();
        }
        assert_eq!(second.state(), None);
        assert!(second.restore(json!(0)).unwrap_err().to_string().contains("is late"));
        drop(go);
    }
}
