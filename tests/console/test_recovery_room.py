"""Who gets the rows of the recovery dialog that are free."""

import pytest

from console.recovery.widgets import Clipped
from console.screens.recovery import Tail
from tests.console import recovery_stage as stages
from tests.console.recovery_stage import Desk, Stage, desk

pytestmark = pytest.mark.anyio

ERROR = "column 7 of 9 holds what nobody expected. " * 20


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def failed(output: list[str]) -> Stage:
    stage = Stage({**stages.UNKNOWN, "reason": ERROR + "The end."})
    stage.view._kept_output = lambda _task, _attempt: output
    return stage


def error_of(at: Desk) -> Clipped:
    return at.dialog.query_one(".error .value", Clipped)


def output_rows(at: Desk) -> int:
    return at.dialog.query_one(Tail).scrollable_content_region.height


async def test_the_error_gets_the_rows_that_the_output_leaves_free() -> None:
    async with desk(failed(["one line"]), size=(120, 36)) as at:
        assert str(error_of(at).content).endswith("The end.")
        assert error_of(at).size.height > 3
        assert output_rows(at) >= 1


async def test_output_that_fills_its_room_leaves_the_error_three_rows() -> None:
    async with desk(failed([f"line {n}" for n in range(80)]), size=(120, 36)) as at:
        assert str(error_of(at).content).endswith(" …")
        assert error_of(at).size.height == 3
        assert output_rows(at) > 3


async def test_the_error_gives_way_where_there_is_less_room_and_takes_it_back() -> None:
    async with desk(failed(["one line"]), size=(120, 36)) as at:
        whole = error_of(at).size.height
        await at.pilot.resize_terminal(80, 24)
        await at.pilot.pause()
        facts = at.dialog.query_one("#facts").region
        others = [each for each in at.dialog.query("#facts > Fact") if each.display]
        assert error_of(at).size.height < whole + 3
        assert error_of(at).size.height == 3 or all(facts.contains_region(each.region) for each in others)
        await at.pilot.resize_terminal(120, 36)
        await at.pilot.pause()
        assert error_of(at).size.height == whole
