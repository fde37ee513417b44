"""The lock radar in words: what the SQL of a plan locks on PostgreSQL, and whom that keeps waiting."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from console.look import one_line, plural
from engine.plan.passwords import hide_passwords
from engine.plan.sql.parse import Part, Statement
from engine.plan.sql.radar import Extent, TableLock
from engine.plan.sql.scripts import Script

_NAMED = 8
"""So many tables are named; the rest is counted."""


class Line(NamedTuple):
    """A line of the radar. `indent` is how deep it stands; a lock's `weight` is 2 where reads are blocked, 1
    where only writes are, and 0 otherwise."""

    indent: int
    text: str
    kind: str
    weight: int = 0


@dataclass
class Summary:
    """What the statements that are to run take of tables that others use; each table is named once, where it
    is hit hardest. `strong` counts statements that block reads or writes."""

    statements: int = 0
    strong: int = 0
    alone: int = 0
    blocks_reads: dict[str, None] = field(default_factory=dict)
    blocks_writes: dict[str, None] = field(default_factory=dict)
    rewritten: dict[str, Extent] = field(default_factory=dict)
    scanned: dict[str, Extent] = field(default_factory=dict)
    unseen: int = 0


def summarise(scripts: Sequence[Script]) -> Summary:
    """What the runs of `scripts` take, rollbacks and verifies left out."""
    found = Summary()
    for script in scripts:
        if script.role != "run":
            continue
        for statement in script.statements:
            _count(found, script, statement)
    found.blocks_writes = {each: None for each in found.blocks_writes if each not in found.blocks_reads}
    return found


def _count(found: Summary, script: Script, statement: Statement) -> None:
    locks = script.felt(statement)
    found.statements += 1
    found.alone += not statement.transactional
    found.unseen += bool(statement.unseen)
    found.strong += any(lock.blocks_writes for lock in locks)
    for lock in locks:
        if lock.blocks_writes:
            blocked = found.blocks_reads if lock.blocks_reads else found.blocks_writes
            blocked[lock.on] = None
            for tables, extent in ((found.rewritten, lock.rewrites), (found.scanned, lock.scans)):
                if extent and tables.get(lock.on) != "yes":
                    tables[lock.on] = extent


def facts(found: Summary) -> list[tuple[str, str]]:
    """`found` as labels and texts; a text is empty where there is nothing to say."""
    refuse = "that refuses" if found.alone == 1 else "that refuse"
    blocking = f"{found.strong} of {found.statements} block others" if found.strong else "none blocks others"
    return [
        ("statements", blocking),
        ("no access to", _tables(found.blocks_reads)),
        ("no writes of", _tables(found.blocks_writes)),
        ("rewritten", _tables(_perhaps(found.rewritten))),
        ("scanned", _tables(_perhaps(found.scanned))),
        ("alone", f"{plural(found.alone, 'statement')} {refuse} a transaction" if found.alone else ""),
        ("not seen", f"what {plural(found.unseen, 'statement')} may do besides" if found.unseen else ""),
    ]


def _perhaps(tables: dict[str, Extent]) -> list[str]:
    """Tables that surely are, and then those that may be."""
    return [
        *(each for each in tables if tables[each] == "yes"),
        *(f"perhaps {each}" for each in tables if tables[each] == "may"),
    ]


def _tables(tables: Iterable[str]) -> str:
    tables = list(tables)
    named = ", ".join(one_line(each) for each in tables[:_NAMED])
    return f"{named} and {len(tables) - _NAMED} more" if len(tables) > _NAMED else named


def lines(script: Script) -> Iterator[Line]:
    """All that there is to say of one action: how it is committed, and what each statement takes."""
    several = script.mixed
    for part in script.parts:
        if several:
            yield Line(1, f"part {part.number}, {how(part)}", "part")
        for statement in part.statements:
            yield Line(
                1 + several, f"{statement.number}  {one_line(hide_passwords(statement.text))}", "statement"
            )
            yield from _effects(script, statement, 2 + several)


def how(part: Part) -> str:
    """How a part is committed, and why."""
    first, *more = part.statements
    if first.why_alone:
        return f"alone: {first.why_alone}"
    return f"one transaction of {1 + len(more)} statements" if more else "one transaction"


def heading(script: Script) -> str:
    """What one action does: its task, its role, where, and how it is committed."""
    where = f"{script.task}: {script.role} on {script.target}"
    if script.is_backfill:
        return f"{where}, a backfill: one transaction for each batch"
    if script.mixed:
        return f"{where}, committed in {len(script.parts)} parts"
    return f"{where}, {how(script.parts[0])}"


def _effects(script: Script, statement: Statement, indent: int) -> Iterator[Line]:
    for lock in script.felt(statement):
        if lock.mode.strong or lock.scans or lock.rewrites:
            weight = lock.blocks_reads + lock.blocks_writes
            yield Line(indent, f"{one_line(lock.on)}: {told(lock)}", "lock", weight)
    if statement.unseen:
        yield Line(indent, statement.unseen, "note")


def told(lock: TableLock) -> str:
    """What a lock is, whom it blocks, and what is done to the table meanwhile."""
    words = [lock.mode.value]
    if lock.blocks_reads:
        words.append("blocks reads and writes")
    elif lock.blocks_writes:
        words.append("blocks writes")
    for extent, verb in ((lock.rewrites, "rewrite"), (lock.scans if not lock.rewrites else "", "scan")):
        if extent:
            words.append(f"{verb}s it" if extent == "yes" else f"may {verb} it")
    said = ", ".join(words)
    return f"{said} ({lock.note})" if lock.note else said


def is_felt(script: Script) -> bool:
    """Whether there is more to say of an action than that it is one transaction that blocks nobody."""
    return script.mixed or any(line.kind in ("lock", "note") for line in lines(script))


def report(scripts: Sequence[Script], width: int = 80) -> str:
    """The radar of a plan as plain text: what others feel of what it runs, task by task, and the sum."""
    runs = [script for script in scripts if script.role == "run" and script.statements]
    felt = [script for script in runs if is_felt(script)]
    blocks = ["\n".join(_plain(script, width)) for script in felt]
    quiet = [script for script in runs if not is_felt(script)]
    for script in (each for each in quiet if each.is_backfill):
        text = f"{heading(script)}; only those wait who write the rows of a batch"
        blocks.append(textwrap.fill(text, width, subsequent_indent="    "))
    if others := sum(not script.is_backfill for script in quiet):
        blocks.append(f"{plural(others, 'more task')}: one transaction each, and nobody is blocked.")
    summed = [f"{label:<13} {text}" for label, text in facts(summarise(scripts)) if text]
    rest = " " * 14
    blocks.append("\n".join(textwrap.fill(line, width, subsequent_indent=rest) for line in summed))
    return "\n\n".join(blocks)


def _plain(script: Script, width: int) -> Iterator[str]:
    yield textwrap.fill(heading(script), width, subsequent_indent="    ")
    for line in lines(script):
        indent = "  " * line.indent
        if line.kind == "statement":
            yield _cut(indent + line.text, width)
        else:
            yield textwrap.fill(line.text, width, initial_indent=indent, subsequent_indent=indent + "  ")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
