"""SQL on SQLite targets: one transaction an attempt, with its ledger row in it, wherever that is allowed."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal

import anyio
from anyio import from_thread, to_thread

from engine.plan.models import FailureClass
from engine.tasks import ledger
from engine.tasks.base import Evidence, Failed, InDoubt, Job, Outcome, Succeeded, cancelled, not_done
from engine.tasks.classify import Verdict, failed, timed_out
from engine.tasks.resources import probe_resource
from engine.tasks.rows import show
from engine.tasks.sqlite_session import Problem, Session, connect, primary_code
from engine.tasks.statements import Statement, read_script, split

_T, _R, _P = FailureClass.TRANSIENT, FailureClass.RESOURCE, FailureClass.PERMANENT

RESULTS: dict[int, tuple[FailureClass, str]] = {
    sqlite3.SQLITE_BUSY: (_T, ""),
    sqlite3.SQLITE_LOCKED: (_T, ""),
    sqlite3.SQLITE_FULL: (_R, "disk"),
    sqlite3.SQLITE_IOERR: (_R, "disk"),
    sqlite3.SQLITE_NOMEM: (_R, "memory"),
    sqlite3.SQLITE_CONSTRAINT: (_P, ""),
    sqlite3.SQLITE_ERROR: (_P, ""),
    sqlite3.SQLITE_CORRUPT: (_P, ""),
    sqlite3.SQLITE_NOTADB: (_P, ""),
}
"""Primary result codes with class and lacking resource. The rest is UNKNOWN."""

FATAL = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""The database itself is damaged: the run stops."""


def by_result(problem: BaseException) -> Verdict:
    """The built-in class of an error of the sqlite3 module."""
    code = primary_code(problem)
    if code is None:
        return Verdict(FailureClass.UNKNOWN, f"built-in: {type(problem).__name__} tells nothing")
    name = getattr(problem, "sqlite_errorname", f"result code {code}")
    failure_class, resource = RESULTS.get(code, (FailureClass.UNKNOWN, ""))
    if name == "SQLITE_IOERR_NOMEM":
        resource = "memory"
    tells = "" if code in RESULTS else " tells nothing"
    return Verdict(failure_class, f"built-in: {name}{tells}", resource, fatal=code in FATAL)


class RefusedError(Exception):
    """The job cannot be started at all; the message says why, `rule` which rule says so."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def check_script(statements: list[Statement]) -> None:
    """Raises RefusedError for a script that begins or ends transactions of its own."""
    for statement in statements:
        if statement.controls_transaction:
            raise RefusedError(
                "engine: own transaction",
                f"statement {statement.number} (line {statement.line}), `{statement.summary()}`: "
                "the engine owns the transaction, so that effect and ledger row are one; leave it out",
            )


class SqliteExecutor:
    """Runs SQL on SQLite targets.

    A verify is done if the first column of the first row of its last result is true."""

    async def run(self, job: Job) -> Outcome:
        try:
            path, script = _path(job), _script(job)
            statements = split(script)
            check_script(statements)
        except RefusedError as refused:
            return failed(job, Verdict(_P, refused.rule), str(refused), effect="none")
        interrupted = threading.Event()
        session = Session(job, path, script, statements, interrupted, _say_from_thread(job))
        ended_by = await _work(job, session, interrupted)
        if session.problem is None:
            return _succeeded(job, session)
        if primary_code(session.problem) == sqlite3.SQLITE_INTERRUPT:
            if ended_by == "stop":
                return cancelled(session.effect)
            if ended_by == "timeout":
                return timed_out(job, session.effect, f"it was at {session.place}")
        if session.unsettled:
            return await self._settle(job, session)
        return _failed(job, session, session.problem)

    async def evidence(self, job: Job, *, end_survivors: bool = False) -> Evidence:  # noqa: ARG002
        """The ledger row, which is there exactly if the attempt took effect: for all that runs in one
        transaction."""
        try:
            path, script = _path(job), _script(job)
        except RefusedError as refused:
            return Evidence(done=None, detail=str(refused))
        if not all(statement.is_transactional for statement in split(script)):
            return Evidence(done=None, detail="runs statement by statement, and keeps no ledger row")
        if not path.exists():
            return Evidence(done=False, by="ledger", detail=f"target {job.action.on} has no database yet")
        return await to_thread.run_sync(_look_up, job, path, script, limiter=anyio.CapacityLimiter(1))

    async def probe(self, resource: str, job: Job) -> tuple[bool, str]:
        try:
            folder = _path(job).parent
        except RefusedError:
            folder = job.folder
        return probe_resource(resource, folder)

    async def _settle(self, job: Job, session: Session) -> Outcome:
        """A COMMIT that failed and yet closed the transaction: only the ledger knows which way it went."""
        evidence = await self.evidence(job)
        if evidence.done is None or session.problem is None:
            reason = f"COMMIT failed: {session.problem}; {evidence.detail}"
            return InDoubt(reason=job.output.clean(reason))
        return _succeeded(job, session) if evidence.done else _failed(job, session, session.problem)


async def _work(
    job: Job, session: Session, interrupted: threading.Event
) -> Literal["itself", "stop", "timeout"]:
    """Let the session work in a thread, and tell what interrupted it, if anything did. A cancellation of the
    scope interrupts it, too: the thread is never left behind."""
    ended_by: Literal["itself", "stop", "timeout"] = "itself"

    async def watch() -> None:
        nonlocal ended_by
        try:
            with anyio.move_on_after(job.timeout_s):
                await job.stop.wait()
                ended_by = "stop"
                return
            ended_by = "timeout"
        finally:
            interrupted.set()

    async with anyio.create_task_group() as watching:
        watching.start_soon(watch)
        await to_thread.run_sync(session.work, limiter=anyio.CapacityLimiter(1))
        watching.cancel_scope.cancel()
    return ended_by


def _say_from_thread(job: Job) -> Callable[[str], None]:
    return lambda text: from_thread.run_sync(job.output.note, text)


def _path(job: Job) -> Path:
    location = job.targets.get(job.action.on or "")
    if isinstance(location, Path):
        return location
    unknown = "PostgreSQL is not supported by this version" if location else "it is nowhere described"
    raise RefusedError("engine: target", f"target `{job.action.on}` cannot be used: {unknown}")


def _script(job: Job) -> str:
    try:
        return read_script(job.action, job.folder)
    except OSError as error:
        reason = error.strerror or str(error)
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 at byte {error.start}"
    raise RefusedError("engine: script", f"SQL file {job.action.sql_file} cannot be read: {reason}")


def _succeeded(job: Job, session: Session) -> Outcome:
    if job.purpose != "verify":
        return Succeeded(outputs={"rows": session.rows})
    if session.found is None:
        verdict = Verdict(FailureClass.UNKNOWN, "engine: verify without a verdict")
        return failed(job, verdict, "a verify ends with a SELECT, but this one has no result", effect="none")
    if session.found == ():
        return not_done(job, "it found no row")
    return (
        Succeeded()
        if session.found[0]
        else not_done(job, f"it found {show(session.found[0], job.output.clean)}")
    )


def _failed(job: Job, session: Session, problem: Problem) -> Failed:
    name = getattr(problem, "sqlite_errorname", type(problem).__name__)
    reason = f"{session.place}: {problem} ({name})"
    verdict = by_result(problem)
    if session.place == "writing the ledger" and primary_code(problem) == sqlite3.SQLITE_CONSTRAINT:
        verdict = Verdict(FailureClass.UNKNOWN, "engine: attempt in the ledger already")
        reason = (
            f"the ledger in target `{job.action.on}` has attempt {job.attempt} of run {job.run} already: "
            "another run of that name worked on this database; start under another name"
        )
    job.output.note(f"error: {reason}")
    return failed(job, verdict, reason, effect=session.effect)


def _look_up(job: Job, path: Path, script: str) -> Evidence:
    target = job.action.on  # by its name: its file may come from the environment
    try:
        with closing(connect(path, job.lock_timeout_s, create=False)) as connection:
            if job.past_runs:
                return _weighed(*ledger.balance(connection, job), f"the ledger in {target}")
            row = ledger.find(connection, job)
    except (sqlite3.Error, ValueError) as error:
        return Evidence(done=None, by="ledger", detail=f"the ledger in {target} cannot be read: {error}")
    if row is None:
        return Evidence(done=False, by="ledger", detail=f"no ledger row in {target}: nothing was committed")
    changed = "" if row.statement_hash == ledger.statement_hash(script) else ", by a different text"
    return Evidence(done=True, by="ledger", detail=f"ledger row in {target}, committed at {row.at}{changed}")


def _weighed(runs: int, rollbacks: int, where: str) -> Evidence:
    """What the ledger tells of runs whose journal is lost: a task and its rollback take effect by turns, so
    the effect is there if it was brought about once more often than it was undone."""
    detail = f"{where} counts {runs} for the task, and {rollbacks} for its rollback"
    known = {0: False, 1: True}.get(runs - rollbacks)
    return Evidence(done=known, by="ledger", detail=detail)
