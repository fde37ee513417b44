"""Plans with mistakes: each is told with its place, its reason and what may have been meant."""

import json
from pathlib import Path

import pytest
from pydantic import Field

from engine.plan.errors import MAX_FINDINGS, Finding, Place, PlanErrors, render
from engine.plan.load import load_plan
from engine.plan.models import Strict
from engine.plan.validation import read_as
from tests.plan.written import HEAD, errors_of, load_text, unmark

TASK = "tasks:\n  - id: a\n    run: {shell: x}\n"

# Each: the plan, with § where the error is; what is said; what is hinted.
ONE_ERROR = {
    "unknown key of a task": (HEAD + TASK + "    §neds: []\n", 'unknown key "neds"', 'did you mean "needs"?'),
    "unknown key at the top": (
        HEAD + "§wrokers: 4\n" + TASK,
        'unknown key "wrokers"',
        'did you mean "workers"?',
    ),
    "unknown key in a flow mapping": (
        HEAD + "retry: {attempts: 1, §jiter: true}\n" + TASK,
        'unknown key "jiter"',
        'did you mean "jitter"?',
    ),
    "duplicate key": (HEAD + TASK + "    §id: b\n", 'duplicate key "id"', "first given in line 4"),
    "duplicate key at the top": (HEAD + TASK + "§name: x\n", 'duplicate key "name"', "first given in line 2"),
    "merge key": (
        HEAD + TASK + "    §<<: {risk: 1}\n",
        "merge keys (<<) are not supported",
        "name the values",
    ),
    "tag": (
        HEAD + TASK + "    name: §!!str 7\n",
        'the tag "tag:yaml.org,2002:str" is not supported',
        "leave it",
    ),
    "duplicate id": (
        HEAD + TASK + "  - id: §a\n    run: {shell: y}\n",
        '"a" is here twice',
        "first given in line 4",
    ),
    "duplicate wave": (HEAD + "waves: [{id: w}, {id: §w}]\n" + TASK, '"w" is here twice', "line 3"),
    "duplicate phase": (HEAD + "phases: [p, q, §p]\n" + TASK, '"p" is here twice', "line 3"),
    "duplicate lock": (HEAD + TASK + "    locks: [l, §l]\n", '"l" is here twice', "line 6"),
    "unknown dependency": (
        HEAD + TASK + "  - {id: create-orgs, run: {shell: x}}\n"
        "  - {id: b, run: {shell: x}, needs: [a, §creat-orgs]}\n",
        'unknown task "creat-orgs"',
        'did you mean "create-orgs"?',
    ),
    "self dependency": (HEAD + TASK + "    needs: [§a]\n", 'task "a" needs itself', ""),
    "cycle": (
        HEAD + TASK + "    needs: [§b]\n  - {id: b, run: {shell: x}, needs: [a]}\n",
        "a cycle of 2 tasks: a → b → a",
        "each needs the next",
    ),
    "need above capacity": (
        HEAD + "resources: {cpu: 2}\n" + TASK + "    uses: {cpu: §3}\n",
        '3 of pool "cpu" are needed, and its capacity is 2',
        "raise the capacity",
    ),
    "unknown pool": (
        HEAD + "resources: {connections: 2}\n" + TASK + "    uses: {§conections: 1}\n",
        'unknown pool "conections"',
        'did you mean "connections"?',
    ),
    "no pools at all": (
        HEAD + TASK + "    uses: {§cpu: 1}\n",
        'unknown pool "cpu"',
        "the plan declares no pools",
    ),
    "a lock named like a pool": (
        HEAD + "resources: {cpu: 2}\n" + TASK + "    uses: {cpu: 1}\n    locks: [§cpu]\n",
        '"cpu" is a pool; a lock needs another name',
        "",
    ),
    "unknown wave": (
        HEAD + "waves: [{id: first}]\n" + TASK + "    wave: §frist\n",
        'unknown wave "frist"',
        'did you mean "first"?',
    ),
    "unknown phase": (
        HEAD + "phases: [expand, switch]\n" + TASK + "    phase: §expnd\n",
        'unknown phase "expnd"',
        'did you mean "expand"?',
    ),
    "unknown target": (
        HEAD + "targets: {app: {sqlite: a.db}}\ntasks: [{id: a, run: {sql: select 1, on: §ap}}]\n",
        'unknown target "ap"',
        'did you mean "app"?',
    ),
    "unknown target of a rollback": (
        HEAD + TASK + "    rollback: {sql: select 1, on: §app}\n",
        'unknown target "app"',
        "the plan declares no targets",
    ),
    "unknown policy": (
        HEAD + "policy: §critcal-path\n" + TASK,
        '"critcal-path" is not one of critical-path, weighted, fifo',
        'did you mean "critical-path"?',
    ),
    "unknown failure class": (
        HEAD + TASK + "    classify: [{exit: 1, as: §transiet}]\n",
        '"transiet" is not one of transient, resource, permanent, unknown',
        'did you mean "transient"?',
    ),
    "listed waves against a dependency": (
        HEAD + "waves: [{id: w1}, {id: w2}]\n" + TASK + "    wave: w1\n    needs: [§b]\n"
        "  - {id: b, run: {shell: x}, wave: w2}\n",
        'task "a" of wave "w1" needs "b", which runs in wave "w2", after it',
        "move one of the two",
    ),
    "waves by appearance against a dependency": (
        HEAD + TASK + "    wave: w1\n    needs: [§b]\n  - {id: b, run: {shell: x}, wave: w2}\n",
        'task "a" of wave "w1" needs "b", which runs in wave "w2", after it',
        "move one of the two",
    ),
    "waves against a dependency through a task without one": (
        HEAD + "waves: [{id: w1}, {id: w2}]\n" + TASK + "    wave: w1\n    needs: [§u]\n"
        "  - {id: u, run: {shell: x}, needs: [b]}\n  - {id: b, run: {shell: x}, wave: w2}\n",
        'task "a" of wave "w1" needs "u", which runs in wave "w2", after it',
        "move one of the two",
    ),
    "missing id": (HEAD + "tasks:\n  - §run: {shell: x}\n", '"id" is missing', ""),
    "missing tasks": ("§" + HEAD, '"tasks" is missing', ""),
    "no tasks": (HEAD + "tasks: §[]\n", "at least one entry is needed here", ""),
    "missing class of a rule": (HEAD + TASK + "    classify: [§{exit: 1}]\n", '"as" is missing', ""),
    "another version": (
        "wesley: §2\nname: x\n" + TASK,
        'version "2" of the plan language',
        "reads version 1",
    ),
    "a number for text": (HEAD + "tasks: [{id: §7, run: {shell: x}}]\n", '"7" is not text', 'in quotes: "7"'),
    "text for a number": (HEAD + "workers: §many\n" + TASK, '"many" is not a whole number', ""),
    "no workers": (HEAD + "workers: §0\n" + TASK, '"0" is out of range: it must be at least 1', ""),
    "risk above 1": (HEAD + TASK + "    risk: §1.5\n", '"1.5" is out of range: it must be at most 1', ""),
    "value of 0": (HEAD + TASK + "    value: §0\n", '"0" is out of range: it must be above 0', ""),
    "risk without number": (HEAD + TASK + "    risk: §.nan\n", '".nan" is not right here', ""),
    "a list for a mapping": (HEAD + TASK + "    uses: §[cpu]\n", "this is not a mapping", ""),
    "text for a list": (HEAD + TASK + "    needs: §b\n", '"b" is not a list', "write [b]"),
    "text for an action": (HEAD + "tasks: [{id: a, run: §make}]\n", '"make" is not a mapping', ""),
    "two kinds": (HEAD + "tasks: [{id: a, run: §{shell: x, simulate: {}}}]\n", "given: shell, simulate", ""),
    "no kind": (HEAD + "tasks: [{id: a, run: §{}}]\n", "given: none", ""),
    "SQL without a target": (HEAD + "tasks: [{id: a, run: §{sql: x}}]\n", "SQL needs `on: TARGET`", ""),
    "a shell with a target": (
        HEAD + "targets: {b: {sqlite: x}}\ntasks: [{id: a, run: §{shell: x, on: b}}]\n",
        "goes with SQL only",
        "",
    ),
    "a target of no kind": (HEAD + "targets: {app: §{}}\n" + TASK, "a target is either", ""),
    "a target in memory": (
        HEAD + "targets: {app: §{sqlite: ':memory:'}}\n" + TASK,
        "is lost between tasks",
        "",
    ),
    "a variable that is none": (
        HEAD + 'targets: {app: {postgres: §"${DB-NAME}"}}\n' + TASK,
        "a variable is written ${NAME} or ${NAME:-default}",
        "",
    ),
    "a Python function of no form": (
        HEAD + "tasks: [{id: a, run: {python: §a.b}}]\n",
        '"a.b" is not right here: a function is written module:function',
        "",
    ),
    "a name with a blank": (
        HEAD + TASK + "    locks: [§a b]\n",
        '"a b" is not right here: a name begins',
        "",
    ),
    "a pool with a bad name": (HEAD + "resources: {§a b: 1}\n" + TASK, '"a b" is no name', ""),
    "an empty command": (HEAD + "tasks: [{id: a, run: {shell: §''}}]\n", "there is nothing in it", ""),
    "a blank command": (HEAD + "tasks: [{id: a, run: {shell: §' '}}]\n", "there is nothing in it", ""),
    "NUL in a command": (HEAD + 'tasks: [{id: a, run: {shell: §"a\\0b"}}]\n', "the character U+0000", ""),
    "a long title": ("wesley: 1\nname: §" + "x" * 201 + "\n" + TASK, "is longer than 200 characters", ""),
    "bidi in a title": ('wesley: 1\nname: §"a\\u202eb"\n' + TASK, "the invisible character U+202E", ""),
    "escape in a title": ('wesley: 1\nname: §"a\\eb"\n' + TASK, "the invisible character U+001B", ""),
    "control in a name": (
        HEAD + 'tasks: [{id: §"a\\tb", run: {shell: x}}]\n',
        '"a\\tb" is not right here',
        "",
    ),
    "a bare number for a duration": (HEAD + TASK + "    duration: §30\n", '"30": not a duration', ""),
    "a bare decimal for a duration": (HEAD + TASK + "    duration: §1.5\n", '"1.5": not a duration', ""),
    "a sexagesimal for a duration": (
        HEAD + TASK + "    duration: §1:30:00\n",
        '"1:30:00": not a duration',
        "",
    ),
    "no is text": (HEAD + TASK + "    critical: §no\n", '"no" is not true or false', ""),
    "an SQLSTATE that is a number": (
        HEAD + TASK + "    classify: [{sqlstate: §40001, as: transient}]\n",
        '"40001" is not text',
        'in quotes: "40001"',
    ),
    "a list at the top": ("§- a\n", "this is not a mapping", ""),
    "text at the top": ("§hello\n", '"hello" is not a mapping', ""),
    "a tab": (HEAD + "tasks:\n§\t- id: a\n", "not YAML", "indent with spaces"),
    "an open list": (HEAD + "tasks: [\n§", "not YAML: while parsing a flow", ""),
    "a colon in text": (HEAD + "interpreter: a§: b\n" + TASK, "mapping values are not allowed", "in quotes"),
    "a variable without quotes": (
        HEAD + "targets: {app: {postgres: $§{DB}}}\n" + TASK,
        "not YAML",
        'in quotes: "${NAME}"',
    ),
    "an at sign": (HEAD + "interpreter: §@x\n" + TASK, "not YAML", "begins with @"),
    "a second document": (HEAD + TASK + "§---\na: b\n", "a second document begins here", ""),
    "a list for a key": (HEAD + "? §[a]\n: b\n" + TASK, "a key is text", ""),
    "an unknown anchor": (
        HEAD + "x: &retry 1\ny: §*rety\n",
        'unknown anchor "rety"',
        'did you mean "retry"?',
    ),
    "an alias within its anchor": (HEAD + "x: &loop [a, §*loop]\n", "stands inside what it stands for", ""),
    "a control character": (HEAD + "x: a§\x07b\n", "the control character U+0007", "as an escape"),
    "NUL": (HEAD + "§\0\n", "the control character U+0000", "as an escape"),
    "a wide character before": ('"注文": §*x\n', 'unknown anchor "x"', ""),
}


@pytest.mark.parametrize("case", ONE_ERROR)
def test_one_error(tmp_path: Path, case: str) -> None:
    marked, said, hint = ONE_ERROR[case]
    text, (place,) = unmark(marked)
    found = errors_of(tmp_path, text).findings
    assert [(each.place.line, each.place.column) for each in found] == [place], render(found)
    assert said in found[0].message
    assert hint in found[0].hint
    assert bool(hint) == bool(found[0].hint)
    assert found[0].severity == "error"


SEVERAL = """\
wesley: 1
name: several
§polcy: fifo
retry: {attempts: §-1, base: §30}
resources: {cpu: 1}
tasks:
  - id: a
    run: {shell: x}
    §neds: []
    needs: [§b]
    uses: {cpu: §2}
  - id: b
    run: {shell: x, on: §app}
    needs: [a, §c]
  - id: §b
    run: §nothing
    risk: §2
    §risk: 1
  - §name: d
    run: {shell: y}
  - id: e
    run: {shell: y}
    needs: [§f]
  - id: f
    run: {shell: y}
    needs: [e]
"""


def test_all_errors_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text, places = unmark(SEVERAL)
    found = errors_of(tmp_path, text).findings
    told = [(each.place.line, each.place.column) for each in found]
    assert set(places) <= set(told), render(found)
    assert told == sorted(told)
    # Beside the marked ones only `on` beside `shell`, told of the action that has both.
    assert [each.message for each in found if (each.place.line, each.place.column) not in places] == [
        "`on` goes with SQL only"
    ]


def test_an_error_reads_with_its_line_a_caret_and_a_hint(tmp_path: Path) -> None:
    errors = errors_of(tmp_path, HEAD + TASK + "    neds: [b]\n")
    assert str(errors) == (
        f'{tmp_path}/shop.yaml:6:5: unknown key "neds"\n'
        "    6 |     neds: [b]\n"
        "      |     ^\n"
        '  hint: did you mean "needs"?'
    )
    as_json = json.loads(json.dumps(errors.as_dict()))
    assert as_json == {
        "errors": [
            {
                "severity": "error",
                "file": f"{tmp_path}/shop.yaml",
                "line": 6,
                "column": 5,
                "text": "neds",
                "message": 'unknown key "neds"',
                "hint": 'did you mean "needs"?',
            }
        ]
    }


def test_the_caret_stands_under_the_column_after_wide_characters_and_in_long_lines() -> None:
    wide = Place("p", 1, 5, "x", "注文: x")
    assert wide.excerpt().split("\n") == ["    1 | 注文: x", "      |       ^"]
    line = "a" * 300 + "b" + "c" * 300
    shown, caret = Place("p", 1, 301, "b", line).excerpt().split("\n")
    assert shown[caret.index("^")] == "b"
    assert len(shown) < 120


def test_foreign_text_cannot_steer_a_terminal(tmp_path: Path) -> None:
    hostile = "\u202e\u2066x"
    found = errors_of(tmp_path, HEAD + TASK + f"    needs: [{hostile}]\n    {hostile}: 1\n")
    assert len(found.findings) == 2
    assert all(char.isprintable() or char == "\n" for char in found.render())
    named = Finding("x", Place("a\x1b[2J.yaml", 1, 1, "", "\x9b31m\ttext"))
    assert all(char.isprintable() or char == "\n" for char in named.render())


def test_two_cycles_are_both_named_and_a_long_one_is_shortened(tmp_path: Path) -> None:
    ring = "".join(f"  - {{id: t{n}, run: {{shell: x}}, needs: [t{(n + 1) % 20}]}}\n" for n in range(20))
    pair = "  - {id: a, run: {shell: x}, needs: [b]}\n  - {id: b, run: {shell: x}, needs: [a]}\n"
    first, second = errors_of(tmp_path, HEAD + "tasks:\n" + ring + pair).findings
    assert first.message == "a cycle of 20 tasks: t0 → t1 → t2 → t3 → t4 → t5 → … → t19 → t0"
    assert second.message == "a cycle of 2 tasks: a → b → a"


def test_one_mistake_behind_many_aliases_is_told_once(tmp_path: Path) -> None:
    text = HEAD + "tasks:\n  - {id: t0, run: &run {shel: x}}\n"
    text += "".join(f"  - {{id: t{n}, run: *run}}\n" for n in range(1, 5))
    assert [each.message for each in errors_of(tmp_path, text).findings] == ['unknown key "shel"']


@pytest.mark.parametrize(
    ("content", "said", "line", "column"),
    [
        (b"", "the file is empty", None, None),
        (b"# only a remark\n", "the file is empty", None, None),
        (b"wesley: 1\nname: caf\xe9\n", "not UTF-8: byte 0xe9", 2, 10),
        (b"\xff\xfew\x00", "not UTF-8: byte 0xff", 1, 1),
    ],
)
def test_files_that_are_no_text(
    tmp_path: Path, content: bytes, said: str, line: int | None, column: int | None
) -> None:
    path = tmp_path / "shop.yaml"
    path.write_bytes(content)
    with pytest.raises(PlanErrors) as caught:
        load_plan(path)
    (told,) = caught.value.as_dict()["errors"]
    assert said in told["message"]
    assert (told["line"], told["column"]) == (line, column)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    for path, said in [
        (tmp_path / "none.yaml", "No such file"),
        (tmp_path, "it is a folder"),
        (Path("/dev/null"), "it is no ordinary file"),
        (tmp_path / "loop.yaml", "cannot be read"),
    ]:
        with pytest.raises(PlanErrors, match=said):
            load_plan(path)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    text = "\ufeff" + HEAD + TASK
    assert load_text(tmp_path, text).plan.name == "test"
    (found,) = errors_of(tmp_path, "\ufeffweslei: 1\nname: x\nwesley: 1\n" + TASK).findings
    assert (found.place.line, found.place.column) == (1, 1)


def test_a_file_that_is_wrong_everywhere_is_cut_short(tmp_path: Path) -> None:
    errors = errors_of(tmp_path, HEAD + "tasks: [" + "1," * 5000 + "]\n")
    assert len(errors.findings) == MAX_FINDINGS
    assert errors.render().endswith("… and at least 950 more")


class Listed(Strict):
    entries: tuple[int, ...] = Field(strict=False, min_length=1)


def test_documents_beside_a_plan_are_told_in_the_same_way(tmp_path: Path) -> None:
    path = tmp_path / "listed.yaml"
    path.write_text("entries: []\nentris: 1\n")
    with pytest.raises(PlanErrors) as caught:
        read_as(path, Listed)
    assert [(each.place.line, each.message, each.hint) for each in caught.value.findings] == [
        (1, "at least one entry is needed here", ""),
        (2, 'unknown key "entris"', 'did you mean "entries"?'),
    ]
