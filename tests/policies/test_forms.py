import random
import re

from policies import forms
from policies.spans import spans


def test_keywords_come_from_the_passage_and_never_hold_the_answer() -> None:
    sentence = "The tank of Hallowick holds 62,000 litres of brackish water."
    span = spans(sentence)[1]
    assert span.text == "62,000 litres"
    drawn = {forms.keywords("Tank", sentence, span, random.Random(seed)) for seed in range(20)}
    assert len(drawn) > 10
    for question in drawn:
        assert question.endswith("?") and "how many litres" in question.lower()
        assert "62" not in question and " the " not in question
        words = set(re.findall(r"\w+", question.lower())) - {"how", "many", "litres"}
        assert words <= {"tank", "hallowick", "holds", "brackish", "water"}


def test_keywords_without_a_name_get_the_topic() -> None:
    sentence = "it costs 119 crowns"
    question = forms.keywords("The Wick", sentence, spans(sentence)[0], random.Random(1))
    assert "The Wick" in question
