//! Lists inside a loop, and the rows that they were made of: when one row is revised the others must not be lost with its list.
//!
//! A list that may come back gets an origin of its own, which is settled when nothing made of the list is inside the loop any
//! more. Until then its rows are kept. When one of them is revised the list is withdrawn, as all that was made of that row, and
//! the others are there to be put into another list.

use std::collections::BTreeMap;

use eddyline_runtime::{
    Data,
    fate::Fate,
    operator::Cx,
    origin::{Change, Notice, Standing},
    ports::Outlet,
    record::{RecordId, Tag, Trail},
};

use crate::at_rest::{ByOrigin, is_withdrawn};

/// Whether what the record was made of may still be revised.
pub(crate) fn is_open(tag: &Tag) -> bool {
    tag.trail.as_deref().is_some_and(|trail| trail.standing() != Standing::Final)
}

/// The lists that may come back, by the number of their origin, with the rows that they were made of.
pub(crate) struct Lists<T> {
    lists: BTreeMap<u64, Vec<(T, Tag)>>,
    by_origin: ByOrigin<u64>,
    rows: usize,
}

impl<T: Data> Lists<T> {
    pub fn new() -> Self {
        Self { lists: BTreeMap::new(), by_origin: ByOrigin::default(), rows: 0 }
    }

    /// How many rows are kept.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Puts out a list of these rows, and keeps them.
    pub fn put(&mut self, rows: Vec<(T, Tag)>, out: &mut Outlet<Vec<T>>, cx: &mut Cx<'_>) {
        let mut kept = Vec::with_capacity(rows.len());
        for (value, tag) in rows {
            // From here on a revision is told of.
            match cx.hold(&tag) {
                Standing::Withdrawn => cx.end(&tag, Fate::Withdrawn),
                _ => kept.push((value, tag)),
            }
        }
        if kept.is_empty() {
            return;
        }
        let values: Vec<T> = kept.iter().map(|(value, _)| value.clone()).collect();
        let mut made = cx.combine(kept.iter_mut().map(|(_, tag)| tag));
        cx.watch(&mut made);
        let Some(list) = made.trail.as_deref().and_then(|trail| trail.marks.last()).map(|mark| mark.origin())
        else {
            return;
        };
        // One of the rows may be revised by now: then the list is withdrawn, and the notice of the row is on its way.
        cx.hold(&made);
        self.by_origin.add(&made, list);
        for (_, tag) in &kept {
            cx.park(tag);
        }
        self.rows += kept.len();
        self.lists.insert(list, kept);
        out.put_one(values, made, cx);
    }

    /// Lets go of the rows of lists that cannot come back, and gives back those whose list is withdrawn and which still stand.
    pub fn notice(&mut self, notices: &[Notice], cx: &mut Cx<'_>) -> Vec<(T, Tag)> {
        let mut again = Vec::new();
        for (list, _) in self.by_origin.told(notices) {
            let Some(rows) = self.lists.get(&list) else { continue };
            let withdrawn = rows.iter().any(|(_, tag)| is_withdrawn(tag));
            let settled = |notice: &Notice| notice.origin() == list && notice.change == Change::Settled;
            if !withdrawn && !notices.iter().any(settled) {
                continue;
            }
            for (value, tag) in self.lists.remove(&list).unwrap_or_default() {
                self.rows -= 1;
                cx.unpark(&tag);
                match () {
                    () if is_withdrawn(&tag) => cx.end(&tag, Fate::Withdrawn),
                    () if withdrawn => again.push((value, tag)),
                    () => cx.end(&tag, Fate::Absorbed),
                }
            }
        }
        again
    }

    pub fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        for (_, tag) in self.lists.values().flatten() {
            visit(tag.id, tag.trail.as_deref());
        }
    }
}
