"""The migration with the shop open: traffic beside a run of plan.yaml, and what the traffic felt.

    python traffic.py [--model wave|rolling] [--seconds-before 5] [--seconds-after 5] [--json FILE]

Without SHOP_DATABASE this starts a private PostgreSQL in a temporary folder, and removes it at the end. The
old shop is built by the plan's own SQL; then customers look things up and place orders, the warehouse moves
orders on and somebody draws up reports (old_application.py), while a run of the plan does its work.

Each statement is timed where it was sent, from sending it until its answer is there. A client waits for an
answer before it sends the next: held up, it sends nothing. So look at the longest stalls first.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from old_application import GIVE_UP_S, Buyer, Statement, open_shop

from engine.plan.load import load_plan
from engine.plan.models import Plan
from engine.tasks.postgres.embedded import CannotEmbed, start_server, stop_server

PLAN = Path(__file__).with_name("plan.yaml")
WHO = ("reader", "writer", "report")
WHEN = ("before", "during", "after")
MARGIN_S = 0.1
"""What a stall may last beyond the plan's lock_timeout: the statement itself, and the way there and back."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one kind of client felt in one span of time. Times in milliseconds."""

    statements: int
    a_second: float
    p50_ms: float
    p99_ms: float
    longest_ms: float
    errors: int

    @classmethod
    def of(cls, statements: Sequence[Statement], span_s: float) -> "Figures":
        took = sorted(each.took_s * 1000 for each in statements) or [0.0]
        p50, p99 = (round(took[int(share * (len(took) - 1))], 2) for share in (0.5, 0.99))
        errors = sum(bool(each.error) for each in statements)
        a_second = round(len(statements) / span_s, 1) if span_s else 0.0
        return cls(len(statements), a_second, p50, p99, round(took[-1], 1), errors)


@dataclass(frozen=True, slots=True)
class Stall:
    """The longest time that a client was held up while the migration ran, and which tasks were under way."""

    took_ms: float
    what: str
    tasks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Result:
    model: str
    exit_code: int
    run_s: float
    lock_timeout_s: float
    orders_placed: int
    orders_lost: int
    figures: dict[str, dict[str, Figures]]
    stalls: dict[str, Stall]
    errors: list[str]

    @property
    def good(self) -> bool:
        within = all(each.took_ms <= 1000 * (self.lock_timeout_s + MARGIN_S) for each in self.stalls.values())
        return within and self.exit_code == 0 and not self.errors and not self.orders_lost


def measure(options: argparse.Namespace, conninfo: str, folder: Path | None) -> Result:
    """Open the shop, run the migration beside it, and close it again."""
    plan = load_plan(PLAN).plan
    build_shop(plan, conninfo, options.orders)
    orders_before = count_orders(conninfo)
    stop = threading.Event()
    felt: list[Statement] = []
    clients = open_shop(conninfo, options.report_seconds, stop, felt)
    opened = time.time()
    time.sleep(options.seconds_before)
    began = time.time()
    exit_code, tasks = migrate(options.model or plan.model, conninfo, folder)
    ended = time.time()
    time.sleep(options.seconds_after)
    closed = time.time()
    stop.set()
    for client in clients:
        client.join(GIVE_UP_S)

    spans = {"before": (opened, began), "during": (began, ended), "after": (ended, closed)}
    parts = {
        (who, when): [each for each in felt if each.who == who and first <= each.sent_at < last]
        for who in WHO
        for when, (first, last) in spans.items()
    }
    placed = sum(client.placed for client in clients if isinstance(client, Buyer))
    return Result(
        model=options.model or plan.model,
        exit_code=exit_code,
        run_s=round(ended - began, 1),
        lock_timeout_s=plan.defaults.lock_timeout,
        orders_placed=placed,
        orders_lost=placed - (count_orders(conninfo) - orders_before),
        figures={
            who: {when: Figures.of(parts[who, when], last - first) for when, (first, last) in spans.items()}
            for who in WHO
        },
        stalls={who: longest(parts[who, "during"], tasks) for who in WHO},
        errors=[f"{each.what}: {each.error}" for each in felt if each.error],
    )


def build_shop(plan: Plan, conninfo: str, orders: int) -> None:
    """The old shop, by the plan's own first task, which then finds it there."""
    print(f"building a shop of {orders:,} orders, unless there is one", flush=True)
    seed = next(task for task in plan.tasks if task.id == "seed-shop")
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(f"SET shop.orders = {orders:d}")
        connection.execute(seed.run.text.encode())


def count_orders(conninfo: str) -> int:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute("SELECT count(*) FROM orders").fetchone()
        assert row
        return int(row[0])


@dataclass(frozen=True, slots=True)
class Work:
    """When a task was under way."""

    task: str
    began_at: float
    ended_at: float


def migrate(model: str, conninfo: str, folder: Path | None) -> tuple[int, list[Work]]:
    """Run the plan as a child, with its output on the screen. With a `folder` the run is kept there."""
    program = program_beside_this()
    environ = os.environ | {"SHOP_DATABASE": conninfo}
    run = f"tenants-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    where = ["--state-dir", str(folder)] if folder else []
    command = [program, "run", str(PLAN), "--headless", "--model", model, "--run-id", run, *where]
    with subprocess.Popen(command, env=environ) as child:
        try:
            exit_code = child.wait()
        except KeyboardInterrupt:  # the child has heard it, too, and stops in good order
            exit_code = child.wait()
    events = subprocess.run([program, "events", run, *where], capture_output=True, text=True, check=False)
    return exit_code, list(work_in(events.stdout))


def work_in(events: str) -> Iterator[Work]:
    """Which task was under way when, by the events of a run, one JSON object a line."""
    began: dict[str, float] = {}
    for event in map(json.loads, events.splitlines()):
        at = datetime.fromisoformat(event["at"]).timestamp()
        if event["kind"] == "task_started":
            began[event["task"]] = at
        elif event["kind"] in ("task_succeeded", "task_failed", "task_cancelled", "task_in_doubt"):
            yield Work(event["task"], began.pop(event["task"], at), at)


def program_beside_this() -> str:
    beside = Path(sys.executable).with_name("wesley-console")
    found = str(beside) if beside.exists() else shutil.which("wesley-console")
    if not found:
        sys.exit("wesley-console is not installed beside this Python, and not on the PATH")
    return found


def longest(statements: Sequence[Statement], tasks: Sequence[Work]) -> Stall:
    worst = max(statements, key=lambda each: each.took_s, default=None)
    if worst is None:
        return Stall(0.0, "nothing was sent")
    until = worst.sent_at + worst.took_s
    beside = sorted({each.task for each in tasks if each.began_at < until and worst.sent_at < each.ended_at})
    return Stall(round(worst.took_s * 1000, 1), worst.what, beside)


@contextmanager
def database() -> Iterator[tuple[str, Path | None]]:
    """The conninfo of the database, and the folder to keep the run in. None means where runs are kept anyway:
    on a database that outlives this program, a run can be resumed."""
    if conninfo := os.environ.get("SHOP_DATABASE"):
        yield conninfo, None
        return
    with tempfile.TemporaryDirectory(prefix="tenants-") as folder:
        server = start_server(Path(folder) / "data")
        try:
            yield server.conninfo, Path(folder) / "runs"
        finally:
            stop_server(server)


def say(result: Result) -> None:
    print(f"\n{result.model}: {result.run_s} s, exit code {result.exit_code}\n")
    heads = "".join(f"{head:>12}" for head in ("statements", "a second", "p50", "p99", "longest", "errors"))
    print(f"{'who':8}{'when':8}{heads}")
    for who in WHO:
        for when in WHEN:
            f = result.figures[who][when]
            times = "".join(f"{ms:9.1f} ms" for ms in (f.p50_ms, f.p99_ms, f.longest_ms))
            print(f"{who:8}{when:8}{f.statements:12,}{f.a_second:12.1f}{times}{f.errors:12,}")
    print()
    for who, stall in result.stalls.items():
        beside = f", beside {', '.join(stall.tasks)}" if stall.tasks else ""
        print(f"longest stall of a {who}: {stall.took_ms:.0f} ms ({stall.what}){beside}")
    bound = 1000 * (result.lock_timeout_s + MARGIN_S)
    print(f"aim: at most {bound:.0f} ms (lock_timeout and {1000 * MARGIN_S:.0f} ms), and no error")
    print(f"{result.orders_placed:,} orders placed, {result.orders_lost:,} of them not there")
    for error, count in {each: result.errors.count(each) for each in result.errors}.items():
        print(f"ERROR ({count} times) {error}")
    print("good" if result.good else "NOT GOOD")


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run plan.yaml with the shop's traffic beside it.")
    parser.add_argument("--model", choices=["rolling", "wave"], help="instead of the plan's own")
    parser.add_argument("--seconds-before", type=float, default=5.0, help="traffic alone, before (5)")
    parser.add_argument("--seconds-after", type=float, default=5.0, help="traffic alone, after (5)")
    parser.add_argument("--report-seconds", type=float, default=2.5, help="how long a report takes (2.5)")
    parser.add_argument("--orders", type=int, default=300_000, help="size of a shop that is built (300000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if the migration went well and the traffic felt no more than it may, else 1."""
    options = options_of(arguments)
    try:
        with database() as (conninfo, folder):
            result = measure(options, conninfo, folder)
    except (CannotEmbed, psycopg.Error) as error:
        print(f"there is no shop to run beside: {error}", file=sys.stderr)
        return 1
    say(result)
    if options.json:
        options.json.write_text(json.dumps(asdict(result) | {"good": result.good}, indent=2) + "\n")
    return 0 if result.good else 1


if __name__ == "__main__":
    sys.exit(main())
