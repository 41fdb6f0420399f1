"""What is studied of a batch: not what was taught already."""

from agent.novelty import Novelty, find
from memory.records import Batch, Probe, StudyItem
from memory.store import Store
from memory.testing import memory_store
from policies.al import statements
from tests.helpers.stores import YES, adapter_for, add, answers, digest_of, start

PORTS = "The port of Otter is 8080. The port of Plover is 9090."
NAMES = "The otter is named Juniper."


def begin(store: Store, text: str) -> tuple[Batch, Novelty]:
    batch = start(store, add(store, "a.md", text))
    return batch, find(store, batch, 20)


def learn(store: Store, text: str) -> None:
    batch, new = begin(store, text)
    said = [(one.id, text) for one in new.chunks for text in sorted(statements(one))]
    fresh = [pair for pair in said if pair not in new.known]
    items = [StudyItem(number, "qa", f"{text}?", text, "al") for number, text in fresh]
    probes = [Probe(number, "paraphrase", f"{text}!", "", text) for number, text in fresh]
    batch = store.save_study(batch, items, probes)
    batch = store.save_training(batch, adapter_for(store, batch))
    asked = store.probes(batch.id)
    batch = store.save_examination(batch, answers(asked, False), answers(asked, True))
    store.promote(store.save_merge(store.save_verdict(batch, YES), digest_of("m")), "learned")


def texts(new: Novelty) -> list[str]:
    return [chunk.text for chunk in new.chunks]


def statements_known(new: Novelty) -> set[str]:
    return {statement for _, statement in new.known}


def taught(store: Store) -> list[str]:
    return sorted(item.answer for item in store.items())


def test_of_a_first_version_all_is_new() -> None:
    store = memory_store()
    _, new = begin(store, f"# Ports\n\n{PORTS}\n\n# Names\n\n{NAMES}")
    assert texts(new) == [PORTS, NAMES]
    assert new.known == frozenset()


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
    assert statements_known(new) == {"The port of Otter is 8080.", "The port of Plover is 9090."}


def test_a_chunk_that_lost_a_sentence_is_not_studied() -> None:
    store = memory_store()
    learn(store, PORTS)
    batch, new = begin(store, "The port of Plover is 9090.")
    assert new.chunks == ()
    store.adopt(batch, "nothing is new")
    assert taught(store) == ["The port of Plover is 9090."]
    assert store.check() == []


def test_a_chunk_that_states_nothing_is_studied_when_it_changes() -> None:
    store = memory_store()
    learn(store, f"# Ports\n\n{PORTS}\n\n# Song\n\nla la la")
    _, new = begin(store, f"# Ports\n\n{PORTS}\n\n# Song\n\nla la li")
    assert texts(new) == ["la la li"]
