"""The operator's settings file: looks, keys, and what happens when a question opens.

`config.toml` in the user's configuration directory, or the file that `WESLEY_CONSOLE_CONFIG` names. Whoever
has none loses nothing; a file with mistakes is refused, each with its place, before anything starts.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from console.actions import GROUPS, Keymap, NamedAction, every_action
from console.settings.keymap import canonical, known_keys, objections, whole_keymap
from console.theming import theme_names
from engine.plan.errors import Finding, Place, PlanErrors, quote, visible
from engine.plan.models import Strict
from engine.plan.notes import Notes
from engine.plan.schema import expected_in
from engine.plan.source import Document, Node, read_text
from engine.plan.validation import checked

ENVIRONMENT = "WESLEY_CONSOLE_CONFIG"


def _as_keys(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple) and all(isinstance(key, str) for key in value):
        return tuple(value)
    raise ValueError('keys are written "p", or ["p", "f5"]')


Keys = Annotated[tuple[str, ...], BeforeValidator(_as_keys), Field(min_length=1)]


class Settings(Strict):
    """What the settings file says; the defaults are what holds without one."""

    theme: str = ""
    """Name of a theme; empty: the one that was chosen last."""
    bell: bool = True
    """Whether the terminal's bell rings when a question opens."""
    title: bool = True
    """Whether the terminal's title tells how the run is doing."""
    notify: Literal["off", "osc9", "osc777"] = "off"
    """How the terminal is asked for a desktop notification when a question opens."""
    hook: str = ""
    """A command for `sh -c` when a question opens; empty: none."""
    keys: dict[str, Keys] = {}  # noqa: RUF012  # pydantic copies it
    """Keys by the id of an action."""

    @property
    def keymap(self) -> Keymap:
        """The keys of every action; empty where none was changed."""
        return whole_keymap(_canonical(self.keys)) if self.keys else {}


def settings_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the settings file is, or would be."""
    if given := environ.get(ENVIRONMENT):
        return Path(given).absolute()
    from platformdirs import user_config_path

    return user_config_path("wesley-console") / "config.toml"


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """The operator's settings, by default those of nobody. Raises PlanErrors with all that is wrong."""
    path = settings_file(environ)
    if not path.exists() and ENVIRONMENT not in environ:
        return Settings()
    text = read_text(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PlanErrors([_not_toml(error, str(path), text)]) from error
    document = _document(str(path), text, data)
    notes = Notes(document)
    expected = partial(expected_in, Settings.model_json_schema())
    settings = checked(notes, Settings, data, expected=expected)
    _check(notes, data)
    if settings is None or notes.findings:
        raise PlanErrors(notes.findings)
    return settings


def _check(notes: Notes, data: Mapping[str, Any]) -> None:
    """Note what the types alone cannot tell of `data`, which may be wrong in its types too."""
    theme, keys = data.get("theme"), data.get("keys")
    if theme and isinstance(theme, str) and theme not in theme_names():
        notes.add(("theme",), f"no theme is called {quote(theme)}", near=(theme, theme_names()))
    known = [action.id for action in every_action()]
    chosen: dict[str, tuple[str, ...]] = {}
    for name, written in keys.items() if isinstance(keys, dict) else ():
        if name not in known:
            notes.add(("keys", name), f"no action is called {quote(name)}", key=True, near=(name, known))
        with suppress(ValueError):
            chosen[name] = _as_keys(written)
        for key in chosen.get(name, ()):
            if canonical(key) is None:
                notes.add(("keys", name), f"{quote(key)} is no key", near=(key, known_keys()))
    if not notes.findings:
        for name, objection in objections(_canonical(chosen)):
            notes.add(("keys", name), objection, "wesley-console settings lists every key")


def _canonical(keys: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {name: [known for key in written if (known := canonical(key))] for name, written in keys.items()}


# -- in words ----------------------------------------------------------------------------------------------


def render_settings(settings: Settings, path: Path) -> str:
    """`settings` as a settings file that says what can be set; what nobody has set is commented out."""
    there = "" if path.exists() else " (there is no such file yet)"
    lines = [
        "# Settings of wesley-console as they hold now. They are read from",
        f"#   {visible(str(path))}{there}",
        "# Copy into it what you want to change.",
    ]
    for name, meaning in _MEANINGS.items():
        value, default = getattr(settings, name), Settings.model_fields[name].default
        written = f"{name} = {_toml(value)}"
        lines += ["", f"# {meaning}", written if value != default else f"# {written}"]
    lines += ["", "# The keys of each action: one, or a list of several.", "[keys]"]
    for group in GROUPS:
        lines += ["", f"# {group}"]
        lines += [_key_line(action, settings) for action in every_action() if action.group == group]
    return "\n".join(lines)


_MEANINGS = {
    "theme": "A theme by its name; empty: the one chosen last in the palette.\n#   " + "\n#   ".join(
        wrap(", ".join(theme_names()), 96, break_on_hyphens=False)
    ),
    "bell": "Ring the terminal's bell when a question opens.",
    "title": "Let the terminal's title tell how the run is doing.",
    "notify": "Have the terminal show a desktop notification when a question opens: off, osc9 or osc777.",
    "hook": "A command for sh -c when a question opens, with WESLEY_RUN, WESLEY_PLAN, WESLEY_QUESTION,\n"
    "# WESLEY_ABOUT, WESLEY_TASK and WESLEY_REASON in its environment; empty: none.",
}  # fmt: skip


def _toml(value: object) -> str:
    """`value` as TOML; JSON's strings, booleans and lists are TOML's too."""
    return json.dumps(value, ensure_ascii=False)


def _key_line(action: NamedAction, settings: Settings) -> str:
    chosen = settings.keys.get(action.id)
    keys = list(chosen or action.keys.split(","))
    line = f"{action.id} = {_toml(keys[0] if len(keys) == 1 else keys)}"
    return f"{'' if chosen else '# '}{line:<44} # {action.help}"


# -- places ------------------------------------------------------------------------------------------------

_AT = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")
_HEADER = re.compile(r"\s*\[\s*(?P<table>[\w.-]+)\s*\]")
_KEY = re.compile(r"""\s*(?P<quote>["']?)(?P<key>[\w.-]+)(?P=quote)\s*=\s*""")


def _not_toml(error: tomllib.TOMLDecodeError, file: str, text: str) -> Finding:
    lines = text.splitlines() or [""]
    found = _AT.search(str(error))
    line, column = (int(found[1]), int(found[2])) if found and found[1] else (len(lines), len(lines[-1]) + 1)
    what = _AT.sub("", str(error))
    place = Place(file, line, column, "", lines[min(line, len(lines)) - 1])
    return Finding(f"this is not TOML: {what[:1].lower()}{what[1:]}", place)


def _document(file: str, text: str, data: dict[str, Any]) -> Document:
    """`data` with the places of its keys. A settings file is flat: a table and a key say where a value is."""
    root = Node(0, 0, data, pairs={})
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines()):
        if header := _HEADER.match(line):
            table = tuple(header["table"].split("."))
            _put(root, table, Node(number, header.start("table"), None, header["table"]), None)
        elif found := _KEY.match(line):
            steps = (found["key"],) if found["quote"] else tuple(found["key"].split("."))
            written = line[found.end() :].partition("#")[0].strip().strip("\"'")
            value = Node(number, found.end(), None, written)
            _put(root, (*table, *steps), Node(number, found.start("key"), None, found["key"]), value)
    return Document(file, text, root, [])


def _put(root: Node, loc: tuple[str, ...], key: Node, value: Node | None) -> None:
    at = root
    for step in loc[:-1]:
        _, at = (at.pairs or {}).setdefault(step, (key, Node(key.line, key.column, None, pairs={})))
    if at.pairs is not None:
        at.pairs.setdefault(loc[-1], (key, value or Node(key.line, key.column, None, key.text, pairs={})))
