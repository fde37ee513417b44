"""The table of choices, and the words for what follows."""

import pytest

from console.recovery.choices import CHOICES, CONFIRM_KEY, Choice, Draft, choices_for, name_of, targets
from console.recovery.facts import capture
from console.recovery.foresight import Outlook, foresee
from console.recovery.words import lines, meaning, outcome
from engine.forecast.consequences import Consequence
from engine.machine import decisions
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
        assert not {CONFIRM_KEY, "o", "n"} & set(keys)


@pytest.mark.parametrize(
    ("make", "keys"),
    [
        (stages.failure, "rsba"),
        (stages.doubt, "dgrsba"),
        (stages.still_running, "dgersba"),
        (stages.rollback_step, "rlda"),
        (stages.step_in_doubt, "rglda"),
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
    assert titles[0] == "cp-0005 ◆ phase, 6 done, 1m ago, last stable"
    assert titles[1].endswith(", not stable")
    assert titles[-1] == "start of the run"


def test_the_rollback_of_a_menu_stands_for_its_default() -> None:
    stage = stages.failure()
    view = stage.view
    choices = choices_for(view.state.questions[stage.question], view.state)
    rollback = next(choice for choice in choices if choice.targeted)
    assert rollback.draft == Draft(action="rollback", to="start")
    assert name_of(rollback) == "Roll back to the start"


def _outlook(**found: object) -> Outlook:
    return Outlook(seq=1, t=0.0, found=Consequence(possible=True, **found))


def test_one_line_counts_and_the_list_names() -> None:
    outlook = _outlook(undone=("b", "a"), stays=("c",), run_ends="rolled_back", finish_t=300.0)
    assert outcome(outlook) == "undoes 2 tasks, 1 cannot be undone, ends rolled back in about 5m"
    assert [line[:2] for line in lines(outlook)] == [
        ("Undone, in order", "b → a"),
        ("Cannot be undone", "c has no rollback and will stay applied"),
        ("Then", "the run ends rolled back in about 5m"),
    ]


def test_dependants_that_may_run_are_counted_beside_what_runs_again() -> None:
    outlook = _outlook(may_run=("b", "c"), reruns=("x",), finish_t=60.0)
    assert outcome(outlook) == "runs 1 task again, 2 tasks may run, done in about 1m"


def test_what_is_not_possible_says_why_and_nothing_else() -> None:
    outlook = Outlook(seq=1, t=0.0, found=Consequence(possible=False, why_not="the run is stopping"))
    assert outcome(outlook) == "not possible: the run is stopping"
    assert [line[:2] for line in lines(outlook)] == [("Not possible", "the run is stopping")]


def test_a_fault_of_the_forecast_is_told_not_hidden() -> None:
    outlook = Outlook(seq=1, t=0.0, fault="KeyError: 'x'")
    assert outcome(outlook) == "what follows could not be worked out"
    assert "KeyError" in lines(outlook)[0].text


def test_foreign_text_cannot_steer_the_terminal() -> None:
    outlook = Outlook(seq=1, t=0.0, found=Consequence(possible=False, why_not="no\x1b[2J\u202e way"))
    assert "\x1b" not in outcome(outlook)
    assert "\u202e" not in lines(outlook)[0].text


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
