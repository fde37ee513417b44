"""Locks and uses that a plan need not write down, since its SQL on PostgreSQL says them.

They become part of the plan while it is loaded, and are pinned with it: what a run holds to does not change
with a later version of the radar.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence

from engine.plan.models import Plan, Task
from engine.plan.sql.parse import Statement
from engine.plan.sql.scripts import Script, scripts

INDEX_BUILDS = "index_builds"
"""The pool that a concurrent index build takes a unit of, where the plan has it."""

_LONGEST = 100


def derived(plan: Plan) -> Plan:
    """`plan` with the locks and uses of its SQL on PostgreSQL.

    A task that says nothing of `locks` takes one for every table on which its `run` takes a lock that may
    stand in another's way (SHARE UPDATE EXCLUSIVE and above). What a plan says of `locks` is left as it is,
    an empty list too; only the table of a concurrent index build is always among them, so that there is one
    such build a table. A build takes a unit of the pool `index_builds`, where the plan has that pool and the
    task says nothing of it.
    """
    found = {script.task: script for script in scripts(plan) if script.role == "run"}
    if not found:
        return plan
    names = _Names(plan, list(found.values()))
    tasks = [_derived(task, found[task.id], plan, names) if task.id in found else task for task in plan.tasks]
    return plan.model_copy(update={"tasks": tuple(tasks)})


def _derived(task: Task, script: Script, plan: Plan, names: "_Names") -> Task:
    builds = [each for each in script.statements if each.concurrent and each.concurrent.action != "drop"]
    chosen = builds if "locks" in task.model_fields_set else script.statements
    locks = dict.fromkeys((*task.locks, *names.of(script, chosen)))
    uses = dict(task.uses)
    if builds and INDEX_BUILDS in plan.resources:
        uses.setdefault(INDEX_BUILDS, 1)
    return task.model_copy(update={"locks": tuple(locks), "uses": uses})


class _Names:
    """Names of locks: TARGET.TABLE, with the schema before the table where that tells two tables apart."""

    def __init__(self, plan: Plan, found: Sequence[Script]) -> None:
        self._pools: Collection[str] = plan.resources.keys()
        self._bare = {(script.target, table) for script, table in self._all(found) if "." not in table}

    def of(self, script: Script, statements: Sequence[Statement]) -> Iterator[str]:
        for _, table in self._all([script], statements):
            bare = table.rpartition(".")[2]
            known = bare if (script.target, bare) in self._bare else table
            yield self._name(f"{script.target}.{known}")

    def _all(
        self, found: Sequence[Script], statements: Sequence[Statement] | None = None
    ) -> Iterator[tuple[Script, str]]:
        """Every table with a strong lock; `public.` is left out, as it nearly always is."""
        for script in found:
            for statement in script.statements if statements is None else statements:
                for lock in script.locks(statement):
                    if lock.mode.strong:
                        yield script, (lock.table or lock.index).removeprefix("public.")

    def _name(self, text: str) -> str:
        """`text` as a lock can be called."""
        name = re.sub(r"[^A-Za-z0-9_.\-]", "_", text.replace('"', ""))
        if len(name) > _LONGEST:
            name = f"{name[: _LONGEST - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        return f"{name}.table" if name in self._pools else name
