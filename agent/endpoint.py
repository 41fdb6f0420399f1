"""Writing by a server that speaks as OpenAI's completions do, in place of generate().

Prompts go there as tokens, so both write from the same. A few are asked at a time: the rest of the
server is for those who ask questions.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx2

from memory.errors import LearndError, Unavailable

if TYPE_CHECKING:  # these load torch
    from torch import nn

    from agent.models import LanguageModel
    from agent.prompts import Asked

SECONDS: Final = 300.0  # of one answer, with the time that it waits
_LIKELIEST: Final = 50  # tokens to draw from, as in sampling.py
_PLAIN: Final = {"top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}  # not its own defaults


class _Away(ConnectionError):
    """An OSError, and so no policy's fault: see policies/pipeline.py."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server, and what it calls the models that write."""

    url: str
    socket: Path | None  # of a server on this machine, in place of the address in the URL
    key: str = field(repr=False)
    practised: str
    published: str
    places: int  # prompts at the same time, at most


@contextmanager
def away_named() -> Iterator[None]:
    """Raises Unavailable where the server did not answer: that is no failure of the batch."""
    try:
        yield
    except _Away as error:
        raise Unavailable(str(error)) from error


@dataclass(frozen=True, slots=True)
class RemoteWriter:
    """A Writer, see generate.py. Greedy answers are the same but for near ties; drawn ones differ,
    and are the same again for the same seed."""

    endpoint: Endpoint
    model: str

    def __call__(
        self,
        model: "LanguageModel",
        network: "nn.Module",
        prompts: Sequence["Asked"],
        temperature: float,
        seed: int,
        on_done: Callable[[int], None],
    ) -> list[str]:
        """Raises LearndError if the server does not take a prompt; see away_named()."""
        from agent.models import end_tokens

        same: dict[str, Any] = {
            "model": self.model,
            "temperature": temperature,
            "top_k": _LIKELIEST,
            "stop_token_ids": sorted(end_tokens(model)),
            **_PLAIN,
        }
        texts = []
        with self._client() as client, ThreadPoolExecutor(self.endpoint.places) as pool:

            def write(number: int) -> str:
                asked = prompts[number]
                own = {"prompt": asked.tokens, "max_tokens": asked.most, "seed": seed + number}
                return self._asked(client, {**same, **own})

            for text in pool.map(write, range(len(prompts))):
                texts.append(text)
                on_done(1)
        return texts

    def _client(self) -> httpx2.Client:
        place = self.endpoint
        return httpx2.Client(
            base_url=place.url,
            headers={"authorization": f"Bearer {place.key}"} if place.key else {},
            transport=httpx2.HTTPTransport(uds=str(place.socket) if place.socket else None),
            timeout=SECONDS,
            trust_env=False,
        )

    def _asked(self, client: httpx2.Client, body: dict[str, Any]) -> str:
        where = f"the server at {self.endpoint.socket or self.endpoint.url}"
        try:
            answer = client.post("/v1/completions", json=body)
        except httpx2.TransportError as error:
            raise _Away(f"{where} does not write: {error or type(error).__name__}") from error
        if answer.status_code in (httpx2.codes.BAD_REQUEST, httpx2.codes.UNPROCESSABLE_CONTENT):
            raise LearndError(f"{where} does not take a prompt: {answer.text[:300]}")
        if not answer.is_success:
            raise _Away(f"{where} does not write: {answer.status_code}, {answer.text[:300]}")
        return str(answer.json()["choices"][0]["text"]).strip()
