"""Pipes that are full and that nobody reads: nothing of a run waits for them, nor does its end."""

import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from console.commands import options
from tests.cli.program import Gate, Program, live, write_plan
from tests.signals.test_stopping import BOUND_S


@pytest.fixture
def full_pipe() -> Iterator[int]:
    """The writing end of a pipe that has no room left; its reader is there, and reads nothing."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, bytes(4096))
    except BlockingIOError:
        os.set_blocking(writer, True)
    yield writer
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("output", ["--headless", "--json"])
def test_a_run_goes_on_and_a_signal_ends_it(
    program: Program, gate: Gate, full_pipe: int, output: str
) -> None:
    plan = write_plan(
        program.folder,
        f'  - {{id: a, run: {{shell: "true"}}}}\n  - {{id: b, run: {{shell: "{gate.stop}"}}, needs: [a]}}\n',
    )
    streams = {"stdout": full_pipe, "stderr": full_pipe}
    with live(program.spawn("run", plan, output, "--run-id", "r", **streams)) as child:
        gate.reached()
        child.send_signal(signal.SIGTERM)
        assert child.wait(BOUND_S) == 4
    assert program.inspect("r")["status"] == "aborted"


def test_a_run_that_has_ended_waits_for_its_reader_until_a_signal_comes(
    program: Program, full_pipe: int
) -> None:
    """What the run came to is what it came to."""
    plan = write_plan(program.folder, '  - {id: a, run: {shell: "true"}}\n')
    with live(program.spawn("run", plan, "--headless", "--run-id", "r", stdout=full_pipe)) as child:
        while not (listed := program("runs", "--json").json) or listed[0]["status"] != "completed":
            assert child.poll() is None
        child.send_signal(signal.SIGTERM)
        assert child.wait(BOUND_S) == 0


def test_trouble_is_told_in_order_and_waits_for_no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    somebody_reads = threading.Event()
    told: list[str] = []

    def say(text: str) -> None:
        somebody_reads.wait()
        told.append(text)

    with ThreadPoolExecutor(1) as beside:
        monkeypatch.setattr(options, "say", say)
        monkeypatch.setattr(options, "_beside", lambda: beside)
        options._say_trouble("no room")
        options._say_trouble("")
        assert told == []
        somebody_reads.set()
    assert told == ["held up: no room", "the journal can be written again: the run goes on"]


def test_a_pipe_that_somebody_made_nonblocking_loses_nothing(program: Program) -> None:
    """As some parents leave it: what they share with the program is their own end."""
    tasks = "".join(f"  - {{id: t{n}, run: {{simulate: {{duration: 0s}}}}}}\n" for n in range(60))
    plan = write_plan(program.folder, tasks)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    with live(program.spawn("run", plan, "--json", "--run-id", "r", stdout=writer)) as child:
        os.close(writer)
        told = b"".join(iter(lambda: os.read(reader, 4096), b""))
        os.close(reader)
        assert child.wait() == 0
    assert told.decode() == program("events", "r").out
