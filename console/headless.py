"""A run without the console: a progress display on a terminal, quiet lines elsewhere, or events as JSON."""

import json
import os
import signal
import sys
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import anyio
from anyio import to_thread

from console.collecting import collect_from_here
from console.look import RUN, STATUS, one_line
from console.run_view import RunView
from console.sentences import sentence
from console.summary import NAMED, ended_because
from console.terminal.streams import hurry_readers
from console.underway import share
from engine.journal.journal import Journal
from engine.journal.naming import typed_name
from engine.journal.public import public_json
from engine.journal.rundir import RunDir
from engine.machine import reports as rep
from engine.machine.events import Event, TaskProgressed
from engine.machine.state import State
from engine.machine.transitions import TaskStatus
from engine.plan.durations import format_duration
from engine.runner.core import Runner
from engine.runner.feed import Feed
from engine.runner.opening import OpenRun
from engine.runner.signals import heed_signals

_QUIET = frozenset({"task_ready", "task_waiting", "run_pausing", "commit_intended"})
"""Kinds that the plain lines leave out: they are answered at once by a line that says more."""
_PROGRESS_EVERY_S = 30.0
_LONG = 60
"""A reason of more characters is told once, and referred to by the events that follow from it."""
_REMEMBERED = 8
"""So many long reasons are referred to: those further back are told again."""


class Telling:
    """Which events get a line, and what it says. How far a task is gets one each tenth of the way, or each
    30 s; and when it begins or ceases to be held back."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, int, str], TaskProgressed] = {}
        self._reasons: deque[str] = deque(maxlen=_REMEMBERED)

    def line(self, event: Event) -> str:
        """The line of an event that is worth one."""
        words = sentence(event)
        for reason in self._reasons:
            words = words.replace(reason, "as told above")
        reason = one_line(getattr(event, "reason", ""))
        if len(reason) > _LONG and reason in words:
            self._reasons.append(reason)
        return f"{event.at:%H:%M:%S}  {words}"

    def worth(self, event: Event) -> bool:
        if not isinstance(event, TaskProgressed):
            return event.kind not in _QUIET
        key = event.task, event.attempt, event.purpose
        before = self._told.get(key)
        if before and _same_stretch(before, event) and event.t - before.t < _PROGRESS_EVERY_S:
            return False
        self._told[key] = event
        return True


def _same_stretch(before: TaskProgressed, now: TaskProgressed) -> bool:
    """Whether both are in the same tenth of the same thing, and held back by the same."""
    tenths = [int((share(event) or 0.0) * 10) for event in (before, now)]
    return tenths[0] == tenths[1] and (before.unit, before.held) == (now.unit, now.held)


class Watcher(Protocol):
    def watch(self, events: Sequence[Event]) -> None:
        """Show what has become durable."""

    def close(self) -> None: ...


def carry_out(run: OpenRun, actor: str, watcher: Watcher) -> State:
    """Run to the end, or to a question, showing it on `watcher`; the state it came to."""
    collect_from_here()

    async def main() -> State:
        feed = Feed()
        run.runner.watched_by(feed)

        async def watch() -> None:
            # In a thread: whoever reads the output may stop reading, and must not stop the run by it.
            async for events in feed:
                await to_thread.run_sync(watcher.watch, events)

        def stop(number: signal.Signals) -> None:
            run.runner.report(rep.Stop(actor=actor, reason=f"{number.name} received", drain=False))
            hurry_readers()

        def checkpoint(number: signal.Signals) -> None:
            run.runner.report(rep.TakeCheckpoint(actor=actor, reason=number.name))

        # Signals are heeded until all is told: a reader who takes nothing can be what this waits for.
        async with anyio.create_task_group() as both:
            both.start_soon(heed_signals, stop, checkpoint)
            try:
                async with anyio.create_task_group() as showing:
                    showing.start_soon(watch)
                    state = await _hurried_if_it_fails(run.runner)
            finally:
                with anyio.CancelScope(shield=True):
                    await to_thread.run_sync(watcher.close)
            both.cancel_scope.cancel()
        return state

    return anyio.run(main)


async def _hurried_if_it_fails(runner: Runner) -> State:
    """The state that the run came to. An engine that fails waits for no reader: its error has to be told."""
    try:
        return await runner.run()
    except BaseException:
        hurry_readers()
        raise


class JsonLines:
    """Each event as the journal has it, hash included."""

    def __init__(self, run: str, rundir: RunDir) -> None:
        self._run = run
        self._rundir = rundir
        self._journal: Journal | None = None

    def watch(self, events: Sequence[Event]) -> None:
        self._journal = self._journal or Journal.open(self._rundir, readonly=True, check=False)
        for record in self._journal.read(events[0].seq, events[-1].seq):
            print(json.dumps(public_json(record, self._run)), flush=True)

    def close(self) -> None:
        if self._journal:
            self._journal.close()


class Lines:
    """A line for each event that tells something, and a last one with the result."""

    def __init__(self, view: RunView, rundir: RunDir) -> None:
        self._view = view
        self._rundir = rundir
        self._telling = Telling()

    def watch(self, events: Sequence[Event]) -> None:
        self._view.fold(events)
        for event in events:
            if self._telling.worth(event):
                print(self._telling.line(event), flush=True)

    def close(self) -> None:
        for line in closing_lines(self._view.newest, self._rundir):
            print(line, flush=True)


class Progress:
    """On a terminal: what matters as lines, and under them what is running and how far it has come."""

    def __init__(self, view: RunView, rundir: RunDir) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        class Cursored(Console):
            """The cursor is never hidden, so it need not be given back, whatever stops this process."""

            def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002
                return False

        self._view = view
        self._rundir = rundir
        self._telling = Telling()
        self._console = Cursored(highlight=False)
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._row = self._bar.add_task("starting", total=len(view.plan.tasks))
        self._bar.start()

    def watch(self, events: Sequence[Event]) -> None:
        self._view.fold(events)
        state = self._view.newest
        for event in events:
            if self._telling.worth(event):
                self._console.print(self._telling.line(event), markup=False, soft_wrap=True)
        running = ", ".join(state.with_status(TaskStatus.RUNNING)[:4])
        word = RUN[state.status].word
        described = f"{word}: {running}" if running else word
        self._bar.update(self._row, completed=state.settled, description=described[:48])

    def close(self) -> None:
        self._bar.stop()
        for line in closing_lines(self._view.newest, self._rundir):
            self._console.print(line, markup=False, soft_wrap=True)


def watcher_for(run: OpenRun, *, as_json: bool) -> Watcher:
    if as_json:
        return JsonLines(run.id, run.rundir)
    view = RunView(run.plan)
    view.fold(run.events)
    on_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return Progress(view, run.rundir) if on_terminal else Lines(view, run.rundir)


def closing_lines(state: State, rundir: RunDir) -> list[str]:
    """What came of the run, and what to do next."""
    if not state.started:
        return []
    counts = ", ".join(
        f"{number} {STATUS[TaskStatus(status)].word}" for status, number in state.status_counts.items()
    )
    lines = [f"{state.run}: {RUN[state.status].word} after {format_duration(state.t)}: {counts}"]
    if because := ended_because(state):
        lines.append(f"  {because}")
    lines += _failures(state, because)
    for question in state.questions.values():
        lines.append(f"  open question about {question.task}: {question.reason}")
    if not state.finished or state.status != "completed":
        lines.append(f"  go on with: wesley-console resume {typed_name(rundir.path)}")
    return lines


def _failures(state: State, because: str) -> list[str]:
    """Why tasks have failed, where neither the run's own end nor an open question tells it; a few of them."""
    asked = {question.task for question in state.questions.values()}
    failed = [state.tasks[task] for task in state.with_status(TaskStatus.FAILED) if task not in asked]
    reasons = [(task.id, one_line(task.last.reason)) for task in failed if task.last]
    return [f"  {task} failed: {why}" for task, why in reasons if why not in because][:NAMED]
