"""Plans to try the machine with: written by hand in a line, or drawn at random."""

from random import Random
from typing import Any

from engine.plan.models import Action, CheckpointRules, Plan, RetryRules, Simulated, Task, Wave

NOTHING = Action(simulate=Simulated())


def task(task_id: str, *needs: str, undo: bool = True, check: bool = False, **options: Any) -> Task:
    """A task; `undo` gives it a rollback, `check` a verify."""
    return Task(
        id=task_id,
        needs=needs,
        run=NOTHING,
        rollback=NOTHING if undo else None,
        verify=NOTHING if check else None,
        **options,
    )


def plan(*tasks: Task, workers: int = 4, **options: Any) -> Plan:
    """A plan of `tasks` that takes no checkpoint by itself, unless `checkpoints` says otherwise."""
    rules = {"every": 0.0, "progress": 100, "phases": False, "before_risk": 1.0} | options.pop(
        "checkpoints", {}
    )
    return Plan(
        wesley=1,
        name="a plan",
        workers=workers,
        tasks=tasks,
        checkpoints=CheckpointRules(**rules),
        **options,
    )


def random_plan(rng: Random, most_tasks: int = 25) -> Plan:
    """Any plan that the checks let pass: 1 to `most_tasks` tasks, written down in any order."""
    size = rng.choice((1, 2, 3, 3, 4, 4, 5, 6, 8, 12, most_tasks))
    resources = {pool: rng.randint(1, 3) for pool in ("disk", "links") if rng.randrange(3) == 0}
    waves = rng.choice((0, 0, 2, 3))
    tasks: list[Task] = []
    for number in range(size):
        parents = rng.sample(tasks, min(rng.choice((0, 0, 1, 1, 2, 3)), number))
        earliest = max((int(parent.wave[1:]) for parent in parents if parent.wave), default=1)
        in_wave = waves and rng.randrange(4) > 0
        tasks.append(
            task(
                f"t{number}",
                *(parent.id for parent in parents),
                undo=rng.randrange(4) > 0,
                check=rng.randrange(3) == 0,
                wave=f"w{rng.randint(earliest, waves)}" if in_wave or (waves and earliest > 1) else None,
                phase=rng.choice((None, "expand", "contract")),
                duration=rng.choice((None, 0.0, 1.0, 5.0)),
                value=rng.choice((1.0, 2.0)),
                risk=rng.choice((0.0, 0.0, 0.5, 1.0)),
                critical=rng.randrange(3) == 0,
                idempotent=rng.randrange(4) == 0,
                uses={
                    pool: rng.randint(1, capacity)
                    for pool, capacity in resources.items()
                    if rng.randrange(2) == 0
                },
                locks=tuple(lock for lock in ("orders", "users") if rng.randrange(5) == 0),
            )
        )
    rng.shuffle(tasks)
    return Plan(
        wesley=1,
        name="any plan",
        model=rng.choice(("rolling", "wave")),
        policy=rng.choice(("critical-path", "weighted", "fifo")),
        workers=rng.randint(1, 4),
        resources=resources,
        retry=RetryRules(
            attempts=rng.randrange(3), base=rng.choice((0.0, 1.0)), jitter=rng.randrange(2) == 0
        ),
        checkpoints=CheckpointRules(
            every=rng.choice((0.0, 3.0, 1800.0)),
            progress=rng.choice((10, 25, 100)),
            phases=rng.randrange(2) == 0,
            before_risk=rng.choice((0.0, 0.5, 1.0)),
            keep=rng.choice((1, 2, 10)),
        ),
        waves=tuple(Wave(id=f"w{number}") for number in range(1, waves + 1)),
        tasks=tuple(tasks),
    )
