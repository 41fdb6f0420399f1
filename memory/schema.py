"""The tables of learnd.db, as migrations. A migration that was released is never edited."""

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

migrations = Migrations("learnd")

_FIRST = """
CREATE TABLE files (  -- one row for every path ever seen in the folder
    path TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    missing INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE documents (  -- one row for every version of a path
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL REFERENCES files,
    version INTEGER NOT NULL,
    digest TEXT NOT NULL,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0,
    seen_at TEXT NOT NULL,
    UNIQUE (path, version)
) STRICT;
CREATE INDEX documents_by_state ON documents (state);

CREATE TABLE chunks (
    id INTEGER PRIMARY KEY,
    document_id INTEGER NOT NULL REFERENCES documents,
    position INTEGER NOT NULL,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    retired INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX live_chunks ON chunks (document_id, position) WHERE NOT retired;
CREATE INDEX chunks_by_document ON chunks (document_id);

CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    stage TEXT NOT NULL,
    parent TEXT REFERENCES adapters,
    seed INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    adapter TEXT REFERENCES adapters,
    model TEXT,
    verdict TEXT,  -- JSON
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_live_batch ON batches ((1))
    WHERE stage NOT IN ('serving', 'rejected', 'failed');

CREATE TABLE batch_documents (
    batch_id INTEGER NOT NULL REFERENCES batches,
    document_id INTEGER NOT NULL REFERENCES documents,
    PRIMARY KEY (batch_id, document_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX batches_by_document ON batch_documents (document_id);

CREATE VIEW batch_records AS SELECT batches.*, (
    SELECT json_group_array(document_id) FROM batch_documents WHERE batch_id = batches.id
) AS document_ids FROM batches;

CREATE TABLE adapters (
    digest TEXT PRIMARY KEY,
    parent TEXT REFERENCES adapters,
    batch_id INTEGER NOT NULL REFERENCES batches,
    figures TEXT NOT NULL,  -- JSON
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE generations (  -- the last row is the head
    number INTEGER PRIMARY KEY,
    adapter TEXT REFERENCES adapters,
    model TEXT,
    batch_id INTEGER UNIQUE REFERENCES batches,  -- unique: a batch takes effect once
    note TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE study_items (
    id INTEGER PRIMARY KEY,
    batch_id INTEGER NOT NULL REFERENCES batches,
    chunk_id INTEGER REFERENCES chunks,
    kind TEXT NOT NULL,
    prompt TEXT NOT NULL,
    answer TEXT NOT NULL,
    policy TEXT NOT NULL,
    retired INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX study_items_by_chunk ON study_items (chunk_id);
CREATE INDEX study_items_by_batch ON study_items (batch_id);

CREATE TABLE probes (
    id INTEGER PRIMARY KEY,
    batch_id INTEGER REFERENCES batches,  -- NULL: a general probe
    chunk_id INTEGER REFERENCES chunks,
    kind TEXT NOT NULL,
    question TEXT NOT NULL,
    answer TEXT NOT NULL,
    statement TEXT NOT NULL,
    retired INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX probes_by_chunk ON probes (chunk_id);
CREATE INDEX probes_by_batch ON probes (batch_id);
CREATE UNIQUE INDEX general_probes ON probes (question) WHERE batch_id IS NULL;

CREATE TABLE probe_results (
    id INTEGER PRIMARY KEY,
    probe_id INTEGER NOT NULL REFERENCES probes,
    batch_id INTEGER NOT NULL REFERENCES batches,
    phase TEXT NOT NULL,
    generation INTEGER REFERENCES generations,  -- NULL: a candidate that never served
    correct INTEGER NOT NULL,
    answer TEXT NOT NULL,
    logprob REAL NOT NULL,
    asked_at TEXT NOT NULL,
    UNIQUE (probe_id, batch_id, phase)
) STRICT;
CREATE INDEX probe_results_by_batch ON probe_results (batch_id, phase);

CREATE VIEW held_batches AS  -- what the head's weights hold: the chain of its adapters
    WITH RECURSIVE chain (digest) AS (
        SELECT adapter FROM (SELECT adapter FROM generations ORDER BY number DESC LIMIT 1)
        UNION SELECT parent FROM adapters JOIN chain USING (digest)
    ) SELECT batch_id FROM adapters JOIN chain USING (digest);

CREATE VIEW live_items AS SELECT * FROM study_items
    WHERE NOT retired AND batch_id IN held_batches;

CREATE VIEW live_probes AS SELECT * FROM probes
    WHERE NOT retired AND (batch_id IS NULL OR batch_id IN held_batches);

CREATE VIEW latest_results AS  -- SQLite takes the bare columns from the row that has the max
    SELECT max(id) AS id, probe_id, correct, answer, logprob, generation
    FROM probe_results WHERE generation IS NOT NULL GROUP BY probe_id;

INSERT INTO generations (number, note, created_at)
    VALUES (0, 'the base model', strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now'));
"""


def migration_names() -> set[str]:
    """The migrations that this version knows; a database with others is newer."""
    with Database(memory=True, execute_plugins=False) as empty:
        return {migration.name for migration in migrations.pending(empty)}


@migrations()
def first(db: Database) -> None:
    # not executescript(), which would commit the migration's transaction behind its back
    for statement in _FIRST.split(";\n"):
        if statement.strip():
            db.execute(statement)


@migrations()
def self_edits(db: Database) -> None:
    db.execute("ALTER TABLE batches ADD COLUMN self_edit TEXT")  # JSON


@migrations()
def faulty_probes(db: Database) -> None:
    """A probe with a fault is retired from the beginning."""
    db.execute("ALTER TABLE probes ADD COLUMN fault TEXT NOT NULL DEFAULT ''")


@migrations()
def contradictions(db: Database) -> None:
    db.execute("""CREATE TABLE contradictions (
        id INTEGER PRIMARY KEY,
        batch_id INTEGER NOT NULL REFERENCES batches,
        document_id INTEGER NOT NULL REFERENCES documents,
        statement TEXT NOT NULL,
        earlier_id INTEGER NOT NULL REFERENCES documents,
        earlier TEXT NOT NULL
    ) STRICT""")


@migrations()
def repairs(db: Database) -> None:
    db.execute("ALTER TABLE batches ADD COLUMN repairs INTEGER NOT NULL DEFAULT 0")


@migrations()
def adopted(db: Database) -> None:
    """A batch in which nothing was new serves with an adapter that another batch made."""
    db.execute("DROP VIEW held_batches")
    db.execute("""CREATE VIEW held_batches AS  -- what the head's weights hold
        WITH RECURSIVE chain (digest) AS (
            SELECT adapter FROM (SELECT adapter FROM generations ORDER BY number DESC LIMIT 1)
            UNION SELECT parent FROM adapters JOIN chain USING (digest)
        ) SELECT batch_id FROM adapters JOIN chain USING (digest)
        UNION SELECT batch_id FROM generations JOIN chain ON adapter = digest
            WHERE batch_id IS NOT NULL""")


@migrations()
def repeated(db: Database) -> None:
    """What a document's new version repeats of what was taught."""
    db.execute("""CREATE TABLE repeated (
        batch_id INTEGER NOT NULL REFERENCES batches,
        earlier_id INTEGER NOT NULL REFERENCES chunks,
        chunk_id INTEGER NOT NULL REFERENCES chunks,
        statement TEXT  -- NULL: all of it
    ) STRICT""")
    db.execute("CREATE INDEX repeated_by_batch ON repeated (batch_id)")


@migrations()
def tasks(db: Database) -> None:
    """A file of examples is a task: a generation beside the head answers it."""
    for table in ("batches", "generations"):
        db.execute(f"ALTER TABLE {table} ADD COLUMN task TEXT NOT NULL DEFAULT ''")
    db.execute("DROP VIEW held_batches")
    db.execute("""CREATE VIEW held_batches AS  -- what the head's weights hold
        WITH RECURSIVE chain (digest) AS (
            SELECT adapter FROM (
                SELECT adapter FROM generations WHERE task = '' ORDER BY number DESC LIMIT 1
            )
            UNION SELECT parent FROM adapters JOIN chain USING (digest)
        ) SELECT batch_id FROM adapters JOIN chain USING (digest)
        UNION SELECT batch_id FROM generations JOIN chain ON adapter = digest
            WHERE batch_id IS NOT NULL""")


@migrations()
def known(db: Database) -> None:
    """What the head said already when its batch was trained: it was not trained."""
    db.execute("ALTER TABLE study_items ADD COLUMN known INTEGER NOT NULL DEFAULT 0")
