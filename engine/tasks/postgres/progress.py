"""How far a statement is, as the server tells it while it runs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import psycopg

from engine.tasks.base import Job, Progress
from engine.tasks.postgres.catalog import Backend, who

if TYPE_CHECKING:
    from engine.tasks.postgres.database import Database

LOOK_EVERY_S = 0.5
_REST_S = 5.0
"""Seconds after a look that failed: the server may be gone for a while."""


class _Step(NamedTuple):
    """A phase of the server's in an operator's words, and what of its row counts it. `waits`: for other
    transactions, one after the other, of which no rate can be made."""

    words: str
    done: str = ""
    total: str = ""
    unit: str = ""
    waits: bool = False


_BLOCKS = ("blocks_done", "blocks_total", "blocks")
_TUPLES = ("tuples_done", "tuples_total", "rows")
_HEAP = ("heap_blks_scanned", "heap_blks_total", "blocks")
_SAMPLE = ("sample_blks_scanned", "sample_blks_total", "blocks")
_INDEXES = ("indexes_processed", "indexes_total", "indexes")

_STEPS: dict[str, dict[str, _Step]] = {
    "create_index": {
        "waiting for writers before build": _Step("not begun: waiting for writers of {table}", waits=True),
        "building index": _Step("building", *_BLOCKS),
        "building index: scanning table": _Step("building: scanning {table}", *_BLOCKS),
        "building index: sorting live tuples": _Step("building: sorting"),
        "building index: sorting dead tuples": _Step("building: sorting"),
        "building index: loading tuples in tree": _Step("building: writing the index", *_TUPLES),
        "waiting for writers before validation": _Step("built, waiting for writers of {table}", waits=True),
        "index validation: scanning index": _Step("validating: scanning the index", *_BLOCKS),
        "index validation: sorting tuples": _Step("validating: sorting"),
        "index validation: scanning table": _Step("validating: scanning {table}", *_BLOCKS),
        "waiting for old snapshots": _Step("built, waiting for old snapshots", waits=True),
        "waiting for readers before marking dead": _Step("waiting for readers of the old index", waits=True),
        "waiting for readers before dropping": _Step(
            "dropping the old index: waiting for readers", waits=True
        ),
    },
    "vacuum": {
        "scanning heap": _Step("vacuuming {table}: scanning it", *_HEAP),
        "vacuuming indexes": _Step("vacuuming {table}: its indexes", *_INDEXES),
        "vacuuming heap": _Step(
            "vacuuming {table}: freeing space", "heap_blks_vacuumed", "heap_blks_total", "blocks"
        ),
        "cleaning up indexes": _Step("vacuuming {table}: cleaning up its indexes", *_INDEXES),
    },
    "analyze": {
        "acquiring sample rows": _Step("analyzing {table}: reading a sample", *_SAMPLE),
        "acquiring inherited sample rows": _Step("analyzing {table}: reading its partitions", *_SAMPLE),
    },
    "cluster": {
        "seq scanning heap": _Step("rewriting {table}: reading it", *_HEAP),
        "index scanning heap": _Step(
            "rewriting {table}: reading it by index", "heap_tuples_scanned", "", "rows"
        ),
        "writing new heap": _Step(
            "rewriting {table}: writing it", "heap_tuples_written", "heap_tuples_scanned", "rows"
        ),
        "rebuilding index": _Step("rewriting {table}: its indexes", "index_rebuild_count", "", "indexes"),
    },
    "copy": {"": _Step("{command} {table}", "bytes_processed", "bytes_total", "bytes")},
}
"""By view (pg_stat_progress_…) and phase."""

_COMMANDS = {
    "CREATE INDEX": "create_index",
    "VACUUM": "vacuum",
    "ANALYZE": "analyze",
    "CLUSTER": "cluster",
    "COPY": "copy",
}
"""Commands as the server calls them, with their view."""
_SINCE = {"COPY": 140000}
"""The version of the server that reports a command, where there are older ones."""

# The views themselves take four times as long to look into, and most statements are in none of them.
_UNDER_WAY = """
SELECT command FROM unnest(%s::text[]) command, pg_stat_get_progress_info(command) info WHERE info.pid = %s"""

_LOOK = """
SELECT coalesce(p.relid::regclass::text, ''), {index}, to_jsonb(p)
FROM pg_stat_progress_{view} p WHERE p.pid = %s"""

_LOCKER = """
SELECT pid, coalesce(usename, ''), coalesce(application_name, ''),
       extract(epoch FROM clock_timestamp() - xact_start)::float8
FROM pg_stat_activity WHERE pid = %s"""


class _Seen(NamedTuple):
    """What a backend's row in one of the views tells; a backend has one at most."""

    view: str
    table: str
    built: str
    row: Mapping[str, Any]

    def count(self, column: str) -> int:
        """0 where this version of the server has no such column."""
        return int(self.row.get(column) or 0)


async def watch(database: "Database", pid: int, job: Job) -> None:
    """Tell `job.progress` how far the statement of backend `pid` is: index builds, VACUUM, ANALYZE, CLUSTER
    and COPY. Silent while there is nothing to tell, and while the server cannot be asked. Runs until it is
    cancelled."""
    commands = [command for command in _COMMANDS if database.version >= _SINCE.get(command, 0)]
    while True:
        rest_s = LOOK_EVERY_S
        try:
            for (command,) in await database.look(_UNDER_WAY, (commands, pid)):
                await _tell(database, pid, job, _COMMANDS[command])
        except psycopg.Error:
            rest_s = _REST_S
        await anyio.sleep(rest_s)


async def _tell(database: "Database", pid: int, job: Job, view: str) -> None:
    index = "coalesce(p.index_relid::regclass::text, '')" if view == "create_index" else "''"
    for row in await database.look(_LOOK.format(view=view, index=index), (pid,)):
        job.progress(await _progress(database, _Seen(view, *row), job))


async def _progress(database: "Database", seen: _Seen, job: Job) -> Progress:
    phase = seen.row.get("phase") or ""
    step = _STEPS[seen.view].get(phase) or _Step(phase)
    detail = step.words.format(table=seen.table, command=seen.row.get("command"))
    if step.waits:
        detail += await _waited_for(database, seen)
    if partitions := seen.count("partitions_total"):
        detail += f" (partition {min(seen.count('partitions_done') + 1, partitions)} of {partitions})"
    if str(seen.row.get("command")).startswith("REINDEX") and seen.built:
        detail = f"{seen.built}: {detail}"
    return Progress(
        done=seen.count(step.done),
        total=seen.count(step.total) or None,
        unit=step.unit,
        detail=job.output.clean(detail),
    )


async def _waited_for(database: "Database", seen: _Seen) -> str:
    """Whom a build waits for. An age is told in whole minutes, not to be told anew with every look."""
    rows = await database.look(_LOCKER, (seen.count("current_locker_pid"),))
    backends = [Backend(*row) for row in rows]
    locker = who(database, [each._replace(busy_s=_minutes(each.busy_s)) for each in backends])
    done, total = seen.count("lockers_done"), seen.count("lockers_total")
    counted = f" ({done:,} of {total:,} have ended)" if total > 1 else ""
    return f"{counted}: {locker}" if locker else counted


def _minutes(age_s: float | None) -> float | None:
    return age_s - age_s % 60 if age_s and age_s >= 60 else None
