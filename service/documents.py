"""`learnd docs` and `/v1/documents`: what stands in the folder, and how well it was studied."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from memory.records import Chunk, StudyItem
from memory.store import Conflict, Store
from policies.selection import coverage


def rows(store: Store) -> list[dict[str, Any]]:
    """Every document, with the share of its sentences that a study question tests (coverage), and
    what it says otherwise than others that were learned before (contradicts)."""
    warned: defaultdict[str, list[Conflict]] = defaultdict(list)
    for conflict in store.conflicts():
        warned[conflict.path].append(conflict)
    items: defaultdict[int | None, list[StudyItem]] = defaultdict(list)
    for item in store.items():
        items[item.chunk_id].append(item)
    return [
        {
            **asdict(row),
            "coverage": _coverage(store.chunks([row.id]), items),
            "contradicts": [asdict(conflict) for conflict in warned[row.path]],
        }
        for row in store.document_rows()
    ]


def _coverage(
    chunks: Sequence[Chunk], items: Mapping[int | None, Sequence[StudyItem]]
) -> float | None:
    """None until the document is learned."""
    studied = [item for chunk in chunks for item in items.get(chunk.id, ())]
    return coverage(chunks, studied) if studied else None


def contradicted(conflicts: Sequence[Mapping[str, Any]]) -> str:
    """For a cell of a table: the other documents, with one statement of each."""
    found = {one["earlier_path"]: one for one in conflicts}
    return "; ".join(
        f"{path}: {one['statement']} / {one['earlier']}" for path, one in found.items()
    )
