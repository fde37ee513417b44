"""The runner: carries the machine's commands out, and feeds what came of them back as reports.

One coroutine (`run`) owns the machine. It takes all reports that have come in, lets the machine answer,
makes the answer's events durable in one commit, and only then carries the commands out and tells the
watchers. Everything else (attempts, checkpoints, signals) only ever adds a report to the inbox.
"""

import heapq
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from itertools import count
from typing import Protocol

import anyio
import anyio.abc

from engine.forecast.simulation import Outcomes
from engine.journal.checkpoints import prune, write_checkpoint
from engine.journal.errors import CheckpointUnwritable, JournalBusy, JournalFull
from engine.journal.journal import Journal
from engine.machine import commands as cmd
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.core import Machine
from engine.machine.decisions import standing_answer
from engine.machine.state import State
from engine.machine.transitions import RunStatus
from engine.runner.clock import RunClock
from engine.runner.feed import Feed
from engine.runner.link import Link
from engine.runner.writing import Writer
from engine.tasks.base import Notify, unnoticed

_AGAIN_S = 1.0
"""Seconds after an order to stop from which on another one is meant as such: some senders (`timeout`, a shell
and a supervisor at once) give the same one twice."""


class World(Protocol):
    """What attempts are made in: the real one, or none at all in a simulation."""

    def opened(self, notify: Notify, given_up: anyio.Event) -> AbstractAsyncContextManager[None]:
        """The world for as long as the block lasts; `notify` hears what there is to know of it. Raises
        CannotStart, or what refuses the run's state, if it cannot be opened, or not before `given_up`."""

    async def attempt(self, task: str, attempt: int, purpose: ev.Purpose, link: Link) -> rep.Report:
        """Run the task, or its rollback, to its end; earlier if `link.stop` is set."""

    def hurry(self) -> None:
        """Attempts that are being stopped get no more time to end by themselves."""

    async def evidence(self, asked: cmd.GatherEvidence) -> rep.Report:
        """What is known of an attempt that nobody saw the end of; what still runs of it is ended first, or
        named."""

    async def check(self, task: str, question: int) -> rep.Report: ...

    async def probe(self, task: str, attempt: int, resource: str, waited_s: float) -> rep.Report:
        """Whether `resource` is back, which the attempt was found to lack `waited_s` seconds ago."""

    async def intervene(self, asked: cmd.Intervene) -> rep.Report:
        """Cancel or terminate the backend that blocks an attempt, if it is still the one that was shown."""


class Runner:
    """Runs one run to its end, or (with `stop_at_question`) to where an operator is needed.

    `news` is what the machine's state holds already, and the journal does not yet. `outcomes` makes it a
    simulation: attempts take their time on `clock` and end as it says. `trouble` is what keeps events from
    becoming durable right now, in words, for the screen; empty when all is well. `on_trouble` hears of it
    when it changes. `on_notice` hears what there is to know of the world."""

    def __init__(
        self,
        machine: Machine,
        journal: Journal,
        clock: RunClock,
        world: World,
        *,
        first: rep.Report,
        news: Sequence[ev.Event] = (),
        outcomes: Outcomes | None = None,
        on_unknown: str = "ask",
        rollback_to: str = "last",
        stop_at_question: bool = False,
        on_trouble: Callable[[str], None] = lambda _trouble: None,
        on_notice: Notify = unnoticed,
    ) -> None:
        self.clock = clock
        self.opening = ""
        """What the opening of the world is at, in words; empty before and after."""
        self._writer = Writer(on_trouble)
        self._machine = machine
        self._journal = journal
        self._world = world
        self._outcomes = outcomes
        self._on_unknown = on_unknown
        self._rollback_to = rollback_to
        self._stop_at_question = stop_at_question
        self._tasks = {task.id: task for task in machine.plan.tasks}
        self._unwritten = [*news]
        self._inbox: deque[rep.Report] = deque([first])
        self._news = anyio.Event()
        self._feeds: list[Feed] = []
        self._due: list[tuple[float, int, rep.Report]] = []
        self._order = count()
        self._busy = 0
        """Commands being carried out in the world: as long as there are any, a jumping clock stands still."""
        self._links: dict[tuple[str, ev.Purpose], Link] = {}
        """Of each attempt that was started last at a task, or at its rollback."""
        self._impatient_at = math.inf
        """When, on the world's monotonic clock, a further order to stop would mean: at once."""
        self._group: anyio.abc.TaskGroup
        self.on_notice = on_notice
        self._given_up = anyio.Event()

    @property
    def trouble(self) -> str:
        return self._writer.trouble

    @property
    def state(self) -> State:
        """The machine's own state. It may be ahead of what is durable: watch the feed instead."""
        return self._machine.state

    def report(self, report: rep.Report) -> None:
        """Hand in a report. To be called in the event loop's thread; never waits."""
        self._inbox.append(report)
        self._news.set()
        if isinstance(report, rep.Stop) and not report.drain:
            self._stop_soon()

    def _stop_soon(self) -> None:
        """What holds a stop up is given some time only; less, when the order is given again."""
        self._writer.hurry()
        self._given_up.set()
        if time.monotonic() >= self._impatient_at:
            self._world.hurry()
        self._impatient_at = min(self._impatient_at, time.monotonic() + _AGAIN_S)

    def now_t(self) -> float:
        return self.clock.t()

    def watched_by(self, feed: Feed) -> None:
        """Publish every event that becomes durable from now on to `feed`, and close it at the end."""
        self._feeds.append(feed)

    async def run(self) -> State:
        """Raises CannotStart, or what refuses the run's state, before anything is written down; and what the
        journal raises when it can no longer be written. Attempts are ended then."""
        try:
            async with self._world.opened(self._notify, self._given_up):
                self.opening = ""
                await self._commit(self._unwritten)
                self.clock.start()
                async with anyio.create_task_group() as self._group:
                    while not await self._turn():
                        pass
                    self._group.cancel_scope.cancel()
        finally:
            for feed in self._feeds:
                feed.close()
        return self.state

    def _notify(self, text: str, *, passing: bool = False) -> None:
        self.opening = text if passing else self.opening
        self.on_notice(text, passing=passing)

    async def _turn(self) -> bool:
        """Take what has come in, and act on it. Whether that was the last turn."""
        await self._wait_for_reports()
        events: list[ev.Event] = []
        commands: list[cmd.Command] = []
        while self._inbox:
            step = self._machine.handle(self._inbox.popleft(), self.clock.now())
            events += step.events
            commands += step.commands
            if self.clock.jumps and step.commands:
                break  # in virtual time one thing happens after the other, so that runs repeat
        self._give_standing_answers()
        await self._commit(events)
        for command in commands:
            self._carry_out(command)
        if self.state.finished:
            return True
        return self._stop_at_question and self._waits_for_a_person()

    def _waits_for_a_person(self) -> bool:
        """Whether nothing goes on until somebody decides: on a question, which may be one in the middle of a
        rollback, or on a checkpoint that could not be written."""
        state = self.state
        if self._inbox or self._busy or state.in_flight:
            return False
        return bool(state.questions) or state.status is RunStatus.PAUSED

    async def _wait_for_reports(self) -> None:
        while not self._inbox:
            self._news = anyio.Event()
            now = self.clock.t()
            if self._due and (not self._busy if self.clock.jumps else self._due[0][0] <= now):
                due_t, _, report = heapq.heappop(self._due)
                self.clock.jump(due_t)
                self._inbox.append(report)
            elif self._due and not self.clock.jumps:
                with anyio.move_on_after(self.clock.world_seconds_until(self._due[0][0])):
                    await self._news.wait()
            else:
                await self._news.wait()

    def _give_standing_answers(self) -> None:
        if self._machine.saving:
            return  # which checkpoint is the last, or whether there is one, is not known yet
        for question in self.state.questions.values():
            answer = standing_answer(self.state, question, self._on_unknown, self._rollback_to)
            if answer and answer not in self._inbox:
                self.report(answer)

    async def _commit(self, events: list[ev.Event]) -> None:
        """Make `events` durable, and then known. Waits, and says so, for as long as there is no room; but
        nothing waits for the first event, before which a run can still be refused."""
        if events:
            await self._writer.write("journal", partial(self._append, events), wait=events[0].seq > 1)
            for feed in self._feeds:
                feed.publish(events)

    def _append(self, events: list[ev.Event]) -> None:
        self._journal.append(events)
        if any(isinstance(event, ev.CheckpointSaved) for event in events):
            kept = {checkpoint.id for checkpoint in self.state.kept_checkpoints()}
            # Superfluous files do no harm, and a fault here must not look like one of the journal.
            with suppress(OSError, JournalBusy, JournalFull), self._journal.held():
                prune(self._journal.rundir, kept | set(self._machine.saving))

    # -- commands ----------------------------------------------------------------------------------

    def _carry_out(self, command: cmd.Command) -> None:
        match command:
            case cmd.StartTask():
                self._start(command, "run")
            case cmd.StartRollback():
                self._start(command, "rollback")
            case cmd.CancelTask(task=task, purpose=purpose):
                self._cancel(task, purpose)
            case cmd.SetTimer(key=key, due_t=due_t):
                self._schedule(due_t, rep.TimerFired(key=key))
            case cmd.SaveCheckpoint():
                self._spawn(partial(self._save, command))
            case cmd.GatherEvidence():
                self._spawn(partial(self._world.evidence, command))
            case cmd.GoOn(task=task, purpose=purpose, part=part):
                self._links[task, purpose].go_on(part)
            case cmd.Intervene(action="cancel_own"):
                self._give_up(command)
            case cmd.Intervene():
                self._spawn(partial(self._world.intervene, command))
            case cmd.Adjust(adjusted=adjusted):
                if link := self._links.get((adjusted.task, "run")):
                    link.adjust(adjusted)
            case cmd.CheckAssertion(task=task, question=question):
                self._spawn(partial(self._world.check, task, question))
            case cmd.ProbeResource(task=task, resource=resource):
                last = self.state.tasks[task].last
                since = last.ended_t if last and last.ended_t is not None else self.clock.t()
                number = last.number if last else 0
                self._spawn(partial(self._world.probe, task, number, resource, self.clock.t() - since))
            case cmd.Finish():
                pass  # the state says so, and the loop ends

    def _schedule(self, due_t: float, report: rep.Report) -> None:
        heapq.heappush(self._due, (due_t, next(self._order), report))

    def _spawn(self, work: Callable[[], Awaitable[rep.Report]]) -> None:
        async def carry_out() -> None:
            report = await work()
            self._busy -= 1
            self.report(report)

        self._busy += 1
        self._group.start_soon(carry_out)

    def _start(self, command: cmd.StartTask | cmd.StartRollback, purpose: ev.Purpose) -> None:
        task, attempt = command.task, command.attempt
        if self._outcomes:
            takes, report = self._outcomes(self._tasks[task], attempt, purpose)
            self._schedule(self.clock.t() + takes, report)
            return
        link = self._links[task, purpose] = Link(command, purpose, self.report)
        self._spawn(partial(self._world.attempt, task, attempt, purpose, link))

    def _give_up(self, asked: cmd.Intervene) -> None:
        """The attempt itself tells what comes of that."""
        if link := self._links.get((asked.task, asked.purpose)):
            link.give_up.set()
        self.report(
            rep.Intervened(
                task=asked.task,
                attempt=asked.attempt,
                action=asked.action,
                done=link is not None,
                detail="the attempt is being ended" if link else "a simulated attempt cannot be ended",
            )
        )

    def _cancel(self, task: str, purpose: ev.Purpose) -> None:
        if not self._outcomes:
            self._links[task, purpose].stop.set()
            return
        for entry in self._due:
            report = entry[2]
            if isinstance(report, rep.Outcome) and (report.task, report.purpose) == (task, purpose):
                self._due.remove(entry)
                heapq.heapify(self._due)
                ended = rep.Cancelled(
                    task=task,
                    attempt=report.attempt,
                    purpose=purpose,
                    effect="none",
                    reason="ended on request",
                )
                self.report(ended)
                return

    async def _save(self, command: cmd.SaveCheckpoint) -> rep.Report:
        try:
            return await self._writer.write(command.checkpoint, partial(self._write_checkpoint, command))
        except (CheckpointUnwritable, JournalBusy, JournalFull, OSError) as error:
            return rep.CheckpointNotWritten(
                checkpoint=command.checkpoint, trigger=command.trigger, reason=str(error)
            )

    def _write_checkpoint(self, command: cmd.SaveCheckpoint) -> rep.Report:
        journal = self._journal
        now = self.clock.now()
        # An engine that was stopped, and woke after another took over, must not write over its files.
        with journal.held():
            position_hash = journal.hash_at(command.position)
            file = write_checkpoint(
                journal.rundir,
                command.checkpoint,
                command.trigger,
                command.position,
                position_hash,
                command.content,
                now.at,
            )
        return rep.CheckpointWritten(
            checkpoint=command.checkpoint,
            trigger=command.trigger,
            position=command.position,
            position_hash=position_hash,
            file=file,
        )
