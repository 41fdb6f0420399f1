"""How to train on a batch: the directives of its self-edit (SEAL, Zweigert et al. 2025, tool use).

SEAL's model writes its own learning rate and epochs; a small model cannot. Here the choice among a
few styles is a bandit's (Thompson sampling): each has a Beta belief about what of a batch ends up
known, fed by the examinations of earlier batches of the same kind of document.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from agent.course import budget
from agent.settings import TrainSettings
from memory.records import Batch, Chunk, SelfEdit, Stage
from policies.base import Directives
from policies.sentences import sentences


@dataclass(frozen=True, slots=True)
class Style:
    """A recipe relative to the settings, and what is believed of it before anything was seen."""

    tokens: float  # times the budget
    learning_rate: float  # times
    worked: float  # Beta's first parameter
    failed: float  # and the second


STEADY: Final = "steady"
STYLES: Final[Mapping[str, Style]] = {
    STEADY: Style(1.0, 1.0, 9.0, 3.0),
    "thorough": Style(1.6, 1.0, 6.0, 3.0),
    "gentle": Style(1.3, 0.7, 4.0, 3.0),
}
_SETTLED = 3  # batches of a kind, before which nothing is tried out on it
_PRICE = 0.1  # of what a batch gains, for each further budget of tokens


def kind(chunks: Sequence[Chunk]) -> str:
    """What most sentences of the chunks are: prose, or rows of lists and tables."""
    found = [sentence for chunk in chunks for sentence in sentences(chunk.text)]
    rows = sum(not sentence.endswith((".", "!", "?")) for sentence in found)
    return "lists" if 2 * rows > len(found) else "prose"


def choose(kind: str, earlier: Sequence[Batch], batch: Batch) -> str:
    """The name of a style: the most promising draw, but none that documents of this batch were
    rejected with, while there is another."""
    judged = [one for one in earlier if one.stage in (Stage.SERVING, Stage.REJECTED)]
    settled = [one for one in judged if one.verdict and one.verdict.figures]  # not what was adopted
    failed = {
        one.self_edit.style
        for one in settled
        if one.stage == Stage.REJECTED
        and one.self_edit
        and set(one.document_ids) & set(batch.document_ids)
    }
    left = [name for name in STYLES if name not in failed] or [STEADY]
    alike = [one for one in settled if one.self_edit and one.self_edit.kind == kind]
    if len(alike) < _SETTLED:
        return left[0]
    chance = random.Random(batch.seed)
    return max(left, key=lambda name: _draw(name, alike, chance))


def apply(self_edit: SelfEdit | None, settings: TrainSettings) -> TrainSettings:
    """The settings in the style of a self-edit; none was chosen by versions before this.

    Training that goes on never takes more epochs: two more cost a tenth of all that was known
    (CHANGELOG.md), and a batch's own probes do not show it.
    """
    if self_edit is None:
        return settings
    chosen = STYLES[self_edit.style]
    styled = replace(
        settings,
        tokens=round(budget(settings) * chosen.tokens),
        learning_rate=settings.learning_rate * chosen.learning_rate,
    )
    return follow(Directives(self_edit.learning_rate, self_edit.epochs), styled)


def follow(directives: Directives, settings: TrainSettings) -> TrainSettings:
    """The settings as a policy directs them; what it leaves open stays as it is."""
    return replace(
        settings,
        learning_rate=directives.learning_rate or settings.learning_rate,
        epochs=directives.epochs or settings.epochs,
    )


def _draw(name: str, settled: Iterable[Batch], chance: random.Random) -> float:
    style = STYLES[name]
    gains = [_gain(one) for one in settled if one.self_edit and one.self_edit.style == name]
    worked, failed = style.worked + sum(gains), style.failed + len(gains) - sum(gains)
    return chance.betavariate(worked, failed) - _PRICE * (style.tokens - 1)


def _gain(batch: Batch) -> float:
    """Share of its probes that a batch won for those who ask, less the share of old ones lost."""
    if batch.stage != Stage.SERVING or batch.verdict is None:
        return 0.0
    figures = batch.verdict.figures
    learned = figures["new_after"] / max(1.0, figures["new_asked"])
    lost = figures["old_lost"] / max(1.0, figures["old_asked"])
    return max(0.0, learned - lost)
