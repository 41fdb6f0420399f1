"""What a new batch says otherwise than a document that was learned: told to people, not judged.

A statement is compared with those of the documents whose probes lie nearest to it; the rule that
compares two of them is in policies/conflicts.py.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from memory.index import TextIndex
from memory.records import Batch, Contradiction, StudyItem
from memory.store import Store
from policies.conflicts import Statement, conflict, read

_NEAREST: Final = 5  # old probes of each new statement


def find(
    store: Store, index: TextIndex, batch: Batch, items: Sequence[StudyItem]
) -> list[Contradiction]:
    """Of a batch whose study items are these. The index holds the questions of the old probes;
    what the batch's documents replace may say what it likes."""
    replaced = store.superseded(batch)
    document_of = {chunk.id: chunk.document_id for chunk in store.chunks(batch.document_ids)}
    said = list(dict.fromkeys((one.chunk_id, one.answer) for one in items if one.kind != "text"))

    @cache
    def learned(probe_id: int) -> list[tuple[int, Statement]]:
        """What the document of a probe says, with the document's id."""
        return [(number, read(text)) for number, text in store.statements_near(probe_id)]

    def pairs() -> Iterator[Contradiction]:
        nearest = index.nearest([statement for _, statement in said], _NEAREST)
        for (chunk_id, statement), row in zip(said, nearest, strict=True):
            new = read(statement)
            for earlier_id, earlier in (pair for one, _ in row for pair in learned(one)):
                if chunk_id in document_of and conflict(new, earlier):
                    about = (document_of[chunk_id], statement)
                    yield Contradiction(*about, earlier_id, earlier.text)

    return [one for one in dict.fromkeys(pairs()) if one.earlier_id not in replaced]
