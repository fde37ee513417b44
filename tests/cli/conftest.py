from pathlib import Path

import pytest

from tests.cli.program import Gate, Program


@pytest.fixture
def program(tmp_path: Path) -> Program:
    folder = tmp_path / "plans"
    folder.mkdir()
    return Program(folder, tmp_path / "state")


@pytest.fixture
def gate(program: Program) -> Gate:
    return Gate(program.folder)
