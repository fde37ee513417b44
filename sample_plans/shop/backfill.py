"""Fills the new columns of the shop in small batches, so that nobody waits long for the write lock.

Each batch is one transaction and takes only rows that are still empty: stopped anywhere, it can simply be
started again.
"""

import sqlite3
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

LINK_ADDRESS = """
UPDATE orders
SET address_id = (
    SELECT a.id FROM addresses AS a
    WHERE (a.customer_id, a.street, a.postcode, a.city)
        = (orders.customer_id, orders.street, orders.postcode, orders.city)
)
WHERE id = ?
"""
BATCH = 500
PAUSE_S = 0.2
"""Between two batches: room for others to write, and time to watch."""


def open_shop(database: str) -> sqlite3.Connection:
    """A connection to a shop that exists; sqlite3.OperationalError where there is none."""
    return sqlite3.connect(f"file:{database}?mode=rw", uri=True, timeout=10, isolation_level=None)


def cents(total: str) -> int:
    """The whole cents in a total as the old shop wrote it: `12.50`, `1,204.00`, ` 7.95`."""
    return int(Decimal(total.strip().replace(",", "")) * 100)


def totals(database: str) -> dict[str, int]:
    """orders.total, which is text, into orders.total_cents, which is a number."""

    def fill(shop: sqlite3.Connection, batch: list[tuple[int, str]]) -> None:
        rows = [(cents(total), order) for order, total in batch]
        shop.executemany("UPDATE orders SET total_cents = ? WHERE id = ?", rows)

    return _in_batches(database, "SELECT id, total FROM orders WHERE total_cents IS NULL AND id > ?", fill)


def addresses(database: str) -> dict[str, int]:
    """orders.address_id, by looking each order's inlined address up in addresses."""

    def fill(shop: sqlite3.Connection, batch: list[tuple[int]]) -> None:
        shop.executemany(LINK_ADDRESS, batch)

    return _in_batches(database, "SELECT id FROM orders WHERE address_id IS NULL AND id > ?", fill)


def _in_batches(
    database: str, query: str, fill: Callable[[sqlite3.Connection, list[Any]], None]
) -> dict[str, int]:
    shop = open_shop(database)
    done, last = 0, 0
    while batch := shop.execute(f"{query} ORDER BY id LIMIT {BATCH}", (last,)).fetchall():
        shop.execute("BEGIN IMMEDIATE")
        fill(shop, batch)
        shop.execute("COMMIT")
        done, last = done + len(batch), batch[-1][0]
        print(f"{done:,} orders filled, up to order {last:,}", flush=True)
        time.sleep(PAUSE_S)
    shop.close()
    print(f"nothing left to fill; {done:,} orders this time", flush=True)
    return {"filled": done}
