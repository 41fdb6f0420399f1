"""The invariants of a state directory. `learnd check` prints what they find; so does every crash
test."""

from memory.artifacts import Artifacts, Kind
from memory.connection import LIVE, THERE, Connection
from memory.errors import StateCorrupt

_REPLACED = """EXISTS (SELECT 1 FROM documents AS new WHERE new.path = documents.path
    AND new.version > documents.version AND new.state = 'learned')"""
# A sentence about what must never be, and the query that finds it. {} takes the row's columns.
_RULES: tuple[tuple[str, str], ...] = (
    (
        "table {} row {} points to a row of {} that is not there",
        'SELECT "table", rowid, parent FROM pragma_foreign_key_check',
    ),
    (
        "document {} is in a live batch but {}, not batched",
        f"""SELECT documents.id, state FROM documents
        JOIN batch_documents ON document_id = documents.id
        JOIN batches ON batches.id = batch_id WHERE state != 'batched' AND {LIVE}""",
    ),
    (
        "document {} is batched but in no live batch",
        f"""SELECT id FROM documents WHERE state = 'batched' AND id NOT IN (
            SELECT document_id FROM batch_documents JOIN batches ON batches.id = batch_id
            WHERE {LIVE})""",
    ),
    (
        "document {} is learned but was in no batch that served",
        """SELECT id FROM documents WHERE state = 'learned' AND id NOT IN (
            SELECT document_id FROM batch_documents JOIN generations USING (batch_id))""",
    ),
    (
        "document {} is {} although a newer version of it is there",
        """SELECT id, state FROM documents AS old WHERE state IN ('pending', 'quarantined')
        AND version < (SELECT max(version) FROM documents AS new WHERE new.path = old.path)""",
    ),
    (
        "document {} is retired although no newer version of it is there",
        """SELECT id FROM documents AS old WHERE state = 'retired'
        AND version = (SELECT max(version) FROM documents AS new WHERE new.path = old.path)""",
    ),
    (
        "{} has {} learned versions",
        """SELECT path, count(*) FROM documents WHERE state = 'learned'
        GROUP BY path HAVING count(*) > 1""",
    ),
    (
        "probe {} is asked although document {} was replaced",
        f"""SELECT live_probes.id, document_id FROM live_probes JOIN chunks ON chunks.id = chunk_id
        JOIN documents ON documents.id = document_id WHERE state = 'retired' AND {_REPLACED}""",
    ),
    (
        "study item {} is rehearsed although document {} was replaced",
        f"""SELECT live_items.id, document_id FROM live_items JOIN chunks ON chunks.id = chunk_id
        JOIN documents ON documents.id = document_id WHERE state = 'retired' AND {_REPLACED}""",
    ),
    (
        "batch {} is {} but has no adapter",
        """SELECT id, stage FROM batches WHERE adapter IS NULL
        AND stage IN ('trained', 'examined', 'accepted', 'rejected', 'merged', 'serving')""",
    ),
    (
        "batch {} is {} but has no merged model",
        "SELECT id, stage FROM batches WHERE model IS NULL AND stage IN ('merged', 'serving')",
    ),
    (
        "batch {} is {} but has no verdict",
        """SELECT id, stage FROM batches WHERE verdict IS NULL
        AND stage IN ('accepted', 'rejected', 'merged', 'serving')""",
    ),
    (
        "batch {} is {}, which does not fit the generations",
        """SELECT id, stage FROM batches
        WHERE (stage = 'serving') !=
        EXISTS (SELECT 1 FROM generations WHERE batch_id = batches.id)""",
    ),
    (
        "generation g{} serves something else than its batch {} made",
        """SELECT number, batches.id FROM generations JOIN batches ON batches.id = batch_id
        WHERE generations.adapter IS NOT batches.adapter
        OR generations.model IS NOT batches.model""",
    ),
    (
        "generation g{} follows no generation",
        """SELECT number FROM generations AS new WHERE number > 0
        AND NOT EXISTS (SELECT 1 FROM generations AS old WHERE old.number = new.number - 1)""",
    ),
    (
        "generation g0 is not the base",
        """SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM generations
        WHERE number = 0 AND adapter IS NULL AND model IS NULL)""",
    ),
    (
        "the chain of adapters of g{} does not end at the base",
        """WITH RECURSIVE chain (number, digest) AS (
            SELECT number, adapter FROM generations
            UNION SELECT number, parent FROM adapters JOIN chain USING (digest)
        ) SELECT number FROM generations
        WHERE number NOT IN (SELECT number FROM chain WHERE digest IS NULL)""",
    ),
)


class Checked(Connection):
    """The part of the store that doubts the rest."""

    def check(self, artifacts: Artifacts | None = None) -> list[str]:
        """What is wrong, in sentences; an empty list means that all is well.

        With artifacts it hashes every file that is needed too, which takes as long as reading them.
        """
        damage = self._column("PRAGMA integrity_check")
        if damage != ["ok"]:
            return [f"the database is damaged: {fault}" for fault in damage]
        found = [
            sentence.format(*row.values()) for sentence, sql in _RULES for row in self._rows(sql)
        ]
        return found + (self._unsound(artifacts) if artifacts else [])

    def needed(self) -> dict[Kind, set[str]]:
        """Digests that must be on disk: every generation's adapter, from which all else can be
        rebuilt, the merged models of the head and of each task whose file is there, and what the
        live batch has made so far."""
        served = f"WHERE number IN (SELECT max(number) FROM generations GROUP BY task) AND {THERE}"
        return {"adapters": self._digests("adapter"), "models": self._digests("model", served)}

    def _digests(self, column: str, which: str = "") -> set[str]:
        sql = f"""SELECT {column} FROM generations {which}
            UNION SELECT {column} FROM batches WHERE {LIVE}"""
        return {digest for digest in self._column(sql) if digest}

    def _unsound(self, artifacts: Artifacts) -> list[str]:
        faults = []
        for kind, digests in self.needed().items():
            for digest in sorted(digests):
                try:
                    artifacts.verify(kind, digest)
                except StateCorrupt as fault:
                    faults.append(str(fault))
        return faults
