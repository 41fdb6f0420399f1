"""The one truth: everything that learnd knows about documents, batches, generations and probes.

One SQLite file, one connection, one lock. Each public method is one transaction or one read, so
the daemon's threads may share a Store; the StateLock keeps other processes from writing.

    documents    documents.py     files, versions, quarantine
    batches      batches.py       the stages; each arrow is one transaction
    versions     versions.py      what of a document's earlier version stays
    generations  generations.py   what is and was served, and the adapters it came from
    learning     learning.py      chunks, study items, probes and their results
    reports      reports.py       rows for people
    history      history.py       what was learned, slipped and was repaired
    check        check.py         the invariants
"""

from memory.batches import Batches
from memory.check import Checked
from memory.documents import Documents
from memory.history import History, Moment, Recall
from memory.learning import Asking, Learning, Rehearsable, Streak
from memory.reports import Conflict, DocumentRow, ProbeRow, Reports
from memory.versions import Repeated, Stated

__all__ = [
    "Asking",
    "Conflict",
    "DocumentRow",
    "Moment",
    "ProbeRow",
    "Recall",
    "Rehearsable",
    "Repeated",
    "Stated",
    "Store",
    "Streak",
]


class Store(Documents, Batches, Learning, Reports, History, Checked):
    """Open one with Store.open(STATE/"learnd.db"), Store.open_read(...), or memory_store()."""
