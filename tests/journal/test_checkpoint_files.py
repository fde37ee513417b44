import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.journal.checkpoints import (
    CheckpointUnreadable,
    kept,
    list_checkpoints,
    prune,
    read_checkpoint,
    write_checkpoint,
)
from engine.journal.errors import CheckpointUnwritable
from engine.journal.journal import Journal
from engine.journal.rundir import RunDir
from tests.journal.samples import at, save_checkpoint, started_journal

CONTENT = {"timestamp": "now", "completed": ["a"], "outputs": {"a": {"rows": 3}}, "metrics": {"idle_s": 1.5}}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    with started_journal(tmp_path, events=5) as journal:
        return journal


Sealed = tuple[RunDir, bytes]


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    with started_journal(tmp_path_factory.mktemp("state")) as journal:
        save_checkpoint(journal, "c1", "time")
    return journal.rundir, (journal.rundir.checkpoints / "c1.json").read_bytes()


def test_a_checkpoint_is_read_as_it_was_written(journal: Journal) -> None:
    name = write_checkpoint(journal.rundir, "c1", "manual", 5, "ab", CONTENT, at(5))
    checkpoint = read_checkpoint(journal.rundir, name)
    assert (checkpoint.id, checkpoint.run, checkpoint.trigger) == ("c1", "r1", "manual")
    assert (checkpoint.position, checkpoint.hash, checkpoint.at) == (5, "ab", at(5))
    assert checkpoint.content == CONTENT
    assert json.loads((journal.rundir.checkpoints / name).read_text())["checkpoint"]["content"] == CONTENT
    assert list_checkpoints(journal.rundir) == [name]


def test_a_checkpoint_of_the_same_id_takes_the_place_of_the_old(journal: Journal) -> None:
    for position in (3, 4):
        name = write_checkpoint(journal.rundir, "c1", "time", position, "ab", CONTENT, at(5))
    assert read_checkpoint(journal.rundir, name).position == 4
    assert list_checkpoints(journal.rundir) == [name]


def test_the_run_is_named_wherever_its_directory_stands(journal: Journal, tmp_path: Path) -> None:
    moved = type(journal.rundir)(journal.rundir.path.rename(tmp_path / "elsewhere"))
    name = write_checkpoint(moved, "c1", "time", 5, "ab", CONTENT, at(5))
    assert read_checkpoint(moved, name).run == "r1"


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_changed_byte_goes_unnoticed(data: st.DataObject, sealed: Sealed) -> None:
    rundir, written = sealed
    start = written.index(b'"checkpoint": ') + len(b'"checkpoint": ')
    where = data.draw(st.integers(start, len(written) - 3))
    bit = data.draw(st.integers(0, 7))
    changed = bytearray(written)
    changed[where] ^= 1 << bit
    (rundir.checkpoints / "c1.json").write_bytes(changed)
    with pytest.raises(CheckpointUnreadable):
        read_checkpoint(rundir, "c1.json")


@pytest.mark.parametrize("bad", ["", "..", "a/b", ".x"])
def test_an_id_that_is_no_file_name_is_refused(journal: Journal, bad: str) -> None:
    with pytest.raises(ValueError, match="checkpoint"):
        write_checkpoint(journal.rundir, bad, "time", 5, "ab", CONTENT, at(5))


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write_checkpoint(journal.rundir, "c1", "time", 3, "ab", CONTENT, at(5))

    def failing(_fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(CheckpointUnwritable, match="Input/output error"):
        write_checkpoint(journal.rundir, "c1", "time", 4, "ab", CONTENT, at(5))
    assert read_checkpoint(journal.rundir, name).position == 3
    assert os.listdir(journal.rundir.checkpoints) == [name]


def test_prune_removes_what_is_not_kept_and_what_was_left_unfinished(journal: Journal) -> None:
    for number in range(5):
        write_checkpoint(journal.rundir, f"c{number}", "time", 5, "ab", CONTENT, at(5))
    (journal.rundir.checkpoints / ".c9.json.tmp").write_text("half")
    assert prune(journal.rundir, {"c1", "c4"}) == ["c0.json", "c2.json", "c3.json"]
    assert sorted(os.listdir(journal.rundir.checkpoints)) == ["c1.json", "c4.json"]


def test_the_newest_are_kept_and_all_at_barriers() -> None:
    saved = [("a", "barrier"), ("b", "time"), ("c", "time"), ("d", "barrier"), ("e", "manual")]
    assert kept(saved, 2) == {"a", "d", "e"}
    assert kept(saved, 4) == {"a", "b", "c", "d", "e"}
    assert kept([], 2) == set()
