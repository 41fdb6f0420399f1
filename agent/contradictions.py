"""What a new batch says otherwise than a document that was learned: told to people, not judged.

A statement is compared with those of the chunks whose probes lie nearest to it; the rule that
compares two of them is in policies/contradictions.py.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from memory.index import TextIndex
from memory.records import Batch, Contradiction, StudyItem
from memory.store import Store
from policies.contradictions import conflict

_NEAREST: Final = 3  # old probes of each new statement


def find(
    store: Store, index: TextIndex, batch: Batch, items: Sequence[StudyItem]
) -> list[Contradiction]:
    """Of a batch whose study items are these. The index holds the questions of the old probes;
    what the batch's documents replace may say what it likes."""
    replaced = store.superseded(batch)
    document_of = {chunk.id: chunk.document_id for chunk in store.chunks(batch.document_ids)}
    said = list(dict.fromkeys((one.chunk_id, one.answer) for one in items if one.kind != "text"))

    @cache
    def learned(probe_id: int) -> Sequence[tuple[int, str]]:
        """What the document of a probe says near it, with the document's id."""
        return store.statements_near(probe_id)

    def pairs() -> Iterator[Contradiction]:
        nearest = index.nearest([statement for _, statement in said], _NEAREST)
        for (chunk_id, statement), row in zip(said, nearest, strict=True):
            for earlier_id, earlier in (pair for one, _ in row for pair in learned(one)):
                if chunk_id in document_of and conflict(statement, earlier):
                    yield Contradiction(document_of[chunk_id], statement, earlier_id, earlier)

    return [one for one in dict.fromkeys(pairs()) if one.earlier_id not in replaced]
