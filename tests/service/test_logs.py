"""Tests of service.logs."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from service import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.getLogger("learnd").setLevel(logging.NOTSET)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_off_a_terminal_from_us_and_from_libraries() -> None:
    stream = io.StringIO()
    logs.configure(stream)
    logs.logger().info("serving", generation=3)
    logging.getLogger("some.library").warning("odd %s", "thing")
    logging.getLogger("some.library").info("chatter")
    ours, theirs = lines(stream)
    assert (ours["event"], ours["generation"], ours["level"]) == ("serving", 3, "info")
    assert (theirs["event"], theirs["level"]) == ("odd thing", "warning")


def test_people_get_lines() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    logs.configure(stream)
    logs.logger().info("serving", generation=3)
    assert "serving" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_a_traceback_is_one_json_line_without_the_values_of_variables() -> None:
    stream = io.StringIO()
    logs.configure(stream)
    prompt = "canary"
    try:
        int(prompt[:0] or "x")
    except ValueError:
        logs.logger().exception("broken")
    [line] = lines(stream)
    assert "ValueError" in str(line["exception"])
    assert "canary" not in str(line).replace('prompt = "canary"', "")
