"""Waits, progress and interventions in words."""

from typing import Any

import pytest
from msgspec.structs import replace

from console.commands.inspecting import as_dict
from console.headless import Telling
from console.underway import (
    culprits,
    lock_wait,
    pace_words,
    progress_words,
    tree,
    wait_words,
    waiting,
    who,
)
from engine.machine import events as ev
from engine.machine.state import Underway
from engine.machine.underway import rate
from tests.console import fixtures
from tests.console.fixtures import HOLDER, QUEUED, START


def wait(*blockers: ev.Blocker) -> ev.LockWaitChanged:
    return ev.LockWaitChanged(
        seq=7, t=60.0, at=START, task="load", attempt=1, pid=99, relation="orders", blockers=blockers
    )


def blocker(pid: int, *waits_for: int, **fields: Any) -> ev.Blocker:
    return ev.Blocker(pid=pid, started="s", waits_for=waits_for, **fields)


def told(t: float, done: int, total: int | None = 1000, **fields: Any) -> ev.TaskProgressed:
    known: dict[str, Any] = {"task": "load", "attempt": 1, "unit": "rows"}
    return ev.TaskProgressed(seq=7, t=t, at=START, done=done, total=total, **known | fields)


# -- waits -----------------------------------------------------------------------------------------


def test_who_holds_everybody_up_is_named_and_not_who_waits_as_well() -> None:
    assert culprits(wait(QUEUED, HOLDER)) == [HOLDER]
    assert wait_words(wait(QUEUED, HOLDER), 20.0) == (
        "waits for a lock on orders: pid 4711 alice (psql), idle in transaction for 12m, and 1 more"
    )


def test_of_several_who_wait_for_nobody_the_one_with_the_oldest_transaction_is_named() -> None:
    young, old = blocker(1, age_s=3.0), blocker(2, age_s=300.0)
    assert culprits(wait(young, old)) == [old, young]


def test_of_a_circle_all_are_named() -> None:
    assert len(culprits(wait(blocker(1, 2), blocker(2, 1)))) == 2


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (blocker(1, user="alice"), "pid 1 alice"),
        (blocker(1, application="autovacuum worker"), "pid 1 (autovacuum worker)"),
        (blocker(1, user="app", own_task="load"), "load of this run (pid 1)"),
        (
            blocker(0, state="prepared transaction", application="two-phase 17"),
            "a prepared transaction, 'two-phase 17'",
        ),
        (blocker(1, user="\x1b[2J[b]x"), "pid 1 �[2J[b]x"),
    ],
)
def test_who_it_is(known: ev.Blocker, words: str) -> None:
    assert who(known) == words


def drawn(found: ev.LockWaitChanged) -> list[str]:
    return [f"{branch.stem}{branch.blocker.pid}{' again' * branch.again}" for branch in tree(found)]


def test_the_tree_has_those_who_block_us_with_those_who_block_them() -> None:
    left, right, foot = blocker(1, 3), blocker(2, 3), blocker(3)
    assert drawn(wait(left, right, foot)) == ["├─ 1", "│  └─ 3", "└─ 2", "   └─ 3 again"]
    assert drawn(wait(blocker(1, 2), blocker(2, 1))) == ["├─ 1", "│  └─ 2", "│     └─ 1 again", "└─ 2 again"]
    assert drawn(wait(blocker(1, 99))) == ["└─ 1"], "we ourselves are not in it"


def test_a_task_waits_only_while_it_runs() -> None:
    view = fixtures.lock_wait()
    assert waiting(view.state) == ["backfill-customers"]
    story = fixtures.midway().at(14)
    story.add(ev.LockWaitChanged, task="backfill-customers", attempt=1, pid=9, blockers=(HOLDER,))
    ended = story.done("backfill-customers").view()
    assert waiting(ended.state) == []
    assert lock_wait(ended.state.tasks["backfill-customers"]) is None


@pytest.mark.parametrize(
    ("relation", "locks", "first"),
    [
        (
            "orders",
            ("shop.orders",),
            "backfill-orders",
        ),  # the newer wait, which others queue behind
        ("orders", (), "backfill-customers"),
        ("", ("shop.orders",), "backfill-customers"),  # of a concurrent build, for older transactions
    ],
)
def test_a_wait_that_others_queue_behind_comes_before_older_ones(
    relation: str, locks: tuple[str, ...], first: str
) -> None:
    view = fixtures.lock_wait()
    newer: dict[str, Any] = {"task": "backfill-orders", "relation": relation}
    seq = view.newest.seq + 1
    event = ev.LockWaitChanged(seq=seq, t=900.0, at=START, attempt=1, pid=9, blockers=(HOLDER,), **newer)
    view.fold([event])
    tasks = [
        each.model_copy(update={"locks": locks if each.id == "backfill-orders" else ()})
        for each in view.plan.tasks
    ]
    view.state.plan = view.plan.model_copy(update={"tasks": tuple(tasks)})
    assert waiting(view.state)[0] == first
    assert len(waiting(view.state)) == 2


# -- progress --------------------------------------------------------------------------------------


def test_progress_in_words() -> None:
    underway = Underway(progress_from=told(0.0, 0, 600_000), progress=told(50.0, 412_345, 600_000))
    assert progress_words(underway) == "412,345 of about 600,000 rows · 8,200/s · ~23s left"
    held = replace(underway, progress=told(50.0, 412_345, 600_000, held="replication lag 12s"))
    assert progress_words(held) == "412,345 of about 600,000 rows · 8,200/s · held: replication lag 12s"


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ((0.0, 0), (2.9, 900), ""),
        ((0.0, 0), (10.0, 0), ""),
        ((0.0, 0), (10.0, 5), "0.5/s · ~33m left"),
        ((0.0, 0), (10.0, 1000), "100/s"),
        ((0.0, 0, None), (10.0, 994, None), "99/s"),
        ((0.0, 0, 10**9), (10.0, 10**8, 10**9), "10,000,000/s · ~1m30s left"),
    ],
)
def test_a_rate_is_told_once_it_is_none_that_is_guessed(first: Any, last: Any, words: str) -> None:
    assert pace_words(Underway(progress_from=told(*first), progress=told(*last))) == words


def test_nothing_told_is_nothing_said() -> None:
    assert (progress_words(Underway()), rate(Underway())) == ("", None)


def test_plain_lines_tell_of_progress_in_tenths_or_every_half_minute() -> None:
    telling = Telling()
    steps = [told(float(t), t * 10) for t in range(101)]
    assert [event.done for event in steps if telling.worth(event)] == [100 * n for n in range(11)]
    slow = [told(float(t), 1000 + t, None, attempt=2) for t in range(100)]
    assert [event.t for event in slow if telling.worth(event)] == [0.0, 30.0, 60.0, 90.0]


def test_plain_lines_tell_when_a_task_is_held_back_and_goes_on() -> None:
    telling = Telling()
    steps = [told(0.0, 1), told(1.0, 2, held="lag"), told(2.0, 2, held="lag"), told(3.0, 3)]
    assert [event.t for event in steps if telling.worth(event)] == [0.0, 1.0, 3.0]


def test_inspect_tells_of_what_is_in_flight_and_of_nothing_else() -> None:
    view = fixtures.lock_wait()
    tasks = as_dict(view.newest, view.events)["tasks"]
    wait = tasks["backfill-customers"]["lock_wait"]
    assert (wait["relation"], wait["tries"]) == ("orders", 4)
    assert [(each["pid"], each["waits_for"]) for each in wait["blockers"]] == [(5230, (4711,)), (4711, ())]
    assert tasks["backfill-orders"]["progress"]["held"] == "replication lag 12s"
    assert not {"progress", "lock_wait"} & {*tasks["fill-orgs"]}
