"""What a plan with mistakes meets: `check` and `run` name them, start nothing, and leave nothing behind."""

import time
from pathlib import Path
from typing import Any

from engine.plan.errors import MAX_FINDINGS
from tests.cli.program import Program

CPU_S = 10.0
"""Seconds of processor time that any small plan may take; a hundred times what they need."""


def refused(program: Program, plan: Path) -> list[dict[str, Any]]:
    """The errors of `plan` as `check --json` tells them, once `run` has refused it for them, too."""
    before = time.process_time()
    checked = program("check", plan, "--json").wants(2)
    assert time.process_time() - before < CPU_S
    assert checked.json["ok"] is False
    found: list[dict[str, Any]] = checked.json["errors"]
    assert 1 <= len(found) <= MAX_FINDINGS
    for each in found:
        assert_located(each, plan)
        assert_no_control(each["message"] + each["hint"])
    told = not_started(program, plan)
    first = found[0]
    assert first["message"] in told
    if first["line"]:
        assert f":{first['line']}:{first['column']}: " in told
    return found


def told_by_check(program: Program, plan: Path) -> str:
    """What `check` says to a person of a plan that it refuses."""
    return _told(program, "check", plan)


def not_started(program: Program, plan: Path) -> str:
    """What `run` says of a plan that it refuses. Nothing may have been created."""
    told = _told(program, "run", plan, "--headless")
    assert not program.state.exists(), "a refused plan left something behind"
    return told


def _told(program: Program, *command: object) -> str:
    before = time.process_time()
    result = program(*command).wants(2)
    assert time.process_time() - before < CPU_S
    assert result.out == ""
    assert_no_control(result.err)
    return result.err


def assert_located(error: dict[str, Any], plan: Path) -> None:
    """Every error has a file; one about the whole file has neither line nor column."""
    assert error["file"] == str(plan)
    assert (error["line"] is None) == (error["column"] is None)
    assert error["line"] is None or (error["line"] >= 1 and error["column"] >= 1)


def assert_no_control(text: str) -> None:
    """Nothing in `text` steers a terminal, turns the direction of text, or is invisible."""
    odd = {char for char in text if not char.isprintable() and char != "\n"}
    assert not odd, f"{odd!r} in {text[:300]!r}"
