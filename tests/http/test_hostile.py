"""Clients that mean no good, or do not know better. The server says what is wrong and goes on."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.http.conftest import Site

ASK = {"model": "learnd", "prompt": "The", "max_tokens": 4}


def asking(fault: bytes) -> bytes:
    """A body that is right for both routes but for the fault, since the last of two keys counts."""
    right = b'"model": "learnd", "prompt": "x", "messages": [{"role": "user", "content": "x"}]'
    return b"{" + right + b", " + fault + b"}"


def post(site: Site, body: bytes, path: str = "/v1/completions") -> httpx2.Response:
    return httpx2.post(site.url + path, content=body, timeout=30)


@pytest.fixture(autouse=True)
def _still_answers(site: Site) -> Iterator[None]:
    yield
    assert post(site, json.dumps(ASK).encode()).status_code == 200
    assert httpx2.get(f"{site.url}/healthz").status_code == 200


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b'{"model": "learnd"}',
        asking(b'"model": 3'),
        asking(b'"prompt": [], "messages": []'),
        asking(b'"prompt": [1, 2], "messages": [1, 2]'),
        asking(b'"prompt": {}, "messages": [{"role": "root", "content": ""}]'),
        asking(b'"prompt": null, "messages": [{"role": "user", "content": {}}]'),
        asking(b'"temperature": NaN'),
        asking(b'"max_tokens": 1e999'),
        asking(b'"seed": ' + b"9" * 5000),
        asking(b'"prompt": "\\ud800", "messages": [{"role": "user", "content": "\\ud800"}]'),
        b"[" * 90_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    ],
)
def test_malformed_bodies_are_400(site: Site, path: str, body: bytes) -> None:
    answer = post(site, body, path)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_a_body_of_ten_megabytes_is_413(site: Site) -> None:
    assert post(site, b"x" * 10_000_000).status_code == 413


def test_an_endless_body_is_413(site: Site) -> None:
    address = urlsplit(site.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as raw:
        raw.sendall(
            b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        with_chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        raw.sendall(with_chunk * 2)
        assert raw.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Length: 5\r\nContent-Length: 7\r\n\r\nabcde",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    ],
)
def test_broken_http_is_refused(site: Site, request_bytes: bytes) -> None:
    address = urlsplit(site.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as raw:
        raw.sendall(request_bytes)
        answer = raw.recv(100)
    assert not answer or answer.startswith(b"HTTP/1.1 4")


def test_a_foreign_host_is_refused(site: Site) -> None:
    answer = httpx2.get(f"{site.url}/v1/models", headers={"host": "evil.example"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_host")


@contextmanager
def streaming(site: Site, tokens: int) -> Iterator[Iterator[str]]:
    body = {**ASK, "max_tokens": tokens, "stream": True}
    with httpx2.stream("POST", f"{site.url}/v1/completions", json=body, timeout=30) as answer:
        assert answer.status_code == 200
        yield answer.iter_lines()


def test_a_full_queue_is_429_with_retry_after_and_never_an_error_of_ours(site: Site) -> None:
    def ask(number: int) -> httpx2.Response:
        return post(site, json.dumps({**ASK, "max_tokens": 80}).encode())

    with ThreadPoolExecutor(40) as crowd:
        answers = list(crowd.map(ask, range(40)))
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 429}
    for answer in answers:
        if answer.status_code == 429:
            assert answer.headers["retry-after"] == "1"
            assert answer.json()["error"]["code"] == "queue_full"


def test_clients_that_leave_free_their_place(site: Site) -> None:
    for _ in range(20):  # more than may run and wait together
        with streaming(site, 450) as lines:
            assert next(lines).startswith("data: ")


def test_clients_that_leave_before_a_whole_answer_free_their_place(site: Site) -> None:
    slow = json.dumps({**ASK, "max_tokens": 500})
    for _ in range(20):
        with pytest.raises(httpx2.TimeoutException):
            httpx2.post(f"{site.url}/v1/completions", content=slow, timeout=0.02)
