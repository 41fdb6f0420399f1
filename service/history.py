"""`learnd history`, `/v1/history`: per document what is known, what slipped, what repaired it."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from memory.records import Generation
from memory.store import Conflict, Moment, Recall, Store


def rows(store: Store) -> list[dict[str, Any]]:
    """A row a version of a document, with its story in words and in numbers."""
    moments = groupby(store.moments(), key=lambda one: (one.path, one.version))
    conflicts, undone = store.conflicts(), _undone(store)
    return [_row(path, version, list(told), conflicts, undone) for (path, version), told in moments]


def _row(
    path: str,
    version: int,
    told: Sequence[Moment],
    conflicts: Sequence[Conflict],
    undone: Mapping[tuple[str, int], Generation],
) -> dict[str, Any]:
    mine = (one for one in conflicts if (one.path, one.version) == (path, version))
    against = dict.fromkeys(f"contradicts {one.earlier_path}" for one in mine)
    back = undone.get((path, version))
    story = [*map(_told, told), f"{back.name}: {back.note}" if back else "", *against]
    return {
        "path": path,
        "version": version,
        "learned": sum(one.learned for one in told),
        "slipped": sum(one.slipped for one in told),
        "repaired": sum(one.repaired for one in told),
        "story": "; ".join(filter(None, story)) or "never known",
        "moments": told,
    }


def _told(moment: Moment) -> str:
    """As in "g7: 5 learned of 6" or "g11: 1 slipped of 3"; nothing where nothing changed."""
    counts = ("learned", "slipped", "repaired")
    changes = [f"{getattr(moment, one)} {one}" for one in counts if getattr(moment, one)]
    if not changes:
        return ""
    return f"g{moment.generation}: {', '.join(changes)} of {moment.asked}"


def _undone(store: Store) -> dict[tuple[str, int], Generation]:
    """Of each version of a document that was taken back, the rollback that did it first."""
    found: dict[tuple[str, int], Generation] = {}
    for back, undone in _rollbacks(store.generations()):
        for document_id in store.batch(undone).document_ids:
            document = store.document(document_id)
            found.setdefault((document.path, document.version), back)
    return found


def _rollbacks(generations: Sequence[Generation]) -> Iterator[tuple[Generation, int]]:
    """Each rollback with each batch that it took back, in order."""
    weights = [(each.adapter, each.model) for each in generations]
    for back in generations[1:]:
        if back.batch_id is None:
            origin = weights.index((back.adapter, back.model))
            for one in generations[origin + 1 : generations.index(back)]:
                # what has the same weights was adopted, and stands
                if one.batch_id is not None and (one.adapter, one.model) != weights[origin]:
                    yield back, one.batch_id


def draw(recall: Sequence[Recall], file: Path) -> None:
    """Plot the share of probes that is known over generations (PNG)."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    panel = figure.subplots()
    numbers = [one.generation for one in recall]
    panel.plot(numbers, [one.right / one.asked for one in recall], marker="o")
    panel.set(xlabel="generation", ylabel="share of probes known", ylim=(0, 1.05))
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    asked = panel.twinx()
    asked.bar(numbers, [one.asked for one in recall], alpha=0.15, color="gray")
    asked.set(ylabel="probes (bars)")
    asked.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.savefig(file, dpi=120)
