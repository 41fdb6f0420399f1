"""What to rehearse beside a new batch, so that learning it forgets nothing.

Forgetting hits what was shaky already, and what lies near the new. So replay takes study items of
chunks in which a sentence changed, then of those whose last probe failed, then of chunks near the
new documents, then evenly of all documents. Each of the first three may take half of what is left;
a pile of failures cannot crowd out the rest.
A fact has a dozen items, in other words each: all facts come once before any comes twice.
"""

import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter

from memory.records import Batch, StudyItem
from memory.store import Rehearsable, Store


def draw(
    store: Store, batch: Batch, size: int, seed: int, neighbours: Sequence[int] = ()
) -> list[StudyItem]:
    """Up to `size` study items to train on again beside a batch.

    `neighbours` are ids of probes near the new documents, nearest first. What the batch's documents
    say no more is never drawn: it is what must be unlearned. Equal arguments draw equal items.
    """
    outdated = store.outdated_items(batch)
    pool = [item for item in store.rehearsable() if item.item_id not in outdated]
    chunk_of = {probe.id: probe.chunk_id for probe in store.probes()}
    failed = {chunk_of.get(one) for one, last in store.latest_results().items() if not last.correct}
    near = {chunk_of.get(probe_id) for probe_id in neighbours}
    chance = random.Random(seed)

    drawn: dict[int, None] = {}  # item ids, in the order of drawing
    for chunks in (store.beside(batch), failed, near):
        wanted = (size - len(drawn) + 1) // 2
        matching = (item for item in pool if item.chunk_id in chunks and item.item_id not in drawn)
        drawn |= dict.fromkeys(_spread(matching, _chunk, wanted, chance))
    rest = (item for item in pool if item.item_id not in drawn)
    drawn |= dict.fromkeys(_spread(rest, _document, size - len(drawn), chance))
    return store.items_by_id(drawn)


def _chunk(item: Rehearsable) -> int:
    return item.chunk_id


def _document(item: Rehearsable) -> int:
    return item.document_id


def _spread(
    items: Iterable[Rehearsable],
    group: Callable[[Rehearsable], int],
    size: int,
    chance: random.Random,
) -> list[int]:
    """Up to `size` item ids, one of each group in turn, groups and items in random order."""
    groups: defaultdict[int, list[Rehearsable]] = defaultdict(list)
    for item in items:
        groups[group(item)].append(item)
    waiting = [_by_turns(chance.sample(one, len(one))) for one in groups.values()]
    chance.shuffle(waiting)
    drawn: list[int] = []
    while waiting and len(drawn) < size:
        drawn += [members.popleft() for members in waiting[: size - len(drawn)]]
        waiting = [members for members in waiting if members]
    return drawn


def _by_turns(items: Sequence[Rehearsable]) -> deque[int]:
    """Item ids: one of each fact, then another of each."""
    turns = Counter[int]()
    found = list[tuple[int, int]]()
    for item in items:
        found.append((turns[item.fact], item.item_id))
        turns[item.fact] += 1
    return deque(item_id for _, item_id in sorted(found, key=itemgetter(0)))
