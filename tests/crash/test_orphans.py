"""What a killed engine leaves running: found, named, waited for or ended, and never run beside."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine.machine.state import Question, State
from tests.cli.program import Gate, Program, live, write_plan
from tests.crash.operator import operated


@pytest.fixture
def program(tmp_path: Path) -> Program:
    folder = tmp_path / "plans"
    folder.mkdir()
    return Program(folder, tmp_path / "state")


@pytest.fixture
def gate(program: Program) -> Gate:
    return Gate(program.folder)


class Orphans:
    """Run `r1`, whose engine was killed while its one task stood at the gate in the middle of its work."""

    def __init__(self, program: Program, gate: Gate, shell: str, **task: str) -> None:
        self.program = program
        self.gate = gate
        self._witness = program.folder / "witness"
        command = f"echo $WESLEY_ATTEMPT >> witness; test $WESLEY_ATTEMPT != 1 || {{ {shell}; }}"
        more = "".join(f", {key}: {value}" for key, value in task.items())
        write_plan(program.folder, f'  - {{id: a, run: {{shell: "{command}"}}{more}}}\n')
        with live(program.spawn("run", "plan.yaml", "--headless", "--run-id", "r1")) as engine:
            gate.reached()
            self.left = psutil.Process(engine.pid).children(recursive=True)
            os.kill(engine.pid, signal.SIGKILL)
            engine.wait()

    @property
    def effects(self) -> list[str]:
        return self._witness.read_text().split()

    @property
    def evidence(self) -> str:
        return str(self.program.inspect("r1")["question"]["evidence"])

    def resume(self, *flags: str) -> int:
        return self.program("resume", "r1", "--headless", *flags).code

    def alive(self) -> list[psutil.Process]:
        return [p for p in self.left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def orphans(program: Program, gate: Gate, request: pytest.FixtureRequest) -> Iterator[Orphans]:
    shell, task = request.param
    made = Orphans(program, gate, shell.format(stop=gate.stop), **task)
    try:
        yield made
    finally:
        for process in made.alive():
            process.kill()


def at_gate(shell: str = "{stop}", **task: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("orphans", [(shell, task)], indirect=True)


APART = "setsid sh -c 'sleep 300' & {stop}; sleep 300"
BARE = "env -i sleep 300 & {stop}; sleep 300"


@pytest.mark.parametrize("orphans", [(APART, {}), (BARE, {})], indirect=True)
def test_all_that_still_runs_is_named_wherever_it_hides(orphans: Orphans) -> None:
    orphans.gate.open()
    assert orphans.resume() == 6
    assert orphans.evidence.startswith("still running: ")
    assert len(orphans.left) >= 2
    for process in orphans.left:
        assert (f"process {process.pid} (" in orphans.evidence) == process.is_running()
    assert orphans.effects == ["1"]


@at_gate()
def test_it_is_not_run_again_beside_itself_even_if_it_is_idempotent(orphans: Orphans) -> None:
    assert orphans.resume() == 6
    assert orphans.resume() == 6
    assert orphans.effects == ["1"]
    assert orphans.alive()


@at_gate()
def test_a_standing_retry_ends_what_still_runs_and_then_runs_it_again(orphans: Orphans) -> None:
    assert orphans.resume("--on-unknown", "retry") == 0
    assert not orphans.alive()
    assert orphans.effects == ["1", "2"]
    decided = [e for e in orphans.program.events("r1") if e["kind"] == "decision_made"]
    assert [(e["action"], e.get("mode")) for e in decided] == [("resume", "end_processes"), ("retry", None)]


@at_gate(APART)
def test_an_operator_ends_it_and_what_is_found_then_settles_the_doubt(orphans: Orphans) -> None:
    def answer(state: State, question: Question) -> tuple[str, str | None]:
        return ("resume", "end_processes") if question.survivors else ("skip", "assert_done")

    assert operated(orphans.program.state, "r1", answer).status == "completed"
    assert not orphans.alive()
    assert orphans.effects == ["1"]


@at_gate(verify="{shell: 'test -e finished'}", shell="{stop}; touch finished")
def test_an_operator_waits_for_it_and_its_verify_settles_the_doubt(orphans: Orphans) -> None:
    asked: list[Question] = []

    def answer(state: State, question: Question) -> tuple[str, str | None]:
        if not asked:
            orphans.gate.open()
        asked.append(question)
        psutil.wait_procs(orphans.left)
        return "resume", "look_again"

    assert operated(orphans.program.state, "r1", answer).status == "completed"
    assert [question.about for question in asked] == ["doubt"]
    settled = [e for e in orphans.program.events("r1") if e["kind"] == "doubt_settled"]
    assert [(e["done"], e["by"]) for e in settled] == [(True, "verify")]
    assert orphans.effects == ["1"]


@at_gate(idempotent="true")
def test_once_it_has_ended_an_idempotent_task_runs_again_by_itself(orphans: Orphans) -> None:
    assert orphans.resume() == 6
    orphans.gate.open()
    psutil.wait_procs(orphans.left)
    assert orphans.resume() == 0
    assert orphans.effects == ["1", "2"]
