"""Chance as a driver: outcomes, operators and dying engines, all drawn from one source."""

from random import Random
from typing import Any, get_args

from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.decisions import answers, standing_answer
from engine.plan.models import FailureClass
from tests.machine.plans import random_plan
from tests.machine.world import Job, World

ACTIONS: tuple[ev.Action, ...] = get_args(ev.Action)
MODES: tuple[ev.Mode | None, ...] = (None, *get_args(ev.Mode))
INTERVENTIONS: tuple[ev.Intervention, ...] = ("cancel_own", "cancel_backend", "terminate_backend")
STANDING = ("ask", "retry", "skip", "rollback", "abort")


def any_world(rng: Random) -> World:
    """A run of a random plan that has just begun."""
    return World(random_plan(rng), seed=rng.randrange(100))


def anything_happens(world: World, rng: Random) -> None:
    """Drive `world` into a random place."""
    failing = rng.choice((0, 2, 5, 9))
    for _ in range(rng.choice((5, 20, 80, 200))):
        something_happens(world, rng, failing)


def something_happens(world: World, rng: Random, failing: int) -> None:
    """One thing that can happen now. `failing`, out of 10: how often attempts do not succeed."""
    die = rng.randrange(40)
    if die == 0:
        dies(world, rng)
    elif die <= 2:
        operator_acts(world, rng)
    elif die <= 4 or (die <= 16 and world.state.questions):
        operator_decides(world, rng)
    elif world.state.finished and die < 20:
        world.resume()
    elif die > (30 if world.jobs else 38):
        goes_on_underway(world, rng)
    elif not answered(world, rng, failing):
        stuck(world, rng)


def dies(world: World, rng: Random) -> None:
    world.die(rng.choice(world.cuts))
    if world.state.status != "completed" and rng.randrange(4) == 0:
        world.checkpoint_by_nobody()
    world.resume()


def operator_acts(world: World, rng: Random) -> None:
    act = rng.randrange(8)
    if act < 2:
        world.report(rep.Pause(actor="ann"))
    elif act < 4:
        world.report(rep.Continue(actor="ann"))
    elif act < 6:
        world.report(rep.TakeCheckpoint(actor="ann"))
    else:
        world.report(rep.Stop(actor="ann", reason="enough", drain=act == 6))


def goes_on_underway(world: World, rng: Random) -> None:
    """Something is told of an attempt, or done about it: often one in flight, at times one that is not."""
    nobody: list[Job] = [(rng.choice([*world.state.tasks]), "run")]
    task, purpose = rng.choice([*world.jobs] or nobody)
    attempt = world.jobs.get((task, purpose), 1) + (rng.randrange(6) == 0)
    shown = world.state.tasks[task].underway.lock_wait
    pid, started = rng.choice([(each.pid, each.started) for each in shown.blockers] if shown else [(0, "x")])
    seen = max(world.state.seq - rng.randrange(3), 0)
    blockers = tuple(
        ev.Blocker(pid=number, started=rng.choice("xxxy"), own_task=rng.choice(("", "", task)))
        for number in range(rng.randrange(4))
    )
    known: dict[str, Any] = {"task": task, "attempt": attempt, "purpose": purpose}
    told: dict[str, Any] = {"action": rng.choice(INTERVENTIONS), "pid": pid}
    report: rep.Report = rng.choice(
        (
            rep.LockWaitSeen(**known, pid=99, relation="orders", blockers=blockers),
            rep.Progressed(**known, done=rng.randrange(9), total=9, unit="rows"),
            rep.CommitIntended(**known, part=1, parts=2, statement="ALTER", xid="7"),
            rep.Intervene(**known, **told, backend_started=started, actor="ann", on_seq=seen),
            rep.Intervene(**known, **told, backend_started=started, actor="ann", on_seq=seen),
            rep.Intervened(task=task, attempt=attempt, **told, done=rng.randrange(2) == 0),
            rep.Adjust(task=task, batch=rng.randrange(1, 9), held=rng.randrange(2) == 0, actor="ann"),
        )
    )
    world.report(report)


def operator_decides(world: World, rng: Random) -> None:
    """A fitting answer to an open question, or one that makes no sense, or a rollback nobody asked about."""
    questions = list(world.state.questions.values())
    places = ("last", "start", "cp-9999", *world.state.checkpoints)
    to = rng.choice(places)
    how = rng.randrange(8)
    if how == 0:
        number = rng.choice((0, rng.randrange(len(world.events) + 2), *world.state.questions))
        world.decide(rng.choice(ACTIONS), rng.choice(MODES), question=number, to=to)
    elif how == 1 and rng.randrange(4) == 0:
        world.decide("rollback", question=0, to=to)
    elif questions:
        question = rng.choice(questions)
        order = rng.choice(STANDING)
        standing = standing_answer(world.state, question, order)
        if how == 2 and standing:
            world.report(standing)
        else:
            action, mode = rng.choice(answers(world.state, question))
            world.decide(action, mode, question=question.number, to=to)


def answered(world: World, rng: Random, failing: int) -> bool:
    """Answer something that the machine has asked for; whether there was anything."""
    asked = [
        name
        for name in ("jobs", "jobs", "saves", "doubts", "probes", "assertions", "timers")
        if getattr(world, name)
    ]
    if not asked:
        return False
    match rng.choice(asked):
        case "jobs":
            job = rng.choice(list(world.jobs))
            end(world, rng, job, failing)
        case "saves":
            checkpoint = rng.choice(list(world.saves))
            world.not_saved(checkpoint) if rng.randrange(8) == 0 else world.saved(checkpoint)
        case "doubts":
            task, _ = rng.choice(list(world.doubts))
            by = rng.choice(("ledger", "verify", "executor"))
            done = rng.choice((True, False, None))
            left = ("process 7 (sh)",) if done is None and rng.randrange(3) == 0 else ()
            world.found(task, done, by=by, survivors=left)
        case "probes":
            world.probed(rng.randrange(3) == 0)
        case "assertions":
            world.verified(rng.randrange(2) == 0)
        case "timers":
            world.fire(min(world.timers, key=world.timers.__getitem__))
    return True


def end(world: World, rng: Random, job: tuple[str, ev.Purpose], failing: int) -> None:
    """An attempt ends in any way it can."""
    task, purpose = job
    effect = rng.choice(("none", "unknown"))
    if job in world.cancelling and rng.randrange(4):
        world.cancel(task, effect, purpose)
    elif rng.randrange(10) >= failing:
        world.succeed(task, purpose=purpose, outputs={"rows": rng.randrange(3)})
    elif rng.randrange(4) == 0:
        world.lose(task, purpose)
    else:
        world.fail(
            task,
            rng.choice(list(FailureClass)),
            purpose,
            effect=effect,
            resource=rng.choice(("", "disk")),
            fatal=rng.randrange(12) == 0,
        )


def stuck(world: World, rng: Random) -> None:
    """Nothing is asked for any more: go on with what an operator would do."""
    if world.state.finished:
        world.resume()
    elif world.state.questions:
        operator_decides(world, rng)
    else:
        world.report(rep.Continue(actor="ann"))


def play_on_fairly(world: World, rng: Random) -> None:
    """Every command is answered, attempts succeed and every question gets some fitting answer: within a
    bounded number of steps the run ends."""
    for _ in range(60 + 30 * len(world.plan.tasks)):
        if world.state.finished:
            return
        world.finish_everything()
        if world.state.questions and not world.state.finished:
            question = rng.choice(list(world.state.questions.values()))
            action, mode = rng.choice(answers(world.state, question))
            world.decide(action, mode, question=question.number, to="last")
        elif world.state.operator_pause is not None:
            world.report(rep.Continue(actor="ann"))
    raise AssertionError(f"no end in sight: {world.state.status_counts}")


def bring_to_completion(world: World) -> None:
    """With success all the way and every question answered with a retry, any run can still be completed."""
    for _ in range(8):
        if world.state.finished:
            world.resume()
        for _ in range(40 + 4 * len(world.plan.tasks)):
            world.finish_everything()
            if world.state.finished:
                break
            if world.state.operator_pause is not None:
                world.report(rep.Continue(actor="ann"))
            else:
                world.decide("retry")
        if world.state.status == "completed":
            return
    raise AssertionError(f"never completed: {world.state.status}, {world.state.status_counts}")
