"""A journal that cannot be written is no event, nor is a target that is not open; both must be seen."""

from datetime import UTC, datetime

from console.run_view import RunView
from console.status_line import fitted, status_parts
from engine.machine import reports as rep
from tests.console import fixtures


class Held:
    """An engine whose disk is full, and that still has to connect."""

    def report(self, report: rep.AnyReport) -> None:
        raise AssertionError(report)

    def now_t(self) -> float:
        return 0.0

    def trouble(self) -> str:
        return "the disk is full\x1b[2J"

    def opening(self) -> str:
        return "target `shop`: connecting…"


def test_the_status_line_says_what_holds_the_engine_up() -> None:
    view = fixtures.running()
    view.controls = Held()
    for width in (60, 200):
        line = fitted(status_parts(view, now=datetime(2026, 1, 1, tzinfo=UTC)), width).plain
        assert "held up: the disk is full" in line
        assert "\x1b" not in line


def test_the_status_line_says_what_is_opened_before_the_run_begins_and_before_it_goes_on() -> None:
    for view in (RunView(fixtures.running().plan), fixtures.running()):
        view.controls = Held()
        line = fitted(status_parts(view, now=datetime(2026, 1, 1, tzinfo=UTC)), 200).plain
        assert "target `shop`: connecting…" in line
