"""The plan's file beside the plan that a run goes by, when the run is taken up again."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.journal.errors import StateRefused
from engine.machine.replanning import RunChange, run_changes, unacceptable
from engine.machine.state import State
from engine.plan.errors import PlanErrors, visible
from engine.plan.load import load_plan
from engine.plan.models import Plan
from engine.plan.pinned import source_digest
from engine.plan.source import read_text

_SHOWN = 50


@dataclass(frozen=True, slots=True)
class PlanReview:
    """A plan's file that does not say what its run goes by, or cannot be read.

    `problem` says why it could not be compared; otherwise there are `changes`, and `barred` says why they
    cannot be accepted, if so. `digest` is what the file is known again by."""

    run: str
    file: Path
    edited: Plan | None
    digest: str = ""
    problem: str = ""
    changes: tuple[RunChange, ...] = ()
    barred: str = ""


PlanDecision = Callable[[PlanReview], bool]
"""Whether the run takes on the plan in its file (True), or goes on with its own. Never True where there is a
problem, or where it is barred. It may raise: then the run stays as it is."""


class PlanRefused(StateRefused):
    """The plan was changed since the run started, and nobody has decided what of that holds."""

    def __init__(self, review: PlanReview) -> None:
        self.review = review
        lines = [str(change) for change in review.changes[:_SHOWN]]
        if len(review.changes) > _SHOWN:
            lines.append(f"and {len(review.changes) - _SHOWN} more")
        keep = "--keep-plan goes on with the plan that the run was started with"
        if review.barred:
            lines.append(review.barred)
            do = f"{keep}; or put that back in the plan's file, and accept the rest"
        else:
            do = f"--accept-plan-changes goes on with the changed plan, {keep}; the console asks which"
        super().__init__(
            "the plan was changed since this run started with it",
            where=visible(str(review.file)),
            why="\n       ".join(lines),
            do=do,
        )


def keep_plan(_: PlanReview) -> bool:
    """The decision to go on with the plan that the run goes by, whatever its file says."""
    return False


def review_plan(run: str, state: State, *, allow_outside: bool = False) -> PlanReview | None:
    """How the plan's file differs from the plan that the run goes by; None where nothing does that counts."""
    file = Path(state.folder) / Path(state.source).name
    if not state.source:
        return PlanReview(run, file, None, problem="the run does not say which file its plan came from")
    try:
        if state.source_digest and source_digest(read_text(file)) == state.source_digest:
            return None
        loaded = load_plan(file, allow_outside=allow_outside)
    except PlanErrors as errors:
        first, more = errors.findings[0], len(errors.findings) - 1
        problem = f"{first.place}: {first.message}" + (f" (and {more} more)" if more else "")
        return PlanReview(run, file, None, problem=problem)
    changes = run_changes(state, loaded.plan)
    if not changes:
        return None
    return PlanReview(
        run,
        file,
        loaded.plan,
        digest=source_digest(loaded.text),
        changes=changes,
        barred=unacceptable(state, changes),
    )
