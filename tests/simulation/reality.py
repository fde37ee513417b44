"""What tasks really do, whatever the engine thinks of them; it outlives every engine.

A task's effect is a number that should be 1 once it has succeeded, and 0 before, or after a rollback. What an
attempt does is drawn from the seed and from the attempt alone, so that it hangs on no order of events.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import anyio

from engine.machine import commands as cmd
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.plan.models import FailureClass, Plan
from engine.runner.link import Link
from engine.tasks.base import Notify
from tests.simulation.seam import Broken, Died, Seam

Work = tuple[str, ev.Purpose]
_ENDS = (FailureClass.TRANSIENT, FailureClass.RESOURCE, FailureClass.PERMANENT, FailureClass.UNKNOWN)


class Reality:
    """`stands` is the effect of each task; `orphans` are attempts that outlived their engine, each with how
    often it is still looked for in vain before it takes effect. `failing`, out of 10, is how often attempts
    do not succeed."""

    def __init__(self, plan: Plan, seed: int, failing: int) -> None:
        self.seed = seed
        self.failing = failing
        self.stands = dict.fromkeys((task.id for task in plan.tasks), 0)
        self.orphans: dict[Work, int] = {}
        self.running: set[str] = set()
        self.idempotent = {task.id for task in plan.tasks if task.idempotent}
        chance = Random(f"{seed} evidence")
        self._leaves_evidence = {task.id for task in plan.tasks if task.verify or chance.randrange(2)}

    def draw(self, *what: object) -> Random:
        return Random(f"{self.seed} {what}")

    def start(self, task: str) -> None:
        if task in self.running or any(orphan == task for orphan, _ in self.orphans):
            raise Broken(f"{task} is started beside itself")
        self.running.add(task)

    def take_effect(self, task: str, purpose: ev.Purpose) -> None:
        self.stands[task] += 1 if purpose == "run" else -1
        if task in self.idempotent:
            self.stands[task] = min(self.stands[task], 1)
        if self.stands[task] not in (0, 1):
            raise Broken(f"{task} stands {self.stands[task]} times after a {purpose}")

    def leave(self, task: str, purpose: ev.Purpose, attempt: int) -> None:
        """The engine is gone in the middle of an attempt: it has done its work, or never will, or goes on."""
        fate = self.draw("left", task, purpose, attempt).randrange(3)
        if fate == 0:
            self.take_effect(task, purpose)
        elif fate == 1:
            self.orphans[task, purpose] = self.draw("orphan", task, attempt).randrange(3)

    def look(self, task: str, purpose: ev.Purpose, *, end: bool) -> tuple[str, ...]:
        """What still runs of the task, in words, once it was ended if it is to be."""
        left = self.orphans.get((task, purpose))
        if left is None:
            return ()
        if end or not left:
            del self.orphans[task, purpose]
            if not end:
                self.take_effect(task, purpose)
            return ()
        self.orphans[task, purpose] -= 1
        return ("process 7 (sh)",)

    def evidence(self, task: str, purpose: ev.Purpose) -> bool | None:
        if task not in self._leaves_evidence:
            return None
        return self.stands[task] == (1 if purpose == "run" else 0)


class RealTasks:
    """The world of one engine, as a Runner sees it. `seam` tells what of its intent is durable."""

    def __init__(self, reality: Reality, seam: Seam) -> None:
        self._reality = reality
        self._seam = seam
        self.hurried = False

    def hurry(self) -> None:
        self.hurried = True

    @asynccontextmanager
    async def opened(self, notify: Notify, given_up: anyio.Event) -> AsyncIterator[None]:
        yield

    async def attempt(self, task: str, attempt: int, purpose: ev.Purpose, link: Link) -> rep.Report:
        reality = self._reality
        self._must_be_intended(task, attempt, purpose)
        reality.start(task)
        fate = reality.draw("attempt", task, purpose, attempt)
        through = False
        try:
            with anyio.move_on_after(fate.choice((0.0, 0.5, 1.0, 5.0, 5.0))):
                await link.stop.wait()
            through = not self._seam.dead
        finally:
            reality.running.discard(task)
            if not through:
                reality.leave(task, purpose, attempt)
        if not through:
            raise Died
        if link.stop.is_set() and fate.randrange(4):
            return self._cancelled(task, attempt, purpose, fate)
        if fate.randrange(10) >= reality.failing:
            reality.take_effect(task, purpose)
            return rep.Succeeded(task=task, attempt=attempt, purpose=purpose, outputs={"rows": attempt})
        if fate.randrange(3) == 0:
            if fate.randrange(2):
                reality.take_effect(task, purpose)
            return rep.InDoubt(task=task, attempt=attempt, purpose=purpose, reason="lost at COMMIT")
        return rep.Failed(
            task=task,
            attempt=attempt,
            purpose=purpose,
            failure_class=fate.choice(_ENDS),
            reason="it broke",
            rule="test",
            effect="none",
            resource=fate.choice(("", "disk")),
        )

    def _cancelled(self, task: str, attempt: int, purpose: ev.Purpose, fate: Random) -> rep.Report:
        effect: ev.Effect = fate.choice(("none", "unknown"))
        if effect == "unknown" and fate.randrange(2):
            self._reality.take_effect(task, purpose)
        return rep.Cancelled(
            task=task, attempt=attempt, purpose=purpose, effect=effect, reason="ended on request"
        )

    def _must_be_intended(self, task: str, attempt: int, purpose: ev.Purpose) -> None:
        kind = ev.TaskStarted if purpose == "run" else ev.RollbackStepStarted
        if not any(
            isinstance(e, kind) and (e.task, e.attempt) == (task, attempt) for e in self._seam.durable
        ):
            raise Broken(f"attempt {attempt} at {task} ({purpose}) was started, and nobody would know of it")

    async def intervene(self, asked: cmd.Intervene) -> rep.Report:
        raise Broken(f"nobody interfered: {asked}")

    async def evidence(self, asked: cmd.GatherEvidence) -> rep.Report:
        task, attempt, purpose = asked.task, asked.attempt, asked.purpose
        await anyio.sleep(self._reality.draw("look", task, attempt).choice((0.0, 0.3)))
        survivors = self._reality.look(task, purpose, end=asked.end_processes)
        done = None if survivors else self._reality.evidence(task, purpose)
        return rep.EvidenceFound(
            task=task, attempt=attempt, purpose=purpose, done=done, by="verify", survivors=survivors
        )

    async def check(self, task: str, question: int) -> rep.Report:
        await anyio.sleep(0.1)
        passed = self._reality.stands[task] == 1
        return rep.AssertionChecked(question=question, passed=passed, detail="looked")

    async def probe(self, task: str, attempt: int, resource: str, waited_s: float) -> rep.Report:
        await anyio.sleep(0.1)
        available = self._reality.draw("probe", task, attempt, waited_s).randrange(2) == 0
        return rep.ProbeAnswered(task=task, available=available, detail=resource)
