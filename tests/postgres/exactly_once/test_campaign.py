"""A sample of the exactly-once campaign: `python -m tests.postgres.exactly_once.campaign` is all of it."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("story", ["forward", "back"])
def test_whatever_strikes_engine_backend_or_connection_each_effect_comes_once(story: str) -> None:
    command = [sys.executable, "-m", "tests.postgres.exactly_once.campaign"]
    command += ["--size", "5", "--workers", "1", "--only", story]
    told = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "5 disasters, 5 came, 0 failures" in told.stdout.splitlines()[-1]
