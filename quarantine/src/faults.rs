//! Looking into a file: some of its faults, and what of them a replay begins with.

use std::{collections::BTreeSet, ops::Deref, path::PathBuf};

use eddyline_runtime::quarantine::{Entry, Filter, StoreError};

use crate::{file, find};

/// A quarantine file, to be looked into. A run may fill it at the same time.
#[derive(Clone, Debug)]
pub struct Quarantine {
    path: PathBuf,
}

impl Quarantine {
    /// A file that a workflow with `.quarantine(path)` has written.
    ///
    /// # Errors
    /// There is none, or it is something else.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        file::open(&path)?;
        Ok(Self { path })
    }

    /// The faults that fit, oldest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn faults(&self, filter: &Filter) -> Result<Faults, StoreError> {
        let mut entries = find::find(&self.path, &file::open(&self.path)?, filter)?;
        entries.reverse();
        Ok(Faults { path: self.path.clone(), entries, source: None })
    }

    /// How many faults there are of each operator, kind and reason, most frequent first.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn by_reason(&self, filter: &Filter) -> Result<Vec<(String, String, String, u64)>, StoreError> {
        find::by_reason(&self.path, &file::open(&self.path)?, filter)
    }
}

/// Some faults of a quarantine, oldest first. Reads like a slice of [`Entry`].
#[derive(Clone, Debug)]
pub struct Faults {
    path: PathBuf,
    entries: Vec<Entry>,
    /// Whose values are replayed; none: those that the operators were given.
    source: Option<String>,
}

impl Faults {
    /// The file that they are from.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The same, to be replayed from what this source brought instead of what the operator was given. That is kept where the
    /// source is `.replayable()`.
    pub fn at_source(mut self, source: &str) -> Self {
        self.entries.retain(|entry| entry.roots.iter().any(|root| root.source == source));
        Self { source: Some(source.to_owned()), ..self }
    }

    /// The places in this source, from 0, of the records that they descend from: where a source can be read again, all that a
    /// replay needs.
    pub fn places(&self, source: &str) -> BTreeSet<u64> {
        let roots = self.entries.iter().flat_map(|entry| &entry.roots);
        roots.filter(|root| root.source == source).map(|root| root.place).collect()
    }

    /// What a replay begins with: each fault's number and value, as JSON; none where nothing was kept. At a source each of its
    /// records comes once, however many faults descend from it.
    pub fn values(&self) -> Vec<(u64, Option<Box<str>>)> {
        let Some(source) = &self.source else {
            return self.entries.iter().map(|entry| (entry.id, entry.value.clone())).collect();
        };
        let mut seen = BTreeSet::new();
        let mut values = Vec::new();
        for entry in &self.entries {
            for root in entry.roots.iter().filter(|root| root.source == *source) {
                if seen.insert((entry.run, root.place)) {
                    values.push((entry.id, root.value.clone()));
                }
            }
        }
        values
    }
}

impl Deref for Faults {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        &self.entries
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Entry;
    type IntoIter = std::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}
