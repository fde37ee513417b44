"""The operator's own keys: what can be written for a key, and which choices would be unsafe or unclear."""

from collections.abc import Iterator, Mapping, Sequence

from textual.binding import Binding
from textual.keys import Keys, format_key

from console.actions import Keymap, NamedAction, every_action

CONFIRMS = frozenset({"y", "f", "e", "enter"})
"""The keys by which dialogs go on to what ends work or undoes it. What opens such a dialog has none of them,
so that no key pressed twice does harm."""
FIXED = {"ctrl+q": "it always leaves", "ctrl+c": "it copies what is selected"}
"""Keys that are not to be had, and why."""

_MODIFIERS = frozenset({"ctrl", "shift", "alt", "super", "hyper", "meta"})
_NAMED = frozenset(key.value.rpartition("+")[2] for key in Keys if not key.value.startswith("<"))
_SEPARATORS = {",": "comma", "+": "plus", " ": "space"}
_SAME = {"ctrl+i": "tab", "ctrl+m": "enter", "return": "enter"}
"""What terminals cannot tell apart."""


def known_keys() -> list[str]:
    """The keys that are written by name."""
    return sorted(name for name in _NAMED if len(name) > 1)


def canonical(written: str) -> str | None:
    """The name by which a key arrives, however it was written (`?` is `question_mark`); None for no key."""
    if written in _SEPARATORS:
        return _SEPARATORS[written]
    *modifiers, base = (part.strip() for part in written.split("+"))
    modifiers = [modifier.lower() for modifier in modifiers]
    if not base or "," in base or not _MODIFIERS.issuperset(modifiers):
        return None
    base = base.lower() if len(base) > 1 or "ctrl" in modifiers else base
    if modifiers == ["shift"] and len(base) == 1 and base.isalpha():
        modifiers, base = [], base.upper()
    [made] = Binding.make_bindings([Binding(base, "")])
    if made.key not in _NAMED and not _is_one_character(made.key):
        return None
    key = "+".join([*modifiers, made.key])
    return _SAME.get(key, key)


def _is_one_character(key: str) -> bool:
    shown = format_key(key)
    return len(shown) == 1 and shown.isprintable()


def whole_keymap(chosen: Mapping[str, Sequence[str]]) -> Keymap:
    """The keys of every action: `chosen`, by id, and its own for each of the others."""
    return {action.id: ",".join(chosen.get(action.id, [action.keys])) for action in every_action()}


def objections(chosen: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """What is wrong with `chosen` (canonical keys by the id of an action): (id, what it is)."""
    actions = every_action()
    own = {action.id: tuple(action.keys.split(",")) for action in actions}
    keys = own | {name: tuple(written) for name, written in chosen.items()}
    changed = [action for action in actions if keys[action.id] != own[action.id]]
    for action in changed:
        for key in keys[action.id]:
            if key in FIXED:
                yield action.id, f"{key} cannot be given to {action.id}: {FIXED[key]}"
            elif action.dangerous and key in CONFIRMS:
                yield (
                    action.id,
                    f"{key} cannot be given to {action.id}: it confirms in the dialog that this opens, "
                    "and one key pressed twice must not do harm",
                )
            for other in actions:
                earlier = other not in changed or changed.index(other) < changed.index(action)
                if key in keys[other.id] and earlier and may_meet(action, other):
                    yield action.id, f"{key} is the key of {other.id} ({other.label}) already"


def may_meet(one: NamedAction, other: NamedAction) -> bool:
    """Whether there is a moment at which both could be meant by a key."""
    if one is other or (one.either and one.either == other.either):
        return False
    if one.scope == "panel" and other.scope == "panel":
        return one.panel == other.panel
    return {one.scope, other.scope} != {"review", "run"} and {one.scope, other.scope} != {"review", "panel"}
