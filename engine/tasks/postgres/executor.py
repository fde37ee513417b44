"""SQL on PostgreSQL targets: part by part, each in one transaction with its ledger row wherever that is
allowed."""

import time
from collections.abc import Sequence

import anyio
import psycopg

from engine.plan.models import FailureClass
from engine.plan.sql import parse
from engine.plan.sql.parse import Part, SqlError, Statement
from engine.tasks.base import Evidence, Intent, Job, Outcome, Succeeded, not_done
from engine.tasks.classify import Verdict, failed
from engine.tasks.postgres import evidence, indexes, ledger
from engine.tasks.postgres.database import ANSWER_S, Database, own_application, within
from engine.tasks.postgres.ledger import Ledger
from engine.tasks.postgres.outcomes import refuse_stranded
from engine.tasks.postgres.session import EndedError, RefusedError, Session
from engine.tasks.postgres.sqlstates import CONNECTION_SLOTS, in_doubt, told
from engine.tasks.postgres.subjects import BUILDER, Prepared
from engine.tasks.rows import show
from engine.tasks.statements import read_script

_CLAIM_POLL_S = 0.2


class PostgresExecutor:
    """Runs SQL on PostgreSQL targets.

    A verify is done if the first column of the first row of its last result is true."""

    async def run(self, job: Job) -> Outcome:
        try:
            database, parts = target_of(job), _parts(job)
        except RefusedError as refused:
            return failed(job, refused.verdict, str(refused), effect="none")
        session = Session(job, database)
        if job.purpose == "verify":
            return await session.run(_Look(session, parts).work) or _verified(job, session)
        ended = await session.run(_Attempt(job, database, session, parts).work)
        return ended or Succeeded(outputs={"rows": session.rows})

    async def evidence(self, job: Job, *, end_survivors: bool = False) -> Evidence:
        """What the ledger knows of the parts; where it cannot know, the server's record of transactions and
        its catalog."""
        try:
            database, parts = target_of(job), _parts(job)
        except RefusedError as refused:
            return Evidence(done=None, detail=job.output.clean(str(refused)))
        if not parts:
            return Evidence(done=True, detail="there is no statement in it")
        return await evidence.look(job, database, parts, end_survivors=end_survivors)

    async def probe(self, resource: str, job: Job) -> tuple[bool, str]:
        try:
            database, parts = target_of(job), _parts(job)
            with within(ANSWER_S):
                if resource == BUILDER:
                    available, detail = await _builders_gone(database, parts)
                    return available, job.output.clean(detail)
                if resource in (CONNECTION_SLOTS, "connection"):
                    async with await database.connect(own_application(job.run, "probe")):
                        return True, "the server takes connections"
        except (psycopg.Error, RefusedError) as error:
            return False, job.output.clean(told(error))
        return True, "cannot be seen from here: trying again is the only test"


class _Look:
    """The work of a verify."""

    def __init__(self, session: Session, parts: Sequence[Part]) -> None:
        self._session = session
        self._statements = [statement for part in parts for statement in part.statements]

    async def work(self) -> None:
        await self._session.look(self._carry_out)

    async def _carry_out(self) -> None:
        for statement in self._statements:
            await self._session.carry_out(statement, of=len(self._statements))


class _Attempt:
    """The work of an attempt at a task or at its rollback: the parts that no earlier attempt has brought
    about."""

    def __init__(self, job: Job, database: Database, session: Session, parts: Sequence[Part]) -> None:
        self._job = job
        self._database = database
        self._session = session
        self._parts = parts
        self._of = sum(len(part.statements) for part in parts)

    async def work(self) -> None:
        await claim(self._session, self._job)
        self._session.place = "finding the ledger"
        kept = await ledger.find_or_create(self._session.connection, self._database.name)
        done = await self._begun(kept)
        if done:
            # What is there already is not of this attempt alone, and nobody may take it for nothing.
            self._session.effect = "unknown"
        for part in self._parts:
            if part.number <= done:
                await self._set_again(part)
            elif part.transactional:
                await self._together(part, kept)
            else:
                await self._alone(part, kept)

    async def _begun(self, kept: Ledger) -> int:
        """Up to which part earlier attempts have come. Raises RefusedError where this attempt comes too
        late."""
        self._session.place = "reading the ledger"
        rows = await kept.rows(self._job)
        if latest := max((row.attempt for row in rows if row.attempt >= self._job.attempt), default=0):
            raise RefusedError(
                Verdict(FailureClass.UNKNOWN, "engine: attempt in the ledger already"),
                f"attempt {latest} of run {self._job.run} has taken effect already: "
                f"attempt {self._job.attempt} comes too late, or another run of that name worked on this "
                "database; then start under another name",
            )
        refuse_stranded(self._job, [row.attempt for row in rows])
        standing = {row.part: row for row in rows if row.attempt > self._job.undone}
        done = 0
        for part in self._parts:
            row = standing.get(part.number)
            if row is None:
                break
            if row.statement_hash != ledger.hash_of(part):
                self._session.note(
                    f"part {part.number} took effect in attempt {row.attempt} by a different text; "
                    "it runs as it is written now"
                )
                break
            done = part.number
        if done:
            self._session.note(f"{evidence.parts_named(1, done)} of {len(self._parts)} took effect already")
        return done

    async def _set_again(self, part: Part) -> None:
        """Settings that a part has made for the connection are made on this one, for the parts to come."""
        for statement in part.settings:
            await self._session.carry_out(statement, of=self._of)

    async def _together(self, part: Part, kept: Ledger) -> None:
        async def work() -> None:
            for statement in part.statements:
                await self._session.carry_out(statement, of=self._of)
            self._session.place = "writing the ledger"
            await kept.record(self._job, part, len(self._parts))

        await self._session.transaction(work, self._intent(part))

    async def _alone(self, part: Part, kept: Ledger) -> None:
        (statement,) = part.statements
        if not indexes.concerns(statement):
            await self._sent(part, kept, limit_locks=True)
            return
        self._session.place = f"making way for {self._placed(statement)}"
        await self._session.limit(locks=False)
        if await self._brought_about(part):
            await self._session.transaction(
                lambda: kept.record(self._job, part, len(self._parts)), self._intent(part)
            )
            return
        try:
            prepared = await indexes.prepare(self._session.connection, self._database, statement)
        except (psycopg.Error, EndedError):
            await self._clean_up(part, None)
            raise
        if prepared.said:
            self._session.note(prepared.said)
        if not prepared.needed:
            await self._session.transaction(
                lambda: kept.record(self._job, part, len(self._parts)), self._intent(part)
            )
            return
        try:
            await self._sent(part, kept, limit_locks=False)
        except (psycopg.Error, EndedError) as error:
            if not in_doubt(error, self._session.phase):
                await self._clean_up(part, prepared)
            raise

    async def _brought_about(self, part: Part) -> bool:
        """Whether an earlier attempt did what `part` does, and did not live to write that down."""
        intent = self._job.intent
        if intent is None or (intent.part, intent.statement) != (part.number, self._intent(part).statement):
            return False
        settings = parse.settings_before(self._parts, part.number)
        found = await indexes.evidence(self._database, part.statements[0], settings)
        if found.done:
            self._session.note(f"an earlier attempt has done it: {found.detail}")
        return bool(found.done)

    async def _sent(self, part: Part, kept: Ledger, *, limit_locks: bool) -> None:
        (statement,) = part.statements

        async def record() -> None:
            self._session.place = f"writing the ledger after {self._placed(statement)}"
            async with self._session.connection.transaction():
                await kept.record(self._job, part, len(self._parts))

        await self._session.alone(
            lambda: self._session.carry_out(statement, of=self._of),
            self._intent(part),
            record,
            limit_locks=limit_locks,
        )

    async def _clean_up(self, part: Part, prepared: Prepared | None) -> None:
        self._session.heed()
        cleaned = await indexes.clean_up(
            self._database,
            part.statements[0],
            self._job,
            self._session.application,
            prepared,
            settings=parse.settings_before(self._parts, part.number),
            ended=bool(self._session.ended_by),
        )
        self._session.left = cleaned.said
        if not cleaned.clean:
            self._session.effect = "unknown"

    def _intent(self, part: Part) -> Intent:
        first, *more = part.statements
        ending = f" (and {len(more)} more)" if more else ""
        said = self._job.output.clean(f"{first.summary()}{ending}")
        return Intent(part=part.number, parts=len(self._parts), statement=said)

    def _placed(self, statement: Statement) -> str:
        return f"statement {statement.number} of {self._of} (line {statement.line})"


async def claim(session: Session, job: Job) -> None:
    """Have the server let no two attempts at the task work at once, whatever has become of their engines.

    The lock goes with the backend that holds it. It is asked for, never waited for: what waits in
    pg_advisory_lock deadlocks with a concurrent index build. Raises RefusedError."""
    session.place = "waiting for earlier attempts"
    key = ledger.claim_key(job.run, job.task.id)
    give_up_at = time.monotonic() + job.lock_patience_s
    while not await _claimed(session, key):
        if time.monotonic() > give_up_at:
            backends = ", ".join(await evidence.claimants(session.connection, [key]))
            raise RefusedError(
                Verdict(FailureClass.TRANSIENT, "engine: an earlier attempt still works"),
                f"an earlier attempt at the task still works on the server: {backends}",
            )
        await session.waiting(lambda: anyio.sleep(_CLAIM_POLL_S))


async def _claimed(session: Session, key: int) -> bool:
    cursor = await session.execute("SELECT pg_try_advisory_lock(%s)", (key,))
    return bool((await cursor.fetchone() or (False,))[0])


def target_of(job: Job) -> Database:
    """The database that the job's action works on. Raises RefusedError."""
    target = job.targets.get(job.action.on or "")
    if isinstance(target, Database):
        return target
    verdict = Verdict(FailureClass.PERMANENT, "engine: target")
    raise RefusedError(verdict, f"target `{job.action.on}` cannot be used: it is no PostgreSQL target")


def _parts(job: Job) -> list[Part]:
    """The parts of the job's script. Raises RefusedError for what cannot be read, or may not be run."""
    try:
        script = read_script(job.action, job.folder)
    except OSError as error:
        reason = error.strerror or str(error)
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 at byte {error.start}"
    else:
        try:
            statements = parse.split(script)
        except SqlError as error:
            raise _refusal(error) from error
        for refused in parse.refusals(script, statements):
            raise _refusal(refused)
        return parse.parts(statements)
    verdict = Verdict(FailureClass.PERMANENT, "engine: script")
    raise RefusedError(verdict, f"SQL file {job.action.sql_file} cannot be read: {reason}")


def _refusal(error: SqlError) -> RefusedError:
    hint = f"; {error.hint}" if error.hint else ""
    verdict = Verdict(FailureClass.PERMANENT, "engine: script")
    return RefusedError(verdict, f"line {error.line}, column {error.column}: {error.message}{hint}")


def _verified(job: Job, session: Session) -> Outcome:
    result = session.result
    if result is None:
        verdict = Verdict(FailureClass.UNKNOWN, "engine: verify without a verdict")
        return failed(job, verdict, "a verify ends with a SELECT, but this one has no result", effect="none")
    if not result.shown:
        return not_done(job, "it found no row")
    if result.says_yes:
        return Succeeded()
    return not_done(
        job, f"it found {show(result.shown[0][0] if result.shown[0] else None, job.output.clean)}"
    )


async def _builders_gone(database: Database, parts: Sequence[Part]) -> tuple[bool, str]:
    found = True, "nobody works on the index any more"
    for part in parts:
        for statement in part.statements:
            if found[0] and indexes.concerns(statement):
                settings = parse.settings_before(parts, part.number)
                found = await indexes.probe(database, statement, settings)
    return found
