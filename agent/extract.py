"""The bytes of one file -> titled text, and the same in a child that a hostile file may kill.

Covers: limits on memory, CPU and wall time; a crash, a hang or a memory error costs one document.
Does not cover: a parser that a file takes over can still read what the daemon's user can read.
"""

import json
import resource
import signal
import threading
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from agent.formats import PARSERS, decode, without_tricks
from agent.settings import IntakeSettings
from memory.errors import BadDocument, ChildFailed

TITLE_CHARACTERS = 200  # a longer title is cut: it is repeated with every chunk
START_SECONDS = 60.0  # a busy machine may start the child slowly: not the document's fault
REPLY_BYTES = 256_000_000  # a longer reply cannot be honest

Parser = Callable[[str, bytes], tuple[str, str]]  # (suffix, data) -> (title, text)


def extract(suffix: str, data: bytes) -> tuple[str, str]:
    """(title, text) of one file; the title is "" if the file has none.

    `suffix` (".md", ".rst" ...) chooses the parser; an unknown one is read as plain text.
    Raises BadDocument with the reason if the bytes are no text or the text is empty.
    """
    source = without_tricks(decode(data))
    title, text = PARSERS.get(suffix.lower(), PARSERS[".txt"])(source)
    text = without_tricks(text)  # again: an entity can spell what the source did not show
    if not any(character.isalnum() for character in text):
        raise BadDocument("no text")
    return " ".join(without_tricks(title).split())[:TITLE_CHARACTERS].strip(), text


class Extractor:
    """extract() behind a process boundary.

    The child starts with the first document, serves all that follow, and is replaced when it dies.
    Raises BadDocument for whatever a document does to it, ChildFailed if none can be started.
    """

    def __init__(self, settings: IntakeSettings, parser: Parser = extract) -> None:
        self._settings = settings
        self._parser = parser
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._drop_child()

    def extract(self, suffix: str, data: bytes) -> tuple[str, str]:
        """As extract() above, within the settings' seconds and bytes."""
        child = self._ready_child()
        try:
            reply = child.ask(suffix.encode() + b"\0" + data, self._settings.extract_seconds)
        except (EOFError, OSError, ValueError):  # it died, or its reply is garbage
            reason = child.epitaph()
            self._drop_child()
            raise BadDocument(reason) from None
        if "reason" in reply:
            raise BadDocument(reply["reason"])
        return reply["title"], reply["text"]

    def _ready_child(self) -> "_Child":
        if self._child is None or not self._child.usable:
            self._drop_child()
            self._child = _Child(self._settings, self._parser)
        return self._child

    def _drop_child(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _Child:
    """One spawned process and the pipe to it.

    Bytes and JSON cross the pipe, never pickles: the child is not trusted.
    """

    def __init__(self, settings: IntakeSettings, parser: Parser) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, settings, parser), daemon=True)
        self._process.start()
        theirs.close()
        self._late = threading.Event()
        if not self._greets():
            self.end()
            raise ChildFailed("no extracting child starts; is intake.extract_bytes too small?")

    @property
    def usable(self) -> bool:
        return self._process.is_alive() and not self._late.is_set()

    def ask(self, request: bytes, seconds: float) -> dict[str, str]:
        """The child's reply. Raises EOFError or OSError if it dies, as it must after `seconds`."""
        limit = threading.Timer(seconds, self._kill_late)
        limit.start()
        try:
            self._pipe.send_bytes(request)
            reply = json.loads(self._pipe.recv_bytes(REPLY_BYTES))
        finally:
            limit.cancel()
        if not isinstance(reply, dict) or reply.keys() not in ({"reason"}, {"title", "text"}):
            raise ValueError("not a reply")
        return reply

    def epitaph(self) -> str:
        """Why the child died."""
        self._process.join(1.0)
        code = self._process.exitcode
        if self._late.is_set() or code == -signal.SIGXCPU:
            return "the parser took too long"
        if code is None or code >= 0:
            return "the parser gave no proper reply"
        return f"the parser crashed ({signal.Signals(-code).name})"

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self._pipe.close()

    def _kill_late(self) -> None:
        self._late.set()
        self._process.kill()

    def _greets(self) -> bool:
        try:
            return self._pipe.poll(START_SECONDS) and self._pipe.recv_bytes() == b"ready"
        except (EOFError, OSError):
            return False


def _serve(pipe: Connection, settings: IntakeSettings, parser: Parser) -> None:
    """The child's main loop; it ends when the parent closes the pipe."""
    for stop in (signal.SIGINT, signal.SIGTERM):  # stopping the group must not look like a crash
        signal.signal(stop, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (settings.extract_bytes, settings.extract_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # a parser writes no files
    if "reason" in _reply(parser, ".txt", b"ready"):  # then the limits, not documents, are to blame
        return
    pipe.send_bytes(b"ready")
    while True:
        try:
            suffix, _, data = pipe.recv_bytes().partition(b"\0")
        except EOFError:
            return
        _allow_cpu(settings.extract_seconds)
        pipe.send_bytes(json.dumps(_reply(parser, suffix.decode(), data)).encode())


def _allow_cpu(seconds: float) -> None:
    """RLIMIT_CPU counts the whole life of the process, so the limit moves on with every file."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = usage.ru_utime + usage.ru_stime
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 2, resource.RLIM_INFINITY))


def _reply(parser: Parser, suffix: str, data: bytes) -> dict[str, str]:
    try:
        title, text = parser(suffix, data)
    except BadDocument as error:
        return {"reason": str(error)}
    except MemoryError:
        return {"reason": "the parser ran out of memory"}
    except RecursionError:
        return {"reason": "nested too deeply"}
    except Exception as error:  # a bug of a parser costs one document; the reason reports it
        return {"reason": f"the parser failed ({type(error).__name__})"}
    return {"title": title, "text": text}
