"""`forecast`: both models side by side, with a small Gantt chart of each."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from console.commands.gantt import chart
from console.commands.options import planned
from console.exits import Exit
from engine.forecast.compare import Comparison, Forecast, compare
from engine.forecast.published import Figures, Published, published_beside
from engine.plan.durations import format_duration

if TYPE_CHECKING:
    from console.cli import PlanFlags

hours = partial(format_duration, days=False)

Row = tuple[str, Callable[[Forecast], str], Callable[[Figures], str]]

_ROWS: tuple[Row, ...] = (
    ("makespan", lambda f: hours(f.makespan_s), lambda p: hours(p.makespan)),
    ("utilisation", lambda f: f"{f.utilisation:.0%}", lambda p: f"{p.utilisation:.0%}"),
    ("idle lane time", lambda f: hours(f.idle_s), lambda p: hours(p.idle)),
    ("checkpoints", lambda f: str(f.checkpoints), lambda p: str(p.checkpoints)),
)


def forecast_plan(path: Path, flags: "PlanFlags", *, as_json: bool) -> Exit:
    loaded, plan = planned(path, flags)
    comparison = compare(plan)
    published = published_beside(loaded.path)
    if as_json:
        print(json.dumps(_as_dict(comparison, published), indent=2))
    else:
        console = Console(highlight=False)
        console.print(_report(comparison, published, console.width))
    return Exit.OK


def _as_dict(comparison: Comparison, published: Published | None) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(comparison)
    found["bound_s"] = comparison.bound_s
    found["published"] = _published_as_dict(published) if published else None
    return found


def _models(published: Published | None) -> list[tuple[str, Figures]]:
    """The published models, by the names that the report gives them."""
    if published is None:
        return []
    both = (("rolling", published.rolling), ("waves", published.wave))
    return [(name, figures) for name, figures in both if figures]


def _published_as_dict(published: Published) -> dict[str, Any]:
    """In the names and units of the computed figures."""
    models = {
        "wave" if name == "waves" else name: {
            "makespan_s": figures.makespan,
            "utilisation": figures.utilisation,
            "idle_s": figures.idle,
            "checkpoints": figures.checkpoints,
            "recovery_s": figures.recovery,
        }
        for name, figures in _models(published)
    }
    return {"source": published.source, **models}


def _report(comparison: Comparison, published: Published | None, width: int) -> RenderableType:
    plan = comparison
    head = Text(f"{plan.plan}: {plan.tasks} tasks, {plan.lanes} lanes, policy {plan.policy}", style="bold")
    return Group(
        head,
        Text(),
        _table(comparison, published),
        Text(),
        *_bounds(comparison, published),
        *(
            part
            for forecast in (plan.rolling, plan.wave)
            for part in (Text(), *_gantt(plan, forecast, width))
        ),
    )


def _table(comparison: Comparison, published: Published | None) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("")
    models = _models(published)
    for name in ("rolling", "waves", *(f"{name}, published" for name, _ in models)):
        table.add_column(name, justify="right", no_wrap=True)
    for name, computed, given in _ROWS:
        beside = (given(figures) for _, figures in models)
        table.add_row(name, computed(comparison.rolling), computed(comparison.wave), *beside)
    return table


def _bounds(comparison: Comparison, published: Published | None) -> list[Text]:
    path = comparison.critical_path
    shown = " → ".join(path if len(path) <= 8 else (*path[:4], "…", *path[-3:]))
    lines = [
        Text(
            f"No schedule is shorter than {hours(comparison.bound_s)}: the work on "
            f"{comparison.lanes} lanes takes {hours(comparison.work_bound_s)}, the critical path "
            f"{hours(comparison.critical_path_s)}."
        ),
        Text(f"Critical path: {shown}"),
    ]
    if comparison.assumed:
        number = len(comparison.assumed)
        noun = "1 task gives" if number == 1 else f"{number} tasks give"
        lines.append(Text(f"{noun} no duration and counted as 1s: {', '.join(comparison.assumed[:6])}"))
    if published:
        lines.append(Text(f"Published figures: {published.source}."))
        for name, figures in _models(published):
            if figures.makespan < comparison.bound_s:
                lines.append(
                    Text(
                        f"The {hours(figures.makespan)} published for {name} lie below that bound: "
                        "with these durations they cannot be reached.",
                        style="yellow",
                    )
                )
    return lines


def _gantt(comparison: Comparison, forecast: Forecast, width: int) -> list[Text]:
    longest = max(comparison.wave.makespan_s, comparison.rolling.makespan_s)
    title = "rolling frontier" if forecast.model == "rolling" else "waves"
    return [
        Text(),
        Text(f"{title}, {hours(forecast.makespan_s)}", style="bold"),
        *chart(forecast, comparison.lanes, longest, min(width, 120), frozenset(comparison.critical_path)),
    ]
