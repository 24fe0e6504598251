//! `eddyline quarantine`: what workflows with `.quarantine(path)` have kept in their files.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use eddyline_quarantine::{Entry, Filter, Quarantine, StoreError};
use eddyline_runtime::{data, fault::FaultKind};
use thiserror::Error;

#[derive(Subcommand)]
pub enum Command {
    /// Lists faults, oldest first, or counts them by reason
    List {
        #[command(flatten)]
        which: Which,
        /// Count them by operator, kind and reason instead
        #[arg(long)]
        by_reason: bool,
    },
    /// Shows all that is known of one fault, as JSON
    Show {
        /// The file
        file: PathBuf,
        /// The fault's number, as `list` shows it
        id: u64,
    },
    /// Writes faults with their whole values as JSON lines
    Export {
        #[command(flatten)]
        which: Which,
        /// Where to; to the terminal where nothing is given
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
}

/// Which faults: all that fit every one of these.
#[derive(Args)]
pub struct Which {
    /// The file
    file: PathBuf,
    /// Those at this operator
    #[arg(long)]
    operator: Option<String>,
    /// Those that this handler said
    #[arg(long)]
    handler: Option<String>,
    /// Those of this kind: rejected, error, panic, "rounds spent"…
    #[arg(long)]
    kind: Option<String>,
    /// Those with this text in their reason
    #[arg(long)]
    reason: Option<String>,
    /// Those of this run, numbered from 1
    #[arg(long)]
    run: Option<u64>,
    /// Those that were replayed
    #[arg(long, conflicts_with = "not_replayed")]
    replayed: bool,
    /// Those that were not
    #[arg(long)]
    not_replayed: bool,
    /// Only so many, the newest
    #[arg(long)]
    newest: Option<usize>,
}

#[derive(Debug, Error)]
pub enum QuarantineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there is no kind of fault `{0}`; the kinds are {1}")]
    NoSuchKind(String, String),
    #[error("{file} has no fault {id}; `eddyline quarantine list {file}` shows their numbers")]
    NoSuchFault { file: String, id: u64 },
    #[error("{file} cannot be written: {error}")]
    Unwritable { file: String, error: io::Error },
    #[error("the faults cannot be written: {0}")]
    Terminal(#[from] io::Error),
}

impl Which {
    fn filter(&self) -> Result<Filter, QuarantineError> {
        if let Some(kind) = self.kind.as_ref().filter(|kind| FaultKind::of_name(kind).is_none()) {
            let kinds: Vec<_> = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
            return Err(QuarantineError::NoSuchKind(kind.clone(), kinds.join(", ")));
        }
        Ok(Filter {
            operator: self.operator.clone(),
            handler: self.handler.clone(),
            kind: self.kind.clone(),
            reason: self.reason.clone(),
            run: self.run,
            replayed: (self.replayed || self.not_replayed).then_some(self.replayed),
            most: self.newest,
            ..Filter::default()
        })
    }
}

impl Command {
    pub fn run(&self) -> Result<(), QuarantineError> {
        match self {
            Command::List { which, by_reason: true } => {
                let counts = Quarantine::open(&which.file)?.by_reason(&which.filter()?)?;
                for (operator, kind, reason, times) in counts {
                    write_out(format_args!("{times:>8} × {kind} at {operator}: {reason}\n"))?;
                }
                Ok(())
            }
            Command::List { which, .. } => {
                for fault in &Quarantine::open(&which.file)?.faults(&which.filter()?)? {
                    write_out(format_args!("{}\n", line(fault)))?;
                }
                Ok(())
            }
            Command::Show { file, id } => {
                let faults = Quarantine::open(file)?.faults(&Filter::new().ids([*id]))?;
                let fault = faults.first().ok_or_else(|| QuarantineError::NoSuchFault {
                    file: file.display().to_string(),
                    id: *id,
                })?;
                write_out(format_args!("{:#}\n", fault.to_json(true)))
            }
            Command::Export { which, output } => {
                let faults = Quarantine::open(&which.file)?.faults(&which.filter()?)?;
                let Some(path) = output else {
                    return faults
                        .iter()
                        .try_for_each(|fault| write_out(format_args!("{}\n", fault.to_json(true))));
                };
                let written = || -> io::Result<()> {
                    let mut file = BufWriter::new(File::create(path)?);
                    faults.iter().try_for_each(|fault| writeln!(file, "{}", fault.to_json(true)))?;
                    file.flush()
                };
                let file = path.display().to_string();
                written().map_err(|error| QuarantineError::Unwritable { file, error })
            }
        }
    }
}

/// Where the reader has gone away, as `head` does, nothing is wrong.
fn write_out(text: std::fmt::Arguments<'_>) -> Result<(), QuarantineError> {
    match io::stdout().write_fmt(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        done => Ok(done?),
    }
}

/// One fault on one line.
fn line(fault: &Entry) -> String {
    let value = fault
        .value
        .as_deref()
        .map_or("(its value was not kept)".to_owned(), |text| data::preview_of(text, 200).to_string());
    let replayed = fault.replays.last().map(|replay| {
        let fate = replay.fate.map_or("under way", |fate| fate.name());
        format!(" [replayed in run {}: {fate}]", replay.run)
    });
    format!(
        "{:>6} run {} {}: {} at {}: {}: {value}{}",
        fault.id,
        fault.run,
        fault.origin,
        fault.kind.name(),
        fault.operator,
        fault.reason,
        replayed.unwrap_or_default()
    )
}
