"""Checking a document value by value against the models, in the words of the plan language."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from engine.plan.errors import PlanErrors, quote, visible
from engine.plan.models import AS_WRITTEN, Plan, Strict, Task
from engine.plan.notes import Notes
from engine.plan.schema import expected_at, expected_in
from engine.plan.source import Loc, read_yaml

_Checked = TypeVar("_Checked", bound=Strict)

_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_PATTERNS = {
    "python": "a function is written module:function",
    "sqlstate": "an SQLSTATE is two to five digits and capital letters",
    "table": "a table is written table or schema.table, each in double quotes if SQL needs them",
    "key": "a key is one column, in double quotes if SQL needs them",
}
_NAME = "a name begins with a letter, a digit or _, and goes on with those, - and ."
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}
Expected = Callable[[Loc], tuple[str, ...]]


def validate(notes: Notes) -> Plan | None:
    """The Plan in the document, or None with everything that is wrong noted."""
    data = notes.document.data
    given = data.get("tasks") if isinstance(data, dict) else None
    if isinstance(given, list):
        # One by one, so that a file that is wrong everywhere does not raise millions of errors at once.
        tasks = [checked(notes, Task, task, ("tasks", position)) for position, task in enumerate(given)]
        data = data | {"tasks": [task for task in tasks if task is not None]}
    return checked(notes, Plan, data)


def read_as(path: Path, model: type[_Checked], also: Callable[[Notes], None] | None = None) -> _Checked:
    """The `model` in the YAML file at `path`, for documents beside a plan; raises PlanErrors.

    `also` notes what `model` alone cannot tell, so that everything is reported at once."""
    document = read_yaml(path)
    notes = Notes(document, document.findings)
    value = checked(notes, model, document.data, expected=partial(expected_in, model.model_json_schema()))
    if also:
        also(notes)
    if value is None or notes.findings:
        raise PlanErrors(notes.findings)
    return value


def checked(
    notes: Notes, model: type[_Checked], data: Any, at: Loc = (), expected: Expected = expected_at
) -> _Checked | None:
    """The `model` in `data`, which stands at `at` in the document, or None with what is wrong noted.

    `expected` knows the keys and values that may stand at a place, for hints."""
    if notes.full:
        return None
    try:
        return model.model_validate(data, context=AS_WRITTEN)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False):
            _note(notes, each["type"], at + each["loc"], each.get("ctx", {}), each["msg"], expected)
        return None


def _note(
    notes: Notes, kind: str, loc: Loc, context: dict[str, Any], message: str, expected: Expected
) -> None:
    if kind == "extra_forbidden":
        name = str(loc[-1])
        notes.add(loc, f"unknown key {quote(name)}", key=True, near=(name, expected(loc[:-1])))
    elif kind == "too_short":
        # A list in which every item is wrong comes here too, and has been complained of already.
        if not notes.document.value(loc):
            notes.add(loc, "at least one entry is needed here")
    elif kind == "missing":
        notes.add(loc[:-1], f"{quote(loc[-1])} is missing")
    elif loc and loc[-1] == "[key]":
        notes.add(loc[:-1], f"{quote(loc[-2])} is no name: {_NAME}", key=True)
    else:
        text = notes.document.place(loc).text
        known = expected(loc) if kind in ("literal_error", "enum") else ()
        said, hint = _said(kind, loc, context, message, text, known)
        near = (text, known) if known else None
        notes.add(loc, said, hint, near=near)


def _said(
    kind: str, loc: Loc, context: dict[str, Any], message: str, text: str, known: tuple[str, ...]
) -> tuple[str, str]:
    """What is wrong, and a hint, for a value that was written as `text`, where `known` may stand."""
    given = quote(text) if text else "this"
    if kind in _TYPES:
        hints = {"string_type": f"put it in quotes: {quote(text)}", "tuple_type": f"write [{visible(text)}]"}
        return f"{given} is not {_TYPES[kind]}", hints.get(kind, "") if text else ""
    if kind in ("literal_error", "enum"):
        if loc == ("wesley",):
            return f"version {given} of the plan language is not known here", "this program reads version 1"
        return f"{given} is not one of {', '.join(known)}", ""
    if kind == "string_pattern_mismatch":
        return f"{given} is not right here: {_PATTERNS.get(str(loc[-1]), _NAME)}", ""
    if kind == "value_error":
        return (f"{given}: {context['error']}" if text else str(context["error"])), ""
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"{given} is out of range: it must be {words} {context[bound]:,.10g}", ""
    if kind == "string_too_long":
        return f"{given} is longer than {context['max_length']} characters", ""
    if kind == "string_too_short":
        return "there is nothing in it", ""
    return f"{given} is not right here: {message[:1].lower()}{message[1:]}", ""
