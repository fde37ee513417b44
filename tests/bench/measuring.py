"""What the benchmarks have in common: rounds in turn, medians, and ratios."""

from collections.abc import Callable, Mapping
from statistics import median


def in_turn(rounds: int, contenders: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """The median of what each contender measures. They take turns, so that a busy machine slows all alike."""
    measured: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            measured[name].append(measure())
    return {name: median(values) for name, values in measured.items()}


def verdict(ratio: float, aim: float) -> str:
    return f"{'met' if ratio <= aim else 'not met'}: at most {aim:g}"
