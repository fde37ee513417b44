"""The one table of task transitions: all that changes a status is in it, and the fold refuses the rest."""

from random import Random
from typing import Any, get_args

import msgspec
import pytest

from engine.machine import events as ev
from engine.machine import underway
from engine.machine.fold import apply
from engine.machine.state import Rollback, State
from engine.machine.transitions import TRANSITIONS, ImpossibleEvent, TaskStatus
from engine.plan.models import FailureClass
from tests.machine.chance import any_world, anything_happens
from tests.machine.plans import plan, task
from tests.machine.world import START

KINDS: tuple[type[ev.Event], ...] = get_args(ev.AnyEvent)
ABOUT_A_TASK_AS_IT_IS = {
    *(ev.DoubtSettled, ev.RollbackFailed, ev.QuestionOpened, ev.DecisionMade),
    *underway.EFFECTS,
}

FIELDS: dict[str, Any] = {
    "task": "a",
    "attempt": 1,
    "lane": 0,
    "reason": "so",
    "rule": "test",
    "failure_class": FailureClass.UNKNOWN,
    "effect": "none",
    "retry": 1,
    "delay": 1.0,
    "due_t": 1.0,
    "by": "b",
}


def event_of(kind: type[ev.Event], **fields: Any) -> ev.Event:
    """An event about task `a`; required fields have any value that fits."""
    known = {"seq": 1, "t": 0.0, "at": START} | FIELDS | fields
    return kind(**{field.name: known[field.name] for field in msgspec.structs.fields(kind) if field.required})


def state_with(status: TaskStatus) -> State:
    state = State(plan(task("a"), task("b")))
    state.counts[TaskStatus.PENDING] -= 1
    state.counts[status] = state.counts.get(status, 0) + 1
    state.tasks["a"].status = status
    state.rollback = Rollback(to="start", to_seq=0, tasks=("a",), stay=(), reason="so")
    return state


def test_every_event_about_a_task_is_in_the_table_or_leaves_the_task_as_it_is() -> None:
    about_tasks = {kind for kind in KINDS if "task" in kind.__struct_fields__}
    assert about_tasks == set(TRANSITIONS) | ABOUT_A_TASK_AS_IT_IS
    assert not set(TRANSITIONS) & ABOUT_A_TASK_AS_IT_IS


@pytest.mark.parametrize("kind", TRANSITIONS, ids=lambda kind: kind.__name__)
def test_the_fold_takes_what_the_table_allows_and_refuses_everything_else(kind: type[ev.Event]) -> None:
    sources, target = TRANSITIONS[kind]
    for status in TaskStatus:
        state = state_with(status)
        if status in sources:
            apply(state, event_of(kind))
            assert state.tasks["a"].status is target
        else:
            with pytest.raises(ImpossibleEvent, match=f"{kind.__struct_config__.tag}.*a, which is {status}"):
                apply(state, event_of(kind))


@pytest.mark.parametrize("kind", TRANSITIONS, ids=lambda kind: kind.__name__)
def test_an_event_about_a_task_that_is_not_in_the_plan_is_refused(kind: type[ev.Event]) -> None:
    with pytest.raises(ImpossibleEvent, match="an unknown task"):
        apply(state_with(TaskStatus.PENDING), event_of(kind, task="nobody"))


def test_events_with_a_gap_are_refused() -> None:
    state = state_with(TaskStatus.PENDING)
    apply(state, event_of(ev.TaskReady))
    with pytest.raises(ImpossibleEvent, match="event 1 cannot follow event 1"):
        apply(state, event_of(ev.TaskReady))


def test_a_lane_is_given_to_one_task() -> None:
    state = state_with(TaskStatus.READY)
    state.lanes[0] = "b"
    with pytest.raises(ImpossibleEvent, match="lane 0 is taken by b, and given to a"):
        apply(state, event_of(ev.TaskStarted))


@pytest.mark.parametrize("seed", range(20))
def test_no_other_event_changes_a_status(seed: int) -> None:
    rng = Random(seed)
    world = any_world(rng)
    anything_happens(world, rng)
    state = State(world.plan)
    for event in world.events:
        before = {each.id: each.status for each in state.tasks.values()}
        apply(state, event)
        changed = {each.id for each in state.tasks.values() if each.status is not before[each.id]}
        assert changed <= ({event.task} if type(event) in TRANSITIONS else set()), event
