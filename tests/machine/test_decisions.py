"""What an operator's answers do, and which are refused."""

from typing import get_args

import pytest

from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.decisions import CHOICES, standing_answer
from engine.plan.models import FailureClass, RetryRules
from tests.machine.plans import plan, task
from tests.machine.world import World


def refusals(run: World) -> list[str]:
    return [event.why for event in run.of(ev.DecisionRefused)]


def asserted(run: World, question: int | None = None) -> World:
    return run.decide("skip", "assert_done", question=question)


def failed(**options: bool) -> World:
    """A run in which `a` has failed, `b` and `c` hang on it, and `d` is in flight."""
    return World(plan(task("a", **options), task("b", "a"), task("c", "b"), task("d"), workers=2)).fail("a")


# -- the answers -----------------------------------------------------------------------------------


def test_retry_runs_the_task_again_now_as_its_next_attempt() -> None:
    run = failed().decide("retry")
    assert run.status("a") == "running"
    assert run.jobs["a", "run"] == 2


def test_a_retry_by_the_operator_gives_the_automatic_retries_anew() -> None:
    run = World(plan(task("a"), retry=RetryRules(attempts=1)))
    run.fail("a", FailureClass.TRANSIENT).fire("retry:a").fail("a", FailureClass.TRANSIENT)
    run.decide("retry").fail("a", FailureClass.TRANSIENT)
    assert run.status("a") == "waiting"
    assert run.of(ev.RetryScheduled)[-1].retry == 1


def test_skip_blocks_everything_that_needs_the_task() -> None:
    assert failed().decide("skip", "subtree").statuses() == {
        "a": "skipped",
        "b": "blocked",
        "c": "blocked",
        "d": "running",
    }


def test_waive_lets_the_dependants_run() -> None:
    run = failed().decide("skip", "waive")
    assert run.statuses() == {"a": "waived", "b": "running", "c": "pending", "d": "running"}
    assert run.finish_everything().state.status == "completed"


def test_done_is_taken_on_the_operators_word_where_there_is_no_verify() -> None:
    run = asserted(failed())
    assert run.status("a") == "succeeded"
    assert run.state.tasks["a"].asserted_by == "ann"
    assert run.status("b") == "running"


def test_done_must_pass_the_verify_where_there_is_one() -> None:
    run = asserted(failed(check=True))
    assert run.status("a") == "failed"
    run.verified(True)
    assert run.status("a") == "succeeded"


def test_a_verify_that_says_no_leaves_the_question_open_and_says_why() -> None:
    run = asserted(failed(check=True)).verified(False)
    assert run.status("a") == "failed"
    assert refusals(run) == ["its verify says no: looked"]
    assert run.question.refused == "its verify says no: looked"
    assert run.decide("skip", "waive").status("a") == "waived"


def test_done_asserted_twice_is_checked_once() -> None:
    run = failed(check=True)
    number = run.question.number
    asserted(asserted(run, number), number)
    assert refusals(run) == ["its verify is being run already"]
    assert run.assertions == [number]
    assert run.verified(True).status("a") == "succeeded"


def test_an_assertion_that_passes_too_late_is_refused_for_what_it_is() -> None:
    run = asserted(failed(check=True)).report(rep.Stop(actor="ann", reason="enough")).verified(True)
    assert refusals(run) == ["the run is stopping"]


def test_after_an_answer_the_assertion_that_was_being_checked_is_refused() -> None:
    run = asserted(failed(check=True)).decide("skip", "subtree").verified(True)
    assert run.status("a") == "skipped"
    assert refusals(run) == ["the question is no longer open"]


def test_rollback_goes_to_the_last_stable_checkpoint_by_default() -> None:
    run = World(plan(task("a"), task("b", "a"), task("c", "b"), checkpoints={"progress": 30}))
    run.succeed("a").saved().succeed("b").fail("c").saved()
    assert run.decide("rollback").of(ev.RollbackStarted)[0].to == "cp-0002"


def test_rollback_goes_to_the_checkpoint_that_was_chosen() -> None:
    run = World(plan(task("a"), task("b", "a"), task("c", "b"), checkpoints={"progress": 30}))
    run.succeed("a").saved().succeed("b").saved().fail("c").decide("rollback", to="cp-0001")
    assert run.of(ev.RollbackStarted)[0].tasks == ("b",)


def test_a_rollback_withdraws_the_questions_that_it_makes_pointless() -> None:
    run = World(plan(task("a"), task("b"))).fail("a").fail("b")
    run.decide("rollback", to="start")
    assert [event.reason for event in run.of(ev.QuestionWithdrawn)] == ["the run is rolled back to start"]
    assert not run.state.questions


def test_abort_lets_what_is_in_flight_finish_and_can_be_resumed_to_the_same_question() -> None:
    run = failed().decide("abort")
    assert not run.cancelling
    assert run.succeed("d").finish_everything().state.status == "aborted"
    assert run.resume().question.task == "a"


# -- what is refused -------------------------------------------------------------------------------


def test_an_answer_to_a_question_that_has_changed_is_refused_and_applied_to_nothing_else() -> None:
    run = failed()
    stale = run.question.number
    run.decide("retry").fail("a")
    assert run.decide("skip", "subtree", question=stale).kinds == ["decision_refused"]
    assert refusals(run) == ["the question is no longer open"]
    assert run.status("a") == "failed"
    assert not run.question.refused


@pytest.mark.parametrize("about", CHOICES)
def test_only_fitting_answers_are_taken(about: ev.About) -> None:
    run = {
        "failure": failed,
        "doubt": doubted,
        "rollback_step": half_rolled_back,
        "rollback_scope": no_way_back,
    }[about]()
    assert run.question.about == about
    for action in get_args(ev.Action):
        for mode in (None, *get_args(ev.Mode)):
            if (action, mode) not in CHOICES[about]:
                assert run.decide(action, mode).kinds == ["decision_refused"], (action, mode)


def test_a_rollback_to_a_place_that_does_not_exist_is_refused() -> None:
    run = failed().decide("rollback", to="cp-0007")
    assert refusals(run) == ["there is no checkpoint cp-0007 to roll back to"]


def test_nobody_asked_means_that_only_a_rollback_can_be_decided() -> None:
    run = World(plan(task("a"))).decide("retry", question=0)
    assert refusals(run) == ["there is no such question"]


def test_while_the_run_stops_and_when_it_has_ended_nothing_can_be_decided() -> None:
    run = failed().report(rep.Stop(actor="ann", reason="enough")).decide("retry")
    run.succeed("d").finish_everything().decide("retry").report(rep.Pause(actor="ann"))
    assert refusals(run) == ["the run is stopping", "the run is aborted", "the run is aborted"]


def test_while_a_rollback_is_under_way_no_other_can_be_decided() -> None:
    run = half_rolled_back().decide("rollback", question=0)
    assert refusals(run) == ["a rollback is under way already"]


def test_a_decision_records_who_took_it_why_and_at_which_event() -> None:
    run = failed()
    seq, number = run.state.seq, run.question.number
    run.decide("skip", "waive", reason="nobody needs it")
    decision = run.state.decisions[-1]
    assert (decision.actor, decision.reason, decision.on_seq) == ("ann", "nobody needs it", seq)
    assert (decision.question, decision.task, decision.action, decision.mode) == (
        number,
        "a",
        "skip",
        "waive",
    )


# -- standing answers ------------------------------------------------------------------------------


def doubted() -> World:
    return World(plan(task("a"))).lose("a").found("a", None)


def half_rolled_back() -> World:
    run = World(plan(task("a"), task("b", "a"))).succeed("a").fail("b")
    return run.decide("rollback", to="start").fail("a", purpose="rollback")


def no_way_back() -> World:
    run = World(plan(task("a", undo=False), task("b", "a", critical=True)))
    return run.succeed("a").fail("b", FailureClass.PERMANENT)


@pytest.mark.parametrize(
    ("on_unknown", "at", "answers"),
    [
        ("ask", failed, None),
        ("retry", failed, ("retry", None)),
        ("skip", failed, ("skip", "subtree")),
        ("rollback", failed, ("rollback", None)),
        ("abort", failed, ("abort", None)),
        ("retry", doubted, ("retry", None)),
        ("skip", doubted, ("skip", "subtree")),
        ("rollback", doubted, ("rollback", None)),
        ("abort", doubted, ("abort", None)),
        ("ask", half_rolled_back, None),
        ("retry", half_rolled_back, ("retry", None)),
        ("rollback", half_rolled_back, ("retry", None)),
        ("skip", half_rolled_back, ("abort", None)),
        ("abort", half_rolled_back, ("abort", None)),
        ("retry", no_way_back, ("retry", None)),
        ("skip", no_way_back, ("skip", "subtree")),
        ("rollback", no_way_back, ("rollback", None)),
        ("abort", no_way_back, ("abort", None)),
    ],
)
def test_the_standing_answer(on_unknown: str, at: type[World], answers: object) -> None:
    run = at()
    answer = standing_answer(run.state, run.question, on_unknown)
    assert (answer and (answer.action, answer.mode)) == answers
    if answer:
        assert run.report(answer).new[0].kind == "decision_made"
        assert answer.actor == f"--on-unknown {on_unknown}"


def test_a_standing_retry_is_given_within_the_plans_limit_and_then_aborts() -> None:
    run = World(plan(task("a"), retry=RetryRules(attempts=2)))
    given = []
    while not run.state.finished:
        answer = standing_answer(run.fail("a").state, run.question, "retry")
        assert answer
        given.append(answer.action)
        run.report(answer).finish_everything() if answer.action == "abort" else run.report(answer)
    assert given == ["retry", "retry", "abort"]


def test_a_failed_rollback_step_is_retried_once_by_standing_order_and_then_aborts() -> None:
    run = half_rolled_back()
    answer = standing_answer(run.state, run.question, "rollback")
    assert answer
    run.report(answer).fail("a", purpose="rollback")
    again = standing_answer(run.state, run.question, "rollback")
    assert again
    assert (answer.action, again.action) == ("retry", "abort")


def test_a_standing_rollback_goes_where_it_is_told() -> None:
    answer = standing_answer(failed().state, failed().question, "rollback", "start")
    assert answer
    assert answer.to == "start"


def test_after_a_resume_a_standing_answer_is_given_again_though_it_was_refused_before() -> None:
    run = failed().decide("rollback", to="cp-0007")
    refused = standing_answer(run.state, run.question, "retry")
    assert refused and refused.action == "abort"
    taken_up = run.die().resume()
    answer = standing_answer(taken_up.state, taken_up.question, "retry")
    assert answer and answer.action == "retry"
