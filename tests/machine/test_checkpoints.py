"""When checkpoints are taken, and what depends on them."""

import pytest

from engine.machine import events as ev
from engine.machine import reports as rep
from engine.plan.models import FailureClass
from tests.machine.plans import plan, task
from tests.machine.world import World


def ask_for_checkpoint(run: World) -> World:
    return run.report(rep.TakeCheckpoint(actor="ann"))


def triggers(run: World) -> list[str]:
    return [event.trigger for event in run.of(ev.CheckpointSaved)]


# -- triggers --------------------------------------------------------------------------------------


def test_by_time_if_anything_was_settled_since_the_last() -> None:
    run = World(plan(task("a"), task("b", "a"), checkpoints={"every": 1800.0}))
    run.fire("checkpoint")
    assert not run.saves
    run.succeed("a").fire("checkpoint")
    assert run.t == 3600.0
    run.saved().fire("checkpoint")
    assert not run.saves
    assert triggers(run) == ["time"]


def test_not_by_time_while_the_run_is_paused_and_by_time_again_afterwards() -> None:
    run = World(plan(task("a"), task("b"), checkpoints={"every": 1800.0}))
    run.report(rep.Pause(actor="ann")).succeed("a").fire("checkpoint")
    assert not run.saves
    run.report(rep.Continue(actor="ann"))
    assert run.timers["checkpoint"] == 3600.0
    assert run.fire("checkpoint").saved().state.last_checkpoint


def test_every_25_percent_of_progress_skips_and_blocks_included() -> None:
    tasks = [task(f"t{n}") for n in range(6)]
    run = World(plan(*tasks, task("bad"), task("worse", "bad"), workers=8, checkpoints={"progress": 25}))
    settled = []
    for each in ("t0", "bad", "t1", "t2", "t3", "t4", "t5"):
        run.fail(each, FailureClass.PERMANENT) if each == "bad" else run.succeed(each)
        if run.saves:
            settled.append(run.saved().state.settled)
    assert settled == [3, 4, 6, 8]
    assert [event.note for event in run.of(ev.CheckpointSaved)] == [
        f"{percent} % settled" for percent in (25, 50, 75, 100)
    ]


def test_when_a_phase_is_complete() -> None:
    run = World(
        plan(
            task("a", phase="expand"),
            task("b", phase="expand"),
            task("c", phase="contract"),
            task("d"),
            checkpoints={"phases": True},
        )
    )
    assert not run.succeed("a", "d").saves
    run.succeed("b").saved()
    assert run.of(ev.CheckpointSaved)[0].note == "phase expand complete"
    assert triggers(run) == ["phase"]


def test_at_a_barrier_once_and_not_for_the_phase_that_ends_with_it() -> None:
    run = World(
        plan(
            task("a", phase="expand"),
            task("b", "a", phase="contract"),
            model="wave",
            checkpoints={"phases": True, "progress": 50},
        )
    )
    run.finish_everything()
    assert triggers(run) == ["barrier", "barrier"]


def test_when_the_operator_wants_one() -> None:
    run = ask_for_checkpoint(World(plan(task("a"))))
    assert run.state.decisions[0].action == "checkpoint"
    assert run.saved().of(ev.CheckpointSaved)[0].note == "asked for by ann"


def test_before_an_abort_is_final_where_there_is_none_yet() -> None:
    run = World(plan(task("a"))).report(rep.Stop(actor="ann", reason="enough", drain=False)).cancel("a")
    assert run.state.status != "aborted"
    assert run.saved().state.status == "aborted"
    assert triggers(run) == ["stop"]


def test_before_an_abort_is_final_if_anything_was_settled_since_the_last() -> None:
    run = World(plan(task("a"), task("b"))).succeed("a").report(rep.Stop(actor="ann", reason="enough"))
    assert run.fail("b").state.status != "aborted"
    assert run.saved().state.status == "aborted"
    assert triggers(run) == ["stop"]
    run.resume().report(rep.Stop(actor="ann", reason="enough"))
    assert run.state.status == "aborted"
    assert triggers(run) == ["stop"]


def test_a_stop_does_not_wait_for_ever_for_a_checkpoint_that_cannot_be_written() -> None:
    run = World(plan(task("a"), task("b"))).succeed("a").report(rep.Stop(actor="ann", reason="enough"))
    assert run.fail("b").not_saved().state.status == "aborted"


# -- before a risk ---------------------------------------------------------------------------------


def risky(**options: object) -> World:
    """`a` is done, and the risky `b` is next; `c` and `d` are free to run."""
    run = World(
        plan(
            task("a"),
            task("b", "a", risk=0.7, duration=9.0),
            task("c", "a"),
            task("d", "a"),
            workers=2,
            checkpoints={"before_risk": 0.7} | options,
        )
    )
    return run.succeed("a")


def test_a_risky_task_keeps_its_lane_and_starts_only_when_the_checkpoint_is_durable() -> None:
    run = risky()
    assert run.status("b") == "waiting"
    assert run.state.lanes == ["b", "c"]
    run.succeed("c")
    assert run.state.lanes == ["b", "d"]
    run.saved()
    assert run.kinds == ["checkpoint_saved", "task_started"]
    assert run.of(ev.TaskStarted)[-1].lane == 0
    assert run.of(ev.CheckpointSaved)[0].note == "before b"


def test_a_risky_task_starts_at_once_where_the_newest_checkpoint_holds_everything() -> None:
    run = World(plan(task("a", risk=0.9), task("b"), checkpoints={"before_risk": 0.7}))
    assert run.status("a") == "running"


def test_risky_tasks_share_a_checkpoint_that_is_being_written() -> None:
    run = World(
        plan(task("a"), task("b", "a", risk=1.0), task("c", "a", risk=1.0), checkpoints={"before_risk": 0.7})
    )
    run.succeed("a")
    assert len(run.saves) == 1
    run.saved()
    assert run.statuses() == {"a": "succeeded", "b": "running", "c": "running"}


def test_without_its_checkpoint_a_risky_task_does_not_start_and_the_run_pauses() -> None:
    run = risky().succeed("c").not_saved()
    assert run.status("b") == "ready"
    assert run.succeed("d").state.status == "paused"
    assert run.state.status_reason == "a checkpoint could not be written: disk full"
    run.report(rep.Continue(actor="ann"))
    assert run.status("b") == "waiting"
    assert run.saved().status("b") == "running"


def test_a_pause_meanwhile_gives_the_lane_back() -> None:
    run = risky().report(rep.Pause(actor="ann")).saved()
    assert run.status("b") == "ready"
    assert run.state.lanes == [None, "c"]


def test_a_new_engine_asks_for_the_checkpoint_again() -> None:
    run = risky().resume().found("c", False)
    assert run.status("b") == "waiting"
    assert run.saved().status("b") == "running"


# -- what a checkpoint is --------------------------------------------------------------------------


def test_it_holds_the_published_content() -> None:
    run = World(
        plan(task("a"), task("b", uses={"disk": 2}), task("c", uses={"disk": 1}), resources={"disk": 2})
    )
    ask_for_checkpoint(run.succeed("a", outputs={"rows": 3}))
    content = next(iter(run.saves.values())).content
    assert content["completed"] == ["a"]
    assert content["running"] == [{"task": "b", "attempt": 1, "lane": 1}]
    assert content["frontier"] == ["c"]
    assert content["outputs"] == {"a": {"rows": 3}}
    assert content["resources"] == {"disk": {"capacity": 2, "in_use": 2}}
    assert content["version"] == 1
    assert content["timestamp"] == "2026-03-14T02:00:00+00:00"
    assert set(content["metrics"]) == {"makespan_s", "utilisation", "idle_s", "checkpoints"}


@pytest.mark.parametrize(("ended", "stable"), [("succeed", True), ("fail", False), ("lose", False)])
def test_it_is_stable_if_nothing_is_failed_or_in_doubt(ended: str, stable: bool) -> None:
    run = World(plan(task("a"), task("b")))
    ask_for_checkpoint(getattr(run, ended)("a")).saved()
    assert run.of(ev.CheckpointSaved)[0].stable is stable
    assert bool(run.state.last_stable_checkpoint) is stable


def test_it_tells_the_state_at_its_position_and_not_at_the_time_it_was_written() -> None:
    run = World(plan(task("a"), task("b")))
    ask_for_checkpoint(run)
    position = run.state.seq
    run.succeed("a").fail("b").saved()
    saved = run.of(ev.CheckpointSaved)[0]
    assert (saved.position, saved.completed, saved.stable) == (position, 0, True)


def test_the_newest_and_all_at_barriers_are_kept() -> None:
    run = World(plan(task("a"), task("b", "a"), model="wave", checkpoints={"keep": 2}))
    run.succeed("a").saved()
    for _ in range(4):
        ask_for_checkpoint(run).saved()
    assert [checkpoint.id for checkpoint in run.state.kept_checkpoints()] == ["cp-0001", "cp-0004", "cp-0005"]


def test_a_checkpoint_that_failed_does_not_give_its_name_to_another() -> None:
    run = World(plan(task("a")))
    ask_for_checkpoint(run)
    ask_for_checkpoint(run)
    run.not_saved("cp-0001").saved("cp-0002").report(rep.Continue(actor="ann"))
    ask_for_checkpoint(run).saved()
    assert list(run.state.checkpoints) == ["cp-0002", "cp-0003"]


def test_checkpoints_are_numbered_on_after_one_was_lost_with_its_engine() -> None:
    run = World(plan(task("a")))
    ask_for_checkpoint(run)
    ask_for_checkpoint(run)
    run.saved("cp-0002").die().resume()
    ask_for_checkpoint(run).saved()
    assert list(run.state.checkpoints) == ["cp-0002", "cp-0003"]
