"""Where runs live: the state directory, the directory of one run, and finding a run by what was typed."""

import os
import re
import secrets
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from engine.journal.errors import AmbiguousRun, NoSuchRun, RunExists, StateDirUnusable, UnsafeRunId
from engine.journal.naming import RUNS

_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_GENERATED_ID = re.compile(r"(\d{8}-\d{6})-")
_TIMESTAMP = "%Y%m%d-%H%M%S"
_SUFFIX_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that reads like something else
_SLUG_LENGTH = 40


@dataclass(frozen=True, slots=True)
class RunDir:
    """The path layout of one run. The directory's name is the run's id, unless it was copied elsewhere."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def journal(self) -> Path:
        """The event journal, a SQLite database in WAL mode."""
        return self.path / "journal.db"

    @property
    def wal(self) -> Path:
        return self.path / "journal.db-wal"

    @property
    def head(self) -> Path:
        """The witness beside the journal: the last acknowledged event (see `witness`)."""
        return self.path / "journal.head"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def output(self) -> Path:
        """What tasks print, a file an attempt; files in here come and go without harm to the run."""
        return self.path / "output"

    @property
    def lock(self) -> Path:
        return self.path / "owner.lock"


def fsync_dir(path: Path) -> None:
    """Make the names in directory `path` durable. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def new_run_id(plan_name: str, now: datetime) -> str:
    """An id that reads, sorts by its time (UTC) and is new: `20261122-064413-tenant-isolation-x7k2`."""
    ascii_name = unicodedata.normalize("NFKD", plan_name).encode("ascii", "ignore").decode("ascii")
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_name.lower())[:_SLUG_LENGTH].strip("-") or "run"
    suffix = "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(4))
    return f"{now.astimezone(UTC).strftime(_TIMESTAMP)}-{slug}-{suffix}"


def run_dir(state: Path, run_id: str) -> RunDir:
    """Where the run `run_id` is, or will be."""
    return RunDir(_runs(state) / run_id)


def create_run_dir(state: Path, run_id: str, *, again: bool = False) -> RunDir:
    """Make the directory of a new run, durably and for its user alone.

    With `again` one that is there is completed: for a run that was cut off before it began.
    Raises UnsafeRunId, RunExists or StateDirUnusable.
    """
    if not _SAFE_ID.fullmatch(run_id):
        raise UnsafeRunId(run_id)
    rundir = run_dir(state, run_id)
    try:
        _make_parents(rundir.path.parent)
        for folder in (rundir.path, rundir.checkpoints, rundir.output):
            folder.mkdir(mode=0o700, exist_ok=again)
        fsync_dir(rundir.path)
        fsync_dir(rundir.path.parent)
    except FileExistsError as error:
        if rundir.path.exists():
            raise RunExists(run_id, rundir.path) from error
        raise StateDirUnusable(state, error) from error
    except OSError as error:
        raise StateDirUnusable(state, error) from error
    return rundir


@contextmanager
def assembled_run_dir(state: Path, run_id: str) -> Iterator[RunDir]:
    """A directory in which a new run is put together, under a name that is no run's. At the end of the block
    it becomes the run's, all at once; where the block raises, nothing is left of it.

    Raises UnsafeRunId, RunExists or StateDirUnusable.
    """
    if not _SAFE_ID.fullmatch(run_id):
        raise UnsafeRunId(run_id)
    final = run_dir(state, run_id).path
    if final.exists():
        raise RunExists(run_id, final)
    draft: RunDir | None = None
    try:
        _make_parents(final.parent)
        draft = RunDir(Path(tempfile.mkdtemp(prefix=f".{run_id}.", dir=final.parent)))
        draft.checkpoints.mkdir(mode=0o700)
        draft.output.mkdir(mode=0o700)
        yield draft
        fsync_dir(draft.checkpoints)
        fsync_dir(draft.path)
        draft.path.rename(final)
        fsync_dir(final.parent)
    except OSError as error:
        raise StateDirUnusable(final, error) from error
    finally:
        if draft:
            shutil.rmtree(draft.path, ignore_errors=True)


def list_runs(state: Path) -> list[RunDir]:
    """Every run in the state directory, the newest first; none where there is no such directory."""
    try:
        with os.scandir(_runs(state)) as entries:
            found = [
                (_age_key(entry), entry.name)
                for entry in entries
                if entry.is_dir() and _SAFE_ID.fullmatch(entry.name)
            ]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StateDirUnusable(state, error) from error
    return [RunDir(_runs(state) / name) for _, name in sorted(found, reverse=True)]


def find_run(state: Path, wanted: str) -> RunDir:
    """The run that `wanted` names: an id, the unique beginning of an id, or a directory, in that order.

    Raises NoSuchRun (with near ids), AmbiguousRun or StateDirUnusable.
    """
    runs = {run.id: run for run in list_runs(state)}
    if wanted in runs:
        return runs[wanted]
    matches = [run_id for run_id in runs if wanted and run_id.startswith(wanted)]
    if len(matches) == 1:
        return runs[matches[0]]
    directory = RunDir(Path(wanted).absolute())
    if wanted and any(os.path.exists(path) for path in (directory.journal, directory.lock)):
        return directory
    if matches:
        raise AmbiguousRun(wanted, state, matches)
    raise NoSuchRun(wanted, state, _near(wanted, list(runs)))


def _runs(state: Path) -> Path:
    return state / RUNS


def _make_parents(path: Path) -> None:
    """Make `path` and what is missing above it, each name durable before anything is put into it."""
    if not path.is_dir():
        _make_parents(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        fsync_dir(path.parent)


def _age_key(entry: os.DirEntry[str]) -> str:
    if generated := _GENERATED_ID.match(entry.name):
        return generated[1]
    # An id that was given by hand says nothing of its age; its directory changes rarely after the start.
    try:
        changed = entry.stat().st_mtime
    except FileNotFoundError:  # removed while we looked
        changed = 0.0
    return datetime.fromtimestamp(changed, UTC).strftime(_TIMESTAMP)


def _near(wanted: str, ids: list[str]) -> list[str]:
    from rapidfuzz import fuzz, process  # late: only a mistake needs it

    return [
        match for match, _, _ in process.extract(wanted, ids, scorer=fuzz.WRatio, limit=3, score_cutoff=60)
    ]
