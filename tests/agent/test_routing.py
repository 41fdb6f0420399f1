import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from agent import general, models
from agent.routing import Router
from memory.index import Embed, TextIndex, Vectors
from memory.taught import Taught
from policies.sentences import sentences
from tests.helpers.embedding import DIMENSION, CountingEmbedder, embed

FERRY, TOWER = "Ferries: The ferry Tarrick carries 12 goats.", "Towers: The tower has nine floors."
ASKED = ("the ferry Tarrick carries goats", "the tower has floors")
SAID = ("The ferry Tarrick carries 12 goats.", "The tower has nine floors.")
STUDIED = Taught((FERRY, TOWER), SAID, ASKED)


COMMON_FEW = ("Which planet has rings?", "How heavy is a goat?")


def opened(state: Path, embed: Embed, common: Sequence[str] = COMMON_FEW) -> Router:
    return Router(lambda name: TextIndex(state, name, embed, DIMENSION), embed, common)


def router_in(state: Path) -> Router:
    return opened(state, embed)


def at_cosine(texts: Sequence[str]) -> Vectors:
    """ "0.6 b" has the cosine .6 to "1", which is what is asked."""
    vectors = np.zeros((len(texts), DIMENSION), np.float32)
    vectors[:, 0] = [float(text.split()[0]) for text in texts]
    vectors[:, 1] = np.sqrt(1 - vectors[:, 0] ** 2)
    return vectors


def is_heard(state: Path, studied: tuple[float, float, float], common: Sequence[float]) -> bool:
    """Whether "1" is, with its nearness to what was stated, said and asked, and to the rest."""
    router = opened(state, at_cosine, [f"{near} {n}" for n, near in enumerate(common)])
    router.refresh(Taught(*((f"{near} is near",) for near in studied)), save=False)
    return router.is_studied(["1"])


def test_nearness_to_what_was_studied_is_held_against_that_to_24_commonplaces(state: Path) -> None:
    studied = (0.8, 0.6, 0.6)  # .45 * .8 + .45 * .6 + .1 * .6 = .69
    assert is_heard(state, studied, [0.5] * 24)  # less .9 * .5 and .3 * .5: .09
    assert not is_heard(state, studied, [0.57] * 24)  # .006, and .02 are wanted
    assert not is_heard(state, studied, [0.57] * 24 + [0.4] * 90)  # all that are looked at
    assert is_heard(state, studied, [0.57] * 18 + [0.4] * 90)  # .045: not so many are near
    assert is_heard(state, studied, [0.7] + [0.5] * 30)  # .023: one alone is nearer
    assert not is_heard(state, studied, [0.72] + [0.5] * 30)  # .016
    assert is_heard(state, (0.36, 0.7, 0.9), [0.4] * 24)  # .567 - .48: as it was said
    assert not is_heard(state, (0.36, 0.36, 0.9), [0.4] * 24)  # -.066: it was only asked
    assert not is_heard(state, (0.7, 0.36, 0.1), [0.4] * 24)  # .007: a title, and was not asked
    assert is_heard(state, (0.7, 0.36, 0.3), [0.4] * 24)  # .027: but if it was


def test_any_of_several_questions_is_enough(state: Path) -> None:
    router = router_in(state)
    router.refresh(STUDIED, save=True)
    assert router.is_studied(["the ferry Tarrick carries goats"])
    assert not router.is_studied(["pi squared minus seven"])
    assert router.is_studied(["pi squared minus seven", "the tower has floors"])


def test_it_follows_what_is_studied(state: Path) -> None:
    router, text = router_in(state), "the ferry Tarrick carries 12 goats"
    assert not router.is_studied([text])
    for left in (Taught((text,)), Taught((), (text,))):
        router.refresh(Taught((text,), (text,), (text,)), save=True)
        router.refresh(left, save=True)
        assert router.is_studied([text])
        router.refresh(Taught(), save=True)
        assert not router.is_studied([text])


def test_it_is_there_at_once_after_a_restart(state: Path) -> None:
    router_in(state).refresh(STUDIED, save=True)
    counting = CountingEmbedder()
    router = opened(state, counting)
    router.refresh(STUDIED, save=False)
    assert counting.texts == 0
    assert router.is_studied(["the ferry Tarrick carries goats"])


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
    router = Router(
        lambda name: TextIndex(state, name, embedder, dimension), embedder, general.common()
    )
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


HANDBOOK = (
    "Who wants to resign gives three months of notice in writing.",
    "A raise is discussed with your lead every March.",
    "The coffee machine is cleaned by whoever drinks the last cup.",
    "Passwords are changed every ninety days.",
    "An out-of-office message names a colleague.",
)


@pytest.mark.model
def test_the_questions_of_an_office_are_not_taken_for_common_ones(state: Path) -> None:
    studied = Taught(tuple(f"Handbook: {said}" for said in HANDBOOK), HANDBOOK)
    router = with_the_embedder(state, studied)
    for asked in (
        "How do I resign?",
        "When can I ask for a raise?",
        "How do I clean the coffee machine?",
        "How often must I change my password?",
        "What must my out-of-office message say?",
    ):
        assert router.is_studied([asked])
    for said in ("Thanks a lot.", "Write a haiku about the sea.", "Who built the pyramids?"):
        assert not router.is_studied([said])


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
