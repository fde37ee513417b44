"""Loading: what a good plan becomes, SQL files, warnings, and plans of a hundred thousand tasks."""

import gc
from pathlib import Path
from time import process_time

import pytest

from engine.plan.errors import render
from engine.plan.load import load_plan
from engine.plan.models import FailureClass
from tests.plan.written import HEAD, errors_of, load_text, unmark

TASK = "tasks:\n  - id: a\n    run: {shell: x}\n    idempotent: true\n"

PUBLISHED = """\
wesley: 1
name: tenant isolation
model: rolling                 # rolling | wave
workers: 4
policy: critical-path
targets:
  app:  {sqlite: app.db}
  main: {postgres: "${DATABASE_URL}"}
  lab:  {postgres: embedded}
resources: {connections: 3, index_builds: 1}
checkpoints: {every: 30m, progress: 25, phases: true, before_risk: 0.7, keep: 10}
retry: {attempts: 3, base: 1s, cap: 30s, jitter: false}
defaults: {timeout: 10m, lock_timeout: 1s}
phases: [expand, backfill, validate, switch, contract]
waves: [{id: w1, name: Foundation}]
tasks:
  - id: other-task
    run: {shell: "true"}
  - id: create-orgs
    name: Create the orgs table
    run: {sql: "CREATE TABLE orgs (id int)", on: app}
    rollback: {sql: "DROP TABLE orgs", on: app}
    verify: {sql: "SELECT count(*) = 1 FROM sqlite_master", on: app}
    needs: [other-task]
    wave: w1
    phase: expand
    duration: 5m
    effort: 0.5
    value: 8
    risk: 0.2
    critical: true
    idempotent: false
    uses: {connections: 1}
    locks: [orgs]
    timeout: 30s
    classify:
      - {exit: 75, as: transient}
      - {sqlstate: "55P03", as: transient}
      - {output: "deadlock", as: transient}
"""


def test_the_plan_of_the_documentation(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, PUBLISHED)
    plan, task = loaded.plan, loaded.plan.tasks[1]
    assert (plan.name, plan.workers, plan.checkpoints.every) == ("tenant isolation", 4, 1800.0)
    assert plan.resources == {"connections": 3, "index_builds": 1}
    assert (task.duration, task.effort, task.value, task.timeout) == (300.0, 0.5, 8.0, 30.0)
    assert [rule.as_ for rule in task.classify] == [FailureClass.TRANSIENT] * 3
    assert (loaded.base, loaded.path, loaded.text) == (tmp_path, tmp_path / "shop.yaml", PUBLISHED)
    assert loaded.target_places["main"].line == 8


def test_the_folder_of_a_plan_is_absolute_however_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_text(tmp_path, HEAD + TASK)
    monkeypatch.chdir(tmp_path)
    assert load_plan("shop.yaml").base == tmp_path


def test_aliases_stand_for_what_they_name(tmp_path: Path) -> None:
    text = HEAD + TASK + "    classify: &rules [{exit: 3, as: transient}]\n"
    plan = load_text(tmp_path, text + "  - {id: b, run: {shell: x}, classify: *rules}\n").plan
    assert plan.tasks[0].classify == plan.tasks[1].classify != ()


def test_sql_files_become_sql(tmp_path: Path) -> None:
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql/up.sql").write_text("\ufeffCREATE TABLE é (x);\n", encoding="utf-8")
    text = HEAD + "targets: {app: {sqlite: a.db}}\ntasks:\n"
    text += "  - {id: a, run: &up {sql_file: sql/up.sql, on: app}, verify: {sql_file: sql/up.sql, on: app}}\n"
    text += "  - {id: b, run: *up}\n"
    plan = load_text(tmp_path, text).plan
    first, second = plan.tasks
    assert first.run == first.verify == second.run
    assert (first.run.sql, first.run.sql_file, first.run.kind) == ("CREATE TABLE é (x);\n", None, "sql")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.sql", "No such file"),
        ("folder", "it is a folder"),
        ("empty.sql", "there is nothing in it"),
        ("latin.sql", "not UTF-8"),
        ("../outside.sql", "leads out of the plan's folder"),
        ("link.sql", "leads out of the plan's folder"),
        ("/etc/hostname", "leads out of the plan's folder"),
        ("loop.sql", "cannot be"),
    ],
)
def test_sql_files_that_cannot_be_taken(tmp_path: Path, name: str, said: str) -> None:
    folder = tmp_path / "plan"
    (folder / "folder").mkdir(parents=True)
    (folder / "empty.sql").write_text(" \n")
    (folder / "latin.sql").write_bytes(b"-- caf\xe9")
    (tmp_path / "outside.sql").write_text("SELECT 1")
    (folder / "link.sql").symlink_to(tmp_path / "outside.sql")
    (folder / "loop.sql").symlink_to("loop.sql")
    text, (place,) = unmark(
        HEAD
        + f"targets: {{app: {{sqlite: a.db}}}}\ntasks: [{{id: a, run: {{sql_file: §{name}, on: app}}}}]\n"
    )
    (error,) = errors_of(folder, text).findings
    assert said in error.message
    assert name in error.message
    assert (error.place.line, error.place.column) == place


def test_paths_may_leave_the_folder_where_that_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "outside.sql").write_text("SELECT 1")
    folder = tmp_path / "plan"
    folder.mkdir()
    text = (
        HEAD
        + "targets: {app: {sqlite: ../a.db}}\ntasks: [{id: a, run: {sql_file: ../outside.sql, on: app}}]\n"
    )
    loaded = load_text(folder, text, allow_outside=True)
    assert loaded.plan.tasks[0].run.sql == "SELECT 1"
    assert loaded.warnings == ()
    assert loaded.expand_targets({}, allow_outside=True).locations == {"app": tmp_path / "a.db"}


# Each: the plan, with § where the warning is, and what is said.
WARNINGS = {
    "no rollback": (
        HEAD + TASK + "    critical: §true\n  - {id: b, run: {sql: x, on: t}, critical: true}\n"
        "targets: {t: {sqlite: t.db}}\n",
        "critical, but without a rollback: a, b",
    ),
    "no evidence": (
        HEAD + "tasks:\n" + "".join(f"  - {{id: t{n}, run: §{{python: 'm:f'}}}}\n" for n in range(5)),
        "neither idempotent nor with a verify: t0, t1, t2 and 2 more",
    ),
    "no duration": (
        HEAD + TASK + "    duration: 1m\n  - {id: §b, run: {shell: x}, idempotent: true}\n",
        "no duration, though other tasks have one: b",
    ),
    "short timeout": (
        HEAD + TASK + "    duration: 5m\n    timeout: §1m\n",
        "the timeout of 1m is over before the duration of 5m",
    ),
    "short default timeout": (
        HEAD + "defaults: {timeout: 1m}\n" + TASK + "    duration: §5m\n",
        "the timeout of 1m is over before the duration of 5m",
    ),
    "lonely lock": (HEAD + TASK + "    locks: [§orgs]\n", 'no other task takes the lock "orgs"'),
    "unused pool": (HEAD + "resources: {§cpu: 1}\n" + TASK, 'no task uses the pool "cpu"'),
    "password": (
        HEAD + "targets: {db: {postgres: §'postgresql://me:geheim@host/db'}}\n" + TASK,
        "a password stands in the plan",
    ),
}


@pytest.mark.parametrize("case", WARNINGS)
def test_warnings(tmp_path: Path, case: str) -> None:
    marked, said = WARNINGS[case]
    text, places = unmark(marked)
    (warning,) = load_text(tmp_path, text).warnings
    assert warning.message == said
    assert (warning.place.line, warning.place.column) == places[0]
    assert render([warning]).startswith(f"{tmp_path}/shop.yaml:{places[0][0]}:{places[0][1]}: warning: ")


def test_nothing_is_said_against_a_careful_plan(tmp_path: Path) -> None:
    text = HEAD + 'targets: {db: {postgres: "host=x password=${PW}"}}\n' + TASK
    assert load_text(tmp_path, text).warnings == ()


@pytest.mark.parametrize("on", [True, False])
def test_loading_leaves_the_collector_as_it_was(tmp_path: Path, on: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if on else gc.disable)()
        load_text(tmp_path, HEAD + TASK)
        assert gc.isenabled() is on
        errors_of(tmp_path, HEAD)
        assert gc.isenabled() is on
    finally:
        (gc.enable if before else gc.disable)()


def test_ten_thousand_tasks_load_in_bounded_time(tmp_path: Path) -> None:
    text = HEAD + "tasks:\n"
    for n in range(10_000):
        needs = f"t{n - 1}" if n else ""
        text += f"  - id: t{n}\n    run: {{shell: 'echo {n}'}}\n    needs: [{needs}]\n    duration: 5m\n"
    begun = process_time()
    assert len(load_text(tmp_path, text).plan.tasks) == 10_000
    assert process_time() - begun < 10.0
