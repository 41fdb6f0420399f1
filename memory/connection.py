"""One SQLite connection, one lock, whole transactions: what the parts of the Store stand on."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlite_utils import Database

from memory.durable import disk_full_named, failpoint, fsync_directory, fsync_file
from memory.errors import DiskFull, NewerState, StateCorrupt, StateError
from memory.records import (
    Adapter,
    Batch,
    Chunk,
    Document,
    DocumentState,
    Generation,
    Health,
    Phase,
    Probe,
    ProbeResult,
    SelfEdit,
    Stage,
    StudyItem,
    Verdict,
)
from memory.schema import migration_names, migrations

Record = TypeVar("Record")
Clock = Callable[[], datetime]

LIVE = "stage NOT IN ('serving', 'rejected', 'failed')"  # as in the index one_live_batch
# of a generation: it is of no task, or the file with the task's examples is in the folder
THERE = """(task = '' OR EXISTS (SELECT 1 FROM batch_documents
    JOIN documents ON documents.id = document_id JOIN files USING (path)
    WHERE batch_documents.batch_id = generations.batch_id AND NOT missing))"""

_TABLES: Mapping[type, str] = {
    Adapter: "adapters",
    Batch: "batch_records",
    Chunk: "chunks",
    Document: "documents",
    Generation: "generations",
    Probe: "probes",
    ProbeResult: "probe_results",
    StudyItem: "study_items",
}
_DECODE: Mapping[str, Callable[[Any], Any]] = {
    "before": lambda value: None if value is None else bool(value),
    "correct": lambda value: None if value is None else bool(value),
    "document_ids": lambda text: tuple(json.loads(text)),
    "figures": json.loads,
    "held": bool,
    "missing": bool,
    "phase": Phase,
    "repairs": bool,
    "self_edit": lambda text: text and decode_self_edit(text),
    "stage": Stage,
    "state": DocumentState,
    "verdict": lambda text: text and decode_verdict(text),
}


def columns(kind: type) -> str:
    """The columns of a record's fields, for a SELECT."""
    return ", ".join(field.name for field in fields(kind))


def utc_now() -> datetime:
    return datetime.now(UTC)


class Connection:
    """An open learnd.db. Threads may share it; each call is one transaction or one read."""

    def __init__(self, connection: sqlite3.Connection, now: Clock = utc_now) -> None:
        self.db = Database(connection, execute_plugins=False)
        self._now = now
        self._lock = RLock()

    @classmethod
    def open(cls, path: Path, now: Clock = utc_now) -> Self:
        """Open the database file for writing; create it or bring its tables up to date.

        Only the holder of the StateLock may. Raises NewerState, StateCorrupt, DiskFull.
        """
        if not path.exists():
            _refuse_orphans(path)
            _create(path)
        store = cls(_connect(path, "rw"), now)
        with store._closed_on_error(), errors_named():
            store._refuse_damaged()
            store._refuse_foreign()
            store.db.enable_wal()
            store.db.execute("PRAGMA synchronous = FULL")
            migrations.apply(store.db)
        return store

    @classmethod
    def open_read(cls, path: Path) -> Self:
        """Open for reading only, beside a running daemon. Raises StateError if there is none."""
        if not path.exists():
            raise StateError(f"{path.parent} holds no learnd state yet")
        store = cls(_connect(path, "ro"))
        with store._closed_on_error(), errors_named():
            store._refuse_foreign()
            if migrations.pending(store.db):
                raise StateError(f"{path} is older than this learnd; start the daemon to upgrade")
        return store

    @classmethod
    def in_memory(cls, now: Clock = utc_now) -> Self:
        """The same store without a file."""
        store = cls(_connect(None, "memory"), now)
        migrations.apply(store.db)
        return store

    def close(self) -> None:
        with self._lock:
            self.db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _transaction(self, name: str) -> Iterator[None]:
        """Everything inside becomes durable together when the block ends, or not at all."""
        with self._lock, errors_named(), self.db.atomic():
            yield
            failpoint(f"store.{name}")

    def _rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        with self._lock, errors_named():
            cursor = self.db.conn.execute(sql, parameters)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def _column(self, sql: str, *parameters: Any) -> list[Any]:
        with self._lock, errors_named():
            return [row[0] for row in self.db.conn.execute(sql, parameters)]

    def _records(self, kind: type[Record], sql: str, *parameters: Any) -> list[Record]:
        """What a query finds, as dataclasses; its columns are named like their fields."""
        rows = self._rows(sql, *parameters)
        return [kind(**{name: _decoded(name, row[name]) for name in row}) for row in rows]

    def _select(self, kind: type[Record], tail: str = "", *parameters: Any) -> list[Record]:
        """Records of a kind from its table; `tail` is what follows the table's name."""
        return self._records(
            kind, f"SELECT {columns(kind)} FROM {_TABLES[kind]} {tail}", *parameters
        )

    def _execute(self, sql: str, *parameters: Any) -> int:
        """One writing statement, only inside a transaction; returns how many rows it changed."""
        return self.db.conn.execute(sql, parameters).rowcount

    def _insert(self, table: str, **values: Any) -> int:
        """Insert one row, only inside a transaction; returns its id."""
        row_id = self.db.table(table).insert(values).last_rowid
        assert row_id is not None
        return row_id

    def _insert_all(self, table: str, records: Iterable[Any], **shared: Any) -> None:
        """Insert records as rows, only inside a transaction; ids are given by the table."""
        rows = [{**asdict(record), **shared} for record in records]
        for row in rows:
            row.pop("id", None)
        self.db.table(table).insert_all(rows)

    def _timestamp(self) -> str:
        """Now, as ISO 8601 in UTC. For people to read: nothing is ever ordered by it."""
        return self._now().astimezone(UTC).isoformat(timespec="milliseconds")

    def _refuse_damaged(self) -> None:
        faults = self._column("PRAGMA quick_check")
        if faults != ["ok"]:
            raise StateCorrupt(f"the database is damaged: {faults[0]}")

    def _refuse_foreign(self) -> None:
        applied = {done.name for done in migrations.applied(self.db)}
        if not applied:  # _create() never leaves such a file
            raise StateCorrupt("the database is empty or not learnd's; restore a backup")
        if applied - migration_names():
            raise NewerState

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise


@contextmanager
def errors_named() -> Iterator[None]:
    """Turn what SQLite and the system say about a full or broken disk into our own errors."""
    try:
        with disk_full_named():
            yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the kind
        if code == sqlite3.SQLITE_FULL:
            raise DiskFull from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise StateCorrupt(f"the database is damaged: {error}") from error
        if code == sqlite3.SQLITE_CANTOPEN:
            raise StateError(f"the database cannot be opened: {error}") from error
        raise


def encode_verdict(verdict: Verdict) -> str:
    return json.dumps(
        {
            "accepted": verdict.accepted,
            "reasons": verdict.reasons,
            "figures": dict(verdict.figures),
            "scale": verdict.scale,
            "harmed": verdict.harmed,
            "far": verdict.far,
        },
        allow_nan=False,
    )


def decode_verdict(text: str) -> Verdict:
    value = json.loads(text)
    return Verdict(**value | {"reasons": tuple(value["reasons"])})


def decode_self_edit(text: str) -> SelfEdit:
    """A batch of an earlier version has no health."""
    value = json.loads(text)
    health = {
        name: Health(**one | {"notes": tuple(one["notes"])})
        for name, one in value.pop("health", {}).items()
    }
    return SelfEdit(**value, health=health)


def _decoded(name: str, value: Any) -> Any:
    return _DECODE[name](value) if name in _DECODE else value


def _connect(path: Path | None, mode: str) -> sqlite3.Connection:
    name = path.absolute().as_uri() if path else "file:"
    with errors_named():
        connection = sqlite3.connect(f"{name}?mode={mode}", uri=True, check_same_thread=False)
        connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _refuse_orphans(path: Path) -> None:
    """Adapters without a database: it was lost, this is no fresh start."""
    if any((path.parent / "adapters").glob("*")):
        raise StateCorrupt(f"{path} is gone, but its adapters are there; restore a backup")


def _create(path: Path) -> None:
    """Build the database aside and rename it: a half-made or empty file is never a store."""
    fresh = path.with_name(path.name + ".new")
    with disk_full_named():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        connection = _connect(fresh, "rwc")
        with errors_named():
            migrations.apply(Database(connection, execute_plugins=False))
        connection.close()
        fsync_file(fresh)
        failpoint("store.create")
        fresh.rename(path)
        fsync_directory(path.parent)
