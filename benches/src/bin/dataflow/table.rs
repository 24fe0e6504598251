//! The table in the project's README, between two marks.

use std::{fs, io, path::PathBuf};

use eddyline_benches::Figure;

const BEGIN: &str = "<!-- what follows is written by `make bench NAME=dataflow` -->\n";
const END: &str = "<!-- until here -->";

const ROWS: [(&str, &str); 5] = [
    ("W1", "three maps and two filters, ns per record"),
    ("W2", "a hash join of two inputs, ns per pair"),
    ("W3", "a loop that sends one record in ten back, ns per record"),
    ("W4", "a model of 50 µs for a batch of 32, ns per record"),
    ("p50", "median latency of the first at 100,000 records/s, µs"),
];
const COLUMNS: [(&str, &str); 5] = [
    ("eddyline", "Eddyline"),
    ("unfused", "an actor per operator"),
    ("timely", "timely"),
    ("tokio", "tokio by hand"),
    ("plain", "plain loop"),
];

/// Writes the table of these figures where the README has its marks.
///
/// # Errors
/// Where the README cannot be read or written, or has no marks.
pub fn write(figures: &[Figure]) -> io::Result<()> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = fs::read_to_string(&path)?;
    let marks = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = marks else {
        return Err(io::Error::other("README.md has no marks for the table; put them back"));
    };
    fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", table(figures)))?;
    println!("and into README.md");
    Ok(())
}

fn table(figures: &[Figure]) -> String {
    let mut text = "| |".to_owned();
    COLUMNS.iter().for_each(|(_, name)| text += &format!(" {name} |"));
    text += &format!("\n|---|{}\n", "--:|".repeat(COLUMNS.len()));
    for (case, what) in ROWS {
        text += &format!("| {what} |");
        for (engine, _) in COLUMNS {
            let is_it = |f: &&Figure| f.case == case && f.engine == engine && f.unit != "MiB peak";
            let value = figures.iter().find(is_it).map(|f| f.value);
            text += &value.map_or_else(|| " |".to_owned(), |value| format!(" {} |", rounded(value)));
        }
        text += "\n";
    }
    text
}

/// Three digits are all that such figures have.
fn rounded(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_left_empty() {
        let figure = |engine, value, unit| Figure { case: "W1", engine, value, unit, rounds: 7 };
        let table = table(&[figure("eddyline", 12.34, "ns/record"), figure("plain", 1234.5, "ns/record")]);
        assert!(table.contains("| 12.3 | | | | 1234 |"), "{table}");
    }
}
