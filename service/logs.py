"""Logs to stderr: lines for people on a terminal, JSON elsewhere. Never a prompt, answer or text.

Libraries that use the standard logging module come out the same way, from WARNING up.
"""

import logging
import sys
from collections.abc import Sequence
from typing import TextIO

import structlog
from structlog.typing import Processor


def configure(stream: TextIO | None = None) -> None:
    """Set up structlog and the root logger; stream is stderr unless told otherwise."""
    stream = stream or sys.stderr
    shared: Sequence[Processor] = (
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    people = stream.isatty()
    last: Processor = (
        structlog.dev.ConsoleRenderer() if people else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("learnd").setLevel(logging.INFO)


def logger() -> structlog.stdlib.BoundLogger:
    """The log of the daemon."""
    return structlog.stdlib.get_logger("learnd")
