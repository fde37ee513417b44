"""What reaches an operator who is looking elsewhere: title, bell, desktop notification, a command of theirs.

Escape sequences go out through the driver, as everything on the terminal does, and only to a terminal.
"""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from subprocess import DEVNULL

import anyio

from console.look import one_line
from console.run_view import RunView
from console.settings.file import Settings
from console.status_line import question_text
from engine.machine.events import QuestionOpened

Write = Callable[[str], None]

HOOK_S = 30.0
"""Seconds that the operator's command may take."""
LONGEST = 200
"""Characters of a title or a notification; some terminals keep no more, and nobody reads more."""
HANDED_ON = frozenset({
    "HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER", "DISPLAY", "WAYLAND_DISPLAY",
    "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "TMUX", "TMUX_PANE",
})  # fmt: skip
"""The variables of the console's own environment that a hook gets to see. Others may be secrets."""

_SAVE_TITLE, _RESTORE_TITLE = "\x1b[22;2t", "\x1b[23;2t"


def on_terminal() -> bool:
    """Whether what the driver writes is read by a terminal that knows titles."""
    return sys.__stderr__ is not None and sys.__stderr__.isatty() and os.environ.get("TERM") != "dumb"


class Notices:
    """`write` takes escape sequences to the terminal; None where there is none. `tell` shows a message on
    the screen. A `rehearsal` rings the bell, but calls nobody."""

    def __init__(
        self, settings: Settings, *, write: Write | None, tell: Callable[[str], None], rehearsal: bool = False
    ) -> None:
        self.settings = settings
        self._write = write or _nowhere
        self._tell = tell
        self._rehearsal = rehearsal
        self._title = ""

    def show_title(self, title: str) -> None:
        """Make `title` the terminal's; the one it had comes back with `parting`."""
        title = one_line(title)[:LONGEST]
        if self.settings.title and title != self._title:
            save = "" if self._title else _SAVE_TITLE
            self._title = title
            self._write(f"{save}\x1b]2;{title}\x07")

    @property
    def parting(self) -> str:
        """What gives the terminal its own title back."""
        return f"\x1b]2;\x07{_RESTORE_TITLE}" if self._title else ""

    async def question(self, event: QuestionOpened, view: RunView) -> None:
        """A question has opened: ring, and tell whoever wants to be told. Never raises, never waited for."""
        if self.settings.bell:
            self._write("\x07")
        if self._rehearsal:
            return
        question = view.newest.questions.get(event.seq)
        about = question_text(question) if question else event.about
        plan = one_line(view.plan.name)
        if self.settings.notify != "off":
            self._write(_notification(self.settings.notify, f"wesley-console: {plan}", about))
        if self.settings.hook:
            await self._run_hook({
                "WESLEY_RUN": view.newest.run,
                "WESLEY_PLAN": plan,
                "WESLEY_QUESTION": str(event.seq),
                "WESLEY_ABOUT": event.about,
                "WESLEY_TASK": event.task,
                "WESLEY_REASON": one_line(event.reason),
            })  # fmt: skip

    async def _run_hook(self, facts: dict[str, str]) -> None:
        handed_on = {k: v for k, v in os.environ.items() if k in HANDED_ON or k.startswith("LC_")}
        command = ["sh", "-c", self.settings.hook]
        try:
            process = await anyio.open_process(
                command,
                stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL,
                env=handed_on | facts, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            self._tell(f"The hook could not be started: {error.strerror}")
            return
        with anyio.move_on_after(HOOK_S) as limit:
            if code := await process.wait():
                self._tell(f"The hook ended with exit code {code}. Run it by hand to see why.")
        if limit.cancelled_caught:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            self._tell(f"The hook took longer than {HOOK_S:g} s, and was ended.")


def _notification(how: str, title: str, text: str) -> str:
    """The sequence that asks the terminal for a desktop notification."""
    title, text = (one_line(part)[:LONGEST].replace(";", ",") for part in (title, text))
    sequence = f"\x1b]9;{title}: {text}\x07" if how == "osc9" else f"\x1b]777;notify;{title};{text}\x07"
    if "TMUX" in os.environ:  # tmux keeps what it does not know, unless it is wrapped
        return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    return sequence


def _nowhere(_data: str) -> None:
    pass
