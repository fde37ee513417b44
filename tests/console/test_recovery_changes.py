"""Questions that change under the recovery dialog, and several at once, against the engine's own machine."""

import threading

import pytest

from console.recovery.choices import Draft
from console.recovery.foresight import foresee
from console.recovery.widgets import Confirm, Menu
from console.screens.recovery import RecoveryDialog
from engine.forecast.consequences import Consequence
from engine.graph import Graph
from engine.machine import reports as rep
from engine.machine.state import State
from engine.machine.transitions import TaskStatus
from tests.console import recovery_stage as stages
from tests.console.recovery_stage import Desk, Stage, StageApp, at_desk, desk

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# -- questions that change under the dialog --------------------------------------------------------------


async def _somebody_else_answers(at: Desk, **decision: object) -> None:
    at.stage.answer(
        rep.Decide(question=at.dialog.question, actor="ben", reason="saw the log", **decision)  # type: ignore[arg-type]
    )


async def test_a_question_answered_elsewhere_disables_the_choices_and_says_by_whom() -> None:
    stage = stages.failure()
    async with desk(stage) as at:
        await _somebody_else_answers(at, action="skip", mode="waive")
        await at.refresh()
        assert at.text("#notice").startswith("ben decided about fill: waive: ")
        assert "(saw the log)" in at.text("#notice")
        assert at.dialog.query_one(Menu).disabled
        await at.press("r", "a", "enter", "y")
        assert stage.reports == []
        await at.press("escape")
        assert at.results == [None]


async def test_a_decision_about_to_be_confirmed_is_not_sent_once_the_question_is_gone() -> None:
    stage = stages.failure()
    async with desk(stage) as at:
        await at.press("a")
        await at.say("stop")
        await at.press("enter")
        await _somebody_else_answers(at, action="retry")  # and the screen has not been told yet
        await at.press("y")
        assert stage.reports == []
        assert "ben decided about fill: retry (saw the log)" in at.text("#notice")


async def test_a_withdrawn_question_says_why() -> None:
    stage = stages.two_questions()
    other = max(stage.view.state.questions)
    async with desk(stage, question=other) as at:
        stage.answer(rep.Decide(question=stage.question, action="rollback", to="start", actor="ben"))
        await at.refresh()
        assert f"question {other} withdrawn: the run is rolled back to start" in at.text("#notice")


async def test_a_run_that_ends_meanwhile_is_told() -> None:
    stage = stages.failure()
    async with desk(stage) as at:
        stage.answer(rep.Stop(actor="ben", reason="power"))
        await at.refresh()
        assert "The run has ended (aborted)" in at.text("#notice")
        await at.press("r", "y")
        assert stage.reports == []


async def test_the_same_task_asked_about_again_is_another_question() -> None:
    fails_twice = {"task": "fill", "attempts": [1, 2], "exit": 3, "reason": "exit 3"}
    stage = Stage(fails_twice)
    async with desk(stage) as at:
        await at.press("a")
        await at.say("stop")
        await at.press("enter")
        await _somebody_else_answers(at, action="retry")
        assert stage.question != at.dialog.question
        await at.press("y")
        assert stage.reports == []


async def test_a_look_at_the_past_decides_nothing() -> None:
    stage = stages.failure()
    stage.view.show_past(stage.question)
    async with desk(stage) as at:
        assert "look at the past" in at.text("#notice")
        await at.press("r", "enter", "y")
        assert stage.reports == []


async def test_the_dialog_waits_for_the_engine_to_take_the_decision() -> None:
    stage = stages.failure(connected=False)
    async with desk(stage) as at:
        await at.press("r", "y")
        assert at.is_open
        assert "Sent" in at.text("#notice")
        await at.press("y", "r")
        assert len(stage.reports) == 1
        stage.answer(stage.decision)
        await at.refresh()
        assert at.results == [stage.decision]


async def test_a_refusal_is_explained_and_the_question_stays() -> None:
    stage = stages.failure(connected=False)
    async with desk(stage) as at:
        await at.press("s", "d")
        await at.say("I looked")
        await at.press("enter", "y")
        stage.simulation.machine.handle(stage.decision, rep.Now(stage.now_t(), stage.view.state.at))
        denied = rep.AssertionChecked(question=stage.question, passed=False, detail="0 rows")
        stage.answer(denied)
        await at.refresh()
        assert "its verify says no: 0 rows" in at.text("#notice")
        assert not at.confirming
        await at.press("r", "y")
        assert stage.decision.action == "retry"


async def test_consequences_follow_the_run() -> None:
    stage = stages.failure()
    async with desk(stage) as at:
        before = list(at.rows)
        stage.simulation.schedule(0.0, rep.TakeCheckpoint(actor="ben"))
        stage.go_on()
        await at.refresh()
        assert at.rows == before
        assert at.dialog._foresight.known
        assert {outlook.seq for outlook in at.dialog._foresight.known.values()} == {stage.view.state.seq}


async def test_the_expected_finish_counts_from_now_and_not_from_the_last_event() -> None:
    stage = stages.failure()
    async with desk(stage) as at:
        at_once = at.rows[0]
    stage.idle_s = 3600.0
    async with desk(stage) as at:
        assert at.rows[0] == at_once


async def test_nothing_is_decided_before_what_follows_is_shown() -> None:
    stage = stages.failure()
    shown = threading.Event()

    def slowly(state: State, graph: Graph, question: int, draft: Draft) -> Consequence:
        shown.wait(30)
        return foresee(state, graph, question, draft)

    async with StageApp().run_test(size=(80, 24)) as pilot:
        dialog = RecoveryDialog(stage.view, stage.question, actor="ana", foresee=slowly)
        await pilot.app.push_screen(dialog)
        at = Desk(pilot, stage, dialog)
        assert all("working out what follows" in row for row in at.rows)
        await pilot.press("r")
        assert "is being worked out" in at.told
        await pilot.press("y")
        assert stage.reports == []
        assert "wait until it is shown" in at.text("#notice")
        shown.set()
        await at.settle()
        await at.press("y")
        assert stage.decision.action == "retry"


async def test_what_has_changed_under_a_typed_reason_is_read_again_before_it_is_sent() -> None:
    stage = stages.failure()
    blocked: list[str] = ["index"]

    def changing(state: State, graph: Graph, question: int, draft: Draft) -> Consequence:
        return Consequence(possible=True, blocked=tuple(blocked), finish_t=state.t + 60)

    async with at_desk(
        stage, RecoveryDialog(stage.view, stage.question, actor="ana", foresee=changing)
    ) as at:
        await at.press("s", "s")
        await at.say("not needed")
        blocked.append("switch")
        stage.simulation.schedule(0.0, rep.TakeCheckpoint(actor="ben"))
        stage.go_on()
        await at.press("enter", "y")  # the screen has not been told yet
        assert stage.reports == []
        assert "wait until it is shown" in at.text("#notice")
        await at.refresh()
        assert "index, switch" in at.told
        await at.press("y")
        assert stage.reports == []
        assert "has changed meanwhile" in at.text("#notice")
        assert at.dialog.query_one(Confirm).reason == "not needed"
        await at.press("y")
        assert (stage.decision.action, stage.decision.reason) == ("skip", "not needed")


async def test_more_time_alone_is_no_change() -> None:
    stage = stages.failure()
    async with desk(stage) as at:
        await at.press("r")
        stage.idle_s = 600.0
        stage.simulation.schedule(0.0, rep.TakeCheckpoint(actor="ben"))
        stage.go_on()
        await at.refresh()
        await at.press("y")
        assert stage.decision.action == "retry"


async def test_a_question_withdrawn_under_a_typed_reason_sends_nothing() -> None:
    stage = stages.two_questions()
    other = max(stage.view.state.questions)
    async with desk(stage, question=other) as at:
        await at.press("a")
        await at.say("stop")
        stage.answer(rep.Decide(question=stage.question, action="rollback", to="start", actor="ben"))
        await at.refresh()
        assert f"question {other} withdrawn" in at.text("#notice")
        await at.press("enter", "y")
        assert stage.reports == []
        await at.press("escape")
        assert at.results == [None]


# -- several questions -----------------------------------------------------------------------------------


async def test_queued_questions_are_counted_and_can_be_gone_through() -> None:
    stage = stages.two_questions()
    first, second = sorted(stage.view.state.questions)
    async with desk(stage) as at:
        title = at.dialog.query_one("#dialog")
        assert "1 of 2 questions" in str(title.border_title)
        await at.press("up", "up", "up")
        assert "Assuming: 1 other question answered so that it goes on" in at.text("#detail")
        await at.press("n")
        assert at.dialog.question == second
        assert "2 of 2 questions" in str(at.dialog.query_one("#dialog").border_title)
        assert stage.view.state.questions[second].task in at.facts
        await at.press("a")
        await at.say("enough")
        await at.press("enter", "y")
        assert stage.decision.question == second
        assert first != second


async def test_an_answer_goes_to_its_own_question_and_leaves_the_other_open() -> None:
    stage = stages.two_questions()
    first, second = sorted(stage.view.state.questions)
    asked = stage.view.state.questions[first].task
    async with desk(stage) as at:
        await at.press("s", "w")
        await at.say("not needed")
        await at.press("enter", "y")
        await at.refresh()
        assert list(stage.view.state.questions) == [second]
        assert stage.view.state.tasks[asked].status is TaskStatus.WAIVED


async def test_a_question_that_is_not_open_cannot_be_put() -> None:
    stage = stages.failure()
    with pytest.raises(KeyError):
        RecoveryDialog(stage.view, 1, actor="ana")
    assert stage.question != 1


async def test_the_other_questions_are_named_on_the_frame() -> None:
    stage = stages.two_questions()
    async with desk(stage) as at:
        frame = at.dialog.query_one("#dialog")
        assert str(frame.border_subtitle) == "also open: other failed"
        stage.answer(rep.Decide(question=max(stage.view.state.questions), action="retry", actor="ben"))
        await at.refresh()
        assert not frame.border_subtitle
