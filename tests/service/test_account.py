"""Tests of service.account: what the account says, without a model."""

from pathlib import Path

import pytest

from memory.store import Store
from service import client, wiring
from tests.helpers.command_line import invoke, shown
from tests.helpers.fake_vllm import fake_vllm

pytestmark = pytest.mark.usefixtures("no_daemon")


def test_status(filled: Path) -> None:
    found = shown("status", "--state", filled)
    assert (found["generation"], found["daemon"]) == ("g0", "not running")
    assert (found["pending"], found["quarantined"]) == (1, 1)
    assert "pending" in invoke("status", "--state", filled).stdout


@pytest.mark.parametrize(
    ("note", "daemon"), [("", "running, paused"), ("disk full", "running, paused: disk full")]
)
def test_status_says_why_nothing_is_learned(
    filled: Path, monkeypatch: pytest.MonkeyPatch, note: str, daemon: str
) -> None:
    learning = {"learning": {"state": "paused", "note": note}}
    monkeypatch.setattr(client.Daemon, "status", lambda self: learning)
    assert shown("status", "--state", filled)["daemon"] == daemon


def test_docs(filled: Path) -> None:
    rows = shown("docs", "--state", filled)
    assert [(row["path"], row["state"]) for row in rows] == [
        ("junk.md", "quarantined"),
        ("people.md", "pending"),
    ]
    assert "binary [red]data" in invoke("docs", "--state", filled).stdout  # never markup


def test_probes_and_generations(filled: Path) -> None:
    assert shown("probes", "--state", filled) == []
    assert "probes: none" in invoke("probes", "--state", filled).stdout
    assert [row["number"] for row in shown("generations", "--state", filled)] == [0]
    assert "now" in invoke("generations", "--state", filled).stdout


def test_policies_are_shown_with_a_state_and_without_one(filled: Path, tmp_path: Path) -> None:
    for state in (filled, tmp_path / "none"):
        rows = shown("policies", "--state", state)
        assert rows[0]["name"] == "al" and rows[0]["pipeline"] and rows[0]["figures"] is None
    assert "plain training on the text" in invoke("policies", "--state", filled).stdout
    file = tmp_path / "learnd.toml"
    file.write_text('[study]\npipeline = ["al", "saal"]\n')
    result = invoke("policies", "--config", file)
    assert "there are: al, " in str(result.exception)


def test_history(filled: Path, tmp_path: Path) -> None:
    assert shown("history", "--state", filled) == {"documents": [], "recall": []}
    picture = tmp_path / "history.png"
    assert "history: none" in invoke("history", "--state", filled, "--png", picture).stdout
    assert picture.stat().st_size > 1_000


def test_check(filled: Path) -> None:
    assert shown("check", "--state", filled) == {"ok": True, "faults": []}
    with Store.open(filled / "learnd.db") as store:
        store.db.execute("UPDATE documents SET state = 'batched' WHERE path = 'people.md'")
    result = invoke("check", "--state", filled)
    assert result.exit_code == 1
    assert "is batched but in no live batch" in result.stdout


def test_doctor(state: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wiring, "base_model", lambda config: tmp_path)
    monkeypatch.setenv("LEARND_SERVER__PORT", "0")
    findings = {row["subject"]: row for row in shown("doctor", "--state", state)}
    assert findings["state directory"]["ok"]
    assert findings["model"]["ok"]
    monkeypatch.setenv("LEARND_DOCS", "/nowhere")
    monkeypatch.setenv("LEARND_SERVER__HOST", "0.0.0.0")
    findings = {row["subject"]: row for row in shown("doctor", "--state", state)}
    assert not findings["documents"]["ok"]
    assert "set server.token" in findings["configuration"]["detail"]
    assert findings["engine"]["detail"] == "embedded"
    assert invoke("doctor", "--state", state).exit_code == 1


def test_doctor_looks_at_vllm(state: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wiring, "base_model", lambda config: tmp_path)
    monkeypatch.setenv("LEARND_ENGINE__KIND", "vllm")
    monkeypatch.setenv("LEARND_ENGINE__PYTHON", str(tmp_path / "python"))
    findings = {row["subject"]: row for row in shown("doctor", "--state", state)}
    assert "`make vllm` sets it up" in findings["engine"]["detail"]
    with fake_vllm(tmp_path) as (url, fake):
        monkeypatch.setenv("LEARND_ENGINE__URLS", url)
        findings = {row["subject"]: row for row in shown("doctor", "--state", state)}
        assert findings["engine"]["ok"]
        fake.no_lora = True
        findings = {row["subject"]: row for row in shown("doctor", "--state", state)}
    assert "has no /v1/load_lora_adapter" in findings["engine"]["detail"]


def test_tasks(filled: Path) -> None:
    assert shown("tasks", "--state", filled) == []
    assert "tasks: none" in invoke("tasks", "--state", filled).stdout
