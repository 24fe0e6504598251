//! Opening the file: that it is a quarantine, of a version that this program knows.

use std::{path::Path, time::Duration};

use eddyline_runtime::quarantine::StoreError;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

/// Written into the file's header, so that another SQLite file is not taken for a quarantine: "Eddy".
const APPLICATION: i32 = 0x4564_6479;
/// The version of `schema.sql`.
const VERSION: i32 = 1;
/// How long one waits for another that writes.
const BUSY: Duration = Duration::from_secs(5);

/// Opens a file to look into it.
pub(crate) fn open(path: &Path) -> Result<Connection, StoreError> {
    if !path.is_file() {
        return Err(StoreError {
            what: format!("there is no quarantine {}", path.display()),
            advice: "check the path; a workflow writes one with `.quarantine(path)`".to_owned(),
        });
    }
    let tried = || -> rusqlite::Result<Connection> {
        // For writing too, where that may be: a reader that may not would leave a `-wal` behind that it cannot tidy up.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(BUSY)?;
        db.pragma_update(None, "query_only", true)?;
        Ok(db)
    };
    let db = tried().map_err(|error| explain(path, &error))?;
    check(path, &db)?;
    Ok(db)
}

/// Opens a file to write into it; makes it where there is none.
pub(crate) fn create(path: &Path) -> Result<Connection, StoreError> {
    let tried = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(BUSY)?;
        // Two may make it at the same time: the second waits here, and finds it made.
        let making = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let objects: i64 = making.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if objects == 0 {
            making.execute_batch(include_str!("schema.sql"))?;
            making.pragma_update(None, "application_id", APPLICATION)?;
            making.pragma_update(None, "user_version", VERSION)?;
        }
        making.commit()?;
        Ok(db)
    };
    let db = tried().map_err(|error| explain(path, &error))?;
    check(path, &db)?;
    let tuned = || -> rusqlite::Result<()> {
        db.pragma_update(None, "foreign_keys", true)?;
        // Readers do not wait for the writer, nor it for them; a power cut may lose the last moments, and breaks nothing.
        db.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        db.pragma_update(None, "synchronous", "NORMAL")
    };
    tuned().map_err(|error| explain(path, &error))?;
    Ok(db)
}

/// Leaves one plain file behind, which needs no other beside it to be read, unless somebody else still has it open.
pub(crate) fn leave(db: &Connection) {
    let tried = db.busy_timeout(Duration::ZERO);
    // Where it fails the file is as good; it then has two others beside it until the last one has closed it.
    let _ = tried.and_then(|()| db.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())));
}

fn check(path: &Path, db: &Connection) -> Result<(), StoreError> {
    let pragma = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let tried =
        || -> rusqlite::Result<(i32, i32)> { Ok((pragma("application_id")?, pragma("user_version")?)) };
    match tried().map_err(|error| explain(path, &error))? {
        (APPLICATION, VERSION) => Ok(()),
        (APPLICATION, version) => Err(StoreError {
            what: format!(
                "the quarantine {} is of version {version}, and this program knows {VERSION}",
                path.display()
            ),
            advice: "use the program that wrote it, or another file".to_owned(),
        }),
        _ => Err(not_ours(path)),
    }
}

fn not_ours(path: &Path) -> StoreError {
    StoreError {
        what: format!("{} is a file of something else, not a quarantine", path.display()),
        advice: "give another path".to_owned(),
    }
}

/// What SQLite says, with what to do about it.
pub(crate) fn explain(path: &Path, error: &rusqlite::Error) -> StoreError {
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => return not_ours(path),
        Some(ErrorCode::CannotOpen) => "check that its folder is there and may be written",
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            "see that this user may write it, and its folder"
        }
        Some(ErrorCode::DiskFull) => "make room on the disk",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program has held it for long: let that one commit or close it"
        }
        Some(ErrorCode::DatabaseCorrupt) => "it is damaged: `sqlite3 FILE .recover` saves what is left",
        _ => "see that the disk has room and the file can be written",
    };
    StoreError { what: format!("the quarantine {}: {error}", path.display()), advice: advice.to_owned() }
}
