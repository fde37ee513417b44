"""Every key path through the recovery dialog, against the engine's own machine."""

import pytest
from textual.widgets import Input

from console.recovery.widgets import Confirm, Menu
from console.screens.output import OutputScreen
from engine.machine.rollback import scope
from tests.console import recovery_stage as stages
from tests.console.recovery_stage import Stage, desk

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


ANSWERS = [
    # stage, keys to the confirm step, whether a reason is needed, (action, mode, to)
    (stages.failure, "r", False, ("retry", None, "last")),
    (stages.failure, "ss", True, ("skip", "subtree", "last")),
    (stages.failure, "sw", True, ("skip", "waive", "last")),
    (stages.failure, "sd", True, ("skip", "assert_done", "last")),
    (stages.failure, "b0", True, ("rollback", None, "start")),
    (stages.failure, "b1", True, ("rollback", None, "cp-0001")),
    (stages.failure, "a", True, ("abort", None, "last")),
    (stages.doubt, "d", True, ("skip", "assert_done", "last")),
    (stages.doubt, "r", False, ("retry", None, "last")),
    (stages.doubt, "ss", True, ("skip", "subtree", "last")),
    (stages.doubt, "sw", True, ("skip", "waive", "last")),
    (stages.doubt, "b0", True, ("rollback", None, "start")),
    (stages.doubt, "a", True, ("abort", None, "last")),
    (stages.still_running, "e", True, ("resume", "end_processes", "last")),
    (stages.rollback_step, "l", True, ("skip", "leave_applied", "last")),
    (stages.rollback_step, "d", True, ("skip", "assert_done", "last")),
    (stages.rollback_step, "a", True, ("abort", None, "last")),
    (stages.rollback_scope, "b1", True, ("rollback", None, "cp-0005")),
    (stages.rollback_scope, "ss", True, ("skip", "subtree", "last")),
    (stages.rollback_scope, "sw", True, ("skip", "waive", "last")),
    (stages.rollback_scope, "a", True, ("abort", None, "last")),
]


@pytest.mark.parametrize(("make", "keys", "reason_needed", "sent"), ANSWERS)
async def test_a_dangerous_answer_takes_its_keys_a_reason_and_the_confirming_key(
    make: object, keys: str, reason_needed: bool, sent: tuple[str, str | None, str]
) -> None:
    stage: Stage = make()  # type: ignore[operator]
    already = len(stage.reports)
    question = stage.question
    async with desk(stage) as at:
        await at.press(*keys)
        assert at.confirming
        if reason_needed:
            assert isinstance(at.dialog.focused, Input)
            await at.press("enter")
            assert "reason is needed" in at.text("#notice")
            assert isinstance(at.dialog.focused, Input)
            await at.press("tab", "y")
            assert len(stage.reports) == already
            assert "reason is needed" in at.text("#notice")
            await at.say("late")
        await at.press("enter")
        assert at.is_open
        assert len(stage.reports) == already
        await at.press("y")
        decision = stage.decision
        assert (decision.action, decision.mode, decision.to) == sent
        assert (decision.question, decision.actor) == (question, "ana")
        assert decision.reason == ("late" if reason_needed else "")
        await at.refresh()
        assert not at.is_open
        assert at.results == [decision]
        assert question not in stage.view.state.questions
        assert stage.view.state.decisions[-1].action == sent[0]


@pytest.mark.parametrize("make", [stages.rollback_step, stages.rollback_scope])
async def test_a_harmless_retry_is_focused_and_goes_with_enter(make: object) -> None:
    stage: Stage = make()  # type: ignore[operator]
    async with desk(stage) as at:
        assert at.focused == "r"
        await at.press("enter")
        assert at.confirming
        await at.press("enter")
        assert (stage.decision.action, stage.decision.reason) == ("retry", "")
        await at.refresh()
        assert not at.is_open


async def test_looking_again_is_harmless_focused_and_goes_with_enter() -> None:
    stage = stages.still_running()
    asked = stage.question
    async with desk(stage) as at:
        assert at.focused == "g"
        await at.press("enter")
        assert at.confirming
        await at.press("enter")
        assert (stage.decision.action, stage.decision.mode) == ("resume", "look_again")
        await at.refresh()
        assert not at.is_open
    assert stage.question > asked
    assert not stage.view.state.questions[stage.question].survivors


async def test_a_rollback_step_in_doubt_is_not_called_a_failed_one() -> None:
    async with desk(stages.step_in_doubt()) as at:
        assert "In doubt: was it undone?" in at.dialog.heading()
        assert "in doubt" in at.facts
        assert at.focused == "g"
    async with desk(stages.rollback_step()) as at:
        assert "A rollback step failed" in at.dialog.heading()


async def test_what_still_runs_is_named_and_nothing_is_run_beside_it() -> None:
    stage = stages.still_running()
    async with desk(stage) as at:
        assert "process 4711 (sh), process 4712 (sleep)" in at.facts
        await at.press("d")
        assert "What still runs of it is not ended, and goes on." in at.told
        await at.press("escape", "r")
        assert not at.confirming
        assert "it still runs" in at.text("#notice")
        assert stage.reports == []


async def test_a_reason_can_be_given_for_a_retry_too() -> None:
    stage = stages.rollback_step()
    async with desk(stage) as at:
        await at.press("r", "tab")
        await at.say("lock is gone")
        await at.press("enter", "enter")
        assert stage.decision.reason == "lock is gone"


async def test_where_a_retry_may_do_harm_the_abort_is_focused_and_enter_confirms_nothing() -> None:
    stage = stages.failure()
    async with desk(stage) as at:
        assert at.focused == "a"
        await at.press("enter", "enter", "enter", "enter")
        assert stage.reports == []
        assert at.is_open


async def test_no_choice_is_confirmed_by_pressing_its_own_key_again() -> None:
    for keys in ("rrrr", "ssss", "bbbb", "aaaa"):
        stage = stages.failure()
        async with desk(stage) as at:
            await at.press(*keys)
            assert stage.reports == []


async def test_what_an_operator_has_to_know_is_on_the_screen() -> None:
    async with desk(stages.failure()) as at:
        for told in (
            "Write every total in cents", "fill", "risk 0.5", "critical", "phase backfill",
            "python3 fill.py --batch 500", "exit 3", "UNKNOWN", "rule: built-in: exit 3 tells nothing",
            "UNKNOWN 00:01:00 for 5m", "expected 10m",
            "shell in the plan's folder", "lane 2", "unexpected NULL in total at order 105 637",
        ):  # fmt: skip
            assert told in at.facts
        assert "3 tasks" in at.rows[1]
        assert "to start: undoes 2 tasks" in at.rows[2]
        assert "rolled back in ~21m" in at.rows[2]


async def test_the_tasks_undone_and_those_that_stay_are_named_before_confirming() -> None:
    async with desk(stages.rollback_scope()) as at:
        await at.press("b", "0")
        undone, stay = scope(at.stage.view.state, at.stage.view.graph, 0)
        assert set(undone) == {"other", "check", "index", "fill", "create"}
        assert set(stay) == {"after", "tell"}
        assert " → ".join(undone) in at.told
        assert f"{', '.join(stay)}: no rollback is given" in at.told


@pytest.mark.parametrize("lines", [3, 41])
async def test_the_end_of_the_output_is_shown_from_the_top_where_there_is_room(lines: int) -> None:
    stage = stages.failure()
    stage.view._kept_output = lambda _task, _attempt: stages.OUTPUT[-lines:]
    async with desk(stage, size=(120, 36)) as at:
        tail = at.dialog.query_one("#tail")
        assert tail.scroll_offset.y == max(0, lines - tail.scrollable_content_region.height)
        await at.pilot.resize_terminal(80, 24)
        await at.pilot.pause()
        assert tail.scroll_offset.y == max(0, lines - tail.scrollable_content_region.height)


async def test_all_the_output_is_a_key_away() -> None:
    async with desk(stages.failure()) as at:
        await at.press("o")
        assert isinstance(at.app.screen, OutputScreen)
        await at.press("y")
        assert at.app.clipboard.splitlines() == stages.OUTPUT
        await at.press("escape")
        assert at.app.screen is at.dialog


async def test_escape_steps_back_and_at_the_top_leaves_the_question_open() -> None:
    stage = stages.failure()
    async with desk(stage) as at:
        await at.press("s", "w")
        assert at.confirming
        await at.say("half a reason")
        await at.press("escape")
        assert not at.confirming
        assert [row[0] for row in at.rows] == ["s", "w", "d"]
        await at.press("w")
        assert at.dialog.query_one(Confirm).reason == ""
        await at.press("escape", "escape")
        assert [row[0] for row in at.rows] == ["r", "s", "b", "a"]
        await at.press("escape")
        assert not at.is_open
        assert at.results == [None]
        assert stage.reports == []
        assert stage.question


async def test_letters_typed_as_a_reason_choose_and_confirm_nothing() -> None:
    stage = stages.failure()
    async with desk(stage) as at:
        await at.press("a", *"yonr")
        assert stage.reports == []
        assert at.dialog.query_one(Confirm).reason == "yonr"


# -- room ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (stages.failure, (60, 18)),
        (stages.doubt, (60, 18)),
        (stages.rollback_scope, (60, 18)),
        (stages.rollback_scope, (80, 24)),
        (stages.rollback_step, (120, 36)),
        (stages.failure, (200, 60)),
    ],
)
async def test_the_choices_and_the_keys_are_never_out_of_sight(make: object, size: tuple[int, int]) -> None:
    async with desk(make(), size=size) as at:  # type: ignore[operator]
        screen = at.dialog.region
        menu = at.dialog.query_one(Menu)
        assert menu.size.height >= len(menu.choices)
        for part in (menu, at.dialog.query_one("#hints"), at.dialog.query_one("#facts")):
            assert screen.contains_region(part.region)
            assert part.region.height
        await at.press("a")
        for selector in ("#told", "#reason", "#hints"):
            assert screen.contains_region(at.dialog.query_one(selector).region)


LONG = "\n".join(f"INSERT INTO totals VALUES ({n});" for n in range(60))


async def test_what_is_cut_short_says_so_and_is_a_key_away() -> None:
    error = "no such column: " + "cents " * 200
    plan = stages.small_plan(fill={"run": {"sql": LONG, "on": "shop"}, "name": "Fill [red]all[/] " * 9})
    stage = Stage({**stages.UNKNOWN, "reason": f"{error}\x1b[2J\u202e"}, plan=plan)
    async with desk(stage) as at:
        facts = at.facts
        assert "VALUES (2); …" in facts
        assert "VALUES (3)" not in facts
        assert " …\nclass\n" in facts
        assert "[red]all[/]" in facts
        assert not {"\x1b", "\u202e"} & set(facts)
        await at.press("v")
        assert isinstance(at.app.screen, OutputScreen)
        lines = at.app.screen.shown.lines
        assert [*LONG.splitlines()] == [line for line in lines if line.startswith("INSERT")]
        happened = lines[lines.index("What happened:") + 1 : lines.index("Attempts:")]
        assert " ".join(happened).count("cents") == 200
        assert all(len(line) < 75 for line in happened), "no line is cut off on 80 columns"
        assert "DELETE FROM totals" in lines
        await at.press("escape")
        assert at.app.screen is at.dialog
        await at.press("s", "s", "tab", "v")
        assert list(at.app.screen.shown.lines[:4]) == ["Blocked:", "index", "check", "switch"]


@pytest.mark.parametrize("make", [stages.failure, stages.still_running, stages.rollback_step])
async def test_a_dialog_follows_the_terminal_and_stays_of_use(make: object) -> None:
    async with desk(make(), size=(120, 36)) as at:  # type: ignore[operator]
        await at.press("a")
        await at.say("late")
        for size in ((200, 60), (60, 18), (40, 12), (80, 24)):
            await at.pilot.resize_terminal(*size)
            await at.settle()
            screen = at.dialog.region
            for selector in ("#told", "#reason", "#hints"):
                assert screen.contains_region(at.dialog.query_one(selector).region), size
        await at.press("enter", "y")
        assert at.stage.decision.action == "abort"


async def test_the_evidence_of_a_doubt_is_told_and_that_there_is_none() -> None:
    async with desk(stages.still_running()) as at:
        assert "evidence\nstill running: process 4711 (sh), process 4712 (sleep)" in at.facts
    async with desk(stages.doubt(plan=stages.small_plan(fill={"verify": None}))) as at:
        assert "none was found · it has no verify: only a look at the target tells" in at.facts


async def test_a_doubt_since_a_fork_is_told_as_one() -> None:
    """Nobody here has seen any attempt: what the original did after the checkpoint is not known."""
    stage = stages.forked()
    question = next(q.number for q in stage.view.state.questions.values() if q.task == "fill")
    async with desk(stage, question=question) as at:
        assert "In doubt: did it take effect?" in at.dialog.heading()
        assert "in doubt\nafter the checkpoint" in at.facts
        assert "evidence\nnone was found" in at.facts
        assert "none that this run has seen" in at.facts
        assert "reruns fill" in at.rows[2]
        await at.press("r")
        assert "twice does harm" in at.told
        await at.press("y")
        assert stage.decision.action == "retry"


async def test_a_rollback_step_tells_how_far_the_rollback_is() -> None:
    async with desk(stages.rollback_step()) as at:
        assert "1 attempt at this step · 2 of 5 undone on the way to the start, 2 left applied" in at.facts
        assert "undoes 3 tasks" in at.rows[0]
        assert "leaves 1 task applied, undoes 2" in at.rows[1]
        assert "leaves 3 tasks applied" in at.rows[3]


async def test_a_rollback_says_that_half_done_work_is_not_undone() -> None:
    async with desk(stages.failure()) as at:
        await at.press("b", "0")
        assert "Not undone: whatever fill itself may have left behind." in at.told
    async with desk(stages.rollback_scope()) as at:  # an SQL statement whose transaction has failed
        await at.press("b", "0")
        assert "Not undone" not in at.told


async def test_a_failed_wave_is_rolled_back_to_its_barrier() -> None:
    stage = stages.failed_wave()
    barrier = next(c.id for c in stage.view.state.checkpoints.values() if c.trigger == "barrier")
    async with desk(stage, size=(120, 36)) as at:
        assert f"A rollback to {barrier} cannot undo tell" in at.facts
        assert f"to {barrier}: 1 task stays applied, undoes 1" in at.rows[2]
        await at.press("b", "1")
        await at.say("as planned")
        await at.press("enter", "y")
        assert (stage.decision.action, stage.decision.to) == ("rollback", barrier)


@pytest.mark.parametrize("width", [60, 80])
async def test_what_stays_applied_is_not_cut_away(width: int) -> None:
    async with desk(stages.failed_wave(), size=(width, 18)) as at:
        assert "1 task stays applied" in at.rows[2]
        assert ("rolled back in" in at.rows[2]) is (width == 80)
