"""Waves: a gate that opens wave by wave, with a barrier in between. Rolling: a gate that is always open."""

from engine.machine import events as ev
from engine.machine import reports as rep
from engine.plan.models import FailureClass
from tests.machine.plans import plan, task
from tests.machine.world import World


def two_waves() -> World:
    return World(plan(task("a", wave="w1"), task("b", wave="w1"), task("c", "a", wave="w2"), model="wave"))


def opened(run: World) -> list[str]:
    return [event.wave for event in run.of(ev.WaveStarted)]


def test_rolling_starts_a_task_as_soon_as_its_own_needs_are_met() -> None:
    run = World(plan(task("a", wave="w1"), task("b", wave="w1"), task("c", "a", wave="w2"))).succeed("a")
    assert run.statuses() == {"a": "succeeded", "b": "running", "c": "running"}
    assert not run.of(ev.WaveStarted)


def test_no_task_of_a_wave_starts_before_the_wave_before_it_has_settled() -> None:
    assert two_waves().succeed("a").statuses() == {"a": "succeeded", "b": "running", "c": "pending"}


def test_the_next_wave_opens_only_when_the_barriers_checkpoint_is_durable() -> None:
    run = two_waves().succeed("a", "b")
    assert [event.wave for event in run.of(ev.BarrierReached)] == ["w1"]
    assert opened(run) == ["w1"]
    run.saved()
    assert run.kinds == ["checkpoint_saved", "wave_started", "task_ready", "task_started"]
    assert run.status("c") == "running"


def test_a_barrier_whose_checkpoint_cannot_be_written_stays_shut_until_one_can() -> None:
    run = two_waves().succeed("a", "b").not_saved()
    assert run.state.status == "paused"
    assert run.status("c") == "pending"
    assert run.report(rep.Continue(actor="ann")).saved().status("c") == "running"


def test_the_run_is_complete_when_the_last_barrier_is_durable() -> None:
    run = two_waves().succeed("a", "b").saved().succeed("c")
    assert run.state.status == "running"
    assert run.saved().state.status == "completed"


def test_a_wave_settles_with_skips_and_blocks_and_one_that_is_all_blocked_is_passed() -> None:
    run = World(
        plan(
            task("a", wave="w1"),
            task("b", "a", wave="w2"),
            task("c", wave="w3"),
            model="wave",
        )
    )
    run.fail("a", FailureClass.PERMANENT).saved().saved()
    assert opened(run) == ["w1", "w2", "w3"]
    assert run.statuses() == {"a": "skipped", "b": "blocked", "c": "running"}


def test_an_open_question_keeps_the_barrier_from_being_reached() -> None:
    run = two_waves().succeed("a").fail("b")
    assert not run.of(ev.BarrierReached)
    assert run.decide("skip", "waive").saves


def test_waves_come_from_the_graph_where_the_plan_names_none() -> None:
    run = World(plan(task("a"), task("b", "a"), task("c", "b"), model="wave")).finish_everything()
    assert opened(run) == ["wave-1", "wave-2", "wave-3"]


def test_a_rollback_behind_a_barrier_shuts_it_again() -> None:
    run = two_waves().succeed("a", "b").saved().fail("c").decide("rollback", to="start").undo("b", "a")
    run.resume()
    assert run.statuses() == {"a": "running", "b": "running", "c": "pending"}
    run.succeed("a", "b")
    assert run.status("c") == "pending"
    assert run.saved().status("c") == "running"
