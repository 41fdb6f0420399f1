"""Opening, refusing, sharing and failing."""

import json
import sqlite3
import threading
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from memory import connection, schema
from memory.errors import DiskFull, NewerState, StateCorrupt, StateError
from memory.records import Health, SelfEdit
from memory.store import Store
from memory.testing import memory_store
from tests.helpers.stores import add, learn


def pragma(store: Store, name: str) -> object:
    return store.db.conn.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_store_is_created_and_opened_again(state: Path) -> None:
    path = state / "deep" / "learnd.db"
    with Store.open(path) as store:
        add(store, "a.md")
        assert pragma(store, "journal_mode") == "wal"
        assert pragma(store, "synchronous") == 2  # FULL
        assert pragma(store, "foreign_keys") == 1
    with Store.open(path) as store:
        assert [one.path for one in store.documents()] == ["a.md"]
        assert store.check() == []
    assert [one.name for one in path.parent.iterdir()] == ["learnd.db"]


def test_reading_beside_a_writer(state: Path) -> None:
    path = state / "learnd.db"
    with pytest.raises(StateError, match="no learnd state"):
        Store.open_read(path)
    with Store.open(path) as writer, Store.open_read(path) as reader:
        add(writer, "a.md")
        assert [one.path for one in reader.documents()] == ["a.md"]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            add(reader, "b.md")
        add(writer, "b.md")
        assert len(reader.documents()) == 2
        assert reader.check() == []
    with Store.open_read(path) as reader:
        assert len(reader.documents()) == 2


def test_a_newer_database_is_refused_and_left_alone(state: Path) -> None:
    path = state / "learnd.db"
    with Store.open(path) as store:
        row = {"migration_set": "learnd", "name": "from_the_future", "applied_at": ""}
        store.db.table("_sqlite_migrations").insert(row)
    before = path.read_bytes()
    for opening in (Store.open, Store.open_read):
        with pytest.raises(NewerState):
            opening(path)
    assert path.read_bytes() == before


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A learnd with one more migration, of these statements."""
    statements = ["ALTER TABLE files ADD COLUMN owner TEXT"]
    later = Migrations("learnd")
    with Database(memory=True, execute_plugins=False) as empty:
        earlier = [one.name for one in schema.migrations.pending(empty)]
    for name in earlier:
        later(name=name)(getattr(schema, name))

    @later()
    def next_one(db: Database) -> None:
        for statement in statements:
            db.execute(statement)

    monkeypatch.setattr(connection, "migrations", later)
    monkeypatch.setattr(connection, "migration_names", lambda: {*earlier, "next_one"})
    return statements


def test_an_older_database_is_not_read_but_upgraded(
    state: Path, request: pytest.FixtureRequest
) -> None:
    path = state / "learnd.db"
    with Store.open(path) as store:
        add(store, "a.md")
    request.getfixturevalue("next_version")
    with pytest.raises(StateError, match="older"):
        Store.open_read(path)
    with Store.open(path) as store:
        assert store.db.execute("SELECT path, owner FROM files").fetchall() == [("a.md", None)]


def test_an_upgrade_happens_whole_or_not_at_all(
    state: Path, request: pytest.FixtureRequest
) -> None:
    path = state / "learnd.db"
    Store.open(path).close()
    request.getfixturevalue("next_version").append("ALTER TABLE no_such_table ADD COLUMN owner")
    with pytest.raises(sqlite3.OperationalError, match="no_such_table"):
        Store.open(path)
    with sqlite3.connect(path) as plain:
        assert "owner" not in {row[1] for row in plain.execute("PRAGMA table_info(files)")}
    plain.close()


def test_a_database_of_something_else_is_refused(state: Path) -> None:
    path = state / "learnd.db"
    sqlite3.connect(path).execute("CREATE TABLE other (id INTEGER)").connection.close()
    for opening in (Store.open, Store.open_read):
        with pytest.raises(StateCorrupt, match="not learnd's"):
            opening(path)


def test_a_path_that_cannot_be_opened_is_named(state: Path) -> None:
    (state / "learnd.db").mkdir()
    with pytest.raises(StateError, match="cannot be opened"):
        Store.open(state / "learnd.db")


def test_lost_databases_are_not_replaced_by_empty_ones(state: Path) -> None:
    (state / "adapters" / ("a" * 64)).mkdir(parents=True)
    with pytest.raises(StateCorrupt, match="restore a backup"):
        Store.open(state / "learnd.db")


def test_times_are_utc(state: Path) -> None:
    summer = datetime(2026, 7, 1, 14, 30, tzinfo=timezone(timedelta(hours=2)))
    with Store.open(state / "learnd.db", now=lambda: summer) as store:
        assert add(store, "a.md").seen_at == "2026-07-01T12:30:00.000+00:00"


def test_a_clock_that_jumps_back_changes_no_order() -> None:
    times = [datetime(year, 1, 1, tzinfo=UTC) for year in (2036, 2016, 2026)]
    store = memory_store(now=lambda: times[0])
    learn(store, add(store, "a.md"))
    times.pop(0)
    learn(store, add(store, "b.md"))
    assert [one.number for one in store.generations()] == [0, 1, 2]
    assert store.head().number == 2
    assert store.check() == []


def test_threads_share_a_store(state: Path) -> None:
    with Store.open(state / "learnd.db") as store:

        def write(name: str) -> None:
            for number in range(20):
                add(store, f"{name}{number}.md")
                store.document_rows()

        threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.documents()) == 80
        assert store.check() == []


def test_a_failed_transaction_leaves_nothing() -> None:
    store = memory_store()
    document = add(store, "a.md")
    with pytest.raises(sqlite3.IntegrityError):
        store.create_batch([document.id], parent="no such adapter", seed=1)
    assert store.live_batch() is None
    assert store.document(document.id) == document


def test_a_full_disk_is_named_and_heals(state: Path) -> None:
    with Store.open(state / "learnd.db") as store:
        pages = pragma(store, "page_count")
        store.db.conn.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(DiskFull):
            add(store, "a.md", "long text " * 10_000)
        assert store.documents() == []
        assert store.stamps() == {}
        assert store.check() == []
        store.db.conn.execute("PRAGMA max_page_count = 1000000")
        add(store, "a.md", "long text " * 10_000)


def test_a_self_edit_reads_as_it_was_written() -> None:
    health = {"al": Health(0.5, abstained="too little", notes=("one",), figures={"kept": 2.0})}
    edit = SelfEdit("prose", "steady", {"items": 3.0}, health)
    assert connection.decode_self_edit(json.dumps(asdict(edit))) == edit
    earlier = '{"kind": "prose", "style": "steady", "figures": {}}'
    assert connection.decode_self_edit(earlier) == SelfEdit("prose", "steady", {})
