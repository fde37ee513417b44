"""A plan in order, with every key of the plan language on a line of its own; and ways to spoil it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

GOOD = """\
wesley: 1
name: a plan in order
model: rolling
workers: 4
policy: critical-path
interpreter: python3
targets:
  app:
    sqlite: app.db
  main:
    postgres: dbname=shop
resources:
  cpu: 2
checkpoints:
  every: 30m
  progress: 25
  phases: true
  before_risk: 0.7
  keep: 10
retry:
  attempts: 3
  base: 1s
  cap: 30s
  jitter: false
defaults:
  timeout: 10m
  lock_timeout: 1s
  lock_patience: 2m
phases:
  - expand
  - switch
waves:
  - id: early
    name: The early wave
  - id: late
tasks:
  - id: first
    name: The first task
    run:
      sql: CREATE TABLE t (x)
      on: app
    rollback:
      shell: echo rollback
    verify:
      python: checks:verify
    needs: []
    wave: early
    phase: expand
    duration: 5m
    effort: 0.5
    value: 8
    risk: 0.2
    critical: true
    idempotent: false
    uses:
      cpu: 1
    locks:
      - rows
    timeout: 30s
    classify:
      - exit: 75
        as: transient
      - sqlstate: "55P03"
        as: permanent
      - output: deadlock
        as: unknown
  - id: second
    run:
      simulate:
        duration: 5s
        exit: 0
        output: done
    needs:
      - first
    wave: late
    phase: switch
  - id: third
    run:
      sql_file: third.sql
      on: app
  - id: fourth
    lock_timeout: 2s
    run:
      backfill:
        table: shop.orders
        key: id
        sql: UPDATE shop.orders SET x = 1 WHERE id BETWEEN :first AND :last
        batch: 500
        pause: 10ms
        throttle:
          lag: 10s
          lock_waits: 5
          sql: SELECT false
          every: 1s
      on: main
"""
CHOSEN = frozenset({"app", "main", "cpu"})
"""Keys that the plan's author chose."""

_ENTRY = re.compile(r"(?P<lead> *(?:- )?)(?P<key>\w+):(?: (?P<value>.*))?")


class Entry(NamedTuple):
    """A key of GOOD and its value: the line and column of the key, from 1, and the last line of the value."""

    path: tuple[str, ...]
    key: str
    value: str
    line: int
    column: int
    end: int

    @property
    def name(self) -> str:
        return ".".join(self.path)

    def with_value(self, value: str) -> str:
        """GOOD with another value here. It stands at `value_column`."""
        return self._replaced(f"{self._lead()}{self.key}: {value}")

    @property
    def value_column(self) -> int:
        return self.column + len(self.key) + 2

    def with_key(self, key: str) -> str:
        return self._replaced(_LINES[self.line - 1].replace(f"{self.key}:", f"{key}:", 1), only_first=True)

    def twice(self) -> str:
        """GOOD with this entry a second time, one line below its end."""
        again = [" " * (self.column - 1) + f"{self.key}: {self.value}".rstrip()]
        again += _LINES[self.line : self.end]
        return "\n".join([*_LINES[: self.end], *again, *_LINES[self.end :]])

    def _lead(self) -> str:
        return _LINES[self.line - 1][: self.column - 1]

    def _replaced(self, line: str, *, only_first: bool = False) -> str:
        end = self.line if only_first else self.end
        return "\n".join([*_LINES[: self.line - 1], line, *_LINES[end:]])


_LINES = GOOD.split("\n")


def entries() -> Iterator[Entry]:
    """Every key of GOOD, in order."""
    above: list[tuple[int, str]] = []
    for number, line in enumerate(_LINES, 1):
        if not (found := _ENTRY.fullmatch(line)):
            continue
        column = len(found["lead"]) + 1
        above = [(indent, key) for indent, key in above if indent < column]
        above.append((column, found["key"]))
        path = tuple(key for _, key in above)
        yield Entry(path, found["key"], found["value"] or "", number, column, _end(number, column))


def _end(number: int, column: int) -> int:
    """The last line of what belongs to the key in line `number`."""
    while number < len(_LINES) and len(_LINES[number]) - len(_LINES[number].lstrip(" ")) >= column:
        number += 1
    return number


def good_folder(folder: Path) -> Path:
    """`folder` with everything that GOOD names in it."""
    (folder / "third.sql").write_text("INSERT INTO t VALUES (1)\n")
    (folder / "checks.py").write_text("def verify():\n    return True\n")
    return folder
