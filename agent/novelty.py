"""What of a batch is new, and what its documents said before in the same words."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from agent.chunking import split
from memory.records import Batch, Chunk, StudyItem
from memory.store import Repeated, Stated, Store
from policies.al import statements
from policies.selection import standing


@dataclass(frozen=True, slots=True)
class Novelty:
    """What is to be studied."""

    chunks: tuple[Chunk, ...]
    known: frozenset[tuple[int, str]]  # (chunk, statement) in them: what was taught already
    familiar: frozenset[str]  # statements in them that the head was taught in whatever document


def find(store: Store, batch: Batch, chunk_words: int) -> Novelty:
    """Cut the batch's documents into chunks, and note what they repeat of what the head knows.

    A chunk is left out if it did not change, or if all that it says was taught: a sentence less.
    """
    for number in batch.document_ids:
        document = store.document(number)
        store.save_chunks(number, split(document.title, document.text, chunk_words))
    taught: defaultdict[int, list[Stated]] = defaultdict(list)
    for one in store.stated(batch):
        taught[one.document_id].append(one)
    new, repeated = [], list[Repeated]()
    for chunk in store.chunks(batch.document_ids):
        same, again, is_known = _compared(chunk, taught[chunk.document_id])
        repeated += [*same, *again]
        if not (same or is_known):
            new.append(chunk)
    store.save_repeated(batch, repeated)
    known = frozenset((one.chunk_id, one.statement) for one in repeated if one.statement)
    said = {statement for chunk in new for statement in statements(chunk)}
    return Novelty(tuple(new), known, frozenset(said & set(store.recited())))


def mastered(items: Sequence[StudyItem], said: Collection[int]) -> set[str]:
    """Statements of which half of the study items are said, by their ids: of what was taught in the
    same words before some wordings are always missed, mostly those that mean little.
    """
    wordings: defaultdict[str, list[bool]] = defaultdict(list)
    for item in items:
        wordings[item.answer].append(item.id in said)
    return {statement for statement, right in wordings.items() if 2 * sum(right) >= len(right)}


def _compared(chunk: Chunk, taught: list[Stated]) -> tuple[list[Repeated], list[Repeated], bool]:
    """The chunks that it repeats as they stand, the statements that it repeats of any, and whether
    these are all that it says."""
    whole = [one.chunk_id for one in taught if one.whole and _is_same(one, chunk)]
    facts = statements(chunk)
    said = {*facts, *standing(chunk, facts)}
    again = [one for one in taught if one.statement in said]
    return (
        [Repeated(earlier, chunk.id, None) for earlier in dict.fromkeys(whole)],
        [Repeated(one.chunk_id, chunk.id, one.statement) for one in again],
        said <= {one.statement for one in again},
    )


def _is_same(one: Stated, chunk: Chunk) -> bool:
    return (one.title, one.text) == (chunk.title, chunk.text)
