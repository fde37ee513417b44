"""What is said about a checkpoint: what it holds, what a rollback to it does, and when the next is due."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from console.look import TRIGGER, one_line, plural, rounded
from console.panels.lane_words import percent
from console.recovery.foresight import Foretold
from console.run_view import RunView
from engine.machine.events import Trigger
from engine.machine.rollback import scope
from engine.machine.state import Checkpoint
from engine.machine.transitions import RunStatus
from engine.plan.durations import format_duration

_MOST = 60
"""More tasks than this are not all named."""
_HASH = 16
"""So many digits of a hash tell it from any other."""


class Fact(NamedTuple):
    """`colour` is a theme variable."""

    label: str
    text: str
    colour: str = "foreground"


def consequence_facts(view: RunView, checkpoint: Checkpoint, foretold: Foretold | None) -> list[Fact]:
    """What a rollback to `checkpoint` would do: as the engine works it out while the run is live, and
    otherwise what has been done since."""
    if view.read_only or view.state.finished:
        undo = scope(view.state, view.graph, checkpoint.position)
        if not undo.tasks and not undo.stay:
            return [Fact("done since", "nothing that is still done", "quiet")]
        return _told(Fact("done since", _counted(undo.tasks)), _no_rollback(undo.stay))
    if foretold is None:
        return [Fact("would undo", "is being worked out", "quiet")]
    found = foretold.found
    if found is None:
        return [Fact("would undo", f"could not be worked out ({one_line(foretold.fault)})", "status-failed")]
    if not found.possible:
        return [Fact("no rollback", one_line(found.why_not), "status-failed")]
    if not found.undone and not found.stays:
        return [Fact("would undo", "nothing: all that has succeeded is in it", "quiet")]
    busy = ", ".join(view.state.in_flight)
    left = format_duration(rounded(max(0.0, (found.finish_t or foretold.t) - foretold.t)))
    ends = found.run_ends.replace("_", " ")
    return _told(
        Fact("would undo", _counted(found.undone, between=" → "), "status-rolled-back"),
        _no_rollback(found.stays),
        Fact("in flight", f"{busy}: finished first" if busy else ""),
        Fact("and then", f"the run ends {ends}, in about {left}" if ends else ""),
    )


def _told(*facts: Fact) -> list[Fact]:
    return [fact for fact in facts if fact.text]


def _no_rollback(tasks: Sequence[str]) -> Fact:
    have = "has no rollback" if len(tasks) == 1 else "have no rollback"
    return Fact("would stay", f"{_counted(tasks)} ({have})" if tasks else "", "status-failed")


def content_facts(checkpoint: Checkpoint, content: dict[str, Any] | None, total: int) -> list[Fact]:
    """What `checkpoint` holds, as its file has it; its place alone until that is known."""
    digest = f", hash {checkpoint.position_hash[:_HASH]}…" if checkpoint.position_hash else ""
    stands = Fact("stands at", f"event {checkpoint.position}{digest}, {checkpoint.at:%Y-%m-%d %H:%M:%S} UTC")
    if content is None:
        return [Fact("completed", f"{checkpoint.completed} of {total} tasks"), stands]
    running = [f"{r['task']} (attempt {r['attempt']}, lane {r['lane'] + 1})" for r in content["running"]]
    outputs = [f"{task} {_values(values)}" for task, values in content["outputs"].items()]
    pools = [
        f"{use['in_use']} of {use['capacity']} {pool.replace(':', ' ')}"
        for pool, use in content["resources"].items()
        if use["in_use"]
    ]
    figures = content["metrics"]
    before = plural(figures["checkpoints"], "checkpoint")
    busy = percent(figures["utilisation"], 1)
    return _told(
        Fact("completed", _counted(content["completed"], f" of {total}") or f"none of {total}"),
        Fact("running", _counted(running) or "nothing"),
        Fact("frontier", _counted(content["frontier"]) or "empty"),
        Fact("outputs", ", ".join(outputs)),
        Fact("resources", f"{', '.join(pools)} in use" if pools else "nothing in use"),
        Fact(
            "figures",
            f"{format_duration(figures['makespan_s'])} into the run, {busy} busy, "
            f"{format_duration(figures['idle_s'])} idle, {before} before",
        ),
        stands,
    )


def _counted(names: Sequence[str], more: str = "", *, between: str = ", ") -> str:
    """How many, and which: the first ones, where they are very many."""
    rest = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return f"{len(names)}{more}: {between.join(names[:_MOST])}{rest}" if names else ""


def _values(values: object) -> str:
    if isinstance(values, dict):
        return one_line(" ".join(f"{key}={value}" for key, value in values.items()))
    return one_line(str(values))


def next_words(view: RunView) -> str:
    """Which checkpoint comes next, when, and why. The engine's own forecast says so; of a moment that is
    looked back at, the record does."""
    state = view.state
    if state.seq < view.newest.seq:
        follows = (c for c in view.newest.checkpoints.values() if c.seq > state.seq)
        then = next(follows, None)
        if then is None:
            return "no other one came after this moment"
        why = _why(then.trigger, then.note, view)
        return f"the next one came {format_duration(then.t - state.t)} later: {why}"
    if state.finished:
        kept = len(state.kept_checkpoints())
        return f"{plural(len(state.checkpoints), 'checkpoint')} saved, {kept} kept"
    if not state.started:
        return "none yet"
    if state.rollback or state.rollback_wanted:
        return "none while the run is rolled back"
    coming = view.outlook.checkpoints
    upcoming = next((each for each in coming if each.t > view.now_t), None)
    if upcoming is None and state.questions:
        return "the next one depends on the answer"
    if upcoming is None and view.outlook.finish_t is None:
        return "no other one can be foreseen" if view.read_only else "the next one is not known yet"
    if upcoming is None:
        return "none is due before the end"
    left = upcoming.t - view.now_t
    when = f"in about {format_duration(rounded(left))}" if left >= 1 else "now"
    goes_on = "" if state.status is RunStatus.RUNNING else "when the run goes on, "
    return f"next {goes_on}{when}: {_why(upcoming.trigger, upcoming.note, view)}"


def why_words(view: RunView, trigger: Trigger, note: str) -> str:
    """What brings a checkpoint of this kind about."""
    every = view.plan.checkpoints.every
    if trigger == "time" and every and not note:
        return f"every {format_duration(every)}"
    return one_line(note)


def _why(trigger: Trigger, note: str, view: RunView) -> str:
    mark = TRIGGER[trigger]
    return f"{mark.glyph} {why_words(view, trigger, note) or mark.word}"
