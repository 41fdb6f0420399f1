"""What is studied of a batch: not what was taught already."""

import random
from collections.abc import Iterator

import pytest

from agent.novelty import Novelty, find, mastered
from memory.generations import before_head
from memory.records import Batch, Chunk, DocumentState, Probe, StudyItem
from memory.store import Store
from memory.testing import memory_store
from policies.al import statements
from policies.selection import standing
from tests.helpers.stores import YES, adapter_for, add, answers, digest_of, start

PORTS = "The port of Otter is 8080. The port of Plover is 9090."
NAMES = "The otter is named Juniper."


def begin(store: Store, text: str) -> tuple[Batch, Novelty]:
    batch = start(store, add(store, "a.md", text))
    return batch, find(store, batch, 20)


def says(chunk: Chunk) -> Iterator[tuple[str, str]]:
    """As (kind, answer), all that a chunk teaches."""
    yield from (("qa", one) for one in sorted(statements(chunk)))
    yield from (("text", one) for one in standing(chunk, statements(chunk)))


def finish(store: Store, batch: Batch, new: Novelty) -> None:
    """As the cycle: nothing new is nothing to train."""
    if not new.chunks:
        store.adopt(batch, "nothing is new")
        return
    said = [(one.id, *pair) for one in new.chunks for pair in says(one)]
    fresh = [(number, kind, text) for number, kind, text in said if (number, text) not in new.known]
    items = [StudyItem(number, kind, f"{text}?", text, "al") for number, kind, text in fresh]
    probes = [
        Probe(n, "paraphrase", f"{text}!", "", text) for n, kind, text in fresh if kind == "qa"
    ]
    batch = store.save_study(batch, items, probes)
    batch = store.save_training(batch, adapter_for(store, batch))
    asked = store.probes(batch.id)
    batch = store.save_examination(batch, answers(asked, False), answers(asked, True))
    store.promote(store.save_merge(store.save_verdict(batch, YES), digest_of("m")), "learned")


def learn(store: Store, text: str) -> None:
    finish(store, *begin(store, text))


def texts(new: Novelty) -> list[str]:
    return [chunk.text for chunk in new.chunks]


def taught(store: Store) -> list[str]:
    return sorted(item.answer for item in store.items())


def lost(store: Store) -> list[str]:
    """What learned documents say that is not taught of them, though the head should hold them."""
    held = [one.id for one in store.document_rows() if one.state == "learned" and one.held]
    found = []
    for number in held:
        chunks = store.chunks([number])
        ids = {chunk.id for chunk in chunks}
        known = {item.answer for item in store.items() if item.chunk_id in ids}
        found += [text for chunk in chunks for _, text in says(chunk) if text not in known]
    return found


def test_of_a_first_version_all_is_new() -> None:
    store = memory_store()
    _, new = begin(store, f"# Ports\n\n{PORTS}\n\n# Names\n\n{NAMES}")
    assert texts(new) == [PORTS, NAMES]
    assert new.known == frozenset()


def test_what_another_document_taught_is_familiar_and_new_all_the_same() -> None:
    store = memory_store()
    learn(store, PORTS)
    batch = start(store, add(store, "b.md", PORTS.replace("9090", "9191")))
    new = find(store, batch, 20)
    assert new.known == frozenset()
    assert new.familiar == {"The port of Otter is 8080."}


def test_one_sentence_of_a_chunk_is_new() -> None:
    store = memory_store()
    learn(store, PORTS)
    learn(store, PORTS.replace("9090", "9191"))
    assert taught(store) == ["The port of Otter is 8080.", "The port of Plover is 9191."]
    assert store.check() == []


def test_a_sentence_is_known_wherever_it_stands_in_the_new_version() -> None:
    store = memory_store()
    learn(store, f"# Ports\n\n{PORTS}")
    _, new = begin(store, f"# Names\n\n{NAMES} {PORTS}")
    assert texts(new) == [f"{NAMES} {PORTS}"]
    assert {statement for _, statement in new.known} == set(PORTS.replace(". ", ".|").split("|"))


def test_a_chunk_that_lost_a_sentence_is_not_studied() -> None:
    store = memory_store()
    learn(store, PORTS)
    batch, new = begin(store, "The port of Plover is 9090.")
    assert new.chunks == ()
    finish(store, batch, new)
    assert taught(store) == ["The port of Plover is 9090."]
    assert store.check() == []


@pytest.mark.parametrize("kind", ["la la {}", f"{NAMES} Always be {{}}."])
def test_what_states_no_fact_is_studied_when_it_changes(kind: str) -> None:
    store = memory_store()
    learn(store, f"# Ports\n\n{PORTS}\n\n# Song\n\n{kind.format('kind')}")
    batch, new = begin(store, f"# Ports\n\n{PORTS}\n\n# Song\n\n{kind.format('good')}")
    assert texts(new) == [kind.format("good")]
    finish(store, batch, new)
    assert lost(store) == []


def test_what_was_given_up_is_learned_again() -> None:
    store = memory_store()
    learn(store, PORTS)
    learn(store, PORTS.replace("9090", "9191"))
    store.give_up(1, "it did harm", 9)
    batch = start(store, *store.documents(DocumentState.PENDING))
    new = find(store, batch, 20)
    assert texts(new) == [PORTS.replace("9090", "9191")]
    finish(store, batch, new)
    assert taught(store) == ["The port of Otter is 8080.", "The port of Plover is 9191."]


def test_a_sentence_that_stood_in_two_chunks_stays_with_the_one_that_keeps_it() -> None:
    store = memory_store()
    learn(store, f"# X\n\n{NAMES}\n\n# Y\n\nThe port of Otter is 8080.")
    learn(store, f"# X\n\n{NAMES}\n\n# Y\n\nThe port of Otter is 8080. {NAMES}")
    learn(store, f"# X\n\nGone.\n\n# Y\n\nThe port of Otter is 8080. {NAMES}")
    assert NAMES in taught(store)
    assert lost(store) == []


def test_a_statement_is_mastered_where_half_of_what_asks_for_it_is_answered_with_it() -> None:
    said = (*["It is 8080."] * 2, *["It is 9090."] * 3, "All is open.")
    items = [StudyItem(1, "qa", "Which?", one, "al", id=n) for n, one in enumerate(said, 1)]
    assert mastered(items, {1, 3, 6}) == {"It is 8080.", "All is open."}
    assert mastered(items, {2, 3, 4}) == {"It is 8080.", "It is 9090."}
    assert mastered(items, set()) == mastered([], {1}) == set()


@pytest.mark.parametrize("seed", range(24))
def test_whatever_is_edited_and_undone_nothing_is_lost(seed: int) -> None:
    chance, store = random.Random(seed), memory_store()
    pool = [f"The port of {name} is {n}." for name in ("Otter", "Plover") for n in (80, 81, 82)]
    pool += [f"Always be {word}." for word in ("kind", "good", "glad")]
    files = {name: [[chance.choice(pool)], [chance.choice(pool)]] for name in ("a.md", "b.md")}
    for step in range(12):
        name = chance.choice(sorted(files))
        paragraph = chance.choice(files[name])
        if chance.random() < 0.4 and len(paragraph) > 1:
            paragraph.pop(chance.randrange(len(paragraph)))
        else:
            paragraph.insert(chance.randrange(len(paragraph) + 1), chance.choice(pool))
        bodies = [" ".join(dict.fromkeys(one)) for one in files[name]]
        text = "\n\n".join(f"# Part {number}\n\n{body}" for number, body in enumerate(bodies))
        last = f"\n\n# Step\n\nIt is step {step}." if chance.random() < 0.5 else ""
        add(store, name, f"{text}{last}" + "\n" * step)
        if store.head().adapter and chance.random() < 0.3:
            earlier = before_head(store.generations())
            assert earlier is not None
            if chance.random() < 0.5:
                store.give_up(earlier.number, "it did harm", 99)
            else:
                store.activate(earlier.number, "rollback")
        for document in store.documents(DocumentState.PENDING):
            if store.document(document.id).state is DocumentState.PENDING:
                batch = start(store, document)
                finish(store, batch, find(store, batch, 12))
        assert lost(store) == []
        assert store.check() == []
