"""What tests and scripts from outside rely on: commands, flags, and the JSON of each."""

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

import sample_plans
from tests.cli.program import Program, Result, write_plan

SAMPLES = Path(sample_plans.__file__).parent
COMMANDS = "run resume check forecast runs inspect events checkpoint verify train schema"
ON_A_PLAN = (
    "--state-dir --run-id --model --workers --policy --on-unknown --simulate --speed --seed --faults "
    "--rollback-to"
)
FLAGS = {
    "": ON_A_PLAN,
    "run": f"--headless --json {ON_A_PLAN}",
    "resume": "--headless --json --on-unknown --rollback-to --speed --state-dir",
    "check": "--json",
    "forecast": "--json",
    "runs": "--json --state-dir",
    "inspect": "--json --state-dir",
    "events": "--state-dir",
    "checkpoint": "--state-dir",
    "verify": "--state-dir",
}
TASKS = """
  - {id: create, run: {sql: "CREATE TABLE shops (name)", on: app}, phase: expand}
  - {id: fill, run: {sql_file: fill.sql, on: app}, needs: [create], phase: expand, risk: 0.9}
  - {id: flaky, run: {shell: "echo x >> tries; test $(wc -l < tries) -ge 2 || exit 75"}, needs: [create]}
  - {id: python, run: {python: "work:work"}, needs: [create], locks: [shops]}
  - {id: nothing, run: {simulate: {duration: 10ms}}, needs: [create], locks: [shops]}
  - {id: wrong, run: {sql: "SELECT nothing FROM nowhere", on: app}, needs: [fill]}
  - {id: after, run: {shell: "true"}, needs: [wrong]}
"""
SETTINGS = {
    "targets": "{app: {sqlite: app.db}}",
    "retry": "{base: 10ms}",
    "phases": "[expand]",
    "checkpoints": "{progress: 100}",
}


class Told:
    """A run that had something of everything, as the program told of it while it ran, and afterwards."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.plan = write_plan(program.folder, TASKS, **SETTINGS)
        (program.folder / "fill.sql").write_text("INSERT INTO shops VALUES ('one'); SELECT 1;")
        (program.folder / "work.py").write_text("def work():\n    print('working')\n")
        self.live = program.process("run", self.plan, "--headless", "--json", "--run-id", "told").wants(3)
        self.events = program.events("told")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("told")
    return Told(Program(folder, folder / "state"))


def _utc(text: str) -> datetime:
    assert text.endswith("Z")
    at = datetime.fromisoformat(text)
    assert at.tzinfo == UTC
    return at


def test_events_tells_line_by_line_what_the_run_told(told: Told) -> None:
    assert told.live.err == ""
    assert told.live.out == told.program("events", "told").wants(0).out


def test_every_line_says_which_event_it_is(told: Told) -> None:
    assert [event["seq"] for event in told.events] == list(range(1, len(told.events) + 1))
    moments = [_utc(event["at"]) for event in told.events]
    assert moments == sorted(moments)
    assert {event["run"] for event in told.events} == {"told"}
    assert all(re.fullmatch(r"[0-9a-f]{64}", event["hash"]) for event in told.events)
    assert len({event["hash"] for event in told.events}) == len(told.events)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", event["kind"]) for event in told.events)


def test_events_carry_the_fields_of_the_page(told: Told) -> None:
    def of(kind: str, **fields: str) -> dict[str, Any]:
        found = [e for e in told.events if e["kind"] == kind and fields.items() <= e.items()]
        assert found, f"no {kind} with {fields}"
        return found[0]

    assert {"task", "attempt", "lane"} <= of("task_started", task="create").keys()
    assert {"attempt": 1, "lane": 0}.items() <= of("task_succeeded", task="create").items()
    failed = of("task_failed", task="wrong")
    assert (failed["failure_class"], failed["attempt"]) == ("PERMANENT", 1)
    assert "nowhere" in failed["reason"]
    assert of("task_failed", task="flaky")["failure_class"] == "TRANSIENT"
    assert of("retry_scheduled", task="flaky")["delay"] == pytest.approx(0.02)
    assert of("task_waiting", task="nothing")["reason"]
    assert of("task_skipped")["task"] == "wrong"
    assert of("task_blocked") == of("task_blocked", task="after", by="wrong")
    assert {e["trigger"] for e in told.events if e["kind"] == "checkpoint_saved"} == {
        "risk", "phase", "progress",
    }  # fmt: skip
    assert told.events[0]["kind"] == "run_started"
    assert (told.events[-1]["kind"], told.events[-1]["status"]) == ("run_finished", "completed")


def test_inspect_says_what_the_events_amount_to(told: Told) -> None:
    found = told.program.inspect("told")
    assert {"run", "plan", "model", "policy", "status", "tasks", "checkpoints", "question"} <= found.keys()
    assert found["plan"] == "outside view"
    assert (found["run"], found["model"], found["policy"]) == ("told", "rolling", "critical-path")
    assert (found["status"], found["question"]) == ("completed", None)
    per_task = {"status", "attempts", "lane", "started_at", "finished_at", "failure_class"}
    assert all(task.keys() == per_task for task in found["tasks"].values())
    flaky, after = found["tasks"]["flaky"], found["tasks"]["after"]
    assert (flaky["status"], flaky["attempts"]) == ("succeeded", 2)
    assert _utc(flaky["started_at"]) < _utc(flaky["finished_at"])
    assert found["tasks"]["wrong"]["failure_class"] == "PERMANENT"
    assert (after["status"], after["attempts"], after["started_at"], after["lane"]) == (
        "blocked", 0, None, None,
    )  # fmt: skip
    saved = [event["checkpoint"] for event in told.events if event["kind"] == "checkpoint_saved"]
    assert [checkpoint["checkpoint"] for checkpoint in found["checkpoints"]] == saved
    metrics = found["metrics"]
    assert metrics.keys() == {"makespan_s", "utilisation", "idle_s", "checkpoints"}
    assert metrics["checkpoints"] == len(saved)
    assert 0 < metrics["utilisation"] < 1
    assert 0 < metrics["idle_s"] < 4 * metrics["makespan_s"]


def test_runs_lists_the_newest_first_whatever_was_looked_at_since(program: Program) -> None:
    plan = write_plan(program.folder, '  - {id: a, run: {shell: "true"}}\n')
    assert program("runs", "--json").wants(0).json == []
    assert "no runs" in program("runs").wants(0).out
    for run in ("b-first", "a-second"):
        program("run", plan, "--headless", "--run-id", run).wants(0)
    program("inspect", "b-first", "--json").wants(0)
    program("verify", "b-first").wants(0)
    listed = program("runs", "--json").wants(0).json
    assert [run["run"] for run in listed] == ["a-second", "b-first"]
    assert {run["status"] for run in listed} == {"completed"}
    assert listed[0]["plan"] == "outside view"
    assert _utc(listed[0]["started_at"]) <= _utc(listed[0]["finished_at"])
    lines = program("runs").wants(0).out.splitlines()
    assert [line.split()[0] for line in lines] == ["a-second", "b-first"]


def test_a_run_answers_to_its_id_the_beginning_of_it_and_its_directory(told: Told) -> None:
    expected = told.program("verify", "told").wants(0).out
    for name in ("tol", told.program.state / "runs" / "told"):
        assert told.program("verify", name).wants(0).out == expected
    elsewhere = Program(told.program.folder, told.program.folder / "elsewhere")
    assert "no run" in elsewhere("verify", "told").wants(2).err
    assert elsewhere("verify", "told", "--state-dir", told.program.state).wants(0).out == expected


def test_schema_is_a_json_schema_that_the_sample_plans_keep(program: Program) -> None:
    schema = program("schema").wants(0).json
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    yaml = YAML(typ="safe", pure=True)
    for plan in ("shop/plan.yaml", "shop/trouble.yaml", "reference/waves.yaml"):
        validator(schema).validate(yaml.load(SAMPLES / plan))
    with pytest.raises(jsonschema.ValidationError):
        validator(schema).validate({"wesley": 1, "name": "x", "tasks": [{"id": "a", "run": {}}]})


def test_check_reports_all_errors_at_once_with_their_places(program: Program) -> None:
    plan = write_plan(
        program.folder, "  - {id: a, run: {shell: x}, neds: [b]}\n  - {id: a, run: {shell: x}}\n"
    )
    found = program("check", plan, "--json").wants(2).json
    assert found["ok"] is False
    assert {(error["line"], error["text"]) for error in found["errors"]} >= {(4, "neds"), (5, "a")}
    assert any("needs" in error["hint"] for error in found["errors"])
    said = program("check", plan).wants(2)
    assert said.out == ""
    assert f"{plan}:4:" in said.err
    assert f"{plan}:5:" in said.err
    assert program("run", plan, "--headless").wants(2).err == said.err
    assert not program.state.exists()


def test_check_says_of_a_plan_in_order_what_it_is(told: Told) -> None:
    found = told.program("check", told.plan, "--json").wants(0).json
    assert found["ok"] is True
    assert found["errors"] == []
    assert found["plan"] == {
        "name": "outside view", "tasks": 7, "model": "rolling", "policy": "critical-path",
    }  # fmt: skip
    assert "in order" in told.program("check", told.plan).wants(0).out


def test_check_counts_its_warnings_where_it_says_that_a_plan_is_in_order(
    program: Program, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        """wesley: 1
name: careless
targets: {main: {postgres: "dbname=x"}}
tasks: [{id: a, run: {sql: CREATE INDEX i ON orders (placed), on: main}}]
"""
    )
    assert "in order, with 1 warning: careless, 1 task, " in program("check", plan).wants(0).out


def test_forecast_sets_both_models_side_by_side(program: Program) -> None:
    plan = SAMPLES / "reference" / "rolling.yaml"
    found = program("forecast", plan, "--json").wants(0).json
    assert found["rolling"]["makespan_s"] == 48 * 3600
    assert found["work_bound_s"] == 47.5 * 3600
    assert found["critical_path_s"] == 32 * 3600
    assert len(found["wave"]["bars"]) == len(found["rolling"]["bars"]) == 39
    weighted = program("forecast", plan, "--json", "--policy", "weighted", "--workers", 4).wants(0).json
    assert weighted["rolling"]["makespan_s"] == 58 * 3600
    table = program("forecast", plan).wants(0).out
    assert "48h" in table
    assert "published" in table


@pytest.mark.parametrize("command", FLAGS)
def test_help_names_every_flag(program: Program, command: str) -> None:
    shown = program(*command.split(), "--help").wants(0).out
    assert [flag for flag in FLAGS[command].split() if flag not in shown] == []


def test_help_names_every_command(program: Program) -> None:
    shown = program("--help").wants(0).out
    assert [command for command in COMMANDS.split() if f" {command} " not in shown] == []


def test_version_is_the_version_that_runs_record(told: Told) -> None:
    assert told.program("--version").wants(0).out.strip() == told.events[0]["engine"]["version"]


def test_flags_of_run_go_over_the_plan(program: Program) -> None:
    plan = write_plan(program.folder, '  - {id: a, run: {shell: "exit 1"}, duration: 1h}\n', workers="3")
    flags = ["--model", "wave", "--workers", 2, "--policy", "fifo", "--seed", 7, "--run-id", "mine"]
    elsewhere = program.folder / "elsewhere"
    told = program(
        "run", plan, "--json", *flags, "--simulate", "--speed", "max", "--state-dir", elsewhere
    ).wants(0)
    started = told.events[0]
    assert {
        "model": "wave", "policy": "fifo", "lanes": 2, "seed": 7, "simulated": True, "run": "mine",
    }.items() <= started.items()  # fmt: skip
    assert (elsewhere / "runs" / "mine").is_dir()
    assert not program.state.exists()


def test_train_lists_its_drills_where_there_is_no_terminal(program: Program) -> None:
    listed = program.process("train").wants(0).out
    drills = sorted(path.parent.name for path in SAMPLES.glob("drills/*/drill.yaml"))
    assert sorted(line.partition(":")[0] for line in listed.splitlines()) == drills
    assert len(drills) >= 3


def test_without_arguments_it_says_what_it_can_do(program: Program) -> None:
    said = program().wants(2)
    assert said.out == ""
    assert "--help" in said.err
    assert "PLAN" in said.err


@pytest.mark.parametrize(
    "command", [("forecast", "plan.yaml"), ("runs",), ("check", "plan.yaml"), ("--help",)]
)
def test_a_narrow_dumb_terminal_gets_it_too(told: Told, command: tuple[str, ...]) -> None:
    narrow = Program(
        told.program.folder, told.program.state, {"COLUMNS": "40", "TERM": "dumb", "NO_COLOR": "1"}
    )
    shown = narrow(*command).wants(0).out
    assert shown
    assert "\x1b" not in shown


def test_samples_can_be_copied_out_and_run(program: Program) -> None:
    assert "shop: plan.yaml" in program("samples").wants(0).out
    program("samples", "shop").wants(0)
    program("check", "shop/plan.yaml").wants(0)
    assert "exists already" in program("samples", "shop").wants(2).err
    assert "shop" in program("samples", "shp").wants(2).err
    shutil.rmtree(program.folder / "shop")


def test_json_is_plain_ascii_whatever_a_plan_is_called(program: Program) -> None:
    plan = write_plan(program.folder, '  - {id: a, name: "añ☃", run: {shell: "echo ☃"}}\n')
    plan.write_text(plan.read_text().replace("outside view", "Überführung ☃"))
    told = program("run", plan, "--json", "--run-id", "u").wants(0)
    assert told.out.isascii()
    assert told.events[0]["plan"] == "Überführung ☃"
    assert json.loads(program("runs", "--json").wants(0).out)[0]["plan"] == "Überführung ☃"


def _modules(program: Program, *args: str) -> tuple[Result, set[str]]:
    probe = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=open('modules', 'w')));"
        "from console.cli import main; main()"
    )
    result = program.process(*args, entry=probe)
    return result, set((program.folder / "modules").read_text().split())


@pytest.mark.parametrize("command", [("--help",), ("check", "plan.yaml"), ("runs",)], ids=" ".join)
def test_quick_commands_pay_for_no_screen_and_no_graph(program: Program, command: tuple[str, ...]) -> None:
    plan = write_plan(program.folder, '  - {id: a, run: {shell: "true"}, idempotent: true}\n')
    program("run", plan, "--headless").wants(0)
    result, modules = _modules(program, *command)
    result.wants(0)
    assert modules & {"textual", "networkx", "rich.progress"} == set()
