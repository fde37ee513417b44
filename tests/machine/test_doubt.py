"""Doubts that stay open: looked into again, and what still runs of an attempt."""

import pytest

from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.decisions import answers, standing_answer
from tests.machine.plans import plan, task
from tests.machine.world import World

STILL = ("process 7 (sh)", "process 8 (sleep)")
LOOK_AGAIN, END = ("resume", "look_again"), ("resume", "end_processes")


def doubted(*survivors: str, **options: bool) -> World:
    """The engine died while `a` ran, of which `survivors` are left; `b` needs it."""
    run = World(plan(task("a", **options), task("b", "a"))).resume()
    return run.found("a", None, detail="looked", survivors=survivors)


def step_doubted(*survivors: str) -> World:
    """The same of a rollback step."""
    run = World(plan(task("a"), task("b", "a"))).succeed("a").fail("b")
    run.decide("rollback", to="start").resume()
    return run.found("a", None, survivors=survivors)


def refusals(run: World) -> list[str]:
    return [event.why for event in run.of(ev.DecisionRefused)]


def test_what_still_runs_is_named_in_the_question() -> None:
    run = doubted(*STILL)
    assert run.question.survivors == STILL


def test_a_new_engine_looks_whether_it_still_runs() -> None:
    run = doubted(*STILL).resume()
    assert run.doubts == {("a", "run"): 1}
    assert run.found("a", None).question.survivors == ()


@pytest.mark.parametrize("make", [doubted, step_doubted])
def test_a_doubt_can_be_looked_into_again_and_what_still_runs_be_ended(make: object) -> None:
    bare, held = make(), make(*STILL)  # type: ignore[operator]
    assert {LOOK_AGAIN} == {a for a in answers(bare.state, bare.question) if a[0] == "resume"}
    assert {LOOK_AGAIN, END} == {a for a in answers(held.state, held.question) if a[0] == "resume"}


def test_where_nothing_is_in_doubt_there_is_nothing_to_look_into() -> None:
    run = World(plan(task("a"), task("b", "a"))).succeed("a").fail("b")
    assert not [a for a in answers(run.state, run.question) if a[0] == "resume"]
    run.decide("rollback", to="start").fail("a", purpose="rollback")
    assert not [a for a in answers(run.state, run.question) if a[0] == "resume"]
    assert run.decide(*LOOK_AGAIN).kinds == ["decision_refused"]


def test_looking_again_asks_anew_where_nothing_has_changed() -> None:
    run = doubted(*STILL)
    first = run.question.number
    run.decide(*LOOK_AGAIN)
    assert run.doubts == {("a", "run"): 1}
    assert run.ending == set()
    run.found("a", None, survivors=STILL[1:])
    assert run.question.number > first
    assert run.question.survivors == STILL[1:]


def test_looking_again_settles_the_doubt_once_there_is_evidence() -> None:
    run = doubted(*STILL).decide(*LOOK_AGAIN).found("a", True, by="verify")
    assert run.statuses() == {"a": "succeeded", "b": "running"}


def test_ending_what_still_runs_looks_into_it_again_afterwards() -> None:
    run = doubted(*STILL).decide(*END)
    assert run.doubts == {("a", "run"): 1}
    assert run.ending == {("a", "run")}
    assert run.found("a", None).decide("retry").jobs == {("a", "run"): 2}


def test_there_is_nothing_to_end_where_nothing_runs() -> None:
    assert doubted().decide(*END).kinds == ["decision_refused"]


@pytest.mark.parametrize("make", [doubted, step_doubted])
def test_nothing_is_run_again_beside_what_still_runs(make: object) -> None:
    run = make(*STILL)  # type: ignore[operator]
    assert run.decide("retry").kinds == ["decision_refused"]
    assert refusals(run) == [
        "it still runs (process 7 (sh), process 8 (sleep)): wait for it, or end it first"
    ]
    assert run.decide(*LOOK_AGAIN).found("a", None).decide("retry").new[0].kind == "decision_made"


def test_not_even_an_idempotent_task_that_still_runs_is_run_again() -> None:
    run = doubted(*STILL, idempotent=True)
    assert run.question.about == "doubt"
    assert run.decide(*END).found("a", None).jobs == {("a", "run"): 2}


def test_a_step_of_a_rollback_keeps_its_place_while_it_is_looked_into() -> None:
    run = step_doubted(*STILL).decide(*END)
    assert run.doubts == {("a", "rollback"): 1}
    assert run.ending == {("a", "rollback")}
    run.found("a", None).decide("retry")
    assert run.jobs == {("a", "rollback"): 2}
    assert run.undo("a").state.status == "rolled_back"


@pytest.mark.parametrize("make", [doubted, step_doubted])
@pytest.mark.parametrize("answer", [LOOK_AGAIN, END])
def test_an_engine_that_dies_while_it_looks_again_loses_nothing(
    make: object, answer: tuple[str, str]
) -> None:
    run = make(*STILL).decide(*answer)  # type: ignore[operator]
    asked = run.doubts
    assert run.resume().doubts == asked
    assert run.found("a", None, survivors=STILL).question.survivors == STILL


def test_a_run_can_be_stopped_while_a_doubt_is_looked_into() -> None:
    run = doubted(*STILL).decide(*LOOK_AGAIN).report(rep.Stop(actor="ann", reason="now", drain=False))
    assert run.saved().state.status == "aborted"
    assert run.resume().doubts == {("a", "run"): 1}


@pytest.mark.parametrize(
    ("order", "make", "given"),
    [
        ("retry", doubted, END),
        ("skip", doubted, ("skip", "subtree")),
        ("rollback", doubted, ("rollback", None)),
        ("abort", doubted, ("abort", None)),
        ("retry", step_doubted, END),
        ("rollback", step_doubted, END),
        ("skip", step_doubted, ("abort", None)),
    ],
)
def test_a_standing_order_that_runs_it_again_ends_it_first(order: str, make: object, given: object) -> None:
    run = make(*STILL)  # type: ignore[operator]
    answer = standing_answer(run.state, run.question, order)
    assert answer
    assert (answer.action, answer.mode) == given
    assert run.report(answer).new[0].kind == "decision_made"


@pytest.mark.parametrize("make", [doubted, step_doubted])
def test_a_standing_order_ends_an_attempt_once_and_then_aborts(make: object) -> None:
    run = make(*STILL)  # type: ignore[operator]
    given = []
    for _ in range(2):
        answer = standing_answer(run.state, run.question, "retry")
        assert answer
        given.append((answer.action, answer.mode))
        run.report(answer)
        if run.doubts:
            run.found("a", None, survivors=STILL)
    assert given == [END, ("abort", None)]
    assert run.finish_everything().state.status == "aborted"
    assert run.resume().doubts


def test_a_later_attempt_is_ended_by_standing_order_again() -> None:
    run = doubted(*STILL).decide(*END).found("a", None).decide("retry").resume()
    run.found("a", None, survivors=STILL)
    answer = standing_answer(run.state, run.question, "retry")
    assert answer
    assert (answer.action, answer.mode) == END


def test_a_run_that_is_stopping_is_given_no_standing_answers() -> None:
    run = World(plan(task("a"), task("b")), begin=True)
    run.report(rep.Stop(actor="ann", reason="enough")).fail("a")
    assert run.question
    assert standing_answer(run.state, run.question, "retry") is None
