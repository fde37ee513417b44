"""Screens that are looked at four times as often as a terminal would be: a test waits for each key that it
presses until its app has been idle for longer than one repaint takes to come."""

import pytest
from textual import _wait, screen

TIMES = 4


@pytest.fixture(autouse=True)
def _looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "UPDATE_PERIOD", screen.UPDATE_PERIOD / TIMES)
    monkeypatch.setattr(_wait, "SLEEP_GRANULARITY", _wait.SLEEP_GRANULARITY / TIMES)
    monkeypatch.setattr(_wait, "SLEEP_IDLE", _wait.SLEEP_IDLE / TIMES)
