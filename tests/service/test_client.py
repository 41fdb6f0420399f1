"""Tests of service.client."""

from pathlib import Path

import pytest

from memory.errors import BadInput, LearndError
from memory.store import Store
from service import client
from service.config import load
from service.http import create_app
from tests.helpers.serving import live, make_service
from tests.helpers.tiny_model import save_tiny_model


def test_nobody_there(state: Path) -> None:
    nobody = load(None, {"state": state, "server": {"port": 1}})
    with client.daemon(nobody) as daemon, pytest.raises(client.NoDaemon, match=r"127\.0\.0\.1:1"):
        daemon.status()


def test_the_daemon_s_own_words_reach_the_user(state: Path) -> None:
    with live(create_app(make_service(state, serve=False))) as url:
        port = int(url.rpartition(":")[2])
        config = load(None, {"state": state, "server": {"port": port}})
        with client.daemon(config) as daemon:
            with pytest.raises(LearndError, match="The model is being loaded"):
                daemon.ask("Who?", ["learnd"])
            with pytest.raises(LearndError, match=r"set server\.token"):
                daemon.activate(0)
            with pytest.raises(BadInput, match="there is no model 'x'"):
                daemon.ask("Who?", ["x"])


def test_the_state_directory_answers_without_a_daemon(state: Path, tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path / "model")
    Store.open(state / "learnd.db").close()
    config = load(None, {"state": state, "model": str(model), "server": {"max_tokens": 5}})
    learnd, base = client.ask_state(config, "Who signs?", ["learnd", "base"])
    assert (learnd.model, base.model, learnd.generation) == ("learnd", "base", 0)
    assert learnd.text == base.text != ""
    with pytest.raises(BadInput, match="known: learnd"):
        client.ask_state(config, "Who signs?", ["gpt"])


@pytest.mark.parametrize(
    ("host", "reached"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("docs.local", "docs.local")],
)
def test_where_to_connect(host: str, reached: str) -> None:
    assert client._reachable(host) == reached
