"""When things happen by themselves. Nothing is remembered: what is due is read from the store, so a
run that was missed or came twice does no harm."""

from collections.abc import Callable
from datetime import UTC
from types import TracebackType
from typing import Self

from apscheduler.schedulers.background import BackgroundScheduler


class Schedule:
    """Jobs at fixed intervals, each at most once at a time; a late run replaces those it missed.

    Jobs must be quick: they wake the thread that works. A context manager that starts and stops.
    """

    def __init__(self) -> None:
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def every(self, seconds: float, job: Callable[[], None], name: str) -> None:
        """Call the job again and again, the first time after that many seconds."""
        self._scheduler.add_job(job, "interval", seconds=seconds, id=name)

    def __enter__(self) -> Self:
        self._scheduler.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._scheduler.shutdown(wait=True)
