"""Faults: failures told beforehand, for practice and for tests. Only simulated runs have them.

    faults:
      - {task: backfill-totals, attempt: 1, exit: 75, output: "connection reset by peer\\n"}
      - {task: create-index, attempts: [1, 2], class: unknown, reason: "it just ended", after: 0.4}
      - {task: add-column, attempt: 1, purpose: rollback, class: permanent, reason: "a view depends on it"}
      - {task: copy-rows, attempt: 1, class: resource, resource: disk, back_after: 40s, reason: "disk full"}
      - {task: create-index, purpose: verify, class: permanent, reason: "the index is not valid"}
      - {task: post-fees, attempt: 1, purpose: evidence, class: unknown, reason: "its output ends with: OK"}

Without `attempt` and `attempts` every attempt fails. `exit` is classified as that of a real task would be;
`class` says the failure class outright. `after` is the share of the task's duration that passes before. A
`verify` that fails denies that the task is done, should the operator say so. `evidence` that fails is none:
`reason` tells what was found of an attempt whose end nobody saw, and the operator is asked.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from engine.forecast.simulation import Outcomes, everything_succeeds
from engine.machine import reports as rep
from engine.machine.events import Purpose
from engine.plan.errors import quote
from engine.plan.models import Duration, FailureClass, Name, Number, Plan, Strict, Task, expected_duration
from engine.plan.notes import Notes
from engine.plan.validation import read_as
from engine.tasks.base import Failed, JobPurpose
from engine.tasks.classify import Verdict, by_plan
from engine.tasks.exits import by_exit, describe_exit
from engine.tasks.sanitise import neutralise

Attempt = Annotated[int, Field(ge=1)]
FaultPurpose = JobPurpose | Literal["evidence"]


class Fault(Strict):
    """How attempts at a task fail. `back_after`: seconds until a lacking resource is there again."""

    task: Name
    attempt: Attempt | None = None
    attempts: tuple[Attempt, ...] = Field((), strict=False)
    purpose: FaultPurpose = "run"
    exit: int | None = None
    class_: FailureClass | None = Field(None, alias="class", strict=False)
    reason: str = ""
    output: str = ""
    resource: str = ""
    back_after: Duration = 0.0
    after: Annotated[Number, Field(ge=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if self.attempt is not None and self.attempts:
            raise ValueError("either `attempt` or `attempts`")
        if (self.exit is None) == (self.class_ is None):
            raise ValueError("exactly one of `exit` and `class` says how it fails")
        if self.exit == 0:
            raise ValueError("`exit: 0` is no failure")
        if (self.resource or self.back_after) and self.class_ not in (None, FailureClass.RESOURCE):
            raise ValueError("`resource` and `back_after` go with failures of class resource")
        return self

    def hits(self, task_id: str, attempt: int, purpose: FaultPurpose) -> bool:
        wanted = self.attempts or ((self.attempt,) if self.attempt else ())
        return (self.task, self.purpose) == (task_id, purpose) and (not wanted or attempt in wanted)

    def lasts(self, task: Task) -> float:
        """Seconds from the start of the attempt to its failure."""
        return self.after * expected_duration(task)

    def failure(self, task: Task) -> Failed:
        """What the attempt ends in: classified, its output made safe for screens."""
        output = neutralise(self.output).rstrip("\n")
        if self.class_ is not None:
            verdict = Verdict(self.class_, f"faults: class {self.class_}", self.resource)
        else:
            assert self.exit is not None
            verdict = by_plan(task.classify, exit_code=self.exit, tail=output) or by_exit(self.exit)
        action = task.rollback if self.purpose == "rollback" and task.rollback else task.run
        return Failed(
            failure_class=verdict.failure_class,
            reason=neutralise(self.reason) or self._bare_reason(),
            rule=verdict.rule,
            # A failed SQL transaction leaves nothing behind; of anything else nobody can tell.
            effect="none" if action.kind.startswith("sql") else "unknown",
            exit_code=self.exit,
            resource=self.resource or verdict.resource,
            tail=output,
        )

    def _bare_reason(self) -> str:
        return "failed, as its fault says" if self.exit is None else describe_exit(self.exit)


class Faults(Strict):
    """All the faults of a simulated run; of several that hit an attempt the first counts."""

    faults: tuple[Fault, ...] = Field((), strict=False)

    def hitting(self, task_id: str, attempt: int, purpose: FaultPurpose = "run") -> Fault | None:
        return next((fault for fault in self.faults if fault.hits(task_id, attempt, purpose)), None)

    def outcomes(self, otherwise: Outcomes = everything_succeeds) -> Outcomes:
        """Attempts that a fault hits end as it says, all others as `otherwise` has it."""

        def outcome(task: Task, attempt: int, purpose: Purpose) -> tuple[float, rep.Report]:
            fault = self.hitting(task.id, attempt, purpose)
            if fault is None:
                return otherwise(task, attempt, purpose)
            failed = fault.failure(task).fields()
            return fault.lasts(task), rep.Failed(task=task.id, attempt=attempt, purpose=purpose, **failed)

        return outcome

    def is_back(self, task_id: str, attempt: int, waited_s: float) -> bool:
        """Whether what `attempt` lacked is there again `waited_s` seconds after it failed."""
        fault = self.hitting(task_id, attempt)
        return fault is None or waited_s >= fault.back_after

    def uncertain(self, task_id: str, attempt: int) -> str:
        """What is found of an attempt whose end nobody saw, where that tells nothing certain; else empty."""
        fault = self.hitting(task_id, attempt, "evidence")
        return neutralise(fault.reason) or "nothing was found" if fault else ""

    def denial(self, task_id: str) -> str:
        """Why the task's `verify` says that it is not done; empty where it says that it is."""
        fault = self.hitting(task_id, 1, "verify")
        return neutralise(fault.reason) or "verify says no" if fault else ""


def load_faults(path: Path, plan: Plan) -> Faults:
    """The faults in the YAML file at `path`, for runs of `plan`; raises PlanErrors with all that is wrong."""
    tasks = {task.id: task for task in plan.tasks}

    def check_tasks(notes: Notes) -> None:
        for position, fault in enumerate(_listed(notes.document.data)):
            task_id, purpose = fault.get("task"), fault.get("purpose")
            loc = ("faults", position, "task")
            if not isinstance(task_id, str):
                continue
            if task_id not in tasks:
                notes.add(loc, f"the plan has no task {quote(task_id)}", near=(task_id, tasks))
            elif purpose in ("rollback", "verify") and getattr(tasks[task_id], purpose) is None:
                notes.add(loc, f"{quote(task_id)} has no {purpose} that could fail")

    return read_as(path, Faults, check_tasks)


def _listed(data: Any) -> list[dict[str, Any]]:
    items = data.get("faults") if isinstance(data, dict) else None
    return [item if isinstance(item, dict) else {} for item in items] if isinstance(items, list) else []
