"""Any plan, any outcomes, any operator, engines that die at any point: the promises hold at every step.

`World` and `Ledger` check them; what is promised and how it is checked stands there. A longer campaign, here
with 20,000 runs on two cores:

    WESLEY_CAMPAIGN=20000 pytest tests/machine/test_any_run.py -n 2 --timeout 0
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from engine.machine import events as ev
from tests.machine.chance import any_world, anything_happens, bring_to_completion, play_on_fairly
from tests.machine.world import World

EXAMPLES = int(os.environ.get("WESLEY_CAMPAIGN", "0"))

chance = st.randoms(use_true_random=False)


def runs(examples: int) -> settings:
    return settings(
        max_examples=EXAMPLES or examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


@contextmanager
def told(world: World) -> Iterator[World]:
    """Where a promise is broken, tell the whole story."""
    try:
        yield world
    except BaseException:
        note(world.story())
        raise


@runs(50)
@given(chance)
def test_whatever_happens_the_run_ends_or_asks_and_can_still_be_completed(rng: Random) -> None:
    with told(any_world(rng)) as world:
        anything_happens(world, rng)
        play_on_fairly(world, rng)
        bring_to_completion(world)


@runs(15)
@given(chance)
def test_the_same_reports_make_the_same_events(rng: Random) -> None:
    with told(any_world(rng)) as world:
        anything_happens(world, rng)
        assert world.again() == b"".join(map(ev.encode_event, world.events[world.taken_up :]))


DIGEST = """
from hashlib import sha256
from random import Random
from engine.machine.events import encode_event
from tests.machine.chance import any_world, anything_happens
digest = sha256()
for seed in range(12):
    rng = Random(seed)
    world = any_world(rng)
    anything_happens(world, rng)
    for event in world.events:
        digest.update(encode_event(event))
print(digest.hexdigest())
"""


def test_the_same_run_makes_the_same_bytes_in_every_process() -> None:
    """Python orders sets differently in each process: nothing of that may show."""
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
