"""`resume` beside a plan that was changed: told, refused, kept out, or accepted."""

import json
from pathlib import Path

import pytest

from tests.cli.program import Program, write_plan

TASKS = """
  - {id: one, run: {shell: "echo one >> log"}, rollback: {shell: "echo undo one >> log"}}
  - {id: two, run: {shell: "test -e ready"}, needs: [one]}
  - {id: three, run: {shell: "echo three >> log"}, needs: [two]}
"""


class Stopped:
    """A run that stands still at a question about `two`, with `one` done and `three` to come."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.plan = write_plan(program.folder, TASKS)
        program("run", self.plan, "--headless", "--run-id", "r").wants(6)

    def edit(self, old: str, new: str) -> None:
        text = self.plan.read_text()
        assert old in text
        self.plan.write_text(text.replace(old, new))

    @property
    def log(self) -> list[str]:
        return (self.program.folder / "log").read_text().split("\n")[:-1]

    @property
    def plan_changes(self) -> list[dict[str, object]]:
        return [event for event in self.program.events("r") if event["kind"] == "plan_changed"]


@pytest.fixture
def stopped(program: Program) -> Stopped:
    return Stopped(program)


def test_a_plan_that_is_the_same_goes_without_saying(stopped: Stopped) -> None:
    stopped.edit("name: outside view", "name: another\npolicy: fifo\nworkers: 9\nretry: {attempts: 7}")
    stopped.edit("id: three,", "id: three, name: The third, duration: 3h, risk: 0.9, value: 9,")
    resumed = stopped.program("resume", "r", "--headless").wants(6)
    assert resumed.err == ""
    assert stopped.program.inspect("r")["plan"] == "outside view"


def test_changes_are_told_one_by_one_and_refused(stopped: Stopped) -> None:
    stopped.edit("echo one", "echo ONE")
    stopped.edit("test -e ready", "true")
    stopped.edit(
        '{id: three, run: {shell: "echo three >> log"}, needs: [two]}', '{id: four, run: {shell: "true"}}'
    )
    before = stopped.program.events("r")
    refused = stopped.program("resume", "r", "--headless").wants(7)
    for line in (
        "the plan was changed since this run started with it",
        f"where: {stopped.plan}",
        "completed and changed: one (run)",
        "pending and changed: two (run), failed",
        "pending and removed: three",
        "added: four",
        "cannot be changed any more: one",
        "--keep-plan",
    ):
        assert line in refused.err
    assert "--accept-plan-changes" not in refused.err
    accepting = stopped.program("resume", "r", "--headless", "--accept-plan-changes").wants(7)
    assert accepting.err == refused.err
    assert stopped.program.events("r") == before


def test_what_is_pending_can_be_changed_and_that_is_in_the_journal(stopped: Stopped) -> None:
    stopped.edit("test -e ready", "echo two >> log")
    stopped.edit("echo three", "echo THREE")
    stopped.edit(
        "tasks:", "workers: 7\ntasks:\n  - {id: more, run: {shell: 'echo more >> log'}, needs: [two]}"
    )
    refused = stopped.program("resume", "r", "--headless").wants(7)
    assert "--accept-plan-changes goes on with the changed plan" in refused.err
    resume = ("resume", "r", "--headless", "--on-unknown", "retry")
    accepted = stopped.program(*resume, "--accept-plan-changes", "--json").wants(0)
    assert accepted.events[0]["kind"] == "plan_changed"
    (change,) = stopped.plan_changes
    assert (change["changed"], change["removed"], change["added"]) == (["two", "three"], [], ["more"])
    assert change["actor"]
    assert "echo" not in json.dumps(change)
    assert sorted(stopped.log) == ["THREE", "more", "one", "two"]
    found = stopped.program.inspect("r")
    assert found["lanes"] == 4
    assert {task: each["status"] for task, each in found["tasks"].items()} == dict.fromkeys(
        ("more", "one", "two", "three"), "succeeded"
    )
    stopped.program("verify", "r").wants(0)


def test_what_was_accepted_is_what_the_next_resume_compares_with(stopped: Stopped) -> None:
    stopped.edit("echo three", "echo THREE")
    stopped.program("resume", "r", "--headless", "--accept-plan-changes").wants(6)
    again = stopped.program("resume", "r", "--headless").wants(6)
    assert again.err == ""
    stopped.edit("echo THREE", "echo three")
    assert "pending and changed: three (run)" in stopped.program("resume", "r", "--headless").wants(7).err
    assert len(stopped.plan_changes) == 1


def test_the_plan_can_be_kept_whatever_its_file_says(stopped: Stopped) -> None:
    stopped.edit("echo one", "echo ONE")
    stopped.edit("echo three", "echo THREE")
    (stopped.program.folder / "ready").touch()
    kept = stopped.program("resume", "r", "--headless", "--keep-plan", "--on-unknown", "retry").wants(0)
    assert "goes on with the plan it was started with" in kept.err
    assert stopped.log == ["one", "three"]
    assert stopped.plan_changes == []


@pytest.mark.parametrize("how", ["gone", "broken"])
def test_a_file_that_cannot_be_read_is_told_in_a_line_and_not_compared(stopped: Stopped, how: str) -> None:
    stopped.plan.unlink() if how == "gone" else stopped.plan.write_text("wesley: [")
    (stopped.program.folder / "ready").touch()
    accepting = stopped.program("resume", "r", "--headless", "--accept-plan-changes").wants(2)
    assert "nothing to accept" in accepting.err
    resumed = stopped.program("resume", "r", "--headless", "--on-unknown", "retry").wants(0)
    (line,) = resumed.err.splitlines()
    assert "not compared" in line
    assert str(stopped.plan) in line
    assert stopped.log == ["one", "three"]


def test_a_changed_sql_file_is_a_changed_plan(program: Program) -> None:
    script = program.folder / "fill.sql"
    script.write_text("CREATE TABLE t (x);")
    plan = write_plan(
        program.folder,
        '  - {id: stop, run: {shell: "exit 3"}}\n'
        "  - {id: fill, run: {sql_file: fill.sql, on: app}, needs: [stop]}\n",
        targets="{app: {sqlite: app.db}}",
    )
    program("run", plan, "--headless", "--run-id", "r").wants(6)
    program("resume", "r", "--headless").wants(6)
    script.write_text("CREATE TABLE t (x, y);")
    assert "pending and changed: fill (run)" in program("resume", "r", "--headless").wants(7).err


def test_one_answer_only(stopped: Stopped) -> None:
    both = stopped.program("resume", "r", "--headless", "--keep-plan", "--accept-plan-changes").wants(2)
    assert "give one" in both.err


def test_what_cannot_be_run_here_is_refused_before_it_is_accepted(stopped: Stopped) -> None:
    stopped.edit('"echo three >> log"', '"echo three"')
    stopped.edit(
        "tasks:",
        'targets: {db: {sqlite: "${NOT_SET_ANYWHERE}"}}\ntasks:\n  - {id: x, run: {sql: "SELECT 1", on: db}}',
    )
    refused = stopped.program("resume", "r", "--headless", "--accept-plan-changes").wants(2)
    assert "NOT_SET_ANYWHERE" in refused.err
    assert stopped.plan_changes == []


def test_passwords_in_a_plan_reach_no_event_that_is_printed(program: Program, tmp_path: Path) -> None:
    text = '  - {id: stop, run: {shell: "exit 3"}}\n  - {id: later, run: {shell: "true"}, needs: [stop]}\n'
    targets = '{main: {postgres: "postgresql://u:hunter2@db/x"}}'
    plan = write_plan(program.folder, text, targets=targets)
    program("run", plan, "--headless", "--run-id", "r").wants(6)
    plan.write_text(plan.read_text().replace('"true"', '"exit 0"'))
    told = program("resume", "r", "--headless", "--accept-plan-changes", "--json").wants(6)
    assert "plan_changed" in told.out
    assert "hunter2" not in told.out + told.err + program("events", "r").out
