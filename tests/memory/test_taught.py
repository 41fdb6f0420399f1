"""What a question is compared with."""

from memory.taught import Taught, taught


def test_statements_stand_under_their_titles_and_texts_alone() -> None:
    items = [("Port", "qa", "when?", "At six."), ("Port", "text", "", "Port: Red.")]
    assert taught(items) == Taught(("Port: At six.", "Port: Red."), ("At six.", "Red."), ("when?",))


def test_each_text_is_there_once() -> None:
    items = [("Port", "qa", "when?", "At six.")] * 2 + [("Port", "qa", "when?", "At noon.")]
    assert taught(items) == Taught(
        ("Port: At six.", "Port: At noon."), ("At six.", "At noon."), ("when?",)
    )


def test_only_what_was_written_is_asked_and_four_times_a_statement() -> None:
    items = [("Port", "qa", f"{n}?", "At six.") for n in range(9)]
    items.append(("Port", "keywords", "port six", "At six."))
    assert taught(items).questions == ("0?", "1?", "2?", "3?")


def test_what_was_taught_later_is_added() -> None:
    both = Taught(("a",), ("s",), ("b",)) + Taught(("c",))
    assert both == Taught(("a", "c"), ("s",), ("b",))
