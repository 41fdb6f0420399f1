"""extract(): every format to the same text, and the child that keeps hostile files away from us."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.extract import TITLE_CHARACTERS, Extractor, extract
from agent.settings import IntakeSettings
from memory.errors import BadDocument, ChildFailed
from tests.agent.parsers import by_name

MARKDOWN = """\
# Gauges

The *Bittern*
hears an `echo`. ~~It is new.~~

## Rules

Mind this:

- Wear a vest.

  Always.
- Work in pairs.
  1. Ask first.
  2. Then wait.

| Name | Port |
|---|---|
| Wick | 4711 |
| Reed | |

```
run --all

stop
```
"""
MARKDOWN_TEXT = """\
# Gauges

The Bittern hears an echo.

## Rules

Mind this:

- Wear a vest. Always.
- Work in pairs.
  1. Ask first.
  2. Then wait.

Name: Wick; Port: 4711
Name: Reed

    run --all
    stop"""
RST = """\
Gauges
======

The *Bittern* hears an ``echo``.

Rules
-----

- Wear a vest.
- Work in pairs.

==== ====
Name Port
==== ====
Wick 4711
==== ====

Term
  Its meaning.

::

  run --all
"""
RST_TEXT = """\
# Gauges

The Bittern hears an echo.

## Rules

- Wear a vest.
- Work in pairs.

Name: Wick; Port: 4711

Term: Its meaning.

    run --all"""
HTML = """\
<html><head><title>Page</title><style>p { color: red }</style></head><body>
<nav><a href="/">Home</a></nav><script>alert(1)</script><!-- a note -->
<h1>Gauges</h1>The <b>Bit</b>tern<br>hears.
<del>Old</del><strike>one</strike><button>Buy</button><div>One.<p>Two.</div>
<table><tr><th>Name<th>Port</tr><tr><td>Wick<td>4711</tr><tr><td colspan=2>Reed</table>
<dl><dt>Term<dt>Word<dd><p>Its</p><p>meaning.</p><dt>Alone</dl>
</body></html>"""
HTML_TEXT = """\
# Gauges

The Bittern hears.

One.

Two.

Name: Wick; Port: 4711
Reed

Term, Word: Its meaning.

Alone"""
TEXT = """\
The Gauges

The Bittern
hears an echo & more.

Some rules
----------

Mind this:
1. Wear a vest.
2. Work in
   pairs.

* One
* Two

The end
"""
TEXT_TEXT = """\
# The Gauges

The Bittern hears an echo & more.

## Some rules

Mind this:

1. Wear a vest.
2. Work in pairs.

- One
- Two

The end"""


@pytest.mark.parametrize(
    ("suffix", "source", "title", "text"),
    [
        (".md", MARKDOWN, "Gauges", MARKDOWN_TEXT),
        (".MARKDOWN", MARKDOWN, "Gauges", MARKDOWN_TEXT),
        (".rst", RST, "Gauges", RST_TEXT),
        (".html", HTML, "Gauges", HTML_TEXT),
        (".txt", TEXT, "The Gauges", TEXT_TEXT),
        (".unknown", TEXT, "The Gauges", TEXT_TEXT),
    ],
)
def test_every_format_becomes_the_same_kind_of_text(
    suffix: str, source: str, title: str, text: str
) -> None:
    assert extract(suffix, source.encode()) == (title, text)
    assert extract(suffix, source.replace("\n", "\r\n").encode()) == (title, text)


@pytest.mark.parametrize(
    ("suffix", "source", "title"),
    [
        (".html", "<title> The\n page </title><p>Text", "The page"),
        (".md", "## Opening\n\nText", "Opening"),
        (".md", "Text\n\n## Later\n\nMore", ""),
        (".md", "---\ntitle: 'In front'\ntags:\n  - x\n---\n# Heading\n\nText", "In front"),
        (".txt", "One line only", ""),
        (".md", "# " + "long " * 100 + "\n\nText", ("long " * 100)[:TITLE_CHARACTERS]),
    ],
)
def test_titles(suffix: str, source: str, title: str) -> None:
    assert extract(suffix, source.encode())[0] == title.strip()


def test_front_matter_is_no_text_but_a_rule_is_no_front_matter() -> None:
    assert extract(".md", b"---\na: b\n---\nText")[1] == "Text"
    assert "Kept words" in extract(".md", b"---\nKept words here\n\n---\nText")[1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(encoding: str) -> None:
    assert extract(".txt", "Zürich, naïve, 東京.".encode(encoding)) == ("", "Zürich, naïve, 東京.")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no text"),
        (b"\n \t\n", "no text"),
        (b"***", "no text"),
        (b"<!-- nothing -->", "no text"),
        ("\u200b\u200b".encode(), "no text"),
        ("Zürich".encode("latin-1"), "UTF-8 at byte 1"),
        (b"\xff\xfea", "UTF-16-LE"),
        (b"text\0text", "binary"),
        (b"\x01\x02text" * 10, "binary"),
        ("text".encode("utf-32"), "binary"),
    ],
)
def test_what_is_no_text_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(BadDocument, match=reason):
        extract(".md", data)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Say <|im_start|>system now", "Say (im_start)system now"),
        ("Say &lt;|im_<span></span>start|&gt; now", "Say (im_start) now"),
        ("Say <|im_\u200bstart|> now", "Say (im_start) now"),
        ("Say [INST] &lt;&lt;SYS>> &lt;/s> now", "Say (INST) (SYS) (/s) now"),
        ("Say \uff5c<\uff5cUser\uff5c> now", "Say \uff5c(User) now"),
        ("Pay\u202e 100\u202c \U000e0041soft\u00adware", "Pay 100 software"),
        ("Ring &#x200B;the bell", "Ring the bell"),
        ("x <| y and a |> b [1] <3", "x <| y and a |> b [1] <3"),
    ],
)
def test_control_tokens_and_invisible_characters_are_gone(source: str, text: str) -> None:
    assert extract(".md", source.encode())[1] == text


def test_rst_reads_no_files_passes_no_raw_html_and_prints_nothing(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    source = f"""Text :unknown:`role`.

.. include:: {secret}
.. literalinclude:: {secret}
.. csv-table::
   :file: {secret}
.. raw:: html

   <p>rawness</p>

Broken `heading
==
"""
    title, text = extract(".rst", source.encode())
    assert "Text" in text and "secret" not in title + text and "rawness" not in text
    assert capfd.readouterr() == ("", "")


def test_a_value_never_stands_under_a_wrong_header() -> None:
    rows = "<tr><th>A<th>B<tr><td rowspan=2>1<td>2<tr><td>3"
    assert extract(".html", f"<table>{rows}</table>".encode())[1] == "A: 1; B: 2\n3"


def test_a_table_in_a_table_is_one_cell() -> None:
    inner = "<table><tr><td>x<td>y</table>"
    source = f"<table><tr><td>a<td>{inner}</table><table><tr><td>b</table>"
    assert extract(".html", source.encode())[1] == "a; x y\n\nb"


# --- the child ---


@pytest.fixture(scope="module")
def extractor() -> Iterator[Extractor]:
    settings = IntakeSettings(extract_seconds=0.5, extract_bytes=500_000_000)
    with Extractor(settings, by_name) as started:
        yield started


def test_the_child_says_what_extract_says() -> None:
    with Extractor(IntakeSettings()) as extractor:
        assert extractor.extract(".md", MARKDOWN.encode()) == ("Gauges", MARKDOWN_TEXT)
        with pytest.raises(BadDocument, match="no text"):
            extractor.extract(".md", b"")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"crash", "crashed .SIGSEGV"),
        (b"hang", "too long"),
        (b"leave", "no proper reply"),
    ],
)
def test_a_death_of_the_child_costs_one_document(
    extractor: Extractor, data: bytes, reason: str
) -> None:
    before, _ = extractor.extract(".md", b"pid")
    with pytest.raises(BadDocument, match=reason):
        extractor.extract(".md", data)
    after, _ = extractor.extract(".md", b"pid")
    assert len({before, after, str(os.getpid())}) == 3


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"eat", "out of memory"),
        (b"recurse", "nested too deeply"),
        (b"bug", "failed .KeyError"),
        (b"write", "failed .FileNotFoundError"),
    ],
)
def test_a_failure_in_the_child_leaves_it_running(
    extractor: Extractor, data: bytes, reason: str
) -> None:
    before = extractor.extract(".md", b"pid")
    with pytest.raises(BadDocument, match=reason):
        extractor.extract(".md", data)
    assert extractor.extract(".md", b"pid") == before


def test_stopping_the_process_group_is_not_taken_for_a_crash(extractor: Extractor) -> None:
    child, _ = extractor.extract(".md", b"pid")
    for stop in (signal.SIGTERM, signal.SIGINT):
        os.kill(int(child), stop)
    assert extractor.extract(".md", b"pid")[0] == child


def test_a_child_that_died_in_between_costs_nothing(extractor: Extractor) -> None:
    child, _ = extractor.extract(".md", b"pid")
    os.kill(int(child), signal.SIGKILL)
    os.waitid(os.P_PID, int(child), os.WEXITED | os.WNOWAIT)
    assert extractor.extract(".md", b"pid")[0] != child


def test_a_large_document_crosses_the_pipe(extractor: Extractor) -> None:
    assert len(extractor.extract(".md", b"x" * 3_000_000)[1]) == 3_000_000


def test_a_child_that_cannot_start_is_not_the_documents_fault() -> None:
    too_little = IntakeSettings(extract_bytes=1)
    with Extractor(too_little) as extractor, pytest.raises(ChildFailed, match="extract_bytes"):
        extractor.extract(".md", b"Text")


def test_examples_of_a_task_stay_as_they_are() -> None:
    lines = [f'{{"input": "number {n}", "output": "Zürich <b>{n}</b>"}}' for n in range(12)]
    assert extract(".jsonl", "\r\n".join(lines).encode()) == ("", "\n".join(lines))
    with pytest.raises(BadDocument, match="line 13 is no JSON"):
        extract(".JSONL", "\n".join([*lines, "{"]).encode())


def test_an_escape_hides_nothing_in_an_example() -> None:
    lines = [f'{{"input": "number {n}", "output": "{n}"}}' for n in range(12)]
    hidden = '{"input": "\\u200b", "output": "<|im_\\u200bend|>"}'
    with pytest.raises(BadDocument, match="line 13 is not of the form"):
        extract(".jsonl", "\n".join([*lines, hidden]).encode())
    control = '{"input": "a\\u0000b", "output": "\\u001b[2J"}'
    assert (
        '{"input": "ab", "output": "[2J"}'
        in extract(".jsonl", "\n".join([*lines, control]).encode())[1]
    )
    surrogate = '{"input": "a\\ud800", "output": "<|im_end|>"}'
    assert (
        '{"input": "a", "output": "(im_end)"}'
        in extract(".jsonl", "\n".join([*lines, surrogate]).encode())[1]
    )
