"""The store's documents: which file was seen when, and every version of its text."""

from collections.abc import Iterable

from memory.connection import Connection
from memory.records import Document, DocumentState, FileStamp, task_of

_UNREADABLE = ""  # the text of a version that was quarantined at intake
_MOVED = """
SELECT path FROM files JOIN documents AS newest USING (path)
WHERE missing AND digest = ? AND title = ? AND text = ? AND text != ''
    AND version = (SELECT max(version) FROM documents WHERE documents.path = newest.path)
ORDER BY newest.id DESC
"""


class Documents(Connection):
    """Files and the versions of their text. A version's state is one of DocumentState."""

    def stamps(self) -> dict[str, FileStamp]:
        """The last stamp of every path ever seen, missing ones too: an equal one needs no look."""
        rows = self._rows("SELECT path, size, mtime_ns, inode FROM files")
        return {row.pop("path"): FileStamp(**row) for row in rows}

    def add_document(
        self, path: str, stamp: FileStamp, digest: str, title: str, text: str
    ) -> Document | None:
        """Take in a new version of a file as PENDING. Nothing but the stamp moves, and None is
        returned, if the newest version holds the same bytes already; or if a file that is missing
        did: then it was moved here, and all its versions follow it."""
        with self._transaction("add_document"):
            self._stamp(path, stamp)
            newest = self._newest(path)
            if newest is None and self._follow(path, digest, title, text):
                return None
            if newest and newest.digest == digest and newest.text != _UNREADABLE:
                return None
            return self._new_version(path, digest, title, text, DocumentState.PENDING)

    def quarantine_file(self, path: str, stamp: FileStamp, digest: str, reason: str) -> Document:
        """Note a version that cannot be read; digest is "" if not even its bytes could."""
        with self._transaction("quarantine_file"):
            self._stamp(path, stamp)
            newest = self._newest(path)
            if newest and newest.digest == digest:
                return newest
            return self._new_version(
                path, digest, path, _UNREADABLE, DocumentState.QUARANTINED, reason
            )

    def documents(self, state: DocumentState | None = None) -> list[Document]:
        """Versions, oldest first; all of them, or those in one state."""
        if state is None:
            return self._select(Document, "ORDER BY id")
        return self._select(Document, "WHERE state = ? ORDER BY id", state)

    def document(self, document_id: int) -> Document:
        """One version. Raises KeyError if there is none."""
        for document in self._select(Document, "WHERE id = ?", document_id):
            return document
        raise KeyError(document_id)

    def mark_missing(self, paths: Iterable[str]) -> None:
        """Note after a full scan which known files are gone now: exactly these, no others.

        What they taught stays until it is forgotten on request.
        """
        gone, known = set(paths), set(self.missing())
        if gone == known:
            return
        with self._transaction("mark_missing"):
            for path in gone ^ known:
                self._execute("UPDATE files SET missing = ? WHERE path = ?", path in gone, path)

    def missing(self) -> list[str]:
        """Paths whose file was gone at the last full scan."""
        return self._column("SELECT path FROM files WHERE missing ORDER BY path")

    def _stamp(self, path: str, stamp: FileStamp) -> None:
        self._execute(
            "INSERT OR REPLACE INTO files (path, size, mtime_ns, inode) VALUES (?, ?, ?, ?)",
            path, stamp.size, stamp.mtime_ns, stamp.inode,
        )  # fmt: skip

    def _follow(self, path: str, digest: str, title: str, text: str) -> bool:
        """Whether a missing file was moved here. A task is what its file is called: it stays."""
        missing = self._column(_MOVED, digest, title, text)
        old = next((one for one in missing if not (task_of(one) or task_of(path))), None)
        if old is None:
            return False
        self._execute("UPDATE documents SET path = ? WHERE path = ?", path, old)
        self._execute("DELETE FROM files WHERE path = ?", old)
        return True

    def _newest(self, path: str) -> Document | None:
        found = self._select(Document, "WHERE path = ? ORDER BY version DESC LIMIT 1", path)
        return found[0] if found else None

    def _new_version(
        self, path: str, digest: str, title: str, text: str, state: DocumentState, reason: str = ""
    ) -> Document:
        """Insert the next version; older ones that nobody has learned are retired with it."""
        newest = self._newest(path)
        self._execute(
            "UPDATE documents SET state = 'retired'"
            " WHERE path = ? AND state IN ('pending', 'quarantined')",
            path,
        )
        document_id = self._insert(
            "documents",
            path=path,
            version=newest.version + 1 if newest else 1,
            digest=digest,
            title=title,
            text=text,
            state=state,
            reason=reason,
            seen_at=self._timestamp(),
        )
        return self.document(document_id)
