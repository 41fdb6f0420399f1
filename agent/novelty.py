"""What of a batch is new, and what its documents said before in the same words."""

from dataclasses import dataclass

from agent.chunking import split
from memory.records import Batch, Chunk
from memory.store import Repeated, Store
from policies.al import statements


@dataclass(frozen=True, slots=True)
class Novelty:
    """What is to be studied."""

    chunks: tuple[Chunk, ...]
    known: frozenset[tuple[int, str]]  # (chunk, statement) in them: what was taught already


def find(store: Store, batch: Batch, chunk_words: int) -> Novelty:
    """Cut the batch's documents into chunks, and note what they repeat.

    A chunk is left out if it did not change, or if all that it states was taught: a sentence less.
    """
    for number in batch.document_ids:
        document = store.document(number)
        store.save_chunks(number, split(document.title, document.text, chunk_words))
    taught = store.stated(batch)
    said = {chunk: statements(chunk) for chunk in store.fresh(batch)}
    repeated = [
        Repeated(earlier, chunk.id, statement)
        for chunk, every in said.items()
        for statement in sorted(every)
        for earlier in taught.get((chunk.document_id, statement), ())
    ]
    store.save_repeated(batch, repeated)
    known = frozenset((one.chunk_id, one.statement) for one in repeated)
    new = [
        chunk
        for chunk, every in said.items()
        if not every or any((chunk.id, statement) not in known for statement in every)
    ]
    return Novelty(tuple(new), known)
