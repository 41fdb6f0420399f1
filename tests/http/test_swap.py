"""Swaps under load: nobody is refused, no answer mixes generations, nobody goes back in time."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx2

from tests.http.conftest import MODELS, Site

CLIENTS = 8
SWAPS = 10
ASK = {"model": "learnd", "prompt": "The port is", "max_tokens": 24, "stream": True}


@dataclass(frozen=True, slots=True)
class Seen:
    """One streamed answer."""

    header: int
    fingerprints: frozenset[str]
    text: str
    complete: bool


def ask(http: httpx2.Client, url: str, model: str = "learnd") -> Seen:
    with http.stream("POST", f"{url}/v1/completions", json={**ASK, "model": model}) as answer:
        assert answer.status_code == 200, answer.read()
        events = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    chunks = [json.loads(event) for event in events[:-1]]
    return Seen(
        int(answer.headers["x-learnd-generation"]),
        frozenset(chunk["system_fingerprint"] for chunk in chunks),
        "".join(chunk["choices"][0]["text"] for chunk in chunks),
        events[-1] == "[DONE]",
    )


def test_swaps_under_load(site: Site) -> None:
    done = threading.Event()

    def client(number: int) -> list[Seen]:
        seen = []
        with httpx2.Client(timeout=60) as http:
            while not done.is_set():
                seen.append(ask(http, site.url))
        return seen

    with ThreadPoolExecutor(CLIENTS) as crowd:
        clients = [crowd.submit(client, number) for number in range(CLIENTS)]
        for number in range(SWAPS):
            site.service.slot.follow(site.service.store.activate(0, f"swap {number}"))
        done.set()
        histories = [client.result() for client in clients]
    with httpx2.Client(timeout=60) as http:
        pure = [ask(http, site.url, f"learnd@g{number}").text for number in range(MODELS)]
    assert len(set(pure)) == MODELS  # else a mixture could not be seen
    for history in histories:
        generations = [seen.header for seen in history]
        assert generations == sorted(generations)
        for seen in history:
            assert seen.complete
            assert seen.fingerprints == {f"learnd-g{seen.header}"}
            assert seen.text == pure[seen.header % MODELS]
    assert site.service.slot.in_flight()[SWAPS] == 0
