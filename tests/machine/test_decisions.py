"""What an operator's answers do, and which are refused."""

from engine.machine import events as ev
from engine.machine import reports as rep
from tests.machine.plans import plan, task
from tests.machine.world import World


def refusals(run: World) -> list[str]:
    return [event.why for event in run.of(ev.DecisionRefused)]


def asserted(run: World, question: int) -> World:
    return run.decide("skip", "assert_done", question=question)


def test_done_asserted_twice_is_checked_once() -> None:
    run = World(plan(task("a", check=True))).fail("a")
    number = run.question.number
    asserted(asserted(run, number), number)
    assert refusals(run) == ["its verify is being run already"]
    assert run.assertions == [number]
    assert run.verified(True).status("a") == "succeeded"


def test_an_assertion_that_passes_too_late_is_refused_for_what_it_is() -> None:
    run = World(plan(task("a", check=True), task("b"))).fail("a")
    asserted(run, run.question.number).report(rep.Stop(actor="ann", reason="enough")).verified(True)
    assert refusals(run) == ["the run is stopping"]


def test_after_an_answer_the_assertion_that_was_being_checked_is_refused() -> None:
    run = World(plan(task("a", check=True), task("b"))).fail("a")
    number = run.question.number
    asserted(run, number).decide("skip", "subtree").verified(True)
    assert run.status("a") == "skipped"
    assert refusals(run) == ["the question is no longer open"]
