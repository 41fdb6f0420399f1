"""The store's batches: each arrow between two stages is one transaction."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from memory.connection import LIVE, encode_verdict
from memory.errors import IllegalTransition, StaleParent
from memory.records import (
    TRANSITIONS,
    Adapter,
    Batch,
    Contradiction,
    Generation,
    Phase,
    Probe,
    ProbeResult,
    SelfEdit,
    Stage,
    StudyItem,
    Verdict,
)
from memory.versions import OF_BATCH, Versions

_TAKE = "UPDATE documents SET state = 'batched' WHERE id = ? AND state = 'pending'"
_SERVED = "UPDATE probe_results SET generation = ? WHERE batch_id = ? AND phase = 'after'"
_LEARNED = f"UPDATE documents SET state = 'learned', reason = '' WHERE id IN ({OF_BATCH})"
_RELEASE = """
UPDATE documents SET
    attempts = attempts + 1,
    state = CASE
        WHEN version < (SELECT max(version) FROM documents AS any WHERE any.path = documents.path)
            THEN 'retired'  -- its successor waits already
        WHEN attempts + 1 >= :most THEN 'quarantined'
        ELSE 'pending' END,
    reason = CASE WHEN attempts + 1 >= :most THEN :reason ELSE '' END
WHERE id IN (SELECT document_id FROM batch_documents WHERE batch_id = :batch)
"""
_MADE_OR_ADOPTED = (
    "SELECT batch_id FROM generations WHERE adapter = ? AND batch_id IS NOT NULL ORDER BY number"
)
# may go back to NEW when the head has moved: everything that was made on the old head
_RESTARTABLE = {
    Stage.NEW,
    Stage.STUDIED,
    Stage.TRAINED,
    Stage.EXAMINED,
    Stage.ACCEPTED,
    Stage.MERGED,
}


class Batches(Versions):
    """Stage methods take any copy of a batch, judge by the stored one, and return the new one.
    They raise IllegalTransition where records.TRANSITIONS has no arrow.
    """

    def batch(self, batch_id: int) -> Batch:
        """One batch. Raises KeyError if there is none."""
        for batch in self._select(Batch, "WHERE id = ?", batch_id):
            return batch
        raise KeyError(batch_id)

    def batches(self) -> list[Batch]:
        """All batches, oldest first."""
        return self._select(Batch, "ORDER BY id")

    def live_batch(self) -> Batch | None:
        """The batch that is not in a final stage; there is one at most."""
        live = self._select(Batch, f"WHERE {LIVE}")
        return live[0] if live else None

    def create_batch(
        self, document_ids: Sequence[int], parent: str | None, seed: int, task: str = ""
    ) -> Batch:
        """Take PENDING documents into a new batch; the examples of a task are one of their own,
        which begins at the base. Raises IllegalTransition if one of them is not pending, or if
        another batch is live."""
        if not document_ids:
            raise ValueError("a batch needs documents")
        if task and parent:
            raise ValueError("a task begins at the base")
        with self._transaction("create_batch"):
            batch_id = self._begin(parent, seed, task=task)
            for document_id in document_ids:
                if not self._execute(_TAKE, document_id):
                    raise IllegalTransition(f"document {document_id} is not pending")
                self._execute("INSERT INTO batch_documents VALUES (?, ?)", batch_id, document_id)
        return self.batch(batch_id)

    def create_consolidation(self, parent: str | None, seed: int) -> Batch:
        """A batch without documents, to follow the head. Raises IllegalTransition if another batch
        is live."""
        with self._transaction("create_batch"):
            batch_id = self._begin(parent, seed)
        return self.batch(batch_id)

    def create_repair(self, parent: str | None, seed: int) -> Batch:
        """As create_consolidation(), to teach again what slipped."""
        with self._transaction("create_batch"):
            batch_id = self._begin(parent, seed, repairs=True)
        return self.batch(batch_id)

    def _begin(self, parent: str | None, seed: int, repairs: bool = False, task: str = "") -> int:
        if live := self.live_batch():
            raise IllegalTransition(f"batch {live.id} is still {live.stage}")
        now = self._timestamp()
        row = {"stage": Stage.NEW, "parent": parent, "seed": seed}
        kind = {"repairs": repairs, "task": task}
        return self._insert("batches", **row, **kind, created_at=now, updated_at=now)

    def save_study(
        self,
        batch: Batch,
        items: Sequence[StudyItem],
        probes: Sequence[Probe],
        self_edit: SelfEdit | None = None,
        contradictions: Sequence[Contradiction] = (),
    ) -> Batch:
        """NEW -> STUDIED: what will be trained on, how, and what will be asked, but for probes with
        a fault. Ids are given here.

        Raises StaleParent if the head is no longer the one that the batch began on: what is new
        depends on it.
        """
        chosen = json.dumps(asdict(self_edit), allow_nan=False) if self_edit else None
        with self._transaction("save_study"):
            self._move(batch, Stage.STUDIED, self_edit=chosen)
            self._require_head(batch)
            self._insert_all("study_items", items, batch_id=batch.id)
            for faulty in (False, True):
                some = [probe for probe in probes if bool(probe.fault) == faulty]
                self._insert_all("probes", some, batch_id=batch.id, retired=faulty)
            self._insert_all("contradictions", contradictions, batch_id=batch.id)
        return self.batch(batch.id)

    def save_training(self, batch: Batch, adapter: Adapter, known: Iterable[int] = ()) -> Batch:
        """STUDIED -> TRAINED: the adapter is published; without study items of these ids, which the
        head knew. Raises StaleParent as save_study()."""
        if adapter.batch_id != batch.id:
            raise ValueError(f"adapter {adapter.digest} is of batch {adapter.batch_id}")
        with self._transaction("save_training"):
            self._insert_adapter(adapter)
            for item_id in known:
                self._execute("UPDATE study_items SET known = 1 WHERE id = ?", item_id)
            self._move(batch, Stage.TRAINED, adapter=adapter.digest)
            self._require_head(batch)
        return self.batch(batch.id)

    def save_examination(
        self,
        batch: Batch,
        before: Sequence[ProbeResult],
        after: Sequence[ProbeResult],
        shrunk: Adapter | None = None,
    ) -> Batch:
        """TRAINED -> EXAMINED: what the head answered, and what the candidate did, which may be a
        smaller adapter than the one that was trained."""
        with self._transaction("save_examination"):
            if shrunk is None:
                self._move(batch, Stage.EXAMINED)
            else:
                self._insert_adapter(shrunk)
                self._move(batch, Stage.EXAMINED, adapter=shrunk.digest)
            head, now = None if batch.task else self.head().number, self._timestamp()
            for phase, generation, results in (
                (Phase.BEFORE, head, before),
                (Phase.AFTER, None, after),  # it gets its number if it is ever served
            ):
                asked = {"phase": phase, "generation": generation, "asked_at": now}
                self._insert_all("probe_results", results, batch_id=batch.id, **asked)
        return self.batch(batch.id)

    def save_verdict(self, batch: Batch, verdict: Verdict, max_attempts: int = 3) -> Batch:
        """EXAMINED -> ACCEPTED or REJECTED. Rejected documents wait for another batch, or are
        quarantined after max_attempts."""
        stage = Stage.ACCEPTED if verdict.accepted else Stage.REJECTED
        with self._transaction("save_verdict"):
            self._move(batch, stage, verdict=encode_verdict(verdict))
            if not verdict.accepted:
                self._release(batch, "rejected: " + "; ".join(verdict.reasons), max_attempts)
        return self.batch(batch.id)

    def save_merge(self, batch: Batch, model_digest: str) -> Batch:
        """ACCEPTED -> MERGED: the merged model is published."""
        with self._transaction("save_merge"):
            self._move(batch, Stage.MERGED, model=model_digest)
        return self.batch(batch.id)

    def promote(self, batch: Batch, note: str) -> Generation:
        """MERGED -> SERVING: the head moves, or a task has its generation; documents are learned,
        what they replace is retired.

        Raises StaleParent if the head is no longer the one that the adapter was trained on.
        """
        with self._transaction("promote"):
            if self.batch(batch.id).model is None:
                raise IllegalTransition(f"batch {batch.id} has no merged model")
            self._move(batch, Stage.SERVING)
            self._require_head(batch)
            number = self._take_effect(self.batch(batch.id), note)
            if not batch.task:  # what it answers says nothing of the head
                self._execute(_SERVED, number, batch.id)
        return self.generation(number)

    def adopt(self, batch: Batch, note: str, said: Sequence[ProbeResult] = ()) -> Generation:
        """NEW or STUDIED -> SERVING: nothing in the documents is new, so the head's weights serve
        on. `said` is what they answered to the batch's own probes.

        Raises StaleParent as save_study(); ValueError if the head is the base, to which everything
        is new.
        """
        verdict = encode_verdict(Verdict(True, (note,)))
        with self._transaction("adopt"):
            head = self.head()
            self._require_head(batch)
            if head.adapter is None:
                raise ValueError("nobody taught the base anything")
            served = {"adapter": head.adapter, "model": head.model}
            self._move(batch, Stage.SERVING, verdict=verdict, **served)
            number = self._take_effect(self.batch(batch.id), note)
            self._insert_review(said)
        return self.generation(number)

    def give_up(self, number: int, reason: str, max_attempts: int) -> Generation:
        """Serve an earlier generation again; the documents that are learned in the head's weights
        alone wait for another batch, or are quarantined after max_attempts."""
        adapter = self.head().adapter
        if adapter is None:
            raise ValueError("there is nothing before the base")
        with self._transaction("give_up"):
            for batch_id in self._column(_MADE_OR_ADOPTED, adapter):
                self._release(self.batch(batch_id), reason, max_attempts)
            old = self.generation(number)
            note = f"rollback to {old.name}: {reason}"
            new = self._append_generation(old.adapter, old.model, None, note)
        return self.generation(new)

    def restart_batch(self, batch: Batch) -> Batch:
        """Back to NEW on the present head, after StaleParent: all that the old attempt made goes.
        The only move backwards."""
        with self._transaction("restart_batch"):
            current = self.batch(batch.id)
            stage = current.stage
            if stage not in _RESTARTABLE:
                raise IllegalTransition(f"batch {batch.id} cannot restart from {stage}")
            for table in ("probe_results", "contradictions"):
                self._execute(f"DELETE FROM {table} WHERE batch_id = ?", batch.id)
            self._retire_written(batch)
            made = dict.fromkeys(("self_edit", "adapter", "model", "verdict"))
            parent = None if current.task else self.head().adapter
            self._update(batch, stage=Stage.NEW, parent=parent, attempts=0, error="", **made)
        return self.batch(batch.id)

    def fail_stage(self, batch: Batch, error: str, max_attempts: int) -> Batch:
        """Count a failure of the present stage. At max_attempts the batch is FAILED and its
        documents are treated like rejected ones."""
        with self._transaction("fail_stage"):
            current = self.batch(batch.id)
            self._require(current, Stage.FAILED)
            attempts = current.attempts + 1
            if attempts >= max_attempts:
                self._move(batch, Stage.FAILED)
                self._release(batch, f"failed: {error}", max_attempts)
            self._update(batch, attempts=attempts, error=error)
        return self.batch(batch.id)

    def _take_effect(self, batch: Batch, note: str) -> int:
        origin = (batch.adapter, batch.model, batch.id)
        number = self._append_generation(*origin, note, batch.task)
        self._execute(_LEARNED, batch.id)
        self._supersede(batch)
        return number

    def _require_head(self, batch: Batch) -> None:
        """A task's batch does not depend on it."""
        if not batch.task and self.head().adapter != self.batch(batch.id).parent:
            raise StaleParent

    def _require(self, current: Batch, stage: Stage) -> None:
        if stage not in TRANSITIONS[current.stage]:
            raise IllegalTransition(f"batch {current.id} is {current.stage}, it cannot be {stage}")

    def _move(self, batch: Batch, stage: Stage, **values: Any) -> None:
        """One arrow. The stored stage decides, not the caller's copy, which may be old."""
        self._require(self.batch(batch.id), stage)
        self._update(batch, stage=stage, attempts=0, error="", **values)

    def _update(self, batch: Batch, **values: Any) -> None:
        row = {**values, "updated_at": self._timestamp()}
        self.db.table("batches").update(batch.id, row)

    def _release(self, batch: Batch, reason: str, max_attempts: int) -> None:
        """Let a failed batch's documents go; what it wrote about them is never used again."""
        quarantined = {"most": max_attempts, "reason": reason, "batch": batch.id}
        self.db.conn.execute(_RELEASE, quarantined)
        self._retire_written(batch)

    def _retire_written(self, batch: Batch) -> None:
        for table in ("study_items", "probes"):
            self._execute(f"UPDATE {table} SET retired = 1 WHERE batch_id = ?", batch.id)
