import pytest

from policies.grounding import nearest, overlap

SOURCE = "The server Tarrick listens on port 9362. It was built in 1,204 days."


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("Tarrick listens on port 9362.", 1.0),
        ("Listening on port 9362 is the server.", 1.0),
        ("Tarrick listens to whales.", 2 / 3),
        ("Tarrick listens on port 9363.", 0.0),  # a number of its own
        ("It was built in 1,204 days", 1.0),
        ("It is so.", 0.0),
        ("", 0.0),
    ],
)
def test_words_rest_on_the_source_and_numbers_must(text: str, share: float) -> None:
    assert overlap(text, SOURCE) == pytest.approx(share)


def test_the_nearest_sentence_shares_most() -> None:
    assert nearest("days it was built", SOURCE) == "It was built in 1,204 days."
    assert nearest("anything", "# Heading") == "# Heading"
