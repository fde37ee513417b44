"""How an attempt on PostgreSQL ended, if its work did not come to its end."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import psycopg

from engine.plan.durations import format_duration
from engine.plan.models import FailureClass
from engine.tasks.base import Failed, InDoubt, Job, Outcome, cancelled
from engine.tasks.classify import Verdict, failed
from engine.tasks.postgres.sqlstates import (
    LOCK_WAITS,
    advice,
    by_sqlstate,
    in_doubt,
    is_lost,
    named,
    sqlstate_of,
    told,
)

if TYPE_CHECKING:
    from engine.tasks.postgres.session import Session


class EndedError(Exception):
    """The attempt is to end, and is between two statements."""


class RefusedError(Exception):
    """The attempt cannot go on; the message says why and what to do, `verdict` what that means."""

    def __init__(self, verdict: Verdict, message: str) -> None:
        super().__init__(message)
        self.verdict = verdict


Problem = psycopg.Error | EndedError | RefusedError


def refuse_stranded(job: Job, attempts: Sequence[int]) -> None:
    """Raises RefusedError if one of `attempts`, which did something that stays, was left as it was by a
    rollback of the run. Nobody here can tell whether that is still there: going on behind it could pass
    something over, and beginning anew could do it twice."""
    left = [number for number in attempts if job.undone - job.stranded < number <= job.undone]
    if left and not job.task.idempotent:
        raise RefusedError(
            Verdict(FailureClass.UNKNOWN, "engine: done in part before a rollback"),
            f"attempt {left[-1]} had done a part of it when the run was rolled back, and was not undone "
            "itself: look whether that part is still there. A retry begins at the beginning, so undo the "
            "part first, or be sure that doing it again does no harm",
        )


def outcome_of(session: "Session", problem: Problem) -> Outcome:
    """The outcome of an attempt that `problem` has ended."""
    job = session.job
    if _ended(session, problem):
        return _ended_outcome(session)
    reason = _reason(session, problem)
    job.output.note(f"error: {reason}{_context(problem)}")
    if job.purpose != "verify" and in_doubt(problem, session.phase):
        return InDoubt(reason=job.output.clean(f"{reason}; nobody saw whether it took effect"))
    if isinstance(problem, RefusedError):
        return failed(job, problem.verdict, reason, effect=session.effect)
    return failed(
        job,
        by_sqlstate(problem, session.phase),
        reason,
        effect=session.effect,
        sqlstate=sqlstate_of(problem, session.phase),
    )


def _ended(session: "Session", problem: Problem) -> bool:
    """Whether it was the engine that ended the attempt, and nothing is in doubt for that."""
    if isinstance(problem, EndedError):
        return True
    by_us = sqlstate_of(problem) == "57014" or is_lost(problem)
    return bool(session.ended_by) and by_us and not in_doubt(problem, session.phase)


def _ended_outcome(session: "Session") -> Outcome:
    job = session.job
    detail = f"it was at {session.place}{_left(session)}"
    if session.ended_by == "give_up":
        # Not `failed`: no rule of the plan may start again what an operator has ended.
        return Failed(
            failure_class=FailureClass.UNKNOWN,
            reason=job.output.clean(f"cancelled by an operator; {detail}"),
            rule="operator: cancelled",
            effect=session.effect,
            tail=job.output.excerpt(),
        )
    if session.ended_by == "timeout":
        reason = f"not finished within {format_duration(job.timeout_s or 0.0)}, and ended; {detail}"
        # What it has done is known to the ledger, and another attempt goes on behind it.
        verdict = Verdict(FailureClass.TRANSIENT, "engine: timeout")
        return failed(job, verdict, reason, effect=session.effect)
    return cancelled(session.effect, job.output.clean(detail))


def _reason(session: "Session", problem: Problem) -> str:
    sqlstate = sqlstate_of(problem, session.phase)
    code = f" ({named(sqlstate)})" if sqlstate else ""
    waited = ""
    if sqlstate in LOCK_WAITS and session.lock_waited_s:
        tries = f"{session.tries} tries" if session.tries > 1 else "one try"
        waited = f"; given up after {tries} in {format_duration(session.lock_waited_s)}"
    asked = f". {advice(problem)}" if advice(problem) else ""
    return f"{session.place}: {told(problem)}{code}{waited}{_left(session)}{asked}"


def _context(problem: Problem) -> str:
    """Where in functions it happened: many lines sometimes, and so for the output only."""
    context = problem.diag.context if isinstance(problem, psycopg.Error) else None
    return f"\nCONTEXT: {context}" if context else ""


def _left(session: "Session") -> str:
    return f"; {session.left}" if session.left else ""
