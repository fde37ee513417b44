"""The programs of the embedded server, from the optional extra, and who runs them.

Of the package only the programs are used. What it has for starting servers opens the folders above the data
to everybody where root runs it, creates a user, and after a `kill -9` never stops a server again.
"""

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.plan.targets import EMBEDDED_PACKAGE, NO_EMBEDDED

_INSTALLED = "pginstall18"


class CannotEmbed(Exception):
    """No embedded server can be had here; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who the server runs as: another `user` where root runs the engine, since PostgreSQL refuses root.
    `where` then names the data by the folder that a process was started in, for the user may not be allowed
    to pass through those above it."""

    user: pwd.struct_passwd | None

    def where(self, data: Path) -> str:
        return "/proc/self/cwd" if self.user else str(data)

    def give(self, folder: Path) -> None:
        if self.user:
            os.chown(folder, self.user.pw_uid, self.user.pw_gid)

    def process(self) -> dict[str, Any]:
        """How a program is started: as this user, and without what the environment says of other servers."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        options: dict[str, Any] = {"env": environ, "stdin": subprocess.DEVNULL}
        if self.user:
            options |= {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        return options


def server_account() -> Account:
    """Raises CannotEmbed."""
    if os.geteuid() != 0:
        return Account(None)
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return Account(pwd.getpwnam(name))
    raise CannotEmbed("PostgreSQL refuses root, and there is no user `postgres` or `nobody` to run it as")


def server_programs(account: Account) -> Path:
    """A folder with the server's programs that `account` can run. Raises CannotEmbed."""
    package = find_spec(EMBEDDED_PACKAGE)  # not imported: it would touch the machine
    if package is None or package.origin is None:
        raise CannotEmbed(NO_EMBEDDED)
    packages = Path(package.origin).parents[1]
    problem: Exception | None = None
    for find in (_installed, _copied) if account.user else (_installed,):
        try:
            programs = find(packages)
            command = [str(programs / "postgres"), "--version"]
            subprocess.run(command, check=True, capture_output=True, **account.process())
        except (OSError, subprocess.CalledProcessError) as error:
            problem = error
        else:
            return programs
    raise CannotEmbed(f"the embedded server's programs cannot be run: {problem}")


def _installed(packages: Path) -> Path:
    return packages / EMBEDDED_PACKAGE / _INSTALLED / "bin"


def _copied(packages: Path) -> Path:
    """A copy for a user who cannot reach what root has installed for itself. It is made once; whoever else
    might have made something of that name is not trusted."""
    stamp = f"{packages}-{(_installed(packages) / 'postgres').stat().st_mtime_ns}"
    place = Path(tempfile.gettempdir()) / f"wesley-postgres-{hashlib.sha256(stamp.encode()).hexdigest()[:16]}"
    if not place.exists():
        new = Path(tempfile.mkdtemp(prefix="wesley-postgres-"))
        for name in (f"{EMBEDDED_PACKAGE}/{_INSTALLED}", f"{EMBEDDED_PACKAGE}.libs"):
            shutil.copytree(packages / name, new / name, ignore=shutil.ignore_patterns("include"))
        for each in (new, *new.rglob("*")):
            each.chmod(each.stat().st_mode | (0o555 if each.is_dir() else 0o444))
        new.rename(place)
    if place.is_symlink() or place.stat().st_uid != 0:
        raise CannotEmbed(f"{place} is not root's own; remove it, or set another TMPDIR")
    return _installed(place)
