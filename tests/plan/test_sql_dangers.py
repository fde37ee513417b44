"""Warnings about SQL that others on the database would feel, with the way that they would not."""

import json
from pathlib import Path

import pytest

from engine.plan.sql.parse import split
from engine.plan.sql.scripts import scripts
from tests.plan.written import HEAD, load_text

TARGETS = "targets: {app: {postgres: embedded}}\n"


def plan_of(*sqls: str) -> str:
    """A plan whose tasks run these, one after the other."""
    written = HEAD + TARGETS + "tasks:\n"
    for number, sql in enumerate(sqls):
        needs = f"    needs: [t{number - 1}]\n" if number else ""
        body = "".join(f"        {line}\n" for line in sql.split("\n"))
        written += f"  - id: t{number}\n    run:\n      on: app\n      sql: |\n{body}{needs}"
    return written


def warned(folder: Path, *sqls: str) -> list[tuple[str, str]]:
    return [(each.message, each.hint) for each in load_text(folder, plan_of(*sqls)).warnings]


@pytest.mark.parametrize(
    ("sql", "message", "hint"),
    [
        ("CREATE INDEX i ON orders (a)", "scans orders, with writes blocked", "CONCURRENTLY"),
        ("CREATE UNIQUE INDEX i ON orders (a)", "scans orders, with writes blocked", "CONCURRENTLY"),
        ("REINDEX TABLE orders", "scans orders, with writes blocked", "CONCURRENTLY"),
        ("ALTER TABLE orders ALTER a SET NOT NULL", "may scan orders, with reads and writes", "NOT VALID"),
        ("ALTER TABLE orders ALTER a TYPE bigint", "may rewrite orders, with reads and", "backfill"),
        ("ALTER TABLE orders ADD CHECK (a > 0)", "scans orders, with reads and writes", "NOT VALID"),
        ("ALTER TABLE orders ADD FOREIGN KEY (a) REFERENCES orgs", "scans orders, with writes", "NOT VALID"),
        ("ALTER TABLE orders ADD UNIQUE (a)", "scans orders, with reads and writes", "USING INDEX"),
        ("ALTER TABLE orders ADD PRIMARY KEY (a)", "scans orders, with reads", "USING INDEX"),
        ("ALTER TABLE orders ADD b uuid DEFAULT gen_random_uuid()", "rewrites orders", "backfill"),
        ("ALTER TABLE orders ADD b int DEFAULT f()", "may rewrite orders", "backfill"),
        ("VACUUM FULL orders", "rewrites orders, with reads and writes", "plain VACUUM"),
        ("CLUSTER orders USING i", "rewrites orders", "VACUUM"),
        ("REFRESH MATERIALIZED VIEW totals", "rewrites totals", "CONCURRENTLY"),
        ("UPDATE orders SET a = 1", "changes every row in one transaction", "backfill"),
        ("DELETE FROM orders", "changes every row in one transaction", "backfill"),
        ("SET lock_timeout = 0", "the engine's own limit no longer holds", "`lock_timeout`"),
        ("SET LOCAL statement_timeout = '1h'", "the engine's own limit no longer holds", "`timeout`"),
        ("RESET ALL", "the engine's own limits no longer hold", "by its name"),
    ],
)
def test_what_would_be_felt_is_warned_of_with_the_safer_way(
    sql: str, message: str, hint: str, tmp_path: Path
) -> None:
    ((told, way),) = warned(tmp_path, sql)
    assert message in told and hint in way


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX CONCURRENTLY i ON orders (a)",
        "ALTER TABLE orders ADD COLUMN a int NOT NULL DEFAULT 5",
        "ALTER TABLE orders ADD COLUMN a timestamptz DEFAULT now()",
        "ALTER TABLE orders ADD CONSTRAINT c CHECK (a > 0) NOT VALID",
        "ALTER TABLE orders VALIDATE CONSTRAINT c",
        "ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES orgs NOT VALID",
        "ALTER TABLE orders ADD CONSTRAINT u UNIQUE USING INDEX i",
        "ALTER TABLE orders DROP COLUMN a",
        "UPDATE orders SET a = 1 WHERE id = 5",
        "VACUUM orders",
        "SET work_mem = '1GB'",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY totals",
        "CREATE TABLE new (id int); CREATE INDEX ON new (id); ALTER TABLE new ALTER id SET NOT NULL",
        "CREATE TABLE new AS SELECT * FROM a; ALTER TABLE new ADD PRIMARY KEY (id); UPDATE new SET b = 2",
    ],
)
def test_what_nobody_feels_is_passed_over(sql: str, tmp_path: Path) -> None:
    assert warned(tmp_path, sql) == []


def test_a_table_of_the_plan_is_nobody_elses_and_one_made_later_is(tmp_path: Path) -> None:
    create, index = "CREATE TABLE new (id int)", "CREATE INDEX ON new (id)"
    assert warned(tmp_path, create, "SELECT 1", index) == []
    assert len(warned(tmp_path, index, create)) == 1


CHECK = "ALTER TABLE orders ADD CONSTRAINT known CHECK (a IS NOT NULL AND b > 0)"
REQUIRE = "ALTER TABLE orders ALTER a SET NOT NULL"


def test_a_check_that_the_plan_validates_spares_the_scan(tmp_path: Path) -> None:
    validate = "ALTER TABLE orders VALIDATE CONSTRAINT known"
    assert warned(tmp_path, f"{CHECK} NOT VALID", validate, REQUIRE) == []
    assert len(warned(tmp_path, f"{CHECK} NOT VALID", REQUIRE)) == 1
    assert len(warned(tmp_path, f"{CHECK} NOT VALID", validate, REQUIRE.replace(" a ", " b "))) == 1


@pytest.mark.parametrize(
    ("after", "warns"),
    [
        ("UPDATE orders SET b = a", True),
        ("UPDATE lines SET b = 1 WHERE b IS NULL", True),
        ("INSERT INTO archive SELECT * FROM orders", True),
        ("ALTER TABLE lines VALIDATE CONSTRAINT c", True),
        ("UPDATE lines SET b = 1 WHERE id = 5", False),
        ("INSERT INTO lines VALUES (1)", False),
        ("ALTER TABLE lines ADD COLUMN c int", False),
        ("VACUUM lines", False),
    ],
)
def test_a_lock_that_is_held_through_something_long_is_warned_of(
    after: str, warns: bool, tmp_path: Path
) -> None:
    told = [message for message, _ in warned(tmp_path, f"ALTER TABLE orders ADD COLUMN b int;\n{after}")]
    assert any("reads and writes of orders stay blocked through it" in each for each in told) is warns


def test_a_task_that_commits_in_steps_is_warned_of_where_the_first_step_alone_stands(tmp_path: Path) -> None:
    text = plan_of("ALTER TABLE orders ADD COLUMN b int;\n  VACUUM orders;\nSELECT 1")
    (warning,) = load_text(tmp_path, text).warnings
    assert "t0 commits in 3 steps: VACUUM cannot run in a transaction" in warning.message
    assert (
        warning.severity == "warning"
        and warning.place.source_line[warning.place.column - 1 :] == "VACUUM orders;"
    )


def test_a_warning_about_a_file_of_sql_stands_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "up.sql").write_text("SELECT 1;\nCREATE INDEX ON orders (a);\n")
    text = HEAD + TARGETS + "tasks:\n  - id: a\n    run: {sql_file: up.sql, on: app}\n"
    (warning,) = load_text(tmp_path, text).warnings
    assert (warning.place.file, warning.place.line) == (str(tmp_path / "up.sql"), 2)


def test_scripts_say_all_of_it_as_plain_values(tmp_path: Path) -> None:
    text = plan_of("ALTER TABLE orders ADD COLUMN b bigserial;\nVACUUM orders", "DO $$ BEGIN END $$")
    first, second = (script.as_dict() for script in scripts(load_text(tmp_path, text).plan))
    assert json.loads(json.dumps(first)) == first
    together, alone = first["parts"]
    assert together["transactional"] and not alone["transactional"]
    assert alone["why_alone"] == "VACUUM cannot run in a transaction"
    (lock,) = together["statements"][0]["locks"]
    assert (lock["table"], lock["mode"], lock["rewrites"]) == ("orders", "ACCESS EXCLUSIVE", "yes")
    assert lock["blocks_reads"] and lock["blocks_writes"] and not lock["new_table"]
    assert "cannot be seen" in second["parts"][0]["statements"][0]["unseen"]


@pytest.mark.parametrize(
    ("sql", "seen"),
    [
        ("CALL p()", True),
        ("DO $$ $$", True),
        ("DROP OWNED BY r", True),
        ("DROP SCHEMA s CASCADE", True),
        ("DROP SCHEMA s", False),
        ("DROP TRIGGER a ON t CASCADE", False),
        ("VACUUM", True),
        ("VACUUM t", False),
        ("REINDEX DATABASE d", True),
        ("REINDEX TABLE t", False),
        ("CLUSTER", True),
        ("CLUSTER t", False),
        ("ALTER DOMAIN d ADD CHECK (value > 0)", True),
        ("ALTER DOMAIN d DROP NOT NULL", False),
        ("SELECT 1", False),
    ],
)
def test_what_the_radar_cannot_see_it_says(sql: str, seen: bool) -> None:
    (statement,) = split(sql)
    assert bool(statement.unseen) is seen
