"""Where runs are looked for without being told, and what a person has to type to name one."""

import os
import shlex
from pathlib import Path

ENVIRONMENT = "WESLEY_CONSOLE_STATE"
"""The environment variable that names the state directory where no option does."""
RUNS = "runs"


def state_dir(option: str | Path | None) -> Path:
    """The state directory: `option` (--state-dir), else the environment, else the user's own; absolute."""
    given = option or os.environ.get(ENVIRONMENT)
    if given:
        return Path(given).absolute()
    from platformdirs import user_state_path  # late: most commands name their state directory

    return user_state_path("wesley-console")


def typed_name(path: Path) -> str:
    """What names the run kept at `path` on a command line: its id where runs are looked for without being
    told, else its directory."""
    found_by_id = path.absolute() == state_dir(None) / RUNS / path.name
    return path.name if found_by_id else shlex.quote(str(path))
