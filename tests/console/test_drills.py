"""The drills: they load, they play as their lessons say, and a wrong one is refused with its place."""

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest

from console.training.cut_off import begin_and_cut_off
from console.training.drills import DRILLS, drill_titles, load_drill
from console.training.score import score_drill
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.state import State
from engine.plan.errors import PlanErrors
from engine.runner.feed import Feed
from engine.runner.opening import Options, new_run, resumed_run

Answer = tuple[ev.Action, ev.SkipMode | None]

RETRY: Answer = ("retry", None)
SKIP: Answer = ("skip", "subtree")
ASSERT_DONE: Answer = ("skip", "assert_done")
ROLL_BACK: Answer = ("rollback", None)


class Played(NamedTuple):
    state: State
    events: list[ev.Event]

    def status(self, task: str) -> str:
        return self.state.tasks[task].status

    def attempts(self, task: str) -> int:
        return len(self.state.tasks[task].attempts)


def play(name: str, folder: Path, answers: Mapping[str, list[Answer]] = {}) -> Played:
    """The drill played to its end in virtual time. `answers` holds, by task, what the operator says each time
    a question about it is put, or an answer to it is refused."""
    drill = load_drill(name)
    options = Options(actor="trainee", simulate=True, speed=math.inf, faults=drill.faults)
    left = {task: list(given) for task, given in answers.items()}
    seen: list[ev.Event] = []
    about: dict[int, str] = {}

    if drill.drill.dies_in:
        opened = resumed_run(begin_and_cut_off(drill, folder, name, options), options)
    else:
        opened = new_run(drill.plan, drill.plan.plan, folder, name, options)

    async def main() -> State:
        with opened as run:
            seen.extend(run.events)
            feed = Feed()
            run.runner.watched_by(feed)

            async def operate() -> None:
                async for events in feed:
                    seen.extend(events)
                    for event in events:
                        if isinstance(event, ev.QuestionOpened):
                            about[event.seq] = event.task
                            number = event.seq
                        elif isinstance(event, ev.DecisionRefused):
                            number = event.question
                        else:
                            continue
                        action, mode = left[about[number]].pop(0)
                        run.runner.report(
                            rep.Decide(question=number, action=action, mode=mode, actor="trainee")
                        )

            async with anyio.create_task_group() as both:
                both.start_soon(operate)
                ended = await run.runner.run()
        return ended

    state = anyio.run(main)
    assert not any(left.values()), f"never asked about {left}"
    return Played(state, seen)


@pytest.mark.parametrize("name", drill_titles())
def test_every_drill_loads_without_a_warning(name: str) -> None:
    drill = load_drill(name)
    assert drill.plan.warnings == ()
    assert 12 <= len(drill.plan.plan.tasks) <= 25
    assert drill.plan.plan.model == drill.drill.model
    assert drill.faults.faults


def test_the_storm_passes_by_itself(tmp_path: Path) -> None:
    played = play("transient-storm", tmp_path)
    assert played.state.status == "completed"
    failed = Counter(event.task for event in played.events if isinstance(event, ev.TaskFailed))
    assert len(failed) >= 8
    assert played.attempts("backfill-east") == 4
    assert {task.status for task in played.state.tasks.values()} == {"succeeded"}


def test_reading_the_whole_output_pays(tmp_path: Path) -> None:
    answers = {"unique-external-ref": [RETRY, SKIP], "validate-partner-fk": [ASSERT_DONE]}
    played = play("misleading-output", tmp_path, answers)
    assert played.state.status == "completed"
    assert played.status("validate-partner-fk") == "succeeded"
    assert played.status("switch-invoices") == "succeeded"
    assert played.status("unique-external-ref") == "skipped"
    assert played.status("open-partner-api") == "blocked"


def test_what_is_not_done_cannot_be_asserted(tmp_path: Path) -> None:
    answers = {"unique-external-ref": [ASSERT_DONE, SKIP], "validate-partner-fk": [ASSERT_DONE]}
    played = play("misleading-output", tmp_path, answers)
    (refused,) = (event for event in played.events if isinstance(event, ev.DecisionRefused))
    assert "there is no such index" in refused.why
    assert played.status("unique-external-ref") == "skipped"


def test_past_the_point_of_no_return_the_scope_is_named(tmp_path: Path) -> None:
    played = play("no-way-back", tmp_path, {"refresh-reports": [ROLL_BACK]})
    (question,) = (event for event in played.events if isinstance(event, ev.QuestionOpened))
    assert question.about == "rollback_scope"
    assert "drop-legacy-total" in question.reason
    assert played.state.status == "rolled_back"
    assert played.status("drop-legacy-total") == "succeeded"
    assert played.status("rename-amount") == "rolled_back"
    assert played.status("backfill-amount") == "succeeded"


def test_past_the_point_of_no_return_the_way_is_forward(tmp_path: Path) -> None:
    played = play("no-way-back", tmp_path, {"refresh-reports": [SKIP]})
    assert played.state.status == "completed"
    assert played.status("point-billing") == "succeeded"
    assert played.status("tell-accounting") == "blocked"


def test_the_disk_comes_back_and_nobody_is_asked(tmp_path: Path) -> None:
    played = play("disk-full", tmp_path)
    assert played.state.status == "completed"
    assert [played.attempts(f"index-{of}") for of in ("events-device", "sessions-started")] == [3, 2]
    assert not any(isinstance(event, ev.QuestionOpened) for event in played.events)
    waited = [event for event in played.events if isinstance(event, ev.TaskWaiting) and event.due_t]
    assert len(waited) > 3, "some look came too early"


def test_a_rollback_goes_on_where_it_failed(tmp_path: Path) -> None:
    played = play("half-rolled-back", tmp_path, {"add-tenant-orders": [RETRY, RETRY]})
    assert played.state.status == "rolled_back"
    (begun,) = (event for event in played.events if isinstance(event, ev.RollbackStarted))
    assert begun.to == "start"
    undone = [event.task for event in played.events if isinstance(event, ev.TaskRolledBack)]
    assert tuple(undone) == begun.tasks
    assert {played.status(task) for task in undone} == {"rolled_back"}


def test_a_run_that_was_cut_off_is_taken_up_with_its_doubts(tmp_path: Path) -> None:
    played = play("cut-off", tmp_path, {"post-corrections": [ASSERT_DONE], "copy-archive": [RETRY]})
    asked = [event for event in played.events if isinstance(event, ev.QuestionOpened)]
    assert {(question.about, question.task) for question in asked} == {
        ("doubt", "post-corrections"),
        ("doubt", "copy-archive"),
    }
    assert all("no process of it is left" in question.evidence for question in asked)
    assert played.state.status == "completed"
    assert (played.attempts("post-corrections"), played.attempts("copy-archive")) == (1, 2)
    assert {task.status for task in played.state.tasks.values()} == {"succeeded"}
    score = score_drill(played.events, load_drill("cut-off"))
    told = {decision.made.task: dict(decision.followed()) for decision in score.decisions}
    assert told["copy-archive"]["then"] == "copy-archive succeeded, attempt 2"
    assert "switch-billing" in told["post-corrections"]["ran all the same"]


def test_what_never_committed_cannot_be_called_done(tmp_path: Path) -> None:
    answers = {"post-corrections": [RETRY], "copy-archive": [ASSERT_DONE, RETRY]}
    played = play("cut-off", tmp_path, answers)
    (refused,) = (event for event in played.events if isinstance(event, ev.DecisionRefused))
    assert "0 of 640000 rows" in refused.why
    assert played.attempts("post-corrections") == 2, "the customers are charged twice"


def test_a_drill_dies_in_tasks_of_its_plan(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for part in (DRILLS / "cut-off").iterdir():
        (tmp_path / "mine" / part.name).write_text(
            part.read_text().replace("dies_in: [post", "dies_in: [pots")
        )
    with pytest.raises(PlanErrors) as caught:
        load_drill("mine", tmp_path)
    (finding,) = caught.value.findings
    assert (finding.message, finding.hint) == (
        'dies_in: the plan has no task "pots-corrections"',
        'did you mean "post-corrections"?',
    )


def test_an_unknown_drill_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(PlanErrors, match='did you mean "disk-full"'):
        load_drill("disk-fill")


def test_a_drill_with_mistakes_is_refused_with_their_places(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    text = (DRILLS / "disk-full" / "drill.yaml").read_text()
    (tmp_path / "mine" / "drill.yaml").write_text(text.replace("speed: 6", "speed: 0\nleson: watch"))
    with pytest.raises(PlanErrors) as caught:
        load_drill("mine", tmp_path)
    said = [finding.message for finding in caught.value.findings]
    assert said == ['"0" is out of range: it must be above 0', 'unknown key "leson"']


def test_a_drill_may_use_a_plan_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    plan = DRILLS / "disk-full" / "plan.yaml"
    (tmp_path / "mine" / "faults.yaml").write_text("faults: [{task: fill-devices, exit: 1}]")
    (tmp_path / "mine" / "drill.yaml").write_text(
        f"{{title: Mine, briefing: Go, lesson: Good, plan: {plan}, faults: faults.yaml, model: wave}}"
    )
    drill = load_drill("mine", tmp_path)
    assert (drill.plan.plan.model, drill.plan.plan.name) == ("wave", "events by device")
    assert drill_titles(tmp_path) == {"mine": "Mine"}
