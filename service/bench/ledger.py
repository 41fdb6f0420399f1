"""What a long benchmark has measured so far, kept in a file: broken off, it goes on from there."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from memory.durable import publish_bytes
from memory.errors import BadInput
from service import render

Figures = dict[str, Any]  # as JSON has them: lists, no tuples


class Ledger:
    """Figures by name, all measured with the same settings; without a file they end with the run.

    Raises BadInput if the file is none of ours, or its figures are of other settings.
    """

    def __init__(self, file: Path | None, settings: Mapping[str, Any]) -> None:
        self._file = file
        self._settings = _as_json(settings)
        self._known = _read(file, self._settings) if file and file.exists() else {}

    def recall(self, name: str, measure: Callable[[], Mapping[str, Any]]) -> Figures:
        """What was measured under this name before; else it is measured now, and kept."""
        if name not in self._known:
            self._known[name] = _as_json(measure())
            if self._file is not None:
                whole = {"settings": self._settings, "measured": self._known}
                publish_bytes(render.json_text(whole).encode(), self._file)
        return self._known[name]


def _read(file: Path, settings: Figures) -> dict[str, Figures]:
    try:
        whole = json.loads(file.read_bytes())
        theirs, measured = whole["settings"], whole["measured"]
    except (ValueError, TypeError, KeyError) as error:
        raise BadInput(f"{file} does not hold what was measured before: {error!r}") from error
    names = {*settings, *theirs}
    other = sorted(name for name in names if settings.get(name) != theirs.get(name))
    if other:
        raise BadInput(
            f"{file} was measured with another {', '.join(other)}; name a file that does not exist"
        )
    return dict(measured)


def _as_json(value: Mapping[str, Any]) -> Figures:
    return dict(json.loads(render.json_text(value)))
