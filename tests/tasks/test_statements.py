from pathlib import Path

import pytest

from engine.plan.models import Action
from engine.tasks.statements import is_transactional, read_script, split

TRIGGER = """CREATE TRIGGER keep AFTER UPDATE ON t BEGIN
  INSERT INTO log VALUES ('a;b', CASE WHEN new.x THEN 1 END);
  SELECT 1;
END;"""


def texts(script: str) -> list[str]:
    return [statement.text for statement in split(script)]


@pytest.mark.parametrize(
    ("script", "statements"),
    [
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1; SELECT 2;", ["SELECT 1;", "SELECT 2;"]),
        ("SELECT ';'; --a;\n/*b;*/ SELECT \"x;\", [y;], `z;`", ["SELECT ';';", 'SELECT "x;", [y;], `z;`']),
        ("SELECT 'it''s;';SELECT 2", ["SELECT 'it''s;';", "SELECT 2"]),
        (f"{TRIGGER}\nSELECT 1;", [TRIGGER, "SELECT 1;"]),
        (TRIGGER[:-1], [TRIGGER[:-1]]),
        ("-- nothing\n;; /* at all */ ;", []),
        ("", []),
        ("SELECT 1; -- the end", ["SELECT 1;"]),
        ("SELECT 'unfinished; SELECT 2;", ["SELECT 'unfinished; SELECT 2;"]),
        ("SELECT 1 /* unfinished; SELECT 2;", ["SELECT 1 /* unfinished; SELECT 2;"]),
    ],
)  # fmt: skip
def test_scripts_are_split_where_statements_end(script: str, statements: list[str]) -> None:
    assert texts(script) == statements


def test_statements_know_their_number_and_line() -> None:
    script = "-- first\nSELECT 1;\n\n  SELECT\n 2; SELECT 3"
    assert [(each.number, each.line) for each in split(script)] == [(1, 2), (2, 4), (3, 5)]


def test_a_long_script_is_split_in_no_time() -> None:
    script = "INSERT INTO t VALUES ('" + "a;" * 200_000 + "');" + "SELECT 1;" * 10_000
    assert len(split(script)) == 10_001


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE t (a); INSERT INTO t VALUES ('VACUUM');",
        "PRAGMA user_version = 3",
        "PRAGMA journal_mode",
        "PRAGMA main.foreign_keys;",
        "PRAGMA foreign_key_check(t)",
        TRIGGER,
        "ALTER TABLE t RENAME TO vacuum",
        "",
    ],
)
def test_what_runs_in_one_transaction(script: str) -> None:
    assert is_transactional(script)


@pytest.mark.parametrize(
    "script",
    [
        "VACUUM",
        "SELECT 1; /* now */ vacuum;",
        "ATTACH 'x.db' AS x",
        "DETACH x",
        "PRAGMA journal_mode = WAL",
        "PRAGMA main.journal_mode=WAL",
        "pragma foreign_keys(0)",
        "PRAGMA synchronous=OFF",
        "PRAGMA wal_checkpoint",
    ],
)
def test_what_refuses_a_transaction(script: str) -> None:
    assert not is_transactional(script)


@pytest.mark.parametrize(
    "script", ["BEGIN", "begin immediate", "COMMIT;", "END", "ROLLBACK", "SAVEPOINT a", "/* x */ RELEASE a"]
)
def test_transaction_control_is_seen(script: str) -> None:
    assert split(script)[0].controls_transaction
    assert not split(TRIGGER)[0].controls_transaction


def test_a_summary_is_one_line() -> None:
    (statement,) = split(TRIGGER)
    assert statement.summary(40) == "CREATE TRIGGER keep AFTER UPDATE ON t B…"


def test_a_script_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "up.sql").write_bytes("\ufeffSELECT 'ü'".encode())
    assert read_script(Action(sql_file="up.sql", on="app"), tmp_path) == "SELECT 'ü'"
    with pytest.raises(FileNotFoundError):
        read_script(Action(sql_file="down.sql", on="app"), tmp_path)
