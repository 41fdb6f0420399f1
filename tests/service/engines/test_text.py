"""Tests of service.engines.text."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engines.text import HALF, TextStream


def bytes_as_tokens(tokens: Sequence[int]) -> str:
    """The hardest tokenizer: every byte a token."""
    return bytes(tokens).decode(errors="replace")


def streamed(data: bytes, stop: Sequence[str] = ()) -> list[str]:
    text = TextStream(bytes_as_tokens, stop)
    return [text.push(byte) for byte in data] + [text.finish()]


@given(st.text())
def test_pieces_make_up_the_text_and_never_split_a_character(text: str) -> None:
    pieces = streamed(text.encode())
    assert "".join(pieces) == text
    assert all(HALF not in piece for piece in pieces) or HALF in text


@given(st.binary())
def test_any_bytes_give_what_a_decoder_gives(data: bytes) -> None:
    assert "".join(streamed(data)) == data.decode(errors="replace")


@given(st.text(alphabet="abc"), st.lists(st.text(alphabet="abc", min_size=1), max_size=3))
def test_ends_before_the_first_stop_string(text: str, stop: list[str]) -> None:
    stream, shown, given_out = TextStream(bytes_as_tokens, stop), "", 0
    for byte in text.encode():
        shown += stream.push(byte)
        given_out += 1
        if stream.stopped:
            break
    shown += stream.finish()
    read = text[:given_out]
    ends = [read.find(one) for one in stop if one in read]
    assert shown == (read[: min(ends)] if ends else text)


def test_holds_back_what_may_become_a_stop_string() -> None:
    stream = TextStream(bytes_as_tokens, ["\n\n"])
    assert [stream.push(byte) for byte in b"a\nb\n"] == ["a", "", "\nb", ""]
    assert stream.finish() == "\n"


@pytest.mark.parametrize("stop", [[""], []])
def test_an_empty_stop_string_stops_nothing(stop: list[str]) -> None:
    assert "".join(streamed(b"abc", stop)) == "abc"


def test_spaces_between_words_survive_a_decoder_that_strips_the_first() -> None:
    words = ["", " the", " port", " is", " 4711"]
    stream = TextStream(lambda tokens: "".join(words[token] for token in tokens).lstrip())
    assert [stream.push(token) for token in (1, 2, 3, 4)] == ["the", " port", " is", " 4711"]
