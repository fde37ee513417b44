"""`samples`: the sample plans that come with the program, copied out so that they can be run."""

import os
import shutil
from importlib.resources import as_file, files
from pathlib import Path

from console.exits import Exit, UsageError
from engine.plan.errors import nearest

_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.db", "*.db-*", "*.attempts")


def copy_sample(name: str | None, folder: Path | None) -> Exit:
    with as_file(files("sample_plans")) as root:
        known = sorted(each.name for each in root.iterdir() if each.is_dir() and any(each.glob("*.yaml")))
        if name is None:
            for each in known:
                plans = ", ".join(sorted(plan.name for plan in (root / each).glob("*.yaml")))
                print(f"{each}: {plans}")
            return Exit.OK
        if name not in known:
            near = nearest(name, known)
            raise UsageError(f"there is no sample plan {name}" + (f": {near}" if near else ""))
        target = folder or Path(name)
        if os.path.lexists(target):
            raise UsageError(f"{target} exists already: name another folder, or remove it")
        try:
            shutil.copytree(root / name, target, ignore=_LEFT_OUT)
        except OSError as error:
            shutil.rmtree(target, ignore_errors=True)
            why = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror
            raise UsageError(f"{target} cannot be written: {why}") from error
    print(f"copied to {target}; open one with: wesley-console {target / 'plan.yaml'}")
    return Exit.OK
