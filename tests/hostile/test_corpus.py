"""The corpus of malformed plans: each is refused for what is wrong with it, and where; nothing is started."""

import os
from pathlib import Path

import pytest

from engine.plan.source import MAX_BYTES
from tests.cli.program import Program
from tests.hostile.corpus import CORPUS, Bad
from tests.hostile.refusal import refused
from tests.plan.written import unmark


@pytest.fixture
def folder(program: Program) -> Path:
    """The plan's folder, with everything in it that a path should not lead to."""
    folder, outside = program.folder, program.folder.parent / "outside"
    outside.mkdir()
    for name in ("app.db", "x.sql"):
        (outside / name).write_text("SELECT 1")
    (folder / "away").symlink_to(outside)
    (folder / "away.db").symlink_to(outside / "app.db")
    (folder / "away.sql").symlink_to("../outside/x.sql")
    (folder / "environ.sql").symlink_to("/proc/self/environ")
    (folder / "loop.db").symlink_to("loop.db")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe.sql")
    (folder / "latin.sql").write_bytes(b"-- caf\xe9\n")
    (folder / "nul.sql").write_bytes(b"SELECT 1;\0\n")
    with (folder / "large.sql").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    return folder


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 250


@pytest.mark.parametrize("name", CORPUS)
def test_refused(program: Program, folder: Path, name: str) -> None:
    bad = CORPUS[name]
    plan = folder / "plan.yaml"
    content, place = _written(bad)
    plan.write_bytes(content)
    found = refused(program, plan)
    here = [each for each in found if place is None or (each["line"], each["column"]) == place]
    assert any(bad.said in each["message"] and bad.hint in each["hint"] for each in here), found


def _written(bad: Bad) -> tuple[bytes, tuple[int, int] | None]:
    """The bytes of the file, and where its mistake stands."""
    if isinstance(bad.content, bytes):
        return bad.content, None
    text, places = unmark(bad.content.replace("\r\n", "\n").replace("\r", "\n"))
    return text.encode(), places[0] if places else None
