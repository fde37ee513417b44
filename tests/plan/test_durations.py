"""Durations, as they are written and as they are read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.plan.durations import LONGEST_S, format_duration, parse_duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("2d", 172_800.0),
        ("250ms", 0.25),
        ("1.5h", 5400.0),
        (" 1H ", 3600.0),
        ("PT1H30M", 5400.0),
        ("p1w", 604_800.0),
        ("P1DT12H", 129_600.0),
        ("0s", 0.0),
    ],
)
def test_what_is_a_duration(written: str, seconds: float) -> None:
    assert parse_duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written", ["", " ", "30", 30, 1.5, None, True, "1:30", "-5s", "5 m", "m", "P", "PT", "5x", "٣٠s", "PT1ſ"]
)
def test_what_is_none(written: object) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(written)


def test_more_than_a_year_is_a_slip_of_the_pen() -> None:
    with pytest.raises(ValueError, match="more than a year"):
        parse_duration("9999d")


@settings(deadline=None)
@given(st.floats(0, LONGEST_S))
def test_what_is_shown_is_a_duration_again_and_nearly_the_same(seconds: float) -> None:
    shown = format_duration(seconds)
    unit = max(size for size in (0.001, 0.1, 1, 60, 3600) if size <= max(seconds / 5, 0.001))
    assert parse_duration(shown) == pytest.approx(seconds, abs=unit)
    assert format_duration(-seconds) == "-" + shown or shown == "0s"
