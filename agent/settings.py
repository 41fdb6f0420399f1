"""Every number of the pipeline that a user may set, with its default. Standard library only."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IntakeSettings:
    """What enters from the folder."""

    suffixes: tuple[str, ...] = (".md", ".markdown", ".txt", ".rst", ".html", ".htm", ".jsonl")
    max_bytes: int = 2_000_000  # larger files are quarantined
    extract_seconds: float = 30.0  # time limit of one file's extraction
    extract_bytes: int = 1_000_000_000  # address space of the extracting child
    rescan_seconds: float = 30.0  # full scan, whatever the watcher says
    settle_seconds: float = 1.0  # between the two looks that must agree


@dataclass(frozen=True, slots=True)
class StudySettings:
    """How documents become study items and probes."""

    pipeline: tuple[str, ...] = ("al",)
    chunk_words: int = 120  # a chunk's length at most
    probes_per_chunk: int = 1  # at most; a fact that is asked is taught in other words
    probes_least: int = 6  # of a batch with few chunks: a verdict on two would be a toss
    self_edits: int = 1  # of a task that are tried; 1: the usual one, untried
    batch_documents: int = 64  # documents in one batch at most
    batch_words: int = 4_000  # words in one batch at most

    def probes_each(self, chunks: int) -> int:
        """Probes of a chunk, at most, in a batch of so many."""
        return max(self.probes_per_chunk, math.ceil(self.probes_least / chunks))


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """The LoRA recipe. A self-edit may choose within [minimum, maximum]; these are the defaults."""

    rank: int = 48
    alpha: int = 96
    frozen_share: float = 0.6  # of the layers, from below, that get no adapter; half as dear
    learning_rate: float = 4.6e-3  # of B; A stays where it is aimed, see nullspace.py
    onward_rate: float = 0.7  # of the learning rate, when training goes on from a parent adapter
    epochs: int = 8  # at most; fewer where the budget ends
    epochs_least: float = 1.5  # however much there is to learn; half an epoch is half of the items
    onward_epochs: int = 3  # instead, when training goes on: what the parent learned is at stake
    onward_wordings: int = (
        7  # then, of each fact at most: more of the new wipes out more of the old
    )
    tokens: int = 0  # of new items in all epochs, about; 0: what three minutes suffice for
    batch_tokens: int = 128  # tokens in one step
    lead_weight: float = 6.0  # of an answer's first three tokens: they decide which it will be
    warmup: float = 0.05  # share of steps
    weight_decay: float = 0.0
    clip: float = 1.0
    replay_share: float = 9.0  # replayed items per new item, which comes in several epochs
    replay_least: int = 660  # of them, beside the smallest batch: what was learned is as large
    replay_most: int = 2_000  # and beside the largest one; 0: no rehearsal
    general_weight: float = 2.0  # of a token that the base says, beside one of a study item
    general_share: float = 0.07  # general questions per new item, answered by the base
    general_least: int = 48  # of them, beside the smallest batch: two steps already do harm
    threads: int = 0  # 0: one per core


@dataclass(frozen=True, slots=True)
class GateSettings:
    """The hard floor under every policy's verdict."""

    min_learned: float = 0.3  # share of the new probes that must be right afterwards
    false_rejects: float = 0.1  # rate at which chance alone may reject on old or general probes
    base_lost: float = 0.6  # share of the base's general answers that the weights alone may lose
    neighbours: int = 20  # old probes asked because they lie near the new documents
    due: int = 20  # old probes asked because their review is due
    due_share: float = 0.12  # of all old probes, where that is more


@dataclass(frozen=True, slots=True)
class ConsolidateSettings:
    """When the one adapter is rebuilt from the base, on everything that it should hold."""

    after: int = 8  # batches learned since the last time; 0: never
    slipped: float = 0.2  # of what was ever known: then sooner, after any batch
    idle_seconds: float = 120.0  # that nothing was learned
    tokens: int = 0  # of study items in all epochs; 0: what four times a batch's time suffices for


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """All of the above, as the agent takes it."""

    model: str = "smollm2-135m"
    embedder: str = "minilm"
    attempts: int = (
        3  # failures of one stage, or rejections of one document, before it is set aside
    )
    intake: IntakeSettings = IntakeSettings()
    study: StudySettings = StudySettings()
    train: TrainSettings = TrainSettings()
    gate: GateSettings = GateSettings()
    consolidate: ConsolidateSettings = ConsolidateSettings()
