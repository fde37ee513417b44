"""What a statement is about that runs in several transactions: what it needs, what it leaves, what it means.

Each kind of these statements is a subject, and keeps the Protocol `Subject`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from engine.plan.models import FailureClass
from engine.plan.sql import tree
from engine.tasks.base import Evidence
from engine.tasks.classify import Verdict
from engine.tasks.postgres import catalog
from engine.tasks.postgres.catalog import Found
from engine.tasks.postgres.session import RefusedError

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from engine.plan.sql.parse import Statement
    from engine.tasks.postgres.database import Database

BUILDER = "index builder"
"""What a RESOURCE failure lacks while somebody else's build of the same index is under way: to be probed by
`probe`."""

COST = "no query uses it, but every write keeps it up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """`needed` is false where there is nothing left to send: what the statement is for is there. `said` is
    for the output; it names what was found, dropped or finished, and may be empty. `before` is for
    `clean_up` to compare with."""

    needed: bool = True
    said: str = ""
    before: object = None


@dataclass(frozen=True, slots=True)
class Site:
    """Where a subject is looked at."""

    connection: "AsyncConnection[Any]"
    database: "Database"

    async def at_work(self, index: Found) -> str:
        """Who builds, rebuilds or drops the index just now; empty where nobody does."""
        found = await catalog.at_work(self.connection, table=index.table, index=index.oid)
        return catalog.who(self.database, found)

    async def clear(self, left: Sequence[Found]) -> list[str]:
        """Drop what earlier statements left invalid; what was done, in words. Raises RefusedError where
        somebody still works on one."""
        for index in left:
            if at_work := await self.at_work(index):
                raise _being_built(index, at_work)
            await self.drop(index)
        return [f"index {index.name}, left invalid by an earlier attempt, was dropped" for index in left]

    async def drop(self, index: Found) -> None:
        await self.connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}".encode())


class Subject(Protocol):
    """What a statement is about. The state of it tells whether a failed statement has changed anything."""

    sweeps: bool
    """Whether what is `left` is of no use any more, and dropped after a failure."""

    async def state(self, site: Site) -> object: ...

    async def left(self, site: Site) -> Sequence[Found]:
        """The invalid indexes that an unfinished statement has left, or works on just now."""
        ...

    async def prepare(self, site: Site) -> Prepared: ...

    async def evidence(self, site: Site) -> Evidence: ...

    def changed(self, state: object) -> str:
        """What it means for the operator that a failed statement has left this state."""
        ...


@dataclass(frozen=True, slots=True)
class Create:
    node: Any
    table: str
    sweeps = True

    @property
    def _if_not_exists(self) -> bool:
        return bool(self.node.if_not_exists)

    async def state(self, site: Site) -> Found | None:
        return await catalog.beside_table(site.connection, self.table, self.node.idxname)

    async def left(self, site: Site) -> Sequence[Found]:
        found = await self.state(site)
        table = await catalog.table_oid(site.connection, self.table)
        return [found] if found and found.is_index and found.table == table and not found.valid else []

    async def prepare(self, site: Site) -> Prepared:
        said = await site.clear(await self.left(site))
        found = await self.state(site)
        table = await catalog.table_oid(site.connection, self.table)
        if found and found.table != table:
            self._refuse_stranger(found)
        elif found and found.is_index and self._if_not_exists:
            return await self._there(site, found)
        others = catalog.who(site.database, await catalog.at_work(site.connection, table=table))
        if others:
            said.append(f"another index of {self.table} is being built: this one waits for {others}")
        return Prepared(said="; ".join(said), before=found)

    async def evidence(self, site: Site) -> Evidence:
        found = await self.state(site)
        table = await catalog.table_oid(site.connection, self.table)
        if not found or found.table != table or not found.is_index:
            return Evidence(done=False, detail=f"there is no index {self.node.idxname} of {self.table}")
        if not found.valid:
            return await _unfinished(site, [found])
        if await catalog.same_index(site.connection, self.node, found) is False:
            return Evidence(done=False, detail=f"another index of this name is there: {found.definition}")
        return Evidence(done=True, detail=f"index {found.name} is there, and valid")

    def changed(self, state: object) -> str:
        if isinstance(state, Found) and state.valid:
            return f"index {state.name} is there, and valid: it was built all the same"
        return ""

    def _refuse_stranger(self, found: Found) -> None:
        """The server itself refuses a name that is taken, but with IF NOT EXISTS it would pass over it."""
        if found.valid and not self._if_not_exists:
            return
        what = f"an index of another table, `{found.definition}`" if found.definition else "no index"
        state = "" if found.valid else ", and it is invalid: what it was for is known to its builder alone"
        raise _refused(
            "engine: name taken",
            f"{found.name} is there already: {what}{state}. Nothing was built or dropped. "
            f"Drop or rename it, or give the index of {self.table} another name",
        )

    async def _there(self, site: Site, found: Found) -> Prepared:
        same = await catalog.same_index(site.connection, self.node, found)
        if same is False:
            raise _refused(
                "engine: name taken",
                f"index {found.name} is there already, but is another than the statement would build: "
                f"`{found.definition}`. IF NOT EXISTS would pass over it. Drop or rename it, or give the new "
                "one another name",
            )
        as_wanted = "as the statement would build it" if same else f"not compared: `{found.definition}`"
        said = f"index {found.name} is there already, valid and {as_wanted}: nothing was built"
        return Prepared(needed=False, said=said, before=found)


@dataclass(frozen=True, slots=True)
class Drop:
    name: str
    sweeps = False  # half dropped: to go on would be to do what was stopped

    async def state(self, site: Site) -> Found | None:
        return await catalog.named(site.connection, self.name)

    async def left(self, site: Site) -> Sequence[Found]:
        found = await self.state(site)
        return [found] if found and found.is_index and not found.valid else []

    async def prepare(self, site: Site) -> Prepared:
        for index in await self.left(site):
            if at_work := await site.at_work(index):
                raise _being_built(index, at_work)
        return Prepared(before=await self.state(site))

    async def evidence(self, site: Site) -> Evidence:
        found = await self.state(site)
        if not found:
            return Evidence(done=True, detail=f"there is no index {self.name} any more")
        if not found.valid:
            return await _unfinished(site, [found])
        return Evidence(done=False, detail=f"index {found.name} is there, and valid")

    def changed(self, state: object) -> str:
        if not isinstance(state, Found):
            return f"index {self.name} is gone: it was dropped all the same"
        return (
            f"index {state.name} is half dropped: {COST}. The next attempt drops it; "
            f"REINDEX INDEX CONCURRENTLY {state.name} would bring it back"
        )


@dataclass(frozen=True, slots=True)
class Reindex:
    what: str
    name: str
    sweeps = True

    async def state(self, site: Site) -> Sequence[Found]:
        return await self.left(site)

    async def left(self, site: Site) -> Sequence[Found]:
        return await catalog.transient(site.connection, self.what, self.name)

    async def prepare(self, site: Site) -> Prepared:
        said = await site.clear(await self.left(site))
        return Prepared(said="; ".join(said), before=await self.state(site))

    async def evidence(self, site: Site) -> Evidence:
        if left := await self.left(site):
            return await _unfinished(site, left)
        return Evidence(done=False, detail="a REINDEX leaves no trace, and does no harm a second time")

    def changed(self, state: object) -> str:  # noqa: ARG002  what was left is named as it could not be dropped
        return ""


@dataclass(frozen=True, slots=True)
class Detach:
    parent: str
    child: str
    sweeps = False

    async def state(self, site: Site) -> bool | None:
        return await catalog.detach_pending(site.connection, self.parent, self.child)

    async def left(self, site: Site) -> Sequence[Found]:  # noqa: ARG002  it has nothing to do with indexes
        return []

    async def prepare(self, site: Site) -> Prepared:
        before = await self.state(site)
        if not before:
            return Prepared(before=before)
        finalize = f"ALTER TABLE {self.parent} DETACH PARTITION {self.child} FINALIZE"
        await site.connection.execute(finalize.encode())
        said = f"partition {self.child} was half detached by an earlier attempt: finished with FINALIZE"
        return Prepared(needed=False, said=said, before=before)

    async def evidence(self, site: Site) -> Evidence:
        pending = await self.state(site)
        if pending is None:
            return Evidence(done=True, detail=f"{self.child} is no partition of {self.parent}")
        how = "half detached" if pending else "a partition"
        return Evidence(done=False, detail=f"{self.child} is {how} of {self.parent}")

    def changed(self, state: object) -> str:
        if state is None:
            return f"{self.child} is no partition any more: it was detached all the same"
        return (
            f"partition {self.child} is half detached: queries of {self.parent} leave it out already. "
            "The next attempt finishes that; it cannot be undone but by attaching it again after that"
        )


def subject(statement: "Statement") -> Subject | None:
    """What the statement is about; None where it leaves nothing half done."""
    node, found = statement.node, statement.concurrent
    if found is None:
        return _detached(node)
    if found.action == "create":
        return Create(node, found.table)
    if found.action == "drop":
        return Drop(found.index)
    what = tree.enum(node, "kind").removeprefix("REINDEX_OBJECT_").lower()
    return Reindex(what, found.index or found.table or tree.quoted(node.name))


def subject_of(statement: "Statement") -> Subject:
    """Raises AssertionError for a statement that is none of these."""
    found = subject(statement)
    assert found is not None, f"nothing that is left half done: {statement.kind}"
    return found


def _detached(node: Any) -> Detach | None:
    if tree.name_of(node) != "AlterTableStmt":
        return None
    for command in map(tree.inner, node.cmds):
        partition = tree.inner(getattr(command, "def"))
        if tree.enum(command, "subtype") == "AT_DetachPartition" and partition.concurrent:
            return Detach(tree.relation(node.relation), tree.relation(partition.name))
    return None


async def _unfinished(site: Site, left: Sequence[Found]) -> Evidence:
    """Evidence of indexes that are not valid: somebody works on them still, or never will again."""
    for index in left:
        if at_work := await site.at_work(index):
            return Evidence(done=None, detail=f"{at_work} still works on index {index.name}")
    names = ", ".join(index.name for index in left)
    detail = f"nobody works on what is still invalid, and the next attempt drops it: {names}"
    return Evidence(done=False, detail=detail)


def _being_built(index: Found, at_work: str) -> RefusedError:
    return RefusedError(
        Verdict(FailureClass.RESOURCE, "engine: index being worked on", BUILDER),
        f"index {index.name} is not valid yet, and {at_work} works on it: nothing is sent until that is over",
    )


def _refused(rule: str, message: str) -> RefusedError:
    return RefusedError(Verdict(FailureClass.PERMANENT, rule), message)
