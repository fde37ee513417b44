"""What a task runs, highlighted in the colours of the theme."""

from rich.text import Text
from textual.highlight import highlight
from textual.style import Style as VisualStyle
from textual.widget import Widget

from console.panels.canvas import printable
from engine.plan.models import Action, ActionKind

_LANGUAGES: dict[ActionKind, str] = {"sql": "sql", "backfill": "sql", "shell": "bash"}


def highlighted(widget: Widget, action: Action) -> Text:
    """The statement or command of `action` as text in the colours of `widget`'s theme."""
    code = printable(action.text).strip("\n")
    language = _LANGUAGES.get(action.kind)
    text = Text(code, end="")
    if language is None:
        return text
    ground = VisualStyle(background=widget.background_colors[1])
    for span in highlight(code, language=language).spans:
        style = span.style
        if isinstance(style, str):
            style = widget.app.stylesheet.parse_style(style)
        text.stylize((ground + style).rich_style, span.start, span.end)
    return text
