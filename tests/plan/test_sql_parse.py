"""SQL for PostgreSQL: statements and their places, parts, refusals, placeholders, queries of strangers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.plan.sql.checking import errors
from engine.plan.sql.parse import SqlError, normalise, parts, placeholders, refusals, split

STATEMENTS = (
    "SELECT 'é;' AS \"ö;\"",
    "CREATE INDEX CONCURRENTLY i ON t (a)",
    "DO $$ BEGIN PERFORM ';'; END $$",
    "UPDATE t SET a = 1 WHERE b IN ($x$;$x$)",
    "VACUUM t",
)
BETWEEN = st.sampled_from((" ", "\n", "\n-- ö;\n", " /* ;é /* ; */ */ ", "\t;\n ; "))


@given(st.lists(st.tuples(BETWEEN, st.sampled_from(STATEMENTS)), min_size=1, max_size=8))
def test_each_statement_stands_where_it_says(pieces: list[tuple[str, str]]) -> None:
    script = "".join(f"{between}{statement};" for between, statement in pieces)
    found = split(script)
    assert [each.text for each in found] == [statement for _, statement in pieces]
    assert [each.number for each in found] == list(range(1, len(pieces) + 1))
    for each in found:
        assert script.startswith(each.text, each.offset)
        assert each.line == script.count("\n", 0, each.offset) + 1


@pytest.mark.parametrize(
    ("sql", "line", "column", "message"),
    [
        ("SELECT 'ééé' frm frm frm", 1, 18, 'at or near "frm"'),
        ("SELECT 1;\n-- ö\n  é; SELEC 2", 3, 3, 'at or near "é"'),
        ("SELECT 1,\n  'never ended", 2, 3, "unterminated"),
        ("SELECT (\n", 2, 1, "end of input"),
    ],
)
def test_a_syntax_error_has_its_place_in_characters(sql: str, line: int, column: int, message: str) -> None:
    with pytest.raises(SqlError, match=message) as caught:
        split(sql)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("\\d orders", "commands of psql"),
        ("SELECT 1;\n\\copy t FROM 'x'", "commands of psql"),
        ("SELECT * FROM t WHERE id > :id", "variables of psql"),
        ("SELECT * FROM `t`", 'quotes names with "…"'),
        ("SELECT {{ x }}", "nothing is filled in"),
        ("CREATE TABLE t (id int AUTO_INCREMENT)", "IDENTITY"),
        ("UPDATE t SET", "breaks off"),
    ],
)
def test_mistakes_that_are_often_made_have_a_hint(sql: str, hint: str) -> None:
    with pytest.raises(SqlError) as caught:
        split(sql)
    assert hint in caught.value.hint


ALONE = """
CREATE INDEX CONCURRENTLY i ON t (a)
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)
DROP INDEX CONCURRENTLY i
REINDEX INDEX CONCURRENTLY i
REINDEX (CONCURRENTLY) TABLE t
REINDEX SCHEMA s
REINDEX DATABASE d
REINDEX SYSTEM d
VACUUM
VACUUM (FULL) t
CREATE DATABASE d
DROP DATABASE d
ALTER DATABASE d SET TABLESPACE s
CREATE TABLESPACE s LOCATION '/s'
DROP TABLESPACE s
ALTER SYSTEM SET work_mem = '1MB'
ALTER TABLE t DETACH PARTITION p CONCURRENTLY
CLUSTER
CREATE SUBSCRIPTION s CONNECTION 'c' PUBLICATION p
ALTER SUBSCRIPTION s REFRESH PUBLICATION
DROP SUBSCRIPTION s
""".strip().splitlines()
TOGETHER = """
CREATE INDEX i ON t (a)
DROP INDEX i
REINDEX TABLE t
REINDEX (CONCURRENTLY false) TABLE t
ANALYZE t
CLUSTER t
ALTER DATABASE d SET work_mem = '1MB'
ALTER TABLE t DETACH PARTITION p
ALTER TYPE e ADD VALUE 'x'
REFRESH MATERIALIZED VIEW CONCURRENTLY m
DISCARD TEMP
CREATE SUBSCRIPTION s CONNECTION 'c' PUBLICATION p WITH (connect = false)
ALTER SUBSCRIPTION s ADD PUBLICATION p WITH (refresh = false)
ALTER SUBSCRIPTION s DISABLE
CALL p()
""".strip().splitlines()


@pytest.mark.parametrize("sql", ALONE)
def test_what_refuses_a_transaction_stands_alone_and_says_why(sql: str) -> None:
    (statement,) = split(sql)
    assert not statement.transactional and "cannot run in a transaction" in statement.why_alone


@pytest.mark.parametrize("sql", TOGETHER)
def test_everything_else_runs_in_one(sql: str) -> None:
    (statement,) = split(sql)
    assert statement.transactional and not statement.why_alone


@pytest.mark.parametrize(
    ("kind", "rest"),
    [
        ("CREATE INDEX", "i ON t (a)"),
        ("CREATE TABLE", "t AS SELECT 1"),
        ("CREATE DATABASE", "d"),
        ("CREATE EXTENSION", "e"),
        ("ALTER TABLE", "t RENAME CONSTRAINT a TO b"),
        ("ALTER TABLE", "t RENAME COLUMN a TO b"),
        ("ALTER VIEW", "v RENAME TO w"),
        ("ALTER STATISTICS", "s SET STATISTICS 5"),
        ("DROP TABLE", "t"),
        ("DROP MATERIALIZED VIEW", "m"),
        ("REFRESH MATERIALIZED VIEW", "m"),
        ("SET CONSTRAINTS", "ALL DEFERRED"),
        ("TRUNCATE", "t"),
        ("ANALYZE", "t"),
        ("VACUUM", "t"),
        ("RESET", "ALL"),
        ("UPDATE", "t SET a = 1"),
    ],
)
def test_a_statement_is_called_what_the_server_calls_it(kind: str, rest: str) -> None:
    (statement,) = split(f"{kind} {rest}")
    assert statement.kind == kind


def test_statements_that_allow_it_are_one_part_and_each_other_one_of_its_own() -> None:
    found = parts(split("SELECT 1; SELECT 2; VACUUM t; VACUUM u; SELECT 3"))
    assert [(part.number, len(part.statements), part.transactional) for part in found] == [
        (1, 2, True), (2, 1, False), (3, 1, False), (4, 1, True)
    ]  # fmt: skip


def test_what_is_done_to_an_index_concurrently_is_told() -> None:
    sql = """CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "By Name" ON s.t (a);
    DROP INDEX CONCURRENTLY IF EXISTS s.i; REINDEX INDEX CONCURRENTLY i; REINDEX TABLE CONCURRENTLY "order";
    CREATE INDEX i ON t (a)"""
    create, drop, index, table, plain = (each.concurrent for each in split(sql))
    assert create and (create.action, create.index, create.table) == ("create", 's."By Name"', "s.t")
    assert create.if_not_exists and create.unique
    assert drop and (drop.action, drop.index, drop.if_exists) == ("drop", "s.i", True)
    assert index and (index.action, index.index, index.table) == ("reindex", "i", "")
    assert table and (table.action, table.index, table.table) == ("reindex", "", '"order"')
    assert plain is None


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("BEGIN", "BEGIN in a task"),
        ("SELECT 1; COMMIT", "COMMIT in a task"),
        ("ROLLBACK PREPARED 'x'", "ROLLBACK PREPARED in a task"),
        ("PREPARE TRANSACTION 'x'", "PREPARE TRANSACTION in a task"),
        ("SAVEPOINT s", "SAVEPOINT in a task"),
        ("COPY t FROM STDIN", "COPY from STDIN"),
        ("COPY (SELECT 1) TO STDOUT", "COPY to STDOUT"),
        ("CREATE INDEX CONCURRENTLY ON t (a)", "needs a name"),
        ("DROP INDEX CONCURRENTLY i, j", "one index at a time"),
        ("DISCARD ALL", "keeps a second attempt away"),
        ("SET client_encoding = 'LATIN1'", "SET client_encoding: what follows would be read otherwise"),
        ("SET NAMES 'win1252'", "SET client_encoding"),
        ("SET LOCAL standard_conforming_strings = off", "SET standard_conforming_strings"),
    ],
)
def test_what_no_task_may_run_is_refused_with_a_way_out(sql: str, message: str) -> None:
    (refused,) = refusals(sql, split(sql))
    assert message in refused.message and refused.hint
    assert sql[refused.offset :].split()[0] in sql.split("; ")[-1]


def test_all_refusals_are_told_at_once() -> None:
    assert len(errors("BEGIN; COPY t FROM STDIN; CREATE INDEX ON t (a); COMMIT")) == 3


@pytest.mark.parametrize(
    "sql",
    [
        "COPY t FROM '/f'",
        "COPY t TO PROGRAM 'cat'",
        "CREATE INDEX ON t (a)",
        "SET x.y = 1",
        "DISCARD PLANS",
        "SET NAMES 'utf8'; SET client_encoding = 'UTF8'; RESET client_encoding",
        "SET standard_conforming_strings = on; SET standard_conforming_strings = 1",
    ],
)
def test_what_looks_like_it_is_not_refused(sql: str) -> None:
    assert not errors(sql)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("UPDATE t SET a = 1 WHERE id >= :first", ":last does not stand in it"),
        ("UPDATE t SET a = ':first' WHERE id <= :last", ":first does not stand in it"),
        ("SELECT :first, :last", "single INSERT, UPDATE, DELETE or MERGE"),
        ("DELETE FROM t WHERE id BETWEEN :first AND :last; VACUUM t", "single INSERT"),
        ("BEGIN", "BEGIN in a task"),
    ],
)
def test_a_backfill_is_one_bounded_change(sql: str, message: str) -> None:
    assert any(message in error.message for error in errors(sql, "backfill"))


def test_a_throttle_looks_with_a_single_select() -> None:
    assert not errors("SELECT load > 5 FROM monitor", "throttle")
    assert errors("DELETE FROM monitor", "throttle") and errors("SELECT 1; SELECT 2", "throttle")


def test_comments_alone_are_no_script() -> None:
    assert errors("-- later\n/* perhaps */")


# -- placeholders --------------------------------------------------------------------------------------


def test_placeholders_leave_every_place_what_it_was() -> None:
    sql = "UPDATE t SET a = ':first'::first -- é :last\nWHERE id BETWEEN :first AND :LAST AND b = $$:last$$"
    made = placeholders(sql)
    assert len(made) == len(sql) and made.count("$1") == made.count("$2") == 1
    assert made == sql.replace("BETWEEN :first AND :LAST", "BETWEEN $1     AND $2   ")
    assert split(made)


@given(st.text(st.sampled_from(" :first:last'$é-\n/*\"x"), max_size=40))
def test_placeholders_never_change_the_length(sql: str) -> None:
    assert len(placeholders(sql)) == len(sql)


# -- queries of strangers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("SELECT * FROM t WHERE a = 'x' AND b = 3.5", "SELECT * FROM t WHERE a = $1 AND b = $2"),
        ("ALTER ROLE r PASSWORD 'secret'", "ALTER ROLE r PASSWORD $1"),
        ("DO $$ SELECT 'secret' $$", "DO $1"),
        ("SELECT 1 /* secret */ -- secret\n, 2", "SELECT $1 , $2"),
        ("UPDATE t SET name = 'cut off in the mid", "UPDATE t SET name = …"),
        ("selec nonsense 5", "selec nonsense $1"),
        ("", ""),
    ],
)
def test_of_a_query_only_its_constants_are_left_out(query: str, shown: str) -> None:
    assert normalise(query) == shown


@given(st.text(max_size=200))
def test_any_text_can_be_shown(query: str) -> None:
    assert "\n" not in normalise(query)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\\'"), min_size=8, max_size=30))
def test_no_string_of_a_query_is_ever_shown(secret: str) -> None:
    secret = f"q8{secret}z7"
    assert "q8" not in normalise(f"SELECT * FROM t WHERE a = '{secret}'")
    assert "q8" not in normalise(f"SELECT * FROM t WHERE a = '{secret}")


def test_a_long_chain_of_operators_is_read() -> None:
    assert len(split("SELECT " + " || ".join(["'x'"] * 2_000))) == 1


LONG = 30_000


@pytest.mark.parametrize(
    ("begin", "again", "end"),
    [
        ("SELECT 1", " + 1", ""),
        ("SELECT 1", "::int", ""),
        ("SELECT (", "1 + ", "1)"),
        ("SELECT 1, 2", " UNION SELECT 1, 2", ""),
        ("SELECT 1 FROM a", " JOIN a USING (b, c)", ""),
    ],
)
def test_a_chain_that_no_stack_would_hold_is_refused(begin: str, again: str, end: str) -> None:
    sql = begin + again * LONG + end
    with pytest.raises(SqlError, match="too long to be read") as caught:
        split(sql)
    assert 0 < caught.value.offset < len(sql) and caught.value.hint


@pytest.mark.parametrize(
    ("begin", "again", "end"),
    [
        ("SELECT 1 WHERE a = 1", " OR a = 1", ""),
        ("SELECT a IN (1", ", 1", ")"),
        ("INSERT INTO t VALUES (-1, f(1))", ", (-1, f(1))", ""),
        ("SELECT 1", "; SELECT 'x' || 1", ""),
    ],
)
def test_what_is_merely_long_is_read(begin: str, again: str, end: str) -> None:
    assert split(begin + again * LONG + end)
