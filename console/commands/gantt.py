"""A small Gantt chart in text: one row a lane, bars to scale, barriers as lines through all of them."""

from rich.text import Text

from engine.forecast.compare import Bar, Forecast
from engine.plan.durations import format_duration

_LABEL = 8
"""Columns that the lane's name takes."""
_MOST_LANES = 12
_SHADES = ("on blue", "on dark_cyan")
"""Neighbouring bars alternate, so that one can be told from the next; the critical path has its own."""
_CRITICAL = "on dark_magenta"


def chart(forecast: Forecast, lanes: int, span_s: float, width: int, critical: frozenset[str]) -> list[Text]:
    """Lines of at most `width` columns in which `span_s` seconds take the whole width."""
    columns = max(width - _LABEL - 1, 10)
    scale = columns / span_s if span_s else 0.0
    barriers = {min(round(at * scale), columns - 1) for at in forecast.barriers}
    rows = [
        _row(lane, forecast, scale, columns, barriers, critical) for lane in range(min(lanes, _MOST_LANES))
    ]
    if lanes > _MOST_LANES:
        rows.append(Text(f"{'':{_LABEL}}… and {lanes - _MOST_LANES} more lanes", style="dim"))
    return [*rows, _axis(span_s, columns)]


def _row(
    lane: int, forecast: Forecast, scale: float, columns: int, barriers: set[int], critical: frozenset[str]
) -> Text:
    row = Text(f"lane {lane + 1:<{_LABEL - 5}}", style="dim")
    line = Text("".join("│" if at in barriers else "·" for at in range(columns)), style="dim")
    for number, bar in enumerate(bar for bar in forecast.bars if bar.lane == lane):
        style = _CRITICAL if bar.task in critical else _SHADES[number % 2]
        line = _with_bar(line, bar, scale, columns, style)
    return row + line


def _with_bar(line: Text, bar: Bar, scale: float, columns: int, style: str) -> Text:
    start = round(bar.start_s * scale)
    end = min(max(round(bar.end_s * scale), start + 1), columns)
    if start >= columns:
        return line
    room = end - start
    name = bar.task if len(bar.task) < room else bar.task[: max(room - 2, 0)] + "…" * (room > 2)
    return line[:start] + Text(f"{name:<{room}}"[:room], style=f"white {style}") + line[end:]


def _axis(span_s: float, columns: int) -> Text:
    start, middle, end = "0", format_duration(span_s / 2, days=False), format_duration(span_s, days=False)
    half = columns // 2
    left = f"{start:<{half - len(middle) // 2}}{middle}"
    return Text(f"{'':{_LABEL}}{left:<{columns - len(end)}}{end}", style="dim")
