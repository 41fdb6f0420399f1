"""Adapters and merged models on disk: directories named by what is in them.

    STATE/staging/<random>/            being written; garbage after a crash
    STATE/{adapters,models}/<digest>/  complete; manifest.json holds size and SHA-256 of every other
                                       file, and <digest> is the SHA-256 of manifest.json

A name can only appear with its content complete, so a reader never needs to ask whether it is.
"""

import hashlib
import json
import re
import shutil
import stat
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from memory.durable import disk_full_named, failpoint, fsync_directory, publish_directory
from memory.errors import StateCorrupt

Kind = Literal["adapters", "models"]
KINDS: tuple[Kind, ...] = ("adapters", "models")
MANIFEST = "manifest.json"
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Artifacts:
    """The artifacts of one state directory. Only the holder of its StateLock may write."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def stage(self) -> Path:
        """A fresh, empty directory to write an artifact into."""
        staging = self.root / "staging"
        with disk_full_named():
            staging.mkdir(mode=0o700, parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(dir=staging))

    def publish(self, kind: Kind, staged: Path, about: Mapping[str, Any]) -> str:
        """Give a staged directory its digest and its place; the staged path is gone afterwards.

        Publishing the same content twice is harmless, and heals a copy that was damaged meanwhile.
        Raises DiskFull, StateCorrupt if there is anything but plain files.
        """
        with disk_full_named():
            manifest = canonical({"files": _describe(staged), "about": about})
            digest = hashlib.sha256(manifest).hexdigest()
            failpoint("artifacts.manifest")
            (staged / MANIFEST).write_bytes(manifest)
            home = self.root / kind
            if not home.exists():
                home.mkdir(mode=0o700)
                fsync_directory(self.root)
            if (home / digest).exists() and not self.is_sound(kind, digest):
                self._discard(home / digest)
            publish_directory(staged, home / digest)
        return digest

    def path(self, kind: Kind, digest: str) -> Path:
        """Where a published artifact lies. Raises StateCorrupt if it is not there."""
        directory = self.root / kind / digest
        if not _DIGEST.fullmatch(digest):
            raise StateCorrupt(f"{digest!r} is no digest")
        if directory.is_symlink() or not directory.is_dir():
            raise StateCorrupt(f"{kind}/{digest} is missing")
        return directory

    def verify(self, kind: Kind, digest: str) -> Path:
        """The artifact's path, after hashing every byte of it.

        Raises StateCorrupt for an altered, missing or extra file, or anything but plain files.
        """
        directory = self.path(kind, digest)
        manifest = directory / MANIFEST
        if manifest.is_symlink() or not manifest.is_file():
            raise StateCorrupt(f"{kind}/{digest} has no manifest")
        data = manifest.read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            raise StateCorrupt(f"the manifest of {kind}/{digest} was altered")
        expected, found = json.loads(data)["files"], _describe(directory)
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                raise StateCorrupt(f"{kind}/{digest}: {name} is not as it was published")
        return directory

    def ranks(self) -> list[int]:
        """The rank of each published adapter."""
        configs = (self.root / "adapters").glob("*/adapter_config.json")
        return [rank_of(config.parent) for config in configs]

    def is_sound(self, kind: Kind, digest: str) -> bool:
        """Whether verify() would succeed."""
        try:
            self.verify(kind, digest)
        except StateCorrupt:
            return False
        return True

    def empty_staging(self) -> None:
        """Delete what a crash left behind. Only at start, before anything is staged."""
        shutil.rmtree(self.root / "staging", ignore_errors=True)

    def collect(self, keep: Mapping[Kind, Collection[str]]) -> list[str]:
        """Delete every artifact that is not in keep; returns "kind/digest" of those."""
        removed = []
        for kind in KINDS:
            for directory in sorted((self.root / kind).glob("*")):
                if directory.name not in keep.get(kind, ()):
                    self._discard(directory)
                    removed.append(f"{kind}/{directory.name}")
        return removed

    def _discard(self, directory: Path) -> None:
        """Delete a directory; half-deleted it lies in staging, never under its digest."""
        aside = self.stage() / directory.name
        with disk_full_named():
            directory.rename(aside)
            fsync_directory(directory.parent)
            failpoint("artifacts.collect")
            shutil.rmtree(aside.parent)


def rank_of(adapter: Path) -> int:
    """The greatest rank in an adapter's directory."""
    config = json.loads((adapter / "adapter_config.json").read_bytes())
    return int(max([config["r"], *config.get("rank_pattern", {}).values()]))


def canonical(value: Any) -> bytes:
    """JSON with one spelling for one value, so that equal manifests have equal digests."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode()


def _describe(directory: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file but the manifest, by its name relative to the directory."""
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(directory.rglob("*")):
        name, status = path.relative_to(directory).as_posix(), path.lstat()
        if stat.S_ISDIR(status.st_mode) or name == MANIFEST:
            continue
        if not stat.S_ISREG(status.st_mode):
            raise StateCorrupt(f"{path} is not a plain file")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        files[name] = {"sha256": digest, "size": status.st_size}
    return files
