//! Oscillation: a record that comes back to a feedback with a value that it had there before would go round in circles.
//!
//! Of each origin the hashes of its values so far are kept, in order of its versions, until nobody can revise it any more. A
//! hash has 64 bits: that two values of one record have the same by chance is not a matter of concern.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hasher},
    io,
};

use eddyline_runtime::{
    Data,
    operator::Cx,
    origin::{Change, Mark, Notice, Standing},
    record::{FeedbackId, Tag},
};

/// What the records of a feedback point have been there, by origin.
#[derive(Default)]
pub(crate) struct Had(HashMap<u64, Vec<Option<u64>>>);

impl Had {
    /// The record has come to the point with this value; its last mark is that of the point.
    pub fn add<T: Data>(&mut self, value: &T, tag: &Tag, cx: &mut Cx<'_>) {
        let Some(mark) = tag.trail.as_deref().and_then(|trail| trail.marks.last()) else { return };
        if cx.hold(tag) == Standing::Withdrawn {
            // The next who meets the record ends it, and nobody would tell that its origin is settled.
            self.0.remove(&mark.origin());
            return;
        }
        self.0.entry(mark.origin()).or_default().push(hash(value));
    }

    /// Why a record that was sent back to `point` with this value may not go on: it was there with it before.
    pub fn why_not<T: Data>(&self, value: &T, judged: &Tag, point: FeedbackId) -> Option<String> {
        let at_point = |mark: &&Mark| mark.point() == point;
        let mark = judged.trail.as_deref()?.marks.iter().rev().find(at_point)?;
        let had = self.0.get(&mark.origin())?;
        let now = hash(value)?;
        let before = had.iter().position(|then| *then == Some(now))?;
        Some(match had.len() - before {
            1 => "sent back with the value that it had in the round before".to_owned(),
            ago => format!("sent back with the value that it had {ago} rounds before"),
        })
    }

    pub fn notice(&mut self, notices: &[Notice]) {
        for notice in notices.iter().filter(|notice| notice.change == Change::Settled) {
            self.0.remove(&notice.origin());
        }
    }
}

/// Of the value as JSON; nothing where it cannot be written as such.
fn hash<T: Data>(value: &T) -> Option<u64> {
    struct Into(DefaultHasher);
    impl io::Write for Into {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut into = Into(DefaultHasher::new());
    serde_json::to_writer(&mut into, value).ok()?;
    Some(into.0.finish())
}
