"""Prometheus metrics: one registry per daemon, one prefix, base units, no path as a label."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from memory.errors import GaveWay
from memory.records import Batch, DocumentState, Generation, Progress
from service.engines.base import Piece

Numbers = Callable[[], Mapping[str, int]]
STAGE_SECONDS: Final = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600)


class Metrics:
    """Everything that is counted. Methods are called where it happens."""

    def __init__(self, version: str) -> None:
        self.registry: Final = CollectorRegistry()
        registry = self.registry
        build = Gauge("learnd_build_info", "Version.", ["version"], registry=registry)
        build.labels(version).set(1)
        self._requests = Counter(
            "learnd_requests", "HTTP requests.", ["route", "status"], registry=registry
        )
        self._tokens = Counter("learnd_tokens", "Tokens served.", ["kind"], registry=registry)
        self._first_token = Histogram(
            "learnd_first_token_seconds", "Until the first token.", registry=registry
        )
        self._swap = Histogram("learnd_swap_duration_seconds", "Load to live.", registry=registry)
        self._generation = Gauge(
            "learnd_generation_info", "The generation served.", ["id"], registry=registry
        )
        self._activated = Gauge(
            "learnd_generation_activated_timestamp_seconds", "Since when.", registry=registry
        )
        self._cycles = Counter(
            "learnd_cycles", "Batches that came to an end.", ["outcome"], registry=registry
        )
        self._stages = Histogram(
            "learnd_cycle_duration_seconds",
            "Time of a stage.",
            ["stage"],
            buckets=STAGE_SECONDS,
            registry=registry,
        )
        self._gate = Counter("learnd_gate_decisions", "Verdicts.", ["decision"], registry=registry)
        self._errors = Counter(
            "learnd_ingest_errors", "Files set aside.", ["format"], registry=registry
        )

    def watch(self, counts: Numbers, in_flight: Numbers, waiting: Callable[[], int]) -> None:
        """Read these anew at each scrape: the store's counts, requests by role, queue length."""
        self.registry.register(_Live(counts, in_flight, waiting))

    def request(self, route: str, status: int) -> None:
        self._requests.labels(route, str(status)).inc()

    def piece(self, piece: Piece, first_after: float | None) -> None:
        """A piece of an answer; first_after: seconds that the first one took, else None."""
        self._tokens.labels("completion").inc(piece.tokens)
        if piece.finish_reason:
            self._tokens.labels("prompt").inc(piece.prompt_tokens)
        if first_after is not None:
            self._first_token.observe(first_after)

    def swapped(self, generation: Generation, seconds: float) -> None:
        self._swap.observe(seconds)
        self._generation.clear()
        self._generation.labels(str(generation.number)).set(1)
        self._activated.set(time.time())

    def stage(self, name: str, seconds: float) -> None:
        self._stages.labels(name).observe(seconds)

    def batch(self, batch: Batch) -> None:
        """A batch reached its final stage."""
        gave_way = not batch.document_ids and batch.error == str(GaveWay())
        self._cycles.labels("gave_way" if gave_way else batch.stage.value).inc()
        if batch.verdict is not None:
            self._gate.labels("accepted" if batch.verdict.accepted else "rejected").inc()

    def quarantined(self, suffix: str, files: int = 1) -> None:
        self._errors.labels(suffix).inc(files)

    def page(self) -> bytes:
        """The page that Prometheus reads."""
        return generate_latest(self.registry)


class StageClock:
    """Turns the progress of a cycle into durations: a stage ends when another one begins."""

    def __init__(self, record: Callable[[str, float], None]) -> None:
        self._record = record
        self._stage = ""
        self._since = 0.0

    def __call__(self, progress: Progress) -> None:
        if progress.stage != self._stage:
            self.stop()
            self._stage, self._since = progress.stage, time.monotonic()

    def stop(self) -> None:
        """The cycle is over, and with it the stage."""
        if self._stage:
            self._record(self._stage, time.monotonic() - self._since)
        self._stage = ""


class _Live(Collector):
    """Numbers that live elsewhere."""

    def __init__(self, counts: Numbers, in_flight: Numbers, waiting: Callable[[], int]) -> None:
        self._counts = counts
        self._in_flight = in_flight
        self._waiting = waiting

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: registering must not read the store."""
        return ()

    def collect(self) -> Iterable[Metric]:
        counts = self._counts()
        documents = GaugeMetricFamily("learnd_documents", "Document versions.", labels=["state"])
        for state in DocumentState:
            documents.add_metric([state.value], counts[state.value])
        in_flight = GaugeMetricFamily(
            "learnd_requests_in_flight", "Requests.", labels=["generation_role"]
        )
        for role, number in self._in_flight().items():
            in_flight.add_metric([role], number)
        recall = counts["probes_right"] / counts["probes"] if counts["probes"] else 0.0
        return (
            documents,
            in_flight,
            GaugeMetricFamily("learnd_requests_waiting", "In the queue.", self._waiting()),
            GaugeMetricFamily("learnd_probes", "Live probes.", counts["probes"]),
            GaugeMetricFamily("learnd_probe_recall_ratio", "Right when last asked.", recall),
            GaugeMetricFamily("learnd_replay_buffer_items", "To rehearse.", counts["items"]),
        )
