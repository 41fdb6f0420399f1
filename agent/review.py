"""Which probes concern a batch: its own, those of the old that it may have harmed, and the general.

Not every probe is asked after every batch: of the old, those that lie near the new documents, where
interference is likeliest, and those whose review is due (memory/probes.py). In idle time whatever
else is due is asked of what is served.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.settings import GateSettings
from memory.index import TextIndex
from memory.probes import due
from memory.records import Batch, Phase, Probe, StudyItem
from memory.store import Store
from policies.selection import words

_SAME_QUESTION: Final = 0.97  # cosine similarity from which a probe counts as trained on


@dataclass(frozen=True, slots=True)
class Paper:
    """The questions of one examination."""

    new: tuple[Probe, ...]  # about what the batch teaches
    old: tuple[Probe, ...]  # about what was learned before
    general: tuple[Probe, ...]  # about what everybody knows

    @property
    def probes(self) -> tuple[Probe, ...]:
        return (*self.new, *self.old, *self.general)


class Review:
    """Chooses probes from a store, with an index of their questions."""

    def __init__(self, store: Store, index: TextIndex, settings: GateSettings) -> None:
        self._store = store
        self._index = index
        self._settings = settings

    def paper(self, batch: Batch) -> Paper:
        """What to ask before and after a batch; a consolidation is asked everything."""
        live = self._store.probes()
        general = tuple(probe for probe in live if probe.chunk_id is None)
        if batch.task:
            return Paper(tuple(self._store.probes(batch.id)), (), general)
        if batch.consolidates:
            return Paper((), tuple(probe for probe in live if probe.chunk_id is not None), general)
        if batch.repairs:
            return Paper((), tuple(self._suspects(live)), general)
        new = self.new(batch)
        known = [probe for probe in self._store.probes(batch.id) if probe not in new]
        return Paper(new, (*known, *self._old(batch, live)), general)

    def new(self, batch: Batch) -> tuple[Probe, ...]:
        """Its probes about what it trains: what was known before is no news."""
        known = self._store.known_statements(batch.id)
        own = self._store.probes(batch.id)
        return tuple(probe for probe in own if probe.statement not in known)

    def waiting(self) -> list[Probe]:
        """What is due of the head, as far as its weights were not asked yet."""
        adapter = self._store.head().adapter
        if adapter is None:
            return []
        made_by = self._store.adapter(adapter).batch_id
        results = [
            result
            for phase in (Phase.AFTER, Phase.REVIEW)
            for result in self._store.results(made_by, phase)
        ]
        probes = self._store.probes()
        return due(self._store, len(probes), exclude={result.probe_id for result in results})

    def _suspects(self, live: Sequence[Probe]) -> list[Probe]:
        """What slipped, all else about the same chunks, and what is due of the rest."""
        slipped = set(self._store.slipped())
        chunks = {probe.chunk_id for probe in live if probe.id in slipped}
        near = {probe.id: probe for probe in live if probe.chunk_id in chunks}
        return [*near.values(), *due(self._store, self._most(live), exclude=near)]

    def _most(self, live: Sequence[Probe]) -> int:
        """How many old probes may be asked because they are due."""
        known = sum(probe.chunk_id is not None for probe in live)
        return max(self._settings.due, round(self._settings.due_share * known))

    def _old(self, batch: Batch, live: Sequence[Probe]) -> list[Probe]:
        """What these documents say no more is not asked: that it is forgotten is wanted."""
        known = {probe.id: probe for probe in live if probe.chunk_id is not None}
        skipped = self._store.outdated_probes(batch)
        near = [i for i in self.neighbours(batch) if i in known and i not in skipped]
        near = near[: self._settings.neighbours]
        return [
            *(known[i] for i in near),
            *due(self._store, self._most(live), exclude={*near, *skipped}),
        ]

    def neighbours(self, batch: Batch) -> list[int]:
        """Ids of old probes near the new chunks, nearest first."""
        self.refresh()
        studied = {item.chunk_id for item in self._store.items(batch.id)}
        every = self._store.chunks(batch.document_ids)
        chunks = [chunk for chunk in every if chunk.id in studied]
        texts = [f"{chunk.title}: {chunk.text}" for chunk in chunks]
        best: dict[int, float] = {}
        for row in self._index.nearest(texts, self._settings.neighbours):
            for probe_id, similarity in row:
                best[probe_id] = max(similarity, best.get(probe_id, similarity))
        return sorted(best, key=lambda one: -best[one])

    def refresh(self) -> None:
        """Bring the index in step with what the head should know. Raises DiskFull."""
        about = (one for one in self._store.probes() if one.chunk_id is not None)
        self._index.refresh({probe.id: probe.question for probe in about})

    def apart(
        self, probes: Sequence[Probe], items: Sequence[StudyItem]
    ) -> tuple[list[Probe], list[StudyItem]]:
        """Both, but no item gives a probe away by its words or its meaning: the probe goes. If no
        sound one were left, as it may be of one sentence, items go instead, as long as others teach
        what is asked."""
        prompts = [item.prompt for item in items if item.prompt]
        seen = self._alike([probe.question for probe in probes], prompts)
        unseen = [probe for probe in probes if probe.question not in seen]
        if all(probe.fault for probe in unseen):
            sound = [probe for probe in probes if not probe.fault]
            leaks = self._alike(prompts, [probe.question for probe in sound])
            silent = [item for item in items if item.prompt not in leaks]
            taught = {item.answer for item in silent}
            if asked := [probe for probe in sound if probe.statement in taught]:
                return [*unseen, *asked], silent
        return unseen, list(items)

    def _alike(self, questions: Sequence[str], others: Sequence[str]) -> set[str]:
        """Those that are one of the others in other words, or in another order."""
        known = {words(one) for one in others}
        closest = self._index.closest(questions, others)
        return {
            one
            for one, similarity in zip(questions, closest, strict=True)
            if similarity >= _SAME_QUESTION or words(one) in known
        }
