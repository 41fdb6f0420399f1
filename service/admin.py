"""Activate and roll back: through the running daemon, else on the state directory itself."""

from collections.abc import Callable

from service import client, wiring
from service.config import Config
from service.slot import rollback_target


def activate(config: Config, number: int, ask_daemon: bool) -> int:
    """Serve a generation's weights again; the number of the new generation."""

    def choose(state: wiring.State) -> int:
        return number

    return _change(config, ask_daemon, lambda daemon: daemon.activate(number), choose, "activated")


def rollback(config: Config, ask_daemon: bool) -> int:
    """Serve what was served before; the number of the new generation."""

    def choose(state: wiring.State) -> int:
        return rollback_target(state.store.generations())

    return _change(config, ask_daemon, client.Daemon.rollback, choose, "rollback")


def _change(
    config: Config,
    ask_daemon: bool,
    remote: Callable[[client.Daemon], int],
    choose: Callable[[wiring.State], int],
    verb: str,
) -> int:
    """Without a daemon the state directory is locked meanwhile. Raises StateLocked."""
    if ask_daemon:
        try:
            with client.daemon(config) as daemon:
                return remote(daemon)
        except client.NoDaemon:
            pass  # then nothing holds the state directory either, or StateLocked will say so
    with wiring.open_state(config) as state:
        number = choose(state)
        return wiring.activate(config, state, number, f"{verb} to g{number}").number
