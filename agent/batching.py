"""Pending documents -> the next batch."""

from collections.abc import Sequence

from agent.chunking import count_words
from agent.settings import StudySettings
from memory.records import Document


def choose(documents: Sequence[Document], settings: StudySettings) -> list[int]:
    """Ids of the documents that are learned next: the oldest, as many as the batch holds. A task is
    a batch of its own, once no text waits.

    The first goes even if it is too big for a batch, alone then; none is overtaken by a smaller
    one, so that each has its turn. No documents: no ids.
    """
    chosen: list[int] = []
    room = settings.batch_words
    waiting = sorted(documents, key=lambda document: document.id)
    for document in [one for one in waiting if not one.task] or waiting[:1]:
        room -= count_words(document.text)
        if chosen and (room < 0 or len(chosen) == settings.batch_documents):
            break
        chosen.append(document.id)
    return chosen
