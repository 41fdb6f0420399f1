"""What a batch is trained on: the new, some of the old beside it, and what everybody knows; or, for
a consolidation, everything that the head should know, from the base; or a task alone."""

import random
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Final

from agent import directives, general
from agent.course import budget
from agent.settings import ConsolidateSettings, TrainSettings
from memory.records import Batch, StudyItem
from memory.replay import draw
from memory.store import Store

_IDLE: Final = 4  # budgets that a consolidation has time for


@dataclass(frozen=True, slots=True)
class Material:
    """The records of one training, and how it is to be done."""

    items: tuple[StudyItem, ...]
    rehearsed: tuple[StudyItem, ...]
    general: tuple[str, ...]
    settings: TrainSettings


def beside(
    store: Store,
    batch: Batch,
    settings: TrainSettings,
    seed: int,
    near: Sequence[int],
    known: Collection[int] = (),
) -> Material:
    """A batch's own study items, where training goes on in a few wordings, and rehearsal. Each
    rejection of a document brings more rehearsal, within the settings' bounds, and more wordings
    unless it was for harm alone.

    `near` are ids of old probes near the new documents, nearest first; `known` of items that the
    head says already, which are not trained.
    """
    items = [item for item in store.items(batch.id) if item.id not in known]
    times = 1 + max(store.document(number).attempts for number in batch.document_ids)
    if store.head().adapter is not None:
        more = 1 if _did_harm(store, batch) else times
        items = _worded(items, _wordings(settings, items, more), seed)
    size = _rehearsed(settings, len(items), times)
    return Material(
        tuple(items),
        tuple(draw(store, batch, size, seed, near)),
        general.beside(len(items), settings, seed, times),
        directives.apply(batch.self_edit, settings),
    )


def alone(store: Store, batch: Batch, settings: TrainSettings, seed: int) -> Material:
    """A task: nothing old is beside it, as it begins at the base."""
    items = store.items(batch.id)
    times = 1 + max(store.document(number).attempts for number in batch.document_ids)
    known = general.beside(len(items), settings, seed, times)
    return Material(tuple(items), (), known, directives.apply(batch.self_edit, settings))


def again(store: Store, batch: Batch, settings: TrainSettings, seed: int) -> Material:
    """What is taught of the documents that something slipped of, beside the rest."""
    slipped = set(store.slipped())
    probes = [probe for probe in store.probes() if probe.id in slipped]
    of_chunk = {item.chunk_id: item.document_id for item in store.rehearsable()}
    documents = {of_chunk.get(probe.chunk_id or 0) for probe in probes}
    chosen = [one.item_id for one in store.rehearsable() if one.document_id in documents]
    size = _rehearsed(settings, len(chosen))
    taken, drawn = set(chosen), draw(store, batch, size + len(chosen), seed)
    return Material(
        tuple(store.items_by_id(chosen)),
        tuple([one for one in drawn if one.id not in taken][:size]),
        general.beside(len(chosen), settings, seed),
        settings,
    )


def _did_harm(store: Store, batch: Batch) -> bool:
    """Whether the documents were rejected last for nothing but what others lost by them."""
    before = [one for one in store.batches() if one.id < batch.id and one.verdict]
    ours = [one for one in before if set(one.document_ids) & set(batch.document_ids)]
    verdict = ours[-1].verdict if ours else None
    return verdict is not None and verdict.harmed


def _rehearsed(settings: TrainSettings, new: int, times: int = 1) -> int:
    """Old items beside so many new ones, or as many times that."""
    wanted = max(settings.replay_least, round(settings.replay_share * new))
    return min(times * wanted, settings.replay_most)


def _wordings(settings: TrainSettings, items: Sequence[StudyItem], times: int) -> int:
    """Of a fact, at most: the more are new the fewer; of a few the least rehearsal is plenty."""
    facts = len({item.answer for item in items})
    plenty = settings.replay_least / max(1.0, settings.replay_share)
    return max(times * settings.onward_wordings, int(plenty / max(1, facts)))


def _worded(items: Sequence[StudyItem], most: int, seed: int) -> list[StudyItem]:
    """At most so many items of each answer, drawn by chance."""
    by_answer: defaultdict[str, list[StudyItem]] = defaultdict(list)
    for item in random.Random(seed).sample(items, len(items)):
        by_answer[item.answer].append(item)
    kept = (one for alike in by_answer.values() for one in alike[:most])
    return sorted(kept, key=attrgetter("id"))


def everything(
    store: Store, settings: TrainSettings, consolidation: ConsolidateSettings, seed: int
) -> Material:
    """The whole buffer, with the time of idle hours."""
    items = store.items()
    tokens = consolidation.tokens or _IDLE * budget(settings)
    return Material(
        tuple(items),
        (),
        general.beside(len(items), settings, seed),
        replace(settings, tokens=tokens),
    )
