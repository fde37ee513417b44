"""What a statement gives back, read as the server sends it: its first rows are kept, all are counted."""

import codecs
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg import capabilities, errors, generators
from psycopg.pq import ExecStatus

from engine.tasks.rows import ROWS_SHOWN, count_of, show

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.pq.abc import PGconn, PGresult

_CHUNK = 500
"""Rows that are in memory at a time."""
_CHANGING = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "COPY"})
_BOOLEAN, _TEXTUAL = 16, frozenset({18, 19, 25, 1042, 1043})
"""Types by their numbers in pg_type: boolean; text in its several kinds."""
_COPY = frozenset({ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH})

Row = tuple[str | None, ...]


@dataclass(slots=True)
class Result:
    """`columns` is None for a statement that gives no rows at all. Values are text, as the server writes it;
    `changed` counts rows that the statement has changed. `first_type` is the type of the first column."""

    columns: tuple[str, ...] | None = None
    shown: list[Row] = field(default_factory=list)
    count: int = 0
    changed: int | None = None
    first_type: int = 0

    @property
    def says_yes(self) -> bool:
        """Whether the first column of the first row is true: for numbers, whether it is not zero."""
        value = self.shown[0][0] if self.shown and self.shown[0] else None
        if value is None:
            return False
        if self.first_type == _BOOLEAN:
            return value == "t"
        if self.first_type in _TEXTUAL:
            return value != ""
        try:
            return float(value) != 0
        except ValueError:
            return value != ""

    def text(self, clean: Callable[[str], str]) -> str:
        """The result as it goes to the output, cut to some rows and to some width."""
        lines = []
        if self.columns is not None:
            more = f", the first {ROWS_SHOWN} shown" if self.count > ROWS_SHOWN else ""
            lines += [" | ".join(show(name, clean) for name in self.columns)]
            lines += [" | ".join(show(value, clean) for value in row) for row in self.shown]
            lines += [f"({count_of(self.count)}{more})"]
        if self.changed is not None:
            lines.append(count_of(self.changed, "changed"))
        return "\n".join(lines) or "done"


async def read(connection: "AsyncConnection[Any]", sql: str) -> Result:
    """Send one statement and read all that it gives. Raises psycopg.Error.

    Nothing in the text is filled in, and no value is made into an object of Python's: some have none."""
    async with connection.lock:
        return await connection.wait(_exchange(connection.pgconn, sql.encode()))


def _exchange(pgconn: "PGconn", sql: bytes) -> Generator[Any, Any, Result]:
    pgconn.send_query_params(sql, None)
    if capabilities.has_stream_chunked():
        pgconn.set_chunked_rows_mode(_CHUNK)
    else:
        pgconn.set_single_row_mode()
    yield from generators.send(pgconn)
    result = Result()
    failure: errors.Error | None = None
    try:
        while piece := (yield from generators.fetch(pgconn)):
            if piece.status == ExecStatus.FATAL_ERROR:
                failure = failure or errors.error_from_result(piece)
            elif piece.status in _COPY:
                raise errors.NotSupportedError("COPY from or to the client cannot be used here")
            else:
                _take(result, piece)
    except errors.OperationalError:
        # A server that closes the connection says why; that it is closed then is no news.
        if failure is None:
            raise
    if failure:
        raise failure
    return result


def _take(result: Result, piece: "PGresult") -> None:
    if piece.nfields or piece.status != ExecStatus.COMMAND_OK:
        result.columns = tuple(_decoded(piece.fname(n)) or "" for n in range(piece.nfields))
        result.first_type = piece.ftype(0) if piece.nfields else 0
    result.count += piece.ntuples
    for row in range(min(piece.ntuples, ROWS_SHOWN - len(result.shown))):
        result.shown.append(tuple(_decoded(piece.get_value(row, n)) for n in range(piece.nfields)))
    tag = (piece.command_status or b"").decode().partition(" ")[0]
    if piece.command_tuples is not None and (tag in _CHANGING or result.columns is None):
        result.changed = piece.command_tuples


def _decoded(value: bytes | None) -> str | None:
    return None if value is None else codecs.decode(value, "utf-8", "replace")
