//! A history as text.

use std::fmt;

use super::{Event, History, Life, Lineage, What};
use crate::{data::in_words, record::RecordId};

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_known() {
            let name = self.name_of(self.record);
            return match (self.lineage, self.since_us) {
                (Lineage::Off, _) => write!(
                    f,
                    "nothing is known of {name}: lineage is off; add `.lineage(Lineage::Ids)` to the workflow"
                ),
                (_, None) => write!(f, "nothing is known of {name}: there was no such record"),
                (_, Some(since)) => write!(
                    f,
                    "nothing is known of {name}: what happened before {} has been forgotten; \
                     `.lineage_mib(…)` keeps more",
                    Seconds(since)
                ),
            };
        }
        for life in &self.lives {
            self.write_life(life, f)?;
        }
        if self.left_out > 0 {
            writeln!(f, "… and {} more records that these were made of", self.left_out)?;
        }
        if let Some(since) = self.since_us {
            writeln!(f, "what happened before {} has been forgotten", Seconds(since))?;
        }
        Ok(())
    }
}

impl History {
    fn name_of(&self, record: RecordId) -> String {
        let life = self.lives.iter().find(|life| life.record == record);
        life.map_or_else(|| format!("record {record}"), |life| life.name.clone())
    }

    fn write_life(&self, life: &Life, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let withdrawn = if life.fate() == Some(crate::fate::Fate::Withdrawn) { ", withdrawn" } else { "" };
        writeln!(f, "{}{withdrawn}", life.name)?;
        if life.events.is_empty() {
            writeln!(f, "  what happened to it has been forgotten")?;
        }
        for event in &life.events {
            write!(f, "  {}  {}: {}", Seconds(event.at_us), event.operator, self.words(event))?;
            match (&event.value, &event.after) {
                (Some(value), Some(after)) if value != after => {
                    write!(f, "  {} → {}", in_words(value), in_words(after))?
                }
                (Some(value), _) => write!(f, "  {}", in_words(value))?,
                (None, _) => {}
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn words(&self, event: &Event) -> String {
        let name = |record: &RecordId| self.name_of(*record);
        match &event.what {
            What::Entered => "came in".to_owned(),
            What::Made { of } => format!("made of {}", list(of.iter().map(name))),
            What::Version { version, of, because } => {
                format!("version {version} of {}, since {} was sent back", name(of), name(because))
            }
            What::TakenIn => "taken in".to_owned(),
            What::WentInto { record } => format!("went into {}", name(record)),
            What::Judged { verdict, why, rounds } => {
                let round = rounds.map(|n| format!(", round {n}")).unwrap_or_default();
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                format!("{verdict}{round}{why}")
            }
            What::Remembered { items: 1 } => "remembered".to_owned(),
            What::Remembered { items } => format!("{items} items remembered"),
            What::Called { device, items, launches, ran_us, .. } => {
                let launches =
                    if *launches == 1 { String::new() } else { format!(" in {launches} launches") };
                format!("on {device} with a call of {items} items{launches}, {ran_us} µs")
            }
            What::Failed { kind, reason } if reason.is_empty() => kind.name().to_owned(),
            What::Failed { kind, reason } => format!("{}: {reason}", kind.name()),
            What::Ended { fate } => fate.name().to_owned(),
            What::Withdrawn => "withdrawn after its end".to_owned(),
        }
    }
}

/// Names that are read in one breath, and how many more there are.
fn list(mut names: impl Iterator<Item = String>) -> String {
    const FEW: usize = 8;
    let few: Vec<String> = names.by_ref().take(FEW).collect();
    match names.count() {
        0 => few.join(", "),
        more => format!("{} and {more} more", few.join(", ")),
    }
}

struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6} s", self.0 as f64 / 1e6)
    }
}
