"""Attempts on a real server: effect and ledger row, always both or neither, and nothing left running."""

import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from engine.plan.models import FailureClass
from engine.tasks.base import Cancelled, Failed, Intent, Job, Succeeded, verdict
from engine.tasks.postgres.database import Database
from tests.postgres.attempts import busy, carry_out, evidence, nobody_left, rows, somebody, waits
from tests.postgres.conftest import MakeJob

pytestmark = pytest.mark.anyio


async def tables(database: Database) -> list[str]:
    found = await rows(
        database, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
    )
    return [name for (name,) in found if not name.startswith("_wesley")]


# -- parts, their output and the ledger ----------------------------------------------------------------------


async def test_parts_are_committed_one_by_one_each_with_its_row(job: MakeJob, database: Database) -> None:
    made = job(
        "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1), (2);\nVACUUM t;\nSELECT a, 'x' AS b FROM t;",
        attempt=2,
    )
    assert await carry_out(made) == Succeeded(outputs={"rows": 2})
    assert await rows(
        database, "SELECT run, task, purpose, attempt, part, parts FROM _wesley_ledger ORDER BY part"
    ) == [("r1", "t", "run", 2, part, 3) for part in (1, 2, 3)]
    assert made.output.tail().splitlines() == [
        "1: CREATE TABLE t (a int)", "done",
        "2: INSERT INTO t VALUES (1), (2)", "2 rows changed",
        "3: VACUUM t", "done",
        "4: SELECT a, 'x' AS b FROM t", "a | b", "1 | x", "2 | x", "(2 rows)",
    ]  # fmt: skip
    assert [(each.part, each.parts, bool(each.xid)) for each in job.heard.intents] == [
        (1, 3, True), (2, 3, False), (3, 3, True),
    ]  # fmt: skip
    assert await nobody_left(database, made)


async def test_a_failure_leaves_neither_effect_nor_row(job: MakeJob, database: Database) -> None:
    made = job("CREATE TABLE t (a int);\nINSERT INTO t VALUES (1);\nINSERT INTO nowhere VALUES (2)")
    outcome = await carry_out(made)
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.effect) == (FailureClass.PERMANENT, "none")
    assert outcome.reason == (
        "statement 3 of 3 (line 3), `INSERT INTO nowhere VALUES (2)`: "
        'relation "nowhere" does not exist (42P01 undefined_table)'
    )
    assert "error: statement 3 of 3" in outcome.tail
    assert await tables(database) == []
    assert await rows(database, "SELECT count(*) FROM _wesley_ledger") == [(0,)]
    assert job.heard.intents == []


async def test_an_error_is_placed_as_well_as_the_server_knows_it(job: MakeJob) -> None:
    outcome = await carry_out(job("SELECT 1;\n\nSELECT 2,\n  a\nFROM nowhere"))
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith(
        "statement 2 of 2 (line 3), `SELECT 2, a FROM nowhere`, at line 5: relation"
    )
    made = job("DO $$\nBEGIN\n  PERFORM 1 / 0;\nEND $$", attempt=2)
    await carry_out(made)
    assert "CONTEXT: " in made.output.tail() and "inline_code_block line 3 at PERFORM" in made.output.tail()


async def test_a_constraint_that_fails_at_commit_leaves_nothing(job: MakeJob, database: Database) -> None:
    async with somebody(database) as other:
        await other.execute("CREATE TABLE t (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    made = job("INSERT INTO t VALUES (1), (1)")
    outcome = await carry_out(made)
    assert isinstance(outcome, Failed)
    assert (outcome.sqlstate, outcome.effect) == ("23505", "none")
    assert outcome.reason.startswith("COMMIT: duplicate key")
    assert (await evidence(replace(made, intent=job.heard.intents[-1]))).done is False


async def test_another_attempt_goes_on_behind_the_parts_that_took_effect(
    job: MakeJob, database: Database
) -> None:
    first = "CREATE TABLE t (a int); INSERT INTO t VALUES (1); VACUUM t;"
    outcome = await carry_out(job(f"{first} INSERT INTO nowhere VALUES (1)"))
    assert isinstance(outcome, Failed)
    assert outcome.effect == "unknown"
    again = job(f"{first} INSERT INTO t VALUES (2)", attempt=2)
    assert await carry_out(again) == Succeeded(outputs={"rows": 1})
    assert "parts 1 and 2 of 3 took effect already" in again.output.tail()
    assert await rows(database, "SELECT a FROM t ORDER BY 1") == [(1,), (2,)]


async def test_a_part_whose_text_has_changed_runs_as_it_is_written_now(
    job: MakeJob, database: Database
) -> None:
    await carry_out(job("CREATE TABLE t (a int); VACUUM nowhere"))
    again = job("CREATE TABLE IF NOT EXISTS t (a int); VACUUM t", attempt=2)
    assert isinstance(await carry_out(again), Succeeded)
    assert "by a different text; it runs as it is written now" in again.output.tail()
    assert await rows(database, "SELECT part FROM _wesley_ledger WHERE attempt = 2 ORDER BY 1") == [
        (1,),
        (2,),
    ]


async def test_what_was_undone_since_counts_no_more(job: MakeJob, database: Database) -> None:
    make = "CREATE TABLE t (a int); VACUUM t"
    await carry_out(job(make))
    await carry_out(job("DROP TABLE t", purpose="rollback"))
    again = job(make, attempt=2, undone=1)
    assert isinstance(await carry_out(again), Succeeded)
    assert await tables(database) == ["t"]


async def test_settings_of_parts_that_are_not_repeated_are_made_again(
    job: MakeJob, database: Database
) -> None:
    async with somebody(database) as other:
        await other.execute("CREATE SCHEMA s; CREATE TABLE s.t (a int)")
    sql = "SET search_path = s; SET LOCAL work_mem = '1MB'; INSERT INTO t VALUES (1); VACUUM t"
    await carry_out(job(f"{sql}; INSERT INTO nowhere VALUES (2)"))
    outcome = await carry_out(job(f"{sql}; INSERT INTO t VALUES (2)", attempt=2))
    assert outcome == Succeeded(outputs={"rows": 1})
    assert await rows(database, "SELECT a FROM s.t ORDER BY 1") == [(1,), (2,)]
    assert await rows(database, "SELECT count(DISTINCT attempt) FROM public._wesley_ledger") == [(2,)]


@pytest.mark.parametrize("late", [1, 2])
async def test_an_attempt_that_comes_too_late_leaves_nothing(
    job: MakeJob, database: Database, late: int
) -> None:
    async with somebody(database) as other:
        await other.execute("CREATE TABLE t (a int)")
    add = "INSERT INTO t VALUES (1)"
    assert isinstance(await carry_out(job(add, attempt=2)), Succeeded)
    outcome = await carry_out(job(add, attempt=late))
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.effect) == (FailureClass.UNKNOWN, "none")
    assert outcome.rule == "engine: attempt in the ledger already"
    assert "comes too late" in outcome.reason
    assert await rows(database, "SELECT count(*) FROM t") == [(1,)]


async def test_two_attempts_at_a_task_never_work_at_once(job: MakeJob, database: Database) -> None:
    first = job("CREATE TABLE t (a int); SELECT pg_advisory_xact_lock(7)", lock_timeout_s=20.0)
    async with somebody(database) as other, anyio.create_task_group() as tasks:
        await other.execute("SELECT pg_advisory_lock(7)")
        tasks.start_soon(carry_out, first)
        await waits(database, first)
        second = job(
            "CREATE TABLE t (a int); SELECT pg_advisory_xact_lock(7)", attempt=2, lock_patience_s=0.0
        )
        outcome = await carry_out(second)
        assert isinstance(outcome, Failed)
        assert (outcome.failure_class, outcome.effect) == (FailureClass.TRANSIENT, "none")
        assert (
            "an earlier attempt at the task still works on the server: PostgreSQL backend" in outcome.reason
        )
        await other.execute("SELECT pg_advisory_unlock(7)")
    third = job("CREATE TABLE t (a int); SELECT pg_advisory_xact_lock(7)", attempt=3)
    assert isinstance(await carry_out(third), Succeeded)
    assert "part 1 of 1 took effect already" in third.output.tail()


async def test_attempts_that_all_find_no_ledger_make_one(job: MakeJob, database: Database) -> None:
    outcomes: list[Any] = []

    async def attempt(number: int) -> None:
        described = {"id": f"t{number}"}
        outcomes.append(await carry_out(job(f"CREATE TABLE t{number} (a int)", task=described)))

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(attempt, number)
    assert outcomes == [Succeeded(outputs={"rows": 0})] * 8
    assert await rows(database, "SELECT count(*) FROM _wesley_ledger") == [(8,)]


async def test_a_role_that_may_not_make_the_ledger_is_told_so(job: MakeJob, database: Database) -> None:
    async with somebody(database) as other:
        await other.execute("CREATE ROLE r_poor LOGIN")
        poor = Database(name="app", run="r1", conninfo=f"{database.conninfo} user=r_poor", version=180000)
        outcome = await carry_out(job("SELECT 1", targets={"app": poor}))
        await poor.close()
        await other.execute("DROP ROLE r_poor")
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.rule, outcome.effect) == ("permanent", "engine: no ledger", "none")
    assert "role r_poor cannot create the ledger public._wesley_ledger, and nothing runs" in outcome.reason
    assert "Grant the role CREATE on schema public" in outcome.reason


async def test_the_ledger_is_written_as_whoever_connected(job: MakeJob, database: Database) -> None:
    async with somebody(database) as other:
        await other.execute("CREATE ROLE r_other; CREATE SCHEMA s AUTHORIZATION r_other")
        outcome = await carry_out(job("SET ROLE r_other; CREATE TABLE s.t (a int); VACUUM s.t"))
        assert isinstance(outcome, Succeeded), outcome
        assert await rows(database, "SELECT tableowner FROM pg_tables WHERE schemaname = 's'") == [
            ("r_other",)
        ]
        await other.execute("DROP SCHEMA s CASCADE; DROP ROLE r_other")


async def test_a_server_that_need_not_keep_a_commit_is_made_to(job: MakeJob, database: Database) -> None:
    async with somebody(database) as other:
        name = other.info.dbname
        await other.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
    made = job("SELECT current_setting('synchronous_commit')")
    await carry_out(made)
    assert "on" in made.output.tail().splitlines()


async def test_a_script_of_comments_alone_is_done(job: MakeJob) -> None:
    made = job("-- nothing to do here")
    assert await carry_out(made) == Succeeded(outputs={"rows": 0})
    assert (await evidence(made)).done is True


async def test_without_a_schema_for_the_ledger_nothing_runs(job: MakeJob, database: Database) -> None:
    async with somebody(database) as other:
        await other.execute(f"ALTER DATABASE {other.info.dbname} SET search_path = ''".encode())
    outcome = await carry_out(job("SELECT 1"))
    assert isinstance(outcome, Failed)
    assert (outcome.rule, outcome.effect) == ("engine: no ledger", "none")
    assert "no schema has been selected to create in" in outcome.reason


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT 1;\nBEGIN; SELECT 1", "line 2, column 1: BEGIN in a task"),
        ("SELEC 1", 'line 1, column 1: syntax error at or near "SELEC"'),
        ("COPY t FROM STDIN", "COPY from STDIN needs a client that streams"),
    ],
)
async def test_what_may_not_be_run_is_refused_before_anything(
    job: MakeJob, database: Database, sql: str, words: str
) -> None:
    outcome = await carry_out(job(sql))
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.rule, outcome.effect) == ("permanent", "engine: script", "none")
    assert words in outcome.reason
    assert await rows(database, "SELECT to_regclass('_wesley_ledger')") == [(None,)]


async def test_a_file_that_is_not_there_is_named(job: MakeJob) -> None:
    outcome = await carry_out(job({"sql_file": "none.sql", "on": "app"}))
    assert isinstance(outcome, Failed)
    assert "SQL file none.sql cannot be read: No such file or directory" in outcome.reason


async def test_a_file_is_read(job: MakeJob, database: Database, tmp_path: Path) -> None:
    (tmp_path / "make.sql").write_text("-- a table\nCREATE TABLE t (a int);\nINSERT INTO t VALUES (1);\n")
    assert await carry_out(job({"sql_file": "make.sql", "on": "app"})) == Succeeded(outputs={"rows": 1})


# -- output --------------------------------------------------------------------------------------------------


async def test_notices_are_noted_within_bounds(job: MakeJob) -> None:
    said = "DO $$ BEGIN FOR n IN 1..600 LOOP RAISE NOTICE 'row %', n; END LOOP; END $$"
    lines: list[str] = []
    await carry_out(job(said, on_lines=lines.extend))
    assert lines.count("NOTICE: row 500") == 1
    assert "NOTICE: row 501" not in lines
    assert "(100 more notices)" in lines


async def test_values_are_shown_as_the_server_writes_them(job: MakeJob) -> None:
    made = job(
        "SELECT 'infinity'::timestamptz, '0044-03-15 BC'::date, 'NaN'::float, NULL, E'a\\tb', '{1}'::int[]"
    )
    await carry_out(made)
    assert "infinity | 0044-03-15 BC | NaN | NULL | a b | {1}" in made.output.tail()


async def test_secrets_do_not_reach_the_output_nor_the_journal(job: MakeJob) -> None:
    made = job("SELECT 'hunter2' AS pw", secrets={"hunter2": "${PASSWORD}"})
    await carry_out(made)
    assert "hunter2" not in made.output.tail() and "${PASSWORD}" in made.output.tail()
    assert "hunter2" not in job.heard.intents[0].statement


async def test_a_long_result_is_counted_and_not_kept(job: MakeJob) -> None:
    made = job("SELECT n, repeat('x', 1000) FROM generate_series(1, 100000) n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await carry_out(made)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert "(100,000 rows, the first 20 shown)" in made.output.tail()
    assert grown < 48 * 1024, "KiB; the whole result is 100 MB"


# -- verify --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "done"),
    [
        ("SELECT true", True),
        ("SELECT 1 = 2", False),
        ("SELECT count(*) FROM pg_class", True),
        ("SELECT 0", False),
        ("SELECT 0.0::numeric", False),
        ("SELECT 'f'::text", True),
        ("SELECT NULL::boolean", False),
        ("SELECT true WHERE false", False),
        ("SELECT false; SELECT true", True),
        ("SET LOCAL work_mem = '1MB'", None),
        ("SELECT * FROM nowhere", None),
        ("CREATE TABLE t (a int); SELECT true", None),
    ],
)
async def test_a_verify(job: MakeJob, database: Database, sql: str, done: bool | None) -> None:
    outcome = await carry_out(job(sql, purpose="verify"))
    assert verdict(outcome).done is done, outcome
    assert await rows(database, "SELECT to_regclass('t'), to_regclass('_wesley_ledger')") == [(None, None)]
    assert job.heard.intents == []


# -- waiting for locks ---------------------------------------------------------------------------------------


TIMED_OUT = "canceling statement due to lock timeout; rolled back"


async def test_readers_never_wait_behind_us_for_longer_than_the_lock_timeout(
    job: MakeJob, database: Database
) -> None:
    made = job("ALTER TABLE t ADD COLUMN b int", lock_timeout_s=0.1, lock_patience_s=60.0)
    felt: list[float] = []
    async with somebody(database) as holder, somebody(database) as reader:
        await holder.execute("CREATE TABLE t (a int)")
        await holder.execute("BEGIN; SELECT * FROM t")
        outcomes: list[Any] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_into, outcomes, made)
            await waits(database, made)
            while made.output.tail().count(TIMED_OUT) < 3:
                began = time.monotonic()
                await reader.execute("SELECT * FROM t")
                felt.append(time.monotonic() - began)
            await holder.execute("COMMIT")
    assert outcomes == [Succeeded(outputs={"rows": 0})]
    assert 0.05 < max(felt) < 5, "the longest wait of a reader, in seconds, on a busy machine too"


async def test_patience_with_locks_comes_to_an_end(job: MakeJob, database: Database) -> None:
    made = job("CREATE TABLE u (a int); LOCK TABLE t", lock_timeout_s=0.05, lock_patience_s=0.6)
    async with somebody(database) as holder:
        await holder.execute("CREATE TABLE t (a int)")
        await holder.execute("BEGIN; LOCK TABLE t")
        began = time.monotonic()
        outcome = await carry_out(made)
        assert time.monotonic() - began < 10
    assert isinstance(outcome, Failed)
    assert (outcome.sqlstate, outcome.effect) == ("55P03", "none")
    assert outcome.failure_class is FailureClass.TRANSIENT
    assert "given up after" in outcome.reason and "tries in" in outcome.reason
    assert await tables(database) == ["t"]


# -- ends ----------------------------------------------------------------------------------------------------

SLOW = "CREATE TABLE t (a int); INSERT INTO t SELECT 1 FROM pg_sleep(60)"


async def test_stop_cancels_on_the_server_and_rolls_back(job: MakeJob, database: Database) -> None:
    made = job(SLOW)
    outcome = await _ended(made, database, made.stop.set)
    assert isinstance(outcome, Cancelled)
    assert outcome.effect == "none"
    assert "statement 2 of 2" in outcome.reason


async def test_an_operator_ends_just_this_attempt(job: MakeJob, database: Database) -> None:
    made = job(SLOW, task={"classify": [{"output": "INSERT", "as": "transient"}]})
    outcome = await _ended(made, database, made.give_up.set)
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.rule) == (FailureClass.UNKNOWN, "operator: cancelled")
    assert outcome.effect == "none"


async def test_a_timeout_is_transient_and_leaves_nothing(job: MakeJob, database: Database) -> None:
    made = job(SLOW, timeout_s=0.5)
    outcome = await _ended(made, database, lambda: None)
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.rule) == (FailureClass.TRANSIENT, "engine: timeout")
    assert outcome.effect == "none"
    assert outcome.reason.startswith("not finished within 500ms, and ended; it was at statement 2 of 2")


async def test_a_cancelled_scope_leaves_nothing_running(job: MakeJob, database: Database) -> None:
    made = job(SLOW)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(carry_out, made)
        await busy(database, made, "pg_sleep")
        tasks.cancel_scope.cancel()
    assert await nobody_left(database, made)
    assert await tables(database) == []


async def test_stop_while_a_lock_is_waited_for_between_two_tries(job: MakeJob, database: Database) -> None:
    lines: list[str] = []
    rests = anyio.Event()

    def heard(new: list[str]) -> None:
        lines.extend(new)
        if any("once more in" in line for line in new):
            rests.set()

    made = job("LOCK TABLE t", lock_timeout_s=0.05, on_lines=heard)
    outcomes: list[Any] = []
    async with somebody(database) as holder, anyio.create_task_group() as tasks:
        await holder.execute("CREATE TABLE t (a int)")
        await holder.execute("BEGIN; LOCK TABLE t")
        tasks.start_soon(_into, outcomes, made)
        await rests.wait()
        made.stop.set()
    assert isinstance(outcomes[0], Cancelled)
    assert outcomes[0].effect == "none"
    assert await nobody_left(database, made)


async def test_stop_while_the_journal_stalls_commits_nothing(job: MakeJob, database: Database) -> None:
    asked = anyio.Event()

    async def stalls(_: Intent) -> None:
        asked.set()
        await anyio.sleep_forever()

    made = job("CREATE TABLE t (a int)", intend=stalls)
    outcomes: list[Any] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_into, outcomes, made)
        await asked.wait()
        made.stop.set()
    assert isinstance(outcomes[0], Cancelled)
    assert outcomes[0].effect == "none"
    assert await tables(database) == []
    assert await nobody_left(database, made)


async def test_stop_behind_a_part_says_that_something_was_left(job: MakeJob, database: Database) -> None:
    made = job("CREATE TABLE t (a int); VACUUM t; SELECT pg_sleep(60)")
    outcome = await _ended(made, database, made.stop.set)
    assert isinstance(outcome, Cancelled)
    assert outcome.effect == "unknown"
    found = await evidence(made)
    assert found.done is False
    assert found.detail.startswith("parts 1 and 2 of 3 took effect and stay, part 3 did not")
    assert found.detail.endswith("another attempt goes on with part 3")


async def test_stop_in_a_concurrent_build_leaves_no_index(job: MakeJob, database: Database) -> None:
    made = job("CREATE INDEX CONCURRENTLY i ON t (a)")
    outcomes: list[Any] = []
    async with somebody(database) as holder, anyio.create_task_group() as tasks:
        await holder.execute("CREATE TABLE t (a int)")
        await holder.execute("BEGIN; INSERT INTO t VALUES (1)")
        tasks.start_soon(_into, outcomes, made)
        await waits(database, made)
        made.stop.set()
        await busy(database, made, "DROP INDEX")
        await holder.execute("COMMIT")
    assert isinstance(outcomes[0], Cancelled)
    assert outcomes[0].effect == "none", outcomes[0]
    assert await rows(database, "SELECT to_regclass('i')") == [(None,)]
    assert await nobody_left(database, made)


async def test_a_stop_that_comes_too_late_changes_nothing(job: MakeJob, database: Database) -> None:
    heard: list[str] = []

    def stop(lines: list[str]) -> None:
        heard.extend(lines)
        if "done" in heard:
            made.stop.set()

    made = job("VACUUM", on_lines=stop)
    assert isinstance(await carry_out(made), Succeeded)
    assert (await evidence(made)).done is True


async def _into(outcomes: list[Any], job: Job) -> None:
    outcomes.append(await carry_out(job))


async def _ended(job: Job, database: Database, end: Any) -> Any:
    """How the attempt ends if `end` is called while it sleeps on the server; then nothing of it is left."""
    outcomes: list[Any] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_into, outcomes, job)
        await busy(database, job, "pg_sleep")
        end()
    assert await nobody_left(database, job)
    return outcomes[0]
