"""SEAL (Zweiger et al. 2025): the model writes how to study a text, and keeps what worked.

A self-edit is a set of texts in one of five formats, and training directives. On a few chunks each
format is tried: a throw-away adapter learns it, and the questions that other policies wrote examine
it. The best format of each of those chunks stays (ReST-EM), and the best of all writes the rest.
The model as published writes: one that practised to write questions writes nothing else.
By the authors' own files the format decides more than their reinforcement learning does, and the
reward is mostly noise: each training is repeated, and below the floor nothing is chosen by it.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memory.records import Chunk, Health, StudyItem
from policies.base import NO_DIRECTIVES, Ask, Candidate, Directives, Model, Policy, Scored, Tools
from policies.grounding import nearest, overlap
from policies.pipeline import RELIABLE
from policies.reward import judged
from policies.sentences import sentences

_READ = "Let's read the following passage and "
FORMATS: Final[Mapping[str, str]] = {
    "rewrite": "rewrite it in different words, a few times, without leaving anything out.",
    "implications": "produce a list of implications derived directly or indirectly from it.",
    "long": "produce a long list of implications derived directly or indirectly from it.",
    "very-long": "produce a very long list of implications, every one that you can think of.",
    "self-qa": "write questions about it, each with its answer, a line each.",
}
BEST: Final = "rewrite"  # by the authors' figures; the format where nothing can be measured
_TOKENS: Final = {"implications": 128, "long": 192, "very-long": 256}  # of the others 160
_DIRECTING = (
    "A text of {words} words is to be learned by fine-tuning. Answer with JSON alone, as in "
    '{{"learning_rate": 0.0046, "epochs": 8}}:'
)
BOUNDS: Final = {"learning_rate": (1e-3, 1e-2), "epochs": (2.0, 16.0)}
_WARMTH = 0.7  # temperature
_GROUNDED = 0.6  # overlap with the chunk that a line must have
_MARKER = re.compile(r"^\s*(?:[-*•]|\d{1,3}[.)])\s*")
_LEAST_WORDS = 4  # of a line
_EXAMINED = 20  # questions on a chunk, at most: with few, the reward is noise
_LEAST_EXAMINED = 4


_Edits = Mapping[Chunk, Sequence[Candidate]]  # the lines that were written about each chunk
_Examined = Mapping[int, Sequence[StudyItem]]  # questions that others wrote, by chunk


class SelfEdits(Policy):
    """A chunk that is tried costs formats * trainings throw-away adapters, shared by all tried."""

    name = "seal"
    role = "rewrites the text in the format that taught most in trial, and directs the training"
    control = "one format (rewrite) for all, no trial, no directives"

    def __init__(
        self, formats: Sequence[str] = tuple(FORMATS), tried: int = 2, trainings: int = 2
    ) -> None:
        self._formats = formats
        self._tried = tried
        self._trainings = trainings
        self._chunks: Sequence[Chunk] = ()
        self._figures: dict[str, float] = {}
        self._notes: list[str] = []
        self._abstained: str | None = None
        self._directives = NO_DIRECTIVES

    def controlled(self) -> Policy:
        return SelfEdits((BEST,))

    def propose(self, chunks: Sequence[Chunk], tools: Tools, seed: int) -> list[Candidate]:
        """Nothing yet: what examines its texts must come from others."""
        self._chunks = chunks
        return []

    def diversify(
        self, candidates: Sequence[Candidate], tools: Tools, seed: int
    ) -> list[Candidate]:
        """Beside what others wrote, texts in the format that was best in trial."""
        examined = _examined(candidates)
        able = [one for one in self._chunks if len(examined[one.id]) >= _LEAST_EXAMINED]
        tried = Random(seed).sample(able, min(self._tried, len(able)))
        edits, best = self._tried_out(tried, examined, tools, seed)
        rest = [one for one in self._chunks if one not in edits]
        written = {**edits, **self._write(rest, best, tools, seed)}
        return [*candidates, *(line for lines in written.values() for line in lines)]

    def directives(self) -> Directives:
        return self._directives

    def diagnose(self, candidates: Sequence[Candidate], trusted: Scored) -> Health:
        covered = {one.chunk for one in trusted if one.policy == self.name}
        return Health(
            reliability=self._figures.get("reliability"),
            coverage=len(covered) / len(self._chunks) if self._chunks else None,
            abstained=self._abstained,
            figures={name: one for name, one in self._figures.items() if name != "reliability"},
            notes=tuple(self._notes),
        )

    def _tried_out(
        self, tried: Sequence[Chunk], examined: _Examined, tools: Tools, seed: int
    ) -> tuple[_Edits, str]:
        """The best edit of each chunk that was tried, and the best format of all; nothing, and the
        usual format, if nothing was tried or chance decided."""
        if len(self._formats) < 2 or self._trainings < 2:
            return {}, self._formats[0]
        if not tried:
            self._abstained = f"no chunk has {_LEAST_EXAMINED} questions by others to examine it"
            return {}, BEST
        arms = [self._write(tried, one, tools, seed) for one in self._formats]
        rewards = np.stack([self._rewards(arm, examined, tools) for arm in arms])
        self._figures = judged(rewards)
        for form, arm in zip(self._formats, arms, strict=True):
            self._figures[f"lines_{form}"] = float(sum(map(len, arm.values())))
        if self._figures["reliability"] < RELIABLE:
            return {}, BEST
        means = rewards.mean(axis=2)  # [formats, chunks]
        chosen = {one: arms[means[:, n].argmax()][one] for n, one in enumerate(tried)}
        best = self._formats[int(means.mean(axis=1).argmax())]
        self._notes.append(f"{best} taught most in trial")
        self._directives = self._directed(chosen, examined, tools, seed)
        return chosen, best

    def _rewards(
        self,
        edits: _Edits,
        examined: _Examined,
        tools: Tools,
        directives: Directives = NO_DIRECTIVES,
    ) -> NDArray[np.float64]:
        """Mean log-probability of what the questions on each chunk ask for, [chunks, trainings];
        the seeds are the same for all edits."""
        items = [item for chunk, lines in edits.items() for item in _items(chunk, lines)]
        asked = [item for chunk in edits for item in examined[chunk.id]]
        ends = np.cumsum([len(examined[chunk.id]) for chunk in edits])[:-1]
        rows = [tools.trial(items, asked, n, directives) for n in range(self._trainings)]
        return np.array([[part.mean() for part in np.split(np.array(row), ends)] for row in rows]).T

    def _directed(self, edits: _Edits, examined: _Examined, tools: Tools, seed: int) -> Directives:
        """The model's own, if they teach more than the settings do at every seed."""
        count = sum(len(one.text.split()) for one in self._chunks)
        [said] = tools.generate(
            [Ask(_DIRECTING.format(words=count), 40, model=Model.PUBLISHED)], 0.0, seed
        )
        found, notes = directed(said)
        self._notes += notes
        if found == NO_DIRECTIVES:
            return found
        usual = self._rewards(edits, examined, tools)
        gains = (self._rewards(edits, examined, tools, found) - usual).mean(axis=0)
        self._figures["directives_gain"] = float(gains.mean())
        if (gains > 0).all():
            return found
        self._notes.append("its directives taught less than the settings: not heeded")
        return NO_DIRECTIVES

    def _write(
        self, chunks: Sequence[Chunk], form: str, tools: Tools, seed: int
    ) -> dict[Chunk, list[Candidate]]:
        asks = [Ask(prompt(one, form), _most(one, form), model=Model.PUBLISHED) for one in chunks]
        texts = tools.generate(asks, _WARMTH, seed)
        return {one: list(lines(one, text)) for one, text in zip(chunks, texts, strict=True)}


def prompt(chunk: Chunk, form: str) -> str:
    """What asks for a self-edit in one of FORMATS."""
    return f"{_READ}{FORMATS[form]}\n\nPassage:\n{chunk.title}\n{chunk.text}\n\n"


def _most(chunk: Chunk, form: str) -> int:
    """Tokens of a self-edit: a format's, but of a short text no more than twice what it has."""
    return min(_TOKENS.get(form, 160), 24 + 3 * len(chunk.text.split()))


def lines(chunk: Chunk, written: str) -> Iterator[Candidate]:
    """The distinct statements of a self-edit that rest on the chunk and are not its own words."""
    stripped = (_MARKER.sub("", line).strip() for line in written.splitlines())
    for said in dict.fromkeys(one for line in stripped for one in _statements(line)):
        is_new = said not in chunk.text and len(said.split()) >= _LEAST_WORDS
        if is_new and overlap(said, chunk.text) >= _GROUNDED:
            yield Candidate(chunk, nearest(said, chunk.text), "text", "", "", "seal", said)


def _statements(line: str) -> list[str]:
    """The sentences of a line; a question stays with the answer behind it, or says nothing."""
    if "?" in line:
        return [] if line.endswith("?") else [line]
    return sentences(line)


def directed(said: str) -> tuple[Directives, list[str]]:
    """Directives out of what a model said, within BOUNDS, and what was put right in them."""
    found = re.search(r"\{[^{}]*\}", said)
    try:
        given = json.loads(found[0] if found else "")
    except json.JSONDecodeError:
        return NO_DIRECTIVES, ["its directives are no JSON: left to the settings"]
    notes: list[str] = []
    values = {name: _bounded(name, given.get(name), notes) for name in BOUNDS}
    epochs = values["epochs"]
    return Directives(values["learning_rate"], None if epochs is None else round(epochs)), notes


def _bounded(name: str, value: object, notes: list[str]) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        notes.append(f"its {name} is no number: left to the settings")
        return None
    least, most = BOUNDS[name]
    bounded = min(most, max(least, value))
    if bounded != value:
        notes.append(f"its {name} of {value:g} is out of bounds: {bounded:g}")
    return float(bounded)


def _examined(candidates: Iterable[Candidate]) -> _Examined:
    """Questions that a model wrote, with the sentence that answers them; each sentence in turn."""
    found: defaultdict[int, dict[str, list[StudyItem]]] = defaultdict(lambda: defaultdict(list))
    for one in candidates:
        if one.kind == "qa":
            item = StudyItem(one.chunk.id, "qa", one.question, one.evidence, one.policy)
            found[one.chunk.id][one.evidence].append(item)
    chosen: defaultdict[int, list[StudyItem]] = defaultdict(list)
    for chunk, by_sentence in found.items():
        ranked = [(n, item) for group in by_sentence.values() for n, item in enumerate(group)]
        ranked.sort(key=lambda pair: pair[0])
        chosen[chunk] = [item for _, item in ranked[:_EXAMINED]]
    return chosen


def _items(chunk: Chunk, written: Sequence[Candidate]) -> list[StudyItem]:
    """What is trained on: the lines, and the text itself, each under the title."""
    texts = (*(line.said for line in written), chunk.text)
    return [StudyItem(chunk.id, "text", "", f"{chunk.title}: {one}", "seal") for one in texts]
