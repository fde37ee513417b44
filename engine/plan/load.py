"""From a file to a checked plan: all errors at once, each with its place."""

import gc
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from engine.plan.advice import advise
from engine.plan.checks import check_document
from engine.plan.errors import Finding, Place, PlanErrors
from engine.plan.models import Plan
from engine.plan.notes import Notes
from engine.plan.source import read_yaml
from engine.plan.sql.checking import check_sql, warn_of_sql
from engine.plan.sql.derive import derived
from engine.plan.sql_files import inline_sql_files
from engine.plan.targets import (
    ResolvedTargets,
    check_paths,
    expand_targets,
    missing_variables,
    unfit_servers,
    written_passwords,
)
from engine.plan.validation import validate


@dataclass(frozen=True, slots=True)
class LoadedPlan:
    """A checked plan and where it came from, with the locks that its SQL implies.

    `base` is its folder, absolute; every `sql_file` has become `sql`. `secrets` are the passwords that the
    plan itself holds, each with what to show in its place; `target_places` says where each target stands.
    """

    plan: Plan
    path: Path
    base: Path
    text: str = field(repr=False)
    warnings: tuple[Finding, ...]
    secrets: Mapping[str, str] = field(repr=False)
    target_places: Mapping[str, Place] = field(repr=False)

    def missing_variables(self, environ: Mapping[str, str]) -> tuple[Finding, ...]:
        """A warning for each target for which a run would lack a variable of the environment."""
        return missing_variables(self.plan, environ, self.target_places)

    def unfit_servers(self, environ: Mapping[str, str]) -> tuple[Finding, ...]:
        """A warning for each PostgreSQL target that a run would refuse without even connecting."""
        return unfit_servers(self.plan, environ, self.target_places)

    def expand_targets(self, environ: Mapping[str, str], *, allow_outside: bool = False) -> ResolvedTargets:
        """The targets for a run that starts now; raises PlanErrors."""
        return expand_targets(
            self.plan, environ, self.base, allow_outside=allow_outside, places=self.target_places
        )


def load_plan(path: str | os.PathLike[str], *, allow_outside: bool = False) -> LoadedPlan:
    """The plan in the YAML file at `path`; raises PlanErrors with everything that is wrong with it.

    `allow_outside`: paths in the plan may leave its folder.
    """
    file = Path(path)
    with _without_collector():
        document = read_yaml(file)
        base = file.parent.resolve()
        notes = Notes(document, document.findings)
        files = inline_sql_files(notes, base, allow_outside=allow_outside)
        plan = validate(notes)
        check_document(notes)
        check_sql(notes, files)
        check_paths(notes, base, allow_outside=allow_outside)
        if plan is None or notes.findings:
            raise PlanErrors(notes.findings)
        plan = derived(plan)
        return LoadedPlan(
            plan=plan,
            path=file,
            base=base,
            text=document.text,
            warnings=(*advise(plan, document), *warn_of_sql(notes, plan, files)),
            secrets=written_passwords(plan),
            target_places={name: document.place(("targets", name)) for name in plan.targets},
        )


@contextmanager
def _without_collector() -> Iterator[None]:
    """Collect no cycles meanwhile: of a large plan everything stays, and looking through it again and again
    takes most of the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
