"""Signals to an engine without a screen: it stops cleanly, and takes with it all that its tasks started."""

import signal
import subprocess
import time
from contextlib import suppress

from tests.cli.program import Gate, Program, await_event, ended, live, write_plan
from tests.signals.family import Family
from tests.signals.terminal import Terminal

BOUND_S = 30.0
"""Within which an engine has stopped, whatever its tasks do: 5 s of grace, and a slow machine."""


def test_everything_that_a_task_started_ends_with_the_run(program: Program, family: Family) -> None:
    with live(program.spawn("run", family.plan, "--headless", "--run-id", "r")) as child:
        processes = family.reached()
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            child.send_signal(number)  # `timeout`, say, tells its child, and then its whole group
        result = ended(child).wants(4)
    assert result.err == ""
    assert "resume" in result.out.splitlines()[-1]
    family.assert_stopped("r", processes, "SIGTERM received")


def test_a_signal_that_is_repeated_kills_at_once(program: Program, family: Family) -> None:
    family.is_born(stubborn=True)
    with live(program.spawn("run", family.plan, "--json", "--run-id", "r")) as child:
        processes = family.reached()
        child.send_signal(signal.SIGINT)
        await_event(child, "run_stopping")
        stopping = time.monotonic()
        while child.poll() is None:
            child.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                child.wait(0.1)
        took = time.monotonic() - stopping
        result = ended(child).wants(4)
    assert 1.0 <= took < 4.5
    assert result.err == ""
    family.assert_stopped("r", processes, "SIGINT received")


def test_a_closed_terminal_ends_a_run_within_bounds_though_its_tasks_do_not_listen(
    program: Program, family: Family
) -> None:
    family.is_born(stubborn=True)
    with Terminal(program, "run", family.plan, "--headless", "--run-id", "r") as terminal:
        processes = family.reached()
        terminal.hang_up()
        assert terminal.child.wait(BOUND_S) == 4
    family.assert_stopped("r", processes, "SIGHUP received")


def test_a_verify_under_way_holds_up_no_stop(program: Program, gate: Gate) -> None:
    plan = write_plan(
        program.folder,
        "  - {id: a, run: {shell: 'echo a >> effects'}, verify: {shell: 'sh ./verify.sh'}}\n",
    )
    (program.folder / "verify.sh").write_text(gate.stop)
    with live(program.spawn("run", plan, "--headless", "--run-id", "r")) as child:
        gate.reached()
        child.send_signal(signal.SIGTERM)
        ended(child).wants(4)
    assert program.statuses("r") == {"a": "cancelled"}
    (program.folder / "verify.sh").write_text("true")
    program("resume", "r", "--headless").wants(0)
    assert (program.folder / "effects").read_text() == "a\n"


def test_requests_for_checkpoints_may_come_thick_and_fast(program: Program, family: Family) -> None:
    with live(program.spawn("run", family.plan, "--json", "--run-id", "r")) as child:
        processes = family.reached()
        child.send_signal(signal.SIGUSR1)
        saved = await_event(child, "checkpoint_saved", trigger="manual")
        assert (program.state / "runs/r/checkpoints" / saved["file"]).exists()
        for _ in range(50):
            child.send_signal(signal.SIGUSR1)
        child.send_signal(signal.SIGTERM)
        ended(child).wants(4)
    reasons = [event["reason"] for event in program.events("r") if event.get("action") == "checkpoint"]
    assert {"SIGUSR1"} == set(reasons)
    assert not [process for process in processes if process.is_running()]
