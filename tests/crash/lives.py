"""The lives of an engine: each in a process of its own, forked from one that has loaded everything already,
so that a life costs some hundredths of a second and thousands can be lived.

The process that forks must have no threads: so campaigns are run by `python -m tests.crash.campaign`.
"""

import email.parser
import json
import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import anyio._backends._asyncio
import pydantic.type_adapter

import console.commands.running
from console.cli import main
from engine.journal.rundir import RunDir
from engine.machine.state import State
from tests.crash.judgement import journaled
from tests.crash.operator import operated
from tests.crash.points import Armed, Kill, Point
from tests.crash.stories import Story, Witness, honest

LOADED = (anyio._backends._asyncio, console.commands.running, email.parser, pydantic.type_adapter)
"""What the program imports late; here it is loaded before the first life."""
RUN = "r1"
FIRST_CHECKPOINT = "cp-0001"
FORK = f"{RUN}-from-{FIRST_CHECKPOINT}"
KILLED = -signal.SIGKILL
_LONGEST_S = 60


class Life(NamedTuple):
    """How a life ended: an exit code or KILLED, and the points it came to, or that at which it was killed."""

    code: int
    points: list[Point]
    died_at: Point | None


class Stage:
    """One run of one story in `folder`, lived by one engine after the other."""

    def __init__(self, folder: Path, story: Story) -> None:
        self.folder = folder
        self.story = story
        self.was_saved = False
        self.before_the_loss: Witness | None = None
        """What had been done when the journal lost its end, and with it the word of how."""
        self._turned = False
        self._lived = 0

    @property
    def rundir(self) -> RunDir:
        """Of the run, or of the fork that goes on with it."""
        runs = self.folder / "state" / "runs"
        return RunDir(runs / FORK if (runs / FORK).exists() else runs / RUN)

    @property
    def is_lost(self) -> bool:
        """Whether the run is damaged, and no fork goes on with it yet."""
        return self.before_the_loss is not None and self.rundir.id == RUN

    def begin(self) -> None:
        self.folder.mkdir(parents=True)
        self.story.write(self.folder)

    def run(self, kill: Kill | None = None) -> Life:
        return self._command(kill, "run", "plan.yaml", "--headless", "--json", "--run-id", RUN)

    def resume(self, kill: Kill | None = None) -> Life:
        more = ["--from", FIRST_CHECKPOINT] if self.is_lost else []
        more += ["--accept-plan-changes"] if self._turned and self.story.edits else []
        return self._command(kill, "resume", self.rundir.id, "--headless", "--json", *more)

    def takes_turn(self) -> bool:
        """Take the turn of the story, if this is its moment; whether it was."""
        if self._turned or not self.story.turn:
            return False
        state = journaled(self.rundir).state
        assert state is not None
        if not any((q.task, q.about) == (self.story.turn, "failure") for q in state.questions.values()):
            return False
        self._turned = True
        if self.story.edits:
            self.story.write(self.folder, edited=True)
        else:
            self._lose_the_end(state)
        return True

    def _lose_the_end(self, state: State) -> None:
        """Cut the journal behind its first checkpoint; what was told of what came later is no longer true."""
        with closing(sqlite3.connect(self.rundir.journal)) as connection, connection:
            connection.execute("DELETE FROM events WHERE seq > ?", (state.checkpoints[FIRST_CHECKPOINT].seq,))
        for said in self.folder.glob("said-*"):
            said.write_text("")
        (self.folder / "mended").touch()
        self.before_the_loss = Witness(self.folder)

    def save(self, kill: Kill | None = None) -> Life:
        """A checkpoint by hand, while no engine runs."""
        self.was_saved = True
        return self._command(kill, "checkpoint", RUN)

    def operate(self, kill: Kill | None = None) -> Life:
        """A resume with an operator at hand."""

        def live() -> int:
            answer = honest(self.folder, self.story)
            operated(self.folder / "state", self.rundir.id, answer, lambda review: self._turned)
            return 0

        return self._live(kill, live)

    def _command(self, kill: Kill | None, *arguments: str) -> Life:
        def live() -> int:
            sys.argv = ["wesley-console", *arguments]
            try:
                main()
            except SystemExit as ended:
                return int(ended.code or 0)
            return 0

        return self._live(kill, live)

    def _live(self, kill: Kill | None, live: Callable[[], int]) -> Life:
        self._lived += 1
        report, heard = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(report)
            self._be(live, kill, heard)
        os.close(heard)
        with os.fdopen(report, "rb") as told:
            lines = [json.loads(line) for line in told.read().splitlines()]
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        points = [Point(*point) for point in lines[-1]["points"]] if lines and "points" in lines[-1] else []
        died = next((Point(*line["died"]) for line in lines if "died" in line), None)
        return Life(code, points, died)

    def _be(self, live: Callable[[], int], kill: Kill | None, report: int) -> None:
        """Live in this process, and never return."""
        code = 70
        try:
            signal.alarm(_LONGEST_S)
            os.chdir(self.folder)
            os.environ["WESLEY_CONSOLE_STATE"] = str(self.folder / "state")
            said = os.open(self.folder / f"said-{self._lived}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            nothing = os.open(os.devnull, os.O_RDONLY)
            for stream, file in ((0, nothing), (1, said), (2, said)):
                os.dup2(file, stream)
            sys.stdout = os.fdopen(1, "w", closefd=False)
            sys.stderr = os.fdopen(2, "w", closefd=False, buffering=1)

            def tell(**news: object) -> None:
                os.write(report, json.dumps(news).encode() + b"\n")

            armed = Armed(kill, lambda point: tell(died=point))
            code = live()
            tell(points=armed.points)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def said(self) -> str:
        """What the engines printed, for a person who wants to know what went wrong."""
        files = sorted(self.folder.glob("said-*"), key=lambda file: int(file.name.removeprefix("said-")))
        return "\n".join(f"--- {file.name}\n{file.read_text()}" for file in files)
