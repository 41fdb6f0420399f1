"""Tests of service.http, on a fake engine."""

import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from memory.errors import StateCorrupt, Unavailable
from memory.records import Generation
from service.http import Service, create_app
from tests.helpers.serving import FakeEngine, FakeLearning, make_service
from tests.helpers.stores import add, learn

TOKEN = "s3cret"


def client(service: Service, **more: bool) -> TestClient:
    headers = {"authorization": f"Bearer {TOKEN}"}
    return TestClient(create_app(service), "http://127.0.0.1", headers=headers, **more)  # type: ignore[arg-type]


@pytest.fixture
def service(state: Path) -> Service:
    return make_service(state, server={"token": TOKEN})


def test_alive_names_what_is_dead(service: Service) -> None:
    assert client(service).get("/healthz").json() == {"ok": True, "faults": []}
    service.engine.close()
    answer = client(service).get("/healthz")
    assert (answer.status_code, answer.json()["faults"]) == (503, ["the decoding thread has ended"])
    assert isinstance(service.learner, FakeLearning)
    service.learner.alive = False
    assert "the learning thread has ended" in client(service).get("/healthz").json()["faults"]


def test_not_ready_while_loading(state: Path) -> None:
    service = make_service(state, serve=False)
    answer = client(service).get("/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert client(service).get("/healthz").status_code == 200
    ask = client(service).post("/v1/completions", json={"model": "learnd", "prompt": "x"})
    assert (ask.status_code, ask.headers["retry-after"]) == (503, "5")
    assert ask.json()["error"]["code"] == "loading"
    service.slot.follow(service.store.head())
    assert client(service).get("/readyz").status_code == 200


def test_not_ready_while_no_model_server_answers(service: Service) -> None:
    service.engine.fault = "0 of 2 vLLM servers are ready"  # type: ignore[attr-defined]
    service.engine.endpoint = lambda: None  # type: ignore[attr-defined]
    answer = client(service).get("/readyz")
    assert (answer.status_code, answer.json()["faults"]) == (503, [service.engine.fault])  # type: ignore[attr-defined]
    assert client(service).get("/healthz").status_code == 200
    assert isinstance(service.engine, FakeEngine)
    service.engine.refuse = Unavailable(service.engine.fault)  # type: ignore[attr-defined]
    ask = client(service).post("/v1/completions", json={"model": "learnd", "prompt": "x"})
    assert (ask.status_code, ask.json()["error"]["code"]) == (503, "unavailable")


def test_not_ready_without_room_on_the_disk(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil._ntuple_diskusage(100, 100, 0)
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    answer = client(service).get("/readyz")
    assert (answer.status_code, answer.json()["faults"]) == (503, ["the disk is full"])


def test_status(service: Service) -> None:
    shown = client(service).get("/v1/status").json()
    assert shown["head"]["number"] == 0
    assert shown["learning"]["state"] == "idle"
    assert shown["in_flight"] == {"g0": 0}
    assert shown["counts"]["pending"] == 0


@pytest.mark.parametrize("name", ["documents", "probes", "generations", "history", "tasks"])
def test_lists(service: Service, name: str) -> None:
    shown = client(service).get(f"/v1/{name}").json()
    assert shown["object"] == "list"
    assert len(shown["data"]) == (1 if name == "generations" else 0)


def test_activate_is_a_new_generation_and_serves_it(service: Service) -> None:
    answer = client(service).post("/v1/admin/activate", json={"generation": 0})
    assert answer.json()["number"] == 1
    assert service.slot.head == service.store.generation(1)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"generation": 9}', 404),
        ('{"generation": -1}', 400),
        ("{", 400),
        ("{}", 400),
        ("[" * 10**5, 400),
    ],
)
def test_activate_refuses_nonsense(service: Service, body: str, status: int) -> None:
    assert client(service).post("/v1/admin/activate", content=body).status_code == status
    assert service.store.head().number == 0


def test_what_knows_a_task_alone_cannot_be_activated(service: Service) -> None:
    store = service.store
    learn(store, add(store, "triage.jsonl"))
    answer = client(service).post("/v1/admin/activate", json={"generation": 1})
    assert (answer.status_code, store.head().number) == (400, 0)
    assert "knows the task triage alone" in answer.json()["error"]["message"]


def test_tasks_in_folders_are_found_by_name(service: Service) -> None:
    learn(service.store, add(service.store, "help desk/triage.jsonl"))
    [row] = client(service).get("/v1/tasks").json()["data"]
    assert (row["model"], row["state"]) == ("learnd:help desk/triage", "learned")
    found = client(service).get("/v1/models/learnd:help%20desk/triage")
    assert (found.status_code, found.json()["id"]) == (200, "learnd:help desk/triage")


def test_activate_changes_nothing_if_the_weights_are_damaged(state: Path) -> None:
    def damaged(generation: Generation) -> Path | None:
        raise StateCorrupt("models/x is not as it was published")

    service = make_service(state, locate=damaged, serve=False, server={"token": TOKEN})
    answer = client(service).post("/v1/admin/activate", json={"generation": 0})
    assert answer.status_code == 500
    assert "not as it was published" in answer.json()["error"]["message"]
    assert service.store.head().number == 0


def test_rollback_at_the_base_is_refused(service: Service) -> None:
    answer = client(service).post("/v1/admin/rollback")
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_rescan_wakes_the_learner(service: Service) -> None:
    assert client(service).post("/v1/admin/rescan").json() == {"rescan": True}
    assert isinstance(service.learner, FakeLearning)
    assert service.learner.woken == 1


def test_metrics_count_routes_not_paths(service: Service) -> None:
    ask = client(service)
    ask.get("/v1/models/learnd")
    ask.get("/v1/canary-path")
    ask.post("/v1/completions", json={"model": "learnd", "prompt": "canary-prompt"})
    page = ask.get("/metrics").text
    assert 'learnd_requests_total{route="/v1/models/{name:path}",status="200"} 1.0' in page
    assert 'learnd_requests_total{route="other",status="404"} 1.0' in page
    assert 'learnd_tokens_total{kind="completion"} 3.0' in page
    assert 'learnd_documents{state="pending"} 0.0' in page
    assert 'learnd_requests_in_flight{generation_role="current"} 0.0' in page
    assert "canary" not in page


def test_an_error_of_ours_tells_the_client_nothing(service: Service) -> None:
    assert isinstance(service.engine, FakeEngine)
    service.engine.refuse = ZeroDivisionError("secret")
    ask = client(service, raise_server_exceptions=False)
    answer = ask.post("/v1/completions", json={"model": "learnd", "prompt": "x"})
    assert (answer.status_code, answer.json()["error"]["message"]) == (500, "internal error")


def test_unknown_routes_have_the_same_error_body(service: Service) -> None:
    assert client(service).get("/nowhere").json()["error"]["message"] == "Not Found"
