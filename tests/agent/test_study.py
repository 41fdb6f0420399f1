from dataclasses import replace
from pathlib import Path

import pytest

from agent import models
from agent.endpoint import Endpoint
from agent.settings import TrainSettings
from agent.study import ModelTools, StudyRequest, study
from agent.train import TrainRequest, train
from memory.errors import Unavailable, UnknownPolicy
from memory.records import Chunk, Progress, StudyItem
from policies.base import Ask, Directives, Model
from tests.helpers.fake_vllm import fake_vllm
from tests.helpers.tiny_model import save_tiny_model

CHUNK = Chunk(1, 1, 0, "Systems > Servers", "The server Tarrick listens on port 9362.")


def test_a_model_that_cannot_write_still_studies(tiny_path: Path) -> None:
    """What a random model writes is garbage; beside it stands what rules make."""
    seen: list[Progress] = []
    plan = study(StudyRequest(tiny_path, None, "minilm", (CHUNK,), ("al",), 4, seed=1), seen.append)
    assert "keywords" in {item.kind for item in plan.items}
    assert {item.answer for item in plan.items} == {CHUNK.text}
    assert seen[-1].done == seen[-1].total > 0


def test_a_server_writes_in_its_place(tiny_path: Path) -> None:
    seen: list[Progress] = []
    request = StudyRequest(tiny_path, None, "minilm", (CHUNK,), ("al",), 4, seed=1)
    with fake_vllm(tiny_path) as (url, fake):
        remote = replace(request, endpoint=Endpoint(url, None, "", "study", "the-base", 2))
        fake.context = 10_000
        fake.adapters["study"] = ("", "Which port?")
        plan = study(remote, seen.append)
    assert fake.asked and {each["model"] for each in fake.asked} == {"study"}
    assert {item.answer for item in plan.items} == {CHUNK.text}
    assert seen[-1].done == seen[-1].total == len(fake.asked)


def test_without_the_server_nothing_is_studied_and_no_policy_is_blamed(tiny_path: Path) -> None:
    nowhere = Endpoint("http://127.0.0.1:9", None, "", "study", "base", 2)
    request = StudyRequest(
        tiny_path, None, "minilm", (CHUNK,), ("al", "lmsi"), 4, seed=1, endpoint=nowhere
    )
    with pytest.raises(Unavailable, match="does not write"):
        study(request, lambda progress: None)


def test_an_unknown_policy_lists_the_known_ones(tiny_path: Path) -> None:
    with pytest.raises(UnknownPolicy, match="al"):
        study(
            StudyRequest(tiny_path, None, "minilm", (CHUNK,), ("all",), 4, seed=1),
            lambda progress: None,
        )


def tools(path: Path, seen: list[Progress]) -> ModelTools:
    settings = TrainSettings(rank=4, alpha=8, frozen_share=0.0)
    return ModelTools(models.load(path), models.Embedder("minilm"), path, settings, seen.append)


def test_a_log_probability_is_of_the_answer_given_the_prompt(tiny_path: Path) -> None:
    given = tools(tiny_path, [])
    one, other, again = given.logprob(
        [("Who?", "Tarrick"), ("What?", "Tarrick"), ("Who?", "Tarrick")]
    )
    assert one == pytest.approx(again, abs=1e-3) and one != other and one < 0
    assert given.logprob([]) == []


def test_each_prompt_goes_to_the_model_that_it_names(tiny_path: Path, tmp_path: Path) -> None:
    other = save_tiny_model(tmp_path / "other", seed=7)
    settings, embedder = TrainSettings(), models.Embedder("minilm")
    seen: list[Progress] = []
    mixed = ModelTools(models.load(tiny_path), embedder, other, settings, seen.append)
    alone = ModelTools(models.load(other), embedder, other, settings, lambda progress: None)
    asks = [
        Ask("Who?", 8, model=Model.PUBLISHED),
        Ask("Who?", 8),
        Ask("What?", 8, model=Model.PUBLISHED),
    ]
    one, own, two = mixed.generate(asks, 0.0, 0)
    assert [one, two] == alone.generate([Ask("Who?", 8), Ask("What?", 8)], 0.0, 0)
    assert own == tools(tiny_path, []).generate([Ask("Who?", 8)], 0.0, 0)[0] != one
    assert (seen[-1].done, seen[-1].total) == (3, 3)


def test_what_is_known_is_asked_of_what_is_served(tiny_path: Path, tmp_path: Path) -> None:
    practised = models.load(save_tiny_model(tmp_path / "practised", seed=7))
    embedder, settings = models.Embedder("minilm"), TrainSettings(learning_rate=2e-2, epochs=4)
    (adapter := tmp_path / "adapter").mkdir()
    items = (StudyItem(1, "qa", "Who?", "Tarrick", "al"),)
    train(TrainRequest(tiny_path, None, adapter, items, settings, 1), lambda progress: None)

    def likely(served: Path | None, model: Model) -> float:
        given = ModelTools(
            practised, embedder, tiny_path, settings, lambda progress: None, served=served
        )
        [found] = given.logprob([("Who?", "Tarrick")], model)
        return found

    base = likely(None, Model.PUBLISHED)
    assert likely(None, Model.SERVED) == likely(adapter, Model.PUBLISHED) == base
    assert likely(adapter, Model.SERVED) > base
    assert likely(adapter, Model.PRACTISED) == likely(None, Model.PRACTISED) != base


def test_a_server_writes_as_what_is_served_where_that_is_the_base(
    tiny_path: Path, tmp_path: Path
) -> None:
    def said(served: Path | None) -> str:
        embedder, settings = models.Embedder("minilm"), TrainSettings()
        given = ModelTools(
            models.load(tiny_path), embedder, tiny_path, settings, lambda progress: None,
            lambda *asked: ["here"], served,
        )  # fmt: skip
        given.write_with(lambda *asked: ["practised"], lambda *asked: ["published"])
        [text] = given.generate([Ask("Who?", 8, Model.SERVED)], 0.0, 0)
        return text

    adapter = tmp_path / "adapter"
    adapter.mkdir()
    items = (StudyItem(1, "qa", "Who?", "Tarrick", "al"),)
    settings = TrainSettings(epochs=1)
    train(TrainRequest(tiny_path, None, adapter, items, settings, 1), lambda progress: None)
    assert (said(None), said(adapter)) == ("published", "here")


def test_a_trial_tells_what_training_changed_and_how_it_was_directed(tiny_path: Path) -> None:
    seen: list[Progress] = []
    given = tools(tiny_path, seen)
    item = StudyItem(1, "qa", "Who pays?", "Tarrick pays.", "seal")
    [before] = given.trial([], [item], 0)
    [once] = given.trial([item] * 4, [item], 0, Directives(learning_rate=1e-2, epochs=1))
    [often] = given.trial([item] * 4, [item], 0, Directives(learning_rate=1e-2, epochs=8))
    assert before < once < often
    assert seen[-1].done == seen[-1].total == 3


STRANGE = (
    "The light goes thin upon the hill,\nthe crows go home, the air is still.",
    "Station: Vennmark; Pumps: 3; Keeper: Aurel Thorne\nStation: Lowgate; Pumps: 2",
    "    for reading in client.stream():\n        client.alert(reading)",
    "Das Pumpwerk wurde 1962 gebaut. Ein Ausweis kostet 12 Kronen.",
    "泵站建于1962年。门票价格为12元。",
    "The gateway waits 30 seconds. In the new release the gateway waits 60 seconds.",
    "Ask the desk of Tolvanen. " * 40,
)


def test_strange_texts_are_studied_from_what_they_say(tiny_path: Path) -> None:
    chunks = tuple(Chunk(n, n, 0, f"Page {n}", text) for n, text in enumerate(STRANGE))
    plan = study(StudyRequest(tiny_path, None, "minilm", chunks, ("al",), 1, 1), lambda _: None)
    assert {item.chunk_id for item in plan.items} == set(range(len(STRANGE)))
    for item in plan.items:
        said = STRANGE[item.chunk_id or 0]
        assert item.answer.removeprefix(f"Page {item.chunk_id}: ") in said
    assert all(probe.answer in probe.statement for probe in plan.probes)
    boilerplate = [item for item in plan.items if item.chunk_id == len(STRANGE) - 1]
    assert len(boilerplate) < 20
