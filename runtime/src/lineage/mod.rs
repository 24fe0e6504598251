//! Lineage: what a record was made of, and what happened to it at each operator.
//!
//! Each step of a node writes down what it did, a line per batch where rows are alike and one per record where something
//! notable happens: a record made of others, a verdict, a version, a model's call, an end. All that a run keeps is one queue of
//! such steps, bounded by its size in memory: the oldest are forgotten first. What a record went through is put together only
//! when somebody asks ([`Histories::of`]).
//!
//! Records keep their identity on their way through operators that make one of one. What takes the place of a record that was
//! sent back has an identity of its own, so that versions are told apart, except in a [linear](crate::linear) loop, where one
//! comes after the other.
//!
//! | to learn about | read |
//! |---|---|
//! | what is written down | `entry`, `noting` |
//! | what is kept, and forgotten | `log` |
//! | how a history is put together | `reading` |
//! | what it is, as data and as text | [`history`], `text` |

mod entry;
pub mod history;
mod log;
mod noting;
mod reading;
mod text;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use entry::{Entry, Notes, Records};
pub use history::{Event, History, Life, What};
pub(crate) use log::Log;
pub use reading::Histories;

/// How much is written down of what happens to records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lineage {
    /// Nothing. It costs nothing either.
    #[default]
    Off,
    /// Which records each was made of, where it went, what was said of it, which device worked on it, how it ended. A
    /// few bytes and nanoseconds per record and operator.
    Ids,
    /// The same with the value that each operator got, as JSON of at most 4,000 bytes; longer ones are cut. It costs the writing
    /// of each value at each operator: for finding out what went wrong, and not for every day.
    Values,
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lineage::Off => "off",
            Lineage::Ids => "ids",
            Lineage::Values => "values",
        })
    }
}

/// What is kept unless told otherwise, in MiB.
pub const DEFAULT_MIB: usize = 64;
