"""Failure classes: the plan's own rules first, then the built-in table of the kind. The first match decides.

Output that looks like a cause but is matched by no rule changes nothing.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from engine.machine.events import Effect
from engine.plan.durations import format_duration
from engine.plan.models import ClassifyRule, FailureClass
from engine.tasks.base import Failed, Job
from engine.tasks.sanitise import sanitise


class Verdict(NamedTuple):
    """A failure class and the rule that chose it. `resource` is what a RESOURCE failure lacks."""

    failure_class: FailureClass
    rule: str
    resource: str = ""
    fatal: bool = False


def shell_code(exit_code: int) -> int:
    """An exit code as a shell shows it: a signal n is 128 + n, however the process was started."""
    return 128 - exit_code if exit_code < 0 else exit_code


def by_plan(
    rules: Sequence[ClassifyRule],
    *,
    exit_code: int | None = None,
    sqlstate: str | None = None,
    tail: str = "",
) -> Verdict | None:
    """What the plan's `classify` rules say; None where none matches.

    An exit rule takes a signal either way (-15 is 143), an SQLSTATE rule may name a whole class (`53`), and
    an output rule looks for its text in the tail of the output, whatever the case."""
    for rule in rules:
        if condition := _matching(rule, exit_code, sqlstate, tail):
            return Verdict(rule.as_, f"plan: {condition} as {rule.as_}")
    return None


def _matching(rule: ClassifyRule, exit_code: int | None, sqlstate: str | None, tail: str) -> str:
    if rule.exit is not None:
        same = exit_code is not None and shell_code(rule.exit) == shell_code(exit_code)
        return f"exit {rule.exit}" if same else ""
    if rule.sqlstate is not None:
        return f"sqlstate {rule.sqlstate}" if (sqlstate or "").startswith(rule.sqlstate) else ""
    text = rule.output or ""
    return f'output "{sanitise(text)}"' if re.search(re.escape(text), tail, re.IGNORECASE) else ""


def failed(
    job: Job,
    built_in: Verdict,
    reason: str,
    *,
    effect: Effect = "unknown",
    exit_code: int | None = None,
    sqlstate: str | None = None,
) -> Failed:
    """A failure of `job`, classified. What the plan says of the class never hides a damaged target."""
    output = job.output
    ruled = by_plan(job.task.classify, exit_code=exit_code, sqlstate=sqlstate, tail=output.tail())
    verdict = ruled or built_in
    lacking = built_in.resource if verdict.failure_class is FailureClass.RESOURCE else ""
    return Failed(
        failure_class=verdict.failure_class,
        reason=output.clean(reason),
        rule=output.clean(verdict.rule),
        effect=effect,
        exit_code=exit_code,
        sqlstate=sqlstate,
        resource=lacking,
        tail=output.excerpt(),
        fatal=built_in.fatal,
    )


def timed_out(job: Job, effect: Effect, detail: str = "") -> Failed:
    """The failure of a job that was ended because its time was over.

    It may simply run again only where it certainly left nothing behind, or where that does no harm."""
    safe = effect == "none" or job.task.idempotent
    verdict = Verdict(FailureClass.TRANSIENT if safe else FailureClass.UNKNOWN, "engine: timeout")
    limit = format_duration(job.timeout_s or 0.0)
    reason = f"not finished within {limit}, and ended" + (f"; {detail}" if detail else "")
    return failed(job, verdict, reason, effect=effect)
