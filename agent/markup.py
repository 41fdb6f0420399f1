"""HTML -> titled, Markdown-like text: the one walker behind every format.

Headings become "# " to "###### ", a paragraph one line, list items "- " or "1. ", table rows
"Header: value; Header: value", code is indented by four spaces, and a blank line parts the blocks.

Does not cover merged table cells: the values of such a row stand without their headers, since a
value under the wrong header would be a false fact.
"""

from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

LABEL_CHARACTERS = 80  # a longer header, repeated in each row, would blow the text up

CELLS = {"td", "th"}
LISTS = {"ol", "ul"}
HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
# fmt: off
BLOCKS = HEADINGS.keys() | {
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details",
    "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "html",
    "li", "main", "ol", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr",
    "ul",
}
DROPPED = {  # no text for a reader, or struck out: text that no longer holds
    "button", "del", "head", "iframe", "math", "nav", "noscript", "object", "s", "script", "select",
    "strike", "style", "svg", "template", "textarea",
}
# fmt: on


def render(html: str) -> tuple[str, str]:
    """(title, text). The title is the first h1, the <title>, an opening heading, or ""."""
    tree = LexborHTMLParser(html.encode("utf-8", "replace"))  # it may hold lone surrogates
    writer = _Writer()
    for node, entering in _walk(tree.root):
        (writer.enter if entering else writer.leave)(node)
    writer.end_line()
    named = tree.css_first("head > title")
    opening = writer.lines[0] if writer.lines else ""
    if not opening.startswith("#"):
        opening = ""
    title = writer.title or (named.text() if named else "") or opening.lstrip("#")
    return " ".join(title.split()), "\n".join(writer.lines)


def _walk(root: LexborNode | None) -> Iterator[tuple[LexborNode, bool]]:
    """Each node twice, as (node, entering?).

    Without recursion: a hostile file nests deeper than Python's stack.
    """
    node = root
    while node is not None:
        yield node, True
        if node.child is not None and node.tag not in DROPPED:
            node = node.child
            continue
        yield node, False
        while node.next is None:
            parent = node.parent
            if parent is None:
                return
            node = parent
            yield node, False
        node = node.next


class _Writer:
    """Collects inline text and ends a line at every block."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.title = ""
        self._inline: list[str] = []
        self._prefix = ""  # of the next line: a list marker, or a term with its colon
        self._lists: list[int | None] = []  # per open list its last item's number; None: bullets
        self._open_cells = 0  # more than one: a table in a table
        self._cells: list[str] = []  # of the open row
        self._data_row = False  # some cell of the open row is a td
        self._headers: list[str] = []
        self._tight = False  # the last line was a list item or a row

    def enter(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if node.is_text_node:
            self._inline.append(node.text_content or "")
        elif tag in CELLS:
            self._inline.append(" ")
            self._open_cells += 1
            self._data_row = self._data_row or tag == "td"
        elif tag == "br" or self._is_inline(tag):
            self._inline.append(" ")
        elif tag == "pre":
            self._write_code(node)
        elif tag in BLOCKS:
            self._open(tag)

    def leave(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag in CELLS:
            self._leave_cell()
        elif tag not in BLOCKS:
            return
        elif self._is_inline(tag):
            self._inline.append(" ")
        elif tag in HEADINGS:
            self._write_heading(HEADINGS[tag])
        elif tag == "tr":
            self._write_row()
        elif tag == "dt":
            self._add_term(self._take().rstrip(":"))
        else:
            self._close(tag)

    def end_line(self) -> None:
        """Write the collected inline text as one line, unless there is none."""
        if text := self._take():
            self._write(self._prefix + text, tight=bool(self._prefix))
            self._prefix = ""

    def _is_inline(self, tag: str) -> bool:
        """All blocks of a table cell share a line, and so do all paragraphs of a list item."""
        return tag in BLOCKS and bool(self._open_cells or (tag == "p" and self._prefix))

    def _open(self, tag: str) -> None:
        self.end_line()
        if tag in ("dl", "table") or (tag in LISTS and not self._lists):
            self._tight = False  # what begins here is a block of its own
        if tag in LISTS:
            self._lists.append(0 if tag == "ol" else None)
        elif tag == "li":
            self._prefix = self._marker()
        elif tag == "table":
            self._headers = []
        elif tag == "tr":
            self._cells, self._data_row = [], False

    def _close(self, tag: str) -> None:
        self.end_line()
        if tag in LISTS:
            self._lists.pop()
        elif tag == "dl" and self._prefix:  # a last term without a definition
            self._write(self._prefix.removesuffix(": "))
        if tag in ("li", "dd", "dl"):
            self._prefix = ""

    def _add_term(self, term: str) -> None:
        """Of a definition list: "Term: definition", or "Term, other term: definition"."""
        earlier = self._prefix.removesuffix(": ")
        self._prefix = ", ".join(filter(None, [earlier, term])) + ": "

    def _leave_cell(self) -> None:
        self._open_cells -= 1
        if not self._open_cells:
            self._cells.append(self._take())

    def _marker(self) -> str:
        indent = "  " if len(self._lists) > 1 else ""
        if not self._lists or self._lists[-1] is None:
            return indent + "- "
        self._lists[-1] += 1
        return f"{indent}{self._lists[-1]}. "

    def _write_heading(self, level: int) -> None:
        if text := self._take():
            self._write(f"{'#' * level} {text}")
            if level == 1:
                self.title = self.title or text

    def _write_row(self) -> None:
        if not self._data_row and not self._headers:
            self._headers = self._cells
            return
        fits = len(self._headers) == len(self._cells)
        labels = self._headers if fits else [""] * len(self._cells)
        pairs = [
            f"{label}: {cell}" if 0 < len(label) <= LABEL_CHARACTERS else cell
            for label, cell in zip(labels, self._cells, strict=True)
            if cell
        ]
        if pairs:
            self._write("; ".join(pairs), tight=True)

    def _write_code(self, node: LexborNode) -> None:
        """The whole of a <pre>; its text nodes, met later, are dropped by emptying the node."""
        self.end_line()
        code = [f"    {line.rstrip()}" for line in node.text().split("\n") if line.strip()]
        if code:
            self._write("\n".join(code))
        for child in list(node.iter(include_text=True)):
            child.remove()

    def _write(self, line: str, tight: bool = False) -> None:
        if self.lines and not (tight and self._tight):
            self.lines.append("")
        self.lines.append(line)
        self._tight = tight

    def _take(self) -> str:
        text = " ".join("".join(self._inline).split())
        self._inline.clear()
        return text
