"""The pictures in the README, made from a simulated run: `python docs/make_pictures.py [--size 120x36]`.

The run is the shop migration with trouble, in virtual time; the screens are the console's own, fed with its
events up to the moment that is shown. Writes SVG files into docs/pictures/.
"""

import argparse
import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from console.app import ConsoleApp
from console.run_view import RunView
from engine.forecast.faults import Fault, Faults
from engine.forecast.simulation import Simulation
from engine.machine.events import Event, QuestionOpened, TaskStarted
from engine.machine.reports import AnyReport
from engine.plan.load import load_plan

HERE = Path(__file__).parent
PLAN = HERE.parent / "sample_plans" / "shop" / "trouble.yaml"
OUTPUT = (
    "carrier list: opened, 412,004 bytes, dated last night",
    "  500 addresses compared, all known",
    "  carrier list: 398,112 bytes now; it was written to while being read",
    "  731 addresses compared, 212 of them unknown",
    "result thrown away: a list that changes proves nothing. The shop was only read.",
)
SETTLED_S = 2.0
"""Seconds until everything that is worked out beside the screen has come in."""
_WEB_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


class Still:
    """Controls of a run that stands still for its picture."""

    def __init__(self, t: float) -> None:
        self._t = t

    def report(self, report: AnyReport) -> None:
        raise AssertionError(f"nothing is decided in a picture: {report}")

    def now_t(self) -> float:
        return self._t

    def trouble(self) -> str:
        return ""


def recorded() -> tuple[RunView, list[Event]]:
    """An empty view of the run, and all of its events up to the question."""
    plan = load_plan(PLAN).plan
    fault = Fault(task="check-carrier", attempt=1, exit=1, output="\n".join(OUTPUT), reason=OUTPUT[-1])
    simulation = Simulation(plan, outcomes=Faults(faults=(fault,)).outcomes())
    simulation.run()
    return RunView(plan, output=lambda _task, _attempt: OUTPUT), simulation.events


async def take(
    name: str,
    size: tuple[int, int],
    events: Sequence[Event],
    after_s: float,
) -> None:
    """Show the run as it stands `after_s` seconds after the last of `events`, and save the screen."""
    view, _ = recorded()
    view.controls = Still(events[-1].t + after_s)
    view.fold(events)
    app = ConsoleApp(view, actor="operator", now=lambda: datetime(2026, 1, 1, 3, 0, tzinfo=UTC))
    async with app.run_test(size=size) as pilot:
        await pilot.pause(SETTLED_S)
        svg = app.export_screenshot(title="wesley-console", simplify=True)
    path = HERE / "pictures" / f"{name}.svg"
    path.write_text(_WEB_FONTS.sub("", svg))
    print(path.relative_to(HERE.parent))


async def main(size: tuple[int, int]) -> None:
    _, events = recorded()
    started = next(
        i for i, e in enumerate(events) if isinstance(e, TaskStarted) and e.task == "link-addresses"
    )
    asked = next(i for i, e in enumerate(events) if isinstance(e, QuestionOpened))
    await take("running", size, events[: started + 1], 1.2)
    await take("question", size, events[: asked + 1], 20.0)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--size", default="120x36", help="columns by lines")
    columns, lines = map(int, arguments.parse_args().size.split("x"))
    asyncio.run(main((columns, lines)))
