"""How attempts end in a simulated run: as the plan's own `simulate` actions and the scripted faults say."""

from engine.forecast.faults import Fault, Faults
from engine.forecast.simulation import Outcomes, everything_succeeds
from engine.machine import reports as rep
from engine.machine.events import Purpose
from engine.plan.models import Task


def as_written(task: Task, attempt: int, purpose: Purpose) -> tuple[float, rep.Report]:
    """Success after the expected time, unless the task is a `simulate` one that is told to exit otherwise."""
    action = task.run if purpose == "run" else task.rollback
    simulated = action.simulate if action else None
    if simulated is None or simulated.exit == 0:
        return everything_succeeds(task, attempt, purpose)
    fault = Fault(task=task.id, exit=simulated.exit, output=simulated.output, purpose=purpose)
    failed = fault.failure(task).fields()
    return fault.lasts(task), rep.Failed(task=task.id, attempt=attempt, purpose=purpose, **failed)


def simulated_outcomes(faults: Faults | None) -> Outcomes:
    return (faults or Faults()).outcomes(as_written)
