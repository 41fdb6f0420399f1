"""200 swaps in the embedded engine under 16 clients that never rest. `-s` shows the figures."""

import os
import time
from pathlib import Path

import httpx2
import pytest

from memory.testing import memory_store
from service.engines.embedded import EmbeddedEngine
from service.http import create_app
from tests.helpers.crowd import ask, check, crowd, gap_ratio, memory_mb, slope
from tests.helpers.serving import live, make_service
from tests.helpers.tiny_model import save_tiny_model

MODELS = 3
PROMPTS = ("The port is", "Who signs for", "A fox jumps", "What is the")
TOKENS = 16


@pytest.mark.slow
@pytest.mark.parametrize(("swaps", "clients"), [(200, 16)])
def test_nobody_notices(tmp_path: Path, state: Path, swaps: int, clients: int) -> None:
    models = [save_tiny_model(tmp_path / str(seed), seed) for seed in range(MODELS)]
    engine = EmbeddedEngine(models[0], parallel=clients, queue=clients)
    service = make_service(
        state, engine, memory_store(), lambda generation: models[generation.number % MODELS]
    )
    times, memory = [], []
    with live(create_app(service)) as url, httpx2.Client(timeout=60) as http:
        with crowd(url, clients, PROMPTS, TOKENS) as seen:
            for number in range(1, swaps + 1):
                began = time.monotonic()
                service.slot.follow(service.store.activate(0, f"swap {number}"))
                times.append((began, time.monotonic()))
                memory.append(memory_mb(os.getpid()))
        pure = [
            [ask(http, url, f"learnd@g{number}", prompt, TOKENS).text for prompt in PROMPTS]
            for number in range(MODELS)
        ]
    engine.close()
    found = check(seen, pure, PROMPTS)
    usual, ratio = gap_ratio(seen, times)
    swap_seconds = sorted(end - began for began, end in times)
    print(f"\n{clients} clients, {swaps} swaps: {found}")
    print(f"swap median {swap_seconds[swaps // 2]:.3f} s, worst {swap_seconds[-1]:.3f} s")
    print(f"gap {usual * 1e3:.1f} ms, during swaps x{ratio:.2f}")
    print(f"memory {memory[0]:.0f} MB, then {slope(memory[swaps // 4 :]):+.3f} MB a swap")
    assert len({said for texts in pure for said in texts}) > len(PROMPTS)  # else nothing could show
    assert found == {"answers": found["answers"], "refused": 0, "broken": 0, "mixed": 0, "back": 0}
    assert found["answers"] >= swaps // 4
