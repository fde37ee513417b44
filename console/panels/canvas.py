"""What all panels that paint their own lines share: a frame of painted lines, ink, and clipping by cells."""

from collections.abc import Iterable
from typing import Any, ClassVar

from rich.cells import cell_len, get_character_cell_size, set_cell_size
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.color import Color
from textual.content import Content
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from console.actions import of_panel
from console.export import Export
from console.run_view import RunView
from console.theming import ink

PLAIN = Style.null()
BOLD = Style(bold=True)


def clip(text: str, width: int) -> str:
    """`text` in at most `width` cells, with an ellipsis where something was cut off."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 0 else ""


def clip_middle(text: str, width: int) -> str:
    """`text` in at most `width` cells, with both ends kept: names often differ at their end only."""
    if cell_len(text) <= width or width < 4:
        return clip(text, width)
    head = clip(text, (width + 1) // 2).removesuffix("…")
    tail = text[::-1]
    return f"{head}…{set_cell_size(tail, width - 1 - cell_len(head))[::-1].lstrip()}"


def printable(text: str) -> str:
    """`text` with its lines kept, and all else that could move a cursor made visible."""
    kept = (char if char.isprintable() or char == "\n" else "�" for char in text.expandtabs(4))
    return "".join(kept)


class Row:
    """One line of cells, from cell `origin` on; what is put outside is cut off."""

    def __init__(self, width: int, origin: int = 0) -> None:
        self.width = width
        self.origin = origin
        self._chars = [" "] * width
        self._styles = [PLAIN] * width

    def put(self, x: int, text: str, style: Style = PLAIN) -> int:
        """Write `text` at cell `x`; the cell after it is returned."""
        for char in text:
            cells = get_character_cell_size(char)
            if cells == 0:
                continue
            at = x - self.origin
            if 0 <= at <= self.width - cells:
                self._chars[at : at + cells] = [char] + [""] * (cells - 1)
                self._styles[at : at + cells] = [style] * cells
            x += cells
        return x

    def tint(self, start: int, end: int, style: Style) -> None:
        """Lay `style` over the cells from `start` up to `end`."""
        for at in range(max(0, start - self.origin), min(self.width, end - self.origin)):
            self._styles[at] += style

    def strip(self, base: Style) -> Strip:
        """The line, on `base`."""
        segments: list[Segment] = []
        begin = 0
        for at in range(1, self.width + 1):
            if at == self.width or self._styles[at] is not self._styles[begin]:
                segments.append(Segment("".join(self._chars[begin:at]), base + self._styles[begin]))
                begin = at
        return Strip(segments, self.width)


class Canvas(ScrollView, can_focus=True):
    """A panel that draws lines of the screen one by one with `draw_line`.

    What was drawn is kept, so that only lines that came out different are sent to the terminal."""

    PANEL: ClassVar[str] = ""

    DEFAULT_CSS = """
    Canvas { background: $background; color: $foreground; scrollbar-size-vertical: 1; }
    """

    def __init_subclass__(cls, *, panel: str = "", **options: Any) -> None:
        """`panel` is the name of the panel among the named actions: its keys are taken into the registry."""
        cls.PANEL = panel
        if panel:
            cls.BINDINGS = of_panel(panel, cls.__dict__.get("BINDINGS", ()))
        super().__init_subclass__(**options)

    def __init__(
        self,
        view: RunView,
        *,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes, disabled=disabled)
        self.view = view
        self._frame: dict[int, Strip] = {}
        self._inks: dict[tuple[str, bool, str], Style] = {}
        self._arranged = False
        self._below = ""

    # -- for panels to fill in -------------------------------------------------------------------

    def prepare(self) -> None:
        """Bring what is drawn up to date with the view and the size. Called before anything is drawn."""

    def draw_line(self, y: int) -> Strip:
        """The line in row `y` of the panel, as wide as the panel."""
        raise NotImplementedError

    def export(self) -> Export:
        """What can be copied and saved of the panel: what it shows, where it knows nothing better."""
        lines = [self.render_line(y).text.rstrip() for y in range(self.room.height)]
        what = str(self.border_title or "").lstrip("0123456789 ").lower()
        return Export(f"{what} as shown", f"{self.view.state.run}-{what}", (lines,))

    # -- for panels to use -----------------------------------------------------------------------

    def ink(self, variable: str, *, bold: bool = False, on: str = "") -> Style:
        """The style of a theme variable, remembered until the theme changes."""
        key = variable, bold, on
        if key not in self._inks:
            self._inks[key] = ink(self.app, variable, bold=bold, on=on)
        return self._inks[key]

    def faded(self, variable: str) -> Style:
        """The colour of a theme variable, most of the way to the background."""
        return self._mixed(variable, 0.45, behind=False)

    def wash(self, variable: str, share: float = 0.25) -> Style:
        """A background with `share` of the colour of a theme variable in it."""
        return self._mixed(variable, share, behind=True)

    def _mixed(self, variable: str, share: float, *, behind: bool) -> Style:
        key = variable, behind, str(share)
        if key not in self._inks:
            colour = Color.parse(self.app.theme_variables[variable])
            mixed = self.background_colors[1].blend(colour, share).rich_color
            self._inks[key] = Style(bgcolor=mixed) if behind else Style(color=mixed)
        return self._inks[key]

    @property
    def base(self) -> Style:
        """The panel's own colours."""
        key = "", False, ""
        if key not in self._inks:
            self._inks[key] = self.rich_style
        return self._inks[key]

    @property
    def cursor(self) -> Style:
        """The style of what is selected."""
        return self.ink("block-cursor-foreground", bold=True, on="block-cursor-background")

    @property
    def room(self) -> Size:
        """The cells that there are to draw in: without border and scrollbars."""
        return self.scrollable_content_region.size

    def text_strip(self, text: Text, *, chosen: bool = False) -> Strip:
        """`text` as one line as wide as the panel, on the panel's own colours or as what is chosen."""
        width, base = self.room.width, self.base
        text = text.copy()
        text.truncate(width, overflow="ellipsis", pad=chosen)
        if chosen:
            text.stylize(self.cursor)
        segments = [
            Segment(part, base + style if isinstance(style, Style) else base)
            for part, style, _ in text.render(self.app.console, end="")
        ]
        return Strip(segments).adjust_cell_length(width, base)

    def write_below(self, text: str) -> None:
        """Write `text`, read as nothing but text, into the lower border; the same again draws nothing."""
        if text != self._below:
            self._below = text
            self.border_subtitle = Content(text)

    def hide_scrollbars(self) -> None:
        """For panels that show in their own way that there is more."""
        self.styles.scrollbar_size_horizontal = 0
        self.styles.scrollbar_size_vertical = 0

    def blank(self) -> Strip:
        return Strip.blank(self.room.width, self.base)

    def refresh_view(self) -> None:
        """The state has changed, or time has gone by: draw again what came out different."""
        if not self.is_mounted or not self.room:
            return
        self.prepare()
        self._arranged = True
        for y in range(self.room.height):
            strip = self.draw_line(y)
            if self._frame.get(y) != strip:
                self._frame[y] = strip
                self.refresh(Region(0, y, self.room.width, 1))

    def redraw(self) -> None:
        """Draw everything again: the size, the place scrolled to or the theme has changed."""
        self._frame.clear()
        self.refresh()

    # -- Textual ---------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        if not self._arranged:
            return self.blank()
        if y not in self._frame:
            self._frame[y] = self.draw_line(y)
        return self._frame[y]

    def on_mount(self) -> None:
        self.call_after_refresh(self.refresh_view)

    def on_resize(self) -> None:
        self._frame.clear()
        self.refresh_view()

    def watch_scroll_x(self, old_value: float, new_value: float) -> None:
        self._frame.clear()
        super().watch_scroll_x(old_value, new_value)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        self._frame.clear()
        super().watch_scroll_y(old_value, new_value)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._inks.clear()
        self.redraw()


def joined(parts: Iterable[tuple[str, Style] | str]) -> Text:
    """Foreign text and styles as one Text; nothing in it is read as markup."""
    text = Text(end="")
    for part in parts:
        _ = text.append(part) if isinstance(part, str) else text.append(*part)
    return text
