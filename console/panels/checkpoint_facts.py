"""What is found out about a checkpoint beside the screen: what it holds, and what a rollback to it does."""

from time import monotonic
from typing import Any

from textual.message import Message
from textual.widget import Widget

from console.recovery.choices import Draft
from console.recovery.foresight import Foresee, Foreseen, Foresight, Foretold, foresee
from console.run_view import RunView
from engine.machine.checkpoints import content_of
from engine.machine.state import Checkpoint

_REST = 20
"""Working out what would follow rests this many times as long as it takes, while the run goes on."""


class ContentFound(Message):
    """The file of `checkpoint` has been read; `content` is what it holds."""

    def __init__(self, checkpoint: str, content: dict[str, Any]) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.content = content


class CheckpointFacts:
    """Asks for what the panel `asker` wants to know; the answers come to it as messages, to be taken in here.

    The content is that of the checkpoint's file: the same function of the same events."""

    def __init__(self, asker: Widget, view: RunView, ask: Foresee = foresee) -> None:
        self._asker = asker
        self._view = view
        self._ask = ask
        self._contents: dict[str, dict[str, Any]] = {}
        self._wanted: set[str] = set()
        self._foresight: Foresight | None = None
        self._chosen = ""
        self._asked_at = self._rests_until = 0.0

    def choose(self, checkpoint: Checkpoint) -> None:
        """Find out about `checkpoint` from now on."""
        self._chosen = checkpoint.id
        self._foresight = Foresight(self._asker, self._view.graph, 0, self._ask)
        self._rests_until = 0.0
        if checkpoint.id not in self._wanted:
            self._wanted.add(checkpoint.id)
            self._asker.run_worker(lambda: self._find_content(checkpoint), thread=True, group="content")

    def follow(self) -> None:
        """The run may have gone on: what would follow is worked out anew, now and then."""
        known, state, now = self.foretold, self._view.state, monotonic()
        stale = known is None or known.seq != state.seq
        if self._foresight and stale and not self._view.read_only and now >= self._rests_until:
            self._asked_at, self._rests_until = now, float("inf")
            self._foresight.want([self._draft], state, self._view.now_t)

    @property
    def _draft(self) -> Draft:
        return Draft(action="rollback", to=self._chosen)

    @property
    def content(self) -> dict[str, Any] | None:
        """What the chosen checkpoint holds; None until that is found out."""
        return self._contents.get(self._chosen)

    @property
    def foretold(self) -> Foretold | None:
        """What a rollback to the chosen checkpoint would do; None until that is worked out."""
        return self._foresight.known.get(self._draft) if self._foresight else None

    def take(self, message: Foreseen | ContentFound) -> bool:
        """Whether the answer is to what is still asked."""
        if isinstance(message, ContentFound):
            self._contents[message.checkpoint] = message.content
            return message.checkpoint == self._chosen
        if message.by is not self._foresight:
            return False
        message.by.take(message)
        now = monotonic()
        self._rests_until = now + _REST * (now - self._asked_at)
        return True

    def _find_content(self, checkpoint: Checkpoint) -> None:
        content = content_of(self._view.state_at(checkpoint.position))
        self._asker.post_message(ContentFound(checkpoint.id, content))
