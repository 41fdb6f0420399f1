from pathlib import Path

from agent.routing import Router
from memory.index import TextIndex
from tests.helpers.embedding import DIMENSION, CountingEmbedder, embed

STUDIED = ["Ferries: The ferry Tarrick carries 12 goats.", "Towers: The tower has nine floors."]


def router_in(state: Path) -> Router:
    return Router(TextIndex(state, "studied", embed, DIMENSION), embed)


def test_a_question_about_what_was_studied(state: Path) -> None:
    router = router_in(state)
    router.refresh(STUDIED, save=True)
    assert router.is_studied(["the ferry Tarrick carries goats"])
    assert not router.is_studied(["pi squared minus seven"])
    assert router.is_studied(["pi squared minus seven", "the tower has floors"])


def test_what_everybody_knows_is_left_to_the_base(state: Path) -> None:
    router = router_in(state)
    router.refresh(["Capitals: What is the capital of France? Paris."], save=True)
    near = "What is the capital of France?"
    assert router.is_studied([near])
    assert not router.is_studied(["What is the chemical symbol for gold?"])


def test_it_follows_what_is_studied(state: Path) -> None:
    router = router_in(state)
    assert not router.is_studied(["the ferry Tarrick"])
    router.refresh(STUDIED, save=True)
    router.refresh(STUDIED[1:], save=True)
    assert not router.is_studied(["Tarrick goats carries 12"])


def test_it_is_there_at_once_after_a_restart(state: Path) -> None:
    router_in(state).refresh(STUDIED, save=True)
    counting = CountingEmbedder()
    router = Router(TextIndex(state, "studied", counting, DIMENSION), embed)
    router.refresh(STUDIED, save=False)
    assert counting.texts == 0
    assert router.is_studied(["the ferry Tarrick carries goats"])
