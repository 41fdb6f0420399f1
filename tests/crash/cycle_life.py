"""Take two texts and a task in, learn them, then a copy of one, and consolidate, with scripted
heavy work: what can be killed and run again."""

import os
from pathlib import Path

from agent.settings import ConsolidateSettings, PipelineSettings
from memory.artifacts import Artifacts
from memory.records import Progress
from memory.store import Store
from policies.examples import Example, written
from tests.helpers.cycles import Reciting, cycle_for
from tests.helpers.stores import digest_of, stamp_of


def quiet(progress: Progress) -> None:
    pass


def live(state: Path, failpoint: str = "") -> None:
    """Take files in, learn them, and consolidate, as the daemon does after a start."""
    if failpoint:
        os.environ["LEARND_FAILPOINT"] = failpoint
    with Store.open(state / "learnd.db") as store:
        artifacts = Artifacts(state)
        artifacts.empty_staging()
        examples = written([Example(f"number {n}", str(n % 2)) for n in range(12)])
        files = {"a.md": "text of a", "b.md": "text of b", "odd.jsonl": examples}
        for name, text in files.items():
            store.add_document(name, stamp_of(name), digest_of(name), "Text", text)
        settings = PipelineSettings(consolidate=ConsolidateSettings(after=1, idle_seconds=0))
        cycle = cycle_for(store, state, Reciting(), settings)
        cycle.run_pending(quiet)
        store.add_document("copy.md", stamp_of("c"), digest_of("c"), "Text", files["a.md"])
        cycle.run_pending(quiet)
        cycle.consolidate(quiet)
