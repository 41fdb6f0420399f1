"""A vLLM server that learnd starts itself, as a child that ends with it."""

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from memory.errors import BadConfig, LearndError
from service.engines.wire import Gone
from service.logs import logger

RANKS: Final = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM takes for --max-lora-rank
TRIES: Final = 3  # starts without success, until we say that it does not start
LONGEST_PAUSE: Final = 60.0  # seconds between two starts
STOP_SECONDS: Final = 10.0
DRAIN_SECONDS: Final = 600  # systemd tells vLLM to end when it tells us: our answers end first
_LOG_BYTES: Final = 200_000  # of the log's end, where the cause of an early end is looked for
_CAUSE: Final = re.compile(r"\b(?:\w*(?:Error|Exception)|error): .+")
# GiB for keys and values where there is no GPU; vLLM would want nearly all memory, and not start
_DEFAULTS: Final = {"VLLM_CPU_KVCACHE_SPACE": "2"}
_CORES: Final = "VLLM_CPU_OMP_THREADS_BIND"

# vLLM's own command looks up a package's metadata by another name than the CPU build has, and does
# not notice that its parent died: this does, by the end of its standard input.
_PROGRAM: Final = """
import os, runpy, signal, sys, threading
def follow():
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=follow, daemon=True).start()
runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__", alter_sys=True)
"""
_ENVIRONMENT: Final = {
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


class DoesNotStart(LearndError):
    """vLLM does not start."""


def require_python(python: Path) -> None:
    """Raises BadConfig unless there is a Python to run vLLM with."""
    if not os.access(python, os.X_OK):
        raise BadConfig(f"engine.python {python} is not there: `make vllm` sets it up")


def shares(servers: int) -> list[list[int]]:
    """The cores of each, where there is no GPU: each server would take them all, and two on the
    same cores wait for each other most of the time. One alone is left to its own choice."""
    if servers == 1:
        return [[]]
    cores = sorted(os.sched_getaffinity(0))
    each = max(1, len(cores) // servers)
    return [(cores * servers)[number * each :][:each] for number in range(servers)]


class Managed:
    """The child: started when it does not run, again when it died, with pauses that grow."""

    def __init__(
        self, python: Path, arguments: Sequence[str], log: Path | None, cores: Sequence[int] = ()
    ) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="learnd-vllm-")  # nobody else may enter
        self.socket = Path(self._home.name) / "socket"
        self._python = python
        self._arguments = [*arguments, "--uds", str(self.socket)]
        self._log = log or Path(self._home.name) / "log"
        bound = {_CORES: ",".join(map(str, cores))} if cores else {}
        self._defaults = {**_DEFAULTS, **bound}
        self._process: subprocess.Popen[bytes] | None = None
        self._failures = 0  # ends since it was last well
        self._due = 0.0  # when it may be started again
        self._stopped = False

    @property
    def process_id(self) -> int | None:
        return self._process.pid if self._process else None

    def ensure(self) -> None:
        """Start it unless it runs. Raises Gone in the pause after it died, DoesNotStart after
        several of them, BadConfig if there is no such Python."""
        if self._process is not None and self._process.poll() is None:
            return
        if self._process is not None:
            self._clear_up(self._process)
        if self._stopped or time.monotonic() < self._due:
            raise self._why()
        self._start()

    def well(self) -> None:
        """It answers."""
        self._failures = 0

    def stop(self) -> None:
        """End it, and all its children; it cannot be started again."""
        self._stopped = True
        process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                logger().warning("vLLM did not stop in time", seconds=STOP_SECONDS)
            self._clear_up(process)
        self._home.cleanup()

    def _start(self) -> None:
        self.socket.unlink(missing_ok=True)
        kept = {name: value for name, value in os.environ.items() if not _secret(name)}
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [self._python, "-c", _PROGRAM, *self._arguments],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**self._defaults, **kept, **_ENVIRONMENT},
                    process_group=0,  # not a session: Linux would weigh it against busy ones
                )
        except OSError as error:
            raise BadConfig(
                f"engine.python {self._python} cannot be run ({error.strerror}): `make vllm` sets "
                "up .venv-vllm; or name the Python that has vLLM"
            ) from error
        logger().info("vLLM started", pid=self._process.pid, log=str(self._log))

    def _clear_up(self, process: subprocess.Popen[bytes]) -> None:
        """It ended: its children too, and a pause begins."""
        with suppress(ProcessLookupError):  # all of them ended by themselves
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin:
            process.stdin.close()
        self._process = None
        self._failures += 1
        pause = 2.0 ** (self._failures - 2) if self._failures > 1 else 0.0
        self._due = time.monotonic() + min(LONGEST_PAUSE, pause)

    def _why(self) -> LearndError:
        said = f"vLLM ended: {cause(self._log)}; see {self._log}"
        return DoesNotStart(said) if self._failures >= TRIES else Gone(said)


def cause(log: Path) -> str:
    """The first error in the end of a log, which caused those that follow it."""
    if not log.exists():
        return "no log"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_BYTES))
        text = file.read().decode(errors="replace")
    lines = [line for line in text.splitlines() if line.strip() and " WARNING " not in line]
    found = _CAUSE.search("\n".join(lines))
    return (found[0] if found else lines[-1].strip() if lines else "without a word")[:300]


def arguments(
    model: Path, parallel: int, dtype: str, adapters: Sequence[str] = (), more: Sequence[str] = ()
) -> list[str]:
    """The options of a server; with those of adapters() it holds adapters beside the model."""
    return [
        *("--model", str(model), "--dtype", dtype, "--generation-config", "vllm"),
        # one place more than answers, and a queue in which a new generation's first one comes first
        *("--max-num-seqs", str(parallel + 1), "--scheduling-policy", "priority", *adapters),
        *("--shutdown-timeout", str(DRAIN_SECONDS), "--disable-log-stats"),
        "--disable-uvicorn-access-log",
        *more,
    ]


def adapters(rank: int, places: int) -> list[str]:
    """The options for so many adapters at once, of at most this rank. Raises BadConfig."""
    if rank > RANKS[-1]:
        raise BadConfig(f"vLLM takes adapters up to rank {RANKS[-1]}; train.rank gives {rank}")
    allowed = min(each for each in RANKS if each >= rank)
    return [
        *("--enable-lora", "--max-lora-rank", str(allowed), "--max-loras", str(places)),
        *("--max-cpu-loras", str(2 * places)),
    ]


def _secret(name: str) -> bool:
    return name.startswith("LEARND_")
