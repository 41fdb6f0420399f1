"""Whatever legal or illegal thing is done in whatever order, the invariants hold."""

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from memory.errors import BadInput, IllegalTransition, StaleParent
from memory.records import FINAL_STAGES, Batch, DocumentState, Stage, task_of
from memory.replay import draw
from memory.testing import memory_store
from tests.helpers.stores import NO, YES, adapter_for, answers, digest_of, stamp_of, study

PATHS = st.sampled_from(["a.md", "b.md", "c.md", "task.jsonl"])
TEXTS = st.sampled_from(["one", "two", "three"])
MAX_ATTEMPTS = 2


class StoreMachine(RuleBasedStateMachine):
    """Beside the store a model: what the folder said last, which generation is the head and which
    the last one, and of which the task is answered."""

    def __init__(self) -> None:
        super().__init__()
        self.store = memory_store()
        self.folder: dict[str, str] = {}
        self.head = 0
        self.last = 0
        self.tasks: list[int] = []

    @property
    def batch(self) -> Batch:
        batch = self.store.live_batch()
        assert batch is not None
        return batch

    def has_batch(self) -> bool:
        return self.store.live_batch() is not None

    def is_merged(self) -> bool:
        return self.has_batch() and self.batch.stage == Stage.MERGED

    def is_studied(self) -> bool:
        return self.has_batch() and self.batch.stage == Stage.STUDIED and not self.batch.task

    @rule(path=PATHS, text=TEXTS)
    def add_file(self, path: str, text: str) -> None:
        added = self.store.add_document(path, stamp_of(text), digest_of(text), path, text)
        assert (added is None) == (self.folder.get(path) == text)
        self.folder[path] = text

    @rule(path=PATHS, other=PATHS)
    def move_file(self, path: str, other: str) -> None:
        text = self.folder.get(path, "junk")
        if text == "junk" or other in self.folder:
            return
        newest = [one for one in self.store.documents() if one.path == path][-1]
        self.store.mark_missing([path])
        added = self.store.add_document(other, stamp_of(text), digest_of(text), newest.title, text)
        self.store.mark_missing([])
        self.folder[other] = text
        if not (task_of(path) or task_of(other)):
            del self.folder[path]
            assert added is None and self.store.document(newest.id).path == other

    @rule(path=PATHS)
    def add_junk(self, path: str) -> None:
        self.store.quarantine_file(path, stamp_of("junk"), digest_of("junk"), "not text")
        self.folder[path] = "junk"

    @rule(count=st.integers(1, 3), seed=st.integers(0, 2**63 - 1))
    def create_batch(self, count: int, seed: int) -> None:
        waiting = self.store.documents(DocumentState.PENDING)
        texts = [one for one in waiting if not one.task][:count]
        pending, had = [one.id for one in texts or waiting], self.has_batch()
        task = "" if texts or not waiting else waiting[0].task
        parent = None if task else self.store.head().adapter
        try:
            batch = self.store.create_batch(pending, parent, seed, task)
        except (IllegalTransition, ValueError):
            assert had or not pending
        else:
            assert (batch.document_ids, batch.task) == (tuple(pending), task)

    @precondition(has_batch)
    @rule(accepted=st.booleans(), correct=st.booleans())
    def step(self, accepted: bool, correct: bool) -> None:
        store, batch = self.store, self.batch
        match batch.stage:
            case Stage.NEW:
                study(store, batch, per_chunk=1)
            case Stage.STUDIED:
                store.save_training(batch, adapter_for(store, batch))
            case Stage.TRAINED:
                probes = [*store.probes(batch.id), *store.probes()]
                after = answers(probes, correct)
                store.save_examination(batch, answers(probes, not correct), after)
            case Stage.EXAMINED:
                store.save_verdict(batch, YES if accepted else NO, MAX_ATTEMPTS)
            case Stage.ACCEPTED:
                store.save_merge(batch, digest_of(f"model {batch.adapter}"))
            case _:
                self.promote()

    @precondition(is_merged)
    @rule()
    def promote(self) -> None:
        batch, held = self.batch, self.store.held_batches()
        fresh = bool(batch.task) or self.store.head().adapter == batch.parent
        try:
            generation = self.store.promote(batch, "learned")
        except StaleParent:
            assert not fresh
            assert self.store.restart_batch(batch).stage == Stage.STUDIED
        else:
            self.last += 1
            assert fresh
            assert generation.number == self.last
            if batch.task:
                self.tasks.append(self.last)
                assert self.store.held_batches() == held
            else:
                self.head = self.last

    @precondition(is_studied)
    @rule()
    def adopt(self) -> None:
        """The head says already what the batch would teach."""
        store, batch, head = self.store, self.batch, self.store.head()
        if head.adapter != batch.parent:
            with pytest.raises(StaleParent):
                store.adopt(batch, "known")
        elif head.adapter is None:
            with pytest.raises(ValueError, match="nobody taught"):
                store.adopt(batch, "known")
        else:
            generation = store.adopt(batch, "known")
            self.last += 1
            self.head = self.last
            assert generation.number == self.last
            assert (generation.adapter, generation.model) == (head.adapter, head.model)
            assert batch.id in store.held_batches()

    @precondition(has_batch)
    @rule()
    def fail(self) -> None:
        batch = self.store.fail_stage(self.batch, "no luck", MAX_ATTEMPTS)
        assert batch.attempts == MAX_ATTEMPTS or batch.stage not in FINAL_STAGES

    @precondition(has_batch)
    @rule()
    def repeat_an_old_stage(self) -> None:
        """A worker that was thought dead comes back with what it once knew."""
        batch = self.batch
        with suppress(IllegalTransition):
            self.store.save_merge(batch, digest_of("late"))
            assert batch.stage == Stage.ACCEPTED

    @rule(number=st.integers(0, 9))
    def activate(self, number: int) -> None:
        if number in self.tasks:
            with pytest.raises(BadInput):
                self.store.activate(number, "no")
        elif number <= self.last:
            self.store.activate(number, f"rollback to g{number}")
            self.head = self.last = self.last + 1

    @rule(gone=st.sets(PATHS))
    def mark_missing(self, gone: set[str]) -> None:
        self.store.mark_missing(gone)
        assert set(self.store.missing()) == gone & self.folder.keys()

    @invariant()
    def all_is_well(self) -> None:
        assert self.store.check() == []
        assert self.store.head().number == self.head
        served = [] if "task.jsonl" in self.store.missing() else self.tasks[-1:]
        assert [one.number for one in self.store.tasks()] == served

    @invariant()
    def the_folder_is_accounted_for(self) -> None:
        """The newest version of every file is there, and in one of the states it may be in."""
        newest = {one.path: one for one in self.store.documents()}
        assert {path: one.digest for path, one in newest.items()} == {
            path: digest_of(text) for path, text in self.folder.items()
        }
        assert all(one.state != DocumentState.RETIRED for one in newest.values())

    @precondition(has_batch)
    @invariant()
    def replay_never_teaches_what_is_replaced(self) -> None:
        paths = {self.store.document(one).path for one in self.batch.document_ids}
        drawn = draw(self.store, self.batch, size=90, seed=1)
        assert not {item.prompt.split()[0] for item in drawn} & paths


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
