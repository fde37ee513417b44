"""Builds the practice shop: two tables in the shape they have before the migration.

The same seed gives the same rows every time, so figures can be compared from one run to the next.
"""

import os
import random
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

CUSTOMERS = 2_000
ORDERS = 10_000

OLD_SHOP = """
CREATE TABLE customers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE
);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    placed_at TEXT NOT NULL,
    status TEXT,
    total TEXT,
    street TEXT,
    postcode TEXT,
    city TEXT
);
CREATE INDEX orders_placed_at ON orders (placed_at);
CREATE VIEW daily_sales AS
SELECT date(placed_at) AS day,
       count(*) AS orders,
       sum(CAST(round(replace(total, ',', '') * 100) AS INTEGER)) / 100.0 AS revenue
FROM orders
WHERE lower(trim(status)) <> 'cancelled'
GROUP BY day;
"""

FIRST = [
    "Ada",
    "Bela",
    "Chen",
    "Dara",
    "Emil",
    "Femi",
    "Gita",
    "Hugo",
    "Ines",
    "Kaya",
    "Liam",
    "Mina",
    "Noor",
]
LAST = [
    "Adeyemi",
    "Berg",
    "Costa",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Haddad",
    "Ito",
    "Jansen",
    "Kowalski",
    "Novak",
]
STREETS = [
    "Mill Lane",
    "Station Road",
    "Harbour Street",
    "High Street",
    "Orchard Way",
    "Castle Hill",
    "North Quay",
]
CITIES = ["Aberlyn", "Brackford", "Corston", "Dunmere", "Eastleigh", "Fairwater", "Glenside"]
# As several generations of shop software wrote them: this is what the migration has to tidy up.
STATUSES = ["new", "paid", "Paid", "shipped", "shipped ", "SHIPPED", "cancelled"]


def create_shop(database: str) -> dict[str, int]:
    """Put a fresh shop in the place of `database`, whatever was there before.

    It is built beside the old file and moved over it, so that there is never half a shop."""
    new = Path(database + ".new")
    new.unlink(missing_ok=True)
    connection = sqlite3.connect(new, isolation_level=None)
    connection.executescript(OLD_SHOP)
    dice = random.Random(2024)
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO customers VALUES (?, ?, ?)", _customers(dice))
    print(f"{CUSTOMERS:,} customers", flush=True)
    connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _orders(dice))
    print(f"{ORDERS:,} orders, their money written as text", flush=True)
    connection.execute("COMMIT")
    # Readers and the one writer of the moment do not hold each other up in this mode.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    for leftover in ("-journal", "-wal", "-shm"):
        # An earlier shop's journal would be replayed into the new one.
        Path(database + leftover).unlink(missing_ok=True)
    os.replace(new, database)
    print(f"{database} is ready", flush=True)
    return {"customers": CUSTOMERS, "orders": ORDERS}


def _customers(dice: random.Random) -> Iterator[tuple[int, str, str]]:
    for number in range(1, CUSTOMERS + 1):
        first, last = dice.choice(FIRST), dice.choice(LAST)
        yield number, f"{first} {last}", f"{first}.{last}.{number}@shop.example".lower()


def _orders(dice: random.Random) -> Iterator[tuple[int, int, str, str, str, str, str, str]]:
    opened = datetime(2023, 1, 2, 8, tzinfo=UTC)
    for number in range(1, ORDERS + 1):
        customer = dice.randint(1, CUSTOMERS)
        # One customer in eight has two addresses in use.
        home = customer if customer % 8 or dice.random() < 0.6 else customer + CUSTOMERS
        yield (
            number,
            customer,
            f"{opened + timedelta(minutes=97 * number):%Y-%m-%d %H:%M}",
            dice.choice(STATUSES),
            _as_text(dice.randint(199, 250_000), dice),
            f"{1 + home % 180} {STREETS[home % len(STREETS)]}",
            f"{10_000 + home * 7 % 89_999}",
            CITIES[home % len(CITIES)],
        )


def _as_text(cents: int, dice: random.Random) -> str:
    text = f"{cents / 100:,.2f}" if dice.random() < 0.5 else f"{cents / 100:.2f}"
    return f" {text}" if dice.random() < 0.05 else text
