"""What people see."""

from dataclasses import replace
from datetime import UTC, datetime

from memory.records import DocumentState, Probe, Verdict
from memory.testing import memory_store
from tests.helpers.stores import (
    YES,
    adapter_for,
    add,
    digest_of,
    learn,
    stamp_of,
    start,
    to_examined,
)


def test_rows_and_counts() -> None:
    store = memory_store(now=lambda: datetime(2026, 1, 2, tzinfo=UTC))
    store.add_general([Probe(None, "general", "2 + 2?", "4", "4")])
    learn(store, add(store, "b.md"))
    learn(store, add(store, "c.md"), correct=False)
    add(store, "a.md", "one")
    add(store, "a.md", "two")
    store.quarantine_file("junk.md", stamp_of("x"), "", "not text")
    store.mark_missing(["b.md"])

    rows = {row.path: row for row in store.document_rows()}
    assert list(rows) == ["a.md", "b.md", "c.md", "junk.md"]
    a, b, c, junk = rows.values()
    assert (a.version, a.state, a.learned_in, a.held) == (2, "pending", None, False)
    assert (b.learned_in, b.held, b.missing, b.probes, b.probes_right) == (1, True, True, 2, 2)
    assert (c.learned_in, c.probes, c.probes_right) == (2, 2, 0)
    assert (junk.state, junk.reason) == ("quarantined", "not text")
    assert b.seen_at == "2026-01-02T00:00:00.000+00:00"

    general, known, _, unknown, _ = store.probe_rows()
    assert (general.path, general.correct, general.said) == (None, None, None)
    assert (known.path, known.before, known.correct, known.generation) == ("b.md", False, True, 1)
    assert (unknown.path, unknown.before, unknown.correct) == ("c.md", False, False)
    assert (general.known_in, known.known_in, unknown.known_in) == (None, 1, None)

    assert store.counts() == {
        "pending": 1, "batched": 0, "learned": 2, "quarantined": 1, "retired": 1, "forgotten": 0,
        "missing": 1, "batches": 2, "generation": 2, "items": 4, "probes": 5, "probes_right": 2,
    }  # fmt: skip


def test_a_rollback_shows_what_is_not_held_any_more() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))
    store.activate(0, "rollback to g0")
    (row,) = store.document_rows()
    assert (row.state, row.learned_in, row.held, row.probes) == ("learned", 1, False, 0)


def test_what_was_given_up_and_learned_again_is_learned_in_the_later_generation() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))
    learn(store, add(store, "b.md"))
    store.give_up(1, "it did harm", 9)
    learn(store, *store.documents(DocumentState.PENDING))
    assert {row.path: row.learned_in for row in store.document_rows()} == {"a.md": 1, "b.md": 4}


def test_a_probe_that_is_wrong_itself_is_shown_and_never_asked() -> None:
    store = memory_store()
    batch = start(store, add(store, "a.md"))
    [chunk] = store.save_chunks(1, [("A", "The port is 1.")])
    good = Probe(chunk.id, "direct", "Which port?", "1", "The port is 1.")
    wrong = replace(good, question="Which ports?", fault="with the text before it: 2")
    batch = store.save_study(batch, [], [wrong, good])
    assert [one.question for one in store.probes(batch.id)] == [good.question]
    batch = store.save_training(batch, adapter_for(store, batch))
    batch = store.save_verdict(store.save_examination(batch, (), ()), YES)
    store.promote(store.save_merge(batch, digest_of("model")), "learned")
    assert [one.question for one in store.probes()] == [good.question]
    assert [(one.question, one.fault) for one in store.probe_rows()] == [
        (good.question, ""),
        (wrong.question, wrong.fault),
    ]
    learn(store, add(store, "a.md", "The port is 2."))
    assert not any(one.fault for one in store.probe_rows())


def test_how_far_the_weights_alone_are_from_the_base() -> None:
    store = memory_store()
    assert store.drift() == {}
    batch = to_examined(store, start(store, add(store, "a.md")))
    figures = {"base_before": 13.0, "base_after": 9.0, "new_asked": 2.0}
    batch = store.save_verdict(batch, Verdict(True, (), figures))
    store.promote(store.save_merge(batch, digest_of("model")), "learned")
    assert store.drift() == {"before": 13, "after": 9}
    store.activate(0, "rollback")
    assert store.drift() == {}
