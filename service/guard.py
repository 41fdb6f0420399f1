"""Who may send what: one middleware in front of every route, closed unless a line here opens it.

ROUTES is the whole decision. A request that it does not list, whatever tricks its path plays, needs
the admin token; the router sees the same path that was decided on.
"""

import asyncio
import hmac
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.answers import failure
from service.config import ServerSettings


class Access(Enum):
    """What a route asks of its caller."""

    OPEN = "nothing"
    USE = "nothing on loopback, else the token"
    ADMIN = "the token, always"


ROUTES: Final[Mapping[tuple[str, str], Access]] = {
    ("GET", "/healthz"): Access.OPEN,
    ("GET", "/readyz"): Access.OPEN,
    ("GET", "/metrics"): Access.USE,
    ("GET", "/v1/models"): Access.USE,
    ("GET", "/v1/models/{name:path}"): Access.USE,
    ("POST", "/v1/chat/completions"): Access.USE,
    ("POST", "/v1/completions"): Access.USE,
    ("GET", "/v1/status"): Access.USE,
    ("GET", "/v1/documents"): Access.USE,
    ("GET", "/v1/generations"): Access.USE,
    ("GET", "/v1/probes"): Access.USE,
    ("GET", "/v1/history"): Access.USE,
    ("GET", "/v1/tasks"): Access.USE,
    ("POST", "/v1/admin/activate"): Access.ADMIN,
    ("POST", "/v1/admin/rollback"): Access.ADMIN,
    ("POST", "/v1/admin/rescan"): Access.ADMIN,
}
LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
BODY_SECONDS: Final = 20.0  # within which a request's body must have arrived
# a task's name may hold slashes, but no dots to hide behind
_NAME: Final = r"[^/.][^/]*(?:/[^/.][^/]*)*"
_PATTERNS: Final = tuple(
    (method, re.compile(re.sub(r"\\{\w+:path\\}", _NAME, re.escape(path))), access)
    for (method, path), access in ROUTES.items()
)


@dataclass(eq=False)
class Refusal(Exception):
    """Why a request goes no further."""

    status: int
    message: str
    code: str
    headers: Mapping[str, str] | None = None

    def response(self) -> JSONResponse:
        kind = "authentication_error" if self.status in (401, 403) else "invalid_request_error"
        kind = "server_error" if self.status >= 500 else kind
        body = failure(self.message, kind, self.code)
        return JSONResponse(body, self.status, headers=dict(self.headers or {}))


def access(method: str, path: str) -> Access:
    """The decision about one request; what no line opens is for the admin."""
    for known, pattern, decided in _PATTERNS:
        if method == known and pattern.fullmatch(path):
            return decided
    return Access.ADMIN


class Guard:
    """ASGI middleware: host, token, number of requests, size of the body, in this order."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._settings = settings
        self._token = settings.token.get_secret_value().encode()
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:  # there are no websockets here
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._inside += 1
        try:
            self._check(scope)
            receive = await self._with_body(scope, receive)
        except Refusal as refusal:
            await refusal.response()(scope, receive, send)
        else:
            await self._app(scope, receive, send)
        finally:
            self._inside -= 1

    def _check(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        needed = access(scope["method"], scope["path"])
        if self._settings.loopback:
            self._check_host(headers.get(b"host", b""))
        if needed is Access.ADMIN or (needed is Access.USE and not self._settings.loopback):
            self._check_token(headers.get(b"authorization", b""))
        if needed is not Access.OPEN and self._inside > self._settings.connections:
            raise Refusal(503, "too many connections", "overloaded", {"retry-after": "1"})

    def _check_host(self, header: bytes) -> None:
        """A page that rebinds its own name to 127.0.0.1 still sends its own name."""
        try:
            host = urlsplit(f"//{header.decode('ascii')}").hostname
        except ValueError:
            host = None
        if host not in LOCAL_NAMES | {self._settings.host}:
            raise Refusal(400, "the Host header does not name this machine", "invalid_host")

    def _check_token(self, header: bytes) -> None:
        if not self._token:
            raise Refusal(
                403,
                "no token is configured: set server.token in the configuration file, "
                "or LEARND_SERVER__TOKEN, and send it as 'Authorization: Bearer TOKEN'",
                "no_token_configured",
            )
        if not hmac.compare_digest(header, b"Bearer " + self._token):
            challenge = {"www-authenticate": "Bearer"}
            raise Refusal(401, "the token is missing or wrong", "invalid_api_key", challenge)

    async def _with_body(self, scope: Scope, receive: Receive) -> Receive:
        """Read the body here, within its limits; the route then reads it from memory."""
        body = await self._body(dict(scope["headers"]).get(b"content-length", b""), receive)
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return waiting.pop() if waiting else await receive()

        return replay

    async def _body(self, declared: bytes, receive: Receive) -> bytes:
        limit = self._settings.max_body_bytes
        too_large = Refusal(413, f"the body may have {limit} bytes", "body_too_large")
        if declared.isdigit() and int(declared[:20]) > limit:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in _parts(receive):
                    body += part
                    if len(body) > limit:
                        raise too_large
        except TimeoutError:
            raise Refusal(408, "the body did not arrive in time", "timeout") from None
        return bytes(body)


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the client went away", "disconnected")
        yield message.get("body", b"")
        more = message.get("more_body", False)
