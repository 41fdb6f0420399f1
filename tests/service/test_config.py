"""Tests of service.config."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent.settings import PipelineSettings
from memory.errors import BadConfig
from service.config import Config, ServerSettings, load

EXAMPLE = Path("service/learnd.example.toml")


def file(directory: Path, text: str) -> Path:
    path = directory / "config.toml"
    path.write_text(text)
    return path


@pytest.fixture(autouse=True)
def _nobody_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("STATE", "CACHE", "CONFIGURATION", "CREDENTIALS"):
        monkeypatch.delenv(f"{name}_DIRECTORY", raising=False)
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_defaults_are_those_of_the_pipeline() -> None:
    assert load().pipeline == PipelineSettings()


def test_example_shows_every_key_with_its_default(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    uncommented = re.sub(r"(?m)^# ?(?=\[|\w+ = )", "", text)
    shown_config = load(file(tmp_path, uncommented), {"docs": None})
    assert shown_config.model_dump() == load().model_dump()
    shown = set(re.findall(r"(?m)^(\w+) = ", uncommented))
    sections = set(re.findall(r"(?m)^\[(\w+)\]", uncommented))
    assert shown >= known_keys() - sections


def known_keys() -> set[str]:
    config = load().model_dump()
    nested = {key for value in config.values() if isinstance(value, dict) for key in value}
    return nested | config.keys()


def test_command_line_beats_environment_beats_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = file(tmp_path, "[server]\nport = 1\nqueue = 1\nparallel = 1\n[gate]\ndue = 5")
    monkeypatch.setenv("LEARND_SERVER__QUEUE", "2")
    monkeypatch.setenv("LEARND_SERVER__PORT", "2")
    server = load(written, {"server": {"port": 3}}).server
    assert (server.port, server.queue, server.parallel) == (3, 2, 1)
    assert load(written).gate.due == 5


@pytest.mark.parametrize("value", [".md,.txt", '[".md", ".txt"]'])
def test_lists_in_the_environment(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LEARND_INTAKE__SUFFIXES", value)
    assert load().intake.suffixes == (".md", ".txt")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[server]\nprot = 1", "there is no server.prot; known: connections, drain_seconds, host"),
        ("[gate]\nmin_learnt = 1", "there is no gate.min_learnt; known: base_lost, due, due_share"),
        ("modle = 'x'", "there is no modle; known: attempts"),
        ("[server]\nport = 65536", "server.port: input should be less than or equal to 65535"),
        ("[server]\nparallel = 0", "server.parallel"),
        ("[train]\nlearning_rate = nan", "train.learning_rate must be 0 or more"),
        ("[train]\nrank = -1", "train.rank must be 0 or more"),
        ("server = 3", "server: input should be a dictionary"),
        ("[engine]\nkind = 'llama'", "engine.kind: input should be 'embedded' or 'vllm'"),
        ("[engine]\nurls = ['here:8000']", "engine.urls: 'here:8000' is no http:// address"),
        ("[engine]\nurls = ['http://a', 'http://a']", "engine.urls names a server twice"),
        (
            "[engine]\nurls = ['http://a']\nweights = 'merged'",
            "for servers that learnd starts",
        ),
        ("[server", "config.toml: "),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BadConfig, match=re.escape(complaint)):
        load(file(tmp_path, text))


def test_missing_file_is_an_error_only_if_asked_for(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="there is no configuration file"):
        load(tmp_path / "none.toml")


def test_directories_of_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file(tmp_path, "model = 'mine'")
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/learnd:/var/lib/other")
    monkeypatch.setenv("CACHE_DIRECTORY", "/var/cache/learnd")
    config = load()
    assert (config.model, config.state, config.cache) == (
        "mine",
        Path("/var/lib/learnd"),
        Path("/var/cache/learnd"),
    )


def test_credentials_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("secret-token\n")
    (tmp_path / "api_key").write_text("secret-key\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    config = load()
    assert config.server.token.get_secret_value() == "secret-token"
    assert config.engine.api_key.get_secret_value() == "secret-key"
    assert "secret" not in f"{config!r} {config.model_dump_json()}".replace("SecretStr", "")


def test_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().model = "other"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("a.b", False)],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert ServerSettings(host=host).loopback is loopback


def test_imports_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "fastapi", "faiss", "numpy", "uvicorn")
    code = f"import sys, service.config; print([m for m in {heavy} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_is_a_config() -> None:
    assert isinstance(load(), Config)
