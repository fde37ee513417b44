"""What came of a drill: a fold over its events, checked against the engine's own machine."""

from dataclasses import replace
from typing import Any

import pytest

from console.training.drills import load_drill
from console.training.score import Decision, DrillScore, headline, render_score, score_drill
from engine.machine import reports as rep
from engine.machine.events import RollbackStarted
from tests.console import recovery_stage as stages
from tests.console.recovery_stage import Stage


def _score(stage: Stage) -> DrillScore:
    drill = load_drill("disk-full")
    return score_drill(stage.view.events, replace(drill, plan=replace(drill.plan, plan=stage.plan)))


def _wait(stage: Stage, seconds: float) -> None:
    stage.simulation.schedule(seconds, rep.TakeCheckpoint(actor="ana"))
    stage.go_on()


def _decide(stage: Stage, action: str, mode: str | None = None, **more: Any) -> None:
    stage.answer(
        rep.Decide(question=stage.question, action=action, mode=mode, actor="ana", reason="seen", **more)  # type: ignore[arg-type]
    )


def _facts(decision: Decision) -> dict[str, str]:
    return dict(decision.followed())


def test_the_time_from_question_to_decision_is_told() -> None:
    stage = stages.failure()
    _wait(stage, 42.0)
    asked = stage.view.state.questions[stage.question]
    _decide(stage, "retry")
    (decision,) = _score(stage).decisions
    made_at = stage.view.state.decisions[-1].at
    assert decision.took_s == (made_at - asked.at).total_seconds() >= 42.0
    assert (decision.made.action, decision.made.reason) == ("retry", "seen")
    assert decision.asked
    assert decision.asked.task == "fill"


def test_what_became_of_a_retry() -> None:
    stage = Stage({"task": "fill", "attempts": [1, 2], "exit": 3, "reason": "exit 3"})
    _decide(stage, "retry")
    _decide(stage, "retry")
    first, second = _score(stage).decisions
    assert _facts(first)["then"].startswith("fill failed, attempt 2 (UNKNOWN")
    assert _facts(second) == {"then": "fill succeeded, attempt 3"}


def test_what_a_skip_blocked() -> None:
    stage = stages.failure()
    _decide(stage, "skip", "subtree")
    score = _score(stage)
    assert _facts(score.decisions[0]) == {"then": "fill skipped: seen", "blocked": "index, check, switch"}
    assert score.ended == "completed"


@pytest.mark.parametrize(("mode", "then"), [("waive", "waived: seen"), ("assert_done", "counts as done")])
def test_what_ran_on_the_operators_word(mode: str, then: str) -> None:
    stage = stages.failure()
    _decide(stage, "skip", mode)
    facts = _facts(_score(stage).decisions[0])
    assert then in facts["then"]
    assert facts["ran all the same"] == "index, check, switch"


def test_what_a_rollback_undid_and_what_stayed() -> None:
    stage = stages.rollback_scope()
    _decide(stage, "rollback", to="start")
    engine, operator = _score(stage).decisions
    assert not engine.by_operator
    assert engine.took_s is None
    assert _facts(engine) == {}
    begun = next(event for event in stage.view.events if isinstance(event, RollbackStarted))
    assert tuple(operator.undone) == begun.tasks
    assert set(operator.undone) == {"other", "check", "index", "fill", "create"}
    assert set(operator.stayed) == {"after", "tell"}


def test_a_rollback_that_failed_half_way() -> None:
    stage = stages.rollback_step()
    _decide(stage, "skip", "leave_applied")
    score = _score(stage)
    rollback, left = score.decisions
    assert "fill" in rollback.stayed
    assert "create" in rollback.undone
    assert _facts(left) == {"then": "fill stays applied: seen"}
    assert score.ended == "rolled back"


def test_what_an_abort_ended() -> None:
    stage = stages.failure()
    _decide(stage, "abort")
    score = _score(stage)
    assert score.ended == "aborted"
    assert _facts(score.decisions[0]) == {"then": "run aborted: seen"}


def test_a_question_nobody_answered_is_told_with_its_age() -> None:
    stage = stages.failure()
    _wait(stage, 90.0)
    score = _score(stage)
    ((asked, seconds),) = score.waiting
    assert asked.task == "fill"
    assert seconds >= 90.0
    assert score.ended == "not finished"
    assert "Unanswered for " in render_score(score)


def test_a_withdrawn_question_is_not_an_unanswered_one() -> None:
    stage = stages.two_questions()
    _decide(stage, "rollback", to="start")
    score = _score(stage)
    assert score.questions == 2
    assert score.waiting == []


def test_what_the_engine_refused_is_told() -> None:
    stage = stages.failure()
    stage.answer(rep.Decide(question=99, action="retry", actor="ana"))
    score = _score(stage)
    assert score.decisions == []
    assert score.refused == ["refused: retry by ana: the question is no longer open"]


def test_taking_a_checkpoint_is_no_decision_about_the_run() -> None:
    stage = stages.failure()
    _wait(stage, 1.0)
    assert _score(stage).decisions == []


def test_a_drill_without_events_has_a_score_too() -> None:
    score = _score(Stage(begin=False))
    assert (score.ended, score.run_s, score.decisions) == ("not finished", 0.0, [])


def test_the_headline_counts_what_operators_did() -> None:
    stage = stages.rollback_scope()
    _decide(stage, "retry")
    said = headline(_score(stage))
    assert "with 1 question and 1 decision of an operator" in said


def test_the_plain_text_holds_it_all_and_keeps_its_width() -> None:
    stage = stages.failure()
    _decide(stage, "skip", "subtree")
    text = render_score(_score(stage), width=60)
    assert max(map(len, text.splitlines())) <= 60
    for said in (
        "Disk full",
        "1. question",
        "skip, with all that depends on it",
        "blocked: index, check",
        "RESOURCE",
    ):
        assert said in " ".join(text.split())
