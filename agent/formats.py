"""The parsers: bytes -> source text -> HTML -> (title, text), one per file suffix. Pure.

Does not cover encodings other than UTF-8 and UTF-16, text inside pictures, and directives that only
Sphinx knows (their content is dropped).
"""

import codecs
import re
from collections.abc import Callable, Mapping
from html import escape

from docutils.core import publish_parts
from markdown_it import MarkdownIt

from agent.markup import render
from memory.errors import BadDocument
from memory.records import TASK_SUFFIX
from policies.examples import Example, parse, written

HEADING_CHARACTERS = 60  # a longer lone line of plain text is a paragraph

BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
SPECIAL_TOKEN = re.compile(
    "<[|\uff5c]([^<>\\s]{0,60}?)[|\uff5c]>"  # the second bar is full-width, as DeepSeek's
    r"|<<(/?SYS)>>"
    r"|<(/?(?:s|bos|eos|pad|unk|mask|cls|sep|think|tool_call|tool_response"
    r"|start_of_turn|end_of_turn))>"
    r"|\[(/?(?:INST|CLS|SEP|MASK|PAD|UNK|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS))\]"
)
FRONT_MATTER = re.compile(r"---[ \t]*\n((?:(?!---)(?:[\w-]+:|[ \t#-]).*\n)+)---[ \t]*(?:\n|\Z)")
FRONT_TITLE = re.compile(r"^title:[ \t]*[\"']?(.+?)[\"']?[ \t]*$", re.MULTILINE)
LIST_MARKER = re.compile(r"^(?:[-*•+]|\d{1,3}[.)])[ \t]+", re.MULTILINE)
NUMBER_MARKER = re.compile(r"^\d{1,3}[.)][ \t]", re.MULTILINE)
UNDERLINE = re.compile(r"([=~#*^-])\1{2,}")
RST_SETTINGS = {
    "_disable_config": True,  # no docutils.conf of whoever runs the daemon
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "warning_stream": False,
    "report_level": 5,  # put no notes on mistakes into the text
    "halt_level": 5,  # and go on after each
    "traceback": True,  # raise rather than sys.exit
    "doctitle_xform": False,
    "initial_header_level": 1,
    "embed_stylesheet": False,
    "stylesheet_path": None,
    "math_output": "LaTeX",
    "syntax_highlight": "none",
}


def decode(data: bytes) -> str:
    """Text with "\\n" line ends.

    Raises BadDocument unless it is UTF-8, or UTF-16 with a byte order mark.
    """
    bom = next((bom for bom in BOMS if data.startswith(bom)), b"")
    encoding = BOMS.get(bom, "utf-8")
    try:
        text = data[len(bom) :].decode(encoding)
    except UnicodeDecodeError as error:
        place = error.start + len(bom)
        raise BadDocument(f"not valid {encoding.upper()} at byte {place}") from None
    if "\0" in text or 100 * len(CONTROL.findall(text)) > len(text):
        raise BadDocument("binary data, no text")
    return re.sub("\r\n?|\f", "\n", text)


def without_tricks(text: str) -> str:
    """Without characters that nobody sees, and with the control tokens of models defused."""
    visible = INVISIBLE.sub("", text)
    return SPECIAL_TOKEN.sub(lambda match: f"({''.join(filter(None, match.groups()))})", visible)


def _from_markdown(source: str) -> tuple[str, str]:
    front = FRONT_MATTER.match(source)
    named = FRONT_TITLE.search(front[1]) if front else None
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    title, text = render(markdown.render(source[front.end() :] if front else source))
    return (named[1] if named else title), text


def _from_rst(source: str) -> tuple[str, str]:
    parts = publish_parts(source, writer="html5", settings_overrides=RST_SETTINGS)
    return render(str(parts["body"]))


def _from_text(source: str) -> tuple[str, str]:
    """Blank lines part the blocks; a short line alone, without a stop at its end, is a heading."""
    blocks = [block for block in re.split(r"\n\s*\n", source) if block.strip()]
    levels = ["h1", *["h2"] * len(blocks)]
    following = [*blocks[1:], ""]
    return render("".join(map(_text_block, blocks, levels, following)))


def _text_block(block: str, heading: str, following: str) -> str:
    lines = [line.strip() for line in block.strip().split("\n")]
    underlined = len(lines) == 2 and UNDERLINE.fullmatch(lines[1])
    if underlined or (len(lines) == 1 and following and _reads_as_heading(lines[0])):
        return f"<{heading}>{escape(lines[0])}</{heading}>"
    flow = "\n".join(lines)
    lead, *items = LIST_MARKER.split(flow)
    kind = "ol" if NUMBER_MARKER.search(flow) else "ul"
    listed = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<p>{escape(lead)}</p>" + (f"<{kind}>{listed}</{kind}>" if items else "")


def _reads_as_heading(line: str) -> bool:
    return (
        len(line) <= HEADING_CHARACTERS
        and line[-1] not in ".,;:!?…"
        and (line[0].isupper() or line[0].isdigit())
        and not LIST_MARKER.match(line)
    )


def _from_examples(source: str) -> tuple[str, str]:
    """A task: JSON lines. What an escape spells is cleaned, too, and looked at again."""
    found = [
        Example(*(without_tricks(one) for one in (example.given, example.answer)))
        for example in parse(source)
    ]
    return "", written(parse(written(found)))


PARSERS: Mapping[str, Callable[[str], tuple[str, str]]] = {
    ".md": _from_markdown,
    ".markdown": _from_markdown,
    ".rst": _from_rst,
    ".html": render,
    ".htm": render,
    ".txt": _from_text,
    TASK_SUFFIX: _from_examples,
}
