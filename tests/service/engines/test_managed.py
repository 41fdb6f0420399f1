"""Tests of service.engines.managed: children that are no vLLM, but end as one may."""

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from memory.errors import BadConfig
from service.engines import managed
from service.engines.managed import DoesNotStart, Managed, adapters, arguments, cause, shares
from service.engines.wire import Gone

Start = Callable[[str], Managed]
LIVES = "import os, sys; os.write(1, b'up'); sys.stdin.read()"
DIES = "print('ValueError: no such model'); print('RuntimeError: so I end'); raise SystemExit(3)"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a program in place of vLLM."""
    with ExitStack() as stack:

        def started(program: str) -> Managed:
            monkeypatch.setattr(managed, "_PROGRAM", program)
            child = Managed(Path(sys.executable), [], tmp_path / "vllm.log")
            stack.callback(child.stop)
            child.ensure()
            return child

        yield started


def wait(child: Managed) -> None:
    assert child._process is not None
    child._process.wait(10)


def test_it_runs_until_it_is_stopped(start: Start) -> None:
    child = start(LIVES)
    first = child.process_id or 0
    child.ensure()
    assert child.process_id == first > 0
    assert os.getpgid(first) == first  # no Ctrl-C of ours goes there
    assert os.getsid(first) == os.getsid(0)  # a new session may have no turn beside a busy one
    child.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    with pytest.raises(Gone):
        child.ensure()


def test_what_died_is_started_again_at_once_and_then_after_pauses(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr("service.engines.managed.time.monotonic", lambda: now)
    child = start(DIES)
    wait(child)
    child.ensure()
    wait(child)
    with pytest.raises(Gone, match=r"vLLM ended: ValueError: no such model; see .*vllm\.log"):
        child.ensure()
    now += 1.0
    child.ensure()
    wait(child)
    with pytest.raises(DoesNotStart, match="no such model"):
        child.ensure()
    child.well()
    now += 2.0
    child.ensure()
    wait(child)
    child.ensure()  # it was well meanwhile: no pause


def test_its_children_end_with_it(start: Start) -> None:
    parent = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {!r}])\n"
    grandchild = "import sys, time; print('up', flush=True); time.sleep(60)"
    child = start(parent.format(grandchild) + "print(p.pid, flush=True); sys.exit(1)")
    wait(child)
    orphan = os.pidfd_open(int(next(w for w in child._log.read_text().split() if w.isdigit())))
    child.stop()
    ended, _, _ = select.select([orphan], [], [], 10)
    os.close(orphan)
    assert ended


def test_secrets_and_our_settings_are_not_handed_on(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEARND_SERVER__TOKEN", "secret")
    child = start("import os; print(sorted(os.environ))")
    wait(child)
    said = child._log.read_text()
    assert "LEARND" not in said
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" in said


@pytest.mark.parametrize(("given", "used"), [(None, "2"), ("7", "7")])
def test_without_a_gpu_it_takes_a_part_of_the_memory(
    start: Start, monkeypatch: pytest.MonkeyPatch, given: str | None, used: str
) -> None:
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    if given:
        monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", given)
    child = start("import os; print(os.environ['VLLM_CPU_KVCACHE_SPACE'])")
    wait(child)
    assert child._log.read_text().strip() == used


def test_a_python_that_is_not_there_is_named(tmp_path: Path) -> None:
    child = Managed(tmp_path / "python", [], tmp_path / "log")
    with pytest.raises(BadConfig, match=r"engine\.python .* `make vllm` sets up"):
        child.ensure()
    child.stop()


def test_a_python_without_vllm_says_so(tmp_path: Path) -> None:
    child = Managed(Path(sys.executable), [], tmp_path / "log")
    child.ensure()
    wait(child)
    child.ensure()
    wait(child)
    with pytest.raises(Gone, match="No module named 'vllm'"):
        child.ensure()
    child.stop()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "without a word"),
        ("a\nb\n\n", "b"),
        ("x (EngineCore) OSError: first\ny RuntimeError: second", "OSError: first"),
        (
            "x WARNING 1: OSError: if files lack\nERROR 2: ValueError: no room",
            "ValueError: no room",
        ),
        ("api_server.py: error: unrecognized arguments: --x", "error: unrecognized arguments: --x"),
    ],
)
def test_the_cause_is_the_first_error(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "log").write_text(text)
    assert cause(tmp_path / "log") == found
    assert cause(tmp_path / "none") == "no log"


@pytest.mark.parametrize(("rank", "allowed"), [(1, "1"), (2, "8"), (48, "64"), (512, "512")])
def test_the_rank_is_one_that_vllm_takes(rank: int, allowed: str) -> None:
    options = arguments(Path("/base"), 16, "float32", adapters(rank, 4), ["--more"])
    assert options[options.index("--max-lora-rank") + 1] == allowed
    assert options[options.index("--max-loras") + 1] == "4"
    assert options[options.index("--max-num-seqs") + 1] == "17"  # one for a warm-up
    assert options[-1] == "--more"


def test_a_rank_beyond_vllms_is_refused() -> None:
    with pytest.raises(BadConfig, match=r"up to rank 512; train\.rank gives 600"):
        adapters(600, 4)


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        (1, [[]]),
        (2, [[0, 1], [3, 4]]),
        (3, [[0], [1], [3]]),
        (7, [[n] for n in (0, 1, 3, 4, 5) * 2]),
    ],
)
def test_several_servers_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, servers: int, expected: list[list[int]]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {5, 3, 1, 0, 4})
    assert shares(servers) == expected[:servers]


def test_a_server_keeps_to_its_cores_unless_the_user_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        managed, "_PROGRAM", "import os; print(os.environ['VLLM_CPU_OMP_THREADS_BIND'])"
    )
    for said, bound in ((None, "3,4"), ("0-7", "0-7")):
        if said:
            monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", said)
        child = Managed(Path(sys.executable), [], tmp_path / "log", [3, 4])
        child.ensure()
        wait(child)
        child.stop()
        assert (tmp_path / "log").read_text().strip() == bound
