"""Migrations to strike: small plans on PostgreSQL, whose every effect leaves a row that the engine knows
nothing of, in a table that is there before."""

from typing import NamedTuple

import psycopg

HEAD = """\
wesley: 1
name: {name}
workers: {workers}
retry: {{attempts: 20, base: 10ms, cap: 50ms}}
checkpoints: {{every: 0s, progress: 100, phases: false}}
targets:
  app: {{postgres: "{conninfo}"}}
tasks:
"""

FORWARD = """\
  - id: table
    run:
      on: app
      sql: |
        CREATE TABLE goods (id int PRIMARY KEY, n int NOT NULL, touched int NOT NULL DEFAULT 0);
        INSERT INTO witness VALUES ('table');
  - id: fill
    needs: [table]
    run:
      on: app
      sql: |
        INSERT INTO goods SELECT n, n FROM generate_series(1, 30) n;
        INSERT INTO witness VALUES ('fill');
  - id: mixed
    needs: [fill]
    run:
      on: app
      sql: |
        INSERT INTO witness VALUES ('mixed 1');
        CREATE INDEX CONCURRENTLY goods_n ON goods (n);
        INSERT INTO witness VALUES ('mixed 3');
  - id: backfill
    needs: [mixed]
    run:
      on: app
      backfill:
        table: goods
        key: id
        batch: 10
        pause: 0s
        sql: UPDATE goods SET touched = touched + 1 WHERE id BETWEEN :first AND :last
  - id: unique
    needs: [backfill]
    run: {on: app, sql: "CREATE UNIQUE INDEX CONCURRENTLY goods_unique ON goods (n)"}
  - id: vacuum
    needs: [unique]
    idempotent: true
    run: {on: app, sql: "VACUUM goods"}
  - id: drop
    needs: [vacuum]
    run:
      on: app
      sql: |
        DROP INDEX CONCURRENTLY goods_n;
        INSERT INTO witness VALUES ('drop');
"""

BACK = """\
  - id: table
    run:
      on: app
      sql: |
        CREATE TABLE goods (id int PRIMARY KEY, n int NOT NULL);
        INSERT INTO goods SELECT n, n FROM generate_series(1, 30) n;
        INSERT INTO witness VALUES ('table');
    rollback:
      on: app
      sql: |
        DROP TABLE goods;
        INSERT INTO witness VALUES ('table undone');
  - id: index
    needs: [table]
    run: {on: app, sql: "CREATE INDEX CONCURRENTLY goods_n ON goods (n)"}
    rollback: {on: app, sql: "DROP INDEX CONCURRENTLY goods_n"}
  - id: mixed
    needs: [index]
    run: {on: app, sql: "INSERT INTO witness VALUES ('mixed')"}
    rollback:
      on: app
      sql: |
        INSERT INTO witness VALUES ('mixed undone 1');
        CREATE INDEX CONCURRENTLY witness_what ON witness (what);
        INSERT INTO witness VALUES ('mixed undone 3');
  - id: impossible
    needs: [mixed]
    critical: true
    run: {on: app, sql: "INSERT INTO witness VALUES ('never'); SELECT 1 / 0"}
"""


class Story(NamedTuple):
    """`exit_code` and `status` are those that the run comes to; `rows` is what the witness then holds.

    `on_unknown` is the answer to questions: a step of a rollback that fails asks, whatever the reason;
    nothing else may ask here."""

    name: str
    tasks: str
    exit_code: int
    status: str
    rows: tuple[str, ...]
    on_unknown: str = "ask"

    def plan(self, conninfo: str, workers: int = 2) -> str:
        return HEAD.format(name=self.name, conninfo=conninfo, workers=workers) + self.tasks

    def complaints(self, conninfo: str) -> list[str]:
        """What of the database is not as the finished run should have left it."""
        with psycopg.connect(conninfo) as connection:
            rows = [row[0] for row in connection.execute("SELECT what FROM witness ORDER BY what")]
            found = [f"the witness holds {rows}"] if rows != sorted(self.rows) else []
            invalid = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
            found += [f"index {row[0]} is invalid" for row in connection.execute(invalid)]
            there = connection.execute("SELECT to_regclass('goods') IS NOT NULL").fetchone()
            if there != (self.status == "completed",):
                found.append(f"goods is there: {there}")
            elif self.status == "completed":
                touched = connection.execute(
                    "SELECT touched, count(*) FROM goods GROUP BY touched"
                ).fetchall()
                if touched != [(1, 30)]:
                    found.append(f"rows by how often they were touched: {touched}")
                indexes = "SELECT indexname FROM pg_indexes WHERE tablename = 'goods' ORDER BY 1"
                names = [row[0] for row in connection.execute(indexes)]
                if names != ["goods_pkey", "goods_unique"]:
                    found.append(f"indexes: {names}")
        return found


STORIES = (
    Story("forward", FORWARD, 0, "completed", ("table", "fill", "mixed 1", "mixed 3", "drop")),
    Story(
        "back",
        BACK,
        5,
        "rolled_back",
        ("table", "mixed", "mixed undone 1", "mixed undone 3", "table undone"),
        on_unknown="retry",
    ),
)
