"""Clients that ask without a pause, streaming, and what they saw."""

import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx2


@dataclass(frozen=True, slots=True)
class Seen:
    """One streamed answer."""

    generation: int  # of the header; -1: refused
    fingerprints: frozenset[str]
    text: str
    complete: bool
    arrivals: tuple[float, ...]  # of its events, by the monotonic clock
    error: str = ""

    def gaps(self) -> list[float]:
        """Seconds between two events."""
        return [b - a for a, b in zip(self.arrivals, self.arrivals[1:], strict=False)]


def ask(http: httpx2.Client, url: str, model: str, prompt: str, tokens: int) -> Seen:
    """Stream one completion."""
    body = {"model": model, "prompt": prompt, "max_tokens": tokens, "stream": True}
    with http.stream("POST", f"{url}/v1/completions", json=body) as answer:
        if answer.status_code != httpx2.codes.OK:
            return Seen(-1, frozenset(), "", False, (), answer.read().decode())
        arrived = [
            (time.monotonic(), line.removeprefix("data: ")) for line in answer.iter_lines() if line
        ]
    events = [event for _, event in arrived]
    complete = events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events if event != "[DONE]"]
    said = [chunk for chunk in chunks if "choices" in chunk]
    return Seen(
        int(answer.headers["x-learnd-generation"]),
        frozenset(chunk["system_fingerprint"] for chunk in said),
        "".join(chunk["choices"][0]["text"] for chunk in said),
        complete,
        tuple(at for at, _ in arrived),
        "" if complete else events[-1],
    )


@dataclass(slots=True)
class Crowd:
    """What all clients saw: a list each, filled as they ask."""

    histories: list[list[Seen]]
    change: threading.Condition = field(default_factory=threading.Condition)

    @property
    def answers(self) -> list[Seen]:
        return [seen for history in self.histories for seen in history]

    def add(self, client: int, seen: Seen) -> None:
        with self.change:
            self.histories[client].append(seen)
            self.change.notify_all()

    def first_of(self, generation: int) -> float:
        """When the first event of that generation arrived; waits until an answer of it ended."""

        def firsts() -> list[float]:
            return [one.arrivals[0] for one in self.answers if one.generation == generation]

        with self.change:
            return min(self.change.wait_for(firsts, 120))


@contextmanager
def crowd(url: str, clients: int, prompts: Sequence[str], tokens: int) -> Iterator[Crowd]:
    """Clients that ask `learnd` the prompts in turn until the block ends."""
    done, seen = threading.Event(), Crowd([[] for _ in range(clients)])

    def client(number: int) -> None:
        with httpx2.Client(timeout=120, trust_env=False) as http:
            while not done.is_set():
                prompt = prompts[number % len(prompts)]
                seen.add(number, ask(http, url, "learnd", prompt, tokens))

    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(client, number) for number in range(clients)]
        try:
            yield seen
        finally:
            done.set()
        for each in running:
            each.result()


def check(crowd: Crowd, pure: Sequence[Sequence[str]], prompts: Sequence[str]) -> dict[str, int]:
    """Count what must not be: refused, broken, mixed, back in time. pure[k][p]: what generation n
    with n % len(pure) == k says to prompt p alone."""
    found = {"answers": 0, "refused": 0, "broken": 0, "mixed": 0, "back": 0}
    for number, history in enumerate(crowd.histories):
        newest = -1
        for seen in history:
            found["answers"] += 1
            found["refused"] += seen.generation < 0
            found["broken"] += seen.generation >= 0 and not seen.complete
            right = pure[seen.generation % len(pure)][number % len(prompts)]
            own = seen.fingerprints == {f"learnd-g{seen.generation}"}
            found["mixed"] += seen.complete and (seen.text != right or not own)
            found["back"] += 0 <= seen.generation < newest
            newest = max(newest, seen.generation)
    return found


def gap_ratio(crowd: Crowd, swaps: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Median gap between events in seconds, and the median of those that touch a swap over it."""
    usual, during = list[float](), list[float]()
    for seen in crowd.answers:
        for start, end in zip(seen.arrivals, seen.arrivals[1:], strict=False):
            touched = any(start < swap_end and end > swap_start for swap_start, swap_end in swaps)
            (during if touched else usual).append(end - start)
    typical = median(usual) if usual else float("nan")
    return typical, median(during) / typical if during and usual else float("nan")


def memory_mb(process: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def slope(values: Sequence[float]) -> float:
    """Least squares: change per step."""
    n = len(values)
    mean_x, mean_y = (n - 1) / 2, sum(values) / n
    top = sum((x - mean_x) * (y - mean_y) for x, y in enumerate(values))
    return top / (sum((x - mean_x) ** 2 for x in range(n)) or 1.0)
