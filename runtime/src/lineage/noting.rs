//! What operators tell of records besides what their [`Cx`] sees itself.

use std::sync::Arc;

use super::{Entry, Lineage, Records, entry::Called};
use crate::{
    batch::Batch,
    data::Data,
    ids::Ids,
    operator::Cx,
    record::{RecordId, Tag},
    serve::CallResult,
};

impl Cx<'_> {
    /// Whether what happens to records is written down.
    pub fn keeps_lineage(&self) -> bool {
        self.notes.is_some()
    }

    /// These records have been taken in.
    pub(crate) fn note_taken_in<T: Data>(&mut self, batch: &Batch<T>) {
        let Some(notes) = &mut self.notes else { return };
        let values = self.shared.lineage.as_ref().is_some_and(|log| log.lineage == Lineage::Values);
        notes.took_in(batch.ids(), if values { batch.values() } else { &[] });
    }

    /// The record was made of these, or is from now on, as a gather's whole is of its parts. What
    /// [`combine`](Self::combine) and [`fork`](Self::fork) make is known already.
    pub fn note_made_of(&mut self, made: &Tag, of: impl IntoIterator<Item = RecordId>) {
        if let Some(notes) = &mut self.notes {
            notes.0.push(Entry::Made { record: made.id, of: of.into_iter().collect() });
        }
    }

    /// The record takes the place of what had been made of `of`.
    pub(crate) fn note_version(&mut self, next: &Tag, version: u32, of: RecordId, because: RecordId) {
        if let Some(notes) = &mut self.notes {
            notes.0.push(Entry::Version { record: next.id, version, of, because });
        }
    }

    /// A handler said something other than that the record may pass: what, in the past tense; why, in words; and how many
    /// rounds the record has spent where it goes, if it was sent back. A rejection is a [`fault`](Self::fault) and known already.
    pub fn note_verdict(&mut self, record: RecordId, verdict: &'static str, why: &str, rounds: u32) {
        if let Some(notes) = &mut self.notes {
            notes.said(record, verdict, why, rounds);
        }
    }

    /// What a model gives for so many items of a record was remembered.
    pub fn note_remembered(&mut self, record: RecordId, items: usize) {
        if let Some(notes) = &mut self.notes {
            notes.0.push(Entry::Remembered { record, items: items as u32 });
        }
    }

    /// A model's call for these records has come back.
    pub fn note_call(&mut self, records: &Ids, items: usize, result: &CallResult) {
        if let Some(notes) = &mut self.notes {
            let call = Called {
                device: Arc::clone(&result.device),
                items: items as u32,
                launches: result.launches,
                waited_us: result.waited_us,
                ran_us: result.ran_us,
            };
            notes.0.push(Entry::Called { ids: Records::of_rows(records), call: Box::new(call) });
        }
    }
}
