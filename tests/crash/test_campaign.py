"""A sample of the crash campaign: `python -m tests.crash.campaign` is all of it."""

import subprocess
import sys
from pathlib import Path

import pytest

STORIES = ("sql", "shell", "failure", "questions", "rollback", "back by", "changed", "fork")


@pytest.mark.parametrize("stories", STORIES)
def test_nothing_is_lost_and_nothing_runs_twice_wherever_engines_are_killed(stories: str) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.crash.campaign",
        "--size",
        "4",
        "--workers",
        "1",
        "--only",
        stories,
    ]
    told = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert " 0 failures, " in told.stdout.splitlines()[-1]
    assert "0 kills" not in told.stdout.splitlines()[-1].split(", ")
