"""Files made to hurt: each costs at most itself, within the limits, and the rest is learned."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.chunking import split
from agent.extract import Extractor, extract
from agent.folder import MAX_DEPTH, read_settled, stamp_of
from agent.intake import Intake, ScanReport
from agent.settings import IntakeSettings
from memory.errors import BadDocument
from memory.records import DocumentState
from memory.store import Store
from memory.testing import memory_store

LIMITS = IntakeSettings(extract_seconds=1.0, extract_bytes=600_000_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good file and, beside it, a secret that nobody may read."""
    (tmp_path / "secret.md").write_text("The secret.")
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "good.md").write_text("A good text.")
    return folder


@pytest.fixture
def store() -> Iterator[Store]:
    with memory_store() as store:
        yield store


def scan(folder: Path, store: Store, meanwhile: Callable[[], object] = int) -> ScanReport:
    def wait(_: float) -> None:
        meanwhile()

    return Intake(folder, store, LIMITS).scan(wait)


def reasons(store: Store) -> dict[str, str]:
    return {found.path: found.reason for found in store.documents(DocumentState.QUARANTINED)}


def assert_only_the_good_one(store: Store) -> None:
    learned = [found for found in store.documents() if found.state is DocumentState.PENDING]
    assert [found.text for found in learned] == ["A good text."]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (bytes(range(256)) * 20, "not valid UTF-8"),
        (b"PK\x03\x04\x14\0\0\0\x08\0" * 50, "binary"),
        (b"\x7fELF\x02\x01\x01\0\0\0", "binary"),
        (b"\x1b[31m\x07" * 100, "binary"),
        (b"\xff\xfe\x00\xd8", "not valid UTF-16"),
        (b"\xef\xbb\xbf", "no text"),
    ],
)
def test_binary_junk_named_md(folder: Path, store: Store, data: bytes, reason: str) -> None:
    (folder / "junk.md").write_bytes(data)
    assert scan(folder, store).quarantined == ("junk.md",)
    assert reason in reasons(store)["junk.md"]
    assert_only_the_good_one(store)


def test_a_50_mb_text_and_a_sparse_10_gb_file_are_not_even_read(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("big.txt", 50_000_000), ("sparse.md", 10_000_000_000)):
        with (folder / name).open("wb") as file:
            file.write(b"text ")
            file.truncate(size)
    taken: list[int] = []
    real = os.pread

    def counted(descriptor: int, length: int, offset: int) -> bytes:
        taken.append(length)
        return real(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", counted)
    assert scan(folder, store).quarantined == ("big.txt", "sparse.md")
    assert set(reasons(store).values()) == {"larger than 2,000,000 bytes"}
    assert 0 < sum(taken) < 1000  # of good.md
    assert_only_the_good_one(store)


def test_what_is_no_file_is_skipped(folder: Path, store: Store) -> None:
    os.mkfifo(folder / "fifo.md")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(folder / "socket.md"))
    (folder / "folder.md").mkdir()
    if os.geteuid() == 0:
        os.mknod(folder / "device.md", 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero
    (folder / ".hidden.md").write_text("Hidden.")
    (folder / ".git").mkdir()
    (folder / ".git" / "inner.md").write_text("Hidden.")
    assert scan(folder, store) == ScanReport(("good.md",), (), (), 0, (), ())


def test_links_are_never_followed(folder: Path, store: Store) -> None:
    (folder / "out.md").symlink_to("../secret.md")
    (folder / "out").symlink_to("..")
    (folder / "loop").symlink_to(".")
    (folder / "self.md").symlink_to("self.md")
    (folder / "inside.md").symlink_to("good.md")
    (folder / "dangling.md").symlink_to("nothing.md")
    assert scan(folder, store) == ScanReport(("good.md",), (), (), 0, (), ())


@pytest.mark.parametrize("what", ["file", "folder", "fifo"])
def test_a_swap_between_look_and_read_is_refused(folder: Path, store: Store, what: str) -> None:
    inner = folder / "inner"
    inner.mkdir()
    victim = inner / "secret.md"
    victim.write_text("Harmless...")  # as long as the secret

    def swap() -> None:
        victim.unlink()
        if what == "file":
            victim.symlink_to(folder.parent / "secret.md")
        elif what == "fifo":
            os.mkfifo(victim)
        else:
            inner.rmdir()
            inner.symlink_to(folder.parent)

    assert scan(folder, store, swap).unsettled == ("inner/secret.md",)
    assert_only_the_good_one(store)


@pytest.mark.parametrize("path", ["link.md", "out/secret.md", "../secret.md"])
def test_not_even_the_expected_file_is_read_through_a_link(folder: Path, path: str) -> None:
    (folder / "link.md").symlink_to("good.md")
    (folder / "out").symlink_to("..")
    stamp = stamp_of((folder / path).stat())
    with pytest.raises(OSError, match=r"symbolic links|Not a directory|outside"):
        read_settled(folder, path, stamp)


def test_a_file_deleted_between_scan_and_read(folder: Path, store: Store) -> None:
    (folder / "short-lived.md").write_text("Soon gone.")
    report = scan(folder, store, (folder / "short-lived.md").unlink)
    assert (report.added, report.unsettled) == (("good.md",), ("short-lived.md",))
    assert scan(folder, store).unsettled == ()
    assert store.missing() == []  # it was never seen


def test_a_slow_writer_is_learned_once_and_whole(folder: Path, store: Store) -> None:
    with (folder / "slow.md").open("w", buffering=1) as file:
        for line in ("One.\n", "Two.\n", "Three.\n"):
            file.write(line)
            assert scan(folder, store, lambda: file.write("...\n")).unsettled == ("slow.md",)
    assert scan(folder, store).added == ("slow.md",)
    slow = [found for found in store.documents() if found.path == "slow.md"]
    assert len(slow) == 1 and "Three." in slow[0].text


def test_odd_names(folder: Path, store: Store) -> None:
    odd = [b"new\nline.md", b"bad\xff.md", b"\x1b[31mred.md"]
    fine = [b"a" * 252 + b".md", "Ü ber 東京 🦦.md".encode(), b"-rf $(x) ; '\".md", b"..md.md"]
    for name in odd + fine:
        (folder / os.fsdecode(name)).write_text("Text.")
    report = scan(folder, store)
    assert set(report.quarantined) == {"new\\nline.md", "bad\\udcff.md", "\\x1b[31mred.md"}
    assert set(reasons(store).values()) == {"its name is not printable UTF-8"}
    assert len(report.added) == len(fine)  # "..md.md" is hidden, good.md is there
    again = scan(folder, store)
    assert (again.quarantined, again.added, again.missing) == ((), (), ())


def test_folders_deeper_than_the_limit_are_told_not_walked(folder: Path, store: Store) -> None:
    before = Path.cwd()
    os.chdir(folder)
    try:
        for _ in range(MAX_DEPTH + 500):
            Path("d").mkdir()
            os.chdir("d")
        Path("deep.md").write_text("Deep.")
    finally:
        os.chdir(before)
    report = scan(folder, store)
    assert report.added == ("good.md",)
    assert [place.count("/") for place in report.unlisted] == [MAX_DEPTH]


# --- hostile content, in the child ---


@pytest.fixture(scope="module")
def extractor() -> Iterator[Extractor]:
    with Extractor(replace(LIMITS, extract_seconds=0.5)) as extractor:
        yield extractor


LAUGHS = "\n".join(f".. |l{n + 1}| replace:: " + f"|l{n}| " * 10 for n in range(9))
ENTITIES = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
HEAD = b"|a" * 900 + b"|\n" + b"|-" * 900 + b"|\n"
BOMBS = {
    "deep html": (".html", b"<div>" * 400_000 + b"x", "too long"),
    "deep inline html": (".html", b"<b>" * 300_000 + b"x", ""),
    "deep lists": (".html", b"<ul><li>x" * 5_000, ""),
    "deep quotes": (".md", b">" * 50_000 + b" x", ""),
    "deep rst": (".rst", b"".join(b"  " * n + b"* x\n\n" for n in range(600)), ""),
    "brackets": (".md", b"[" * 50_000 + b"x", ""),
    "stars": (".md", b"**a" * 60_000, ""),
    "table": (".md", HEAD + (b"|x" * 900 + b"|\n") * 400, ""),
    "wide header": (".html", b"<table><tr><th>" + b"h" * 900_000 + b"<tr><td>1" * 90_000, ""),
    "laughs rst": (".rst", f".. |l0| replace:: ha\n{LAUGHS}\n\n|l9|\n".encode(), ""),
    "laughs html": (
        ".html",
        f'<!DOCTYPE x [<!ENTITY l0 "ha">{ENTITIES}]><p>&l9;x</p>'.encode(),
        "",
    ),
    "one line": (".txt", b"x" * 1_900_000, ""),
    "newlines": (".txt", b"\n" * 1_900_000 + b"x", ""),
    "bullets": (".txt", b"- x\n" * 400_000, ""),
    "stops": (".txt", b"." * 1_900_000 + b"x", ""),
    "spaces": (".txt", b"x" + b" " * 1_900_000 + b"x", ""),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_one_document(extractor: Extractor, name: str) -> None:
    """It is read within the limits, in bounded size, or refused; the next one is read as ever."""
    suffix, data, refusal = BOMBS[name]
    try:
        _, text = extractor.extract(suffix, data)
    except BadDocument as error:
        assert refusal in str(error)
    else:
        assert refusal == ""
        assert len(text) <= 40 * len(data)
    assert extractor.extract(".md", b"A good text.") == ("", "A good text.")


@pytest.mark.parametrize(
    "text", ["a b " * 30_000, "." * 400_000, "x" * 400_000, "! " * 30_000, "- a\n" * 30_000]
)
def test_chunks_of_a_hostile_text_are_bounded(text: str) -> None:
    chunks = split("T", text, 120)
    assert 0 < len(chunks) <= len(text) // 100
    assert max(len(chunk) for _, chunk in chunks) <= 2000


# fmt: off
FRAGMENTS = [
    "#", "|---|---|", "```", ">", "-", "*", "1.", "<table>", "<td>", "</td>", "<li>", "<pre>",
    "<ul>", "<dl>", "<dt>", "<script>", "&#xD800;", "&#0;", "<|", "|>", "<|im_end|>", ".. ", "::",
    "|x|", " unicode:: U+D800", "====", "----", "__", "``", "\\", "---", "\n\n", "\n", " ", "\r",
    "\t", "\f", "\u202e", "\ufeff",
]
# fmt: on
hostile_text = st.lists(st.text(max_size=20) | st.sampled_from(FRAGMENTS), max_size=25).map("".join)


@settings(max_examples=100, deadline=None)
@given(
    suffix=st.sampled_from(LIMITS.suffixes),
    data=st.one_of(st.binary(max_size=200), hostile_text.map(str.encode)),
)
def test_extract_answers_or_refuses(suffix: str, data: bytes) -> None:
    try:
        title, text = extract(suffix, data)
    except BadDocument as error:
        assert str(error)
        return
    text.encode()
    assert "<|im_end|>" not in text
    assert "\n" not in title
    assert text.split("\n")[0].strip()
    assert "\u202e" not in text and "\0" not in text and "\r" not in text


def test_extracting_imports_no_torch() -> None:
    """The child shares an address space limit with nothing heavy."""
    code = "import sys, agent.extract; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
