"""`learnd bench verify`: does the verifier tell true question-answer pairs from false ones?

True pairs are people's questions and answers about passages; false ones are others of theirs, made
wrong by rule: another number, name or unit, a negation, the pair of another passage. Where the
passage has another value of the kind, that is the one put in.

random       as many kept, by chance
rules        entst's rules alone: numbers, names, units, negation, the sort of answer
likelihood   how likely the answer is after the passage, beside the reader's own answer
entst        all signals, weighed
entst_clean  the same verdicts, cleaned by their neighbours (SimPLE)

precision and recall are of what is kept: a true pair is a hit. precision_at_60: with the cut where
60% of the true pairs are kept. Then, of each kind of error, the share that is not kept.
`ratios` holds the weights that fit these data best, as policies/entst.py holds those of its own.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.executor import Executor, LocalExecutor
from agent.passages import read_passages
from memory.errors import BadInput
from memory.records import Chunk
from policies.base import Candidate
from policies.planting import KINDS, auc
from service.bench.absorb import Show
from service.bench.outcome import Outcome, Row, machine
from service.config import Config

_NAMES: Final = ("constant", "over_reader", "over_closed", "over_strange", "against")
_ENTAILED: Final = 0.5  # support from which a pair is kept
_RECALL: Final = 0.6
_RIDGE: Final = 1.0  # how strongly weights are held at 0, in pairs
_STEPS: Final = 30  # of Newton's method; a handful is enough


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure."""

    data: Path
    n: int = 200  # true pairs, and as many false ones
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Pair:
    kind: str  # of error; "" if it is true
    candidate: Candidate


def run(config: Config, options: Options, show: Show) -> Iterator[Outcome]:
    """Measure in a child process, see compare()."""
    with LocalExecutor(config.train.threads) as executor:
        yield compare(config, options, executor, show)


def compare(config: Config, options: Options, executor: Executor, show: Show) -> Outcome:
    """A row a method. Raises BadInput for data that hold too few pairs."""
    from agent import catalog
    from agent.verify import VerifyRequest, verify

    pairs = drawn(options.data, options.n, options.seed)
    request = VerifyRequest(
        catalog.resolve(config.model, config.cache),
        catalog.study_adapter(config.model),
        config.embedder,
        tuple(pair.candidate for pair in pairs),
        options.seed,
    )
    found = executor.run(verify, request, show)
    features = np.array([one.features for one in found.signals])
    scores = {
        "random": [random.Random(f"{options.seed} {turn}").random() for turn in range(len(pairs))],
        "rules": [1.0 - one for one in features[:, 3]],
        "likelihood": [float(one) for one in 1 / (1 + np.exp(-features[:, 0] - 1))],
        "entst": list(found.support),
        "entst_clean": [
            one if keep else 0.0 for one, keep in zip(found.support, found.cleaned, strict=True)
        ],
    }
    rows = [_row(name, each, pairs) for name, each in scores.items()]
    rows[-1] = {**rows[-1], "signals": features.round(3).tolist()}
    fitted = weights(features, np.array([not pair.kind for pair in pairs]))
    named = dict(zip(_NAMES, map(float, fitted), strict=True))
    settings = {**asdict(options), "model": config.model, "kinds": [pair.kind for pair in pairs]}
    return Outcome("verify", settings, machine(), tuple(rows), named)


def drawn(data: Path, n: int, seed: int) -> list[_Pair]:
    """True pairs and false ones, of each kind as many. Raises BadInput if there are too few."""
    people = _people(data)
    chance = random.Random(seed)
    chance.shuffle(people)
    true, rest = people[:n], people[n:]
    made: dict[str, list[Candidate]] = defaultdict(list)
    for one in rest:
        kind = min(KINDS, key=lambda name: len(made[name]))
        each = sorted(KINDS, key=lambda name: (len(made[name]), name != kind))
        wrong = ((name, KINDS[name](one, people, chance)) for name in each)
        name, false = next(((name, false) for name, false in wrong if false), ("", None))
        if false is not None and len(made[name]) < -(-n // len(KINDS)):
            made[name].append(false)
    pairs = [_Pair("", one) for one in true]
    pairs += [_Pair(name, one) for name, several in made.items() for one in several]
    if len(true) < n or len(pairs) < 2 * n:
        raise BadInput(
            f"{data} holds too few questions for {n} true and {n} false pairs: lower --n"
        )
    return pairs


def _people(data: Path) -> list[Candidate]:
    found: dict[tuple[int, str], Candidate] = {}
    for number, passage in enumerate(read_passages(data), 1):
        chunk = Chunk(number, number, 0, passage.title.replace("_", " "), passage.context)
        for asked in passage.questions:
            one = Candidate(chunk, chunk.text, "qa", asked.text, asked.answer, "people")
            found.setdefault((number, asked.text.lower()), one)
    return list(found.values())


def _row(name: str, scores: Sequence[float], pairs: Sequence[_Pair]) -> Row:
    true = [score for score, pair in zip(scores, pairs, strict=True) if not pair.kind]
    false = [score for score, pair in zip(scores, pairs, strict=True) if pair.kind]
    cut = sorted(true, reverse=True)[round(_RECALL * len(true)) - 1]
    return {
        "method": name,
        "precision": precision(true, false, _ENTAILED),
        "recall": sum(score >= _ENTAILED for score in true) / len(true),
        "precision_at_60": precision(true, false, cut),
        "auc": auc(true, false),
        **_rejected(scores, pairs),
    }


def precision(true: Sequence[float], false: Sequence[float], cut: float) -> float | None:
    """Share of the true ones among all that score at least so much; None if there are none."""
    hits = sum(score >= cut for score in true)
    kept = hits + sum(score >= cut for score in false)
    return hits / kept if kept else None


def _rejected(scores: Sequence[float], pairs: Sequence[_Pair]) -> Mapping[str, float]:
    """Of each kind of error the share that is not kept."""
    groups: defaultdict[str, list[bool]] = defaultdict(list)
    for score, pair in zip(scores, pairs, strict=True):
        if pair.kind:
            groups[pair.kind].append(score < _ENTAILED)
    return {kind: sum(each) / len(each) for kind, each in sorted(groups.items())}


def weights(features: NDArray[np.float64], true: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Logistic regression with a constant [1 + features], by Newton's method."""
    rows = np.concatenate([np.ones((len(features), 1)), features], axis=1)
    found = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        likely = 1 / (1 + np.exp(-np.clip(rows @ found, -30, 30)))
        slope = rows.T @ (true - likely) - _RIDGE * found
        curve = (rows * (likely * (1 - likely))[:, None]).T @ rows + _RIDGE * np.eye(len(found))
        found = found + np.linalg.solve(curve, slope)
    return found
