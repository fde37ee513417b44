"""The screen before a run: what will happen, and nothing has happened yet."""

import os
from collections.abc import Iterable, Sequence
from typing import ClassVar

import anyio.to_thread
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Grid, Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer, Static

from console.actions import bindings
from console.look import one_line, plural
from console.radar import Summary, summarise
from console.radar import facts as radar_facts
from console.review import (
    ReviewFacts,
    bounds,
    checkpoint_rules,
    critical,
    groups,
    irreversible,
    retry_rules,
    risky,
    target_text,
)
from console.run_view import RunView
from engine.plan.durations import format_duration
from engine.plan.models import Task
from engine.plan.sql.scripts import scripts

SHOWN = 12
"""So many tasks of a kind are listed; the rest is counted."""
ON_UNKNOWN = {
    "ask": "the run pauses and asks you",
    "retry": "tried again while the plan has retries left, then the run is aborted",
    "skip": "the task is skipped",
    "rollback": "the run is rolled back",
    "abort": "the run is aborted",
}


class ReviewScreen(Screen[bool]):
    """Dismissed with True when the operator starts the run. Only the start key does that: Enter scrolls
    or does nothing, so that no key meant for something else starts a migration."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("review")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012

    def __init__(self, view: RunView, facts: ReviewFacts) -> None:
        super().__init__()
        self.view = view
        self.facts = facts
        known = facts.forecast
        self.forecast_s = known if isinstance(known, int | float) else None
        self.scripts = [] if facts.simulated else scripts(view.plan)
        self.locks: Summary | None = summarise(self.scripts) if self.scripts else None

    def compose(self) -> ComposeResult:
        yield Static(self._heading(), id="review-heading")
        with VerticalScroll(id="review-body"), Horizontal(id="review-columns"):
            with Vertical(id="review-left"):
                yield from _facts("What will happen", self._what_will_happen())
                yield from _facts("On", self._targets())
                order = "In this order" if self.view.plan.model == "wave" else "Parts"
                yield from _facts(order, self._parts())
            with Vertical(id="review-right"):
                yield from self._what_to_watch()
        yield Static(self._prompt(), id="review-prompt")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one("#review-body").focus()
        if callable(self.facts.forecast):
            work_out = self._work_out_forecast  # not before the screen is there: it takes time from that
            self.call_after_refresh(lambda: self.run_worker(work_out(), exit_on_error=False))

    async def _work_out_forecast(self) -> None:
        assert callable(self.facts.forecast)
        self.forecast_s = await anyio.to_thread.run_sync(self.facts.forecast, abandon_on_cancel=True)
        self.query_one("#length", Static).update(self._length())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.locks is not None if action == "locks" else super().check_action(action, parameters)

    def action_locks(self) -> None:
        from console.screens.radar import RadarScreen

        self.app.push_screen(RadarScreen(self.view, self.scripts))

    def action_start(self) -> None:
        self.dismiss(True)

    # -- what it says ------------------------------------------------------------------------------

    def _heading(self) -> Content:
        plan = self.view.plan
        where = f"  {one_line(self.facts.plan_file)}" if self.facts.plan_file else ""
        final, risks = len(irreversible(plan)), len(risky(plan))
        blocking = self.locks.strong if self.locks else 0
        counted = [
            (plural(len(plan.tasks), "task"), "bold"),
            (f"{final} cannot be undone" if final else "", "$error"),
            (f"{risks} risky" if risks else "", "$warning"),
            (plural(blocking, "blocking statement") if blocking else "", "$warning"),
            ("simulated" if self.facts.simulated else "", "$accent"),
        ]
        title = Content.assemble((one_line(plan.name), "bold $primary"), (where, "$quiet"))
        summary = Content("  ·  ").join([Content.styled(text, style) for text, style in counted if text])
        return Content("\n").join([title, summary])

    def _prompt(self) -> Content:
        leave = "esc or q leaves: nothing has been started"
        return Content.assemble(("s", "bold $accent"), (" starts the run", "bold"), (f"   {leave}", "$quiet"))

    def _what_will_happen(self) -> list[tuple[str, str]]:
        plan, facts = self.view.plan, self.facts
        model = "in waves, with a barrier after each" if plan.model == "wave" else "on a rolling frontier"
        simulated = "every task only takes its time; nothing is changed"
        if facts.speed != 1.0:
            simulated = f"{simulated}; {facts.speed:g} times as fast as real"
        return [
            ("simulated", simulated if facts.simulated else ""),
            ("tasks", f"{len(plan.tasks)}, {model}"),
            ("lanes", f"{plan.workers}, in order of {plan.policy}"),
            ("length", self._length()),
            ("pools", ", ".join(f"{name} {units}" for name, units in plan.resources.items())),
            ("checkpoints", checkpoint_rules(plan)),
            ("retries", retry_rules(plan)),
            ("unknown", f"{ON_UNKNOWN[facts.on_unknown]} when nobody can tell why a task failed"),
            ("run", facts.run),
            ("kept in", one_line(facts.folder)),
        ]

    def _targets(self) -> list[tuple[str, str]]:
        targets = self.view.plan.targets.items()
        return [(one_line(name), target_text(target, os.environ)) for name, target in targets]

    def _parts(self) -> list[tuple[str, str]]:
        return [
            (group.name, f"{plural(group.tasks, 'task'):<9} {format_duration(group.work_s)} of work")
            for group in groups(self.view.plan)
        ]

    def _length(self) -> str:
        least = format_duration(bounds(self.view.graph, self.view.plan.workers))
        if self.forecast_s is not None:
            return f"about {format_duration(self.forecast_s)} (at the least {least})"
        return f"at the least {least}" + ("; working out a forecast …" if self.facts.forecast else "")

    def _what_to_watch(self) -> Iterable[Widget]:
        plan = self.view.plan
        final, risks, vital = irreversible(plan), risky(plan), critical(plan)
        if final:
            yield _tasks("Cannot be undone", "they have no rollback", final, "■", "error")
        else:
            yield Static(Content.styled("Every task can be undone", "bold $success"), classes="section")
        if risks:
            yield _tasks("Risky", "a checkpoint is taken before each", risks, "▲", "warning")
        if self.locks:
            rows = [*radar_facts(self.locks), ("all of it", "l shows every statement")]
            yield from _facts("On PostgreSQL, while it runs", rows)
        if vital:
            yield _tasks("Critical", "a permanent failure rolls the run back", vital, "!", "critical")


def _facts(title: str, rows: Iterable[tuple[str, str]]) -> Iterable[Widget]:
    """A title, and a grid of labels and texts; rows without a text are left out."""
    known = [(label, text) for label, text in rows if text]
    if known:
        yield Static(title, classes="section-title", markup=False)
        with Grid(classes="facts"):
            for label, text in known:
                yield Static(label, classes="label", markup=False)
                yield Static(text, markup=False, id="length" if label == "length" else None)


def _tasks(title: str, meaning: str, tasks: Sequence[Task], glyph: str, colour: str) -> Static:
    lines = [Content.assemble((f"{title}: {len(tasks)}", "bold $primary"), (f"  {meaning}", "$quiet"))]
    for task in tasks[:SHOWN]:
        lines.append(
            Content.assemble(
                (f"  {glyph} ", f"${colour}"),
                (task.id, "bold"),
                (f"  risk {task.risk:g}" if task.risk else "", f"${colour}"),
                (f"  {one_line(task.name)}" if task.name else "", "$quiet"),
            )
        )
    if len(tasks) > SHOWN:
        lines.append(Content.styled(f"    and {len(tasks) - SHOWN} more", "$quiet"))
    return Static(Content("\n").join(lines), classes="section task-list")
