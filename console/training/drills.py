"""Drills: a plan, what goes wrong with it, and what a good operator makes of that. For `train`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

import sample_plans
from engine.forecast.faults import Faults, load_faults
from engine.plan.errors import Finding, Place, PlanErrors, nearest, quote
from engine.plan.load import LoadedPlan, load_plan
from engine.plan.models import Model, Name, Number, Strict, Text, Title
from engine.plan.validation import read_as

DRILLS = Path(sample_plans.__file__).parent / "drills"
FILE_NAME = "drill.yaml"


class Drill(Strict):
    """What `drill.yaml` says. `plan` and `faults` are files in its folder; `speed` is how many seconds of the
    run's clock pass in one. The lesson is shown at the end.

    `dies_in`: tasks that are all under way when an engine dies, before the drill: it begins with taking their
    run up again."""

    title: Title
    briefing: Text
    plan: Text
    faults: Text
    model: Model = "rolling"
    speed: Annotated[Number, Field(gt=0)] = 1.0
    seed: int = 0
    dies_in: tuple[Name, ...] = Field((), strict=False)
    lesson: Text


@dataclass(frozen=True, slots=True)
class LoadedDrill:
    """A drill that can be run: `plan` already has the drill's execution model."""

    name: str
    drill: Drill
    plan: LoadedPlan
    faults: Faults


def drill_titles(folder: Path = DRILLS) -> dict[str, str]:
    """The titles of the drills in `folder`, by name, in order of their names."""
    return {name: read_as(path, Drill).title for name, path in _files(folder).items()}


def load_drill(name: str, folder: Path = DRILLS) -> LoadedDrill:
    """The drill called `name`, with its plan and faults; raises PlanErrors with what is wrong."""
    files = _files(folder)
    if name not in files:
        raise PlanErrors(
            [Finding(f"there is no drill {quote(name)}", Place(str(folder)), nearest(name, files))]
        )
    path = files[name]
    drill = read_as(path, Drill)
    loaded = load_plan(path.parent / drill.plan)
    tasks = [task.id for task in loaded.plan.tasks]
    missing = [task for task in drill.dies_in if task not in tasks]
    if missing:
        where = Place(str(path))
        raise PlanErrors(
            [
                Finding(f"dies_in: the plan has no task {quote(task)}", where, nearest(task, tasks))
                for task in missing
            ]
        )
    faults = load_faults(path.parent / drill.faults, loaded.plan)
    plan = replace(loaded, plan=loaded.plan.model_copy(update={"model": drill.model}))
    return LoadedDrill(name, drill, plan, faults)


def _files(folder: Path) -> dict[str, Path]:
    return {path.parent.name: path for path in sorted(folder.glob(f"*/{FILE_NAME}"))}
