"""What a batch is trained on; the whole path is tested in test_cycle.py."""

from agent import material
from agent.course import budget
from agent.settings import ConsolidateSettings, TrainSettings
from memory.records import ProbeResult
from memory.testing import memory_store
from tests.helpers.stores import add, learn, start, study

SETTINGS = TrainSettings(replay_share=1.0, replay_least=0, tokens=100)


def test_the_new_beside_as_much_of_the_old() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"), add(store, "b.md"))
    batch = study(store, start(store, add(store, "c.md")))
    given = material.beside(store, batch, SETTINGS, 1, ())
    assert [item.prompt for item in given.items] == [f"c.md v1 question {n}" for n in (0, 1)]
    assert len(given.rehearsed) == 2
    assert {item.prompt[:4] for item in given.rehearsed} <= {"a.md", "b.md"}
    assert [probe.question[:11] for probe in given.held_out] == ["probe: c.md"] * 2
    assert len(given.general) == SETTINGS.general_least


def test_everything_from_the_base_has_more_time() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"), add(store, "b.md"))
    given = material.everything(store, SETTINGS, ConsolidateSettings(), 1)
    assert (len(given.items), given.rehearsed, len(given.held_out)) == (4, (), 4)
    assert given.settings.tokens == 4 * budget(SETTINGS)
    short = material.everything(store, SETTINGS, ConsolidateSettings(tokens=7), 1)
    assert short.settings.tokens == 7


def test_a_repair_teaches_the_documents_of_what_slipped() -> None:
    store = memory_store()
    learn(store, *(add(store, f"{name}.md", name) for name in "abcd"))
    first = store.probes()[0]
    store.save_review([ProbeResult(first.id, False, "", -3.0)])
    batch = store.create_repair(store.head().adapter, seed=1)
    given = material.again(store, batch, SETTINGS, 1)
    assert [item.prompt for item in given.items] == [f"a.md v1 question {n}" for n in (0, 1)]
    assert len(given.rehearsed) == 2  # as many of the others
    assert not {item.prompt[:4] for item in given.rehearsed} & {"a.md"}
    assert given.held_out == (first,)
    assert given.settings == SETTINGS
