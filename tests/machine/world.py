"""A world for the machine to run in: it keeps what the machine asked for until a test answers it.

Every step is checked against the promises (`Ledger`), whoever drives it: a test by hand, or chance.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Self

from engine.graph import Graph
from engine.machine import commands as cmd
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.checkpoints import next_id
from engine.machine.core import Machine
from engine.machine.fold import replay
from engine.machine.state import Question, State
from engine.machine.transitions import TaskStatus
from engine.plan.models import FailureClass, Plan
from tests.machine.ledger import Ledger, snapshot

START = datetime(2026, 3, 14, 2, 0, tzinfo=UTC)
Job = tuple[str, ev.Purpose]


class World:
    """One run of `plan`. What is asked for and not answered yet is in `jobs`, `saves`, `doubts`, `probes`,
    `assertions` and `timers` (by key, with the time they are due); `ending` holds those whose processes were
    to be ended before the last look into their doubt."""

    def __init__(self, plan: Plan, *, begin: bool = True, seed: int = 0) -> None:
        self.plan = plan
        self.graph = Graph(plan)
        self.machine = Machine(plan, self.graph)
        self.ledger = Ledger(plan, self.graph)
        self.events: list[ev.Event] = []
        self.taken_up = 0
        """How many events there were when the present machine was made."""
        self.reports: list[tuple[rep.Report, rep.Now]] = []
        """What the present machine was told, and when."""
        self.t = 0.0
        self._boundaries = [0]
        self._carried = 0
        """Events that must be durable, since a command that came with them was carried out."""
        self._forget()
        if begin:
            self.report(rep.Begin(run="run-1", plan_hash="hash", actor="ann", seed=seed))

    def _forget(self) -> None:
        self.jobs: dict[Job, int] = {}
        self.cancelling: set[Job] = set()
        self.saves: dict[str, cmd.SaveCheckpoint] = {}
        self.doubts: dict[Job, int] = {}
        self.ending: set[Job] = set()
        self.probes: list[cmd.ProbeResource] = []
        self.assertions: list[int] = []
        self.timers: dict[str, float] = {}
        self.new: list[ev.Event] = []

    @property
    def state(self) -> State:
        return self.machine.state

    # -- reports and what follows ------------------------------------------------------------------

    def report(self, report: rep.Report) -> Self:
        """Hand `report` in; `new` holds what came of it."""
        now = rep.Now(self.t, START + timedelta(seconds=self.t))
        self.reports.append((report, now))
        step = self.machine.handle(report, now)
        self.new = step.events
        self.events += step.events
        self._boundaries.append(len(self.events))
        self.ledger.follow(step.events)
        for command in step.commands:
            self._take(command)
        self._check()
        return self

    def _take(self, command: cmd.Command) -> None:
        match command:
            case cmd.StartTask(task=task, attempt=attempt):
                assert (task, "run") not in self.jobs, f"{task} is in flight twice"
                self.jobs[task, "run"] = attempt
            case cmd.StartRollback(task=task, attempt=attempt):
                assert not self.jobs, f"{task} is rolled back while {self.jobs} are in flight"
                self.jobs[task, "rollback"] = attempt
            case cmd.CancelTask(task=task, purpose=purpose):
                assert (task, purpose) in self.jobs, command
                self.cancelling.add((task, purpose))
            case cmd.SaveCheckpoint(checkpoint=checkpoint):
                assert checkpoint not in self.saves, f"{checkpoint} is asked for twice"
                self.saves[checkpoint] = command
            case cmd.GatherEvidence(task=task, attempt=attempt, purpose=purpose, end_processes=end):
                self.doubts[task, purpose] = attempt
                (self.ending.add if end else self.ending.discard)((task, purpose))
            case cmd.ProbeResource():
                self.probes.append(command)
            case cmd.CheckAssertion(question=question):
                self.assertions.append(question)
            case cmd.SetTimer(key=key, due_t=due_t):
                self.timers[key] = due_t
            case cmd.Finish(status=status):
                assert self.state.status == status

    def _check(self) -> None:
        state = self.state
        state.validate()
        assert snapshot(self.ledger.state) == snapshot(state), "replaying the events gives another state"
        assert not state.finished or not self.jobs, "the run ended, and something is in flight"
        assert {task for task, _ in self.jobs} == set(state.in_flight), (self.jobs, state.in_flight)
        if not self.doubts:
            self.ledger.no_lane_idle()
        self.ledger.nobody_forgotten({task for task, _ in self.doubts})
        if not self.asked and not self.waits:
            assert state.finished or state.questions or state.operator_pause is not None, (
                f"nothing is going on and nobody was asked: {state.status_counts}"
            )

    @property
    def asked(self) -> bool:
        """Whether an answer to the machine is due."""
        return bool(self.jobs or self.saves or self.doubts or self.probes or self.assertions)

    @property
    def waits(self) -> dict[str, float]:
        """The timers of waiting tasks."""
        return {
            key: due
            for key, due in self.timers.items()
            if (task := self.state.tasks.get(key.partition(":")[2]))
            and task.status == "waiting"
            and task.due_t == due
        }

    # -- how attempts end --------------------------------------------------------------------------

    def outcome(self, job: Job, kind: type[rep.Outcome], **fields: Any) -> Self:
        self._carried = len(self.events)
        self.cancelling.discard(job)
        return self.report(kind(task=job[0], purpose=job[1], attempt=self.jobs.pop(job), **fields))

    def succeed(self, *tasks: str, purpose: ev.Purpose = "run", **fields: Any) -> Self:
        for task in tasks:
            self.outcome((task, purpose), rep.Succeeded, **fields)
        return self

    def fail(
        self,
        task: str,
        failure_class: FailureClass = FailureClass.UNKNOWN,
        purpose: ev.Purpose = "run",
        **fields: Any,
    ) -> Self:
        known = {"failure_class": failure_class, "reason": "it broke", "rule": "test"}
        return self.outcome((task, purpose), rep.Failed, **known | fields)

    def lose(self, task: str, purpose: ev.Purpose = "run") -> Self:
        """The attempt ends, and nobody can tell how."""
        return self.outcome((task, purpose), rep.InDoubt, reason="connection lost at COMMIT")

    def cancel(self, task: str, effect: ev.Effect = "none", purpose: ev.Purpose = "run") -> Self:
        return self.outcome((task, purpose), rep.Cancelled, effect=effect, reason="ended on request")

    def undo(self, *tasks: str) -> Self:
        """Rollback steps that succeed."""
        return self.succeed(*tasks, purpose="rollback")

    def finish_everything(self) -> Self:
        """Let everything that is asked for go well, until the run ends or an operator is needed."""
        for _ in range(40 + 20 * len(self.plan.tasks)):
            if self.saves:
                self.saved()
            elif self.doubts:
                self.found(next(iter(self.doubts))[0], True)
            elif self.probes:
                self.probed(True)
            elif self.assertions:
                self.verified(True)
            elif self.jobs:
                task, purpose = next(iter(self.jobs))
                self.succeed(task, purpose=purpose)
            elif self.waits:
                self.fire(min(self.waits, key=self.waits.__getitem__))
            else:
                return self
        raise AssertionError(f"no end in sight: {self.state.status_counts}")

    # -- answers -----------------------------------------------------------------------------------

    def saved(self, checkpoint: str = "") -> Self:
        """A checkpoint is durable: the one named, else the oldest asked for."""
        self._carried = len(self.events)
        asked = self.saves.pop(checkpoint or next(iter(self.saves)))
        undoing = self.state.rollback.tasks if self.state.rollback else ()
        assert self.ledger.applied_at(asked.position) ^ {*asked.content["completed"]} <= {*undoing}, asked
        return self.report(
            rep.CheckpointWritten(
                checkpoint=asked.checkpoint,
                trigger=asked.trigger,
                position=asked.position,
                position_hash=f"hash-{asked.position}",
            )
        )

    def not_saved(self, checkpoint: str = "") -> Self:
        self._carried = len(self.events)
        asked = self.saves.pop(checkpoint or next(iter(self.saves)))
        return self.report(
            rep.CheckpointNotWritten(checkpoint=asked.checkpoint, trigger=asked.trigger, reason="disk full")
        )

    def found(self, task: str, done: bool | None, **fields: Any) -> Self:
        self._carried = len(self.events)
        job = next(job for job in self.doubts if job[0] == task)
        attempt = self.doubts.pop(job)
        return self.report(rep.EvidenceFound(task=task, attempt=attempt, purpose=job[1], done=done, **fields))

    def probed(self, available: bool) -> Self:
        self._carried = len(self.events)
        task = self.probes.pop(0).task
        return self.report(rep.ProbeAnswered(task=task, available=available))

    def verified(self, passed: bool) -> Self:
        self._carried = len(self.events)
        question = self.assertions.pop(0)
        return self.report(rep.AssertionChecked(question=question, passed=passed, detail="looked"))

    def fire(self, key: str) -> Self:
        """The timer goes off when it is due."""
        self.t = max(self.t, self.timers.pop(key))
        return self.report(rep.TimerFired(key=key))

    def decide(
        self,
        action: ev.Action,
        mode: ev.Mode | None = None,
        *,
        question: int | None = None,
        to: str = "last",
        reason: str = "",
    ) -> Self:
        """The operator's answer; without a number, to the oldest open question."""
        number = next(iter(self.state.questions)) if question is None else question
        return self.report(
            rep.Decide(question=number, action=action, mode=mode, to=to, actor="ann", reason=reason)
        )

    # -- engines that die --------------------------------------------------------------------------

    @property
    def cuts(self) -> list[int]:
        """How many events may be left when the engine dies now: whole steps, and all that was acted on."""
        return [
            at for at in dict.fromkeys(self._boundaries) if at and self._carried <= at <= len(self.events)
        ]

    def die(self, keep: int | None = None) -> Self:
        """The engine is gone, and with it whatever was not durable: all but the first `keep` events."""
        kept = self.events[:keep]
        del self.events[len(kept) :]
        self._boundaries = [at for at in self._boundaries if at <= len(kept)]
        self._carried = min(self._carried, len(kept))
        self._forget()
        durable = [ev.decode_event(ev.encode_event(event)) for event in kept]
        self.machine = Machine(self.plan, self.graph, replay(State(self.plan), durable))
        self.ledger = Ledger(self.plan, self.graph)
        self.ledger.follow(durable)
        self.taken_up = len(kept)
        self.reports = []
        return self

    def checkpoint_by_nobody(self) -> Self:
        """A checkpoint is taken of a run that no engine owns."""
        state = self.die().state
        saved = ev.CheckpointSaved(
            seq=state.seq + 1,
            t=state.t,
            at=START,
            checkpoint=next_id(state),
            trigger="manual",
            position=state.seq,
            position_hash=f"hash-{state.seq}",
            completed=state.counts[TaskStatus.SUCCEEDED],
            stable=state.stable,
        )
        self.events.append(saved)
        return self.die()

    def resume(self) -> Self:
        """A new engine takes the run up; what the old one had asked for is answered to nobody."""
        self.die()
        self.report(rep.EngineResumed(actor="ann"))
        self._carried = len(self.events)
        return self

    # -- what tests look at ------------------------------------------------------------------------

    @property
    def question(self) -> Question:
        """The oldest open question."""
        return next(iter(self.state.questions.values()))

    def status(self, task: str) -> str:
        return self.state.tasks[task].status.value

    def statuses(self) -> dict[str, str]:
        return {task.id: task.status.value for task in self.state.tasks.values()}

    def of(self, kind: type[ev.Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def kinds(self) -> list[str]:
        """The kinds of `new`."""
        return [event.kind for event in self.new]

    def again(self) -> bytes:
        """The events that another machine makes of what this one was told."""
        before = [ev.decode_event(ev.encode_event(event)) for event in self.events[: self.taken_up]]
        machine = Machine(self.plan, Graph(self.plan), replay(State(self.plan), before))
        return b"".join(
            ev.encode_event(event) for told in self.reports for event in machine.handle(*told).events
        )

    def story(self) -> str:
        """The plan and everything that happened, for a person who wants to know what went wrong."""
        lines = [
            f"{self.plan!r}",
            *(f"{event!r}" for event in self.events),
            f"told last: {self.reports[-1:]}",
        ]
        return "\n".join(lines)
