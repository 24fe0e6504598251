//! The quarantine as one SQLite file: every record that failed or was rejected, with what is known of it, for any tool to open.
//!
//! ```
//! # fn main() -> Result<(), eddyline_quarantine::StoreError> {
//! # let dir = temp_dir::TempDir::new().unwrap();
//! # let path = dir.path().join("quarantine.sqlite");
//! # eddyline_quarantine::Writer::open(&path)?;
//! use eddyline_quarantine::{Filter, Quarantine};
//!
//! let quarantine = Quarantine::open(&path)?;
//! for fault in &quarantine.faults(&Filter::new().operator("confident").not_replayed())? {
//!     println!("{} of run {}: {}", fault.origin, fault.run, fault.reason);
//! }
//! # Ok(()) }
//! ```
//!
//! # Map
//!
//! | to learn about | read |
//! |---|---|
//! | looking into a file | [`Quarantine`], [`Filter`], [`Faults`], [`Entry`] |
//! | how a run fills it | [`Writer`]: a bounded queue and a thread |
//! | what the file is | `schema.sql`: tables `runs`, `faults`, `roots`, `replays`, and the view `quarantine` for people |
//!
//! # Limits
//!
//! A file may be filled by several runs at a time, of one machine: SQLite's locks do not hold on most network drives. While a
//! run fills it, two files stand beside it (`-wal`, `-shm`); they go when it is over.

#![forbid(unsafe_code)]

mod faults;
mod file;
mod find;
mod queue;
mod writer;

pub use eddyline_runtime::quarantine::{Entry, Filter, KeptRoot, Replayed, StoreError};
pub use faults::{Faults, Quarantine};
pub use writer::Writer;
