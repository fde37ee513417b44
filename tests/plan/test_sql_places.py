"""Errors in SQL have their place in the plan, however it is written there, or in the file it is from."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.plan.inside import place_inside
from engine.plan.source import parse_yaml
from tests.plan.written import HEAD, errors_of, load_text, unmark

TARGETS = "targets: {app: {postgres: embedded}, lite: {sqlite: app.db}}\n"


def places(folder: Path, marked: str) -> None:
    """Every mark in these tasks is where an error stands, and there is no other."""
    text, expected = unmark(f"{HEAD}{TARGETS}tasks:\n{marked}")
    found = [(each.place.line, each.place.column) for each in errors_of(folder, text).findings]
    assert found == expected


RUN = "  - id: a\n    run:\n      on: app\n      sql:"


@pytest.mark.parametrize(
    "written",
    [
        f"{RUN} |\n        SELECT 1;\n\n          §selec é\n",
        f"{RUN} |2-\n            SELECT 'é';\n          §selec\n",
        f"{RUN} >-  # folded\n        SELECT\n          1;\n\n        §selec 5\n",
        f"{RUN} SELECT 1; §selec 2\n",
        f"{RUN} SELECT 1,\n        2;\n        §selec\n",
        f"{RUN} \"SELECT 'é'; §selec 2\"\n",
        f"{RUN} 'SELECT ''it''''s''; §selec ''x'''\n",
        f"{RUN} 'SELECT (§'\n",
        f"{RUN} &sql 'SELECT 1; §selec'\n    verify: {{sql: *sql, on: app}}\n",
        f"{RUN} SELECT 1\n    verify:\n      on: app\n      sql: |\n        SELECT 1; §COMMIT\n",
        "  - id: a\n    run: {backfill: {table: t, key: id, sql: '§SELECT 1, :first, :last'}, on: app}\n",
    ],
)
def test_an_error_stands_where_it_is_written(written: str, tmp_path: Path) -> None:
    places(tmp_path, written)


def test_behind_an_escape_the_scalar_is_named_and_the_place_in_the_sql(tmp_path: Path) -> None:
    text = HEAD + TARGETS + 'tasks:\n  - id: a\n    run: {sql: "SELECT \\"x\\";\\n  selec", on: app}\n'
    (error,) = errors_of(tmp_path, text).findings
    assert (error.place.line, error.place.column) == (6, 16)
    assert "(line 2 of the SQL, column 3)" in error.message


def test_an_error_in_a_file_of_sql_stands_in_that_file(tmp_path: Path) -> None:
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql/up.sql").write_text("\ufeffSELECT 'é';\r\n  selec 1;\r\n", encoding="utf-8")
    text = HEAD + TARGETS + "tasks:\n  - id: a\n    run: {sql_file: sql/up.sql, on: app}\n    needs: [b]\n"
    plan, sql = errors_of(tmp_path, text).findings
    assert plan.place.file.endswith("shop.yaml") and 'unknown task "b"' in plan.message
    assert sql.place.file == str(tmp_path / "sql/up.sql")
    assert (sql.place.line, sql.place.column) == (2, 3)
    assert sql.place.source_line == "  selec 1;"
    assert "selec 1;\n      |   ^" in sql.render()


def test_nothing_in_the_sql_steers_the_terminal_that_shows_the_error(tmp_path: Path) -> None:
    text = HEAD + TARGETS + 'tasks:\n  - id: a\n    run: {sql: "SELECT 1 \\e[31m\\u202e", on: app}\n'
    (error,) = errors_of(tmp_path, text).findings
    assert error.render().replace("\n", "").isprintable()


def test_sqlite_is_not_read_as_postgresql(tmp_path: Path) -> None:
    load_text(tmp_path, HEAD + TARGETS + "tasks:\n  - id: a\n    run: {sql: PRAGMA user_version, on: lite}\n")


def test_sql_is_checked_even_where_the_plan_has_other_faults(tmp_path: Path) -> None:
    places(
        tmp_path,
        "  - id: a\n    §colour: red\n    run: {sql: §selec, on: app}\n"
        "  - id: b\n    run: {sql: §BEGIN, on: app}\n    duration: §soon\n",
    )


WORDS = st.lists(st.sampled_from(["SELECT", "é", "'it''s'", "1,", "x"]), min_size=1, max_size=6)


@given(st.lists(WORDS, min_size=1, max_size=5), st.sampled_from("|>'\""), st.integers(1, 4))
def test_any_character_is_found_again(lines: list[list[str]], style: str, indent: int) -> None:
    text = "\n".join(" ".join(words) for words in lines)
    pad = " " * indent
    if style in "|>":
        written = f"a: {style}\n" + "".join(f"{pad}{line}\n" for line in text.split("\n"))
    else:
        inside = text.replace("'", "''") if style == "'" else text
        written = f"a: {style}" + f"\n{pad}".join(inside.split("\n")) + style
    document = parse_yaml(written, "f")
    value = document.value(("a",))
    for offset, char in enumerate(value):
        if not char.isspace():
            place = place_inside(document, ("a",), offset)
            assert place and place.source_line[place.column - 1] == char
