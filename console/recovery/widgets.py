"""The parts of decision dialogs: facts in rows, a menu, the confirm step, key hints."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.style import Style
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from console.recovery.choices import Choice, Draft
from console.recovery.words import UNKNOWN_YET, Line


class Fact(Horizontal):
    """A label, and what there is to say; long text goes on under itself, not under the label."""

    DEFAULT_CSS = """
    Fact { height: auto; max-height: 3; }
    Fact > .label { width: 11; color: $quiet; }
    Fact > .value { width: 1fr; height: auto; }
    """

    def __init__(self, label: str, value: Content | str, *, width: int = 11, classes: str = "") -> None:
        super().__init__(classes=classes)
        self._label = label
        self._value = value
        self._label_width = width

    def compose(self) -> ComposeResult:
        label = Static(Content(self._label), classes="label")
        label.styles.width = self._label_width
        yield label
        yield Static(Content(self._value) if isinstance(self._value, str) else self._value, classes="value")


class Menu(OptionList):
    """Choices, one a line: key, title, and what would follow as far as it is known."""

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

    @property
    def choice(self) -> Choice | None:
        return None if self.highlighted is None else self.choices[self.highlighted]

    def show(self, choices: tuple[Choice, ...], focused: int, outcomes: Mapping[Draft, str]) -> None:
        """Offer `choices`, with the one at `focused` under the cursor."""
        self.choices = choices
        self.set_options(Option(prompt) for prompt in self._prompts(outcomes))
        self.highlighted = focused

    def tell(self, outcomes: Mapping[Draft, str]) -> None:
        """What would follow has become known, or has changed."""
        for index, prompt in enumerate(self._prompts(outcomes)):
            if prompt != self.get_option_at_index(index).prompt:
                self.replace_option_prompt_at_index(index, prompt)

    def _prompts(self, outcomes: Mapping[Draft, str]) -> Iterable[Content]:
        width = max((len(choice.title) for choice in self.choices), default=0)
        for choice in self.choices:
            where = f"to {choice.draft.to}: " if choice.targeted else ""
            yield Content.assemble(
                (f"{choice.key:1}  ", "bold $accent"),
                (choice.title.ljust(width + 3), "bold"),
                where + outcomes.get(choice.draft, UNKNOWN_YET),
            )


class Confirm(Vertical):
    """What is about to be decided, in words with every name, and the reason for it."""

    DEFAULT_CSS = """
    Confirm { height: auto;
        & > #told { height: auto; max-height: 12; padding: 0 1; }
        & > #told:focus { background: $boost; }
        & > #told > Vertical { height: auto; }
        & > #told Fact { max-height: 100; }
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
        kept = "it is kept with the decision"
        self.reason_input.placeholder = f"Why? Needed: {kept}." if needed else f"Why? {kept.capitalize()}."
        (self.reason_input if needed else self.query_one("#told")).focus()

    def tell(self, meaning: str, lines: Sequence[Line]) -> None:
        if (meaning, lines) == self._told:
            return
        self._told = (meaning, lines)
        self.query_one("#meaning", Static).update(Content(meaning))
        facts = [Fact(line.label, coloured(line.text, line.colour), width=18) for line in lines]
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
