"""The store's lineage: what is and was served, and the adapters it came from."""

import json
from collections.abc import Iterable, Sequence

from memory.connection import THERE, Connection
from memory.errors import BadInput, UnknownModel
from memory.records import Adapter, Generation, Phase, ProbeResult

_HEAD = "WHERE task = '' ORDER BY number DESC LIMIT 1"
_TASKS = f"""WHERE number IN (SELECT max(number) FROM generations GROUP BY task)
    AND task != '' AND {THERE}"""


class Generations(Connection):
    """Generations only grow; the newest that is of no task is the head."""

    def head(self) -> Generation:
        """What is served to whoever names no generation and no task."""
        return self._select(Generation, _HEAD)[0]

    def generations(self) -> list[Generation]:
        """All that were the head, from the base on."""
        return self._select(Generation, "WHERE task = '' ORDER BY number")

    def tasks(self) -> list[Generation]:
        """What answers each task whose file is there, by its name."""
        return self._select(Generation, f"{_TASKS} ORDER BY task")

    def generation(self, number: int) -> Generation:
        """One generation. Raises UnknownModel."""
        for generation in self._select(Generation, "WHERE number = ?", number):
            return generation
        raise UnknownModel(f"there is no generation g{number}")

    def candidate(self, number: int) -> Generation:
        """One generation that may become the head. Raises UnknownModel, BadInput for one that
        knows a task alone."""
        found = self.generation(number)
        if found.task:
            raise BadInput(f"{found.name} knows the task {found.task} alone; it cannot be the head")
        return found

    def activate(self, number: int, note: str) -> Generation:
        """Serve an earlier generation's weights again, as a new generation. Raises as
        candidate()."""
        with self._transaction("activate"):
            old = self.candidate(number)
            new = self._append_generation(old.adapter, old.model, None, note)
        return self.generation(new)

    def adapter(self, digest: str) -> Adapter:
        """One adapter's record. Raises KeyError if there is none."""
        for adapter in self._select(Adapter, "WHERE digest = ?", digest):
            return adapter
        raise KeyError(digest)

    def _insert_review(self, results: Iterable[ProbeResult]) -> None:
        """What the head answered, inside a transaction."""
        head = self.head()
        if head.adapter is None:
            raise ValueError("nobody taught the base what it could have forgotten")
        asked = {"phase": Phase.REVIEW, "generation": head.number, "asked_at": self._timestamp()}
        batch_id = self.adapter(head.adapter).batch_id
        self._insert_all("probe_results", results, batch_id=batch_id, **asked)

    def held_batches(self) -> set[int]:
        """The batches that the head's weights hold: after a rollback, fewer than were learned."""
        return set(self._column("SELECT batch_id FROM held_batches"))

    def _append_generation(
        self,
        adapter: str | None,
        model: str | None,
        batch_id: int | None,
        note: str,
        task: str = "",
    ) -> int:
        [last] = self._column("SELECT max(number) FROM generations")
        origin = {"adapter": adapter, "model": model, "batch_id": batch_id, "task": task}
        return self._insert(
            "generations",
            number=last + 1,
            **origin,
            note=note,
            created_at=self._timestamp(),
        )

    def _insert_adapter(self, adapter: Adapter) -> None:
        """Insert an adapter's record, or do nothing if a restarted batch trained the same again."""
        known = self._column("SELECT batch_id FROM adapters WHERE digest = ?", adapter.digest)
        if known == [adapter.batch_id]:
            return
        self._insert(
            "adapters",
            digest=adapter.digest,
            parent=adapter.parent,
            batch_id=adapter.batch_id,
            figures=json.dumps(dict(adapter.figures), allow_nan=False),
            created_at=adapter.created_at,
        )


def before_head(generations: Sequence[Generation]) -> Generation | None:
    """The generation before the one whose weights the head serves, so that a second rollback goes
    back further instead of forth; None at the base. Oldest first."""
    weights = [(each.adapter, each.model) for each in generations]
    origin = weights.index(weights[-1])
    return generations[origin - 1] if origin else None
