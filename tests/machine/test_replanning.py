"""Another plan under a run, at any moment of any run: what may be accepted, and that the promises hold on."""

from random import Random
from typing import Self

import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.graph import Graph
from engine.machine import events as ev
from engine.machine.core import Machine
from engine.machine.fold import replay
from engine.machine.replanning import accept, run_changes, unacceptable
from engine.machine.state import State
from engine.machine.transitions import ImpossibleEvent
from engine.plan.models import Plan, Task
from tests.machine.chance import any_world, anything_happens, bring_to_completion, play_on_fairly
from tests.machine.ledger import Ledger
from tests.machine.plans import NOTHING, plan, task
from tests.machine.test_any_run import runs
from tests.machine.world import START, World

chance = st.randoms(use_true_random=False)
OTHERWISE = NOTHING.model_copy(update={"shell": "true", "simulate": None})


class Replanned(World):
    """The run of `world`, gone on with by another plan: its engine has died, and a new one takes it up."""

    def __init__(self, world: World, edited: Plan) -> None:
        self.began_with = world.plan
        self.before = len(world.events)
        state = replay(State(world.plan), world.events)
        news = accept(state, edited, "digest", "ann", START)
        super().__init__(state.plan, begin=False)
        self.events = [*world.events, *news]
        self.t = world.t
        self.resume()

    def die(self, keep: int | None = None) -> Self:
        assert keep is None
        durable = [ev.decode_event(ev.encode_event(event)) for event in self.events]
        self._forget()
        self.machine = Machine(self.plan, self.graph, replay(State(self.began_with), durable))
        promises = Ledger(self.began_with, Graph(self.began_with))
        change = next(at for at, event in enumerate(durable) if isinstance(event, ev.PlanChanged))
        promises.follow(durable[: self.before])
        after = Ledger(self.plan, self.graph)
        for name in ("applied", "history", "undoing", "paused", "wanted", "covered", "barriers"):
            setattr(after, name, getattr(promises, name))
        after.state = replay(State(self.began_with), durable[: change + 1])
        after.follow(durable[change + 1 :])
        self.ledger = after
        return self


def edit(world: World, rng: Random) -> Plan:
    """A sound plan that differs from that of `world` here and there; mostly in what is still open."""
    old = world.plan
    open_tasks = [t.id for t in world.state.tasks.values() if t.status not in ("succeeded", "in_doubt")]
    gone = {each for each in open_tasks if rng.randrange(4) == 0}
    if rng.randrange(6) == 0:
        gone |= {rng.choice(old.tasks).id}
    tasks: list[Task] = []
    for number, task_id in enumerate(Graph(old).topological):
        each = next(t for t in old.tasks if t.id == task_id)
        if rng.randrange(4) == 0:
            needs = tuple(t.id for t in rng.sample(tasks, min(len(tasks), rng.randrange(3))))
            tasks.append(task(f"new{number}", *needs, undo=rng.randrange(2) == 0, wave=_wave(needs, tasks)))
        if task_id in gone:
            continue
        changed: dict[str, object] = {"needs": tuple(need for need in each.needs if need not in gone)}
        if task_id in open_tasks and rng.randrange(3) == 0:
            more = [t.id for t in tasks if t.id.startswith("new") and _fits(t, each)]
            changed["needs"] = (*changed["needs"], *more[:1])  # type: ignore[misc]
            changed["run"] = rng.choice((NOTHING, OTHERWISE))
        tasks.append(each.model_copy(update=changed))
    rng.shuffle(tasks)
    return old.model_copy(update={"tasks": tuple(tasks or old.tasks)})


def _wave(needs: tuple[str, ...], tasks: list[Task]) -> str | None:
    return max((t.wave for t in tasks if t.id in needs and t.wave), default=None)


def _fits(need: Task, task: Task) -> bool:
    """Whether a dependency on `need` cannot contradict the order of the waves."""
    return need.wave is None and not need.needs if task.wave else need.wave is None


@runs(60)
@given(chance)
def test_a_run_goes_on_under_any_plan_that_may_be_accepted(rng: Random) -> None:
    world = any_world(rng)
    anything_happens(world, rng)
    edited = edit(world, rng)
    world.die()
    note(world.story())
    note(f"edited: {edited!r}")
    state = replay(State(world.plan), world.events)
    changes = run_changes(state, edited)
    effect = {t for t, each in state.tasks.items() if each.status in ("succeeded", "in_doubt", "running")}
    bound = {each.change.task for each in changes if not each.acceptable}
    assert {each.change.task for each in changes if each.change.task in effect} <= bound
    if unacceptable(state, changes) or state.status == "completed":
        return
    on = Replanned(world, edited)
    note(on.story())
    assert on.state.plan.tasks == edited.tasks
    assert set(on.state.tasks) == {each.id for each in edited.tasks}
    play_on_fairly(on, rng)
    bring_to_completion(on)


# -- by hand ---------------------------------------------------------------------------------------------

BEFORE = plan(task("a"), task("b", "a"), task("c", "b"), task("d"), task("e"))


def halted(world: World) -> State:
    """What a new engine finds."""
    return world.die().state


def standing_on(state: State, edited: Plan) -> list[str]:
    return [str(change) for change in run_changes(state, edited)]


def changed(**by_id: Task | None) -> Plan:
    """BEFORE with other tasks in the place of some, without others, and with more."""
    kept = [by_id.pop(each.id, each) for each in BEFORE.tasks]
    return plan(*filter(None, (*kept, *by_id.values())))


def test_each_change_is_told_with_how_the_run_stands_on_it() -> None:
    world = World(BEFORE).succeed("a").lose("d").fail("e")
    edited = changed(
        a=task("a", undo=False),
        b=task("b", "a", locks=("x",)),
        c=None,
        d=None,
        e=task("e", check=True),
        f=task("f", "b"),
    )
    state = halted(world)
    assert standing_on(state, edited) == [
        "completed and changed: a (rollback)",
        "in doubt and changed: b (locks), running",
        "pending and removed: c",
        "in doubt and removed: d, in doubt",
        "pending and changed: e (verify), failed",
        "added: f",
    ]
    changes = run_changes(state, edited)
    assert [each.change.task for each in changes if each.acceptable] == ["c", "e", "f"]
    assert unacceptable(state, changes).endswith(": a, b, d")


def test_how_attempts_are_made_is_no_matter_of_a_task_that_is_done() -> None:
    state = halted(World(BEFORE).succeed("a"))
    assert standing_on(state, changed(a=task("a", locks=("x",), critical=True, idempotent=True))) == []


def test_a_rollback_goes_by_the_plan_that_the_tasks_ran_by() -> None:
    world = World(BEFORE).succeed("a", "d", "e").decide("rollback", question=0, to="start").succeed("b")
    state = halted(world)
    assert state.rollback
    edited = changed(c=None)
    assert "rollback is under way" in unacceptable(state, run_changes(state, edited))
    world.resume().finish_everything()
    state = halted(world)
    assert state.status == "rolled_back"
    assert not unacceptable(state, run_changes(state, edited))
    on = Replanned(world, edited).finish_everything()
    assert on.state.status == "completed"
    assert set(on.statuses()) == {"a", "b", "d", "e"}


def test_the_question_about_a_failed_task_stays_and_a_retry_runs_what_it_is_now() -> None:
    world = World(plan(task("a"), task("b", "a"))).fail("a")
    on = Replanned(world, plan(task("a", check=True), task("b", "a")))
    assert on.question.task == "a"
    on.decide("retry").finish_everything()
    assert on.state.status == "completed"
    assert on.state.plan.tasks[0].verify


def test_a_question_about_a_task_that_is_gone_is_withdrawn() -> None:
    world = World(plan(task("a"), task("b", "a"), task("c"))).fail("a")
    on = Replanned(world, plan(task("b"), task("c")))
    assert not on.state.questions
    assert on.finish_everything().statuses() == {"b": "succeeded", "c": "succeeded"}


def test_what_was_skipped_stays_skipped_and_blocks_what_needs_it_now() -> None:
    world = World(plan(task("a"), task("b", "a"), task("c"), task("d"), workers=1)).fail("a")
    world.decide("skip", "subtree")
    assert world.statuses() == {"a": "skipped", "b": "blocked", "c": "running", "d": "ready"}
    edited = plan(task("a"), task("b"), task("c"), task("d", "a"), task("e", "d"), workers=1)
    on = Replanned(world, edited).finish_everything()
    assert on.statuses() == {
        "a": "skipped", "b": "succeeded", "c": "succeeded", "d": "blocked", "e": "blocked"
    }  # fmt: skip
    assert on.state.status == "completed"
    assert on.state.tasks["e"].blocked_by == "a"


def test_the_model_the_lanes_the_policy_and_the_checkpoints_stay_as_the_run_was_started() -> None:
    world = World(plan(task("a"), task("b"), workers=1, policy="fifo", checkpoints={"keep": 3}))
    other = plan(task("a"), task("c"), workers=9, policy="weighted", model="wave", checkpoints={"keep": 1})
    now = Replanned(world.succeed("a"), other).state.plan
    assert (now.workers, now.policy, now.model, now.checkpoints.keep) == (1, "fifo", "rolling", 3)
    assert [each.id for each in now.tasks] == ["a", "c"]


def test_a_wave_that_gains_a_task_is_opened_again_with_a_barrier_of_its_own() -> None:
    waves = {"model": "wave", "checkpoints": {"keep": 9}}
    world = World(plan(task("a", wave="w1"), task("b", wave="w2"), task("c", wave="w2"), **waves))
    world.succeed("a").saved()
    assert world.statuses() == {"a": "succeeded", "b": "running", "c": "running"}
    edited = plan(
        task("a", wave="w1"), task("late", wave="w1"), task("b", wave="w2"), task("c", wave="w2"), **waves
    )
    on = Replanned(world, edited)
    for each in ("b", "c"):
        on.found(each, False)
    assert list(on.jobs) == [("late", "run")]
    on.succeed("late")
    assert not on.jobs
    on.saved()
    assert sorted(on.jobs) == [("b", "run"), ("c", "run")]
    assert on.finish_everything().state.status == "completed"
    assert [event.wave for event in on.of(ev.BarrierReached)] == ["w1", "w1", "w2"]


def test_a_plan_of_another_version_is_no_event_of_this_one() -> None:
    world = World(BEFORE)
    state = halted(world)
    news = accept(state, changed(c=None), "", "ann", START)
    broken = replace(news[-1], pinned='{"wesley": 9}')  # type: ignore[call-arg]
    with pytest.raises(ImpossibleEvent, match="no plan of this version"):
        replay(State(BEFORE), [*world.events, broken])
