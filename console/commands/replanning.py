"""What `resume` does about a plan that was changed since its run started."""

from console.exits import UsageError, say
from engine.runner.replanning import PlanDecision, PlanRefused, PlanReview


class LeftAsItIs(Exception):
    """The operator was asked about the plan, and left."""


def ask_about_plan(review: PlanReview) -> bool:
    """Let the operator decide on a screen. Raises LeftAsItIs."""
    from console.screens.replanning import PlanChangesApp
    from console.settings.preferences import load_preferences
    from console.terminal.leaving import show

    app = PlanChangesApp(review, load_preferences().theme)
    show(app)
    if app.answer == "leave":
        raise LeftAsItIs
    return app.answer == "accept"


def decision_of(*, accept: bool, keep: bool, otherwise: PlanDecision | None = None) -> PlanDecision:
    """The decision that the flags make; where they make none, `otherwise` does, or it is refused."""
    if accept and keep:
        raise UsageError("--accept-plan-changes and --keep-plan are two answers to one question: give one")

    def decide(review: PlanReview) -> bool:
        if review.problem:
            return _without_comparison(review, accept=accept)
        if keep:
            say(f"{review.run} goes on with the plan it was started with; {review.file} says otherwise")
            return False
        if accept and not review.barred:
            return True
        if accept or otherwise is None:
            raise PlanRefused(review)
        return otherwise(review)

    return decide


def _without_comparison(review: PlanReview, *, accept: bool) -> bool:
    if accept:
        raise UsageError(f"--accept-plan-changes: there is nothing to accept: {review.problem}")
    say(f"{review.run} goes on with the plan it was started with; not compared: {review.problem}")
    return False
