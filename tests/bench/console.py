"""The console in a terminal: how soon it is there, how soon it answers a key, what it costs to have it open.

Every contender is a process of its own with a pseudo terminal of 120×36 as its screen. Beside the console
stands the least that Textual itself can do: an app with one line of text, and one with a list of as many
items as the plan has tasks. Rounds are interleaved.

- first paint: from the start of the process to the first text on the screen, with all modules compiled, as an
  installation leaves them;
- key to paint: from the key's byte to the end of the repaint after it, median and 95th percentile, with a
  simulated run of 5,000 tasks going on that makes about 1,000 events a second;
- cost of that: share of a core, resident memory;
- idle: share of a core with a run in which one task runs for a long time, and with a question open.

    python -m tests.bench.console [--rounds 7] [--tasks 5000] [--keys 100] [--idle 20]
"""

import argparse
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import psutil

from engine.journal.journal import Journal
from engine.journal.rundir import run_dir
from tests.bench.no_op_tasks import layered

ROWS, COLUMNS = 36, 120
LANES = 16
EVENTS_A_SECOND = 1000
_EVENTS_A_TASK = 3  # ready, started, succeeded
_TASK_S = 60
_SPEED = EVENTS_A_SECOND / _EVENTS_A_TASK / LANES * _TASK_S
_KEY_PAUSE_S = 0.1
_WARM_UP_S = 3
_LIMIT_S = 60
UP, DOWN = b"\x1b[A", b"\x1b[B"
HELLO = """
from textual.app import App
from textual.widgets import Static
class Hello(App):
    def compose(self):
        yield Static("Hello, World")
Hello().run()
"""
KEYED = """
import sys, time
from textual import events
def timed(app_class, report):
    class Timed(app_class):
        async def on_event(self, event):
            fresh = isinstance(event, events.Key) and not event.is_forwarded
            await super().on_event(event)
            if fresh and event.key in ("up", "down"):
                self.screen.call_after_refresh(lambda: report.write(f"{time.monotonic()}\\n"))
    return Timed
report = open(sys.argv[1], "w", buffering=1)
"""
KEYED_LIST = (
    KEYED
    + """
from textual.app import App
from textual.widgets import OptionList
class Listed(App):
    def compose(self):
        yield OptionList(*(f"task-{n}" for n in range(int(sys.argv[2]))))
timed(Listed, report)().run()
"""
)
KEYED_CONSOLE = (
    KEYED
    + """
import console.live
console.live.ConsoleApp = timed(console.live.ConsoleApp, report)
from console.cli import main
sys.argv = ["wesley-console", *sys.argv[2:]]
main()
"""
)


class Screen:
    """A child process with a pseudo terminal, and what it has written so far."""

    def __init__(self, arguments: list[str], folder: Path) -> None:
        self._terminal, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environ = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        self.began = time.monotonic()
        self._child = subprocess.Popen(
            arguments,
            cwd=folder,
            env=environ,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.process = psutil.Process(self._child.pid)
        self._written = b""

    def read(self, seconds: float) -> None:
        """Take in what is written within `seconds`, as a terminal would."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._take(left)

    def wait_for(self, text: bytes) -> float:
        """Seconds from the start until `text` was on the screen."""
        while text not in self._written:
            if time.monotonic() - self.began > _LIMIT_S or self._child.poll() is not None:
                raise SystemExit(f"{text!r} was not shown; the end of what was: {self._written[-2000:]!r}")
            self._take(1.0)
        return time.monotonic() - self.began

    def _take(self, seconds: float) -> None:
        if select.select([self._terminal], [], [], seconds)[0]:
            with suppress(OSError):  # nobody has the other end open: the child is gone
                self._written += os.read(self._terminal, 1 << 16)

    def press(self, keys: bytes) -> float:
        """Send keys; when that was."""
        os.write(self._terminal, keys)
        return time.monotonic()

    def forget(self) -> None:
        self._written = b""

    def end(self) -> None:
        self._child.kill()
        self._child.wait()
        os.close(self._terminal)


@contextmanager
def screen(arguments: list[str], folder: Path) -> Iterator[Screen]:
    shown = Screen(arguments, folder)
    try:
        yield shown
    finally:
        shown.end()


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def console(*arguments: object) -> list[str]:
    return [str(Path(sys.executable).with_name("wesley-console")), *map(str, arguments)]


# -- first paint -------------------------------------------------------------------------------------


def first_paint(folder: Path, rounds: int) -> None:
    small = write_plan(folder, "small", layered(39))
    hello, ours = [], []
    for _ in range(rounds + 1):
        with screen(python(HELLO), folder) as shown:
            hello.append(shown.wait_for(b"Hello, World"))
        with screen(console(small, "--state-dir", folder / "state"), folder) as shown:
            ours.append(shown.wait_for(b"starts the run"))
    del hello[0], ours[0]  # the first start compiles what is not compiled yet
    print(f"first paint   Textual, one line    {median(hello) * 1000:7.0f} ms")
    ratio = median(ours) / median(hello)
    print(f"              console, 39 tasks    {median(ours) * 1000:7.0f} ms   {ratio:.2f} times")


# -- from a key to its paint -------------------------------------------------------------------------


class Answers(NamedTuple):
    """Milliseconds from a key to its paint, share of a core, bytes resident, events a second meanwhile."""

    waits: list[float]
    share: float
    resident: int
    events: float = 0.0


def answers(shown: Screen, report: Path, keys: int, run: Path | None = None) -> Answers:
    shown.read(_WARM_UP_S)
    events = _events(run)
    used, began = _processor(shown), time.monotonic()
    pressed = []
    for number in range(keys):
        pressed.append(shown.press(UP if number % 2 else DOWN))
        shown.read(_KEY_PAUSE_S)
    took = time.monotonic() - began
    share, made = (_processor(shown) - used) / took, (_events(run) - events) / took
    shown.read(1.0)
    painted = [float(line) for line in report.read_text().split()]
    if len(painted) != keys:
        raise SystemExit(f"{keys} keys were pressed, {len(painted)} painted")
    waits = [(after - before) * 1000 for before, after in zip(pressed, painted, strict=True)]
    return Answers(waits, share, shown.process.memory_info().rss, made)


def _processor(shown: Screen) -> float:
    times = shown.process.cpu_times()
    return times.user + times.system


def _events(run: Path | None) -> int:
    if run is None:
        return 0
    with Journal.open(run_dir(run.parent.parent, run.name), readonly=True, check=False) as journal:
        return journal.head()[0]


def key_to_paint(folder: Path, tasks: int, keys: int) -> None:
    plan = write_plan(folder, "big", layered(tasks))
    report = folder / "listed"
    with screen(python(KEYED_LIST, report, tasks), folder) as shown:
        shown.wait_for(b"task-0")
        print(f"key to paint  Textual, a list      {_told(answers(shown, report, keys))}")
    report, state = folder / "ours", folder / "state"
    arguments = [plan, "--simulate", "--speed", _SPEED, "--state-dir", state, "--run-id", "big"]
    with screen(python(KEYED_CONSOLE, report, *arguments), folder) as shown:
        shown.wait_for(b"starts the run")
        shown.press(b"s")
        shown.forget()
        shown.wait_for(b"Lanes")
        found = answers(shown, report, keys, state / "runs" / "big")
        print(f"              console, {tasks} tasks  {_told(found)}")


def _told(found: Answers) -> str:
    last = quantiles(found.waits, n=20)[-1]
    return (
        f"{median(found.waits):7.1f} ms, 95 % within {last:.1f} ms, the longest {max(found.waits):.1f} ms; "
        f"{found.share:.0%} of a core, {found.resident / 1e6:.0f} MB"
        + (f", {found.events:.0f} events a second" if found.events else "")
    )


# -- at rest -----------------------------------------------------------------------------------------


def idle(folder: Path, seconds: float) -> None:
    with screen(python(HELLO), folder) as shown:
        shown.wait_for(b"Hello, World")
        print(f"idle          Textual, one line    {_at_rest(shown, seconds):7.2%} of a core")
    quiet = {"a running task": 'shell: "sleep 600"', "an open question": 'shell: "exit 1"'}
    for number, (what, action) in enumerate(quiet.items()):
        plan = folder / f"quiet-{number}.yaml"
        rest = "".join(f"  - {{id: b{each}, needs: [a], run: {{shell: 'true'}}}}\n" for each in range(38))
        plan.write_text(f"wesley: 1\nname: quiet\ntasks:\n  - {{id: a, run: {{{action}}}}}\n{rest}")
        with screen(console(plan, "--state-dir", folder / "state"), folder) as shown:
            shown.wait_for(b"starts the run")
            shown.press(b"s")
            print(f"              {what:<16}     {_at_rest(shown, seconds):7.2%} of a core")


def _at_rest(shown: Screen, seconds: float) -> float:
    shown.read(_WARM_UP_S)
    before = _processor(shown)
    shown.read(seconds)
    return (_processor(shown) - before) / seconds


def write_plan(folder: Path, name: str, needs: dict[str, list[str]]) -> Path:
    lines = [
        f"  - {{id: {task}, needs: [{', '.join(of)}], duration: {_TASK_S}s, run: {{simulate: {{}}}}}}"
        for task, of in needs.items()
    ]
    path = folder / f"{name}.yaml"
    path.write_text(f"wesley: 1\nname: {name}\nworkers: {LANES}\ntasks:\n" + "\n".join(lines) + "\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tasks", type=int, default=5000)
    parser.add_argument("--keys", type=int, default=100)
    parser.add_argument("--idle", type=float, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        first_paint(Path(folder), options.rounds)
        key_to_paint(Path(folder), options.tasks, options.keys)
        idle(Path(folder), options.idle)


if __name__ == "__main__":
    main()
