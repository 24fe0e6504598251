//! What others do to a run beside pausing it: look into its quarantine, have faults come back, fill slots.

use std::sync::Arc;

use super::{Handle, Live};
use crate::{
    fault::KEPT_FAULTS,
    quarantine::{Beside, Entry, Filter, ReplayError, ReplayedNow, Store, StoreError, StoreState, Told},
    slots::{Filling, SlotError},
    view::ProblemView,
};

/// Faults that come back at once, at most: their values are in memory until they have come in.
const MOST_REPLAYED: usize = 10_000;

impl Handle {
    /// Has stores begin the run, on a thread that may block.
    pub(super) async fn begin(&self, stores: Vec<Arc<dyn Store>>) -> Result<(), StoreError> {
        if stores.is_empty() {
            return Ok(());
        }
        let (workflow, at) = (self.graph.name().to_owned(), self.clock.started_unix_ms());
        let begin = move || stores.iter().try_for_each(|store| store.begin(&workflow, at));
        tokio::task::spawn_blocking(begin).await.unwrap_or_else(|error| {
            let advice = "this is a fault of Eddyline: please report it".to_owned();
            Err(StoreError { what: format!("the quarantine cannot be opened: {error}"), advice })
        })
    }

    /// Brings one fault back: each of its source records that is kept.
    fn replay_one(&self, live: &Live, fault: &Entry) -> Result<(), ReplayError> {
        let kept = fault.roots.iter().filter_map(|root| Some((&root.source, root.value.as_deref()?)));
        let mut told: Option<Arc<dyn Told>> = None;
        for (source, value) in kept {
            let at = self.graph.replays_at(source).ok_or_else(|| ReplayError::NotKept(source.clone()))?;
            let mut beside = || {
                let told = told.get_or_insert_with(|| match &live.shared.store {
                    Some(store) => store.replayed(fault.id),
                    None => live.shared.faults.replayed(fault.id),
                });
                Beside { brought: None, replay_of: Some(fault.id), told: Some(Arc::clone(told)) }
            };
            at.replay(value, &mut beside)?;
        }
        let source = || fault.roots.first().map_or(&fault.origin, |root| &root.source).clone();
        told.map(|_| ()).ok_or_else(|| ReplayError::NotKept(source()))
    }

    pub(super) fn fill_slot(&self, node: u32, filling: Filling) -> Result<(), SlotError> {
        if self.graph.slots().iter().all(|(slot, _)| *slot != node) {
            return Err(SlotError::NoSuchSlot(node));
        }
        if self.live.get().is_none() || self.over_at.get().is_some() {
            return Err(SlotError::NotRunning);
        }
        self.graph.fill_slot(node, filling)
    }

    pub(super) fn find_faults(&self, filter: &Filter) -> Result<Vec<Entry>, StoreError> {
        let Some(live) = self.live.get() else { return Ok(Vec::new()) };
        match &live.shared.store {
            Some(store) => store.find(filter),
            None => Ok(live.shared.faults.find(filter, self.graph.name(), &live.shared)),
        }
    }

    pub(super) fn replay_faults(&self, filter: &Filter) -> Result<ReplayedNow, ReplayError> {
        let live = self.live.get().filter(|_| self.over_at.get().is_none()).ok_or(ReplayError::NotRunning)?;
        let mut done = ReplayedNow::default();
        let most = filter.most.unwrap_or(MOST_REPLAYED).min(MOST_REPLAYED);
        let filter = Filter { most: Some(most), ..filter.clone() };
        // In the order in which they failed.
        for fault in self.find_faults(&filter)?.iter().rev() {
            match self.replay_one(live, fault) {
                Ok(()) => done.replayed += 1,
                Err(error) => done.refused.push((fault.id, error.to_string())),
            }
        }
        Ok(done)
    }
}

/// What to say of a store into which not all could be written.
pub(super) fn not_written(store: &StoreState) -> Option<ProblemView> {
    let problem = store.problem.as_deref()?;
    Some(ProblemView {
        node: None,
        location: String::new(),
        what: format!("{} faults are not in the quarantine {}: {problem}", store.missing, store.path),
        advice: format!(
            "see that the disk has room and the file can be written; the run goes on, and the first {KEPT_FAULTS} faults \
             are in its report too"
        ),
    })
}
