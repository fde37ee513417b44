"""Kept output is read by lines: the same lines however it was written, and whenever it is looked at."""

import io
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.journal.rundir import RunDir
from engine.runner.kept import KeptOutput, OutputShelf, output_path
from engine.tasks.base import JobPurpose
from engine.tasks.output import LINE_LIMIT, OutputSink

TEXT = st.text(st.sampled_from("aé漢\n"), max_size=40)


def printed(rundir: RunDir, text: str, purpose: JobPurpose = "run") -> None:
    path = output_path(rundir, "a", 1, purpose)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(text)


@given(pieces=st.lists(TEXT, max_size=6))
def test_lines_are_the_same_however_the_file_grew(
    pieces: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    rundir = RunDir(tmp_path_factory.mktemp("run"))
    kept, text = KeptOutput(rundir, "a", 1), ""
    for piece in pieces:
        printed(rundir, piece)
        text += piece
        kept.refresh()
        lines = text.removesuffix("\n").split("\n") if text else []
        assert list(kept) == lines
        assert [kept[at] for at in range(-len(lines), 0)] == lines
        assert kept[-3:] == lines[-3:]
        assert kept[1:2] == lines[1:2]
        assert kept[::-1] == lines[::-1]


def test_verify_and_rollback_come_behind_with_a_heading(tmp_path: Path) -> None:
    rundir = RunDir(tmp_path)
    for purpose in get_args(JobPurpose):
        printed(rundir, f"{purpose} said\nthis", purpose)
    kept = KeptOutput(rundir, "a", 1)
    lines = [
        "run said",
        "this",
        "── verify ──",
        "verify said",
        "this",
        "── rollback ──",
        "rollback said",
        "this",
    ]
    assert list(kept) == lines
    assert [kept[at] for at in range(len(kept))] == lines
    assert all(kept[start:stop] == lines[start:stop] for start in range(9) for stop in range(9))
    saved = io.BytesIO()
    kept.save(saved)
    assert saved.getvalue().decode() == "\n".join(lines) + "\n"


def test_a_line_without_end_is_cut_on_screens_and_whole_in_what_is_saved(tmp_path: Path) -> None:
    printed(RunDir(tmp_path), "漢" * 100_000)
    kept = KeptOutput(RunDir(tmp_path), "a", 1)
    assert kept[0] == "漢" * LINE_LIMIT + "…"
    saved = io.BytesIO()
    kept.save(saved)
    assert saved.getvalue().decode() == "漢" * 100_000 + "\n"


def test_nothing_printed_is_no_lines_and_a_file_that_has_gone_is_said(tmp_path: Path) -> None:
    rundir = RunDir(tmp_path)
    shelf = OutputShelf(rundir)
    assert list(shelf("a", 1)) == []
    printed(rundir, "one\ntwo\n")
    assert list(shelf("a", 1)) == ["one", "two"]
    output_path(rundir, "a", 1, "run").unlink()
    assert "cannot be read" in shelf("a", 1)[0]


def test_what_a_sink_writes_is_what_is_read(tmp_path: Path) -> None:
    rundir = RunDir(tmp_path)
    path = output_path(rundir, "a", 1, "run")
    path.parent.mkdir(parents=True)
    sink = OutputSink(path)
    sink.write(b"one\x1b[31m\r\ntwo")
    kept = KeptOutput(rundir, "a", 1)
    sink.write(b" and more\n")
    sink.close()
    kept.refresh()
    assert [line.rstrip() for line in kept][1] == "two and more"
    assert not any("\x1b" in line for line in kept)
