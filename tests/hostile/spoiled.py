"""The good plan, spoiled at every key in turn: misspelt, given twice, and of every wrong type."""

from collections.abc import Iterator
from typing import NamedTuple

from tests.hostile.good_plan import CHOSEN, Entry, entries


class Case(NamedTuple):
    """A plan with a mistake at `line` and `column`, and what is told of it."""

    text: str
    line: int
    column: int
    said: str
    hint: str = ""


WRONG: dict[str, dict[str, str]] = {
    "text": {
        "7": "is not text",
        "true": "is not text",
        "[a, b]": "this is not text",
        "{a: b}": "this is not text",
    },
    "written": {"''": "there is nothing in it", "' '": "there is nothing in it", '"a\\0b"': "U+0000"},
    "number": {
        "many": "is not a number",
        "[1]": "this is not a number",
        "true": "is not a number",
        ".nan": "is not right here: input should be a finite number",
        "-.inf": "is not right here: input should be a finite number",
        "1e999": "is not right here: input should be a finite number",
        "-1": "out of range",
    },
    "whole": {
        "many": "is not a whole number",
        "[1]": "this is not a whole number",
        "2.5": "is not a whole number",
        "1e3": "is not a whole number",
        ".inf": "is not a whole number",
        "9" * 50: "is not a whole number",
        "true": "is not a whole number",
    },
    "count": {"-1": "out of range", "9" * 30: "out of range"},
    "truth": {
        "yes": "is not true or false",
        "1": "is not true or false",
        "[true]": "this is not true or false",
        "'true'": "is not true or false",
    },
    "duration": {
        "30": "not a duration",
        "-5s": "not a duration",
        "99999999d": "a duration of more than a year",
        "9" * 400 + "s": "a duration of more than a year",
        "1e9s": "not a duration",
        ".nan": "not a duration",
        "[1s]": "not a duration",
        "١٢s": "not a duration",
        "soon": "not a duration",
    },
    "mapping": {"7": "is not a mapping", "[a, b]": "this is not a mapping", "''": "not a mapping"},
    "list": {"7": "is not a list", "{a: b}": "this is not a list", "a": "is not a list"},
    "name": {
        "a b": "a name begins with",
        "../a": "a name begins with",
        '"a\\u202eb"': "a name begins with",
        '"a\\0b"': "a name begins with",
        "注文": "a name begins with",
        "x" * 101: "is longer than 100 characters",
        "[a, b]": "this is not text",
    },
    "identifier": dict.fromkeys(
        ("a b", "../a", '"a\\u202eb"', '"a\\0b"', "注文", "'\"a'", "a.b.c", "a;b", "' '"),
        "in double quotes if SQL needs them",
    )
    | {"''": "double quotes", "[a, b]": "this is not text", "x" * 401: "is longer than"},
    "choice": {"7": "is not one of", "[a]": "is not one of"},
}

KINDS: dict[str, str] = {
    "name python output": "text",
    "interpreter sqlite postgres sql shell sql_file": "text written",
    "before_risk effort value risk": "number",
    "workers progress keep attempts cpu": "whole count",
    "exit": "whole",
    "phases jitter critical idempotent": "truth",
    "every base cap timeout lock_timeout lock_patience duration pause lag": "duration",
    "batch lock_waits": "whole count",
    "table key": "identifier",
    "targets resources checkpoints retry defaults run rollback verify uses simulate app main": "mapping",
    "backfill throttle": "mapping",
    "tasks needs locks classify waves": "list",
    "id on wave phase": "name",
    "model policy as": "choice",
}
"""What belongs at each key, by the key."""
_KIND_OF = {key: kinds.split() for keys, kinds in KINDS.items() for key in keys.split()}


def misspelt() -> Iterator[tuple[str, Case]]:
    """Each key with two letters changed about (or the last one doubled): the right one is what is hinted."""
    for entry in entries():
        if entry.key not in CHOSEN:
            wrong = _misspelt(entry.key)
            said, hint = f'unknown key "{wrong}"', f'did you mean "{entry.key}"?'
            yield _id(entry), Case(entry.with_key(wrong), entry.line, entry.column, said, hint)


def given_twice() -> Iterator[tuple[str, Case]]:
    for entry in entries():
        said, hint = f'duplicate key "{entry.key}"', f"first given in line {entry.line}"
        yield _id(entry), Case(entry.twice(), entry.end + 1, entry.column, said, hint)


def of_the_wrong_type() -> Iterator[tuple[str, Case]]:
    for entry in entries():
        for kind in _kinds(entry):
            for value, said in WRONG[kind].items():
                case = Case(entry.with_value(value), entry.line, entry.value_column, said)
                yield f"{_id(entry)}: {value[:20]}", case


def _kinds(entry: Entry) -> list[str]:
    if entry.path == ("phases",):
        return ["list"]
    return _KIND_OF.get(entry.key, [])


def _misspelt(key: str) -> str:
    return key + key[-1] if len(key) < 4 else key[:-2] + key[-1] + key[-2] if key[-1] != key[-2] else key[:-1]


def _id(entry: Entry) -> str:
    return f"{entry.name} in line {entry.line}"
