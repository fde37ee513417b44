"""SQL scripts for SQLite, split into statements and looked at: what can run in one transaction."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from engine.plan.models import Action

_TOKEN = re.compile(
    r"""(?P<blank> \s+ | --[^\n]* | /\*.*?(?:\*/|\Z) )
      | '[^']*(?:''[^']*)*' | "[^"]*(?:""[^"]*)*" | `[^`]*(?:``[^`]*)*` | \[[^\]]*\]
      | (?P<end> ; )
      | \w+
      | . """,
    re.VERBOSE | re.DOTALL,
)
_HEAD_TOKENS = 6

_TRANSACTION_CONTROL = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"})
_AUTOCOMMIT = frozenset({"VACUUM", "ATTACH", "DETACH"})
_AUTOCOMMIT_PRAGMAS = frozenset({"JOURNAL_MODE", "SYNCHRONOUS", "FOREIGN_KEYS", "WAL_CHECKPOINT"})
"""Settings that a transaction refuses, or passes over in silence (`foreign_keys`)."""


class Statement(NamedTuple):
    """One statement of a script: its number and its line there, both from 1, and its first words."""

    number: int
    line: int
    text: str
    head: tuple[str, ...]

    @property
    def controls_transaction(self) -> bool:
        """Whether it begins or ends a transaction of its own."""
        return self.head[0] in _TRANSACTION_CONTROL

    @property
    def is_transactional(self) -> bool:
        """Whether it can run inside a transaction, and be undone with it."""
        first, *rest = self.head
        if first != "PRAGMA":
            return first not in _AUTOCOMMIT
        if rest[1:2] == ["."]:
            rest = rest[2:]
        name, *value = rest or [""]
        return name not in _AUTOCOMMIT_PRAGMAS or (
            name != "WAL_CHECKPOINT" and value[:1] not in (["="], ["("])
        )

    def summary(self, width: int = 120) -> str:
        """The text in one line of at most `width` characters."""
        line = " ".join(self.text.split())
        return line if len(line) <= width else f"{line[: width - 1]}…"


def split(script: str) -> list[Statement]:
    """The statements of `script`. Triggers stay whole; pieces of nothing but comments are left out."""
    return [
        Statement(number, line, text, head)
        for number, (line, text, head) in enumerate((piece for piece in _pieces(script) if piece[2]), start=1)
    ]


def _pieces(script: str) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    head: list[str] = []
    start, line, counted = 0, 1, 0
    for token in _TOKEN.finditer(script):
        if token["blank"]:
            continue
        if token["end"]:
            if head and sqlite3.complete_statement(script[start : token.end()]):
                yield line, script[start : token.end()], tuple(head)
                head = []
            continue
        if not head:
            start = token.start()
            line += script.count("\n", counted, start)
            counted = start
        if len(head) < _HEAD_TOKENS:
            head.append(token[0].upper())
    yield line, script[start:].rstrip(), tuple(head)


def is_transactional(sql: str) -> bool:
    """Whether all of `sql` runs in one transaction. Otherwise it runs statement by statement, without a
    ledger row, and what an interruption left behind cannot be told."""
    return all(statement.is_transactional for statement in split(sql))


def read_script(action: Action, folder: Path) -> str:
    """The SQL of an action: as written, or from its file. Raises OSError, or UnicodeDecodeError."""
    if action.sql_file is not None:
        return (folder / action.sql_file).read_text(encoding="utf-8-sig")
    return action.sql or ""
