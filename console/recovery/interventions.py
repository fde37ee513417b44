"""What an operator can do about a wait for a lock, and what follows from it, in words. Pure."""

from typing import NamedTuple

from console.look import one_line
from console.recovery.heard import Asked
from console.recovery.words import Line
from console.underway import IN_TRANSACTION, PREPARED, aged, doing, who
from engine.machine import events as ev
from engine.machine.state import State
from engine.plan.durations import format_duration
from engine.plan.models import Task


class Offer(NamedTuple):
    """A choice: its key and title, what follows in a line, and with every fact before it is confirmed.
    `barred` says why it cannot be had, if so."""

    action: ev.Intervention
    key: str
    title: str
    row: str
    meaning: str = ""
    lines: tuple[Line, ...] = ()
    barred: str = ""


class Shown(NamedTuple):
    """What the operator has before them: `blocker`, as it was seen `since_s` seconds ago, keeps `task`
    waiting."""

    task: Task
    wait: ev.LockWaitChanged
    blocker: ev.Blocker
    since_s: float

    def is_still(self, now: "Shown") -> bool:
        """Whether `now` shows the same backend, in the same transaction, at the same."""
        before, after = self.blocker, now.blocker
        apart = (self.wait.t - before.age_s) - (now.wait.t - after.age_s)
        known = (before.started, before.state, before.query) == (after.started, after.state, after.query)
        return known and before.pid == after.pid and abs(apart) < _SAME_MOMENT_S


_SAME_MOMENT_S = 1.0
"""Ages are measured on two clocks: so far apart the beginnings of one transaction may seem."""


def offers(shown: Shown, state: State, asked: frozenset[Asked] = frozenset()) -> tuple[Offer, ...]:
    """`asked` is what was asked for already, and is not offered once more."""
    every = (_cancel_own(shown, state), _cancel_theirs(shown), _end_theirs(shown))
    return tuple(_unless_asked(offer, shown, asked) for offer in every)


def _unless_asked(offer: Offer, shown: Shown, asked: frozenset[Asked]) -> Offer:
    if offer.action == "cancel_own":
        ending = ("cancel_own", 0) in asked
        return offer._replace(barred="asked for already: it is being ended") if ending else offer
    if (offer.action, shown.blocker.pid) in asked:
        return offer._replace(barred="asked for already: no end of it was seen yet")
    return offer


def what_waiting_does(shown: Shown, waited_s: float, patience_s: float, *, ending: bool) -> str:
    """What comes of the attempt if nobody does anything, in a row: it has waited for `waited_s` without a
    break, and goes on for `patience_s` in all at most. `ending`: an operator has it ended."""
    action = shown.task.rollback if shown.wait.purpose == "rollback" else shown.task.run
    if ending:
        return "clears away what it left, once it gets the lock"
    if not shown.wait.relation or (action and "CONCURRENTLY" in action.text.upper()):
        return "it goes on waiting, however long that takes"
    left = patience_s - waited_s
    when = f"within {aged(left)}" if left >= 1 else "any moment"
    return f"tries on; gives up {when} (lock_patience {format_duration(patience_s)})"


def _cancel_own(shown: Shown, state: State) -> Offer:
    wait = shown.wait
    row, stays = _what_stays(shown, state)
    what = f"attempt {wait.attempt} at {_of(wait)}"
    return Offer(
        "cancel_own",
        "c",
        "cancel ours",
        f"{row}; a question opens",
        f"End {what}. Those who block it are left alone.",
        (
            Line("What stays", (stays,)),
            Line("Then", ("a question opens: run it again, skip it, roll back, or abort",)),
        ),
    )


def _what_stays(shown: Shown, state: State) -> tuple[str, str]:
    """What of the attempt stays if it is ended, in brief and in full."""
    task = shown.task
    part_stays = "the attempt ends, a part stays"
    if task.run.kind == "backfill":
        return part_stays, "the batches that are done; another attempt goes on behind them"
    intent = state.tasks[task.id].underway.intent
    done = 0 if intent is None else intent.part if intent.xid else intent.part - 1
    if intent and done:
        parts = f"part 1 of {intent.parts}" if done == 1 else f"parts 1 to {done} of {intent.parts}"
        return part_stays, f"{parts}, committed already; another attempt goes on behind it"
    if not shown.wait.relation or (intent and not intent.xid):
        # In no transaction, so nothing is rolled back: an index that is half built has to be dropped.
        left = "nothing, or what is half done, such as an invalid index: it is dropped as soon as its table"
        return "it ends, and is cleared away", f"{left} is free, and named in the question if that takes long"
    return "the attempt ends, leaves nothing", "nothing: what it has begun is rolled back"


def _cancel_theirs(shown: Shown) -> Offer:
    blocker = shown.blocker
    return Offer(
        "cancel_backend",
        "s",
        "cancel theirs",
        "its statement ends; its client gets an error",
        f"Cancel the statement that {who(blocker)} runs.",
        (
            Line("They lose", ("the statement, and all of the transaction that it is in",)),
            Line("They see", ("the error “canceling statement due to user request”; the connection stays",)),
            _then(shown),
            *_mind(shown),
            *_about(shown),
        ),
        _barred(blocker) or _nothing_runs(blocker),
    )


def _end_theirs(shown: Shown) -> Offer:
    blocker = shown.blocker
    age = aged(blocker.age_s + shown.since_s)
    return Offer(
        "terminate_backend",
        "t",
        "terminate theirs",
        "its connection ends; its open transaction is lost",
        f"End the connection of {who(blocker)}.",
        (
            Line("They lose", (f"everything of their open transaction, {age} old",), "error"),
            Line("They see", ("an error as soon as they use the connection again",)),
            _then(shown),
            *_mind(shown),
            *_about(shown),
        ),
        _barred(blocker),
    )


def _barred(blocker: ev.Blocker) -> str:
    """Why nothing can be done to it from here."""
    if blocker.own_task:
        return f"it is {blocker.own_task} of this run"
    if blocker.state == PREPARED:
        return f"it has no connection: COMMIT or ROLLBACK PREPARED {one_line(blocker.application)!r} ends it"
    if not blocker.started:
        return "this role may not see enough of it (pg_read_all_stats)"
    return ""


def _nothing_runs(blocker: ev.Blocker) -> str:
    if blocker.state.startswith(IN_TRANSACTION):
        return "no statement runs; t ends its connection"
    return "" if blocker.state == "active" else "no statement runs"


def _about(shown: Shown) -> tuple[Line, ...]:
    blocker, since_s = shown.blocker, shown.since_s
    age = aged(blocker.age_s + since_s)
    query = one_line(blocker.query)
    ran = "It runs" if blocker.state == "active" else "It last ran"
    return (
        Line("It is", (f"{doing(blocker, since_s)}, its transaction open for {age}",)),
        *([Line(ran, (query,))] if query else []),
    )


def _then(shown: Shown) -> Line:
    others = [each for each in shown.wait.blockers if each.pid != shown.blocker.pid]
    when = " when the others have gone, too" if others else ""
    return Line("Then", (f"its locks are let go, and {_of(shown.wait)} goes on{when}",))


def _mind(shown: Shown) -> tuple[Line, ...]:
    """What speaks against it."""
    blocker = shown.blocker
    before = [pid for pid in blocker.waits_for if pid in {each.pid for each in shown.wait.blockers}]
    if before:
        said = f"it waits itself, for pid {before[0]}: with that one gone it may end by itself"
        return (Line("Mind", (said,), "warning"),)
    if blocker.application.startswith("autovacuum"):
        said = "autovacuum begins again later; while it prevents a wraparound it should be left alone"
        return (Line("Mind", (said,), "warning"),)
    return ()


def _of(wait: ev.LockWaitChanged) -> str:
    return f"the rollback of {wait.task}" if wait.purpose == "rollback" else wait.task
