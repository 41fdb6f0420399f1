"""Study items written by a real vLLM: `make vllm` first; `-s` for figures."""

import json
import time
from contextlib import closing
from pathlib import Path

import pytest
import torch

from agent import catalog, models
from agent.endpoint import RemoteWriter
from agent.generate import Writer, generate
from agent.models import LanguageModel, question_tokens
from agent.prompts import Asked
from policies import skills
from service.engines.fleet import STUDY, Fleet, Model
from service.engines.managed import Managed, adapters, arguments
from service.fleets import own

PYTHON = Path(".venv-vllm/bin/python").absolute()
PRACTICE = Path("examples/practice/everyday.json")
NAME = "smollm2-135m"
PLACES = 2  # of 8, as by default
TOKENS = 24

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.model,
    # httpx2 leaves a socket that could not connect, as to a server that starts, to be collected
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


def test_it_writes_what_the_child_writes(tmp_path: Path) -> None:
    """Adapter beside base against merged weights: sums in another order, so near ties may turn."""
    base, study = (
        catalog.resolve(NAME, Path.home() / ".cache" / "learnd"),
        catalog.study_adapter(NAME),
    )
    assert study is not None
    child = Managed(PYTHON, arguments(base, 8, "float32", adapters(16, 2)), tmp_path / "log")
    member = own(child)
    model = models.load(base, torch.float32)
    with closing(
        Fleet([member], Model(base, NAME, "soak", study), 8, 600, writing=PLACES)
    ) as fleet:
        fleet.load(0, None)
        roster = fleet._roster
        with roster.change:
            assert roster.change.wait_for(lambda: roster.has(STUDY), 60)
        place = fleet.endpoint()
        assert place is not None
        compare(model, RemoteWriter(place, place.published))
        writer = RemoteWriter(place, place.practised)
        compare(models.merged(model, study), writer)
        once, again = (said(model, writer, 0.8, 7) for _ in range(2))
        assert once == again


def compare(model: LanguageModel, remote: Writer) -> None:
    began = time.monotonic()
    here = said(model, generate, 0.0, 0)
    between = time.monotonic()
    there = said(model, remote, 0.0, 0)
    seconds = (between - began, time.monotonic() - between)
    differing = [pair for pair in zip(here, there, strict=True) if pair[0] != pair[1]]
    print(f"\n{len(differing)} of {len(here)} differ: {differing[:2]}")
    print("seconds here and there: {:.1f} {:.1f}".format(*seconds), flush=True)
    assert len(differing) <= len(here) / 10


def said(model: LanguageModel, writer: Writer, temperature: float, seed: int) -> list[str]:
    """The questions of passages, read with the passage before them."""
    passages = json.loads(PRACTICE.read_text())[:3]
    prompts = [
        skills.reader(passage["title"], passage["context"], each["question"])
        for passage in passages
        for each in passage["questions"]
    ]
    asked = [Asked(tuple(question_tokens(model.tokenizer, one)), TOKENS) for one in prompts]
    return writer(model, model.network, asked, temperature, seed, lambda done: None)
