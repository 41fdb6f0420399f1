import json
from pathlib import Path

import pytest

from agent import general, models
from agent.routing import Router
from memory.index import Embed, TextIndex
from memory.taught import Taught
from policies.sentences import sentences
from tests.helpers.embedding import DIMENSION, CountingEmbedder, embed

FERRY, TOWER = "Ferries: The ferry Tarrick carries 12 goats.", "Towers: The tower has nine floors."
ASKED = ("the ferry Tarrick carries goats", "the tower has floors")
STUDIED = Taught((FERRY, TOWER), ASKED)


def opened(state: Path, embed: Embed) -> Router:
    statements = TextIndex(state, "studied", embed, DIMENSION)
    return Router(statements, TextIndex(state, "asked", embed, DIMENSION), embed)


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
    near = "What is the capital of France?"
    router.refresh(Taught((f"Capitals: {near} Paris.",), (near,)), save=True)
    assert router.is_studied([near])
    assert not router.is_studied(["What is the chemical symbol for gold?"])


def test_the_bound_rises_with_what_is_studied_within_limits(state: Path) -> None:
    router = router_in(state)
    router.refresh(STUDIED, save=False)
    few = router._bound
    common = tuple(general.everything()[:60])
    router.refresh(Taught(common, common), save=False)
    assert (few, router._bound) == (0.2, 0.25)
    assert router.is_studied([common[0]])


def test_it_follows_what_is_studied(state: Path) -> None:
    router = router_in(state)
    assert not router.is_studied(["the ferry Tarrick"])
    router.refresh(STUDIED, save=True)
    router.refresh(Taught((TOWER,)), save=True)
    assert not router.is_studied(["Tarrick goats carries 12"])


def test_it_is_there_at_once_after_a_restart(state: Path) -> None:
    router_in(state).refresh(STUDIED, save=True)
    counting = CountingEmbedder()
    router = opened(state, counting)
    counting.texts = 0  # it has embedded what everybody knows
    router.refresh(STUDIED, save=False)
    assert counting.texts == 0
    assert router.is_studied(["the ferry Tarrick carries goats"])


def test_who_asks_as_was_asked_is_heard_although_the_statement_says_it_otherwise(
    state: Path,
) -> None:
    router, asked = router_in(state), "how many goats sail aboard Tarrick"
    router.refresh(STUDIED, save=False)
    assert not router.is_studied([asked])
    router.refresh(
        Taught((FERRY, TOWER), (*ASKED, "how many goats sail aboard Tarrick today")), save=False
    )
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


@pytest.mark.model
def test_the_bounds_fit_the_embedder(state: Path) -> None:
    embedder = models.Embedder("minilm")
    [dimension] = embedder(["one"])[0].shape
    texts = json.loads((Path(__file__).parents[2] / "examples/practice/everyday.json").read_text())
    texts = texts[::2]
    statements = [f"{one['title']}: {s}" for one in texts for s in sentences(one["context"])]
    asked = [asked["question"] for one in texts for asked in one["questions"]]
    router = Router(
        TextIndex(state, "studied", embedder, dimension),
        TextIndex(state, "asked", embedder, dimension),
        embedder,
    )
    router.refresh(Taught(tuple(statements), tuple(asked[::2])), save=False)
    others = asked[1::20]  # in other words than those that were taught
    heard = sum(router.is_studied([one]) for one in others)
    assert heard >= 0.9 * len(others)
    assert [one for one in COMMON if router.is_studied([one])] == []
