"""`learnd run --engine vllm` on a folder: what vLLM wrote is learned, served and rolled back."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from agent.examine import is_right
from tests.helpers.crowd import Seen, ask
from tests.soak.conftest import PYTHON
from tests.test_handbook import DESK

QUESTION = "Question: How many passengers does the ferry Kittiwake carry?\nAnswer:"

pytestmark = [pytest.mark.vllm, pytest.mark.model, pytest.mark.slow]


@contextmanager
def daemon(docs: Path, state: Path) -> Iterator[str]:
    """Its address, once it has learned a batch; it must end well."""
    command = [sys.executable, "-m", "service.main", "run", str(docs), "--state", str(state)]
    environment = {
        "LEARND_ENGINE__PYTHON": str(PYTHON),
        "LEARND_SERVER__TOKEN": "secret",
    }
    process = subprocess.Popen(
        [*command, "--engine", "vllm", "--port", "0", "--json"],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        said = "".join(iter(process.stdout.readline, "}\n"))
        assert any("batch done" in line for line in process.stderr)
        yield str(json.loads(said + "}")["url"])
    finally:
        process.terminate()
        ended = process.wait(60)
        process.stdout.close()
        process.stderr.close()
    assert ended == 0


def until(http: httpx2.Client, url: str, generation: int) -> Seen:
    """Ask without a pause until that generation answers; every answer before it is whole."""
    while True:
        seen = ask(http, url, "learnd", QUESTION, 24)
        assert seen.complete, seen.error
        if seen.generation == generation:
            return seen


def test_a_folder_is_learned_served_and_rolled_back(state: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "ferry.md").write_text(DESK)
    with daemon(tmp_path / "docs", state) as url, httpx2.Client(timeout=300) as http:
        knows = until(http, url, 1)
        print(f"\n{knows.text!r}", flush=True)
        assert is_right(knows.text, "214")
        http.headers["authorization"] = "Bearer secret"
        assert http.post(f"{url}/v1/admin/rollback").is_success
        assert not is_right(until(http, url, 2).text, "214")
