"""The migrations make the tables that the records need."""

from dataclasses import fields

from sqlite_utils import Database

from memory.connection import _TABLES
from memory.schema import migration_names, migrations


def test_every_record_has_its_columns() -> None:
    with Database(memory=True) as db:
        migrations.apply(db)
        for kind, table in _TABLES.items():
            present = {row[1] for row in db.conn.execute(f"PRAGMA table_xinfo({table})")}
            assert {field.name for field in fields(kind)} <= present, table


def test_migrating_twice_changes_nothing() -> None:
    with Database(memory=True) as db:
        migrations.apply(db)
        schema = db.schema
        migrations.apply(db)
        assert db.schema == schema
        assert {done.name for done in migrations.applied(db)} == migration_names()


def test_long_lists_are_found_by_index() -> None:
    queries = (
        "SELECT * FROM probes WHERE chunk_id = 1",
        "SELECT * FROM study_items WHERE chunk_id = 1",
        "SELECT * FROM study_items WHERE batch_id = 1",
        "SELECT * FROM probe_results WHERE probe_id = 1",
        "SELECT * FROM probe_results WHERE batch_id = 1 AND phase = 'after'",
        "SELECT * FROM documents WHERE state = 'pending'",
        "SELECT * FROM documents WHERE path = 'a' ORDER BY version DESC LIMIT 1",
    )
    with Database(memory=True) as db:
        migrations.apply(db)
        for sql in queries:
            (plan,) = (row[3] for row in db.conn.execute(f"EXPLAIN QUERY PLAN {sql}"))
            assert plan.startswith("SEARCH"), sql
