"""A journal that cannot be written is no event, and must be seen all the same."""

from datetime import UTC, datetime

from console.status_line import fitted, status_parts
from engine.machine import reports as rep
from tests.console import fixtures


class Held:
    """An engine whose disk is full."""

    def report(self, report: rep.AnyReport) -> None:
        raise AssertionError(report)

    def now_t(self) -> float:
        return 0.0

    def trouble(self) -> str:
        return "the disk is full\x1b[2J"


def test_the_status_line_says_what_holds_the_engine_up() -> None:
    view = fixtures.running()
    view.controls = Held()
    for width in (60, 200):
        line = fitted(status_parts(view, now=datetime(2026, 1, 1, tzinfo=UTC)), width).plain
        assert "held up: the disk is full" in line
        assert "\x1b" not in line
