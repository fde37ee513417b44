"""Foreign text made harmless, and secrets taken out of it. Nothing else in the program may do either."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

TAB_WIDTH = 8
SHORTEST_SECRET = 4
"""Values shorter than this are not redacted: they turn up everywhere, and nobody could keep them secret."""

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_UNFINISHED = re.compile(r"(?:\x1b(?:\[[0-9;:]{0,64})?|\r)\Z")
_LINE_END = re.compile(r"\r\n?")
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Letters and marks that take no ink: they hide text just as zero-width characters do."""
_UNSAFE = {"Cc", "Cf", "Cn", "Cs", "Zl", "Zp"}


class _Table(dict[int, int]):
    """For `str.translate`: each unsafe character to one that shows. Learns as it goes, within bounds."""

    def __missing__(self, code: int) -> int:
        safe = _safe(code)
        if len(self) < 10_000:
            self[code] = safe
        return safe


def _safe(code: int) -> int:
    if code in (0x09, 0x0A):
        return code
    if code < 0x20:
        return 0x2400 + code
    if code == 0x7F:
        return 0x2421
    char = chr(code)
    return 0xFFFD if unicodedata.category(char) in _UNSAFE or char in _UNSEEN else code


_TABLE = _Table()


def neutralise(text: str) -> str:
    """`text` with colours dropped, carriage returns as line ends, and everything that could steer a terminal,
    turn the reading order or hide made visible. Tabs stay."""
    return _LINE_END.sub("\n", _COLOUR.sub("", text)).translate(_TABLE)


def sanitise(text: str) -> str:
    """`neutralise`, with tabs expanded as well: safe for any screen."""
    return neutralise(text).expandtabs(TAB_WIDTH)


def unfinished(text: str) -> int:
    """How many characters at the end of `text` can only be judged together with what follows them."""
    found = _UNFINISHED.search(text)
    return len(text) - found.start() if found else 0


class Redactor:
    """Replaces secret values. Made from a mapping of value to what stands in its place (`${NAME}`)."""

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        # Text is neutralised before it comes here, so that no escape sequence can split a value in two.
        given = {neutralise(value): name for value, name in (secrets or {}).items()}
        self._names = {value: name for value, name in given.items() if len(value) >= SHORTEST_SECRET}
        self._longest = max(map(len, self._names), default=0)
        longest_first = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def redact(self, text: str) -> str:
        """`text`, which is neutralised and whole, without the secrets."""
        return self._pattern.sub(self._name, text) if self._pattern else text

    def edge(self, text: str) -> int:
        """Up to where `text` can be redacted now, whatever follows it: a value may begin behind."""
        if not self._pattern:
            return len(text)
        edge = len(text) - self._beginning(text)
        for match in self._pattern.finditer(text):
            if match.end() > edge:
                return min(edge, match.start())
        return edge

    def _beginning(self, text: str) -> int:
        """The length of the longest end of `text` that may be the beginning of a value."""
        for size in range(min(self._longest - 1, len(text)), 0, -1):
            end = text[-size:]
            if any(value.startswith(end) for value in self._names):
                return size
        return 0

    def _name(self, match: re.Match[str]) -> str:
        return self._names[match.group()]


class Cleaner:
    """Foreign text that arrives in pieces, neutralised and redacted as if it had come in one."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._raw = ""
        self._neutral = ""

    def feed(self, piece: str) -> str:
        """All that is certain by now; the rest comes with the next piece, or with `finish`."""
        raw = self._raw + piece
        cut = len(raw) - unfinished(raw)
        self._raw = raw[cut:]
        neutral = self._neutral + neutralise(raw[:cut])
        edge = self._redactor.edge(neutral)
        self._neutral = neutral[edge:]
        return self._redactor.redact(neutral[:edge])

    def finish(self) -> str:
        rest = self._neutral + neutralise(self._raw)
        self._raw = self._neutral = ""
        return self._redactor.redact(rest)


def clean_value(value: Any, redactor: Redactor) -> Any:
    """A JSON value with every string in it, keys too, neutralised and redacted."""
    match value:
        case str():
            return redactor.redact(neutralise(value))
        case dict():
            return {clean_value(key, redactor): clean_value(item, redactor) for key, item in value.items()}
        case list():
            return [clean_value(item, redactor) for item in value]
    return value
