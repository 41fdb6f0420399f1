"""Take two files in, learn and consolidate them, with scripted heavy work: what can be killed and
run again."""

import os
from pathlib import Path

from agent.cycle import Cycle
from agent.settings import ConsolidateSettings, PipelineSettings
from memory.artifacts import Artifacts
from memory.index import TextIndex
from memory.records import Progress
from memory.store import Store
from tests.helpers.cycles import Scripted
from tests.helpers.embedding import DIMENSION, embed
from tests.helpers.stores import digest_of, stamp_of


def quiet(progress: Progress) -> None:
    pass


def live(state: Path, failpoint: str = "") -> None:
    """Take two files in, learn them, and consolidate, as the daemon does after a start."""
    if failpoint:
        os.environ["LEARND_FAILPOINT"] = failpoint
    with Store.open(state / "learnd.db") as store:
        artifacts = Artifacts(state)
        artifacts.empty_staging()
        for name in ("a.md", "b.md"):
            store.add_document(name, stamp_of(name), digest_of(name), name, f"text of {name}")
        cycle = Cycle(
            store=store,
            artifacts=artifacts,
            index=TextIndex(state, "probes", embed, DIMENSION),
            executor=Scripted(),
            settings=PipelineSettings(consolidate=ConsolidateSettings(after=1, idle_seconds=0)),
            base=Path("base"),
        )
        cycle.run_pending(quiet)
        cycle.consolidate(quiet)
