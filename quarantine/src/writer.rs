//! What a run writes: a bounded queue, and a thread that puts all that waits there into the file in one transaction.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use eddyline_runtime::{
    fate::Fate,
    quarantine::{Entry, Filing, Filter, Store, StoreError, StoreState, Told},
};
use parking_lot::Mutex;
use rusqlite::{Connection, TransactionBehavior, params};

use crate::{
    file::{self, explain},
    find,
    queue::Queue,
};

/// How long the thread waits before it tries again what could not be written.
const AGAIN: Duration = Duration::from_secs(1);

/// The quarantine of one run in a file. Where the file cannot be written for a while, a full disk say, the run goes on: what
/// waits is tried again each second, and what finds no room is counted as missing.
pub struct Writer {
    path: PathBuf,
    inner: Arc<Inner>,
    /// Opened, and not begun yet.
    db: Mutex<Option<Connection>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    replays: AtomicU64,
}

struct Inner {
    path: PathBuf,
    run: OnceLock<i64>,
    queue: Queue<Note>,
    written: AtomicU64,
    missing: AtomicU64,
    problem: Mutex<Option<String>>,
}

enum Note {
    File(Box<Filing>),
    Withdraw(u64),
    Replayed { fault: u64, nth: u64 },
    Ended { fault: u64, nth: u64, fate: Fate },
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "quarantine {}", self.path.display())
    }
}

impl Writer {
    /// Opens a file for one run, and makes it where there is none.
    ///
    /// # Errors
    /// It cannot be made or written, or is something else.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let db = file::create(&path)?;
        let path = path.canonicalize().unwrap_or(path);
        let inner = Inner {
            path: path.clone(),
            run: OnceLock::new(),
            queue: Queue::new(),
            written: AtomicU64::new(0),
            missing: AtomicU64::new(0),
            problem: Mutex::default(),
        };
        Ok(Self {
            path,
            inner: Arc::new(inner),
            db: Mutex::new(Some(db)),
            thread: Mutex::default(),
            replays: AtomicU64::new(0),
        })
    }

    fn finish(&self) {
        self.inner.queue.close();
        if let Some(thread) = self.thread.lock().take() {
            // It has no code that panics; if it did, what it had is missing.
            if thread.join().is_err() {
                self.inner.problem.lock().get_or_insert_with(|| "its writer panicked".to_owned());
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.inner.queue.close();
    }
}

impl Store for Writer {
    fn begin(&self, workflow: &str, at_unix_ms: u64) -> Result<(), StoreError> {
        let Some(db) = self.db.lock().take() else { return Ok(()) };
        let sql = "INSERT INTO runs (workflow, started_unix_ms) VALUES (?1, ?2)";
        db.execute(sql, params![workflow, at_unix_ms as i64]).map_err(|error| explain(&self.path, &error))?;
        self.inner.run.get_or_init(|| db.last_insert_rowid());
        let inner = Arc::clone(&self.inner);
        let thread = thread::Builder::new().name("quarantine".to_owned()).spawn(move || inner.write_all(db));
        *self.thread.lock() = Some(thread.map_err(|error| StoreError {
            what: format!("the quarantine {} gets no thread: {error}", self.path.display()),
            advice: "end other programs".to_owned(),
        })?);
        Ok(())
    }

    fn file(&self, fault: Filing) {
        let text = |text: &Option<Box<str>>| text.as_deref().map_or(0, str::len);
        let roots: usize = fault.roots.iter().map(|root| 64 + text(&root.value)).sum();
        let bytes = 256 + text(&fault.value) + roots;
        if !self.inner.queue.put(Note::File(Box::new(fault)), bytes) {
            self.inner.missing.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn withdraw(&self, number: u64) {
        self.inner.put(Note::Withdraw(number));
    }

    fn replayed(&self, fault: u64) -> Arc<dyn Told> {
        let nth = self.replays.fetch_add(1, Ordering::Relaxed);
        self.inner.put(Note::Replayed { fault, nth });
        Arc::new(Replay { to: Arc::clone(&self.inner), fault, nth, best: Mutex::default() })
    }

    fn find(&self, filter: &Filter) -> Result<Vec<Entry>, StoreError> {
        find::find(&self.path, &file::open(&self.path)?, filter)
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn state(&self) -> StoreState {
        StoreState {
            path: self.path.display().to_string(),
            run: self.inner.run.get().map_or(0, |run| *run as u64),
            written: self.inner.written.load(Ordering::Relaxed),
            missing: self.inner.missing.load(Ordering::Relaxed),
            problem: self.inner.problem.lock().clone(),
        }
    }

    fn finish(&self) {
        Writer::finish(self);
    }
}

/// Is told how a fault that came back has ended. Of several source records the best end counts.
struct Replay {
    to: Arc<Inner>,
    fault: u64,
    nth: u64,
    best: Mutex<Option<Fate>>,
}

impl Told for Replay {
    fn ended(&self, fate: Fate) {
        let mut best = self.best.lock();
        let fate = best.map_or(fate, |known| known.min(fate));
        *best = Some(fate);
        self.to.put(Note::Ended { fault: self.fault, nth: self.nth, fate });
    }
}

impl Inner {
    fn put(&self, note: Note) {
        if !self.queue.put(note, 64) {
            self.missing.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The thread: writes until no more will come.
    fn write_all(&self, mut db: Connection) {
        // When no more will come it is tried once more, and not for ever.
        let mut last_try = false;
        while let Some(notes) = self.queue.take() {
            loop {
                match self.write(&mut db, &notes) {
                    Ok((filed, withdrawn)) => {
                        self.written.fetch_add(filed, Ordering::Relaxed);
                        self.written.fetch_sub(withdrawn, Ordering::Relaxed);
                        if self.missing.load(Ordering::Relaxed) == 0 {
                            *self.problem.lock() = None;
                        }
                        self.queue.goes_on();
                        break;
                    }
                    Err(error) => {
                        *self.problem.lock() = Some(explain(&self.path, &error).to_string());
                        let more = self.queue.pause(AGAIN);
                        if !more && std::mem::replace(&mut last_try, true) {
                            self.missing.fetch_add(notes.len() as u64, Ordering::Relaxed);
                            break;
                        }
                    }
                }
            }
        }
        file::leave(&db);
    }

    /// Writes all of these or none. Says how many faults it filed and withdrew.
    fn write(&self, db: &mut Connection, notes: &[Note]) -> rusqlite::Result<(u64, u64)> {
        let run = self.run.get().copied().unwrap_or_default();
        let (mut filed, mut withdrawn) = (0, 0);
        let all = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut fault = all.prepare(
                "INSERT INTO faults (run, number, operator, kind, verdict, reason, record, origin, rounds, at_unix_ms, type, value) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?;
            let mut root = all.prepare(
                "INSERT INTO roots (fault, nth, source, place, value, replay_of) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            let mut withdraw = all.prepare("DELETE FROM faults WHERE run = ?1 AND number = ?2")?;
            // A fault that was withdrawn meanwhile has no replays.
            let mut replay = all.prepare(
                "INSERT INTO replays (fault, run, nth) SELECT id, ?2, ?3 FROM faults WHERE id = ?1",
            )?;
            let mut end =
                all.prepare("UPDATE replays SET fate = ?4 WHERE fault = ?1 AND run = ?2 AND nth = ?3")?;
            for note in notes {
                match note {
                    Note::File(of) => {
                        fault.execute(params![
                            run,
                            of.number as i64,
                            &*of.operator,
                            of.kind.name(),
                            of.kind.is_a_verdict(),
                            &*of.reason,
                            of.record,
                            of.origin,
                            of.rounds,
                            of.at_unix_ms as i64,
                            of.type_name,
                            of.value.as_deref(),
                        ])?;
                        let id = all.last_insert_rowid();
                        for (nth, of) in of.roots.iter().enumerate() {
                            let replay_of = of.replay_of.map(|id| id as i64);
                            let (value, place) = (of.value.as_deref(), of.place as i64);
                            root.execute(params![id, nth as i64, of.source, place, value, replay_of])?;
                        }
                        filed += 1;
                    }
                    Note::Withdraw(number) => {
                        withdrawn += withdraw.execute(params![run, *number as i64])? as u64;
                    }
                    Note::Replayed { fault, nth } => {
                        replay.execute(params![*fault as i64, run, *nth as i64])?;
                    }
                    Note::Ended { fault, nth, fate } => {
                        end.execute(params![*fault as i64, run, *nth as i64, fate.name()])?;
                    }
                }
            }
        }
        all.commit()?;
        Ok((filed, withdrawn))
    }
}

#[cfg(test)]
mod tests {
    use eddyline_runtime::fault::FaultKind;
    use temp_dir::TempDir;

    use super::*;

    fn fault(number: u64, bytes: usize) -> Filing {
        Filing {
            number,
            operator: "confident".into(),
            kind: FaultKind::Rejected,
            reason: "blank page".into(),
            record: format!("0-{number}"),
            origin: format!("scans #{number}"),
            rounds: 0,
            at_unix_ms: 1_000,
            type_name: "String".into(),
            value: Some(format!("{:?}", "x".repeat(bytes)).into()),
            roots: Vec::new(),
        }
    }

    fn count(path: &Path) -> u64 {
        let sql = "SELECT count(*) FROM quarantine WHERE at_utc = '1970-01-01 00:00:01.000'";
        Connection::open(path).unwrap().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as u64
    }

    #[test]
    fn a_full_disk_is_told_and_what_is_missing_is_counted() {
        let dir = TempDir::new().unwrap();
        let writer = Writer::open(dir.child("q.sqlite")).unwrap();
        writer.db.lock().as_ref().unwrap().pragma_update(None, "max_page_count", 200).unwrap();
        writer.begin("full", 0).unwrap();
        for number in 0..3_000 {
            writer.file(fault(number, 1_000));
        }
        Store::finish(&writer);
        let state = writer.state();
        assert_eq!(state.written + state.missing, 3_000, "{state:?}");
        assert!(state.missing > 0, "{state:?}");
        assert!(
            state.problem.as_deref().is_some_and(|why| why.contains("full") && why.contains("make room"))
        );
        assert_eq!(count(&writer.path), state.written, "each batch whole or not at all");
    }

    #[test]
    fn a_run_does_not_wait_for_a_file_that_another_holds_and_goes_on_when_it_is_free() {
        let dir = TempDir::new().unwrap();
        let writer = Writer::open(dir.child("q.sqlite")).unwrap();
        writer.db.lock().as_ref().unwrap().busy_timeout(Duration::from_millis(10)).unwrap();
        writer.begin("held", 0).unwrap();
        let other = Connection::open(&writer.path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        for number in 0..30_000 {
            writer.file(fault(number, 10));
        }
        let held = writer.state();
        assert!(held.written == 0 && held.missing > 0 && held.problem.is_some(), "{held:?}");
        other.execute_batch("COMMIT").unwrap();
        Store::finish(&writer);
        let state = writer.state();
        assert_eq!(
            (state.written + state.missing, count(&writer.path)),
            (30_000, state.written),
            "{state:?}"
        );
        assert!(state.written >= 10_000, "what had found room is written: {state:?}");
    }

    #[test]
    fn runs_are_numbered_and_two_may_fill_one_file() {
        let dir = TempDir::new().unwrap();
        let writers = [1, 2].map(|_| Writer::open(dir.child("q.sqlite")).unwrap());
        for (writer, run) in writers.iter().zip(1..) {
            writer.begin("both", 0).unwrap();
            assert_eq!(writer.state().run, run);
        }
        for number in 0..500 {
            writers.iter().for_each(|writer| writer.file(fault(number, 10)));
        }
        writers[0].withdraw(17);
        writers.iter().for_each(Store::finish);
        assert_eq!(writers.each_ref().map(|writer| writer.state().written), [499, 500]);
        let left = writers[0].find(&Filter::new().run(1)).unwrap();
        assert!(left.len() == 499 && left.iter().all(|entry| entry.origin != "scans #17"));
        assert!(!dir.child("q.sqlite-wal").exists(), "one file when it is over");
    }
}
