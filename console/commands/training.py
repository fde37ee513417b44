"""`train`: drills, on the console's own screens, with a report at the end."""

import sys
from typing import TYPE_CHECKING

from console.commands.options import actor, require_terminal, runs_dir, speed_of
from console.exits import Exit
from console.training.drills import LoadedDrill, drill_titles

if TYPE_CHECKING:
    from console.cli import Where


def train_on(name: str | None, speed: str | None, where: "Where") -> Exit:
    if name is None and not sys.stdout.isatty():
        for known, title in drill_titles().items():
            print(f"{known}: {title}")
        return Exit.OK
    require_terminal("run a drill's plan.yaml with --simulate and --faults")
    from console.screens.training import choose_drill
    from console.settings.preferences import load_preferences

    drill = choose_drill(name or "", load_preferences().theme)
    return _start(drill, speed, where) if drill else Exit.OK


def _start(drill: LoadedDrill, speed: str | None, where: "Where") -> Exit:
    from console.live import show_drill
    from engine.runner.opening import Options

    options = Options(
        actor=actor(),
        simulate=True,
        speed=speed_of(speed) if speed else drill.drill.speed,
        seed=drill.drill.seed,
        faults=drill.faults,
    )
    return show_drill(drill, runs_dir(where), options)
