"""Looking ahead beside the screen, again and again: when is the run done, and what is there until then?"""

from collections.abc import Callable
from time import monotonic

import anyio
import anyio.to_thread
from textual import log

from console.outlook import Outlook, look_ahead
from console.run_view import RunView

REST_SHARE = 50
"""Looking ahead rests this many times as long as it takes."""
AGAIN_TICKS = 15
"""So many ticks are between two looks ahead while nothing happens: then only the clock has moved."""


async def keep_looking_ahead(
    view: RunView,
    tick_s: float,
    *,
    live: Callable[[], bool],
    over: Callable[[], bool],
    show: Callable[[Outlook | None], None],
) -> None:
    """Until it is `over`, tell `show` what is to come whenever something has happened in a `live` run, and
    seldom where nothing happens; at the end, that nothing is. A run that had ended begins again a moment
    after it is taken up. `tick_s` is the least rest, in seconds."""
    foreseen, next_due = -1, 0.0
    while not over():
        began, revision = monotonic(), view.revision
        if live() and (revision != foreseen or began >= next_due):
            show(await _look_ahead(view))
            foreseen, next_due = revision, monotonic() + AGAIN_TICKS * tick_s
        await anyio.sleep(max(tick_s, REST_SHARE * (monotonic() - began)))
    show(None)


async def _look_ahead(view: RunView) -> Outlook:
    twin, graph, now_t = view.newest.clone(), view.graph, view.now_t
    try:
        return await anyio.to_thread.run_sync(look_ahead, twin, graph, now_t, abandon_on_cancel=True)
    except Exception as error:  # an operator can do without an outlook, but not without the console
        log.error(f"no outlook: {error!r}")
        return Outlook(None)
