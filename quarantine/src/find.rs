//! From a filter to SQL, and from rows to faults.

use std::path::Path;

use eddyline_runtime::{
    fate::Fate,
    fault::FaultKind,
    quarantine::{Entry, Filter, KeptRoot, Replayed, StoreError},
};
use rusqlite::{Connection, Row, ToSql, types::Type};

use crate::file::explain;

/// The faults that fit, newest first.
pub(crate) fn find(path: &Path, db: &Connection, filter: &Filter) -> Result<Vec<Entry>, StoreError> {
    let tried = || -> rusqlite::Result<Vec<Entry>> {
        let (fits, values) = condition(filter);
        let most = filter.most.map_or_else(String::new, |most| format!(" LIMIT {most}"));
        let sql = format!(
            "SELECT f.id, f.run, r.workflow, f.operator, f.kind, f.reason, f.record, f.origin, f.rounds, f.at_unix_ms, f.type, f.value \
             FROM faults f JOIN runs r ON r.id = f.run WHERE {fits} ORDER BY f.id DESC{most}"
        );
        let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
        let mut faults = db.prepare(&sql)?;
        let mut roots =
            db.prepare("SELECT source, place, value, replay_of FROM roots WHERE fault = ?1 ORDER BY nth")?;
        let mut replays = db.prepare("SELECT run, fate FROM replays WHERE fault = ?1 ORDER BY run, nth")?;
        let mut all = Vec::new();
        let mut rows = faults.query(values.as_slice())?;
        while let Some(row) = rows.next()? {
            let mut entry = entry(row)?;
            entry.roots = roots.query_map([entry.id as i64], root)?.collect::<Result<_, _>>()?;
            entry.replays = replays.query_map([entry.id as i64], replayed)?.collect::<Result<_, _>>()?;
            all.push(entry);
        }
        Ok(all)
    };
    tried().map_err(|error| explain(path, &error))
}

/// How many there are of each operator, kind and reason, most frequent first.
pub(crate) fn by_reason(
    path: &Path,
    db: &Connection,
    filter: &Filter,
) -> Result<Vec<(String, String, String, u64)>, StoreError> {
    let tried = || -> rusqlite::Result<Vec<_>> {
        let (fits, values) = condition(filter);
        let sql = format!(
            "SELECT f.operator, f.kind, f.reason, count(*) AS n FROM faults f WHERE {fits} \
             GROUP BY f.operator, f.kind, f.reason ORDER BY n DESC, f.reason"
        );
        let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
        let mut counts = db.prepare(&sql)?;
        let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, i64>(3)? as u64));
        counts.query_map(values.as_slice(), row)?.collect()
    };
    tried().map_err(|error| explain(path, &error))
}

/// What the filter says as SQL; its values are bound, never written into it.
fn condition(filter: &Filter) -> (String, Vec<Box<dyn ToSql>>) {
    let mut terms = vec!["1".to_owned()];
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let mut add = |term: &str, value: Option<Box<dyn ToSql>>| {
        if let Some(value) = value {
            values.push(value);
            terms.push(term.replace('?', &format!("?{}", values.len())));
        }
    };
    let text = |text: &Option<String>| text.clone().map(|text| Box::new(text) as Box<dyn ToSql>);
    let number = |number: Option<u64>| number.map(|number| Box::new(number as i64) as Box<dyn ToSql>);
    add("f.run = ?", number(filter.run));
    add("f.operator = ?", text(&filter.operator));
    add("f.operator = ? AND f.verdict", text(&filter.handler));
    add("f.kind = ?", text(&filter.kind));
    add("instr(lower(f.reason), lower(?)) > 0", text(&filter.reason));
    add("f.id < ?", number(filter.before));
    add(
        "? = EXISTS (SELECT 1 FROM replays p WHERE p.fault = f.id)",
        filter.replayed.map(|replayed| Box::new(replayed) as Box<dyn ToSql>),
    );
    let ids = filter.ids.as_ref().map(|ids| serde_json::json!(ids).to_string());
    add("f.id IN (SELECT value FROM json_each(?))", text(&ids));
    (terms.join(" AND "), values)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let kind: String = row.get(4)?;
    Ok(Entry {
        id: number(row, 0)?,
        run: number(row, 1)?,
        workflow: row.get(2)?,
        operator: row.get(3)?,
        kind: FaultKind::of_name(&kind).ok_or_else(|| unknown(4, "kind of fault", &kind))?,
        reason: row.get(5)?,
        record: row.get(6)?,
        origin: row.get(7)?,
        rounds: row.get(8)?,
        at_unix_ms: number(row, 9)?,
        type_name: row.get(10)?,
        value: row.get::<_, Option<String>>(11)?.map(Into::into),
        roots: Vec::new(),
        replays: Vec::new(),
    })
}

fn root(row: &Row<'_>) -> rusqlite::Result<KeptRoot> {
    Ok(KeptRoot {
        source: row.get(0)?,
        place: number(row, 1)?,
        value: row.get::<_, Option<String>>(2)?.map(Into::into),
        replay_of: row.get::<_, Option<i64>>(3)?.map(|id| id as u64),
    })
}

fn replayed(row: &Row<'_>) -> rusqlite::Result<Replayed> {
    let fate: Option<String> = row.get(1)?;
    let known = |name: String| {
        Fate::ALL.into_iter().find(|fate| fate.name() == name).ok_or_else(|| unknown(1, "fate", &name))
    };
    Ok(Replayed { run: number(row, 0)?, fate: fate.map(known).transpose()? })
}

fn number(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at).map(|number| number as u64)
}

fn unknown(at: usize, what: &str, name: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, Type::Text, format!("no {what} is called `{name}`").into())
}
