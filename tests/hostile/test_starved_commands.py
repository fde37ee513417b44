"""Commands besides `run` where nothing can be written: a sentence, and nothing half done is left behind."""

import pytest

from tests.cli.program import Program


@pytest.mark.parametrize("folder", ["x" * 300, "file/below", "file"])
def test_samples_are_copied_nowhere_else(program: Program, folder: str) -> None:
    (program.folder / "file").write_text("in the way")
    result = program("samples", "shop", folder).wants(2)
    assert "cannot be written" in result.err or "exists already" in result.err
    assert [path.name for path in program.folder.iterdir()] == ["file"]


def test_samples_that_do_not_fit_are_taken_away_again(program: Program) -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)); "
    entry = limited + "from console.cli import main; main()"
    result = program.process("samples", "shop", entry=entry).wants(2)
    assert "shop cannot be written: [Errno 27] File too large" in result.err
    assert list(program.folder.iterdir()) == []
