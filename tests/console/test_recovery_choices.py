"""The table of choices, and the words for what follows."""

from datetime import timedelta

import pytest

from console.recovery.choices import CHOICES, CONFIRM_KEY, Choice, Draft, choices_for, name_of, targets
from console.recovery.facts import capture
from console.recovery.foresight import Foretold, foresee, foretell
from console.recovery.words import lines, meaning, outcome
from engine.forecast.consequences import Consequence
from engine.machine import decisions
from engine.machine import reports as rep
from tests.console import recovery_stage as stages


def _leaves(choices: tuple[Choice, ...]) -> list[Choice]:
    return [leaf for choice in choices for leaf in (_leaves(choice.choices) or [choice])]


@pytest.mark.parametrize("about", list(CHOICES))
def test_every_answer_the_engine_takes_is_offered_and_no_other(about: str) -> None:
    offered = {(leaf.draft.action, leaf.draft.mode) for leaf in _leaves(CHOICES[about])}
    assert offered == set(decisions.CHOICES[about])


@pytest.mark.parametrize("about", list(CHOICES))
def test_keys_are_unique_in_their_menu_and_never_the_one_that_confirms(about: str) -> None:
    menus = [CHOICES[about], *(choice.choices for choice in CHOICES[about])]
    for menu in menus:
        keys = [choice.key for choice in menu]
        assert len(set(keys)) == len(keys)
        assert not {CONFIRM_KEY, "o", "n", "v"} & set(keys)


@pytest.mark.parametrize(
    ("make", "keys"),
    [
        (stages.failure, "rsba"),
        (stages.doubt, "gdrsba"),
        (stages.still_running, "gedrsba"),
        (stages.rollback_step, "rlda"),
        (stages.step_in_doubt, "grlda"),
    ],
)
def test_a_doubt_is_looked_into_again_and_only_what_still_runs_is_ended(make: object, keys: str) -> None:
    stage = make()  # type: ignore[operator]
    state = stage.view.state
    assert "".join(choice.key for choice in choices_for(state.questions[stage.question], state)) == keys


def test_a_rollback_offers_the_default_first_then_newest_to_oldest_then_the_start() -> None:
    state = stages.rollback_scope().view.state
    first, *others = [choice.draft.to for choice in targets(state)]
    assert first == state.last_stable_checkpoint.id
    assert others == ["cp-0006", "cp-0004", "cp-0003", "cp-0002", "cp-0001", "start"]
    assert targets(state, "cp-0002")[0].draft.to == "cp-0002"


def test_where_there_is_no_stable_checkpoint_the_default_is_the_start() -> None:
    state = stages.failure().view.state
    assert state.last_stable_checkpoint is None
    assert [(choice.key, choice.draft.to) for choice in targets(state)] == [("0", "start"), ("1", "cp-0001")]


def test_a_target_says_what_kind_of_checkpoint_it_is() -> None:
    titles = [choice.title for choice in targets(stages.rollback_scope().view.state)]
    assert titles[0] == "cp-0005 ◆ phase 00:20:00, last stable"
    assert titles[1].endswith(", not stable")
    assert titles[-1] == "start of the run"


def test_the_rollback_of_a_menu_stands_for_its_default() -> None:
    stage = stages.failure()
    view = stage.view
    choices = choices_for(view.state.questions[stage.question], view.state)
    rollback = next(choice for choice in choices if choice.targeted)
    assert rollback.draft == Draft(action="rollback", to="start")
    assert name_of(rollback) == "Roll back to the start"


def _foretold(**found: object) -> Foretold:
    return Foretold(seq=1, t=0.0, found=Consequence(possible=True, **found))


def test_one_line_counts_and_the_list_names() -> None:
    foretold = _foretold(undone=("b", "a"), stays=("c",), run_ends="rolled_back", finish_t=300.0)
    assert outcome(foretold) == ("1 task stays applied, undoes 2", "rolled back in ~5m", True)
    assert [(line.label, line.text) for line in lines(foretold)] == [
        ("Cannot be undone", "c: no rollback is given"),
        ("Undone, in order", "b → a"),
        ("The run", "rolled back in about 5m"),
    ]


def test_many_names_are_told_in_full_before_confirming_and_some_beside_a_choice() -> None:
    (line, _) = lines(_foretold(blocked=tuple("abcdefgh"), run_ends="aborted"))
    assert line.text == "a, b, c, d, e, f, g, h"
    assert line.short == "a, b, c, d, e and 3 more"
    assert outcome(_foretold(blocked=("x" * 40,))).changes == "blocks 1 task"
    many = tuple(f"t{n}" for n in range(4000))
    blocked, _ = lines(_foretold(blocked=many, run_ends="aborted"))
    assert blocked.text.endswith("t39 and 3,960 more")
    stays, _ = lines(_foretold(stays=many, run_ends="rolled_back"))
    assert stays.text.endswith("t3998, t3999: no rollback is given")


def test_an_end_far_off_is_told_by_the_clock_too() -> None:
    stage = stages.failure()
    state = stage.view.state
    state.simulated = False
    foretold = foretell(foresee, state, stage.view.graph, stage.question, Draft(action="retry"))
    assert foretold.found and foretold.found.finish_t
    found = foretold.found
    assert foretold.ends_at == state.at + timedelta(seconds=found.finish_t - state.t)
    assert lines(foretold)[-1].text == f"done in about 16m, {foretold.ends_at:%H:%M} UTC"


def test_where_looking_decides_what_follows_nothing_is_foretold() -> None:
    stage = stages.still_running()
    look, end = (
        Foretold(seq=1, t=0.0, found=foresee(stage.view.state, stage.view.graph, stage.question, draft))
        for draft in (Draft(action="resume", mode="look_again"), Draft(action="resume", mode="end_processes"))
    )
    assert outcome(look)[:2] == ("changes nothing", "asks again if unclear")
    assert outcome(end)[:2] == ("ends 2 processes", "asks again if unclear")
    assert lines(end)[0].names == stages.STILL_RUNNING


def test_what_other_questions_are_about_is_not_told_of_this_one() -> None:
    stage = stages.two_questions()
    question = next(q for q in stage.view.state.questions.values() if q.task == "fill")
    found = foresee(stage.view.state, stage.view.graph, question.number, Draft(action="retry"))
    assert found.reruns == ("fill",)


def test_a_run_that_is_paused_goes_on_once_it_is_resumed() -> None:
    stage = stages.failure()
    stage.answer(rep.Pause(actor="ana"))
    found = foresee(stage.view.state, stage.view.graph, stage.question, Draft(action="retry"))
    assert outcome(Foretold(seq=1, t=stage.view.state.t, found=found)).end == "done in ~16m, once resumed"


def test_in_waves_the_engines_own_place_is_offered_first() -> None:
    stage = stages.failed_wave()
    state = stage.view.state
    choices = choices_for(state.questions[stage.question], state)
    barrier = next(c.id for c in state.checkpoints.values() if c.trigger == "barrier")
    assert state.last_stable_checkpoint.id != barrier
    assert next(choice for choice in choices if choice.targeted).draft.to == barrier


def test_dependants_that_may_run_are_counted_beside_what_runs_again() -> None:
    foretold = _foretold(may_run=("b", "c"), reruns=("x",), finish_t=60.0)
    assert outcome(foretold) == ("reruns 1 task, then 2 can run", "done in ~1m", False)


def test_what_is_not_possible_says_why_and_nothing_else() -> None:
    foretold = Foretold(seq=1, t=0.0, found=Consequence(possible=False, why_not="the run is stopping"))
    assert outcome(foretold).changes == "not possible: the run is stopping"
    assert [(line.label, line.text) for line in lines(foretold)] == [("Not possible", "the run is stopping")]


def test_a_fault_of_the_forecast_is_told_not_hidden() -> None:
    foretold = Foretold(seq=1, t=0.0, fault="KeyError: 'x'")
    assert outcome(foretold).changes == "what follows could not be worked out"
    assert "KeyError" in lines(foretold)[0].text


def test_foreign_text_cannot_steer_the_terminal() -> None:
    foretold = Foretold(seq=1, t=0.0, found=Consequence(possible=False, why_not="no\x1b[2J\u202e way"))
    assert "\x1b" not in outcome(foretold).changes
    assert "\u202e" not in lines(foretold)[0].text


def test_asserting_done_means_the_verify_where_there_is_one() -> None:
    stage = stages.failure()
    case = capture(stage.view, stage.question)
    done = next(leaf for leaf in _leaves(CHOICES["failure"]) if leaf.draft.mode == "assert_done")
    assert "its verify passes" in meaning(done, case)
    bare = stages.Stage(stages.UNKNOWN, plan=stages.small_plan(fill={"verify": None}))
    assert "on your word" in meaning(done, capture(bare.view, bare.question))


@pytest.mark.parametrize(
    ("stage", "safe"),
    [
        (stages.failure(), False),
        (stages.Stage(stages.UNKNOWN, plan=stages.small_plan(fill={"idempotent": True})), True),
        (stages.doubt(), False),
        (stages.rollback_scope(), True),  # an SQL statement whose transaction has failed
    ],
)
def test_running_again_is_safe_where_nothing_was_left_or_twice_does_no_harm(
    stage: stages.Stage, safe: bool
) -> None:
    case = capture(stage.view, stage.question)
    assert case.rerun_is_safe is safe
    again = next(leaf for leaf in _leaves(CHOICES[case.question.about]) if leaf.draft.action == "retry")
    assert ("twice does harm" in meaning(again, case)) is not safe


def test_an_idempotent_task_says_nothing_about_its_rollback() -> None:
    plan = stages.small_plan(fill={"idempotent": True, "rollback": {"shell": "./undo"}})
    stage = stages.rollback_step(plan=plan)
    assert capture(stage.view, stage.question).rerun_is_safe is False


def test_consequences_come_from_the_engine_itself() -> None:
    stage = stages.failure()
    found = foresee(stage.view.state, stage.view.graph, stage.question, Draft(action="skip", mode="subtree"))
    assert found.blocked == ("index", "check", "switch")
