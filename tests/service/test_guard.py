"""Tests of service.guard."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from service.config import ServerSettings
from service.guard import ROUTES, Access, Guard, access
from service.http import create_app
from tests.helpers.serving import make_service

TOKEN = "s3cret"
ADMIN = [key for key, decided in ROUTES.items() if decided is Access.ADMIN]
USE = [key for key, decided in ROUTES.items() if decided is Access.USE]
OPEN = [key for key, decided in ROUTES.items() if decided is Access.OPEN]


def client(state: Path, url: str = "http://127.0.0.1", **server: object) -> TestClient:
    return TestClient(create_app(make_service(state, server=server)), base_url=url)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_every_route_has_a_decision_and_every_decision_a_route(state: Path) -> None:
    app: FastAPI = create_app(make_service(state))
    found = {(method, route.path) for route in all_routes(app) for method in route.methods or ()}
    assert found == set(ROUTES)


def all_routes(app: FastAPI) -> Iterator[APIRoute]:
    for route in app.routes:
        assert isinstance(route, APIRoute), f"{route} cannot be decided on"
        yield route


@pytest.mark.parametrize(("method", "path"), ADMIN)
@pytest.mark.parametrize("sent", ["", "wrong", TOKEN + "x", TOKEN.upper()])
def test_admin_routes_need_the_token(state: Path, method: str, path: str, sent: str) -> None:
    answer = client(state, token=TOKEN).request(method, path, headers=bearer(sent))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize(("method", "path"), ADMIN)
@pytest.mark.parametrize("sent", ["", "x"])
def test_without_a_token_nobody_is_admin(state: Path, method: str, path: str, sent: str) -> None:
    answer = client(state).request(method, path, headers=bearer(sent))
    assert answer.status_code == 403
    assert "set server.token" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("method", "path"), USE)
def test_off_loopback_all_else_needs_the_token_too(state: Path, method: str, path: str) -> None:
    path = path.replace("{name:path}", "learnd")
    open_to_all = client(state, host="0.0.0.0")
    assert open_to_all.request(method, path).status_code == 403
    guarded = client(state, host="0.0.0.0", token=TOKEN)
    assert guarded.request(method, path).status_code == 401
    assert guarded.request(method, path, headers=bearer(TOKEN)).status_code in (200, 400)


@pytest.mark.parametrize(("method", "path"), USE + OPEN)
def test_on_loopback_reading_and_asking_is_open(state: Path, method: str, path: str) -> None:
    answer = client(state, token=TOKEN).request(method, path.replace("{name:path}", "learnd"))
    assert answer.status_code in (200, 400)


@pytest.mark.parametrize("path", [path for method, path in OPEN])
def test_health_is_open_everywhere(state: Path, path: str) -> None:
    assert client(state, host="0.0.0.0").get(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/admin/rollback/",
        "//v1/admin/rollback",
        "/v1//admin/rollback",
        "/V1/Admin/Rollback",
        "/v1/models/../admin/rollback",
        "/v1/models/%2e%2e/admin/rollback",
        "/v1/admin%2frollback",
        "/v1/admin/rollback%00",
        "/v1/admin/rollback;x",
        "/healthz/../v1/admin/rollback",
        "/docs",
        "/openapi.json",
        "/",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "PUT", "TRACE"])
def test_tricks_with_the_path_do_not_slip_through(state: Path, path: str, method: str) -> None:
    reply = raw(state, method, path)
    assert reply in (401, 404, 405)


def raw(state: Path, method: str, path: str) -> int:
    """The status for a path that no client library tidied up."""
    from urllib.parse import unquote

    scope = {
        "type": "http",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
    }
    return statuses(create_app(make_service(state, server={"token": TOKEN})), scope)[0]


def statuses(app: object, scope: Scope, *parts: bytes) -> list[int]:
    found: list[int] = []
    waiting = [*parts, b""]

    async def receive() -> Message:
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    asyncio.run(app(scope, receive, send))  # type: ignore[operator]
    return found


@pytest.mark.parametrize(
    ("method", "path"), [("HEAD", "/healthz"), ("POST", "/v1/models"), ("DELETE", "/v1/documents")]
)
def test_other_methods_are_for_the_admin(method: str, path: str) -> None:
    assert access(method, path) is Access.ADMIN


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8765", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("evil.example:8765", 400),
        ("[::1", 400),
        ("", 400),
        ("user@evil", 400),
    ],
)
def test_on_loopback_the_host_must_be_local(state: Path, host: str, status: int) -> None:
    assert client(state).get("/v1/models", headers={"host": host}).status_code == status


def test_off_loopback_any_host_will_do(state: Path) -> None:
    answer = client(state, host="0.0.0.0").get("/healthz", headers={"host": "docs.example"})
    assert answer.status_code == 200


def guarded(**server: object) -> Guard:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        size = len((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(size).encode()})

    return Guard(app, ServerSettings(**server))  # type: ignore[arg-type]


def post(*headers: tuple[bytes, bytes]) -> Scope:
    return {
        "type": "http",
        "method": "POST",
        "path": "/v1/completions",
        "headers": [(b"host", b"localhost"), *headers],
    }


def test_bodies_are_limited_declared_or_not() -> None:
    guard = guarded(max_body_bytes=10)
    assert statuses(guard, post((b"content-length", b"11"))) == [413]
    assert statuses(guard, post((b"content-length", b"9" * 5000))) == [413]
    assert statuses(guard, post(), b"12345", b"678901") == [413]
    assert statuses(guard, post(), b"12345", b"67890") == [200]


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.guard.BODY_SECONDS", 0.0)
    found: list[int] = []

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        found.append(message.get("status", 0))

    asyncio.run(guarded()(post(), receive, send))
    assert found[0] == 408


def test_connections_are_limited_but_health_is_always_told() -> None:
    async def crowd() -> list[int]:
        guard, held, found = guarded(connections=1), asyncio.Event(), list[int]()

        async def receive() -> Message:
            await held.wait()
            return {"type": "http.request", "body": b""}

        async def at_once() -> Message:
            return {"type": "http.request", "body": b""}

        async def send(message: Message) -> None:
            found.append(message.get("status", 0))

        first = asyncio.ensure_future(guard(post(), receive, send))
        await asyncio.sleep(0)
        await guard(post(), at_once, send)
        health = {**post(), "method": "GET", "path": "/healthz"}
        await guard(health, at_once, send)
        held.set()
        await first
        await guard(post(), at_once, send)
        return [status for status in found if status]

    assert asyncio.run(crowd()) == [503, 200, 200, 200]


def test_websockets_are_refused(state: Path) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/v1/status", "headers": [(b"host", b"localhost")]}
    asyncio.run(guarded()(scope, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
