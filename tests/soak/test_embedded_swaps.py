"""200 swaps in the embedded engine under 16 clients that never rest. `-s` shows the figures."""

import os
import time
from contextlib import closing
from pathlib import Path
from statistics import median

import httpx2
import pytest

from agent.merge import MergeRequest, merge
from memory.testing import memory_store
from service.engines.embedded import EmbeddedEngine
from service.http import create_app
from tests.helpers.crowd import ask, check, crowd, gap_ratio, memory_mb, slope
from tests.helpers.serving import live, make_service
from tests.helpers.tiny_model import save_tiny_model

MODELS = 3
PROMPTS = ("The port is", "Who signs for", "A fox jumps", "What is the")
TOKENS = 16
SWAPS = 200
CLIENTS = 16

pytestmark = pytest.mark.slow


def soak(models: list[Path], state: Path) -> None:
    """Swap under load, each time until somebody got the new generation; count what must not be."""
    times, memory, served = [], [], []
    engine = EmbeddedEngine(models[0], CLIENTS, CLIENTS, dtype="float32")  # no near ties
    service = make_service(
        state, engine, memory_store(), lambda generation: models[generation.number % MODELS]
    )
    with closing(engine), live(create_app(service)) as url, httpx2.Client(timeout=60) as http:
        with crowd(url, CLIENTS, PROMPTS, TOKENS) as seen:
            for number in range(1, SWAPS + 1):
                began = time.monotonic()
                service.slot.follow(service.store.activate(0, f"swap {number}"))
                times.append((began, time.monotonic()))
                served.append(seen.first_of(number) - began)
                memory.append(memory_mb(os.getpid()))
        pure = [
            [ask(http, url, f"learnd@g{number}", prompt, TOKENS).text for prompt in PROMPTS]
            for number in range(MODELS)
        ]
    found = check(seen, pure, PROMPTS)
    usual, ratio = gap_ratio(seen, times)
    loads = [end - began for began, end in times]
    print(f"\n{CLIENTS} clients, {SWAPS} swaps: {found}")
    print(f"swap median {median(loads):.3f} s, worst {max(loads):.3f} s")
    print(f"first new answer after median {median(served):.2f} s, worst {max(served):.2f} s")
    print(f"gap {usual * 1e3:.1f} ms, during swaps x{ratio:.2f}")
    print(f"memory {memory[0]:.0f} MB, then {slope(memory[SWAPS // 4 :]):+.3f} MB a swap")
    assert len({said for texts in pure for said in texts}) > len(PROMPTS)  # else nothing could show
    assert found == {"answers": found["answers"], "refused": 0, "broken": 0, "mixed": 0, "back": 0}
    assert found["answers"] >= SWAPS // 4


def test_nobody_notices(tmp_path: Path, state: Path) -> None:
    soak([save_tiny_model(tmp_path / str(seed), seed) for seed in range(MODELS)], state)


@pytest.mark.model
def test_nobody_notices_with_the_built_in_model(
    base: Path, adapters: list[Path], tmp_path: Path, state: Path
) -> None:
    models = [tmp_path / f"merged-{number}" for number in range(MODELS)]
    for adapter, directory in zip(adapters, models, strict=True):
        directory.mkdir()
        merge(MergeRequest(base, adapter, directory), lambda progress: None)
    soak(models, state)
