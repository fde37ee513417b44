"""The parts of decision dialogs: facts in rows, a menu, the confirm step, key hints."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.style import Style
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from console.recovery.choices import Choice, Draft
from console.recovery.words import UNKNOWN_YET, Line, Outcome


class Clipped(Static):
    """Text that says with an ellipsis where its last row is not the end of it. `rows` is how many there may
    be: where it is 0, as many as the style has room for."""

    def __init__(self, whole: str | Content = "", rows: int = 0, *, classes: str = "", id: str = "") -> None:
        self.whole = Content(whole) if isinstance(whole, str) else whole
        super().__init__(self.whole, classes=classes, id=id or None)
        self._rows = rows

    def tell(self, whole: Content) -> None:
        if whole != self.whole:  # an update lays everything around it out anew
            self.whole = whole
            self._clip()

    def allow(self, rows: int) -> None:
        """Let there be so many rows from now on."""
        if rows != self._rows:
            self._rows = rows
            self._clip()

    def on_resize(self) -> None:
        self._clip()

    def _clip(self) -> None:
        shown, width = self.whole, self.content_size.width
        most = self.styles.max_height
        rows = self._rows or int(most.value if most else 0) - self.styles.gutter.height
        wrapped = shown.wrap(width) if width and rows > 0 else []
        if len(wrapped) > rows:
            last = wrapped[rows - 1].rstrip().truncate(width - 2)
            shown = Content("\n").join([*wrapped[: rows - 1], last + Content(" …")])
        if shown != self.content:
            self.update(shown)


class Fact(Horizontal):
    """A label, and what there is to say in at most `rows` rows (0: all of it); long text goes on under
    itself, not under the label."""

    DEFAULT_CSS = """
    Fact { height: auto; }
    Fact > .label { width: 11; color: $quiet; }
    Fact > .value { width: 1fr; height: auto; }
    """

    def __init__(
        self, label: str, value: Content | str, *, width: int = 11, rows: int = 3, classes: str = ""
    ) -> None:
        super().__init__(classes=classes)
        self._label = label
        self._value = value
        self._label_width = width
        self._rows = rows

    def compose(self) -> ComposeResult:
        label = Static(Content(self._label), classes="label")
        label.styles.width = self._label_width
        yield label
        if self._rows:
            yield Clipped(self._value, self._rows, classes="value")
        else:
            yield Static(
                Content(self._value) if isinstance(self._value, str) else self._value, classes="value"
            )


class Menu(OptionList):
    """Choices, one a line: key, title, what would change and how the run would end, as far as it is known."""

    DEFAULT_CSS = """
    Menu { height: auto; max-height: 12; border: none; padding: 0; background: transparent;
           text-wrap: nowrap; text-overflow: ellipsis; scrollbar-size-vertical: 1;
        &:focus { border: none; }
        & > .option-list--option { padding: 0 1; }
    }
    """

    def __init__(self) -> None:
        super().__init__(markup=False)
        self.choices: tuple[Choice, ...] = ()
        self._outcomes: Mapping[Draft, Outcome] = {}

    @property
    def choice(self) -> Choice | None:
        return None if self.highlighted is None else self.choices[self.highlighted]

    def show(self, choices: tuple[Choice, ...], focused: int, outcomes: Mapping[Draft, Outcome]) -> None:
        """Offer `choices`, with the one at `focused` under the cursor."""
        self.choices = choices
        self._outcomes = outcomes
        self.set_options(Option(prompt) for prompt in self._prompts())
        self.highlighted = focused

    def tell(self, outcomes: Mapping[Draft, Outcome]) -> None:
        """What would follow has become known, or has changed."""
        self._outcomes = outcomes
        for index, prompt in enumerate(self._prompts()):
            if prompt != self.get_option_at_index(index).prompt:
                self.replace_option_prompt_at_index(index, prompt)

    def on_resize(self) -> None:
        self.tell(self._outcomes)

    def _prompts(self) -> Iterable[Content]:
        """Titles, changes and ends in columns. Where there is too little room the changes are cut short, and
        where that would leave nothing of them, or hide what is grave, the ends are left out."""
        told = [self._outcomes.get(choice.draft, UNKNOWN_YET) for choice in self.choices]
        changes = [
            f"to {choice.draft.to}: {outcome.changes}" if choice.targeted else outcome.changes
            for choice, outcome in zip(self.choices, told, strict=True)
        ]
        title = max((cell_len(choice.title) for choice in self.choices), default=0) + _GAP
        end = max((cell_len(outcome.end) for outcome in told), default=0)
        room = (self.scrollable_content_region.width or _WIDE) - _KEY - title - 2
        grave = (
            change.partition(",")[0] for change, outcome in zip(changes, told, strict=True) if outcome.grave
        )
        if room - _GAP - end < max(_LEAST, *map(cell_len, grave), 0):
            end = -_GAP
        ending = [cell_len(change) for change, outcome in zip(changes, told, strict=True) if outcome.end]
        most = min(room - _GAP - end, max(ending, default=0))
        for choice, change, outcome in zip(self.choices, changes, told, strict=True):
            yield Content.assemble(
                (f"{choice.key:{_KEY}}", "bold $accent"),
                (choice.title + " " * (title - cell_len(choice.title)), "bold"),
                coloured(fitted(change, most if outcome.end else room), "error" if outcome.grave else ""),
                " " * _GAP + outcome.end if end > 0 else "",
            )


_KEY = 3
_GAP = 2
_LEAST = 16
_WIDE = 120


def fitted(text: str, width: int) -> str:
    """`text` in exactly `width` cells, with an ellipsis where it is cut."""
    return set_cell_size(text, width) if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


class Confirm(Vertical):
    """What is about to be decided, in words with every name, and the reason for it."""

    DEFAULT_CSS = """
    Confirm { height: auto;
        & > #told { height: auto; max-height: 12; padding: 0 1; }
        & > #told:focus { background: $boost; }
        & > #told > Vertical { height: auto; }
        & > #told #meaning { text-style: bold; }
        & > Input { border: none; height: 1; padding: 0 1; margin: 1 0 0 0; background: $panel; }
        & > Input:focus { border: none; background: $boost; }
    }
    """

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="told"):
            yield Static(id="meaning")
            yield Vertical(id="lines")
        yield Input(id="reason", select_on_focus=False, max_length=500)

    def on_mount(self) -> None:
        self._told: tuple[str, Sequence[Line]] = ("", ())
        self.reason_input.cursor_blink = False

    @property
    def reason_input(self) -> Input:
        return self.query_one("#reason", Input)

    @property
    def reason(self) -> str:
        return " ".join(self.reason_input.value.split())

    def ask(self, *, needed: bool) -> None:
        """Begin anew, with the field for the reason empty, and focused where one is needed."""
        self.reason_input.value = ""
        self.reason_input.placeholder = "Why? (needed; it is recorded)" if needed else "Why? (it is recorded)"
        (self.reason_input if needed else self.query_one("#told")).focus()

    def tell(self, meaning: str, lines: Sequence[Line]) -> None:
        if (meaning, lines) == self._told:
            return
        self._told = (meaning, lines)
        self.query_one("#meaning", Static).update(Content(meaning))
        facts = [Fact(line.label, coloured(line.text, line.colour), width=18, rows=0) for line in lines]
        shown = self.query_one("#lines")
        with self.app.batch_update():
            shown.remove_children()
            shown.mount(*facts)


class Hint(NamedTuple):
    """A key, what it does, and the action behind it for those who click."""

    key: str
    does: str
    action: str = ""


class Hints(Static):
    """Which keys do what, at this moment."""

    DEFAULT_CSS = """
    Hints { height: 1; padding: 0 1; color: $quiet; text-wrap: nowrap; text-overflow: ellipsis;
            link-color: $quiet; link-style: none; }
    """

    def __init__(self, *hints: Hint, id: str = "hints") -> None:
        super().__init__(_line(hints), id=id)
        self._shown = hints

    def show(self, hints: Iterable[Hint]) -> None:
        new = tuple(hints)
        if new != self._shown:
            self._shown = new
            self.update(_line(new), layout=False)


def _line(hints: Iterable[Hint]) -> Content:
    return Content("   ").join([_hint(hint) for hint in hints])


def _hint(hint: Hint) -> Content:
    does = Content(hint.does)
    if hint.action:
        does = does.stylize(Style.from_meta({"@click": hint.action}))
    return Content.assemble((hint.key, "bold $accent"), " ", does)


def coloured(text: str, variable: str) -> Content:
    """`text` in the colour of a theme variable; in the usual one where that is empty."""
    return Content.styled(text, f"${variable}") if variable else Content(text)
