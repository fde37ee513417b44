"""Reading YAML: 1.2 values, places through aliases, and files made to hurt."""

import json
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.plan import source
from engine.plan.errors import PlanErrors
from engine.plan.source import parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("y", "y"),
        ("1:30:00", "1:30:00"),
        ("12:30", "12:30"),
        ("017", 17),
        ("0o17", 15),
        ("0x1f", 31),
        ("1_000", "1_000"),
        ("-7", -7),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("+.inf", float("inf")),
        ("2024-01-01", "2024-01-01"),
        ("1.2.3", "1.2.3"),
        ("0b101", "0b101"),
        ("true", True),
        ("True", True),
        ("TrUe", "TrUe"),
        ("~", None),
        ("null", None),
        ("", None),
        ("'7'", "7"),
        ('"true"', "true"),
        ("9" * 40, int("9" * 40)),
        ("9" * 41, 1e41),
        ("=", "="),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_values_are_those_of_yaml_1_2(written: str, value: Any) -> None:
    read = parse_yaml(f"key: {written}\n", "p").data["key"]
    assert read == value
    assert type(read) is type(value)


def test_keys_are_text() -> None:
    assert parse_yaml("{1: a, true: b, null: c, no: d}", "p").data == {
        "1": "a",
        "true": "b",
        "null": "c",
        "no": "d",
    }


plain = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=8)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain, inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(values)
def test_json_is_read_as_what_it_says(value: Any) -> None:
    assert parse_yaml(json.dumps(value, ensure_ascii=False), "p").data == value


def test_places_of_values_keys_and_what_is_missing() -> None:
    document = parse_yaml("a:\n  b: [x, {c: 1}]\n  d: &anchor y\ne: *anchor\n", "p")

    def at(*loc: str | int, key: bool = False) -> tuple[int, int, str]:
        place = document.place(loc, key=key)
        return place.line, place.column, place.text

    assert at("a", "b", 1, "c") == (2, 14, "1")
    assert at("a", "b", 1, "c", key=True) == (2, 11, "c")
    assert at("a", "b", 0) == (2, 7, "x")
    assert at("a", "b", key=True) == (2, 3, "b")
    assert at("a", "b", 5) == (2, 6, "")
    assert at("a", "nowhere") == (2, 3, "")
    assert at("e") == (3, 6, "y")
    assert at("e", key=True) == (4, 1, "e")
    assert at() == (1, 1, "")


def doubling(levels: int) -> str:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, levels)]
    return "\n".join(lines)


BOMBS = {
    "laughs": (doubling(64), "with its aliases written out"),
    "one text many times": ("a: &a " + "x" * 1_000_000 + "\nb: [" + "*a," * 1000 + "]", "with its aliases"),
    "deep flow": ("[" * 1_000_000, "nested more than 50 deep"),
    "deep mappings": ("{a: " * 500_000, "nested more than 50 deep"),
    "deep block": ("- " * 500_000, "nested more than 50 deep"),
    "deep indentation": ("".join(" " * n + "a:\n" for n in range(2000)), "nested more than 50 deep"),
    "many entries": ("[" + "1," * 1_000_000 + "]", "more than 200,000 entries"),
    "many keys": ("{" + "".join(f"{n}: 1," for n in range(300_000)) + "}", "more than 200,000 entries"),
    "duplicate keys": ("{" + "a: 1," * 300_000 + "}", "duplicate key"),
    "a digit that never ends": ("a: " + "1" * 5_000_000 + "\nb: *x", "unknown anchor"),
    "anchors": ("".join(f"- &a{n} x\n" for n in range(100_000)) + "- *b", "unknown anchor"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_files_made_to_hurt_are_refused_soon(name: str) -> None:
    text, said = BOMBS[name]
    begun = process_time()
    with pytest.raises(PlanErrors, match=said):
        parse_yaml(text, "bomb.yaml")
    assert process_time() - begun < 8.0


def test_aliases_in_measure_are_fine() -> None:
    assert parse_yaml(doubling(10), "p").root.weight > 1000


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(source.MAX_BYTES + 1)
    with pytest.raises(PlanErrors, match="larger than 20 MB"):
        read_yaml(path)
