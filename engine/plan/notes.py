"""Collecting findings about one document."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from engine.plan.errors import MAX_FINDINGS, Finding, Place, nearest
from engine.plan.source import Document, Loc

_HINTED = 100
"""Looking for the nearest name takes time in the length of the plan: only the first findings get one."""


@dataclass
class Notes:
    """Findings about `document`. The same said twice of one place (an alias, say) is kept once."""

    document: Document
    findings: list[Finding] = field(default_factory=list)
    _said: set[tuple[Place, str]] = field(default_factory=set)
    _touched: set[tuple[int, int]] = field(default_factory=set)

    def add(
        self,
        loc: Loc,
        message: str,
        hint: str = "",
        *,
        key: bool = False,
        near: tuple[str, Iterable[str]] | None = None,
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        """Note `message` on the value at `loc`, or on its `key`. `near`: a name, and those it may mean."""
        if self.full:
            return
        if near and len(self.findings) < _HINTED:
            hint = nearest(*near) or hint
        place = self.document.place(loc, key=key)
        self._touched.add((place.line, place.column))
        self.add_finding(Finding(message, place, hint, severity))

    def add_finding(self, finding: Finding) -> None:
        """Note `finding`, whose place may be inside a value, or in another file."""
        said = (finding.place, finding.message)
        if not self.full and said not in self._said:
            self._said.add(said)
            self.findings.append(finding)

    @property
    def full(self) -> bool:
        """Whether nothing more is noted."""
        return len(self.findings) >= MAX_FINDINGS

    def touched(self, loc: Loc, *, key: bool = False) -> bool:
        """Whether something is wrong already with the value at `loc`, or with its `key`."""
        place = self.document.place(loc, key=key)
        return (place.line, place.column) in self._touched
