"""Expressions too long to be read: the parser's own stack would not hold their trees, and it looks after
itself only where the grammar nests, not where it chains, as in `1 + 1 + 1 …`."""

from collections.abc import Iterable

_MOST_WORDS = 16_000
"""Words of an expression without a comma, AND or OR; a chain of half as many operators is read safely."""
_MOST_CHAINED = 8_000
"""Queries in one UNION and the like, or tables in one chain of JOINs."""

_OPENS = {"ASCII_40", "ASCII_91"}
_CLOSES = {"ASCII_41", "ASCII_93"}
_PARTS = {"ASCII_44", "AND", "OR"}
"""What the grammar makes a list of, however long."""
_CHAINS = {"UNION", "INTERSECT", "EXCEPT", "JOIN"}
_END = "ASCII_59"


def too_long(tokens: Iterable[tuple[int, int, str]]) -> int | None:
    """Where a chain becomes too long to be read; None where none does."""
    levels = [[0, 0]]  # for each open parenthesis: words since the last comma, chained queries
    for start, _, kind in tokens:
        here = levels[-1]
        if kind in _OPENS:
            levels.append([0, 0])
        elif kind in _CLOSES and len(levels) > 1:
            levels.pop()
        elif kind in _PARTS:
            here[0] = 0
        elif kind == _END:
            levels = [[0, 0]]
        else:
            here[0] += 1
            here[1] += kind in _CHAINS
            if here[0] > _MOST_WORDS or here[1] > _MOST_CHAINED:
                return start
    return None
