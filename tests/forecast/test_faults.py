"""Faults: which attempts they hit, what those end in, and what is wrong with a file of them."""

from pathlib import Path

import pytest

from engine.forecast.faults import Faults, load_faults
from engine.forecast.simulation import Simulation
from engine.machine.events import TaskFailed
from engine.plan.errors import PlanErrors
from engine.plan.models import AS_WRITTEN, FailureClass, Plan

PLAN = Plan.model_validate(
    {
        "wesley": 1,
        "name": "faulty",
        "targets": {"app": {"sqlite": "app.db"}},
        "tasks": [
            {
                "id": "copy",
                "run": {"shell": "cp a b"},
                "rollback": {"shell": "rm b"},
                "duration": "40s",
                "classify": [{"exit": 9, "as": "permanent"}],
            },
            {"id": "index", "run": {"sql": "CREATE INDEX i ON t (a)", "on": "app"}, "needs": ["copy"]},
        ],
    },
    context=AS_WRITTEN,
)
COPY, INDEX = PLAN.tasks


def faults(*items: dict[str, object]) -> Faults:
    return Faults.model_validate({"faults": list(items)}, context=AS_WRITTEN)


def test_attempts_are_hit_as_written_and_the_first_fault_counts() -> None:
    both = faults(
        {"task": "copy", "attempts": [1, 3], "exit": 75},
        {"task": "copy", "class": "unknown"},
        {"task": "copy", "attempt": 2, "purpose": "rollback", "exit": 1},
    )
    hit = [both.hitting("copy", attempt) for attempt in (1, 2, 3)]
    assert [fault.exit if fault else 0 for fault in hit] == [75, None, 75]
    assert both.hitting("index", 1) is None
    assert [bool(both.hitting("copy", attempt, "rollback")) for attempt in (1, 2)] == [False, True]


@pytest.mark.parametrize(
    ("exit_code", "failure_class", "rule"),
    [
        (75, FailureClass.TRANSIENT, "built-in: exit 75 (EX_TEMPFAIL)"),
        (9, FailureClass.PERMANENT, "plan: exit 9 as permanent"),
        (3, FailureClass.UNKNOWN, "built-in: exit 3 tells nothing"),
    ],
)
def test_an_exit_is_classified_as_that_of_a_real_task(
    exit_code: int, failure_class: FailureClass, rule: str
) -> None:
    (fault,) = faults({"task": "copy", "exit": exit_code, "output": "gone\n"}).faults
    failed = fault.failure(COPY)
    assert (failed.failure_class, failed.rule, failed.tail) == (failure_class, rule, "gone")
    assert failed.exit_code == exit_code


def test_a_class_is_taken_at_its_word_and_output_is_made_safe() -> None:
    (fault,) = faults(
        {
            "task": "index",
            "class": "resource",
            "resource": "disk",
            "reason": "full",
            "output": "\x1b]0;x\x07no room",
        }
    ).faults
    failed = fault.failure(INDEX)
    assert (failed.failure_class, failed.resource, failed.reason) == (FailureClass.RESOURCE, "disk", "full")
    assert failed.effect == "none"
    assert "\x1b" not in failed.tail
    assert failed.tail.endswith("no room")


def test_a_fault_strikes_when_its_share_of_the_duration_has_passed() -> None:
    (fault,) = faults({"task": "copy", "exit": 1, "after": 0.25}).faults
    assert fault.lasts(COPY) == 10.0


def test_a_simulated_run_has_its_faults_and_gets_over_them() -> None:
    struck = faults(
        {"task": "copy", "attempts": [1, 2], "class": "transient", "after": 0.5, "reason": "reset"}
    )
    simulation = Simulation(PLAN, outcomes=struck.outcomes())
    state = simulation.run()
    failures = [event for event in simulation.events if isinstance(event, TaskFailed)]
    assert [(event.task, event.attempt, event.t) for event in failures] == [
        ("copy", 1, 20.0),
        ("copy", 2, 42.0),
    ]
    assert state.status == "completed"
    assert len(state.tasks["copy"].attempts) == 3


def test_a_resource_is_back_after_its_time() -> None:
    lacking = faults({"task": "copy", "attempt": 1, "class": "resource", "back_after": "30s"})
    assert [lacking.is_back("copy", 1, waited) for waited in (0.0, 29.9, 30.0)] == [False, False, True]
    assert lacking.is_back("copy", 2, 0.0)


def test_a_verify_can_deny_what_the_operator_says() -> None:
    denying = faults({"task": "copy", "purpose": "verify", "class": "permanent", "reason": "b is empty"})
    assert denying.denial("copy") == "b is empty"
    assert denying.denial("index") == ""
    assert denying.hitting("copy", 1) is None


def test_faults_survive_being_kept_with_their_run() -> None:
    written = faults({"task": "copy", "attempt": 1, "class": "resource", "back_after": "30s", "after": 1})
    kept = [fault.model_dump(mode="json", by_alias=True, exclude_defaults=True) for fault in written.faults]
    assert Faults.model_validate({"faults": kept}) == written


def said(path: Path, plan: Plan = PLAN) -> str:
    with pytest.raises(PlanErrors) as caught:
        load_faults(path, plan)
    return "\n".join(
        f"{found.place.line}:{found.place.column} {found.message}; {found.hint}"
        for found in caught.value.findings
    )


def test_everything_wrong_with_a_file_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(
        "faults:\n"
        "  - {task: coppy, exit: 75}\n"
        "  - {task: copy, atempt: 1, exit: 75}\n"
        "  - {task: copy, class: transiet}\n"
        "  - {task: index, class: unknown, purpose: rollback}\n"
        "  - {task: index, class: unknown, purpose: verify}\n"
        "  - {task: copy}\n"
        "  - {task: copy, exit: 0}\n"
        "  - {task: copy, exit: 1, attempt: 1, attempts: [2]}\n"
        "  - {task: copy, class: unknown, resource: disk}\n"
        "  - copy\n"
    )
    assert said(path).splitlines() == [
        '2:12 the plan has no task "coppy"; did you mean "copy"?',
        '3:18 unknown key "atempt"; did you mean "attempt"?',
        '4:25 "transiet" is not one of transient, resource, permanent, unknown; did you mean "transient"?',
        '5:12 "index" has no rollback that could fail; ',
        '6:12 "index" has no verify that could fail; ',
        "7:5 exactly one of `exit` and `class` says how it fails; ",
        "8:5 `exit: 0` is no failure; ",
        "9:5 either `attempt` or `attempts`; ",
        "10:5 `resource` and `back_after` go with failures of class resource; ",
        '11:5 "copy" is not a mapping; ',
    ]


@pytest.mark.parametrize("text", ["[]", "faults: 3", "42"])
def test_a_file_of_the_wrong_shape_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(text)
    assert "is not a" in said(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "cannot be read" in said(tmp_path / "none.yaml")
