"""Which rows the lanes take: more for each where there is room, and what stands below them. Pure."""

from typing import Literal, NamedTuple

from console.outlook import Outlook
from console.panels.history import History

Kind = Literal["bar", "title", "names", "gap"]
Tail = Literal["notes", "held", "undo", "caption"]

TAILS: tuple[Tail, ...] = ("notes", "held", "undo", "caption")
"""The rows below the lanes, in their order."""
_SHAPES: tuple[tuple[Kind, ...], ...] = (
    ("bar", "title", "names", "gap"),
    ("bar", "title", "names"),
    ("bar", "names"),
    ("bar",),
)
"""The rows of a lane, from the most to the least."""


class Line(NamedTuple):
    """One row of a lane."""

    kind: Kind
    lane: int


def body_rows(lanes: int, room: int) -> list[Line]:
    """The rows of all lanes: as many as `room` allows, and one a lane at the least."""
    shape = next((s for s in _SHAPES if len(s) * lanes <= room + (s[-1] == "gap")), _SHAPES[-1])
    rows = [Line(kind, lane) for lane in range(lanes) for kind in shape]
    return rows[:-1] if rows[-1].kind == "gap" else rows


def tail_rows(history: History, outlook: Outlook, room: int) -> list[Tail]:
    """The rows below the lanes that there is something to say in, the most important ones for `room` rows."""
    wanted: list[Tail] = ["caption"]
    if history.undo.spans:
        wanted.insert(0 if history.undo.spans[-1].end is None else 1, "undo")
    if history.held.spans:
        wanted.append("held")
    if history.barriers or history.taken_up or outlook.barriers:
        wanted.append("notes")
    kept = wanted[: max(room, 0)]
    return [tail for tail in TAILS if tail in kept]
