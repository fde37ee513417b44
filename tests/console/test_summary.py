"""What the end of a run says of what operators did."""

from msgspec.structs import replace

from console.run_view import RunView
from console.summary import ended_because, summarise
from tests.console import fixtures


def test_the_reason_of_a_rollback_stays_beside_what_it_came_to() -> None:
    told = fixtures.rolled_back()
    *before, end = told.events
    view = RunView(told.plan)
    view.fold([*before, replace(end, reason="rolled back to cp-0006")])
    assert "Reason: rolled back to cp-0006 (support sees wrong totals)." in summarise(view).meaning
    assert ended_because(view.newest) == "rolled back to cp-0006 (support sees wrong totals)"
