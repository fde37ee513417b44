"""Looks whether the backfilled shop says the same as the old one. Reads only.

A difference ends with exit code 3, which the plans class as PERMANENT: trying again would not mend it.
"""

import sys
import time

from backfill import cents, open_shop

DIFFERENT = 3
PAUSE_S = 0.15

REFERENCES = {
    "orders without an address": "SELECT count(*) FROM orders WHERE address_id IS NULL",
    "orders without a status": "SELECT count(*) FROM orders WHERE status_id IS NULL",
    "addresses of another customer": """
        SELECT count(*) FROM orders AS o JOIN addresses AS a ON a.id = o.address_id
        WHERE a.customer_id <> o.customer_id""",
    "addresses that read differently": """
        SELECT count(*) FROM orders AS o JOIN addresses AS a ON a.id = o.address_id
        WHERE (a.street, a.postcode, a.city) <> (o.street, o.postcode, o.city)""",
    "statuses that read differently": """
        SELECT count(*) FROM orders AS o JOIN order_statuses AS s ON s.id = o.status_id
        WHERE s.name <> lower(trim(o.status))""",
    "addresses nobody uses": """
        SELECT count(*) FROM addresses WHERE id NOT IN (SELECT address_id FROM orders)""",
}


def totals(database: str) -> None:
    """Every month's money, once from the text and once from the cents."""
    shop = open_shop(database)
    months = shop.execute("SELECT DISTINCT substr(placed_at, 1, 7) FROM orders ORDER BY 1").fetchall()
    different = 0
    for (month,) in months:
        orders = shop.execute(
            f"SELECT total, total_cents FROM orders WHERE placed_at LIKE '{month}-%'"
        ).fetchall()
        before = sum(cents(text) for text, _ in orders) / 100
        after = sum(number or 0 for _, number in orders) / 100
        different += before != after
        print(f"{month} {before:14,.2f} {after:14,.2f} {'DIFFERENT' * (before != after)}", flush=True)
        time.sleep(PAUSE_S / 2)
    _conclude(different, f"months add up differently, of {len(months)}")


def references(database: str) -> None:
    """No order lost its address or status on the way, and none got somebody else's."""
    shop = open_shop(database)
    wrong = 0
    for what, query in REFERENCES.items():
        (count,) = shop.execute(query).fetchone()
        wrong += count > 0
        print(f"{count:>6,}  {what}", flush=True)
        time.sleep(PAUSE_S)
    _conclude(wrong, f"checks failed, of {len(REFERENCES)}")


def _conclude(wrong: int, what: str) -> None:
    print(f"{wrong} {what}", flush=True)
    if wrong:
        sys.exit(DIFFERENT)
