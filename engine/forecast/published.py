"""Published figures about a plan, to stand beside computed ones: `published.yaml` in the plan's folder."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from engine.plan.models import Duration, Number, Strict, Title
from engine.plan.validation import read_as

FILE_NAME = "published.yaml"


class Figures(Strict):
    """What is said of one execution model. Times in seconds; `utilisation` is a share from 0 to 1."""

    makespan: Duration
    utilisation: Annotated[Number, Field(ge=0, le=1)]
    idle: Duration
    checkpoints: Annotated[int, Field(ge=0)]
    recovery: Duration


class Published(Strict):
    """Figures from `source`, for either model or both."""

    source: Title
    wave: Figures | None = None
    rolling: Figures | None = None


def published_beside(plan: Path) -> Published | None:
    """What was published about the plan in the file `plan`, or None; raises PlanErrors."""
    path = plan.parent / FILE_NAME
    return read_as(path, Published) if path.exists() else None
