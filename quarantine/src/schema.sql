-- Text is UTF-8, times are milliseconds of Unix time, values are JSON.

CREATE TABLE runs (
  id INTEGER PRIMARY KEY,
  workflow TEXT NOT NULL,
  started_unix_ms INTEGER NOT NULL
);

CREATE TABLE faults (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  run INTEGER NOT NULL REFERENCES runs(id),
  number INTEGER NOT NULL,          -- in its run
  operator TEXT NOT NULL,
  kind TEXT NOT NULL,               -- 'rejected', 'rounds spent', 'error', 'panic'…
  verdict INTEGER NOT NULL,         -- 1: the operator is a handler, and this its verdict
  reason TEXT NOT NULL,
  record TEXT NOT NULL,
  origin TEXT NOT NULL,             -- 'numbers #17', 'rows.csv line 17'
  rounds INTEGER NOT NULL,
  at_unix_ms INTEGER NOT NULL,
  type TEXT NOT NULL,
  value TEXT,                       -- as the operator was given it; NULL where the author's code had taken it
  UNIQUE (run, number)
);
CREATE INDEX faults_by_operator ON faults(operator, kind);

-- The source records that a fault descends from.
CREATE TABLE roots (
  fault INTEGER NOT NULL REFERENCES faults(id) ON DELETE CASCADE,
  nth INTEGER NOT NULL,
  source TEXT NOT NULL,
  place INTEGER NOT NULL,           -- in the source, from 0
  replay_of INTEGER,                -- the fault that came back as this source record
  value TEXT,                       -- what the source brought, where it is `.replayable()`
  PRIMARY KEY (fault, nth)
) WITHOUT ROWID;

CREATE TABLE replays (
  fault INTEGER NOT NULL REFERENCES faults(id) ON DELETE CASCADE,
  run INTEGER NOT NULL REFERENCES runs(id),
  nth INTEGER NOT NULL,             -- in its run
  fate TEXT,                        -- NULL while it is under way, and where the run was stopped before
  PRIMARY KEY (fault, run, nth)
) WITHOUT ROWID;

CREATE VIEW quarantine AS
  SELECT f.id, r.workflow, f.run, strftime('%Y-%m-%d %H:%M:%f', f.at_unix_ms / 1000.0, 'unixepoch') AS at_utc,
    f.operator, f.kind, f.reason, f.origin, f.rounds, f.type, f.value,
    (SELECT coalesce(p.fate, 'under way') FROM replays p WHERE p.fault = f.id ORDER BY p.run DESC, p.nth DESC LIMIT 1) AS replayed
  FROM faults f JOIN runs r ON r.id = f.run;
