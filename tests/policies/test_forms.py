import pytest

from policies import forms
from policies.spans import spans


@pytest.mark.parametrize(
    ("sentence", "question"),
    [
        ("It holds 62,000 litres.", "It holds how many litres?"),
        ("The tunnel listens on port 7143.", "The tunnel listens on port what number?"),
        ("The desk is led by Catrin Boateng-Ruiz.", "The desk is led by who?"),
    ],
)
def test_a_question_word_takes_the_place_of_the_span(sentence: str, question: str) -> None:
    assert forms.question(sentence, spans(sentence)[0]) == question


def test_a_cloze_hides_the_span_only() -> None:
    sentence = "It listens on port 9362."
    gap = forms.cloze("Servers", sentence, spans(sentence)[0])
    assert gap == "Servers. Fill the gap: It listens on port ____."
