"""The HTTP application: the OpenAI-compatible routes, learnd's own, health and metrics."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Protocol

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as AsgiMessage

from memory.errors import LearndError
from memory.records import Generation
from memory.store import Store
from service import documents, history, tasks
from service.answers import Json, error_body, failure
from service.config import Config
from service.engines.base import Engine, Remote
from service.guard import Guard
from service.learner import Activity
from service.metrics import Metrics
from service.openai import OpenAI, parse
from service.slot import Slot, rollback_target

LEAST_FREE_BYTES: Final = 50_000_000  # below it the daemon says that it is not ready
RETRY_AFTER: Final = {429: "1", 503: "5"}  # seconds


class Learning(Protocol):
    """What of the learner the routes use."""

    activity: Activity

    @property
    def alive(self) -> bool: ...

    def wake(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Service:
    """What the routes stand on."""

    config: Config
    store: Store
    engine: Engine
    slot: Slot
    learner: Learning
    metrics: Metrics
    locate: Callable[[Generation], Path | None]  # verified weights of a generation

    def faults(self) -> list[str]:
        """What is dead inside. Empty: the process is worth keeping."""
        parts = {"decoding thread": self.engine.alive, "learning thread": self.learner.alive}
        return [f"the {name} has ended" for name, alive in parts.items() if not alive]

    def users(self) -> dict[str, int]:
        """Requests on the head, and on generations that it is about to free or that were pinned."""
        in_flight = self.slot.in_flight()
        current = in_flight.pop(self.slot.head.number, 0) if self.slot.head else 0
        return {"current": current, "other": sum(in_flight.values())}

    def activate(self, number: int, note: str) -> Generation:
        """Serve an earlier generation again. Its weights are checked before anything changes."""
        self.locate(self.store.candidate(number))
        generation = self.store.activate(number, note)
        self.slot.follow(generation)
        return generation


class Activation(BaseModel):
    """Body of POST /v1/admin/activate."""

    model_config = ConfigDict(extra="forbid")

    generation: int = Field(ge=0, le=2**31)


def create_app(service: Service) -> FastAPI:
    """The application, guard included."""
    app = FastAPI(title="learnd", openapi_url=None, redirect_slashes=False)
    service.metrics.watch(service.store.counts, service.users, lambda: service.engine.waiting)
    OpenAI(service.slot, service.engine, service.config.server, service.metrics).add_to(app)
    _Routes(service).add_to(app)
    app.add_exception_handler(LearndError, _refused)
    app.add_exception_handler(HTTPException, _not_routed)
    app.add_exception_handler(Exception, _broken)
    app.add_middleware(Guard, settings=service.config.server)
    app.add_middleware(_Counted, metrics=service.metrics)  # outermost: refusals count too
    return app


class _Routes:
    """learnd's own routes. Plain functions: they run in threads, so they may read the store."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, app: FastAPI) -> None:
        reading = {
            "/healthz": self.alive,
            "/readyz": self.ready,
            "/metrics": self.metrics,
            "/v1/status": self.status,
            "/v1/documents": self.documents,
            "/v1/generations": self.generations,
            "/v1/probes": self.probes,
            "/v1/history": self.history,
            "/v1/tasks": self.tasks,
        }
        for path, route in reading.items():
            app.add_api_route(path, route, methods=["GET"], response_model=None)
        app.add_api_route("/v1/admin/activate", self.activate, methods=["POST"])
        app.add_api_route("/v1/admin/rollback", self.rollback, methods=["POST"])
        app.add_api_route("/v1/admin/rescan", self.rescan, methods=["POST"])

    async def alive(self) -> Response:
        return _health(self._service.faults())

    def ready(self) -> Response:
        faults = self._service.faults()
        if self._service.slot.head is None:
            faults.append("the model is being loaded")
        engine = self._service.engine
        if isinstance(engine, Remote) and engine.fault:
            faults.append(engine.fault)
        self._service.store.head()  # raises if the store is closed or damaged
        if shutil.disk_usage(self._service.config.state).free < LEAST_FREE_BYTES:
            faults.append("the disk is full")
        return _health(faults)

    def metrics(self) -> Response:
        return Response(self._service.metrics.page(), media_type="text/plain; version=0.0.4")

    def status(self) -> Json:
        service = self._service
        return {
            "version": version("learnd"),
            "model": service.config.model,
            "head": _named(service.slot.head),
            "previous": _named(service.slot.previous),
            "learning": asdict(service.learner.activity),
            "in_flight": {f"g{n}": users for n, users in service.slot.in_flight().items()},
            "waiting": service.engine.waiting,
            "counts": service.store.counts(),
            "drift": service.store.drift(),
        }

    def documents(self) -> Json:
        return {"object": "list", "data": documents.rows(self._service.store)}

    def tasks(self) -> Json:
        return {"object": "list", "data": tasks.rows(self._service.store)}

    def generations(self) -> Json:
        return _listed(self._service.store.generations())

    def probes(self) -> Json:
        return _listed(self._service.store.probe_rows())

    def history(self) -> Json:
        return {
            "object": "list",
            "data": [
                {**row, "moments": list(map(asdict, row["moments"]))}
                for row in history.rows(self._service.store)
            ],
            "recall": list(map(asdict, self._service.store.recall())),
        }

    async def activate(self, request: Request) -> Json:
        wanted = parse(Activation, await request.body()).generation
        return await run_in_threadpool(self._activate, wanted, "activated")

    def rollback(self) -> Json:
        target = rollback_target(self._service.store.generations())
        return self._activate(target, "rollback")

    def rescan(self) -> Json:
        self._service.learner.wake()
        return {"rescan": True}

    def _activate(self, number: int, verb: str) -> Json:
        return asdict(self._service.activate(number, f"{verb} to g{number}"))


class _Counted:
    """ASGI middleware: counts answers by route, never by path, which a client can make up."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counting(message: AsgiMessage) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                self._metrics.request(route, message["status"])
            await send(message)

        await self._app(scope, receive, counting)


def _named(generation: Generation | None) -> Json | None:
    return asdict(generation) if generation else None


def _listed(rows: Any) -> Json:
    return {"object": "list", "data": [asdict(row) for row in rows]}


def _health(faults: list[str]) -> Response:
    headers = {"retry-after": RETRY_AFTER[503]} if faults else None
    return JSONResponse({"ok": not faults, "faults": faults}, 503 if faults else 200, headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, LearndError)
    status, body = error_body(error)
    headers = {"retry-after": RETRY_AFTER[status]} if status in RETRY_AFTER else None
    return JSONResponse(body, status, headers)


async def _not_routed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    body = failure(error.detail, "invalid_request_error", None)
    return JSONResponse(body, error.status_code, error.headers)


async def _broken(request: Request, error: Exception) -> Response:
    """What the client sees of a programming error; the server logs the rest."""
    return JSONResponse(failure("internal error", "server_error", None), 500)
