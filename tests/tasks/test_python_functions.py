from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from engine.plan.models import FailureClass
from engine.tasks.base import Cancelled, Failed, Succeeded, verdict
from engine.tasks.python import PythonExecutor, interpreter_path
from tests.tasks.conftest import Heard, MakeJob, carry_out

pytestmark = pytest.mark.anyio

MODULE = """
import json, os, sys, time

def greet():
    print("hello")
    return {"rows": 3, "who": ["hunter2-secret\\x1b[2J"]}

def nothing(): pass
def no(): return False
def yes(): return True
def odd(): return object()
def big(): return "x" * 3_000_000
def noisy_result(): sys.stdout.write('{"result": 1}'); return 2
def fails(): raise ValueError("so it is")
def leaves(): sys.exit(75)
def where(): return [os.getcwd(), sys.path[0], [name for name in os.environ if name.startswith("PYTHON")]]

def sees():
    found = []
    for name in ("engine", "console", "helper"):
        try:
            __import__(name)
            found.append(name)
        except ModuleNotFoundError:
            pass
    return found

def waits():
    print("ready", flush=True)
    time.sleep(300)
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text(MODULE)
    (tmp_path / "helper.py").write_text("")
    (tmp_path / "broken.py").write_text("import not_there_at_all\n")


async def test_what_is_printed_is_output_and_what_is_returned_is_handed_back(make_job: MakeJob) -> None:
    job = make_job({"python": "steps:greet"}, secrets={"hunter2-secret": "${PW}"})
    assert await carry_out(job) == Succeeded(outputs={"result": {"rows": 3, "who": ["${PW}␛[2J"]}})
    assert job.output.path.read_text() == "hello\n"


@pytest.mark.parametrize(
    ("function", "outputs", "noted"),
    [
        ("nothing", {}, ""),
        ("noisy_result", {"result": 2}, '{"result": 1}'),
        ("odd", {}, "… the returned object cannot be kept as an output"),
        ("big", {}, "… the returned value of more than 1024 KiB cannot be kept as an output"),
    ],
)
async def test_values_that_cannot_be_kept_do_not_undo_the_work(
    make_job: MakeJob, function: str, outputs: dict[str, object], noted: str
) -> None:
    job = make_job({"python": f"steps:{function}"})
    assert await carry_out(job) == Succeeded(outputs=outputs)
    assert job.output.tail() == noted


async def test_an_exception_prints_the_traceback_of_the_function_alone(make_job: MakeJob) -> None:
    outcome = await carry_out(make_job({"python": "steps:fails"}))
    assert isinstance(outcome, Failed)
    assert (outcome.exit_code, outcome.failure_class) == (1, FailureClass.UNKNOWN)
    assert outcome.reason == "exit 1; it said: ValueError: so it is"
    assert outcome.tail.startswith("Traceback (most recent call last):\n")
    assert 'steps.py", line' in outcome.tail
    assert '"<string>"' not in outcome.tail


async def test_an_exit_code_of_its_own_is_classified(make_job: MakeJob) -> None:
    outcome = await carry_out(make_job({"python": "steps:leaves"}))
    assert isinstance(outcome, Failed)
    assert (outcome.exit_code, outcome.failure_class) == (75, FailureClass.TRANSIENT)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("nowhere:run", "there is no module 'nowhere'"),
        ("steps:nope", "module 'steps' has no function 'nope'"),
    ],
)
async def test_what_is_not_there_is_said_plainly(make_job: MakeJob, named: str, said: str) -> None:
    outcome = await carry_out(make_job({"python": named}))
    assert isinstance(outcome, Failed)
    assert outcome.failure_class is FailureClass.PERMANENT
    assert said in outcome.tail
    assert "Traceback" not in outcome.tail


async def test_a_module_that_misses_another_shows_where(make_job: MakeJob) -> None:
    outcome = await carry_out(make_job({"python": "broken:run"}))
    assert isinstance(outcome, Failed)
    assert outcome.exit_code == 1
    assert 'broken.py", line 1' in outcome.tail
    assert "not_there_at_all" in outcome.tail


async def test_the_child_sees_the_folder_and_nothing_of_ours(make_job: MakeJob) -> None:
    assert await carry_out(make_job({"python": "steps:sees"})) == Succeeded(outputs={"result": ["helper"]})


async def test_a_package_of_the_plan_may_have_the_name_of_one_of_ours(
    make_job: MakeJob, tmp_path: Path
) -> None:
    (tmp_path / "engine.py").write_text("def start(): return 'brumm'\n")
    assert await carry_out(make_job({"python": "engine:start"})) == Succeeded(outputs={"result": "brumm"})


async def test_the_child_works_in_the_folder(make_job: MakeJob, tmp_path: Path) -> None:
    outcome = await carry_out(make_job({"python": "steps:where"}))
    assert isinstance(outcome, Succeeded)
    assert outcome.outputs["result"][:2] == [str(tmp_path)] * 2
    assert not (tmp_path / "__pycache__").exists()


@pytest.mark.parametrize(
    ("function", "done"), [("yes", True), ("nothing", True), ("no", False), ("odd", None), ("fails", None)]
)
async def test_verify_tells_by_what_it_returns(make_job: MakeJob, function: str, done: bool | None) -> None:
    evidence = verdict(await carry_out(make_job({"python": f"steps:{function}"}, purpose="verify")))
    assert evidence.done is done


async def test_stop_ends_the_child(make_job: MakeJob) -> None:
    heard = Heard()
    job = make_job({"python": "steps:waits"}, on_lines=heard)
    outcomes = []
    async with anyio.create_task_group() as group:

        async def attempt() -> None:
            outcomes.append(await carry_out(job))

        group.start_soon(attempt)
        await heard.count(1)
        job.stop.set()
    assert [type(outcome) for outcome in outcomes] == [Cancelled]


async def test_a_missing_interpreter_is_a_failure_without_effect(make_job: MakeJob, tmp_path: Path) -> None:
    outcome = await carry_out(replace(make_job({"python": "steps:yes"}), interpreter="python-of-tomorrow"))
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.effect) == (FailureClass.PERMANENT, "none")
    assert "python-of-tomorrow" in outcome.reason
    assert interpreter_path("bin/python", tmp_path) is None


async def test_a_python_function_leaves_no_evidence(make_job: MakeJob) -> None:
    assert (await PythonExecutor().evidence(make_job({"python": "steps:yes"}))).done is None
