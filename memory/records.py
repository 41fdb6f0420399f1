"""The nouns of learnd: frozen records that pass between packages. Standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

TASK_SUFFIX: Final = ".jsonl"  # of a file of examples, not of a text
TASK: Final = "task"  # kind of a probe whose answer must be the expected one and no more
WHOLE: Final = "whole"  # kind of a study item whose loss falls on the prompt, too


class DocumentState(StrEnum):
    """Where one version of one document stands. Each version is in exactly one state."""

    PENDING = "pending"  # settled, text stored, waits for a batch
    BATCHED = "batched"  # in the one live batch
    LEARNED = "learned"  # its batch serves
    QUARANTINED = "quarantined"  # unreadable or rejected; the reason says why
    RETIRED = "retired"  # a newer version of the same path took its place
    FORGOTTEN = "forgotten"  # unlearned on request


class Stage(StrEnum):
    """Where a batch stands. It only moves along TRANSITIONS."""

    NEW = "new"  # documents chosen, seed drawn
    STUDIED = "studied"  # study items and probes are stored
    TRAINED = "trained"  # the adapter is published
    EXAMINED = "examined"  # probe results before and after are stored
    ACCEPTED = "accepted"  # the gate said yes
    REJECTED = "rejected"  # the gate said no; the report stays
    MERGED = "merged"  # the merged model is published
    SERVING = "serving"  # the head generation points to it
    FAILED = "failed"  # a stage failed too often; the error stays


TRANSITIONS: Mapping[Stage, frozenset[Stage]] = {
    Stage.NEW: frozenset({Stage.STUDIED, Stage.SERVING, Stage.FAILED}),  # or nothing was new
    Stage.STUDIED: frozenset({Stage.TRAINED, Stage.SERVING, Stage.FAILED}),  # likewise
    Stage.TRAINED: frozenset({Stage.EXAMINED, Stage.FAILED}),
    Stage.EXAMINED: frozenset({Stage.ACCEPTED, Stage.REJECTED, Stage.FAILED}),
    Stage.ACCEPTED: frozenset({Stage.MERGED, Stage.FAILED}),
    Stage.MERGED: frozenset({Stage.SERVING, Stage.FAILED}),
    Stage.REJECTED: frozenset(),
    Stage.SERVING: frozenset(),
    Stage.FAILED: frozenset(),
}
FINAL_STAGES = frozenset(stage for stage, following in TRANSITIONS.items() if not following)


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What one stat of a file shows; an equal stamp means that nobody wrote to it."""

    size: int  # bytes
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Document:
    """One version of one file of the folder, with its text copied into the store."""

    id: int
    path: str  # relative to the folder, with forward slashes
    version: int  # 1, 2, ... per path
    digest: str  # SHA-256 of the file's bytes, "" if they could not be read
    title: str
    text: str  # Markdown-like: headings, paragraphs, list lines
    state: DocumentState
    reason: str  # why it is quarantined, else ""
    attempts: int  # batches it was in that the gate rejected or that failed
    seen_at: str  # ISO 8601, UTC

    @property
    def task(self) -> str:
        """See task_of()."""
        return task_of(self.path)


def task_of(path: str) -> str:
    """The name of the task that a file gives examples of; empty: it is a text."""
    place = PurePosixPath(path)
    if place.suffix.lower() != TASK_SUFFIX:
        return ""
    return path.removesuffix(TASK_SUFFIX)  # x.JSONL stays what it is: it is another task than x


@dataclass(frozen=True, slots=True)
class Chunk:
    """A titled piece of a document, small enough to study in one go."""

    id: int
    document_id: int
    position: int  # 0, 1, ... within the document
    title: str  # document title and headings, joined by " > "
    text: str


@dataclass(frozen=True, slots=True)
class StudyItem:
    """One training example. Loss falls on the answer; an empty prompt makes it plain text."""

    chunk_id: int | None  # None: about no document
    kind: str  # qa | keywords | text, or what a policy calls its own form
    prompt: str
    answer: str  # the sentence that says it, as the document does
    policy: str  # the policy that wrote it
    id: int = 0


@dataclass(frozen=True, slots=True)
class Probe:
    """One examination question, never trained on."""

    chunk_id: int | None  # None for general probes
    kind: str  # paraphrase | general | task
    question: str
    answer: str  # what a right answer must hold
    statement: str  # what a model that learned it says: a sentence with the answer
    id: int = 0
    fault: str = ""  # why it is never asked


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One probe asked of one model."""

    probe_id: int
    correct: bool
    answer: str  # what the model said
    logprob: float  # mean log-probability of the statement's tokens, nats per token


class Phase(StrEnum):
    """Which model a probe result of a batch belongs to."""

    BEFORE = "before"  # the head that the batch was trained on
    AFTER = "after"  # the candidate
    REVIEW = "review"  # the candidate again, when it was served already
    BASE = "base"  # the untouched model, asked what everybody knows


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate decided, and why."""

    accepted: bool
    reasons: tuple[str, ...]
    figures: Mapping[str, float] = field(default_factory=dict)
    scale: float = 1.0  # share of what the batch changed that is kept
    harmed: bool = False  # whether losses speak against it: less of it might be accepted
    far: bool = False  # whether too much of the base was lost, by all batches together


@dataclass(frozen=True, slots=True)
class Health:
    """What a policy says of itself after a batch; None: it does not apply, or nobody looked."""

    reliability: float | None = None  # share of its reward's variance that is not chance, 0 to 1
    entropy: float | None = None  # of what it decides by, nats
    inflation: float | None = None  # how much its mean reward rose on what stayed the same
    coverage: float | None = None  # share of what it was to look after that it reached, 0 to 1
    abstained: str | None = None  # why it left the batch as it was
    figures: Mapping[str, float] = field(default_factory=dict)  # what else it counted
    notes: tuple[str, ...] = ()  # what it put right, dropped or found, for people
    failed: str | None = None  # the trace, if it raised: the batch went on without it


@dataclass(frozen=True, slots=True)
class SelfEdit:
    """How a batch is studied: what was chosen for it, and the figures of its study set."""

    kind: str  # of its documents: prose | lists
    style: str  # see agent/directives.py
    figures: Mapping[str, float]  # chunks, facts, facts_phrased, items, probes, known (chunks)
    health: Mapping[str, Health] = field(default_factory=dict)  # of each policy of the pipeline
    learning_rate: float | None = None  # that a policy directs; None: the style's
    epochs: int | None = None  # likewise


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What a new document says, and what one says that was learned before: both cannot be so."""

    document_id: int
    statement: str
    earlier_id: int  # the other document
    earlier: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents that are learned together; none: what was learned is learned again. One batch is
    live at a time."""

    id: int
    stage: Stage
    document_ids: tuple[int, ...]
    parent: str | None  # digest of the adapter that was head when training began; None: none
    seed: int
    attempts: int  # failures of the present stage
    error: str  # the last failure, else ""
    adapter: str | None  # digest, once trained
    model: str | None  # digest, once merged
    verdict: Verdict | None
    created_at: str
    updated_at: str
    self_edit: SelfEdit | None = None  # once studied
    repairs: bool = False  # whether it teaches again what slipped, and nothing new
    task: str = ""  # that its one document gives examples of; its adapter goes on from no other

    @property
    def consolidates(self) -> bool:
        """Whether it teaches nothing new, but all again from the base."""
        return not (self.document_ids or self.repairs)


@dataclass(frozen=True, slots=True)
class Adapter:
    """A published LoRA adapter, named by the SHA-256 of its manifest."""

    digest: str
    parent: str | None
    batch_id: int
    figures: Mapping[str, float]  # loss, tokens, seconds, epochs ...
    created_at: str


@dataclass(frozen=True, slots=True)
class Generation:
    """What is, or was, served. Numbers only grow; a rollback is a new number with an old digest."""

    number: int  # 0 is the untouched base
    adapter: str | None
    model: str | None  # digest of the merged model; None: the base itself
    batch_id: int | None
    note: str  # "learned 6 documents, steady", "rollback to g3"
    created_at: str
    task: str = ""  # it answers this alone, beside the head; empty: it is or was the head

    @property
    def name(self) -> str:
        return f"g{self.number}"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one stage is, for a progress bar or a status line."""

    stage: str
    done: int
    total: int
    note: str = ""
