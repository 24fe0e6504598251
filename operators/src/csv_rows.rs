//! The rows of a CSV file as values, each that cannot be one with its line, its column and its text.

use std::{fs::File, marker::PhantomData, path::Path};

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};
use eddyline_runtime::{
    Data,
    feed::{Read, Unreadable},
};

/// A row that goes on for more lines than this has a quote that was not closed.
const LINES: u64 = 20;

/// Reads row by row.
pub(crate) struct Rows<T> {
    reader: Reader<File>,
    file: String,
    headers: StringRecord,
    /// The header could not be read: the one thing to tell.
    broken: Option<Unreadable>,
    types: PhantomData<fn() -> T>,
}

impl<T: Data> Rows<T> {
    pub fn new(file: File, path: &Path) -> Self {
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(file);
        let file = path.display().to_string();
        let (headers, broken) = match reader.headers() {
            Ok(headers) => (headers.clone(), None),
            Err(error) => (
                StringRecord::new(),
                Some(Unreadable { place: format!("{file} line 1"), reason: error.to_string(), raw: None }),
            ),
        };
        Self { reader, file, headers, broken, types: PhantomData }
    }

    fn value(&self, row: &StringRecord) -> Result<T, String> {
        if row.len() != self.headers.len() {
            let columns = if row.len() == 1 { "column" } else { "columns" };
            return Err(format!(
                "the row has {} {columns}, the header has {}",
                row.len(),
                self.headers.len()
            ));
        }
        row.deserialize(Some(&self.headers)).map_err(|error| match error.kind() {
            ErrorKind::Deserialize { err, .. } => match err.field().map(|field| field as usize) {
                Some(field) => {
                    let name = self.headers.get(field).unwrap_or_default();
                    format!("column {} `{name}`: {}", field + 1, err.kind())
                }
                None => {
                    let names: Vec<&str> = self.headers.iter().collect();
                    format!("{}; the header has `{}`", err.kind(), names.join("`, `"))
                }
            },
            _ => error.to_string(),
        })
    }
}

impl<T: Data> Iterator for Rows<T> {
    type Item = Read<T>;

    fn next(&mut self) -> Option<Read<T>> {
        if let Some(broken) = self.broken.take() {
            return Some(Err(broken));
        }
        let mut row = StringRecord::new();
        let read = self.reader.read_record(&mut row);
        let line = match &read {
            Ok(false) => return None,
            Ok(true) => row.position().map_or(0, csv::Position::line),
            Err(error) => error.position().map_or(0, csv::Position::line),
        };
        let place = format!("{} line {line}", self.file);
        let lines = self.reader.position().line().saturating_sub(line);
        let reason = match read {
            Err(error) => match error.kind() {
                ErrorKind::Utf8 { err, .. } => format!("column {}: not UTF-8", err.field() + 1),
                _ => error.to_string(),
            },
            Ok(_) => match self.value(&row) {
                Ok(value) => return Some(Ok(value)),
                Err(reason) => reason,
            },
        };
        let reason = if lines > LINES {
            format!("the row goes on for {lines} lines, so a quote that it opens is not closed; {reason}")
        } else {
            reason
        };
        let text: Vec<&str> = row.iter().collect();
        Some(Err(Unreadable { place, reason, raw: (!text.is_empty()).then(|| text.join(",")) }))
    }
}
