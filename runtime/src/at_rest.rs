//! Rows at rest: the index by origin that joins, gathers and sinks share, to find those that a [`Notice`] is about.

use std::collections::HashMap;

use crate::{
    operator::Cx,
    origin::{Change, Mark, Notice, Standing},
    record::Tag,
    sync::{Rule, holds},
};

/// Finds the rows that a notice is about.
///
/// Under each origin the rows that carry it, with the version that they were made from.
#[derive(Debug)]
pub struct ByOrigin<K>(HashMap<u64, Vec<(u32, K)>>);

impl<K> Default for ByOrigin<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Clone> ByOrigin<K> {
    /// Has the operator told of what becomes of a row ([`Cx::hold`]), remembers the row under each origin that is open, and
    /// says how it stands. One that is withdrawn is not remembered, and is to be ended at once.
    ///
    /// Another actor may settle an origin between the two. So a row is provisional only if it is remembered: then a notice
    /// is still to come that finds it. One that is remembered under no origin is final by now, and would wait for ever.
    pub fn hold(&mut self, tag: &Tag, row: K, cx: &mut Cx<'_>) -> Standing {
        match cx.hold(tag) {
            Standing::Provisional if self.add(tag, row) || !holds(Rule::RowsThatWaitAreFound) => {
                Standing::Provisional
            }
            Standing::Withdrawn => Standing::Withdrawn,
            _ => Standing::Final,
        }
    }

    /// Remembers a row of which the operator is told already under each origin that is open. Says whether one is.
    pub fn add(&mut self, tag: &Tag, row: K) -> bool {
        let mut any = false;
        for mark in tag.trail.iter().flat_map(|trail| &trail.marks) {
            any |= self.add_mark(mark, row.clone());
        }
        any
    }

    /// Remembers a row of which the operator is told already under one origin, if that is open. Says whether it is.
    pub fn add_mark(&mut self, mark: &Mark, row: K) -> bool {
        let is_open = mark.standing() != Standing::Final;
        if is_open {
            self.0.entry(mark.origin()).or_default().push((mark.version(), row));
        }
        is_open
    }

    /// The rows made from older versions of what a new row was made of.
    pub fn outdated_by(&mut self, tag: &Tag) -> Vec<K> {
        let mut rows = Vec::new();
        for mark in tag.trail.iter().flat_map(|trail| &trail.marks) {
            if let Some(listed) = self.0.get_mut(&mark.origin()) {
                rows.extend(
                    listed.extract_if(.., |(version, _)| *version < mark.version()).map(|(_, row)| row),
                );
            }
        }
        rows
    }

    /// The rows under the origins that these notices are about, which are then forgotten. A row may be gone by now, or stand
    /// under several.
    pub fn told(&mut self, notices: &[Notice]) -> Vec<(K, Change)> {
        let mut rows = Vec::new();
        for notice in notices {
            let Some(listed) = self.0.get_mut(&notice.origin()) else { continue };
            rows.extend(
                listed
                    .extract_if(.., |(version, _)| notice.is_about(*version))
                    .map(|(_, row)| (row, notice.change)),
            );
            if listed.is_empty() {
                self.0.remove(&notice.origin());
            }
        }
        rows
    }
}
