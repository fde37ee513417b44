"""The exit codes 0 to 7, each come by honestly, and never a traceback for a mistake of the user's."""

import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.cli.program import Gate, Program, await_event, ended, live, write_plan

FINE = '  - {id: a, run: {shell: "true"}}\n'
UNKNOWN = '  - {id: a, run: {shell: "exit 1"}}\n'
PERMANENT = '  - {id: a, run: {shell: "exit 64"}}\n  - {id: b, run: {shell: "true"}, needs: [a]}\n'
CRITICAL = """
  - {id: a, run: {shell: "echo did >> w"}, rollback: {shell: "echo undid >> w"}}
  - {id: b, run: {shell: "exit 64"}, needs: [a], critical: true}
"""


@pytest.fixture
def run(program: Program) -> Callable[..., int]:
    """The exit code of a run of `tasks`, with a word of what it came to on its last lines."""

    def run(tasks: str, *flags: object, says: str, **settings: str) -> int:
        plan = write_plan(program.folder, tasks, **settings)
        result = program("run", plan, "--headless", "--run-id", "r", *flags)
        assert "Traceback" not in result.err
        assert says in result.out
        return result.code

    return run


def test_0_completed(run: Callable[..., int]) -> None:
    assert run(FINE, says="r: completed") == 0


def test_3_completed_with_tasks_skipped(run: Callable[..., int], program: Program) -> None:
    assert run(PERMANENT, says="1 skipped, 1 blocked") == 3
    assert program.statuses("r") == {"a": "skipped", "b": "blocked"}


def test_4_aborted(run: Callable[..., int], program: Program) -> None:
    assert run(UNKNOWN, "--on-unknown", "abort", says="resume r") == 4
    assert program.inspect("r")["status"] == "aborted"


def test_5_rolled_back_by_itself_after_a_critical_failure(run: Callable[..., int], program: Program) -> None:
    assert run(CRITICAL, says="r: rolled back", checkpoints="{progress: 100}") == 5
    assert program.statuses("r")["a"] == "rolled_back"
    assert program("runs").wants(0).out.rstrip().endswith(": rolled back")
    assert (program.folder / "w").read_text().split() == ["did", "undid"]


def test_6_stopped_with_a_question(run: Callable[..., int], program: Program) -> None:
    assert run(UNKNOWN, says="open question about a: exit 1") == 6
    found = program.inspect("r")
    assert (found["status"], found["question"]["task"]) == ("paused", "a")
    assert found["tasks"]["a"]["failure_class"] == "UNKNOWN"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda s: s.name)
def test_4_by_a_signal_which_ends_what_is_running_and_is_recorded(
    program: Program, gate: Gate, number: signal.Signals
) -> None:
    plan = write_plan(
        program.folder,
        f'  - {{id: a, run: {{shell: "{gate.stop}"}}}}\n  - {{id: b, run: {{shell: x}}, needs: [a]}}\n',
    )
    with live(program.spawn("run", plan, "--json", "--run-id", "r")) as child:
        gate.reached()
        tasks = psutil.Process(child.pid).children(recursive=True)
        assert tasks
        child.send_signal(number)
        result = ended(child).wants(4)
    psutil.wait_procs(tasks, timeout=10)
    assert not any(task.is_running() for task in tasks)
    assert result.err == ""
    assert result.events == program.events("r")[-len(result.events) :]
    assert result.events[-1]["status"] == "aborted"
    assert number.name in result.events[-1]["reason"]
    assert program.statuses("r") == {"a": "cancelled", "b": "pending"}


def test_a_signal_that_the_shell_had_ignored_is_ignored(program: Program, gate: Gate) -> None:
    """As `nohup` has it."""
    plan = write_plan(program.folder, f'  - {{id: a, run: {{shell: "{gate.stop}"}}}}\n')
    child = program.spawn(
        "run", plan, "--headless", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    with live(child):
        gate.reached()
        child.send_signal(signal.SIGHUP)
        gate.open()
        ended(child).wants(0)


def test_4_by_a_target_that_is_damaged(program: Program) -> None:
    (program.folder / "app.db").write_text("this is no database, and never was, whatever it is called" * 100)
    plan = write_plan(
        program.folder,
        '  - {id: a, run: {sql: "SELECT 1 FROM t", on: app}}\n',
        targets="{app: {sqlite: app.db}}",
    )
    told = program("run", plan, "--headless", "--run-id", "r").wants(4)
    assert "damaged" in told.out
    assert program.inspect("r")["status"] == "failed"
    (program.folder / "app.db").unlink()
    with closing(sqlite3.connect(program.folder / "app.db")) as connection:
        connection.execute("CREATE TABLE t (x)")
    program("resume", "r", "--headless", "--on-unknown", "retry").wants(0)


def test_7_owned_by_a_live_engine(program: Program, gate: Gate) -> None:
    plan = write_plan(program.folder, f'  - {{id: a, run: {{shell: "{gate.stop}"}}}}\n')
    with live(program.spawn("run", plan, "--headless", "--run-id", "r")) as child:
        gate.reached()
        refused = program("resume", "r", "--headless").wants(7)
        assert f"pid {child.pid} " in refused.err
        listed = program("runs", "--json").wants(0).json[0]
        assert listed["status"] == "running"
        assert f"pid {child.pid} " in listed["owner"]
        assert program.inspect("r")["tasks"]["a"]["status"] == "running"
        assert program.events("r")[-1]["kind"] == "task_started"
        gate.open()
        ended(child).wants(0)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a flipped byte": lambda run: _flip(run / "journal.db"),
    "a cut tail": lambda run: (run / "journal.db").write_bytes((run / "journal.db").read_bytes()[:-4096]),
    "a flipped byte in a checkpoint": lambda run: _flip(next((run / "checkpoints").iterdir())),
    "no journal at all": lambda run: (run / "journal.db").unlink(),
    "a file in the place of its checkpoints": lambda run: _replace_folder(run / "checkpoints"),
    "a later format": lambda run: _of_a_later_format(run / "journal.db"),
    "something else in its place": lambda run: (run / "journal.db").write_text("not a database"),
}


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    at = data.rfind(b"completed")
    data[at] ^= 1
    file.write_bytes(data)


def _replace_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.touch()


def _of_a_later_format(journal: Path) -> None:
    with closing(sqlite3.connect(journal, isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET value = 1000 WHERE key = 'format'")


@pytest.mark.parametrize("damage", DAMAGE)
def test_7_damaged(program: Program, damage: str) -> None:
    plan = write_plan(program.folder, UNKNOWN + '  - {id: b, run: {shell: "true"}}\n')
    program("run", plan, "--headless", "--run-id", "r").wants(6)
    program("verify", "r").wants(0)
    DAMAGE[damage](program.state / "runs" / "r")
    for command in (["verify"], ["resume", "--headless"], ["inspect", "--json"], ["events"], ["checkpoint"]):
        refused = program(command[0], "r", *command[1:]).wants(7)
        assert refused.out == ""
        assert refused.err
    listed = program("runs", "--json").wants(0).json
    assert [run["run"] for run in listed] == ["r"]


MISTAKES = {
    "no plan": ["run", "--headless"],
    "unknown flag": ["run", "plan.yaml", "--headless", "--force"],
    "unknown command": ["rum", "plan.yaml"],
    "unknown model": ["run", "plan.yaml", "--headless", "--model", "spiral"],
    "unknown policy": ["run", "plan.yaml", "--headless", "--policy", "luck"],
    "no lanes": ["run", "plan.yaml", "--headless", "--workers", "0"],
    "half a lane": ["run", "plan.yaml", "--headless", "--workers", "0.5"],
    "unknown answer": ["run", "plan.yaml", "--headless", "--on-unknown", "perhaps"],
    "nowhere to roll back to": ["run", "plan.yaml", "--headless", "--rollback-to", "yesterday"],
    "a checkpoint no run can have": ["run", "plan.yaml", "--headless", "--rollback-to", "cp-x"],
    "speed without a simulation": ["run", "plan.yaml", "--headless", "--speed", "max"],
    "faults without a simulation": ["run", "plan.yaml", "--headless", "--faults", "faults.yaml"],
    "no speed": ["run", "plan.yaml", "--headless", "--simulate", "--speed", "0"],
    "speed without an end": ["run", "plan.yaml", "--headless", "--simulate", "--speed", "-inf"],
    "no number": ["run", "plan.yaml", "--headless", "--simulate", "--speed", "fast"],
    "no faults there": ["run", "plan.yaml", "--headless", "--simulate", "--faults", "nowhere.yaml"],
    "faults of another plan": ["run", "plan.yaml", "--headless", "--simulate", "--faults", "faults.yaml"],
    "a plan that is not there": ["run", "nowhere.yaml", "--headless"],
    "a plan that is a folder": ["run", ".", "--headless"],
    "a plan that is no text": ["run", "/bin/sh", "--headless"],
    "a plan without tasks": ["run", "faults.yaml", "--headless"],
    "an id that leaves the folder": ["run", "plan.yaml", "--headless", "--run-id", "../r"],
    "no id": ["run", "plan.yaml", "--headless", "--run-id", ""],
    "no such run": ["resume", "nothing", "--headless"],
    "no such run to inspect": ["inspect", "nothing", "--json"],
    "no such run for events": ["events", "nothing"],
    "no such run to verify": ["verify", "nothing"],
    "no such run to checkpoint": ["checkpoint", "nothing"],
    "no such drill": ["train", "nothing"],
    "no such plan to check": ["check", "nowhere.yaml"],
    "no such plan to forecast": ["forecast", "nowhere.yaml"],
    "forecast with nobody": ["forecast", "plan.yaml", "--workers", "0"],
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_2_for_a_mistake_and_nothing_is_started(program: Program, mistake: str) -> None:
    write_plan(program.folder, FINE)
    (program.folder / "faults.yaml").write_text("faults:\n  - {task: nobody, exit: 1}\n")
    refused = program(*MISTAKES[mistake]).wants(2)
    assert refused.out == ""
    assert refused.err.strip()
    assert not program.state.exists()


PLANS = {
    "a variable that is not set": ("targets: {app: {sqlite: '${NO_SUCH_ONE}'}}", "NO_SUCH_ONE"),
    "a path that leaves the folder": ("targets: {app: {sqlite: ../app.db}}", "folder"),
    "an absolute path elsewhere": ("targets: {app: {sqlite: /tmp/app.db}}", "folder"),
    "a folder that is not there": ("targets: {app: {sqlite: missing/app.db}}", "missing"),
    "a target that is no file": ("targets: {app: {sqlite: .}}", "app"),
    "PostgreSQL": ("targets: {app: {postgres: 'host=/nowhere password=hush-hush'}}", "nothing listens there"),
    "an interpreter that is not there": ("targets: {app: {sqlite: app.db}}\ninterpreter: python9", "python9"),
    "an unknown target": ("targets: {apps: {sqlite: app.db}}", "apps"),
}  # fmt: skip


@pytest.mark.parametrize("plan", PLANS)
def test_2_for_a_plan_that_cannot_be_run_here(program: Program, plan: str) -> None:
    head, named = PLANS[plan]
    tasks = '  - {id: a, run: {sql: "SELECT 1", on: app}}\n  - {id: b, run: {python: "m:f"}}\n'
    path = write_plan(program.folder, tasks)
    path.write_text(path.read_text().replace("tasks:", f"{head}\ntasks:"))
    refused = program("run", path, "--headless").wants(2)
    assert named in refused.err
    assert "hush-hush" not in refused.err
    assert [*program.state.glob("runs/*")] == []


def test_2_for_a_second_run_of_the_same_name(program: Program) -> None:
    plan = write_plan(program.folder, FINE)
    program("run", plan, "--headless", "--run-id", "r").wants(0)
    before = program("events", "r").out
    refused = program("run", plan, "--headless", "--run-id", "r").wants(2)
    assert "resume r" in refused.err
    assert program("events", "r").out == before


def test_a_path_outside_is_allowed_on_request(program: Program) -> None:
    plan = write_plan(
        program.folder,
        '  - {id: a, run: {sql: "CREATE TABLE t (x)", on: app}}\n',
        targets="{app: {sqlite: ../app.db}}",
    )
    program("run", plan, "--headless", "--allow-outside").wants(0)
    assert (program.folder.parent / "app.db").exists()


def test_a_resume_keeps_to_what_was_allowed_at_the_start(program: Program) -> None:
    task = '  - {id: a, run: {sql: "CREATE TABLE t (x)", on: app}}\n  - {id: b, run: {shell: "test -e ok"}}\n'
    plan = write_plan(program.folder, task, targets="{app: {sqlite: ../app.db}}")
    program("run", plan, "--headless", "--allow-outside", "--run-id", "r").wants(6)
    (program.folder / "ok").touch()
    program("resume", "r", "--headless", "--on-unknown", "retry").wants(0)


def test_a_run_elsewhere_is_named_by_its_directory(program: Program) -> None:
    plan = write_plan(program.folder, '  - {id: a, run: {shell: "exit 9"}}\n')
    elsewhere = program.folder / "else where"
    stopped = program("run", plan, "--headless", "--run-id", "r", "--state-dir", elsewhere).wants(6)
    assert f"wesley-console resume '{elsewhere / 'runs' / 'r'}'" in stopped.out
    refused = program("run", plan, "--headless", "--run-id", "r", "--state-dir", elsewhere).wants(2)
    assert f"wesley-console resume '{elsewhere / 'runs' / 'r'}'" in refused.err


def test_two_resumes_at_once_are_one_and_a_refusal(program: Program, gate: Gate) -> None:
    plan = write_plan(program.folder, f'  - {{id: a, run: {{shell: "test -e ok || exit 1; {gate.stop}"}}}}\n')
    program("run", plan, "--headless", "--run-id", "r").wants(6)
    (program.folder / "ok").touch()
    with live(program.spawn("resume", "r", "--json", "--on-unknown", "retry")) as child:
        await_event(child, "task_started", task="a", attempt=2)
        refused = program("resume", "r", "--headless", "--on-unknown", "retry").wants(7)
        assert f"pid {child.pid} " in refused.err
        gate.reached()
        gate.open()
        ended(child).wants(0)
