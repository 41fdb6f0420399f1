"""Real vLLM servers of merged weights, one for each generation; `make vllm`; `-s` for figures."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest

from agent.examine import passes
from agent.merge import MergeRequest, merge
from memory.testing import memory_store
from service import fleets
from service.config import load
from service.engines.canary import Canary, Unfit
from service.engines.merged import MergedEngine
from service.http import Service, create_app
from tests.helpers.crowd import ask, check, crowd, gap_ratio
from tests.helpers.serving import live, make_service
from tests.helpers.stores import add, learn
from tests.soak.conftest import PYTHON

PROMPTS = ("The port is", "Once upon a time", "My name is")
TOKENS = 8
MODELS = 2
CLIENTS = 4

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.model,
    pytest.mark.slow,
    # httpx2 leaves a socket that could not connect, as to a server that starts, to be collected
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@dataclass(frozen=True, slots=True)
class Site:
    """learnd in front of servers that come and go."""

    url: str
    service: Service
    engine: MergedEngine

    def swap(self) -> int:
        generation = self.service.store.activate(0, "swap")
        self.service.slot.follow(generation)
        return generation.number


@pytest.fixture
def site(base: Path, adapters: list[Path], state: Path, tmp_path: Path) -> Iterator[Site]:
    models = [tmp_path / f"merged-{number}" for number in range(MODELS)]
    for adapter, directory in zip(adapters, models, strict=False):
        directory.mkdir()
        merge(MergeRequest(base, adapter, directory), lambda progress: None)
    engine = {"kind": "vllm", "weights": "merged", "dtype": "float32", "python": PYTHON}
    config = load(None, {"state": state, "engine": engine})
    with closing(fleets.merged(config, base, state)) as merged:
        service = make_service(
            tmp_path, merged, memory_store(), lambda each: models[each.number % MODELS]
        )
        with live(create_app(service)) as url:
            yield Site(url, service, merged)


def test_nobody_notices(site: Site) -> None:
    """Two swaps to servers that start beside those that answer."""
    pure: dict[int, list[str]] = {}
    with httpx2.Client(timeout=120) as http:
        for _ in range(MODELS):
            number = site.swap()
            pure[number % MODELS] = [
                ask(http, site.url, "learnd", prompt, TOKENS).text for prompt in PROMPTS
            ]
    assert len({text for texts in pure.values() for text in texts}) > len(PROMPTS)
    times = []
    with crowd(site.url, CLIENTS, PROMPTS, TOKENS) as seen:
        for _ in range(MODELS):
            began = time.monotonic()
            number = site.swap()
            times.append((began, time.monotonic()))
            seen.first_of(number)
    found = check(seen, [pure[number] for number in range(MODELS)], PROMPTS)
    usual, ratio = gap_ratio(seen, times)
    print(f"\n{CLIENTS} clients: {found}; swaps {[round(b - a, 1) for a, b in times]} s")
    print(f"gap {usual * 1e3:.0f} ms, during swaps x{ratio:.2f}", flush=True)
    assert found == {"answers": found["answers"], "refused": 0, "broken": 0, "mixed": 0, "back": 0}


def test_what_a_real_server_gets_wrong_never_becomes_the_head(site: Site, tmp_path: Path) -> None:
    store = memory_store()
    learned = learn(store, add(store, "a.md"))  # its probes: of which chance knows nothing
    weights = site.service.slot._locate(replace(learned, number=1))
    site.swap()
    site.engine._canary = Canary(store, passes)
    copied = (tmp_path / "unfit").absolute()
    assert weights is not None
    copied.symlink_to(weights)
    with pytest.raises(Unfit, match="answers 0 of 2 questions"):
        site.engine.load(learned.number, copied)
    with httpx2.Client(timeout=120) as http:
        assert ask(http, site.url, "learnd", PROMPTS[0], TOKENS).complete
