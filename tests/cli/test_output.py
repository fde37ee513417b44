"""What tasks print is foreign text, and what the environment holds is nobody else's business."""

import sqlite3
from pathlib import Path

import pytest

from tests.cli.program import Program, Result, write_plan

SECRET = "sw0rdf1sh-of-the-environment"
NASTY = (
    r"printf '\033[31mred\033[0m \033]0;title\007 \033[2Jgone \033P+q\033\\ \302\233 "
    r"[@click=app.quit]x[/] \342\200\256 \r\n'"
)


def _everything(program: Program, *results: Result) -> bytes:
    """All that the program left or said anywhere."""
    files = [path.read_bytes() for path in sorted(program.state.rglob("*")) if path.is_file()]
    return b"\0".join([*files, *((result.out + result.err).encode() for result in results)])


def test_output_is_kept_by_task_and_attempt_and_purpose(program: Program) -> None:
    plan = write_plan(
        program.folder,
        """
  - {id: a, run: {shell: "echo out $WESLEY_ATTEMPT; echo err >&2; test $WESLEY_ATTEMPT -gt 1 || exit 75"},
     verify: {shell: "echo looks good"}, rollback: {shell: "echo undoing"}}
  - {id: b, run: {shell: "exit 64"}, needs: [a], critical: true}
""",
        retry="{base: 1ms}",
        checkpoints="{progress: 100}",
    )
    program("run", plan, "--headless", "--run-id", "r").wants(5)
    output = program.state / "runs" / "r" / "output" / "a"
    kept = {path.name: path.read_text() for path in output.iterdir()}
    assert kept == {
        "1-run.log": "out 1\nerr\n",
        "2-run.log": "out 2\nerr\n",
        "2-verify.log": "looks good\n",
        "1-rollback.log": "undoing\n",
    }


def test_a_secret_is_nowhere_but_in_the_task_that_got_it(program: Program) -> None:
    (program.folder / SECRET).mkdir()
    told = Program(program.folder, program.state, {"APP_HOME": SECRET})
    plan = write_plan(
        program.folder,
        """
  - {id: sql, run: {sql: "CREATE TABLE t (x)", on: app}}
  - {id: shout, run: {shell: "echo home is $APP_HOME; printf $APP_HOME"}, needs: [sql]}
  - {id: fail, run: {shell: "echo lost $APP_HOME; exit 1"}, needs: [sql]}
  - {id: wrong, run: {sql: "SELECT * FROM nowhere", on: app}, needs: [sql]}
  - {id: python, run: {python: "leak:leak"}, needs: [sql]}
""",
        targets="{app: {sqlite: '${APP_HOME}/app.db'}}",
    )
    (program.folder / "leak.py").write_text(
        "import os\n\ndef leak():\n    home = os.environ['APP_HOME']\n    print(home)\n    return [home]\n"
    )
    results = [told("run", plan, "--headless", "--run-id", "r").wants(6)]
    (program.folder / SECRET / "app.db").unlink()
    results += [told("run", plan, "--json", "--run-id", "s").wants(6)]
    results += [
        told("events", "r"),
        told("inspect", "r", "--json"),
        told("check", plan, "--json"),
        told("runs"),
    ]
    results += [told("resume", "r", "--headless", "--on-unknown", "skip").wants(3)]
    assert SECRET.encode() not in _everything(program, *results)
    log = program.state / "runs" / "r" / "output" / "shout" / "1-run.log"
    assert log.read_text() == "home is ${APP_HOME}\n${APP_HOME}"
    assert (program.folder / SECRET / "app.db").exists()


@pytest.mark.parametrize("place", ["{}/app.db", "../{}/app.db", "{}", "/{}\0/app.db"])
def test_a_target_that_cannot_be_is_refused_without_what_the_environment_holds(
    program: Program, place: str
) -> None:
    (program.folder / f"{SECRET}.d").mkdir()
    told = Program(program.folder, program.state, {"APP_HOME": f"{SECRET}.d" if place == "{}" else SECRET})
    plan = write_plan(
        program.folder,
        '  - {id: a, run: {sql: "SELECT 1", on: app}}\n',
        targets=f"{{app: {{sqlite: '{place.format('${APP_HOME}')}'}}}}".replace("\0", ""),
    )
    refused = told("run", plan, "--headless").wants(2)
    assert "app" in refused.err
    assert SECRET not in refused.err


def test_a_password_in_a_plan_is_told_by_no_run(program: Program) -> None:
    target = "{app: {postgres: 'postgresql://me:hush-hush@db/app'}}"
    plan = write_plan(program.folder, '  - {id: a, run: {sql: "SELECT 1", on: app}}\n', targets=target)
    results = [program("run", plan, "--headless").wants(2), program("forecast", plan).wants(0)]
    results += [program("run", plan, "--json", "--simulate", "--speed", "max", "--run-id", "r").wants(0)]
    results += [program("inspect", "r", "--json"), program("events", "r")]
    assert "hush-hush" not in "".join(result.out + result.err for result in results)


@pytest.mark.parametrize("flags", [["--headless"], ["--json"]], ids=" ".join)
def test_nothing_that_steers_a_terminal_comes_out(program: Program, flags: list[str]) -> None:
    (program.folder / "nasty.sh").write_text(f"{NASTY}\nexit 1\n")
    plan = write_plan(
        program.folder,
        """
  - {id: shell, run: {shell: "sh nasty.sh"}}
  - {id: sql, run: {sql: "SELECT \\"\\u001b[31m\\" FROM nowhere", on: app}}
""",
        targets="{app: {sqlite: app.db}}",
    )
    result = program("run", plan, *flags, "--run-id", "r").wants(6)
    later = [program("events", "r"), program("inspect", "r", "--json"), program("resume", "r", "--headless")]
    for each in (result, *later):
        steering = [
            char for char in each.out + each.err if char in "\x1b\x07\x9b\x9d\u202e\r" or char == "\x90"
        ]
        assert steering == []
    assert "[@click=app.quit]x[/]" in later[0].out
    log = (program.state / "runs" / "r" / "output" / "shell" / "1-run.log").read_bytes()
    assert b"\x1b" not in log
    assert b"red" in log


def test_a_flood_of_output_stays_bounded_and_ends_no_run(program: Program) -> None:
    plan = write_plan(program.folder, '  - {id: a, run: {shell: "yes flood | head -c 3000000; exit 1"}}\n')
    told = program("run", plan, "--json", "--run-id", "r").wants(6)
    (failed,) = [event for event in told.events if event["kind"] == "task_failed"]
    assert len(failed["tail"]) < 20_000
    assert (program.state / "runs" / "r" / "journal.db").stat().st_size < 200_000


def test_the_ledger_is_the_only_trace_in_a_database(program: Program, tmp_path: Path) -> None:
    plan = write_plan(
        program.folder,
        '  - {id: a, run: {sql: "CREATE TABLE t (x); INSERT INTO t VALUES (1)", on: app}}\n',
        targets="{app: {sqlite: app.db}}",
    )
    program("run", plan, "--headless", "--run-id", "r").wants(0)
    connection = sqlite3.connect(program.folder / "app.db")
    try:
        tables = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        (row,) = connection.execute("SELECT run, task, attempt FROM _wesley_ledger")
    finally:
        connection.close()
    assert tables == {"t", "_wesley_ledger"}
    assert row == ("r", "a", 1)


def test_a_long_reason_is_told_once_as_it_happens_and_once_at_the_end(program: Program) -> None:
    reason = "the shelf was full, and so were the next one, the one after that, and all in the cellar"
    tasks = f"""
  - {{id: a, run: {{shell: "true"}}, rollback: {{shell: "true"}}}}
  - {{id: b, run: {{shell: "echo '{reason}' >&2; exit 7"}}, needs: [a], critical: true}}
"""
    plan = write_plan(program.folder, tasks)
    flags = ("--on-unknown", "rollback", "--rollback-to", "start")
    out = program("run", plan, "--headless", *flags).wants(5).out
    told, closing = out.split("run rolled back")
    assert told.count(reason) == 1
    assert "what is to be done about b? (as told above)" in told
    assert closing.count(reason) == 1
    assert "  rolled back to start (standing order)\n  b failed: exit 7; it said: the shelf" in closing
