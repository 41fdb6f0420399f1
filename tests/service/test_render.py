"""Tests of service.render."""

import json

import pytest

from memory.records import Generation, Progress
from service import render
from service.client import Reply


def test_json_of_records(capsys: pytest.CaptureFixture[str]) -> None:
    render.to_json([Generation(1, None, None, None, "lärnte", "now")])
    [row] = json.loads(capsys.readouterr().out)
    assert (row["number"], row["note"]) == (1, "lärnte")


def test_tables_never_take_text_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    render.table("t", [{"text": "[bold]x[/bold]", "yes": True, "none": None, "number": 0.5}])
    out = capsys.readouterr().out
    assert "[bold]x[/bold]" in out
    assert "0.50" in out


def test_columns_without_anything_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"path": "a", "reason": "", "why": ""}, {"path": "b", "reason": "", "why": "broken"}]
    render.table("t", rows)
    out = capsys.readouterr().out
    assert "path" in out and "why" in out and "broken" in out and "reason" not in out


def test_answers_off_a_terminal_stand_alone(capsys: pytest.CaptureFixture[str]) -> None:
    render.answers([Reply("learnd", 3, " 4711 "), Reply("base", 0, "I do not know.")])
    assert capsys.readouterr().out == "4711\nI do not know.\n"


def test_progress_off_a_terminal_is_a_line_a_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with render.progress_bars() as show:
        for stage in ("study", "train"):
            for done in range(3):
                show(Progress(stage, done, 3, "note"))
    shown = capsys.readouterr()
    assert shown.err.splitlines() == ["study ...", "train ..."]
    assert shown.out == ""


def test_progress_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with render.progress_bars() as show:
        show(Progress("study", 0, 3, "[note]"))
        show(Progress("study", 3, 3, "[note]"))
        show(Progress("train", 1, 3))
    shown = capsys.readouterr().err
    assert "3/3" in shown
    assert "1/3" in shown
    assert "[note]" in shown
