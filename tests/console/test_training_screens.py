"""The screens around a drill."""

import pytest
from textual.widgets import OptionList, Static

from console.run_view import RunView
from console.screens.training import DrillBriefing, DrillList, DrillReport, TrainingApp
from console.training.drills import drill_titles, load_drill
from engine.forecast.simulation import Simulation
from engine.machine import reports as rep
from engine.plan.errors import PlanErrors
from tests.console.recovery_stage import StageApp

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _text(app: TrainingApp | StageApp) -> str:
    return "\n".join(str(part.content) for part in app.screen.query(Static).results(Static))


async def test_a_drill_is_chosen_from_the_list_and_read_about_before_it_starts() -> None:
    app = TrainingApp()
    async with app.run_test() as pilot:
        await pilot.pause()
        assert isinstance(app.screen, DrillList)
        names = [option.id for option in app.screen.query_one(OptionList).options]
        assert names == list(drill_titles())
        await pilot.press("down")
        assert load_drill(names[1]).drill.briefing.split(".")[0] in _text(app)
        await pilot.press("enter")
        assert isinstance(app.screen, DrillBriefing)
        await pilot.press("enter")
    assert app.chosen is not None
    assert app.chosen.name == names[1]


async def test_from_the_briefing_escape_goes_back_to_the_list_and_then_out() -> None:
    app = TrainingApp()
    async with app.run_test() as pilot:
        await pilot.press("enter")
        assert isinstance(app.screen, DrillBriefing)
        await pilot.press("escape")
        assert isinstance(app.screen, DrillList)
        await pilot.press("escape")
    assert app.chosen is None


async def test_a_drill_named_beforehand_is_read_about_at_once() -> None:
    app = TrainingApp("no-way-back")
    async with app.run_test() as pilot:
        await pilot.pause()
        assert isinstance(app.screen, DrillBriefing)
        await pilot.press("s")
    assert app.chosen is not None
    assert app.chosen.name == "no-way-back"


def test_a_drill_that_does_not_exist_is_refused_before_any_screen() -> None:
    with pytest.raises(PlanErrors, match="there is no drill"):
        TrainingApp("no-way-forward")


@pytest.mark.parametrize("name", drill_titles())
async def test_a_briefing_does_not_give_the_drill_away(name: str) -> None:
    app = TrainingApp(name)
    async with app.run_test() as pilot:
        await pilot.pause()
        told = _text(app)
        assert f"{len(app.screen.drill.plan.plan.tasks)} tasks" in told  # type: ignore[attr-defined]
        assert load_drill(name).drill.lesson[:40] not in told


def _played() -> RunView:
    drill = load_drill("misleading-output")
    simulation = Simulation(drill.plan.plan, outcomes=drill.faults.outcomes(), seed=drill.drill.seed)
    simulation.run()
    while not simulation.state.finished:
        question = min(simulation.state.questions)
        simulation.report(
            rep.Decide(question=question, action="skip", mode="subtree", actor="ana", reason="looked")
        )
        simulation.run()
    view = RunView(drill.plan.plan)
    view.fold(simulation.events)
    return view


async def test_the_report_shows_each_decision_and_the_lesson() -> None:
    app = StageApp()
    async with app.run_test(size=(120, 36)) as pilot:
        view = _played()
        await app.push_screen(DrillReport(view, load_drill("misleading-output")))
        await pilot.pause()
        told = _text(app)
        for decision in view.state.decisions:
            assert f"ana decided about {decision.task}: skip" in told
        assert "The last line tells where a task stopped, seldom why." in told
        await pilot.press("escape")
        assert not isinstance(app.screen, DrillReport)


async def test_a_drill_without_a_decision_says_so() -> None:
    drill = load_drill("transient-storm")
    simulation = Simulation(drill.plan.plan, outcomes=drill.faults.outcomes(), seed=drill.drill.seed)
    simulation.run()
    view = RunView(drill.plan.plan)
    view.fold(simulation.events)
    app = StageApp()
    async with app.run_test() as pilot:
        await app.push_screen(DrillReport(view, drill))
        await pilot.pause()
        assert "Nobody had to decide anything." in _text(app)
