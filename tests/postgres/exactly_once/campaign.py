"""The exactly-once campaign: disasters at every request that an engine's attempts send to PostgreSQL.

    python -m tests.postgres.exactly_once.campaign                every disaster at every request
    python -m tests.postgres.exactly_once.campaign --size 20      a sample of about so many of each story
    python -m tests.postgres.exactly_once.campaign --only NAME    stories whose name holds NAME

For each story a run without a disaster counts the requests. Then, for each of them, a new run on a new
database is struck there: before the server has seen the request, or after it has answered and before the
engine knows, the engine is killed, or the backend is terminated, or the connection is cut. The run is taken
up again until it has come to its end. Whatever a task does must then have happened exactly once, no index may
be invalid, nobody may have been asked, and no backend of the run may be left. Exits with 1 if any promise was
broken.
"""

import gc
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import NamedTuple, get_args

import anyio._backends._asyncio
import psycopg
import pydantic.type_adapter

import console.commands.running
from console.cli import main as wesley_console
from engine.journal.integrity import has_begun, verify_run
from engine.journal.rundir import RunDir
from tests.postgres.exactly_once.stories import STORIES, Story
from tests.postgres.exactly_once.wire import Disaster, Seen, What, Where, Wire

LOADED = (anyio._backends._asyncio, console.commands.running, pydantic.type_adapter)
"""What the program imports late; here it is loaded before the first life."""
RUN = "r1"
_LIVES = 6
_LONGEST_S = 60
_SEED = 20261122


class Broken(AssertionError):
    """A promise was not kept."""


class Case(NamedTuple):
    story: Story
    disaster: Disaster | None


class Stage:
    """One run of one story on a database of its own, lived by one engine after the other."""

    def __init__(self, folder: Path, admin: str, case: Case) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.case = case
        self.admin = admin
        self.database = f"x{os.getpid()}_{folder.name}"
        self.conninfo = f"{admin} dbname={self.database}"
        self.rundir = RunDir(folder / "state" / "runs" / RUN)
        self.codes: list[int] = []

    def play(self) -> Seen:
        """Live until the run has come to its end, and judge."""
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self.database}".encode())
        try:
            with psycopg.connect(self.conninfo) as connection:
                connection.execute("CREATE TABLE witness (what text NOT NULL)")
            through = f"host={self.folder} user=postgres dbname={self.database}"
            (self.folder / "plan.yaml").write_text(self.case.story.plan(through))
            wire = Wire(self.folder, self.admin, self.case.disaster)
            try:
                self._live_on()
            finally:
                seen = wire.close()
            self._judge()
        finally:
            with psycopg.connect(self.admin, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {self.database} WITH (FORCE)".encode())
        return seen

    def _live_on(self) -> None:
        while not self.codes or self.codes[-1] == -signal.SIGKILL:
            if len(self.codes) == _LIVES:
                raise Broken(f"no end after {_LIVES} lives")
            begun = has_begun(self.rundir)
            given = ["resume", RUN] if begun else ["run", "plan.yaml", "--run-id", RUN]
            given += ["--headless", "--json", "--on-unknown", self.case.story.on_unknown]
            self.codes.append(self._live(given))

    def _judge(self) -> None:
        story = self.case.story
        if self.codes[-1] != story.exit_code:
            raise Broken(f"the run ended with exit code {self.codes[-1]}")
        if complaints := story.complaints(self.conninfo):
            raise Broken("; ".join(complaints))
        if not verify_run(self.rundir).ok:
            raise Broken("verify finds damage")
        with psycopg.connect(self.conninfo) as connection:
            left = connection.execute(
                "SELECT application_name FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name ~ '/[0-9]+-(run|rollback)$'"
            ).fetchall()
        if left:
            raise Broken(f"still there: {left}")

    def _live(self, arguments: list[str]) -> int:
        pid = os.fork()
        if not pid:
            self._be(arguments)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _be(self, arguments: list[str]) -> None:
        """Be an engine, and never return."""
        code = 70
        try:
            signal.alarm(_LONGEST_S)
            os.chdir(self.folder)
            os.environ["WESLEY_CONSOLE_STATE"] = str(self.folder / "state")
            said = os.open(self.folder / f"said-{len(self.codes)}", os.O_WRONLY | os.O_CREAT)
            nothing = os.open(os.devnull, os.O_RDONLY)
            for stream, file in ((0, nothing), (1, said), (2, said)):
                os.dup2(file, stream)
            sys.stdout = os.fdopen(1, "w", closefd=False)
            sys.stderr = os.fdopen(2, "w", closefd=False, buffering=1)
            sys.argv = ["wesley-console", *arguments]
            try:
                wesley_console()
                code = 0
            except SystemExit as ended:
                code = int(ended.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def said(self) -> str:
        files = sorted(self.folder.glob("said-*"))
        return "\n".join(f"--- {file.name}\n{file.read_text()}" for file in files)


class Tally(NamedTuple):
    cases: int
    struck: Counter[str]
    failures: list[str]


def try_cases(folder: Path, admin: str, cases: list[Case]) -> Tally:
    struck: Counter[str] = Counter()
    failures = []
    for number, case in enumerate(cases):
        stage = Stage(folder / str(number), admin, case)
        try:
            seen = stage.play()
            if not seen.struck:
                raise Broken("the disaster never came")
            struck[f"{case.disaster.where} {seen.struck}" if case.disaster else ""] += 1
        except Exception as broken:  # whatever it is: the campaign goes on, and tells of it at its end
            why = f"{type(broken).__name__}: {broken}"
            failures.append(f"{case.story.name}, {case.disaster}\n{why}\n{stage.said()}")
        shutil.rmtree(stage.folder)
    return Tally(len(cases), struck, failures)


def in_parallel(folder: Path, admin: str, cases: list[Case], workers: int) -> Tally:
    """Try `cases` in `workers` processes, each of which forks the engines it strikes."""
    pipes = []
    for worker in range(workers):
        reader, writer = os.pipe()
        if not os.fork():
            os.close(reader)
            found = try_cases(folder / str(worker), admin, cases[worker::workers])
            with os.fdopen(writer, "w") as told:
                json.dump(found, told)
            os._exit(0)
        os.close(writer)
        pipes.append(reader)
    total = Tally(0, Counter(), [])
    for reader in pipes:
        with os.fdopen(reader) as told:
            tried, struck, failures = json.load(told)
        total = Tally(total.cases + tried, total.struck + Counter(struck), total.failures + failures)
        os.wait()
    return total


def campaign(folder: Path, admin: str, stories: list[Story], size: int | None, workers: int) -> Tally:
    """Every disaster at every request of `stories`, or about `size` of each; prints as it goes."""
    total = Tally(0, Counter(), [])
    for story in stories:
        started = time.monotonic()
        counted = Stage(folder / f"count_{story.name}", admin, Case(story, None))
        try:
            seen = counted.play()
        except Broken as broken:
            raise Broken(f"{broken}\n{counted.said()}") from broken
        kinds = [(where, what) for where in get_args(Where) for what in get_args(What)]
        every = [
            Case(story, Disaster(at, where, what))
            for at in range(1, len(seen.requests) + 1)
            for where, what in kinds
        ]
        cases = random.Random(_SEED).sample(every, min(size or len(every), len(every)))
        tally = in_parallel(folder / story.name, admin, cases, workers)
        print(
            f"{story.name}: {len(seen.requests)} requests, {tally.cases} of {len(every)} disasters, "
            f"{len(tally.failures)} failures, {time.monotonic() - started:.1f} s",
            flush=True,
        )
        total = Tally(total.cases + tally.cases, total.struck + tally.struck, total.failures + tally.failures)
    return total


def main() -> int:
    from engine.tasks.postgres.embedded import start_server, stop_server

    parser = ArgumentParser(
        prog="python -m tests.postgres.exactly_once.campaign",
        description="Strike, resume, and count effects.",
    )
    parser.add_argument("--size", type=int, help="about so many cases of each story")
    parser.add_argument("--only", default="", metavar="NAME", help="stories whose name holds NAME")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    told = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="once-") as folder:
        server = start_server(Path(folder) / "server")
        gc.freeze()
        try:
            stories = [story for story in STORIES if told.only in story.name]
            total = campaign(Path(folder), server.conninfo, stories, told.size, told.workers)
        finally:
            stop_server(server)
    print("\ndisasters by the request they came at:")
    for kind, number in total.struck.most_common():
        print(f"{number:5}  {kind}")
    for failure in total.failures[:10]:
        print(f"\nFAILED {failure}")
    print(
        f"\n{total.cases} disasters, {sum(total.struck.values())} came, {len(total.failures)} failures, "
        f"{time.monotonic() - started:.0f} s"
    )
    return bool(total.failures)


if __name__ == "__main__":
    sys.exit(main())
