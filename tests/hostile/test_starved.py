"""The state directory read-only, in the way, full, removed, or breaking: before a start and in flight."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.cli.program import ENTRY, Gate, Program, Result, await_line, ended, live, write_plan
from tests.hostile.starving import (
    FSYNC_FAILS,
    as_everybody,
    fill,
    no_room,
    small_disk,
)

TASKS = """\
  - {{id: first, run: {{shell: "echo first >> effects"}}}}
  - {{id: stops, run: {{shell: "{stop}; echo stops >> effects"}}, needs: [first]}}
  - {{id: after, run: {{shell: "echo after >> effects"}}, needs: [stops]}}
"""


@pytest.fixture
def plan(program: Program, gate: Gate) -> Path:
    return write_plan(program.folder, TASKS.format(stop=gate.stop))


def effects(program: Program) -> list[str]:
    path = program.folder / "effects"
    return path.read_text().split() if path.exists() else []


def everything(folder: Path) -> dict[str, bytes | None]:
    """Every file below `folder` with its content, and every folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if not path.is_fifo()
    }


# -- before a start ------------------------------------------------------------------------------------


def in_the_way(state: Path) -> None:
    state.write_text("in the way")


def runs_in_the_way(state: Path) -> None:
    state.mkdir()
    (state / "runs").write_text("in the way")


def dangling(state: Path) -> None:
    state.symlink_to("nowhere/at/all")


def read_only(state: Path) -> None:
    state.mkdir(mode=0o500)


def read_only_above(state: Path) -> None:
    (state / "runs").mkdir(parents=True)
    (state / "runs").chmod(0o500)


@pytest.mark.parametrize("spoil", [in_the_way, runs_in_the_way, dangling])
def test_a_state_directory_that_is_none_is_refused(
    program: Program, plan: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(program.state)
    with refusal(program):
        refused_for_the_directory(program, program("run", plan, "--headless"))


@pytest.mark.parametrize("spoil", [read_only, read_only_above])
def test_a_state_directory_that_may_not_be_written_is_refused(
    program: Program, plan: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(program.state)
    with refusal(program):
        result = program.process("run", plan, "--headless", preexec_fn=as_everybody)
        refused_for_the_directory(program, result)


@pytest.mark.parametrize("room", [0, 1, 100, 4096, 16_384, 32_767])
def test_a_run_for_which_there_is_no_room_is_refused(program: Program, plan: Path, room: int) -> None:
    (program.state / "runs").mkdir(parents=True)
    with refusal(program):
        with no_room(os.getpid(), room):
            refused = program("run", plan, "--headless").wants(2)
        assert refused.out == ""
        assert "make room" in refused.err


@contextmanager
def refusal(program: Program) -> Iterator[None]:
    """What is refused in the block leaves nothing behind."""
    before = everything(program.folder.parent)
    yield
    assert everything(program.folder.parent) == before


def refused_for_the_directory(program: Program, result: Result) -> None:
    assert "the state directory cannot be used" in result.wants(2).err
    assert str(program.state) in result.err
    assert "--state-dir" in result.err
    assert result.out == ""


# -- in flight -----------------------------------------------------------------------------------------


def held_up(line: str) -> bool:
    return line.startswith("held up: ")


def once_each(program: Program) -> None:
    """The run is complete, sound, and each task took effect once."""
    assert set(program.statuses("r").values()) == {"succeeded"}
    assert effects(program) == ["first", "stops", "after"]
    program("verify", "r").wants(0)


def test_in_flight_a_run_without_room_waits_says_so_and_goes_on(
    program: Program, plan: Path, gate: Gate
) -> None:
    with live(program.spawn("run", plan, "--headless", "--run-id", "r")) as child:
        gate.reached()
        with no_room(child.pid):
            gate.open()
            said = await_line(child.stderr, held_up)
            assert child.poll() is None
            assert program.statuses("r")["stops"] == "running"
        await_line(child.stderr, lambda line: "can be written again" in line)
        ended(child).wants(0)
    assert "there is no room to write the journal" in said or "checkpoint could not be saved" in said
    once_each(program)


def test_a_run_that_is_held_up_can_be_stopped_and_gone_on_with(
    program: Program, plan: Path, gate: Gate
) -> None:
    with live(program.spawn("run", plan, "--headless", "--run-id", "r")) as child:
        gate.reached()
        engine = psutil.Process(child.pid)
        with no_room(child.pid):
            gate.open()
            await_line(child.stderr, held_up)
            child.terminate()
            stopped = ended(child).wants(7)
            assert not engine.is_running()
    assert "there is no room" in stopped.err
    # Its end was seen, and could not be written down: that is a doubt, and nothing is run twice for it.
    assert program("resume", "r", "--headless").wants(6).out.count("stops started") == 0
    assert effects(program) == ["first", "stops"]
    program("verify", "r").wants(0)


def test_a_disk_that_is_full_in_flight_and_before(program: Program, plan: Path, gate: Gate) -> None:
    """The same on a file system of its own, where that can be had; RLIMIT_FSIZE stands in for it above."""
    program.state.mkdir()
    with small_disk(program.state, 400) as mounted:
        if not mounted:
            return
        with live(program.spawn("run", plan, "--headless", "--run-id", "r")) as child:
            gate.reached()
            filler = fill(program.state)
            refused = program("run", plan, "--headless", "--run-id", "other").wants(2)
            assert "No space left" in refused.err or "full" in refused.err
            assert not (program.state / "runs/other").exists()
            gate.open()
            await_line(child.stderr, held_up)
            filler.unlink()
            ended(child).wants(0)
        once_each(program)


def test_a_run_whose_directory_is_removed_halts_and_ends_its_tasks(
    program: Program, plan: Path, gate: Gate
) -> None:
    plan = write_plan(
        program.folder,
        f'  - {{id: sleeps, run: {{shell: "echo $$ > pid; {gate.stop}; sleep 600"}}}}\n'
        f'  - {{id: ends, run: {{shell: "until test -e go; do sleep 0.05; done; echo said"}}}}\n',
    )
    with live(program.spawn("run", plan, "--headless", "--run-id", "r")) as child:
        gate.reached()
        sleeper = psutil.Process(int((program.folder / "pid").read_text()))
        gate.open()
        shutil.rmtree(program.state)
        (program.folder / "go").write_text("")
        halted = ended(child).wants(7)
        assert not sleeper.is_running()
    assert "moved, replaced or removed" in halted.err
    assert not program.state.exists()


def test_a_failed_fsync_halts_the_run_and_is_never_tried_again(program: Program, plan: Path) -> None:
    plan = write_plan(program.folder, TASKS.format(stop="true"))
    halted = program.process("run", plan, "--headless", "--run-id", "r", entry=FSYNC_FAILS + ENTRY).wants(7)
    assert "could not be made durable" in halted.err
    assert "halted" in halted.err
    assert [line for line in halted.err.splitlines() if line.startswith("append")] == [
        "append 1",
        "append 2",
        "append 3",
    ]
    acknowledged = halted.out.splitlines()
    assert any("first started" in line for line in acknowledged)
    kinds = [event["kind"] for event in program.events("r")]
    # What was told is in the journal; what was not acknowledged may be there or not.
    assert kinds[:3] == ["run_started", "task_ready", "task_started"]
    program("verify", "r").wants(0)
    program("resume", "r", "--headless", "--on-unknown", "abort")
    assert effects(program).count("first") == 1
