"""Durations as plans write them, and as people read them. The unit inside the program is the second."""

import re

_CLOCK = re.compile(
    r"(?:(?P<d>\d+(?:\.\d+)?)d)?(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?"
    r"(?:(?P<s>\d+(?:\.\d+)?)s)?(?:(?P<ms>\d+(?:\.\d+)?)ms)?"
)
_ISO = re.compile(
    r"P(?:(?P<w>\d+(?:\.\d+)?)W)?(?:(?P<d>\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(?P<h>\d+(?:\.\d+)?)H)?(?:(?P<m>\d+(?:\.\d+)?)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?"
)
_SECONDS = {"w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_TWO_UNITS = (("d", 86_400, "h", 3_600), ("h", 3_600, "m", 60), ("m", 60, "s", 1))

LONGEST_S = 366 * 86_400.0
"""The longest duration a plan may name, in seconds: a year. Anything longer is a slip of the pen."""


def parse_duration(text: object) -> float:
    """Seconds in `text`: `30s`, `5m`, `1h30m`, `1d`, `250ms` or ISO 8601 (`PT1H30M`).

    Raises ValueError, with what was expected, for anything else; bare numbers included, since
    YAML 1.1 readers make 5400 of `1:30:00` and nobody can tell whether `30` meant seconds or minutes.
    """
    if isinstance(text, str) and text.isascii() and text.strip():
        bare = text.strip()
        match = _ISO.fullmatch(bare.upper()) if bare[0] in "pP" else _CLOCK.fullmatch(bare.lower())
        parts = {unit: float(n) for unit, n in match.groupdict().items() if n} if match else {}
        if parts:
            seconds = sum(_SECONDS[unit] * n for unit, n in parts.items())
            if seconds > LONGEST_S:
                raise ValueError("a duration of more than a year")
            return seconds
    raise ValueError("not a duration: write it like 30s, 5m, 1h30m or PT1H30M")


def format_duration(seconds: float, *, days: bool = True) -> str:
    """`seconds` in at most two units, for people: 0.25 is `250ms`, 5400 is `1h30m`, 172800 is `2d`.

    Without `days` hours are the largest unit, so that lengths can be compared to the minute."""
    if seconds < 0:
        return "-" + format_duration(-seconds, days=days)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms" if seconds else "0s"
    if seconds < 9.95:
        return f"{seconds:.1f}s".replace(".0s", "s")
    whole = round(seconds)
    for unit, size, below, below_size in _TWO_UNITS[0 if days else 1 :]:
        if whole >= size:
            count, rest = divmod(whole, size)
            return f"{count}{unit}" + (f"{rest // below_size}{below}" if rest // below_size else "")
    return f"{whole}s"
