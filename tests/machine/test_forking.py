"""Going on from a checkpoint when what came after it is lost, in whole or in part: nothing that was done is
done again, and nothing that was undone is taken to be there. A longer campaign:

    WESLEY_CAMPAIGN=20000 pytest tests/machine/test_forking.py -n 2 --timeout 0
"""

import os
from random import Random
from typing import Self

import pytest

from engine.machine import events as ev
from engine.machine.core import Machine
from engine.machine.decisions import answers
from engine.machine.fold import apply, replay
from engine.machine.forking import Fork, Outlook, fork, obstacle, outlook
from engine.machine.state import State
from tests.machine.chance import any_world, anything_happens
from tests.machine.ledger import Ledger
from tests.machine.plans import plan, task
from tests.machine.world import START, World

MADE = Fork(
    run="run-1-from-cp-0001",
    past=(ev.Origin(run="run-1", path="/state/runs/run-1"),),
    actor="ann",
    checkpoint="cp-9000",
    trigger="manual",
    position_hash="hash",
    file="cp-9000.json",
    lost=(),
)
EFFECTS = (ev.TaskStarted, ev.RollbackStepStarted)


def applied_by(world: World, events: list[ev.Event]) -> frozenset[str]:
    """The tasks whose effect is there after `events`, the attempts that nobody saw the end of aside."""
    ledger = Ledger(world.plan, world.graph)
    ledger.follow(events)
    return frozenset(ledger.applied)


class ForkLedger(Ledger):
    """What was in doubt since the fork was there all the time, or was not, as it turned out."""

    doubted: frozenset[str] = frozenset()

    def applied_at(self, seq: int) -> frozenset[str]:
        return super().applied_at(seq) - (self.doubted - self.applied)


class Forked(World):
    """The run of `world` gone on with from event `position`, with `later` of its events known to have
    happened, and `hidden` others (None: nobody knows how many)."""

    def __init__(self, world: World, position: int, later: list[ev.Event], hidden: int | None) -> None:
        super().__init__(world.plan, begin=False)
        self.original = world
        self.position = position
        state = replay(State(world.plan), world.events[:position])
        lost = tuple(state.checkpoints)
        self.seen: Outlook = outlook(state, later, hidden)
        self.before = state.clone()
        news = fork(state, self.seen, MADE._replace(lost=lost), START)
        self.events = [*world.events[:position], *news]
        self.begun = len(self.events)
        self.t = world.t
        self.resume()

    def die(self, keep: int | None = None) -> Self:
        assert keep is None
        durable = [ev.decode_event(ev.encode_event(event)) for event in self.events]
        self._forget()
        self.machine = Machine(self.plan, self.graph, replay(State(self.plan), durable))
        promises = ForkLedger(self.plan, self.graph)
        promises.doubted = frozenset(self.seen.doubted)
        promises.follow(durable[: self.position])
        promises.state = replay(State(self.plan), durable[: self.begun])
        promises.applied = promises.applied - promises.doubted | set(self.seen.done)
        promises.paused = promises.wanted = False
        promises.covered = 0
        promises.follow(durable[self.begun :])
        self.ledger = promises
        return self


def somewhere(world: World, rng: Random) -> int:
    """A place in the run where a checkpoint may stand, and from which it can be gone on with."""
    state = State(world.plan)
    places = []
    for event in world.events:
        apply(state, event)
        if not obstacle(state):
            places.append(event.seq)
    return rng.choice(places)


SEEDS = int(os.environ.get("WESLEY_CAMPAIGN", "100"))


@pytest.mark.parametrize("batch", range(2))
def test_whatever_is_lost_nothing_is_taken_for_what_it_is_not(batch: int) -> None:
    for seed in range(batch, SEEDS, 2):
        world = World(plan(task("a")))
        try:
            rng = Random(seed)
            world = any_world(rng)
            anything_happens(world, rng)
            lose_some(world, rng)
        except BaseException as error:
            error.add_note(f"seed {seed}\n{world.story()}")
            raise


def lose_some(world: World, rng: Random) -> None:
    """Lose some of what came after a place in the run, and go on from there."""
    position = somewhere(world, rng)
    after = world.events[position:]
    lost = rng.choice((0, 0, 1, 2, 5, len(after)))
    gone = {event.seq for event in rng.sample(after, min(lost, len(after)))}
    later = [event for event in after if event.seq not in gone]
    hidden = rng.choice((None, len(gone)))
    state = replay(State(world.plan), world.events[:position])
    seen = outlook(state, later, hidden)
    before, now = applied_by(world, world.events[:position]), applied_by(world, world.events)
    touched = {event.task for event in after if isinstance(event, EFFECTS)}
    for each in state.tasks.values():
        if each.id in seen.done:
            assert each.id in now, f"{each.id} is said to be done, and is not"
        elif each.id not in seen.doubted and each.status not in ("skipped", "waived", "blocked"):
            assert each.id not in touched, f"{each.id} was touched since, and is not in doubt"
            assert (each.id in before) == (each.id in now)
        assert each.id in seen.doubted or each.status not in ("running", "in_doubt")
    assert set(seen.done) <= set(seen.doubted)
    on = Forked(world, position, later, hidden)
    assert on.state.run == MADE.run
    try:
        go_on(on, rng, now)
    except BaseException as error:
        error.add_note(f"from {position}, without {sorted(gone)}, {hidden} hidden; {seen}\n{on.story()}")
        raise


def go_on(on: Forked, rng: Random, now: frozenset[str]) -> None:
    """Evidence tells the truth or nothing, an operator who knows the truth decides the rest: then no task
    whose effect was there runs again, unless it may (`idempotent`), or was undone before that."""
    untouched = {*on.seen.doubted}
    repeatable = {each.id for each in on.plan.tasks if each.idempotent}
    checked = len(on.events)
    for _ in range(200 + 40 * len(on.plan.tasks)):
        if on.state.finished:
            return
        question = next(iter(on.state.questions.values()), None)
        if on.doubts:
            task_id = rng.choice(list(on.doubts))[0]
            truth = task_id in now if task_id in untouched else rng.choice((True, False))
            on.found(task_id, truth if rng.randrange(3) else None)
        elif question is None:
            on.finish_everything()
        elif question.about == "doubt" and question.task in untouched & now:
            on.decide("skip", "assert_done", question=question.number)
        else:
            action, mode = rng.choice(answers(on.state, question))
            on.decide(action, mode, question=question.number)
        for event in on.events[checked:]:
            if isinstance(event, ev.TaskStarted):
                twice = event.task in (untouched & now) - repeatable
                assert not twice, f"{event.task} was done, and ran again: {event}"
            if isinstance(event, ev.TaskStarted | ev.TaskRolledBack):
                untouched.discard(event.task)
        checked = len(on.events)


# -- by hand ---------------------------------------------------------------------------------------------


def test_what_was_on_the_frontier_or_could_follow_is_in_doubt_when_everything_is_lost() -> None:
    world = World(plan(task("a"), task("b", "a"), task("c", "b"), task("d", undo=False), workers=4))
    world.succeed("a", "d")
    state = world.die().state
    assert state.tasks["b"].status == "running"
    seen = outlook(state, [], None)
    assert set(seen.doubted) == {"a", "b", "c"}, "d has no rollback, and cannot have been undone"
    assert not seen.done
    assert set(outlook(state, [], 1).doubted) == {"b"}
    assert set(outlook(state, [], 2).doubted) == {"a", "b", "c"}


def test_what_is_proven_to_be_done_is_not_asked_about() -> None:
    world = World(plan(task("a"), task("b", "a"), task("c", "b")))
    world.succeed("a")
    place = len(world.events)
    world.succeed("b", outputs={"rows": 3})
    on = Forked(world, place, world.events[place:], 0)
    assert on.statuses()["b"] == "succeeded"
    assert on.state.tasks["b"].outputs == {"rows": 3}
    (settled,) = on.of(ev.DoubtSettled)
    assert settled.by == "journal"
    assert list(on.doubts) == [("c", "run")]
    on.found("c", False).finish_everything()
    assert on.state.status == "completed"


def test_a_checkpoint_in_the_middle_of_a_rollback_is_no_place_to_go_on_from() -> None:
    world = World(plan(task("a"), task("b"))).succeed("a").decide("rollback", question=0, to="start")
    assert "middle of a rollback" in obstacle(world.state)
    world.succeed("b")
    assert "middle of a rollback" in obstacle(world.state)
    assert world.finish_everything().state.status == "rolled_back"
    assert obstacle(world.state) == ""


def test_questions_go_with_the_doubt_about_their_tasks() -> None:
    world = World(plan(task("a"), task("b"))).fail("a")
    place = len(world.events)
    on = Forked(world, place, [], None)
    assert not on.state.questions
    assert set(on.doubts) == {("a", "run"), ("b", "run")}
    on.found("a", None)
    assert on.question.about == "doubt"
    assert on.question.reason.startswith("it may have run")


def test_what_hangs_on_a_skipped_doubt_is_decided_by_itself() -> None:
    world = World(plan(task("a"), task("b", "a"), task("c", "b"), task("d", "c")))
    on = Forked(world, len(world.events), [], None)
    on.found("a", None).found("b", None).found("c", False).found("d", True)
    on.decide("skip", "subtree", question=next(n for n, q in on.state.questions.items() if q.task == "a"))
    assert on.statuses() == {"a": "skipped", "b": "in_doubt", "c": "pending", "d": "succeeded"}
    on.decide("retry")
    assert on.statuses() == {"a": "skipped", "b": "blocked", "c": "blocked", "d": "succeeded"}
    assert on.finish_everything().state.status == "completed"


def test_a_wave_with_doubts_is_open_again() -> None:
    world = World(plan(task("a", wave="w1"), task("b", wave="w2"), model="wave"))
    world.succeed("a").saved()
    on = Forked(world, len(world.events), [], None)
    assert list(on.state.waves_started) == []
    on.found("a", True).found("b", False)
    assert list(on.state.waves_started) == ["w1"]
    on.finish_everything()
    assert on.state.status == "completed"
    assert [event.wave for event in on.of(ev.BarrierReached)] == ["w1", "w1", "w2"]
