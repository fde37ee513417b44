"""Our themes, read from `themes/`, and the variables that they add to Textual's own."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from rich.style import Style
from textual.app import App
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from console.collecting import collect_from_here
from console.terminal.driver import TerminalApp

DARK = "wesley-dark"
LIGHT = "wesley-light"
HIGH_CONTRAST = "wesley-high-contrast"
COLOUR_BLIND = "wesley-colour-blind"
OUR_THEMES = (DARK, LIGHT, HIGH_CONTRAST, COLOUR_BLIND)

_FALLBACKS = {
    "status-pending": "text-muted",
    "status-ready": "foreground",
    "status-waiting": "text-warning",
    "status-running": "text-primary",
    "status-succeeded": "text-success",
    "status-failed": "text-error",
    "status-in-doubt": "text-accent",
    "status-skipped": "text-muted",
    "status-waived": "text-muted",
    "status-blocked": "text-error",
    "status-rolling-back": "text-warning",
    "status-rolled-back": "text-warning",
    "status-cancelled": "text-muted",
    "critical": "text-warning",
    "barrier": "text-secondary",
    "checkpoint": "text-accent",
    "frame": "panel",
    "quiet": "text-muted",
    "asking": "accent-muted",
    "looking-back": "warning-muted",
}
"""Our variables, and which colour of a theme that is not ours stands in for each."""


_LEAST = 0.75
"""How much of the foreground there is in quiet text at the least: some themes' own is hardly readable."""


@cache
def load_theme(name: str) -> Theme:
    """The theme in `themes/NAME.toml`."""
    data = tomllib.loads((files("themes") / f"{name}.toml").read_text(encoding="utf-8"))
    return Theme(name=name, **data)


def theme_names() -> list[str]:
    """The names of all themes there are, ours first."""
    return [*OUR_THEMES, *BUILTIN_THEMES]


def style_sheet() -> str:
    """The text of the style sheet that all screens share."""
    return (files("themes") / "console.tcss").read_text(encoding="utf-8")


def variable_defaults(theme: Theme) -> dict[str, str]:
    """Our variables for a theme that does not name them, taken from its own colours."""
    colours = theme.to_color_system().generate()
    return {ours: _solid(colours[theirs], colours) for ours, theirs in _FALLBACKS.items()}


def _solid(value: str, colours: dict[str, str]) -> str:
    """`value` as a colour that can be written with anywhere: panels paint their own lines, so nothing that
    leans on what lies beneath it (`auto 60%`, `transparent`) will do."""
    if value.startswith("ansi_default ") or value == "transparent":
        return "ansi_bright_black"
    if value.startswith("ansi_"):
        return value if " " not in value else "ansi_default"  # half a colour of the terminal's is none
    if not value.startswith("auto"):
        return value
    share = max(_LEAST, float(value.removeprefix("auto").strip().rstrip("%")) / 100)
    return Color.parse(colours["background"]).blend(Color.parse(colours["foreground"]), share).hex


def ink(app: App[Any], variable: str, *, bold: bool = False, on: str = "") -> Style:
    """The style for text in the colour of theme variable `variable`, on that of `on` where given."""
    colours = app.theme_variables
    ground = Color.parse(_solid(colours[on], colours)) if on else None
    if ground and colours[variable].startswith("auto"):
        text = ground.get_contrast_text(1.0)
    else:
        text = Color.parse(_solid(colours[variable], colours))
    back = ground.rich_color if ground else None
    return Style(color=text.rich_color, bgcolor=back, bold=bold or None)


class ThemedApp(TerminalApp):
    """An app with our themes, and with our variables under every theme.

    Under NO_COLOR, Textual turns the colours of a theme into greys. It cannot do that to the terminal's own
    sixteen colours and paints black on black; so there a theme made of them is not taken.
    """

    CSS = style_sheet()

    def __init__(self, theme: str = "") -> None:
        super().__init__()
        for name in OUR_THEMES:
            self.register_theme(load_theme(name))
        self.theme = theme if theme in theme_names() else DARK

    def on_mount(self) -> None:
        self.call_after_refresh(collect_from_here)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults(self.current_theme)

    def validate_theme(self, name: str) -> str:
        theme = self.get_theme(name)
        if self.no_color and theme is not None and theme.ansi:
            return DARK if theme.dark else LIGHT
        return name
