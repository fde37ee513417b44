"""Rows of a result as they stand in the output of a task, whichever database they come from."""

from collections.abc import Callable

ROWS_SHOWN = 20
CELL_WIDTH = 60
_CELL_LOOKED_AT = 64 * 1024
"""Characters of a value that are looked at: far more than are shown, so that no secret is cut at the end."""


def show(value: object, clean: Callable[[str], str]) -> str:
    """A value of a result, in one line of bounded length. It is cleaned first: cutting must not hide a secret
    from the redaction."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    line = " ".join(clean(str(value)[:_CELL_LOOKED_AT]).split())
    return line if len(line) <= CELL_WIDTH else f"{line[: CELL_WIDTH - 1]}…"


def count_of(rows: int, what: str = "") -> str:
    """A number of rows in words: `1 row changed`."""
    return f"{rows:,} row{'' if rows == 1 else 's'} {what}".rstrip()
