"""The index is exact, in step with the store, and may be lost at any time; the schedule is fair."""

import json
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest

from memory.errors import DiskFull
from memory.probes import ProbeIndex, due
from memory.records import Probe
from memory.testing import memory_store
from tests.helpers.embedding import DIMENSION, CountingEmbedder, embed
from tests.helpers.stores import YES, adapter_for, add, learn, start, study

PROBES = [
    Probe(
        1, "direct", f"which port has service{number} in hall{number % 7}?", "80", "80", number + 10
    )
    for number in range(50)
]


def index_in(state: Path, embedder: CountingEmbedder | None = None) -> ProbeIndex:
    return ProbeIndex(state, embedder or embed, DIMENSION)


def brute_force(probes: list[Probe], text: str, k: int) -> list[float]:
    similarities = embed([probe.question for probe in probes]) @ embed([text])[0]
    return sorted(map(float, similarities), reverse=True)[:k]


def test_nearest_equals_brute_force(state: Path) -> None:
    index = index_in(state)
    index.refresh(PROBES)
    text = "the port of service7"
    ((best, similarity), *rest), (other, *_) = index.nearest([text, PROBES[20].question], 5)
    assert (best, other[0]) == (PROBES[7].id, PROBES[20].id)
    found = [similarity, *(one for _, one in rest)]
    assert found == pytest.approx(brute_force(PROBES, text, 5), abs=1e-6)


def test_small_and_empty_indexes(state: Path) -> None:
    index = index_in(state)
    assert index.nearest(["anything"], 3) == [[]]
    assert index.nearest([], 3) == []
    index.refresh(PROBES[:2])
    assert len(index.nearest(["anything"], 3)[0]) == 2


def test_refresh_embeds_only_what_is_new(state: Path) -> None:
    embedder = CountingEmbedder()
    index = index_in(state, embedder)
    index.refresh(PROBES[:30])
    index.refresh(PROBES[10:35])
    index.refresh(PROBES[10:35])
    assert embedder.texts == 35
    found = {one for one, _ in index.nearest(["port"], 50)[0]}
    assert found == {probe.id for probe in PROBES[10:35]}


def test_a_whole_index_is_loaded(state: Path) -> None:
    index_in(state).refresh(PROBES)
    embedder = CountingEmbedder()
    index_in(state, embedder).refresh(PROBES)
    assert embedder.texts == 0
    manifest = json.loads((state / "probes.json").read_text())
    assert (manifest["count"], manifest["dimension"]) == (50, DIMENSION)


def _delete(state: Path) -> None:
    (state / "probes.faiss").unlink()


def _truncate(state: Path) -> None:
    path = state / "probes.faiss"
    path.write_bytes(path.read_bytes()[:1000])


def _flip_a_bit(state: Path) -> None:
    path = state / "probes.faiss"
    data = bytearray(path.read_bytes())
    data[-500] ^= 1
    path.write_bytes(data)


def _other_dimension(state: Path) -> None:
    other = faiss.IndexIDMap2(faiss.IndexFlatIP(7))
    other.add_with_ids(np.ones((50, 7), np.float32), np.arange(50))
    faiss.write_index(other, str(state / "probes.faiss"))


def _no_manifest(state: Path) -> None:
    (state / "probes.json").unlink()


def _junk_manifest(state: Path) -> None:
    (state / "probes.json").write_text("{")


DAMAGES = [_delete, _truncate, _flip_a_bit, _other_dimension, _no_manifest, _junk_manifest]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_index_is_rebuilt(state: Path, damage: Callable[[Path], None]) -> None:
    index_in(state).refresh(PROBES)
    damage(state)
    index = index_in(state)
    index.refresh(PROBES)
    assert index.nearest([PROBES[3].question], 1)[0][0][0] == PROBES[3].id
    embedder = CountingEmbedder()
    index_in(state, embedder).refresh(PROBES)
    assert embedder.texts == 0  # healed on disk too


@pytest.mark.parametrize("probes", [PROBES[1:], [Probe(1, "direct", "?", "", "", 10), *PROBES[1:]]])
def test_an_index_out_of_step_is_rebuilt(state: Path, probes: list[Probe]) -> None:
    index_in(state).refresh(PROBES)
    embedder = CountingEmbedder()
    index_in(state, embedder).refresh(probes)
    assert embedder.texts == len(probes)


def test_a_changed_question_is_embedded_again(state: Path) -> None:
    index = index_in(state)
    index.refresh(PROBES)
    index.refresh([Probe(1, "direct", "zebra crossing", "", "", PROBES[0].id), *PROBES[1:]])
    assert index.nearest(["zebra crossing"], 1)[0][0][0] == PROBES[0].id


def test_full_disk(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_in(state)
    monkeypatch.setenv("LEARND_FAILPOINT", "index.manifest=raise")
    with pytest.raises(DiskFull):
        index.refresh(PROBES)
    monkeypatch.delenv("LEARND_FAILPOINT")
    index.refresh(PROBES)
    assert (state / "probes.json").exists()


def test_due_rests_longer_after_every_success() -> None:
    store = memory_store()
    learn(store, add(store, "a.md"))  # its probes are right once, so they rest for 2 generations
    learn(store, add(store, "b.md"), correct=False)  # wrong: they rest for 1
    names = [probe.question.split()[1] for probe in due(store, 10)]
    assert names == []
    store.activate(2, "one more generation")
    names = [probe.question.split()[1] for probe in due(store, 10)]
    assert names == ["b.md", "b.md", "a.md", "a.md"]  # equally urgent: the wrong ones first
    for _ in range(3):
        store.activate(2, "time passes")
    assert [probe.id for probe in due(store, 3, exclude={3})] == [4, 1, 2]


def test_never_asked_comes_first_and_general_probes_have_no_turn() -> None:
    store = memory_store()
    store.add_general([Probe(None, "general", "2 + 2?", "4", "4")])
    batch = study(store, start(store, add(store, "a.md")))
    batch = store.save_training(batch, adapter_for(store, batch))
    batch = store.save_verdict(store.save_examination(batch, [], []), YES)
    store.promote(store.save_merge(batch, "m"), "learned")
    assert [probe.question for probe in due(store, 10)] == [
        "probe: a.md v1 question 0",
        "probe: a.md v1 question 1",
    ]
    assert len(due(store, 1)) == 1
