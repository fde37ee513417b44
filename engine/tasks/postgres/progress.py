"""How far a statement is, as the server tells it while it runs."""

from typing import TYPE_CHECKING

from engine.tasks.base import Job

if TYPE_CHECKING:
    from engine.tasks.postgres.database import Database


async def watch(database: "Database", pid: int, job: Job) -> None:
    """Tell `job.progress` how far the statement of backend `pid` is: index builds, VACUUM, ANALYZE, CLUSTER
    and COPY. Silent while there is nothing to tell, and while the server cannot be asked. Runs until it is
    cancelled."""
    raise NotImplementedError
