"""Where plans, runs and the user stand, and what their folders are called."""

from pathlib import Path

import pytest

from tests.cli.program import Program, write_plan

TASKS = """
  - {id: sql, run: {sql: "CREATE TABLE t (x)", on: app}}
  - {id: shell, run: {shell: "pwd; test -e app.db"}, needs: [sql]}
  - {id: python, run: {python: "where:am_i"}, needs: [sql]}
"""
ODD = "a plan, for 北京 & 'others'.yaml"


@pytest.fixture
def plan(program: Program) -> Path:
    (program.folder / "where.py").write_text("import os\ndef am_i():\n    print(os.getcwd())\n")
    return write_plan(program.folder, TASKS, name=ODD, targets="{app: {sqlite: app.db}}")


def test_tasks_work_in_the_plans_folder_wherever_the_user_stands(
    program: Program, plan: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    for run, named in (("absolute", plan), ("relative", Path("../plans") / ODD)):
        (program.folder / "app.db").unlink(missing_ok=True)
        program("run", named, "--headless", "--run-id", run, folder=elsewhere).wants(0)
        output = program.state / "runs" / run / "output"
        for task in ("shell", "python"):
            assert (output / task / "1-run.log").read_text() == f"{program.folder}\n"
    assert not list(elsewhere.iterdir())


def test_a_run_is_resumed_from_wherever_the_user_stands(program: Program, tmp_path: Path) -> None:
    plan = write_plan(program.folder, '  - {id: a, run: {shell: "pwd; test -e ok"}}\n')
    program("run", plan.name, "--headless", "--run-id", "r", "--state-dir", "runs here").wants(6)
    (program.folder / "ok").touch()
    resume = ["resume", "r", "--headless", "--on-unknown", "retry"]
    program(*resume, "--state-dir", program.folder / "runs here", folder=tmp_path).wants(0)


def test_the_console_says_where_a_plan_stands_that_was_moved_away(program: Program, plan: Path) -> None:
    plan.write_text(plan.read_text().replace("test -e app.db", "exit 1"))
    program("run", plan, "--headless", "--run-id", "r").wants(6)
    program.folder.rename(program.folder.with_name("moved"))
    refused = program("resume", "r", "--headless", folder=program.folder.parent).wants(2)
    assert str(program.folder) in refused.err
    assert program("events", "r", folder=program.folder.parent).events[-1]["kind"] == "run_paused"


@pytest.mark.parametrize("command", [("run", "plan.yaml", "--headless"), ("runs",), ("resume", "r")])
def test_a_state_directory_that_cannot_be_is_refused(program: Program, command: tuple[str, ...]) -> None:
    write_plan(program.folder, '  - {id: a, run: {shell: "true"}}\n')
    program.state.write_text("a file in the way")
    for where in (program.state, program.state / "below"):
        refused = program(*command, "--state-dir", where).wants(2)
        assert str(where) in refused.err
        assert refused.out == ""
    assert program.state.read_text() == "a file in the way"


def test_an_empty_variable_means_the_users_own_state_directory(tmp_path: Path) -> None:
    home = tmp_path / "home"
    program = Program(tmp_path, Path(), {"WESLEY_CONSOLE_STATE": "", "XDG_STATE_HOME": str(home)})
    plan = write_plan(tmp_path, '  - {id: a, run: {shell: "true"}}\n')
    program("run", plan, "--headless", "--run-id", "r").wants(0)
    assert (home / "wesley-console" / "runs" / "r").is_dir()
    assert [run["run"] for run in program("runs", "--json").wants(0).json] == ["r"]


def test_the_option_goes_over_the_variable(program: Program, tmp_path: Path) -> None:
    plan = write_plan(program.folder, '  - {id: a, run: {shell: "true"}}\n')
    program("run", plan, "--headless", "--run-id", "r", "--state-dir", tmp_path / "mine").wants(0)
    assert not program.state.exists()
    assert (tmp_path / "mine" / "runs" / "r").is_dir()


def test_a_plan_whose_name_is_no_text_is_refused_before_anything_starts(program: Program) -> None:
    plan = write_plan(program.folder, '  - {id: a, run: {shell: "true"}}\n')
    odd = plan.rename(program.folder / "pl\udcffan.yaml")
    program("check", odd).wants(0)
    assert "UTF-8" in program("run", odd, "--headless").wants(2).err
    assert not program.state.exists()
    assert "cannot be read" in program("check", program.folder / "n\udcffo.yaml").wants(2).err
