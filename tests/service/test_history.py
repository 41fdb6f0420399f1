"""The story of each document."""

from pathlib import Path

from memory.store import Recall
from memory.testing import memory_store
from service import history
from tests.helpers.stores import add, answers, learn, start, study
from tests.memory.test_history import learn_another
from tests.service.test_documents import contradicted


def test_a_story_in_words() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))
    first, second = (probe.id for probe in store.probes())
    learn_another(store, "b.md", {first: False, second: False})
    learn_another(store, "c.md", {first: True})
    row, *others = history.rows(store)
    assert (row["learned"], row["slipped"], row["repaired"]) == (2, 2, 1)
    assert row["story"] == "g1: 2 learned of 2; g2: 2 slipped of 2; g3: 1 repaired of 1"
    assert [one["path"] for one in others] == ["b.md", "c.md"]


def test_a_story_tells_what_was_taken_back_and_why() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))
    first, second = (probe.id for probe in store.probes())
    learn_another(store, "b.md", {first: True, second: True})
    store.give_up(1, "a server answers 0 of 2", max_attempts=3)
    learn(store, add(store, "c.md"))
    stories = {row["path"]: row["story"] for row in history.rows(store)}
    assert stories == {
        "a.md": "g1: 2 learned of 2",
        "b.md": "g2: 2 learned of 2; g3: rollback to g1: a server answers 0 of 2",
        "c.md": "g4: 2 learned of 2",
    }


def test_what_was_adopted_stands_when_its_weights_are_served_again() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))
    batch = study(store, start(store, add(store, "b.md")))
    store.adopt(batch, "nothing is new")
    store.save_review(answers(store.probes(batch.id), True))
    learn(store, add(store, "c.md", "The name is Otter."))
    store.activate(2, "rollback to g2")
    stories = {row["path"]: row["story"] for row in history.rows(store)}
    assert stories == {
        "a.md": "g1: 2 learned of 2",
        "b.md": "g2: 2 learned of 2",
        "c.md": "g3: 2 learned of 2; g4: rollback to g2",
    }


def test_what_was_never_known_says_so() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"), correct=False)
    assert [row["story"] for row in history.rows(store)] == ["never known"]


def test_a_story_tells_of_a_contradiction() -> None:
    store = contradicted()
    stories = {row["path"]: row["story"] for row in history.rows(store)}
    assert stories == {"a.md": "g1: 2 learned of 2", "b.md": "g2: 1 learned of 1; contradicts a.md"}


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    file = tmp_path / "history.png"
    history.draw([Recall(1, 2, 2), Recall(3, 4, 3)], file)
    assert file.read_bytes().startswith(b"\x89PNG") and file.stat().st_size > 5_000
    history.draw([], file)  # nothing was learned yet


def test_a_task_in_between_is_not_what_was_taken_back() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))
    learn(store, add(store, "triage.jsonl"))
    first, second = (probe.id for probe in store.probes())
    learn_another(store, "b.md", {first: True, second: True})
    store.activate(1, "rollback to g1")
    learn(store, add(store, "c.md"))
    stories = {row["path"]: row["story"] for row in history.rows(store)}
    assert stories == {
        "a.md": "g1: 2 learned of 2",
        "b.md": "g3: 2 learned of 2; g4: rollback to g1",
        "c.md": "g5: 2 learned of 2",
    }
