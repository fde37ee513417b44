"""The shop's old application, as far as its database sees it: statements that know nothing of tenants.

All of them are good before, during and after the migration. They name their columns: a prepared `SELECT *`
would fail as soon as a column is added.
"""

import random
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

GIVE_UP_S = 60
"""A statement that is held up for so long is an error."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a client. `sent_at` is in seconds since the epoch; `error` is empty if none came."""

    who: str
    what: str
    sent_at: float
    took_s: float
    error: str = ""


class Client(threading.Thread):
    """One connection, busy with the same thing until `stop` is set. All it sends is noted in `felt`."""

    who = "reader"
    rest_s = 0.01

    def __init__(self, conninfo: str, seed: int, stop: threading.Event, felt: list[Statement]) -> None:
        super().__init__(daemon=True)
        self._conninfo = conninfo
        self._closing = stop
        self._felt = felt
        self.dice = random.Random(seed)
        self.connection = self._connect()
        self.customers, self.orders, self.products = (
            self.connection.execute(f"SELECT max(id) FROM {table}").fetchall()[0][0]
            for table in ("customers", "orders", "products")
        )

    def run(self) -> None:
        while not self._closing.is_set():
            try:
                self.work()
            except psycopg.Error:  # noted where it happened; the application says sorry, and goes on
                self._recover()
            self._closing.wait(self.rest_s)
        self.connection.close()

    def work(self) -> None:
        raise NotImplementedError

    def say(self, what: str, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Send one statement, and note what it felt. Raises psycopg.Error."""
        error = ""
        sent_at, began = time.time(), time.perf_counter()
        try:
            cursor = self.connection.execute(sql.encode(), params)
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error as refused:
            error = f"{refused.sqlstate or 'no answer'}: {refused}"
            raise
        finally:
            took_s = time.perf_counter() - began
            self._felt.append(Statement(self.who, what, sent_at, took_s, error))

    def _connect(self) -> "psycopg.Connection[Any]":
        connection = psycopg.connect(self._conninfo, autocommit=True, application_name=f"shop {self.who}")
        connection.execute(f"SET statement_timeout = '{GIVE_UP_S}s'".encode())
        return connection

    def _recover(self) -> None:
        with suppress(psycopg.Error):
            if self.connection.closed:
                self.connection = self._connect()
            else:
                self.connection.rollback()


class Visitor(Client):
    """A customer who looks at the orders of the past."""

    def work(self) -> None:
        customer = self.dice.randint(1, self.customers)
        self.say("a customer", "SELECT name, email FROM customers WHERE id = %s", [customer])
        orders = self.say(
            "orders of a customer",
            """SELECT id, placed_at, status, total FROM orders
               WHERE customer_id = %s ORDER BY placed_at DESC LIMIT 20""",
            [customer],
        )
        for order, *_ in orders[:2]:
            self.say(
                "items of an order",
                """SELECT p.name, i.quantity, i.price
                   FROM order_items AS i JOIN products AS p ON p.id = i.product_id WHERE i.order_id = %s""",
                [order],
            )


class Buyer(Client):
    """A customer who places orders of one to four items. `placed` counts those whose COMMIT was answered."""

    who = "writer"
    rest_s = 0.02
    placed = 0

    def work(self) -> None:
        self.say("begin an order", "BEGIN")
        ((order,),) = self.say(
            "place an order",
            "INSERT INTO orders (customer_id, total) VALUES (%s, 0) RETURNING id",
            [self.dice.randint(1, self.customers)],
        )
        for _ in range(self.dice.randint(1, 4)):
            self.say(
                "add an item",
                """INSERT INTO order_items (order_id, product_id, quantity, price)
                   SELECT %s, id, %s, price FROM products WHERE id = %s""",
                [order, self.dice.randint(1, 3), self.dice.randint(1, self.products)],
            )
        self.say(
            "total an order",
            """UPDATE orders SET total = (SELECT sum(quantity * price) FROM order_items WHERE order_id = %s)
               WHERE id = %s""",
            [order, order],
        )
        self.say("commit an order", "COMMIT")
        self.placed += 1


class Warehouse(Client):
    """Somebody who moves orders on, old ones too."""

    who = "writer"
    rest_s = 0.02

    def work(self) -> None:
        status = self.dice.choice(["paid", "shipped", "cancelled"])
        order = self.dice.randint(1, self.orders)
        self.say("move an order on", "UPDATE orders SET status = %s WHERE id = %s", [status, order])


class Controller(Client):
    """Somebody who draws up reports, one after the other, each for `lasts_s` seconds in one transaction.

    A report's locks and its snapshot stay for all that time: what needs a table for itself has to wait, and
    everybody else behind it."""

    who = "report"
    rest_s = 2.0
    months = 12
    lasts_s = 2.5

    def work(self) -> None:
        self.say("begin a report", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        until = time.perf_counter() + self.lasts_s
        for month in range(self.months):
            first = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=30 * month)
            self.say(
                "a month's sales",
                """SELECT o.status, count(DISTINCT o.id), count(DISTINCT c.id), sum(i.quantity * i.price)
                   FROM orders AS o JOIN customers AS c ON c.id = o.customer_id
                   JOIN order_items AS i ON i.order_id = o.id
                   WHERE o.placed_at >= %s AND o.placed_at < %s GROUP BY o.status""",
                [first, first + timedelta(days=30)],
            )
            left_s = until - time.perf_counter()
            time.sleep(max(left_s / (self.months - month), 0))  # the sheet is written
        self.say("end a report", "COMMIT")


CLIENTS: tuple[type[Client], ...] = (Visitor, Visitor, Visitor, Buyer, Buyer, Warehouse, Controller)


def open_shop(conninfo: str, report_s: float, stop: threading.Event, felt: list[Statement]) -> list[Client]:
    """All clients at work until `stop` is set, with reports of `report_s` seconds. Raises psycopg.Error."""
    clients = [kind(conninfo, seed, stop, felt) for seed, kind in enumerate(CLIENTS)]
    for client in clients:
        if isinstance(client, Controller):
            client.lasts_s = report_s
        client.start()
    return clients
