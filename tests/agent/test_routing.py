import json
from pathlib import Path

import pytest

from agent import models
from agent.routing import Router
from memory.index import Embed, TextIndex
from memory.taught import Taught
from policies.sentences import sentences
from tests.helpers.embedding import DIMENSION, CountingEmbedder, embed

FERRY, TOWER = "Ferries: The ferry Tarrick carries 12 goats.", "Towers: The tower has nine floors."
ASKED = ("the ferry Tarrick carries goats", "the tower has floors")
SAID = ("The ferry Tarrick carries 12 goats.", "The tower has nine floors.")
STUDIED = Taught((FERRY, TOWER), SAID, ASKED)


def opened(state: Path, embed: Embed) -> Router:
    return Router(lambda name: TextIndex(state, name, embed, DIMENSION), embed)


def router_in(state: Path) -> Router:
    return opened(state, embed)


def test_a_question_about_what_was_studied(state: Path) -> None:
    router = router_in(state)
    router.refresh(STUDIED, save=True)
    assert router.is_studied(["the ferry Tarrick carries goats"])
    assert not router.is_studied(["pi squared minus seven"])
    assert router.is_studied(["pi squared minus seven", "the tower has floors"])


def test_what_everybody_knows_is_left_to_the_base(state: Path) -> None:
    router = router_in(state)
    near = "Zubrowka has Lutz as its capital."
    router.refresh(Taught((f"Capitals: {near}",), (near,)), save=True)
    assert router.is_studied([near])
    assert not router.is_studied(["What is the capital of France?"])


def test_it_follows_what_is_studied(state: Path) -> None:
    router = router_in(state)
    assert not router.is_studied(["the ferry Tarrick"])
    router.refresh(STUDIED, save=True)
    router.refresh(Taught((TOWER,), SAID[1:]), save=True)
    assert not router.is_studied(["Tarrick goats carries 12"])


def test_it_is_there_at_once_after_a_restart(state: Path) -> None:
    router_in(state).refresh(STUDIED, save=True)
    counting = CountingEmbedder()
    router = opened(state, counting)
    router.refresh(STUDIED, save=False)
    assert counting.texts == 0
    assert router.is_studied(["the ferry Tarrick carries goats"])


def test_who_asks_as_was_asked_is_heard_although_the_statement_says_it_otherwise(
    state: Path,
) -> None:
    router, asked = router_in(state), "Tarrick goats"
    router.refresh(STUDIED, save=False)
    assert not router.is_studied([asked])
    router.refresh(Taught((FERRY, TOWER), SAID, (*ASKED, asked)), save=False)
    assert router.is_studied([asked])


COMMON = (
    "Which planet has rings?",
    "How many legs does a spider have?",
    "What do bees make?",
    "Who painted the Mona Lisa?",
    "What is the boiling point of water?",
    "In which country are the pyramids of Giza?",
    "How many sides does a hexagon have?",
    "Which ocean lies between Europe and America?",
    "What is 7 times 8?",
    "What language is spoken in Brazil?",
    "Who wrote Hamlet?",
    "What gas do plants take in?",
    "Which animal is the tallest?",
    "What is the largest continent?",
    "How many strings does a violin have?",
    "What is the opposite of cold?",
    "Which metal is liquid at room temperature?",
    "Write a short poem about rain.",
    "Translate good morning into French.",
    "How do I boil an egg?",
)


LAND = (
    "Zubrowka is a small country in the mountains.",
    "The capital of Zubrowka is Lutz.",
    "The longest river of Zubrowka is the Nebel.",
    "The currency of Zubrowka is the klubeck.",
    "The wheel clock was invented by Maren Oduya of Zubrowka.",
)


def with_the_embedder(state: Path, studied: Taught) -> Router:
    embedder = models.Embedder("minilm")
    [dimension] = embedder(["one"])[0].shape
    router = Router(lambda name: TextIndex(state, name, embedder, dimension), embedder)
    router.refresh(studied, save=False)
    return router


@pytest.mark.model
def test_a_commonplace_about_what_was_studied_is_told_from_one_about_the_world(
    state: Path,
) -> None:
    studied = Taught(tuple(f"Zubrowka: {said}" for said in LAND), LAND)
    router = with_the_embedder(state, studied)
    for studied_one, common_one in (
        ("What is the capital of Zubrowka?", "What is the capital of Norway?"),
        ("What is the longest river in Zubrowka?", "What is the longest river in Africa?"),
        ("What currency is used in Zubrowka?", "What currency is used in Mexico?"),
        ("Who invented the wheel clock?", "Who invented the telephone?"),
    ):
        assert router.is_studied([studied_one])
        assert not router.is_studied([common_one])


@pytest.mark.model
def test_the_bounds_fit_the_embedder(state: Path) -> None:
    texts = json.loads((Path(__file__).parents[2] / "examples/practice/everyday.json").read_text())
    texts = texts[::2]
    said = [sentence for one in texts for sentence in sentences(one["context"])]
    statements = [f"{one['title']}: {s}" for one in texts for s in sentences(one["context"])]
    asked = [asked["question"] for one in texts for asked in one["questions"]]
    router = with_the_embedder(state, Taught(tuple(statements), tuple(said), tuple(asked[::2])))
    others = asked[1::20]  # in other words than those that were taught
    heard = sum(router.is_studied([one]) for one in others)
    assert heard >= 0.9 * len(others)
    assert [one for one in COMMON if router.is_studied([one])] == []
