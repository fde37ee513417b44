"""What is wrong with a plan, and where: located errors and warnings, and how they read.

Text of the plan is foreign: wherever it is quoted, characters that could steer a terminal are shown escaped,
and passwords in connection strings are not shown.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engine.plan.passwords import hide_passwords

MAX_FINDINGS = 1000
"""No more than about this many are looked for: a file that is wrong everywhere shall not take all memory."""

_SHOWN_LINE = 100
_SHOWN_QUOTE = 60
_SHOWN_ERRORS = 50


def visible(text: str) -> str:
    """`text` on one line, with every character that is not printable escaped."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def quote(text: object) -> str:
    """`text` in double quotes for a message: visible, and cut where it is long."""
    written = str(text)
    cut = "…" if len(written) > _SHOWN_QUOTE else ""
    return f'"{visible(written[:_SHOWN_QUOTE])}{cut}"'


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file. `line` and `column` count from 1; line 0 is the file as a whole.

    `text` is what stands there, `source_line` the whole line.
    """

    file: str
    line: int = 0
    column: int = 0
    text: str = ""
    source_line: str = ""

    def __str__(self) -> str:
        return f"{visible(self.file)}:{self.line}:{self.column}" if self.line else visible(self.file)

    def excerpt(self) -> str:
        """The source line with a caret under the column; only the part around it where the line is long."""
        if not self.source_line.strip():
            return ""
        line = hide_passwords(self.source_line)
        column = len(hide_passwords(self.source_line[: self.column - 1]))
        start = max(0, column - _SHOWN_LINE // 2)
        shown = line[start : start + _SHOWN_LINE].replace("\t", " ")
        before = visible(shown[: column - start])
        indent = sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in before)
        margin = f"{self.line:>5} | "
        return f"{margin}{visible(shown)}\n{' ' * (len(margin) - 2)}| {' ' * indent}^"


@dataclass(frozen=True, slots=True)
class Finding:
    """One error or warning: what is wrong and why, where, and what to do about it (`hint`)."""

    message: str
    place: Place
    hint: str = ""
    severity: Literal["error", "warning"] = "error"

    def render(self) -> str:
        prefix = "" if self.severity == "error" else "warning: "
        parts = [f"{self.place}: {prefix}{hide_passwords(self.message)}", self.place.excerpt()]
        if self.hint:
            parts.append(f"  hint: {self.hint}")
        return "\n".join(part for part in parts if part)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; `line` and `column` are null where the file as a whole is meant."""
        return {
            "severity": self.severity,
            "file": self.place.file,
            "line": self.place.line or None,
            "column": self.place.column or None,
            "text": hide_passwords(self.place.text),
            "message": hide_passwords(self.message),
            "hint": self.hint,
        }


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """`findings` file by file, as the files first come up, and by line and column in each."""
    given = list(findings)
    files = {file: rank for rank, file in enumerate(dict.fromkeys(each.place.file for each in given))}

    def standing(finding: Finding) -> tuple[int, int, int]:
        return files[finding.place.file], finding.place.line, finding.place.column

    return tuple(sorted(given, key=standing))


def render(findings: Sequence[Finding]) -> str:
    """All of `findings` for people; of very many the first, and how many more there are."""
    shown = [finding.render() for finding in findings[:_SHOWN_ERRORS]]
    if len(findings) > _SHOWN_ERRORS:
        least = "at least " if len(findings) >= MAX_FINDINGS else ""
        shown.append(f"… and {least}{len(findings) - _SHOWN_ERRORS} more")
    return "\n".join(shown)


class PlanErrors(Exception):
    """A plan that cannot be used, with everything that is wrong with it, in the order of the file."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = in_order(findings)
        super().__init__(self.findings)

    def __str__(self) -> str:
        return self.render()

    def render(self) -> str:
        return render(self.findings)

    def as_dict(self) -> dict[str, Any]:
        return {"errors": [finding.as_dict() for finding in self.findings]}


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint that names the one of `names` most like `name`, or all of a few, or nothing."""
    from rapidfuzz import fuzz, process

    known = list(names)
    found = process.extractOne(name, known, scorer=fuzz.ratio, processor=str.lower, score_cutoff=60)
    if found:
        return f"did you mean {quote(found[0])}?"
    if known and len(known) <= 12:
        return f"known here: {', '.join(visible(each) for each in known)}"
    return ""
