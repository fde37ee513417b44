"""How events reach whoever watches: a screen, a log. The engine never waits for a watcher."""

import anyio

from engine.machine.events import Event


class Feed:
    """Events for one watcher, in order, each batch holding all that came since the last was taken.

    What a slow watcher has not taken is what it will have to fold anyway; there is nothing else in here
    that could grow."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._news = anyio.Event()
        self._closed = False

    def publish(self, events: list[Event]) -> None:
        self._events.extend(events)
        self._news.set()

    def close(self) -> None:
        """End the watcher's iteration, once it has taken what is left."""
        self._closed = True
        self._news.set()

    def __aiter__(self) -> "Feed":
        return self

    async def __anext__(self) -> list[Event]:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            await self._news.wait()
            self._news = anyio.Event()
        taken, self._events = self._events, []
        return taken
