"""The Python steps of trouble.yaml, which works on trouble.db."""

from functools import partial
from pathlib import Path

import backfill
import checks
import seed

backfill_totals = partial(backfill.totals, "trouble.db")
link_addresses = partial(backfill.addresses, "trouble.db")
check_totals = partial(checks.totals, "trouble.db")
check_references = partial(checks.references, "trouble.db")


def create() -> dict[str, int]:
    """A fresh shop, and the trouble put back to its beginning."""
    Path("trouble.attempts").unlink(missing_ok=True)
    return seed.create_shop("trouble.db")
