"""The lock radar against a real server: what it says of a statement, and what the server then does."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import LiteralString, cast

import psycopg
import pytest

from engine.plan.sql.parse import split
from engine.plan.sql.radar import Mode, TableLock
from engine.tasks.postgres.embedded import Server

SCHEMA = """
CREATE TABLE orgs (id int PRIMARY KEY, name text);
CREATE TABLE orders (id int PRIMARY KEY, org_id int, total numeric, note varchar(20), state text, pieces int);
INSERT INTO orgs SELECT n, 'org ' || n FROM generate_series(1, 10) n;
INSERT INTO orders SELECT n, n, n, 'note', 'new', 1 FROM generate_series(1, 10) n;
CREATE INDEX orders_state ON orders (state);
CREATE UNIQUE INDEX orders_total ON orders (total);
CREATE TABLE lines (id int, order_id int REFERENCES orders);
INSERT INTO lines SELECT n, n FROM generate_series(1, 10) n;
ALTER TABLE lines ADD CONSTRAINT positive CHECK (id > 0) NOT VALID;
CREATE TABLE parted (id int, at date) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_2 (id int, at date);
INSERT INTO parted_2 VALUES (15, now());
CREATE TABLE parent (id int);
CREATE TABLE child (id int);
CREATE VIEW names AS SELECT name FROM orgs;
CREATE MATERIALIZED VIEW totals AS SELECT org_id, sum(total) AS total FROM orders GROUP BY org_id;
CREATE UNIQUE INDEX totals_org ON totals (org_id);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE FUNCTION five() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 5';
CREATE TRIGGER touched BEFORE UPDATE ON lines FOR EACH ROW EXECUTE FUNCTION touch();
CREATE POLICY mine ON lines USING (true);
CREATE RULE kept AS ON DELETE TO child DO INSTEAD NOTHING;
CREATE SEQUENCE numbers;
CREATE SCHEMA elsewhere;
CREATE DOMAIN amount AS numeric;
CREATE PUBLICATION news FOR TABLE orgs;
"""

IN_A_TRANSACTION = """
SELECT * FROM orders JOIN orgs ON orgs.id = org_id
SELECT * FROM orders FOR UPDATE
SELECT * FROM orders o JOIN orgs ON orgs.id = o.org_id FOR NO KEY UPDATE OF o
WITH found AS (SELECT * FROM orders) SELECT * FROM found
WITH gone AS (DELETE FROM lines WHERE id = 1 RETURNING order_id) SELECT * FROM orders, gone
INSERT INTO orgs SELECT id + 100, note FROM orders
UPDATE parent SET id = 1
UPDATE orders SET note = orgs.name FROM orgs WHERE orgs.id = org_id AND orders.id = 1
DELETE FROM lines WHERE id = 3
MERGE INTO orders USING orgs ON orgs.id = org_id WHEN MATCHED THEN UPDATE SET note = name
EXPLAIN UPDATE orders SET note = 'x'
SELECT * INTO copied FROM orders
CREATE TABLE copied AS SELECT * FROM orders
CREATE TABLE items (id int, order_id int REFERENCES orders)
CREATE TABLE items (id int, order_id int, FOREIGN KEY (order_id) REFERENCES orders)
CREATE TABLE items (LIKE orders)
CREATE TABLE items () INHERITS (parent)
CREATE TABLE items (id int, above int REFERENCES items, PRIMARY KEY (id))
CREATE TABLE parted_3 PARTITION OF parted FOR VALUES FROM (30) TO (40)
CREATE SCHEMA other CREATE TABLE items (order_id int REFERENCES public.orders)
CREATE VIEW seen AS SELECT * FROM orders
CREATE OR REPLACE VIEW names AS SELECT name FROM orgs WHERE id > 1
CREATE INDEX ON orders (note)
CREATE UNIQUE INDEX by_note ON orders (note, id)
CREATE INDEX by_at ON ONLY parted (at)
DROP INDEX orders_state
REINDEX TABLE orders
REINDEX INDEX orders_state
CREATE TRIGGER touched BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch()
CREATE OR REPLACE TRIGGER touched BEFORE UPDATE ON lines FOR EACH ROW EXECUTE FUNCTION touch()
DROP TRIGGER touched ON lines
CREATE RULE never AS ON UPDATE TO orders DO INSTEAD NOTHING
DROP RULE kept ON child
CREATE POLICY own ON orders USING (true)
ALTER POLICY mine ON lines USING (false)
DROP POLICY mine ON lines
CREATE STATISTICS both_columns ON org_id, state FROM orders
CREATE PUBLICATION more FOR TABLE orders
ALTER PUBLICATION news ADD TABLE orders
TRUNCATE parent
TRUNCATE orgs, parent
DROP TABLE parent
DROP VIEW names
DROP MATERIALIZED VIEW totals
CLUSTER orders USING orders_state
ANALYZE orders
LOCK TABLE orders
LOCK TABLE orders, orgs IN SHARE MODE
LOCK TABLE orders IN ROW EXCLUSIVE MODE
REFRESH MATERIALIZED VIEW totals
REFRESH MATERIALIZED VIEW CONCURRENTLY totals
COMMENT ON TABLE orders IS 'x'
COMMENT ON COLUMN orders.note IS 'x'
COPY orders TO '/dev/null'
COPY parent FROM '/dev/null'
COPY (SELECT * FROM orders) TO '/dev/null'
GRANT SELECT ON orders TO PUBLIC
ALTER SEQUENCE numbers RESTART
ALTER INDEX orders_state RENAME TO by_state
ALTER TABLE orders RENAME TO purchases
ALTER TABLE orders RENAME COLUMN note TO remark
ALTER TABLE lines RENAME CONSTRAINT positive TO above_zero
ALTER TRIGGER touched ON lines RENAME TO touching
ALTER TABLE orders SET SCHEMA elsewhere
ALTER TABLE orders ADD COLUMN a int
ALTER TABLE orders ADD COLUMN a int DEFAULT 5
ALTER TABLE orders ADD COLUMN a int NOT NULL DEFAULT 5
ALTER TABLE orders ADD COLUMN a timestamptz DEFAULT now()
ALTER TABLE orders ADD COLUMN a timestamptz DEFAULT current_timestamp
ALTER TABLE orders ADD COLUMN a timestamptz DEFAULT clock_timestamp()
ALTER TABLE orders ADD COLUMN a uuid DEFAULT gen_random_uuid()
ALTER TABLE orders ADD COLUMN a int DEFAULT five()
ALTER TABLE orders ADD COLUMN a int DEFAULT (random() * 5)::int
ALTER TABLE orders ADD COLUMN a bigserial
ALTER TABLE orders ADD COLUMN a int GENERATED ALWAYS AS IDENTITY
ALTER TABLE orders ADD COLUMN a int GENERATED ALWAYS AS (id + 1) STORED
ALTER TABLE orders ADD COLUMN a int CHECK (a > 0)
ALTER TABLE orders ADD COLUMN a int UNIQUE
ALTER TABLE orders ADD COLUMN a int REFERENCES orgs
ALTER TABLE orders ADD COLUMN a int DEFAULT 1 REFERENCES orgs
ALTER TABLE orders DROP COLUMN note
ALTER TABLE orders ALTER COLUMN note TYPE varchar(40)
ALTER TABLE orders ALTER COLUMN note TYPE text
ALTER TABLE orders ALTER COLUMN pieces TYPE bigint
ALTER TABLE orders ALTER COLUMN note SET DEFAULT 'x'
ALTER TABLE orders ALTER COLUMN note DROP DEFAULT
ALTER TABLE orders ALTER COLUMN note SET NOT NULL
ALTER TABLE orders ALTER COLUMN note DROP NOT NULL
ALTER TABLE orders ALTER COLUMN note SET STATISTICS 100
ALTER TABLE orders ALTER COLUMN note SET (n_distinct = 5)
ALTER TABLE orders ALTER COLUMN note SET STORAGE PLAIN
ALTER TABLE orders ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY
ALTER TABLE orders ADD CHECK (total > 0)
ALTER TABLE orders ADD CONSTRAINT total_positive CHECK (total > 0) NOT VALID
ALTER TABLE orders ADD UNIQUE (note, id)
ALTER TABLE orders ADD CONSTRAINT total_once UNIQUE USING INDEX orders_total
ALTER TABLE lines ADD PRIMARY KEY (id)
ALTER TABLE orders ADD EXCLUDE USING btree (id WITH =)
ALTER TABLE orders ADD FOREIGN KEY (org_id) REFERENCES orgs
ALTER TABLE orders ADD CONSTRAINT of_org FOREIGN KEY (org_id) REFERENCES orgs NOT VALID
ALTER TABLE lines VALIDATE CONSTRAINT positive
ALTER TABLE lines DROP CONSTRAINT positive
ALTER TABLE lines DISABLE TRIGGER touched
ALTER TABLE lines ENABLE TRIGGER USER
ALTER TABLE child DISABLE RULE kept
ALTER TABLE orders ENABLE ROW LEVEL SECURITY
ALTER TABLE orders OWNER TO CURRENT_USER
ALTER TABLE orders REPLICA IDENTITY FULL
ALTER TABLE orders SET (fillfactor = 70)
ALTER TABLE orders RESET (fillfactor)
ALTER TABLE orders SET (autovacuum_enabled = false, fillfactor = 70)
ALTER TABLE orders CLUSTER ON orders_state
ALTER TABLE child INHERIT parent
ALTER TABLE parent SET UNLOGGED
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM (10) TO (20)
ALTER TABLE parted DETACH PARTITION parted_1
ALTER TABLE orders ADD COLUMN a int, ALTER COLUMN note SET STATISTICS 5
ALTER VIEW names RENAME TO naming
ALTER MATERIALIZED VIEW totals RENAME TO sums
""".strip().splitlines()

ALONE = {
    "CREATE INDEX CONCURRENTLY by_note ON orders (note)": "orders",
    "DROP INDEX CONCURRENTLY orders_state": "orders",
    "REINDEX INDEX CONCURRENTLY orders_state": "orders",
    "REINDEX TABLE CONCURRENTLY orders": "orders",
    "ALTER TABLE parted DETACH PARTITION parted_1 CONCURRENTLY": "parted",
    "VACUUM orders": "orders",
    "VACUUM (FULL) orders": "orders",
}

TABLES = """
SELECT oid, relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm')
AND relnamespace = 'public'::regnamespace
"""
HELD = "SELECT relation, mode FROM pg_locks WHERE pid = %s AND locktype = 'relation'"
FILES = "SELECT oid, relfilenode FROM pg_class WHERE relkind IN ('r', 'm')"
SCANS = "SELECT relid, seq_scan FROM pg_stat_xact_all_tables WHERE seq_scan > 0"
WAITING = "SELECT mode FROM pg_locks WHERE pid = %s AND relation = %s::regclass AND NOT granted"
MODES = {mode.replace("_", " ").title().replace(" ", "") + "Lock": mode for mode in Mode}
UNTOLD = (
    "TRUNCATE",
    "SELECT",
    "WITH",
    "INSERT",
    "UPDATE",
    "DELETE",
    "MERGE",
    "EXPLAIN",
    "COPY",
    "REFRESH",
    "CREATE TABLE copied",
)
"""What reads as everybody knows, or what is empty by then."""
TABLE_OF = {"orders_state": "orders"}


@pytest.fixture(scope="module")
def prepared(server: Server) -> Iterator[str]:
    """Where a database with SCHEMA is; whoever changes it takes that back."""
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        connection.execute("CREATE DATABASE radar")
        where = f"{server.conninfo} dbname=radar"
        with psycopg.connect(where) as inside:
            inside.execute(SCHEMA)
        yield where
        connection.execute("DROP DATABASE radar WITH (FORCE)")


class Watched:
    """What one statement does to the tables that were there before it, as the server sees it."""

    def __init__(self, where: str, sql: str, before: str = "SELECT") -> None:
        with psycopg.connect(where) as connection:
            connection.execute(cast(LiteralString, before))
            names = dict(connection.execute(TABLES).fetchall())
            files = dict(connection.execute(FILES).fetchall())
            scans_before = dict(connection.execute(SCANS).fetchall())
            connection.execute(cast(LiteralString, sql))
            held = connection.execute(HELD, [connection.info.backend_pid]).fetchall()
            scans = dict(connection.execute(SCANS).fetchall())
            new_files = dict(connection.execute(FILES).fetchall())
            connection.rollback()
        self.modes = strongest([(names[oid], mode) for oid, mode in held if oid in names])
        moved = {oid for oid in names.keys() & files if new_files.get(oid, files[oid]) != files[oid]}
        self.rewritten = {names[oid] for oid in moved}
        self.scanned = {names[oid] for oid in names if scans.get(oid, 0) > scans_before.get(oid, 0)}


def strongest(rows: list[tuple[str, str]]) -> dict[str, Mode]:
    found: dict[str, Mode] = {}
    for table, mode in rows:
        taken = MODES[mode]
        found[table] = max(found.get(table, taken), taken, key=lambda each: each.rank)
    return found


def told(sql: str) -> dict[str, TableLock]:
    (statement,) = split(sql)
    return {lock.table.rpartition(".")[2] or TABLE_OF[lock.index]: lock for lock in statement.locks}


def agree(said: dict[str, str], seen: set[str]) -> bool:
    """Whether what was said surely happens did, and what did happen was said at least to be possible."""
    return (
        {table for table, extent in said.items() if extent == "yes"} <= seen <= {t for t in said if said[t]}
    )


@pytest.mark.parametrize("sql", IN_A_TRANSACTION)
def test_the_radar_says_what_the_server_locks_rewrites_and_scans(sql: str, prepared: str) -> None:
    said, seen = told(sql), Watched(prepared, sql)
    modes = {table: lock.mode for table, lock in said.items()}
    if sql.startswith("REFRESH"):
        modes["orders"] = Mode.ACCESS_SHARE  # which is what it owns up not to see
    assert modes == seen.modes
    if not sql.startswith("TRUNCATE"):
        assert agree({table: lock.rewrites for table, lock in said.items()}, seen.rewritten)
    if not sql.startswith(UNTOLD):
        assert agree({table: lock.scans or lock.rewrites for table, lock in said.items()}, seen.scanned)


def test_dropping_a_foreign_key_locks_both_tables(prepared: str) -> None:
    """The radar owns up to it in a note, and a plan that has added the key itself is told which table."""
    drop = "ALTER TABLE lines DROP CONSTRAINT lines_order_id_fkey"
    assert Watched(prepared, drop).modes == {"lines": Mode.ACCESS_EXCLUSIVE, "orders": Mode.ACCESS_EXCLUSIVE}
    assert "the other table, too" in told(drop)["lines"].note


def test_a_valid_check_spares_set_not_null_its_scan(prepared: str) -> None:
    check = "ALTER TABLE orders ADD CONSTRAINT known CHECK (note IS NOT NULL)"
    require = "ALTER TABLE orders ALTER COLUMN note SET NOT NULL"
    assert Watched(prepared, require).scanned == {"orders"}
    assert Watched(prepared, require, before=check).scanned == set()


@pytest.mark.parametrize("sql", ALONE)
def test_the_radar_says_what_a_statement_locks_that_refuses_a_transaction(sql: str, prepared: str) -> None:
    """It is met while it waits for somebody who holds what is in its way; then it is called off."""
    table = ALONE[sql]
    lock = told(sql)[table]
    in_its_way = Mode.ACCESS_SHARE if lock.blocks_reads else lock.mode
    with psycopg.connect(prepared) as other, psycopg.connect(prepared, autocommit=True) as watch:
        other.execute(cast(LiteralString, f"LOCK TABLE {table} IN {in_its_way} MODE"))
        with psycopg.connect(prepared, autocommit=True) as connection, ThreadPoolExecutor(1) as pool:
            connection.execute("SET statement_timeout = '10s'")
            pid = connection.info.backend_pid
            running = pool.submit(connection.execute, cast(LiteralString, sql))
            while not (waiting := watch.execute(WAITING, [pid, table]).fetchall()):
                assert not running.done()
            assert MODES[waiting[0][0]] == lock.mode
            connection.cancel_safe()
            with pytest.raises(psycopg.errors.QueryCanceled):
                running.result()
