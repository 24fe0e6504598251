//! Filing a fault: into the run's log, and into its store where it has one.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    data::{Written, short_type_name},
    fate::Fate,
    fault::{FaultKind, Filed, Whence},
    operator::Cx,
    quarantine::{Filing, KeptRoot},
    record::Tag,
    shared::Shared,
};

impl Cx<'_> {
    pub(crate) fn file_fault<T: Serialize>(
        &mut self,
        tag: &Tag,
        kind: FaultKind,
        reason: &str,
        value: Option<&T>,
        from: Whence,
    ) {
        if self.end_if_withdrawn(tag) {
            return;
        }
        let shared = self.shared;
        let at = shared.clock.now();
        let roots = kept_roots(tag, shared);
        let written = value.map(|value| serde_json::to_string(value).map(Box::<str>::from));
        let kept = written.as_ref().map(|written| match written {
            Ok(json) => Written::of(json, 4000),
            Err(error) => Written::unshowable(error),
        });
        let filing = shared.store.as_ref().map(|store| {
            let source = |root| (shared.source_of(root), root.seq());
            let only = || match &from {
                Whence::Root(root) => {
                    let (source, place) = source(*root);
                    vec![KeptRoot { source, place, value: None, replay_of: None }]
                }
                Whence::Place(_) => Vec::new(),
            };
            let filing = Filing {
                number: 0,
                operator: Arc::clone(&self.node.name),
                kind,
                reason: "".into(),
                record: tag.id.to_string(),
                origin: from.named(&|root| shared.origin_of(root)),
                rounds: tag.rounds(),
                at_unix_ms: shared.clock.started_unix_ms() + at.as_millis() as u64,
                type_name: value.map(|_| short_type_name::<T>()).unwrap_or_default(),
                value: written.and_then(Result::ok),
                roots: if roots.is_empty() { only() } else { roots.clone() },
            };
            (store, filing)
        });
        let fault = Filed {
            node: self.node.id,
            operator: Arc::clone(&self.node.name),
            kind,
            record: tag.id,
            from,
            rounds: tag.rounds(),
            value: kept,
            type_name: value.map_or("", |_| std::any::type_name::<T>()),
            roots,
            at,
        };
        if let Some(notes) = &mut self.notes {
            notes.failed(tag.id, kind, reason);
        }
        let (fault, reason) = shared.faults.file(fault, reason);
        if let Some((store, filing)) = filing {
            store.file(Filing { number: fault, reason, ..filing });
        }
        self.end_filed(tag, if kind.is_a_verdict() { Fate::Rejected } else { Fate::Failed }, Some(fault));
    }
}

/// Source records of a fault that are kept with it, at most.
const MOST_ROOTS: usize = 100;

/// The record's source records, where more is known of one than its id, or where a store keeps them all.
fn kept_roots(tag: &Tag, shared: &Shared) -> Vec<KeptRoot> {
    let Some(trail) = tag.trail.as_deref() else { return Vec::new() };
    if shared.store.is_none() && trail.roots.iter().all(|root| root.beside().is_none()) {
        return Vec::new();
    }
    trail.roots.iter().take(MOST_ROOTS).map(|root| root.kept(|id| shared.source_of(id))).collect()
}
