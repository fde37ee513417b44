"""The state directory read-only, in the way, full, removed, or on a disk that breaks: before a start and in flight."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cli.program import ENTRY, Gate, Program, await_line, ended, live, write_plan
from tests.hostile.starving import (
    FSYNC_FAILS,
    as_everybody,
    fill,
    no_room,
    remount,
    small_disk,
    with_full_disk_for,
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


@pytest.mark.parametrize("spoil", [in_the_way, runs_in_the_way, dangling, read_only, read_only_above])
def test_a_state_directory_that_cannot_be_used_is_refused(
    program: Program, plan: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(program.state)
    before = everything(program.folder.parent)
    refused = program.process("run", plan, "--headless", preexec_fn=as_everybody).wants(2)
    assert "the state directory cannot be used" in refused.err
    assert str(program.state) in refused.err
    assert "--state-dir" in refused.err
    assert refused.out == ""
    assert everything(program.folder.parent) == before


@pytest.mark.parametrize("room", [0, 1, 100, 4096, 16_384, 32_767])
def test_a_run_for_which_there_is_no_room_is_refused_and_leaves_nothing(
    program: Program, plan: Path, room: int
) -> None:
    (program.state / "runs").mkdir(parents=True)
    before = everything(program.folder.parent)
    refused = program.process("run", plan, "--headless", entry=with_full_disk_for(room)).wants(2)
    assert refused.out == ""
    assert "make room" in refused.err
    assert everything(program.folder.parent) == before
