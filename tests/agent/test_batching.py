"""The next batch: oldest first, within its limits, nobody overtaken."""

from dataclasses import replace

import pytest

from agent.batching import choose
from agent.settings import StudySettings
from memory.records import Document, DocumentState

SETTINGS = StudySettings(batch_documents=3, batch_words=100)


def document(number: int, words: int) -> Document:
    text = "word " * words
    return Document(
        number, f"{number}.md", 1, "digest", "Title", text, DocumentState.PENDING, "", 0, "2027"
    )


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        ([], []),
        ([10], [1]),
        ([10, 10, 10, 10], [1, 2, 3]),
        ([50, 50, 1], [1, 2]),
        ([60, 60, 1], [1]),
        ([500, 1], [1]),
        ([1, 500, 1], [1]),
    ],
)
def test_choose(sizes: list[int], chosen: list[int]) -> None:
    documents = [document(number, words) for number, words in enumerate(sizes, start=1)]
    assert choose(documents, SETTINGS) == chosen
    assert choose(documents[::-1], SETTINGS) == chosen


def test_a_task_is_alone_and_waits_for_the_texts() -> None:
    first, second, text = (document(number, 10) for number in (1, 2, 3))
    tasks = [replace(one, path=f"{one.id}.JSONL") for one in (first, second)]
    assert choose([*tasks, text], SETTINGS) == [3]
    assert choose(tasks[::-1], SETTINGS) == [1]


def test_a_text_without_spaces_has_its_size_too() -> None:
    blob = document(1, 0)
    blob = Document(
        **{**{name: getattr(blob, name) for name in blob.__slots__}, "text": "語" * 900}
    )
    assert choose([blob, document(2, 20)], SETTINGS) == [1]
