"""Whether a resource that was lacking is back: as far as it can be seen from here."""

import shutil
from pathlib import Path

import psutil

ENOUGH_BYTES = 64 * 1024 * 1024
"""Free disk space or memory from which trying again makes sense."""


def probe_resource(resource: str, folder: Path) -> tuple[bool, str]:
    """Whether `resource` is there again, and what was seen. `folder` is where disk space is needed; what is
    seen does not name it, since a target's may come from the environment."""
    if resource == "disk":
        try:
            return _enough(shutil.disk_usage(folder).free, "free on the disk")
        except OSError as error:
            return False, f"the disk cannot be looked at: {error.strerror}"
    if resource == "memory":
        return _enough(psutil.virtual_memory().available, "memory available")
    return True, "cannot be seen from here: trying again is the only test"


def _enough(found: int, what: str) -> tuple[bool, str]:
    return found >= ENOUGH_BYTES, f"{found // 2**20:,} MiB {what}; {ENOUGH_BYTES // 2**20} MiB are needed"
