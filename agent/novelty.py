"""What of a batch is new, and what its documents or others said before in the same words."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from agent.chunking import split
from memory.records import Batch, Chunk
from memory.store import Repeated, Stated, Store
from policies.al import statements, topic
from policies.selection import standing


@dataclass(frozen=True, slots=True)
class Novelty:
    """What is to be studied."""

    chunks: tuple[Chunk, ...]
    known: frozenset[tuple[int, str]]  # (chunk, statement) in them: what was taught already


def find(store: Store, batch: Batch, chunk_words: int) -> Novelty:
    """Cut the batch's documents into chunks, and note what they repeat of what the head knows, by
    earlier versions of theirs or by other documents.

    A chunk is left out if it did not change, or if all that it says was taught: a sentence less, or
    a file that was copied.
    """
    for number in batch.document_ids:
        document = store.document(number)
        store.save_chunks(number, split(document.title, document.text, chunk_words))
    chunks = store.chunks(batch.document_ids)
    says = {chunk.id: _says(chunk) for chunk in chunks}
    own = _by_document(store.stated(batch))
    others = _by_document(store.elsewhere(batch, set().union(*says.values())))
    new, repeated = [], list[Repeated]()
    for chunk in chunks:
        number = chunk.document_id
        found = _compared(chunk, says[chunk.id], own[number], others[number])
        repeated += found
        told = {one.statement for one in found}
        if not (None in told or says[chunk.id] <= told):
            new.append(chunk)
    store.save_repeated(batch, repeated)
    known = frozenset((one.chunk_id, one.statement) for one in repeated if one.statement)
    return Novelty(tuple(new), known)


def _by_document(taught: Iterable[Stated]) -> defaultdict[int, list[Stated]]:
    found: defaultdict[int, list[Stated]] = defaultdict(list)
    for one in taught:
        found[one.document_id].append(one)
    return found


def _says(chunk: Chunk) -> set[str]:
    """All that is taught of a chunk."""
    facts = statements(chunk)
    return {*facts, *standing(chunk, facts)}


def _compared(
    chunk: Chunk, says: Collection[str], own: Iterable[Stated], others: Iterable[Stated]
) -> list[Repeated]:
    """What it repeats: as it stands (no statement), statements of the same document, and, of what
    is left, those of others, each once and under the same heading."""
    own = list(own)
    whole = dict.fromkeys(one.chunk_id for one in own if one.whole and _is_same(one, chunk))
    again = [one for one in own if one.statement in says]
    left = set(says) - {one.statement for one in again} if not whole else set()
    heading = topic(chunk.title)
    copied = {
        one.statement: one
        for one in others
        if one.statement in left and topic(one.title) == heading
    }
    return [
        *(Repeated(earlier, chunk.id, None) for earlier in whole),
        *(Repeated(one.chunk_id, chunk.id, one.statement) for one in (*again, *copied.values())),
    ]


def _is_same(one: Stated, chunk: Chunk) -> bool:
    return (one.title, one.text) == (chunk.title, chunk.text)
