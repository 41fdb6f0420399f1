"""The index is exact, in step with the store, and may be lost at any time."""

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
import pytest

from memory.errors import DiskFull
from memory.index import TextIndex, Vectors
from tests.helpers.embedding import DIMENSION, CountingEmbedder, embed

TEXTS = {
    number + 10: f"which port has service{number} in hall{number % 7}?" for number in range(50)
}


def some(start: int, end: int) -> dict[int, str]:
    return dict(list(TEXTS.items())[start:end])


def index_in(state: Path, embedder: CountingEmbedder | None = None) -> TextIndex:
    return TextIndex(state, "probes", embedder or embed, DIMENSION)


def brute_force(texts: dict[int, str], text: str, k: int) -> list[float]:
    similarities = embed(list(texts.values())) @ embed([text])[0]
    return sorted(map(float, similarities), reverse=True)[:k]


def test_nearest_equals_brute_force(state: Path) -> None:
    index = index_in(state)
    index.refresh(TEXTS)
    text = "the port of service7"
    ((best, similarity), *rest), (other, *_) = index.nearest([text, TEXTS[30]], 5)
    assert (best, other[0]) == (17, 30)
    found = [similarity, *(one for _, one in rest)]
    assert found == pytest.approx(brute_force(TEXTS, text, 5), abs=1e-6)


def test_small_and_empty_indexes(state: Path) -> None:
    index = index_in(state)
    assert index.nearest(["anything"], 3) == [[]]
    assert index.nearest([], 3) == []
    index.refresh(some(0, 2))
    assert len(index.nearest(["anything"], 3)[0]) == 2


def test_refresh_embeds_only_what_is_new(state: Path) -> None:
    embedder = CountingEmbedder()
    index = index_in(state, embedder)
    index.refresh(some(0, 30))
    index.refresh(some(10, 35))
    index.refresh(some(10, 35))
    assert embedder.texts == 35
    found = {one for one, _ in index.nearest(["port"], 50)[0]}
    assert found == set(some(10, 35))


def test_a_whole_index_is_loaded(state: Path) -> None:
    index_in(state).refresh(TEXTS)
    embedder = CountingEmbedder()
    index_in(state, embedder).refresh(TEXTS)
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
    index_in(state).refresh(TEXTS)
    damage(state)
    index = index_in(state)
    index.refresh(TEXTS)
    assert index.nearest([TEXTS[13]], 1)[0][0][0] == 13
    embedder = CountingEmbedder()
    index_in(state, embedder).refresh(TEXTS)
    assert embedder.texts == 0  # healed on disk too


@pytest.mark.parametrize("texts", [some(1, 50), {10: "?", **some(1, 50)}])
def test_an_index_out_of_step_is_rebuilt(state: Path, texts: dict[int, str]) -> None:
    index_in(state).refresh(TEXTS)
    embedder = CountingEmbedder()
    index_in(state, embedder).refresh(texts)
    assert embedder.texts == len(texts)


def test_a_changed_question_is_embedded_again(state: Path) -> None:
    index = index_in(state)
    index.refresh(TEXTS)
    index.refresh({**TEXTS, 10: "zebra crossing"})
    assert index.nearest(["zebra crossing"], 1)[0][0][0] == 10


def test_full_disk(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_in(state)
    monkeypatch.setenv("LEARND_FAILPOINT", "index.manifest=raise")
    with pytest.raises(DiskFull):
        index.refresh(TEXTS)
    monkeypatch.delenv("LEARND_FAILPOINT")
    index.refresh(TEXTS)
    assert (state / "probes.json").exists()


@pytest.mark.parametrize("point", ["index.write", "index.manifest"])
def test_what_had_no_room_is_saved_once_there_is_some(
    state: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    index = index_in(state)
    index.refresh(some(0, 9))
    monkeypatch.setenv("LEARND_FAILPOINT", f"{point}=raise")
    with pytest.raises(DiskFull):
        index.refresh(some(0, 10))
    monkeypatch.delenv("LEARND_FAILPOINT")
    index.refresh(some(0, 10))
    counting = CountingEmbedder()
    index_in(state, counting).refresh(some(0, 10))
    assert counting.texts == 0


def test_who_only_looks_leaves_no_file(state: Path) -> None:
    index = index_in(state)
    index.refresh(some(0, 5), save=False)
    index.refresh(some(0, 6), save=False)
    assert len(index.nearest(["port"], 50)[0]) == 6
    assert not list(state.glob("probes.*"))


def test_who_searches_does_not_wait_for_what_is_embedded(state: Path) -> None:
    embedding, enough = threading.Event(), threading.Event()

    def slowly(texts: Sequence[str]) -> Vectors:
        if len(texts) > 1:
            embedding.set()
            assert enough.wait(20)
        return embed(texts)

    index = TextIndex(state, "probes", slowly, DIMENSION)
    index.refresh(some(0, 1))
    with ThreadPoolExecutor(2) as pool:
        refreshing = pool.submit(index.refresh, some(1, 9))
        assert embedding.wait(20)
        try:
            [[(old, _)]] = pool.submit(index.nearest, ["which port"], 5).result(timeout=20)
        finally:
            enough.set()
        refreshing.result(timeout=20)
    [found] = index.nearest(["which port"], 50)
    assert old == 10 and {one for one, _ in found} == set(some(1, 9))
