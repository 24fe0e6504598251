//! How a history is put together from what a run has kept.
//!
//! Twice through the steps: backwards, to find what the record was made of (what made a record stands before all that was
//! made of it), then forwards, to gather what happened to each of these.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{Entry, History, Life, Lineage, Records, What, history::Event, log::Step};
use crate::{
    clock::Moment,
    fate::Fate,
    record::RecordId,
    shared::Shared,
    view::{GraphView, NodeView, Role},
};

/// Records of one history, at most.
const MOST: usize = 1000;

/// What a run has kept of its records: ask it about one.
#[derive(Clone)]
pub struct Histories {
    shared: Arc<Shared>,
    graph: GraphView,
}

impl std::fmt::Debug for Histories {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "lineage of {}: {}, {} bytes", self.graph.workflow, self.lineage(), self.bytes())
    }
}

impl Histories {
    pub(crate) fn new(shared: Arc<Shared>, graph: GraphView) -> Self {
        Self { shared, graph }
    }

    /// How much is written down.
    pub fn lineage(&self) -> Lineage {
        self.shared.lineage.as_ref().map_or(Lineage::Off, |log| log.lineage)
    }

    /// About the memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.shared.lineage.as_ref().map_or(0, |log| log.bytes())
    }

    /// What happened to a record and to all that it was made of. Of one that was forgotten, that never was, or where lineage is
    /// off, nothing is known, and the history says so.
    ///
    /// It looks through all that is kept, about 10 ms for 64 MiB; the run waits for a small part of that.
    pub fn of(&self, record: RecordId) -> History {
        let (steps, since) = self.shared.lineage.as_ref().map(|log| log.steps()).unwrap_or_default();
        let found = Found::ancestors_of(record, &steps);
        let lives = found.order.iter().map(|&record| Life {
            record,
            name: self.shared.name_of(record),
            is_root: self.is_root(record),
            is_cause: found.known.get(&record).is_some_and(|made_of| !made_of),
            events: Vec::new(),
        });
        let mut reading = Reading::new(lives.collect(), &self.graph.nodes);
        steps.iter().for_each(|step| reading.read(step));
        History {
            record,
            lineage: self.lineage(),
            since_us: since.map(micros),
            lives: reading.finish(),
            left_out: found.left_out.len(),
        }
    }

    fn is_root(&self, record: RecordId) -> bool {
        let node = record.source().and_then(|node| self.graph.nodes.get(node as usize));
        node.is_some_and(|node| node.role == Role::Source)
    }
}

fn micros(at: Moment) -> u64 {
    at.as_micros() as u64
}

/// The records of a history.
struct Found {
    /// And whether the one that was asked for was made of it.
    known: HashMap<RecordId, bool>,
    /// In the order in which they were found.
    order: Vec<RecordId>,
    left_out: HashSet<RecordId>,
}

impl Found {
    fn ancestors_of(record: RecordId, steps: &[Arc<Step>]) -> Self {
        let mut found =
            Self { known: HashMap::from([(record, true)]), order: vec![record], left_out: HashSet::new() };
        for entry in steps.iter().rev().flat_map(|step| step.entries.iter().rev()) {
            match entry {
                Entry::Forked(pairs) => {
                    for (child, of) in pairs.iter().rev() {
                        found.add(*child, &[*of], true);
                    }
                }
                Entry::Made { record, of } => found.add(*record, of, true),
                Entry::Version { record, of, because, .. } => {
                    found.add(*record, &[*of], true);
                    found.add(*record, &[*because], false);
                }
                _ => {}
            }
        }
        found
    }

    /// If `child` is one of them, so are these.
    fn add(&mut self, child: RecordId, parents: &[RecordId], made_of: bool) {
        let Some(&child_is) = self.known.get(&child) else { return };
        for parent in parents {
            if let Some(known) = self.known.get_mut(parent) {
                *known |= child_is && made_of;
            } else if self.order.len() < MOST {
                self.known.insert(*parent, child_is && made_of);
                self.order.push(*parent);
            } else {
                self.left_out.insert(*parent);
            }
        }
    }
}

/// Gathers what happened to some records.
struct Reading<'g> {
    nodes: &'g [NodeView],
    places: HashMap<RecordId, usize>,
    lives: Vec<Life>,
}

impl<'g> Reading<'g> {
    fn new(lives: Vec<Life>, nodes: &'g [NodeView]) -> Self {
        let places = lives.iter().enumerate().map(|(place, life)| (life.record, place)).collect();
        Self { nodes, places, lives }
    }

    fn read(&mut self, step: &Step) {
        for entry in &step.entries {
            match entry {
                Entry::Entered { first, count } => {
                    for record in self.wanted_among(*first, *count) {
                        self.tell(step, record, What::Entered);
                    }
                }
                Entry::In { ids, values } => {
                    for (place, record) in self.wanted(ids) {
                        self.tell(step, record, What::TakenIn);
                        let value = values.get(place).map(|value| value.pictured());
                        if let Some(event) = self.last(record) {
                            event.value = value;
                        }
                    }
                }
                Entry::Forked(pairs) => {
                    for (record, of) in pairs {
                        self.tell(step, *record, What::Made { of: vec![*of] });
                        self.tell(step, *of, What::WentInto { record: *record });
                    }
                }
                Entry::Made { record, of } => {
                    self.tell(step, *record, What::Made { of: of.to_vec() });
                    for of in of {
                        self.tell(step, *of, What::WentInto { record: *record });
                    }
                }
                Entry::Version { record, version, of, because } => {
                    let what = What::Version { version: *version, of: *of, because: *because };
                    self.tell(step, *record, what);
                    self.tell(step, *because, What::WentInto { record: *record });
                }
                Entry::Said { ids, verdict, why, rounds } => {
                    let rounds = (*rounds > 0).then_some(*rounds);
                    for (_, record) in self.wanted(ids) {
                        self.tell(step, record, What::Judged { verdict, why: why.to_string(), rounds });
                    }
                }
                Entry::Failed { record, kind, reason } => {
                    self.tell(step, *record, What::Failed { kind: *kind, reason: reason.to_string() });
                }
                Entry::Remembered { record, items } => {
                    self.tell(step, *record, What::Remembered { items: *items });
                }
                Entry::Called { ids, call } => {
                    for (_, record) in self.wanted(ids) {
                        let what = What::Called {
                            device: call.device.to_string(),
                            items: call.items,
                            launches: call.launches,
                            waited_us: call.waited_us,
                            ran_us: call.ran_us,
                        };
                        self.tell(step, record, what);
                    }
                }
                Entry::Ended { ids, fate } => {
                    for (_, record) in self.wanted(ids) {
                        self.end(step, record, *fate);
                    }
                }
                Entry::Withdrawn(record) => self.tell(step, *record, What::Withdrawn),
            }
        }
    }

    /// Those of these records that are wanted, with their places.
    fn wanted(&self, ids: &Records) -> Vec<(usize, RecordId)> {
        if ids.count() > self.lives.len() {
            let lives = self.lives.iter().map(|life| life.record);
            return lives.filter_map(|record| Some((ids.place_of(record)?, record))).collect();
        }
        ids.all().into_iter().enumerate().filter(|(_, id)| self.places.contains_key(id)).collect()
    }

    /// Those wanted of so many consecutive records.
    fn wanted_among(&self, first: RecordId, count: usize) -> Vec<RecordId> {
        let lives = self.lives.iter().map(|life| life.record);
        lives.filter(|record| record.distance(first).is_some_and(|place| place < count)).collect()
    }

    fn last(&mut self, record: RecordId) -> Option<&mut Event> {
        self.lives[*self.places.get(&record)?].events.last_mut()
    }

    fn tell(&mut self, step: &Step, record: RecordId, what: What) {
        let Some(&place) = self.places.get(&record) else { return };
        let node = self.nodes.get(step.node as usize);
        let operator = node.map(|node| node.name.clone()).unwrap_or_default();
        let at_us = micros(step.at);
        self.lives[place].events.push(Event {
            at_us,
            node: step.node,
            operator,
            what,
            value: None,
            after: None,
        });
    }

    /// What failed has been told to have ended.
    fn end(&mut self, step: &Step, record: RecordId, fate: Fate) {
        let has_failed = self.last(record).is_some_and(|event| matches!(event.what, What::Failed { .. }));
        if !(has_failed && matches!(fate, Fate::Rejected | Fate::Failed)) {
            self.tell(step, record, What::Ended { fate });
        }
    }

    fn finish(self) -> Vec<Life> {
        let Self { nodes, mut lives, .. } = self;
        let is_handler = |node: u32| nodes.get(node as usize).is_some_and(|node| node.role == Role::Handler);
        for life in &mut lives {
            let events = std::mem::take(&mut life.events);
            let mut events = events.into_iter().peekable();
            while let Some(mut event) = events.next() {
                let taken_in = event.what == What::TakenIn;
                let next = events.peek().filter(|next| next.node == event.node);
                let says_more = |what: &What| {
                    matches!(what, What::Judged { .. } | What::Failed { .. } | What::Ended { .. })
                };
                if taken_in && next.is_some_and(|next| says_more(&next.what)) {
                    // What became of it there says that it came there.
                    if let Some(next) = events.peek_mut() {
                        next.value = event.value.take();
                    }
                    continue;
                }
                if taken_in && is_handler(event.node) {
                    event.what = What::Judged { verdict: "passed", why: String::new(), rounds: None };
                }
                life.events.push(event);
            }
            let mut after = None;
            for event in life.events.iter_mut().rev() {
                event.after = event.value.as_ref().and(after.clone());
                after = event.value.clone().or(after);
            }
        }
        lives
    }
}
