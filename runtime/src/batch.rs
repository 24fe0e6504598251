//! A batch: what travels on an edge. Columns, so that an operator that needs only values touches only values.

use std::{sync::Arc, vec};

use crate::{
    ids::{Ids, IntoIds},
    record::{RecordId, Tag, Trail},
};

/// Most rows that an operator is given at once and that an outlet sends at once.
pub const MAX_ROWS: usize = 1024;

/// Some records of one type.
#[derive(Debug)]
pub struct Batch<T> {
    values: Vec<T>,
    ids: Ids,
    /// As long as the others, or empty where no row carries anything.
    trails: Vec<Option<Arc<Trail>>>,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { values: Vec::new(), ids: Ids::default(), trails: Vec::new() }
    }
}

impl<T> Batch<T> {
    /// An empty batch with room for `rows`.
    pub fn with_capacity(rows: usize) -> Self {
        Self { values: Vec::with_capacity(rows), ids: Ids::with_capacity(rows), trails: Vec::new() }
    }

    /// Source records: these values with these ids.
    pub fn of_source(values: Vec<T>, ids: impl Into<Ids>) -> Self {
        let ids = ids.into();
        debug_assert_eq!(values.len(), ids.len());
        Self { values, ids, trails: Vec::new() }
    }

    /// Every row carries the same along.
    pub fn carrying(mut self, trail: Option<Arc<Trail>>) -> Self {
        self.trails = trail.map_or_else(Vec::new, |trail| vec![Some(trail); self.values.len()]);
        self
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The values.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// Who the record in row `i` is.
    pub fn tag(&self, i: usize) -> Tag {
        Tag { id: self.ids.get(i), trail: self.trails.get(i).cloned().flatten() }
    }

    /// Whether no row carries anything along.
    pub fn is_plain(&self) -> bool {
        self.trails.is_empty()
    }

    /// Whether some row was made of what may be, or might have been, revised.
    pub fn carries_marks(&self) -> bool {
        self.trails.iter().flatten().any(|trail| !trail.marks.is_empty())
    }

    /// Which record each row is.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Adds a row.
    pub fn push(&mut self, value: T, tag: Tag) {
        if tag.trail.is_some() && self.trails.is_empty() {
            // Values of no size have room without end.
            self.trails.reserve(self.ids.capacity());
            self.trails.resize(self.values.len(), None);
        }
        if tag.trail.is_some() || !self.trails.is_empty() {
            self.trails.push(tag.trail);
        }
        self.values.push(value);
        self.ids.push(tag.id);
    }

    /// Adds the rows of `other`.
    pub fn append(&mut self, other: Batch<T>) {
        let (values, tags) = other.into_parts();
        self.append_parts([values], tags);
    }

    /// Adds rows whose values lie in several lists.
    pub fn append_parts(&mut self, values: impl IntoIterator<Item = Vec<T>>, mut tags: Tags) {
        if !(self.trails.is_empty() && tags.trails.is_empty()) {
            self.trails.resize(self.ids.len(), None);
            tags.trails.resize(tags.ids.len(), None);
            self.trails.append(&mut tags.trails);
        }
        values.into_iter().for_each(|mut values| self.values.append(&mut values));
        self.ids.append(tags.ids);
        debug_assert_eq!(self.values.len(), self.ids.len());
    }

    /// Keeps the first `rows` and gives back the others.
    pub fn split_off(&mut self, rows: usize) -> Batch<T> {
        Batch {
            values: self.values.split_off(rows),
            ids: self.ids.split_off(rows),
            trails: if self.trails.is_empty() { Vec::new() } else { self.trails.split_off(rows) },
        }
    }

    /// Divides the rows: those whose flag is set, and the others.
    pub fn partition(mut self, flags: &[bool]) -> (Batch<T>, Batch<T>) {
        debug_assert_eq!(flags.len(), self.len());
        let set = flags.iter().filter(|&&flag| flag).count();
        if set == flags.len() {
            return (self, Batch::default());
        }
        let mut others = Batch::with_capacity(flags.len() - set);
        others.values.extend(unflagged(&mut self.values, flags));
        self.ids.iter().zip(flags).filter(|(_, flag)| !**flag).for_each(|(id, _)| others.ids.push(id));
        self.ids.retain(flags);
        if !self.trails.is_empty() {
            others.trails.reserve(flags.len() - set);
            others.trails.extend(unflagged(&mut self.trails, flags));
        }
        (self, others)
    }

    /// What each row carries along; empty where no row carries anything.
    pub(crate) fn trails(&self) -> &[Option<Arc<Trail>>] {
        &self.trails
    }

    /// The same, to be changed.
    pub(crate) fn trails_mut(&mut self) -> &mut [Option<Arc<Trail>>] {
        &mut self.trails
    }

    /// Takes the batch apart: values, and the rows' identities.
    pub fn into_parts(self) -> (Vec<T>, Tags) {
        (self.values, Tags { ids: self.ids, trails: self.trails })
    }

    /// Puts a batch together; `tags` must be as many as `values`.
    pub fn from_parts(values: Vec<T>, tags: Tags) -> Self {
        debug_assert_eq!(values.len(), tags.ids.len());
        Self { values, ids: tags.ids, trails: tags.trails }
    }

    /// The rows, by value.
    pub fn into_rows(self) -> impl Iterator<Item = (T, Tag)> {
        let (values, tags) = self.into_parts();
        values.into_iter().zip(tags)
    }

    /// Looks at every row's identity.
    pub fn visit_tags(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        for (i, id) in self.ids.iter().enumerate() {
            visit(id, self.trails.get(i).and_then(Option::as_deref));
        }
    }
}

impl<T: Clone> Clone for Batch<T> {
    fn clone(&self) -> Self {
        Self { values: self.values.clone(), ids: self.ids.clone(), trails: self.trails.clone() }
    }
}

/// The identities of a batch's rows.
#[derive(Debug, Default)]
pub struct Tags {
    ids: Ids,
    trails: Vec<Option<Arc<Trail>>>,
}

impl Tags {
    /// Rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether no row carries anything along.
    pub fn is_plain(&self) -> bool {
        self.trails.is_empty()
    }

    /// Which record each row is.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Keeps the first `rows` and gives back the others.
    pub fn split_off(&mut self, rows: usize) -> Self {
        Self {
            ids: self.ids.split_off(rows),
            trails: if self.trails.is_empty() { Vec::new() } else { self.trails.split_off(rows) },
        }
    }

    /// The identity of row `i`.
    pub fn get(&self, i: usize) -> Tag {
        Tag { id: self.ids.get(i), trail: self.trails.get(i).cloned().flatten() }
    }

    /// What row `i` carries along.
    #[inline]
    pub fn trail(&self, i: usize) -> Option<&Trail> {
        self.trails.get(i).and_then(Option::as_deref)
    }

    /// The identity of row `i`, which must not be kept.
    pub fn take(&mut self, i: usize) -> Tag {
        Tag { id: self.ids.get(i), trail: self.trails.get_mut(i).and_then(Option::take) }
    }

    /// Keeps the rows whose flag is set.
    pub fn retain(&mut self, flags: &[bool]) {
        debug_assert_eq!(flags.len(), self.len());
        self.ids.retain(flags);
        if !self.trails.is_empty() {
            retain(&mut self.trails, flags);
        }
    }

    /// Removes the rows named by `gone` (ascending) and gives back their identities.
    pub fn remove(&mut self, gone: &[usize]) -> Vec<Tag> {
        let removed = gone.iter().map(|&i| self.get(i)).collect();
        let mut next = gone.iter().peekable();
        let mut keep = Vec::with_capacity(self.ids.len());
        for i in 0..self.ids.len() {
            let goes = next.next_if(|&&g| g == i).is_some();
            keep.push(!goes);
        }
        self.retain(&keep);
        removed
    }
}

/// Takes out what has no flag.
fn unflagged<'c, T>(column: &'c mut Vec<T>, flags: &'c [bool]) -> impl Iterator<Item = T> + use<'c, T> {
    let mut next = flags.iter();
    column.extract_if(.., move |_| !next.next().copied().unwrap_or(true))
}

fn retain<T>(column: &mut Vec<T>, keep: &[bool]) {
    let mut flags = keep.iter();
    column.retain(|_| flags.next().copied().unwrap_or(true));
}

impl IntoIterator for Tags {
    type Item = Tag;
    type IntoIter = IntoTags;

    fn into_iter(self) -> IntoTags {
        IntoTags { ids: self.ids.into_iter(), trails: self.trails.into_iter() }
    }
}

/// The identities of a batch's rows, by value.
#[derive(Debug)]
pub struct IntoTags {
    ids: IntoIds,
    /// At its end at once where no row carries anything.
    trails: vec::IntoIter<Option<Arc<Trail>>>,
}

impl Iterator for IntoTags {
    type Item = Tag;

    fn next(&mut self) -> Option<Tag> {
        Some(Tag { id: self.ids.next()?, trail: self.trails.next().flatten() })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ids.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(values: std::ops::Range<u64>) -> Batch<u64> {
        let ids: Vec<_> = values.clone().map(|i| RecordId::of_source(0, i)).collect();
        Batch::of_source(values.collect(), ids)
    }

    #[test]
    fn trails_appear_only_where_a_row_needs_one() {
        let mut batch = plain(0..2);
        assert!(batch.is_plain());
        let mut tag = Tag::plain(RecordId::of_source(0, 2));
        tag.trail_mut().spend_round(0);
        batch.push(2, tag);
        assert_eq!(batch.tag(1).rounds(), 0);
        assert_eq!(batch.tag(2).rounds(), 1);
    }

    #[test]
    fn rows_of_no_size_may_carry_something() {
        let mut batch = Batch::<()>::default();
        let mut tag = Tag::plain(RecordId::of_source(0, 0));
        tag.trail_mut().spend_round(0);
        batch.push((), tag);
        assert_eq!((batch.len(), batch.tag(0).rounds()), (1, 1));
    }

    #[test]
    fn cutting_and_joining_keep_every_row() {
        let mut front = plain(0..5);
        let back = front.split_off(2);
        assert_eq!((front.len(), back.len()), (2, 3));
        front.append(back);
        let rows: Vec<_> = front.into_rows().map(|(v, tag)| (v, tag.id.seq())).collect();
        assert_eq!(rows, (0..5).map(|i| (i, i)).collect::<Vec<_>>());
    }

    #[test]
    fn removed_rows_are_given_back() {
        let (_, mut tags) = plain(0..5).into_parts();
        let gone: Vec<_> = tags.remove(&[1, 3]).into_iter().map(|t| t.id.seq()).collect();
        assert_eq!(gone, [1, 3]);
        assert_eq!(tags.into_iter().map(|t| t.id.seq()).collect::<Vec<_>>(), [0, 2, 4]);
    }
}
