"""All keys and all marks, made from the registry of actions and from the shared look."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Markdown, Static

from console.actions import GROUPS, Keymap, NamedAction, shown_keys
from console.look import CRITICAL, STATUS, TRIGGER, Mark


class HelpScreen(ModalScreen[None]):
    """`actions` are those that exist where help was asked for; `keymap` the keys that were changed; `panel`
    is the help of the panel in focus, in Markdown."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q", "dismiss_screen", "Close")]

    def __init__(self, actions: Sequence[NamedAction], keymap: Keymap, panel: str = "") -> None:
        super().__init__(classes="dialog")
        self.actions = actions
        self.keymap = keymap
        self.panel_help = panel

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog-box -broad"):
            if self.panel_help:
                yield Markdown(self.panel_help, id="panel-help")
            with Horizontal(id="help-columns"):
                yield Static(keys_text(self.actions, self.keymap), id="help-keys")
                yield Static(marks_text(), id="help-marks")

    def on_mount(self) -> None:
        box = self.query_one(".dialog-box")
        box.border_title = "Help"
        box.border_subtitle = "esc closes"

    def action_dismiss_screen(self) -> None:
        self.dismiss(None)


def keys_text(actions: Sequence[NamedAction], keymap: Keymap) -> Content:
    """The keys of `actions`, group by group."""
    lines: list[Content] = []
    for group in GROUPS:
        members = [action for action in actions if action.group == group]
        if members:
            title = f"In this panel: {members[0].panel}" if members[0].panel else group
            lines += [Content.styled(title, "bold $primary")]
            lines += [
                Content.assemble((f"{shown_keys(action, keymap):>12}", "bold $accent"), "  ", action.help)
                for action in members
            ]
            lines.append(Content(""))
    return Content("\n").join(lines)


def marks_text() -> Content:
    """Every mark with its word."""
    lines = [Content.styled("Tasks", "bold $primary")]
    lines += [_mark(mark) for mark in (*STATUS.values(), CRITICAL)]
    lines += [Content(""), Content.styled("Checkpoints, by what caused them", "bold $primary")]
    lines += [_mark(mark) for mark in TRIGGER.values()]
    return Content("\n").join(lines)


def _mark(mark: Mark) -> Content:
    return Content.assemble((f"  {mark.glyph}  {mark.word}", f"${mark.colour}"))
