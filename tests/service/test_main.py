"""Tests of service.main: the command line, without a model."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from memory.errors import BadInput, DiskFull, LearndError, StateLocked
from memory.records import Stage
from service import client, lesson, main, options, wiring
from service.client import Reply
from service.http import create_app
from service.lesson import BatchReport, Lesson
from tests.helpers.command_line import invoke, shown
from tests.helpers.serving import live, make_service

pytestmark = pytest.mark.usefixtures("no_daemon")
COMMANDS = [
    "run",
    "learn",
    "ask",
    "status",
    "docs",
    "probes",
    "policies",
    "generations",
    "activate",
    "rollback",
    "check",
    "doctor",
]


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", "from service.main import main; main()", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_help_comes_at_once_and_loads_nothing_heavy() -> None:
    started = time.monotonic()
    assert command("--help").returncode == 0
    assert time.monotonic() - started < 2.0  # under 0.5 s on a quiet machine
    code = (
        "import sys, service.main\n"
        "print([m for m in sys.modules if m in "
        "('torch', 'numpy', 'pydantic', 'fastapi', 'httpx2', 'sqlite_utils', 'transformers')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json_and_a_configuration(name: str) -> None:
    text = invoke(name, "--help").stdout
    assert "--json" in text
    assert "--config" in text
    assert "--state" in text


def test_errors_are_one_line_and_an_exit_code(tmp_path: Path) -> None:
    config = tmp_path / "broken.toml"
    config.write_text("[server]\nprot = 1")
    result = command("status", "--config", config)
    assert (result.returncode, result.stdout) == (4, "")
    assert result.stderr.startswith("learnd: configuration: there is no server.prot")
    assert result.stderr.count("\n") == 1
    assert command("status", "--nonsense").returncode == 2
    assert command("learn", tmp_path / "nowhere", "--state", tmp_path / "state").returncode == 4
    assert command("docs", "--state", tmp_path / "empty").returncode == 1


@pytest.mark.parametrize(
    ("error", "code"), [(StateLocked(), 3), (BadInput(), 4), (DiskFull(), 1), (LearndError(), 1)]
)
def test_exit_codes(error: LearndError, code: int) -> None:
    assert main._exit_code(error) == code


def test_a_state_in_use_is_refused_with_the_pid(state: Path, tmp_path: Path) -> None:
    from service.config import load

    with wiring.open_state(load(None, {"state": state})):
        result = command("learn", tmp_path, "--state", state)
    assert result.returncode == 3
    assert "is in use by process" in result.stderr


def test_activate_and_rollback_without_a_daemon(filled: Path) -> None:
    assert shown("activate", 0, "--state", filled) == {"generation": 1}
    assert isinstance(invoke("activate", 7, "--state", filled).exception, BadInput)
    assert isinstance(invoke("rollback", "--state", filled).exception, BadInput)  # at the base


def test_activate_goes_through_a_running_daemon(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service(state, server={"token": "s3cret"})
    with live(create_app(service)) as url:
        monkeypatch.setenv("LEARND_SERVER__PORT", url.rpartition(":")[2])
        refused = invoke("activate", 0)
        monkeypatch.setenv("LEARND_SERVER__TOKEN", "s3cret")
        assert invoke("activate", 0).stdout == "g1 is served now\n"
    assert "token is missing or wrong" in str(refused.exception)
    assert service.slot.head == service.store.generation(1)


def test_ask_a_running_daemon(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with live(create_app(make_service(state))) as url:
        monkeypatch.setenv("LEARND_SERVER__PORT", url.rpartition(":")[2])
        assert invoke("ask", "Who?").stdout == "g0 g0 g0\n"  # the answer alone
        assert invoke("ask", "Who?", "--base").stdout == "g0 g0 g0\ng0 g0 g0\n"
        [reply] = shown("ask", "Who?")
        assert reply == {"model": "learnd", "generation": 0, "text": "g0 g0 g0 "}
        unknown = invoke("ask", "Who?", "--model", "gpt").exception
    assert isinstance(unknown, BadInput)
    assert "known: learnd" in str(unknown)


def test_ask_falls_back_to_the_state_directory(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def answer(config: object, question: str, models: list[str]) -> list[Reply]:
        asked.append(models)
        return [Reply(model, 0, "42") for model in models]

    monkeypatch.setattr(client, "ask_state", answer)
    assert invoke("ask", "Who?").stdout == "42\n"
    assert invoke("ask", "Who?", "--base", "--state", filled).stdout == "42\n42\n"
    assert asked == [["learnd"], ["learnd", "base"]]


@pytest.mark.parametrize(
    ("stages", "quarantined", "code"),
    [
        ((), (), 0),
        ((Stage.SERVING,), (), 0),
        ((Stage.REJECTED, Stage.SERVING), (), 0),
        ((Stage.REJECTED,), (), 5),
        ((Stage.FAILED,), (), 5),
        ((), ("junk.md",), 5),
    ],
)
def test_learn_tells_what_came_of_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stages: tuple[Stage, ...],
    quarantined: tuple[str, ...],
    code: int,
) -> None:
    batches = tuple(BatchReport(1, stage, 1, 4, 0, 3, ("why",)) for stage in stages)
    done = Lesson(len(batches), quarantined, batches, 1, {"train": 2.0})
    monkeypatch.setattr(lesson, "learn", lambda config, docs, show: done)
    result = invoke("learn", tmp_path)
    assert result.exit_code == code
    assert ("why" in result.stdout) == bool(stages)
    assert shown("learn", tmp_path)["batches"] == [
        {
            "batch": 1,
            "stage": stage.value,
            "documents": 1,
            "probes": 4,
            "right_before": 0,
            "right_after": 3,
            "reasons": ["why"],
            "warnings": [],
            "task": "",
        }
        for stage in stages
    ]


def test_learn_says_how_a_task_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"help desk/$(x)": Stage.SERVING, "refused": Stage.REJECTED}
    batches = tuple(BatchReport(1, one, 1, 4, 0, 3, (), (), name) for name, one in names.items())
    done = Lesson(2, (), batches, 0, {})
    monkeypatch.setattr(lesson, "learn", lambda config, docs, show: done)
    shown = invoke("learn", tmp_path).stdout
    assert "learnd ask --model 'learnd:help desk/$(x)' \"INPUT\"" in shown
    assert "learnd:refused" not in shown


def test_learn_needs_a_folder() -> None:
    error = invoke("learn").exception
    assert isinstance(error, BadInput)
    assert "which folder?" in str(error)


def test_options_become_configuration(tmp_path: Path) -> None:
    config = options.configured(None, docs=tmp_path, server_port=7, server_host=None, model="x")
    assert (config.docs, config.server.port, config.model) == (tmp_path, 7, "x")
