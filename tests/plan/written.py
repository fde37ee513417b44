"""Plans as text, with the places of the errors to expect marked in them."""

from pathlib import Path

from engine.plan.errors import PlanErrors
from engine.plan.load import LoadedPlan, load_plan

HEAD = "wesley: 1\nname: test\n"
"""What every plan begins with; two lines."""


def unmark(text: str) -> tuple[str, list[tuple[int, int]]]:
    """`text` without its marks `§`, and the line and column of each, from 1."""
    places: list[tuple[int, int]] = []
    lines = text.split("\n")
    for number, line in enumerate(lines):
        while "§" in line:
            places.append((number + 1, line.index("§") + 1))
            line = line.replace("§", "", 1)
        lines[number] = line
    return "\n".join(lines), places


def load_text(folder: Path, text: str, *, allow_outside: bool = False) -> LoadedPlan:
    path = folder / "shop.yaml"
    path.write_text(text, encoding="utf-8")
    return load_plan(path, allow_outside=allow_outside)


def errors_of(folder: Path, text: str) -> PlanErrors:
    """The errors of a plan that must have some."""
    try:
        load_text(folder, text)
    except PlanErrors as errors:
        return errors
    raise AssertionError("the plan was taken")
