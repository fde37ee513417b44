"""`checkpoint RUN` (and SIGUSR1, which it sends) on runs that are live, that stand still, or are over."""

import signal
from pathlib import Path
from typing import Any

from tests.cli.program import ENTRY, Gate, Program, await_event, ended, live, write_plan

UNKNOWN = '  - {id: a, run: {shell: "true"}}\n  - {id: b, run: {shell: "test -e ok"}, needs: [a]}\n'


def _saved(program: Program) -> list[dict[str, Any]]:
    return [
        event
        for event in program.events("r")
        if event["kind"] == "checkpoint_saved" and event["trigger"] == "manual"
    ]


def test_a_live_run_is_asked_and_goes_on(program: Program, gate: Gate) -> None:
    plan = write_plan(program.folder, f'  - {{id: a, run: {{shell: "{gate.stop}"}}}}\n')
    with live(program.spawn("run", plan, "--json", "--run-id", "r")) as child:
        gate.reached()
        told = program("checkpoint", "r").wants(0).out
        (saved,) = _saved(program)
        assert saved["checkpoint"] in told
        assert saved["completed"] == 0
        child.send_signal(signal.SIGUSR1)
        await_event(child, "checkpoint_saved", checkpoint="cp-0002", trigger="manual")
        gate.open()
        ended(child).wants(0)
    asked = [event["reason"] for event in program.events("r") if event.get("action") == "checkpoint"]
    assert asked == ["SIGUSR1", "SIGUSR1"]
    for checkpoint in ("cp-0001", "cp-0002"):
        assert (program.state / "runs" / "r" / "checkpoints" / f"{checkpoint}.json").exists()
    program("verify", "r").wants(0)


def test_a_standing_run_gets_one_that_it_can_be_rolled_back_to(program: Program) -> None:
    plan = write_plan(program.folder, UNKNOWN, checkpoints="{progress: 100}")
    program("run", plan, "--headless", "--run-id", "r").wants(6)
    assert "cp-0001" in program("checkpoint", "r").wants(0).out
    (saved,) = _saved(program)
    assert (saved["completed"], saved["stable"]) == (1, False)
    seqs = [event["seq"] for event in program.events("r")]
    assert seqs == list(range(1, len(seqs) + 1))
    program("verify", "r").wants(0)
    program("resume", "r", "--headless", "--on-unknown", "rollback", "--rollback-to", "cp-0001").wants(5)
    (program.folder / "ok").touch()
    program("resume", "r", "--headless").wants(0)


def test_there_is_none_to_take_of_what_is_complete(program: Program) -> None:
    plan = write_plan(program.folder, '  - {id: a, run: {shell: "true"}}\n')
    program("run", plan, "--headless", "--run-id", "r").wants(0)
    before = program("events", "r").out
    assert "completed" in program("checkpoint", "r").wants(2).err
    assert program("events", "r").out == before


AROUND = """
import os, signal
from console import headless
carry_out = headless.carry_out
def around(*args):
    os.kill(os.getpid(), signal.SIGUSR1)
    state = carry_out(*args)
    os.kill(os.getpid(), signal.SIGUSR1)
    return state
headless.carry_out = around
"""


def test_a_request_before_the_engine_listens_or_after_ends_nothing(program: Program) -> None:
    plan = write_plan(program.folder, '  - {id: a, run: {shell: "true"}}\n')
    program.process("run", plan, "--headless", "--run-id", "r", entry=AROUND + ENTRY).wants(0)
    assert program.inspect("r")["status"] == "completed"


def test_tasks_do_not_inherit_how_the_engine_takes_signals(program: Program) -> None:
    shell = (
        "(trap 'echo usr1 >> w' USR1; kill -USR1 $(sh -c 'echo $PPID')); sh -c 'kill -USR1 $$'; echo $? >> w"
    )
    plan = write_plan(program.folder, f'  - {{id: a, run: {{shell: "{shell}"}}}}\n')
    program.process("run", plan, "--headless").wants(0)
    assert (program.folder / "w").read_text().split() == ["usr1", str(128 + signal.SIGUSR1)]


def test_an_engine_that_ends_before_it_could_answer_is_not_waited_for(program: Program, gate: Gate) -> None:
    plan = write_plan(program.folder, f'  - {{id: a, run: {{shell: "{gate.stop}"}}}}\n')
    with live(program.spawn("run", plan, "--headless", "--run-id", "r")) as child:
        gate.reached()
        child.send_signal(signal.SIGSTOP)
        asking = program.spawn("checkpoint", "r")
        _await_pending(child.pid, signal.SIGUSR1)
        child.kill()
        child.wait()
        assert "cp-0001" in ended(asking).wants(0).out
    assert _saved(program)[0]["note"].endswith("while no engine ran")


def _await_pending(pid: int, number: signal.Signals) -> None:
    """Until the (stopped) process has signal `number` before it."""
    while True:
        status = Path(f"/proc/{pid}/status").read_text()
        pending = next(line for line in status.splitlines() if line.startswith("ShdPnd:"))
        if int(pending.split()[1], 16) & 1 << (number - 1):
            return
