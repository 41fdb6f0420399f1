"""A stand-in for the model and the embedder that policies reach through Tools."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from memory.records import StudyItem
from policies.base import NO_DIRECTIVES, Ask, Directives, Model
from tests.helpers.embedding import embed

Generate = Callable[[str, float, int], str]  # prompt, temperature, seed
Logprob = Callable[[str, str], float]  # prompt, answer
Trial = Callable[[Sequence[StudyItem], Sequence[StudyItem], int], list[float]]


class FakeTools:
    """Deterministic tools, which remember what they were asked.

    generate: a function, or a table of which the first key that stands in the prompt answers ("" if
    none does). embed: a bag of hashed words. Without a function, nothing is likely and no training
    changes anything.
    """

    def __init__(
        self,
        generate: Mapping[str, str] | Generate | None = None,
        logprob: Logprob = lambda prompt, answer: -5.0,
        trial: Trial = lambda items, examined, seed: [-5.0] * len(examined),
    ) -> None:
        self._generate = generate or {}
        self._logprob = logprob
        self._trial = trial
        self.prompts: list[str] = []
        self.asked: dict[Model, list[str]] = {}  # prompts
        self.lessons: list[tuple[str, str]] = []
        self.trials: list[tuple[tuple[StudyItem, ...], tuple[StudyItem, ...], int, Directives]] = []

    def generate(self, asks: Sequence[Ask], temperature: float, seed: int) -> list[str]:
        self.prompts += [ask.prompt for ask in asks]
        for ask in asks:
            self.asked.setdefault(ask.model, []).append(ask.prompt)
        return [self._answer(ask.prompt, temperature, seed) for ask in asks]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return embed(texts)

    def logprob(
        self, lessons: Sequence[tuple[str, str]], model: Model = Model.PRACTISED
    ) -> list[float]:
        self.lessons += lessons
        self.asked.setdefault(model, []).extend(prompt for prompt, _ in lessons)
        return [self._logprob(prompt, answer) for prompt, answer in lessons]

    def trial(
        self,
        items: Sequence[StudyItem],
        examined: Sequence[StudyItem],
        seed: int,
        directives: Directives = NO_DIRECTIVES,
    ) -> list[float]:
        self.trials.append((tuple(items), tuple(examined), seed, directives))
        return self._trial(items, examined, seed)

    def _answer(self, prompt: str, temperature: float, seed: int) -> str:
        if callable(self._generate):
            return self._generate(prompt, temperature, seed)
        return next((said for key, said in self._generate.items() if key in prompt), "")
