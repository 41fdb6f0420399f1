"""What a batch is trained on; the whole path is tested in test_cycle.py."""

from dataclasses import replace

import pytest

from agent import material
from agent.course import budget
from agent.settings import ConsolidateSettings, TrainSettings
from memory.records import ProbeResult, StudyItem
from memory.store import Repeated
from memory.testing import memory_store
from tests.helpers.stores import NO, add, learn, start, study, to_examined

SETTINGS = TrainSettings(replay_share=1.0, replay_least=0, tokens=100)


def test_the_new_beside_as_much_of_the_old() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"), add(store, "b.md"))
    batch = study(store, start(store, add(store, "c.md")))
    given = material.beside(store, batch, SETTINGS, 1, ())
    assert [item.prompt for item in given.items] == [f"c.md v1 question {n}" for n in (0, 1)]
    assert len(given.rehearsed) == 2
    assert {item.prompt[:4] for item in given.rehearsed} <= {"a.md", "b.md"}
    assert len(given.general) == SETTINGS.general_least


@pytest.mark.parametrize(
    ("items", "rehearsed"),
    [(1, 5), (2, 6), (4, 8)],  # the least, three for each, the most
)
def test_the_more_is_new_the_more_is_rehearsed_within_bounds(items: int, rehearsed: int) -> None:
    store = memory_store()
    learn(store, *(add(store, f"{number}.md", f"text {number}") for number in range(9)))
    batch = study(store, start(store, add(store, "new.md")), items)
    settings = replace(SETTINGS, replay_share=3.0, replay_least=5, replay_most=8)
    assert len(material.beside(store, batch, settings, 1, ()).rehearsed) == rehearsed
    none = replace(settings, replay_most=0)
    assert material.beside(store, batch, none, 1, ()).rehearsed == ()


def test_where_training_goes_on_a_fact_comes_in_a_few_wordings() -> None:
    settings = replace(SETTINGS, onward_wordings=2)
    fresh = memory_store()
    first = study(fresh, start(fresh, add(fresh, "a.md")), 5)
    assert len(material.beside(fresh, first, settings, 1, ()).items) == 5  # from the base: in all
    store = memory_store()
    learn(store, add(store, "a.md"))
    batch = study(store, start(store, add(store, "b.md")), 5)
    drawn = [material.beside(store, batch, settings, seed, ()).items for seed in range(9)]
    assert {len(items) for items in drawn} == {2} and len(set(drawn)) > 1
    assert drawn[0] == material.beside(store, batch, settings, 0, ()).items


@pytest.mark.parametrize(("least", "wordings"), [(7, 2), (12, 4), (99, 5)])
def test_a_single_fact_comes_in_as_many_wordings_as_the_least_rehearsal_outweighs(
    least: int, wordings: int
) -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))
    batch = study(store, start(store, add(store, "b.md")), 5)
    settings = replace(SETTINGS, onward_wordings=2, replay_share=3.0, replay_least=least)
    assert len(material.beside(store, batch, settings, 1, ()).items) == wordings


@pytest.mark.parametrize(("harmed", "wordings"), [(False, 4), (True, 2)])
def test_a_rejected_document_comes_in_more_wordings_unless_it_did_harm(
    harmed: bool, wordings: int
) -> None:
    store = memory_store()
    learn(store, *(add(store, f"{number}.md", f"text {number}") for number in range(9)))
    late = add(store, "b.md")
    store.save_verdict(to_examined(store, start(store, late)), replace(NO, harmed=harmed))
    again = study(store, start(store, late), 5)
    settings = replace(SETTINGS, onward_wordings=2)
    given = material.beside(store, again, settings, 1, ())
    assert (len(given.items), len(given.rehearsed)) == (wordings, 2 * wordings)


def test_what_a_new_version_repeats_is_rehearsed_and_what_it_says_no_more_is_not() -> None:
    store = memory_store()
    learn(store, add(store, "a.md", "The port is 1."), add(store, "b.md", "Ann signs."))
    batch = start(store, add(store, "a.md", "Bob sings. The port is 1."))
    (chunk,) = store.save_chunks(batch.document_ids[0], [("A", "Bob sings. The port is 1.")])
    earlier = store.items()[0].chunk_id or 0
    batch = store.save_study(batch, [StudyItem(chunk.id, "qa", "?", "Bob sings.", "al")], [])
    settings = replace(SETTINGS, replay_least=9)

    def rehearsed() -> set[str]:
        return {item.answer for item in material.beside(store, batch, settings, 1, ()).rehearsed}

    assert rehearsed() == {"Ann signs."}
    store.save_repeated(batch, [Repeated(earlier, chunk.id, "The port is 1.")])
    assert rehearsed() == {"Ann signs.", "The port is 1."}


def test_everything_from_the_base_has_more_time() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"), add(store, "b.md"))
    given = material.everything(store, SETTINGS, ConsolidateSettings(), 1)
    assert (len(given.items), given.rehearsed) == (4, ())
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
    assert given.settings == SETTINGS
