"""Where the heavy stages run: a spawned child at low priority, so that answers keep their latency.

A job is a module-level function `job(request, report) -> result`; request and result are frozen
records, `report` takes Progress. The child opens no database: it gets records and directories.
It dies with its parent, and its memory goes back to the system when the executor is closed.
"""

import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from memory.durable import disk_full_named
from memory.errors import ChildFailed, LearndError
from memory.records import Progress

Request = TypeVar("Request")
Result = TypeVar("Result")
_TIDY_SECONDS = 10.0  # that an idle child may take to end
Report = Callable[[Progress], None]
Job = Callable[[Request, Report], Result]


class Executor(Protocol):
    """Runs jobs somewhere. Raises what the job raised, or ChildFailed if it died."""

    def run(self, job: Job[Request, Result], request: Request, report: Report) -> Result: ...

    def close(self) -> None: ...


class LocalExecutor:
    """One child on this machine, started at the first job and again after it died."""

    def __init__(self, threads: int = 0, niceness: int = 10, modules: tuple[str, ...] = ()) -> None:
        self._threads = threads or os.cpu_count() or 1
        self._niceness = niceness
        self._modules = modules  # that the child imports at once: a job need not wait for them
        self._child: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None
        self._idle = False  # it did a job and waits for another

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the child ahead of its first job: it takes seconds."""
        self._connect()

    def run(self, job: Job[Request, Result], request: Request, report: Report) -> Result:
        """Run one job in the child and return its result."""
        pipe = self._connect()
        self._idle = False
        try:
            pipe.send((job, request))
            kind, value = self._receive(pipe, report)
            self._idle = True
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise ChildFailed(f"the child process died: {self._end()}") from error
        except BaseException:
            self.close()  # the listener gave up in the middle of a job: what follows is stale
            raise
        if kind == "error":
            raise value
        result: Result = value
        return result

    def close(self) -> None:
        """End the child: an idle one tidies up, one in the middle of something is killed."""
        if self._child is not None and self._pipe is not None:
            self._pipe.close()
            self._child.join(_TIDY_SECONDS if self._idle else 0)
            self._child.kill()
            self._end()

    def _connect(self) -> Connection:
        if self._pipe is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            arguments = (theirs, self._threads, self._niceness, self._modules)
            self._child = context.Process(target=_serve, args=arguments, daemon=True)
            self._child.start()
            theirs.close()
        return self._pipe

    @staticmethod
    def _receive(pipe: Connection, report: Report) -> tuple[str, Any]:
        while True:
            kind, value = pipe.recv()
            if kind != "progress":
                return kind, value
            report(value)

    def _end(self) -> str:
        """Collect a dead child; returns how it ended."""
        child, pipe = self._child, self._pipe
        self._child = self._pipe = None
        if child is None or pipe is None:
            return "it was never started"
        child.join()
        pipe.close()
        code = child.exitcode or 0
        return f"signal {-code}" if code < 0 else f"exit code {code}"


class InlineExecutor:
    """Runs jobs in this process: for tests and for a debugger."""

    def run(self, job: Job[Request, Result], request: Request, report: Report) -> Result:
        return job(request, report)

    def close(self) -> None:
        """Nothing to end."""


def _serve(pipe: Connection, threads: int, niceness: int, modules: Sequence[str]) -> None:
    """The child's life: one job after another until the parent closes the pipe."""
    os.nice(niceness)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    import torch  # only the child needs it

    torch.set_num_threads(threads)
    for name in modules:
        import_module(name)
    while True:
        try:
            job, request = pipe.recv()
        except EOFError:
            return
        pipe.send(_outcome(job, request, lambda progress: pipe.send(("progress", progress))))


def _outcome(job: Job[Any, Any], request: Any, report: Report) -> tuple[str, Any]:
    """What the parent is told of a job: nothing that a job raises may end the child unheard."""
    try:
        with disk_full_named():
            return "result", job(request, report)
    except LearndError as error:
        return "error", error
    except Exception:
        return "error", ChildFailed(traceback.format_exc())


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
    os._exit(1)
