"""Ask the running daemon over HTTP; or, where none runs, the state directory itself."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from memory.errors import BadInput, LearndError
from service import wiring
from service.config import Config
from service.engines.base import Engine, GenerateRequest, Message
from service.slot import Slot

CONNECT_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    model: str  # as asked: learnd, learnd@gN, base
    generation: int
    text: str


class Daemon:
    """A running daemon. Every method raises NoDaemon if nothing listens there."""

    def __init__(self, config: Config) -> None:
        server, token = config.server, config.server.token.get_secret_value()
        self._client = httpx2.Client(
            base_url=f"http://{_reachable(server.host)}:{server.port}",
            headers={"authorization": f"Bearer {token}"} if token else {},
            timeout=httpx2.Timeout(server.request_seconds, connect=CONNECT_SECONDS),
            trust_env=False,  # a proxy has no part in this
        )

    def ask(self, question: str, models: Sequence[str]) -> list[Reply]:
        """One answer from each model."""
        return [self._ask(question, model) for model in models]

    def status(self) -> dict[str, Any]:
        return self._call("GET", "/v1/status")

    def stages(self) -> dict[str, float]:
        """Seconds that each stage of learning has taken since the daemon started, in all."""
        families = text_string_to_metric_families(self._send("GET", "/metrics").text)
        return {
            sample.labels["stage"]: sample.value
            for family in families
            for sample in family.samples
            if sample.name == "learnd_cycle_duration_seconds_sum"
        }

    def activate(self, number: int) -> int:
        """The number of the new generation."""
        return int(self._call("POST", "/v1/admin/activate", {"generation": number})["number"])

    def rollback(self) -> int:
        """The number of the new generation."""
        return int(self._call("POST", "/v1/admin/rollback")["number"])

    def close(self) -> None:
        self._client.close()

    def _ask(self, question: str, model: str) -> Reply:
        messages = [{"role": "user", "content": question}]
        body = self._call("POST", "/v1/chat/completions", {"model": model, "messages": messages})
        generation = int(str(body["system_fingerprint"]).removeprefix("learnd-g"))
        return Reply(model, generation, body["choices"][0]["message"]["content"])

    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return dict(self._send(method, path, body).json())

    def _send(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        try:
            response = self._client.request(method, path, json=body)
        except httpx2.ConnectError as error:
            raise NoDaemon(f"no daemon answers at {self._client.base_url}") from error
        except httpx2.HTTPError as error:
            raise LearndError(f"the daemon did not answer: {error}") from error
        if response.is_success:
            return response
        kind = BadInput if response.status_code in (400, 404, 413) else LearndError
        raise kind(_reason(response))


class NoDaemon(LearndError):
    """No daemon answers."""


@contextmanager
def daemon(config: Config) -> Iterator[Daemon]:
    """The daemon that this configuration describes."""
    with closing(Daemon(config)) as client:
        yield client


def ask_state(config: Config, question: str, models: Sequence[str]) -> list[Reply]:
    """Load the head from the state directory and ask it here."""
    with wiring.read_state(config) as state:
        base = wiring.base_model(config)
        engine = wiring.open_engine(config, base, state)
        with closing(engine):
            slot = Slot(engine, state.store, wiring.locator(config, base, state))
            if any(model == "learnd" for model in models):
                slot.follow(state.store.head())
            request = GenerateRequest(
                (Message("user", question),), max_tokens=config.server.max_tokens
            )
            return [asyncio.run(_answer(slot, engine, model, request)) for model in models]


async def _answer(slot: Slot, engine: Engine, model: str, request: GenerateRequest) -> Reply:
    async with slot.borrow(model) as generation:
        pieces = [piece.text async for piece in engine.stream(generation.number, request)]
    return Reply(model, generation.number, "".join(pieces))


def _reachable(host: str) -> str:
    """Where to connect to a daemon that binds to this address."""
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
    host = anywhere.get(host, host)
    return f"[{host}]" if ":" in host else host


def _reason(response: httpx2.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the daemon answered with status {response.status_code}"
