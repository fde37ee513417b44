"""The Python steps of plan.yaml, which works on shop.db."""

from functools import partial

import backfill
import checks
import seed

create = partial(seed.create_shop, "shop.db")
backfill_totals = partial(backfill.totals, "shop.db")
link_addresses = partial(backfill.addresses, "shop.db")
check_totals = partial(checks.totals, "shop.db")
check_references = partial(checks.references, "shop.db")
