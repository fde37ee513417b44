"""SQL for PostgreSQL, read by PostgreSQL's own parser: statements, and which of them run in one transaction.

Offsets, lines and columns are those of the text that was given, in characters. The parser is imported only
when something is parsed.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import groupby
from typing import Any

from engine.plan.sql import radar, tree, unseen
from engine.plan.sql.depth import too_long
from engine.plan.sql.radar import TableLock
from engine.plan.sql.tree import ConcurrentIndex

_PLACEHOLDERS = {"first": "$1", "last": "$2"}
_CONSTANTS = frozenset({"SCONST", "USCONST", "BCONST", "XCONST", "ICONST", "FCONST"})
_COMMENTS = frozenset({"SQL_COMMENT", "C_COMMENT"})
_LONGEST_STRANGER = 100_000
_LONG = 20_000
"""SQL of fewer characters cannot hold an expression that is too long to be read."""
_TOO_LONG = "write it as a list (IN, VALUES), or in several statements"


class SqlError(Exception):
    """SQL that cannot be read, or that no task may run: what is wrong, where, and what to do about it.

    `offset` counts characters from 0, `line` and `column` from 1.
    """

    def __init__(self, message: str, sql: str, offset: int, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.line = sql.count("\n", 0, offset) + 1
        self.column = offset - (sql.rfind("\n", 0, offset) + 1) + 1
        self.hint = hint


@dataclass(frozen=True)
class Statement:
    """One statement of a script, without the semicolon behind it.

    `number` and `line` count from 1, `offset` is where it begins in the script, in characters. `kind` is what
    the server calls it, as in "CREATE INDEX". `why_alone` says why the server refuses it in a transaction;
    empty where it does not. `concurrent` is set for what builds or drops an index concurrently. `node` is the
    parser's own tree of it.
    """

    number: int
    line: int
    offset: int
    text: str
    kind: str
    why_alone: str
    controls_transaction: bool
    concurrent: ConcurrentIndex | None
    node: Any = field(repr=False, compare=False)

    @property
    def transactional(self) -> bool:
        """Whether it runs inside a transaction, and is undone with it."""
        return not self.why_alone

    @cached_property
    def locks(self) -> tuple[TableLock, ...]:
        """The tables it locks, as far as its text tells; see `unseen`."""
        return radar.locks(self.node)

    @property
    def unseen(self) -> str:
        """Why not all of its locks can be told from its text; empty where they can."""
        return unseen.unseen(self.node)

    @property
    def creates(self) -> str:
        """The table or materialized view that it creates; empty where it creates none."""
        return radar.created(self.node)

    @property
    def index(self) -> tuple[str, str]:
        """The index that it creates by name, and its table; empty texts where it does not."""
        return tree.index_of(self.node)

    def summary(self, width: int = 120) -> str:
        """The text in one line of at most `width` characters."""
        line = " ".join(self.text.split())
        return line if len(line) <= width else f"{line[: width - 1]}…"


@dataclass(frozen=True, slots=True)
class Part:
    """What is committed at once: a group of statements in one transaction, or one that refuses any.

    `number` counts from 1.
    """

    number: int
    statements: tuple[Statement, ...]
    transactional: bool

    @property
    def settings(self) -> tuple[Statement, ...]:
        """Those that set something for the connection, and so for the parts to come."""
        return tuple(each for each in self.statements if tree.sets_connection(each.node))


def split(sql: str) -> list[Statement]:
    """The statements of `sql`; raises SqlError where PostgreSQL's parser refuses it."""
    return list(_remembered(sql)) if len(sql) > _LONG else _statements(sql)


@lru_cache(maxsize=8)
def _remembered(sql: str) -> tuple[Statement, ...]:
    """The statements of long SQL: it is asked for several times in a row, and takes its time."""
    return tuple(_statements(sql))


def _statements(sql: str) -> list[Statement]:
    raw = sql.encode()
    ascii_only = len(raw) == len(sql)
    statements: list[Statement] = []
    at = offset = line_at = 0
    line = 1
    for found in _parsed(sql).stmts:
        start, end = found.stmt_location, found.stmt_location + found.stmt_len if found.stmt_len else len(raw)
        offset += start - at if ascii_only else len(raw[at:start].decode())
        line += sql.count("\n", line_at, offset)
        at, line_at = start, offset
        node = tree.inner(found.stmt)
        statements.append(
            Statement(
                number=len(statements) + 1,
                line=line,
                offset=offset,
                text=raw[start:end].decode().rstrip(),
                kind=tree.kind(node),
                why_alone=tree.why_alone(node),
                controls_transaction=tree.controls_transaction(node),
                concurrent=tree.concurrent(node),
                node=node,
            )
        )
    return statements


def parts(statements: list[Statement]) -> list[Part]:
    """`statements` in the order given, those together that run in one transaction."""
    found: list[Part] = []
    for transactional, group in groupby(statements, key=lambda statement: statement.transactional):
        together = tuple(group)
        each = [together] if transactional else [(statement,) for statement in together]
        found += [Part(len(found) + n, some, transactional) for n, some in enumerate(each, start=1)]
    return found


def settings_before(parts: Iterable[Part], number: int) -> list[str]:
    """What was set for the connection by the time part `number` runs: names, too, mean something by it."""
    return [each.text for part in parts if part.number < number for each in part.settings]


def refusals(sql: str, statements: list[Statement]) -> list[SqlError]:
    """What no task may run of the `statements` of `sql`, each with its place there."""
    return [
        SqlError(message, sql, statement.offset, hint)
        for statement in statements
        for message, hint in tree.refused(statement.node)
    ]


def placeholders(sql: str) -> str:
    """`sql` with `:first` and `:last` as `$1` and `$2`, filled with blanks so that every place stays what it
    was. Strings, comments, casts and names are left alone."""
    text = list(sql)
    before = (-1, "")
    for start, end, kind in _tokens(sql):
        parameter = _PLACEHOLDERS.get(sql[start:end].lower())
        if parameter and before == (start, "ASCII_58"):
            text[start - 1 : end] = parameter.ljust(end - start + 1)
        before = (end, kind)
    return "".join(text)


def normalise(query: str) -> str:
    """`query` in one line, with its constants replaced by $1, $2… and its comments left out.

    For queries of strangers, whose constants are nobody's business: what cannot be read is cut off (…), and
    nothing is raised.
    """
    text = query[:_LONGEST_STRANGER].replace("\0", " ").encode(errors="replace").decode()
    pieces: list[str] = []
    number = end = 0
    for start, stop, kind in _tokens(text, tolerant=True):
        if start > end:
            pieces.append(" ")
        if kind in _CONSTANTS:
            number += 1
            pieces.append(f"${number}")
        elif kind not in _COMMENTS:
            pieces.append(text[start:stop])
        end = stop
    rest = " …" if text[end:].strip() or len(query) > _LONGEST_STRANGER else ""
    return (" ".join("".join(pieces).split()) + rest).strip()


def _parsed(sql: str) -> Any:
    import postgast
    from google.protobuf.message import DecodeError

    if len(sql) > _LONG and (offset := too_long(_tokens(sql, tolerant=True))) is not None:
        raise SqlError("this expression is too long to be read", sql, offset, _TOO_LONG)
    try:
        return postgast.parse(sql)
    except postgast.PgQueryError as error:
        # Contrary to what postgast says of it, the position counts characters.
        offset = min(max(error.cursorpos - 1, 0), len(sql))
        raise SqlError(error.message, sql, offset, _hint(sql, offset)) from error
    except DecodeError:
        return _parsed_deep(sql)


def _parsed_deep(sql: str) -> Any:
    """The tree of statements that are nested deeper than protobuf reads by itself (some 50 operators)."""
    import postgast
    from google.protobuf.internal import api_implementation
    from google.protobuf.message import DecodeError

    try:
        api_implementation._c_module.SetAllowOversizeProtos(True)
        return postgast.parse(sql)
    except (AttributeError, DecodeError) as error:
        raise SqlError("an expression is nested too deep to be read", sql, 0, _TOO_LONG) from error


def _hint(sql: str, offset: int) -> str:
    rest = sql[offset : offset + 40]
    if rest.startswith("\\"):
        return "commands of psql (\\d, \\copy, \\i …) are not SQL; the server does not know them"
    if rest.startswith("`"):
        return 'PostgreSQL quotes names with "…"'
    if re.match(r":'?\"?\w", rest):
        return "variables of psql are not known here; :first and :last stand in a backfill only"
    if rest.startswith(("{{", "${")):
        return "nothing is filled in here; variables of the environment stand under targets only"
    if re.match(r"auto_?increment\b", rest, re.IGNORECASE):
        return "write GENERATED ALWAYS AS IDENTITY"
    if not rest.strip():
        return "the statement breaks off here"
    return ""


def _tokens(sql: str, *, tolerant: bool = False) -> Iterator[tuple[int, int, str]]:
    """Begin, end and kind of every token of `sql`; with `tolerant` up to where it cannot be read."""
    import postgast
    from postgast.pg_query_pb2 import Token

    try:
        scanned = postgast.scan(sql)
    except postgast.PgQueryError as error:
        if tolerant and 1 < error.cursorpos <= len(sql):
            yield from _tokens(sql[: error.cursorpos - 1], tolerant=True)
        return
    kinds = Token.DESCRIPTOR.values_by_number
    raw = sql.encode()
    ascii_only = len(raw) == len(sql)
    at = offset = 0
    for token in scanned.tokens:
        if ascii_only:
            start, end = token.start, token.end
        else:
            start = offset + len(raw[at : token.start].decode())
            end = start + len(raw[token.start : token.end].decode())
        known = kinds.get(token.token)
        yield start, end, known.name if known else ""
        at, offset = token.end, end
