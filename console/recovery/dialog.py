"""What every decision of an operator goes through: a menu, perhaps another, and a confirm step.

The dialog acts on what it showed. While the question it was opened for is open, the consequences follow
the newest state; once it is not, nothing can be picked or confirmed any more, and the dialog says why.
"""

import getpass
from collections.abc import Iterator
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList

from console.look import one_line, plural
from console.recovery.choices import CONFIRM_KEY, Choice, Draft, name_of
from console.recovery.foresight import Foresee, Foreseen, Foresight, Foretold, foresee
from console.recovery.verdict import answer_to, verdict
from console.recovery.widgets import Clipped, Confirm, Hint, Hints, Menu
from console.recovery.words import Line, Outcome, lines, outcome
from console.run_view import RunView
from engine.machine.events import DecisionMade, DecisionRefused
from engine.machine.reports import Decide


class DecisionDialog(ModalScreen[Decide | None]):
    """Ends with the decision that the engine has taken, or with None where it was put aside.

    Subclasses say what is decided (`question`, `since`, `top`, `heading`) and what it means."""

    DEFAULT_CSS = """
    DecisionDialog { align: center middle;
        & #dialog { width: 94%; max-width: 132; height: 92%; max-height: 46; padding: 0 1;
                    background: $surface; border: round $accent; border-title-color: $accent;
                    border-title-style: bold; border-subtitle-color: $accent; }
        & #facts { height: 1fr; min-height: 0; overflow: hidden; }
        & #panel { height: auto; border-top: solid $frame; border-title-color: $foreground;
                   border-title-style: bold; }
        & #panel.-dangerous { border-title-color: $warning; }
        & #detail { height: auto; max-height: 5; padding: 1 1 0 4; color: $quiet; }
        & #notice { height: auto; max-height: 3; padding: 0 1; color: $warning; text-style: bold; }
        & #hints { margin-top: 1; }
        &.-narrow #dialog { width: 100%; }
        &.-short, &.-cramped { & #dialog { height: 100%; }
                               & #detail { max-height: 3; padding: 0 1 0 4; }
                               & #hints { margin-top: 0; }
                               & Menu { max-height: 7; }
                               & #told { max-height: 7; } }
        &.-cramped { & #standing { display: none; }
                     & #detail { max-height: 1; }
                     & #told { max-height: 4; }
                     & Input { margin: 0; } }
    }
    """
    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012  # declared so by Textual
        (0, "-narrow"),
        (96, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-cramped"),
        (20, "-short"),
        (30, "-tall"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="decision.back", show=False),
    ]

    question = 0
    since = 0
    menu_title = ""
    leave = "decide later"

    def __init__(self, view: RunView, *, actor: str = "", foresee: Foresee = foresee) -> None:
        super().__init__()
        self.view = view
        self.actor = actor or getpass.getuser()
        self._foresee = foresee
        self._foresight = self._new_foresight()
        self._drawn = -1
        self._menus: list[tuple[Choice, ...]] = []
        self._confirming: Choice | None = None
        self._sent: Decide | None = None
        self._sent_after = 0
        self._notice = ""
        self._read: Foretold | None = None
        """What would follow, as it stood on the screen when the operator last went on."""

    # -- what a subclass says ------------------------------------------------------------------------

    def compose_facts(self) -> ComposeResult:
        raise NotImplementedError

    def heading(self) -> str:
        raise NotImplementedError

    def top(self) -> tuple[Choice, ...]:
        raise NotImplementedError

    def meaning(self, choice: Choice) -> str:
        raise NotImplementedError

    def dangerous(self, choice: Choice) -> bool:
        return choice.draft.action != "retry"

    def more_hints(self) -> Iterator[Hint]:
        yield from ()

    def also_open(self) -> str:
        """What else waits for an operator, in a line."""
        return ""

    # -- drawing -------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            with Vertical(id="facts"):
                yield from self.compose_facts()
            with Vertical(id="panel"):
                yield Clipped(id="notice")
                yield Menu()
                yield Clipped(id="detail")
                yield Confirm()
            yield Hints()

    def on_mount(self) -> None:
        self._menus = [self.top()]
        self._enter_menu()

    def refresh_view(self) -> None:
        """The run has gone on: the question may be answered, and consequences may have changed."""
        if not self.is_mounted or self.view.revision == self._drawn:
            return
        self._drawn = self.view.revision
        if self._sent and (answer := answer_to(self.view, self._sent, self._sent_after)):
            self._answered(answer)
        self._show()

    def _answered(self, answer: DecisionMade | DecisionRefused) -> None:
        if isinstance(answer, DecisionMade):
            self.dismiss(self._sent)
            return
        self._sent = None
        self._menus = self._menus[:1]
        self._enter_menu()
        self._notice = f"The engine refused that: {one_line(answer.why)}. The question is still open."

    @property
    def closed(self) -> str:
        """Why nothing can be decided here any more, or an empty string."""
        return verdict(self.view, self.question, self.since)

    @property
    def _idle(self) -> bool:
        return self._sent is None and not self.closed

    def _show(self) -> None:
        sent = "Sent. The engine is taking the decision." if self._sent else ""
        self._part("#notice", sent or self.closed or self._notice)
        menu, confirm = self.query_one(Menu), self.query_one(Confirm)
        menu.display = self._confirming is None
        confirm.display = self._confirming is not None
        menu.disabled = confirm.disabled = not self._idle
        if self._confirming:
            confirm.tell(self.meaning(self._confirming), self._told(self._confirming))
            self._part("#detail", "")
        else:
            menu.tell(self._outcomes())
            self._part("#detail", "" if self.closed else self._detail(menu.choice))
        dialog = self.query_one("#dialog")
        dialog.border_title = self.heading()
        dialog.border_subtitle = self.also_open()
        panel = self.query_one("#panel")
        panel.border_title = self._panel_title()
        panel.set_class(self._confirming is not None and self.dangerous(self._confirming), "-dangerous")
        self.query_one(Hints).show(self._hints())
        self._look_ahead()

    def _part(self, selector: str, text: str) -> None:
        part = self.query_one(selector, Clipped)
        part.tell(Content(text))
        part.display = bool(text)

    def _panel_title(self) -> str:
        if self._confirming:
            return f" Confirm: {name_of(self._confirming)} "
        above = next((c.title for c in self._menus[0] if c.choices == self._menus[-1]), self.menu_title)
        return f" {above.removesuffix(' …')} "

    def _told(self, choice: Choice) -> list[Line]:
        return self._follows(choice) or [Line("What follows", ("is being worked out",))]

    def _follows(self, choice: Choice) -> list[Line]:
        told = lines(self._foresight.known.get(choice.draft))
        others = len(self.view.newest.questions.keys() - {self.question})
        if told and others and choice.draft.action in ("retry", "skip"):
            told.append(
                Line("Assuming", (f"{plural(others, 'other question')} answered so that it goes on",))
            )
        return told

    def _detail(self, choice: Choice | None) -> str:
        """What the row of `choice` has no room for."""
        if choice is None:
            return ""
        follows = (f"{line.label}: {line.short}." for line in self._follows(choice) if not line.is_in_the_row)
        return " ".join([self.meaning(choice), *follows])

    def _outcomes(self) -> dict[Draft, Outcome]:
        return {draft: outcome(foretold) for draft, foretold in self._foresight.known.items()}

    def _hints(self) -> Iterator[Hint]:
        if not self._idle:
            yield Hint("esc", "close", "screen.back")
            yield from self.more_hints()
        elif self._confirming is None:
            yield Hint("↑↓ enter", "choose")
            yield Hint("esc", "back" if len(self._menus) > 1 else self.leave, "screen.back")
            yield from self.more_hints()
        else:
            yield from self._confirm_hints(self._confirming)

    def _confirm_hints(self, choice: Choice) -> Iterator[Hint]:
        does = f"confirm: {name_of(choice)}"
        if self.query_one(Confirm).reason_input.has_focus:
            yield Hint("enter", f"then {CONFIRM_KEY} to confirm" if self.dangerous(choice) else "go on")
        elif self.dangerous(choice):
            yield Hint(CONFIRM_KEY, does, "screen.confirm")
            yield Hint("tab", "reason")
        else:
            yield Hint("enter", does, "screen.confirm")
            yield Hint("tab", "reason")
        yield Hint("esc", "back", "screen.back")

    # -- consequences --------------------------------------------------------------------------------

    def _new_foresight(self) -> Foresight:
        return Foresight(self, self.view.graph, self.question, self._foresee)

    def _look_ahead(self) -> None:
        """Have worked out what is not known of the choices on the screen, or known no more."""
        if self._idle:
            first = self._confirming or self.query_one(Menu).choice
            rest = () if self._confirming else self._menus[-1]
            drafts = [choice.draft for choice in (first, *rest) if choice]
            self._foresight.want(drafts, self.view.state, self.view.now_t)

    @on(Foreseen)
    def _foreseen(self, message: Foreseen) -> None:
        if message.by is self._foresight:
            message.by.take(message)
            if self._confirming and self._read is None:
                self._read = self._foresight.known.get(self._confirming.draft)
            self._show()

    # -- keys ----------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        if isinstance(self.focused, Input):
            return
        if not self._idle:
            self._show()  # the question may have gone since the screen was last told
            return
        if self._confirming:
            if event.key == CONFIRM_KEY or (event.key == "enter" and not self.dangerous(self._confirming)):
                event.stop()
                self.action_confirm()
            return
        for choice in self._menus[-1]:
            if choice.key and choice.key == event.character:
                event.stop()
                self._pick(choice)

    @on(OptionList.OptionSelected)
    def _selected(self, message: OptionList.OptionSelected) -> None:
        self._pick(self._menus[-1][message.option_index])

    @on(OptionList.OptionHighlighted)
    def _highlighted(self) -> None:
        if self._confirming is None:
            self._part("#detail", self._detail(self.query_one(Menu).choice))

    @on(Input.Submitted)
    def _reasoned(self) -> None:
        if self._lacks_reason():
            self._show()
        else:
            self._notice = ""
            self._part("#notice", "")
            self.query_one("#told").focus()

    def _lacks_reason(self) -> bool:
        """Whether a reason is needed and not there: then it is asked for."""
        choice, confirm = self._confirming, self.query_one(Confirm)
        if choice is None or not self._needs_reason(choice) or confirm.reason:
            return False
        self._notice = "A reason is needed: it is recorded with the decision."
        confirm.reason_input.focus()
        return True

    def _needs_reason(self, choice: Choice) -> bool:
        return self.dangerous(choice) and choice.draft.action != "retry"

    def on_descendant_focus(self) -> None:
        if self._menus:
            self.query_one(Hints).show(self._hints())

    def _pick(self, choice: Choice) -> None:
        if not self._idle:
            self._show()
            return
        self._notice = ""
        if choice.choices:
            self._menus.append(choice.choices)
            self._enter_menu()
            return
        foretold = self._foresight.known.get(choice.draft)
        if foretold and foretold.impossible:
            self._notice = f"Not possible: {one_line(foretold.impossible)}"
        else:
            self._confirming = choice
            self._read = foretold
            self.query_one(Confirm).display = True
            self.query_one(Confirm).ask(needed=self._needs_reason(choice))
        self._show()

    def _enter_menu(self) -> None:
        self._confirming = None
        self._notice = ""
        choices = self._menus[-1]
        menu = self.query_one(Menu)
        menu.display = True
        menu.show(choices, self._safest(choices), self._outcomes())
        menu.focus()
        self._show()

    def _safest(self, choices: tuple[Choice, ...]) -> int:
        """The first that does no harm, else the abort, which changes no data; else the first, which in
        every menu below the top one is the most cautious."""
        harmless = (n for n, choice in enumerate(choices) if not self.dangerous(choice))
        aborts = (n for n, choice in enumerate(choices) if choice.draft.action == "abort")
        return next(harmless, next(aborts, 0))

    def action_back(self) -> None:
        if not self._idle or (self._confirming is None and len(self._menus) == 1):
            self.dismiss(None)
        elif self._confirming:
            self._enter_menu()
        else:
            self._menus.pop()
            self._enter_menu()

    def action_confirm(self) -> None:
        choice, controls = self._confirming, self.view.controls
        if choice is None or controls is None or not self._idle:
            self._show()
            return
        foretold = self._foresight.known.get(choice.draft)
        if self._lacks_reason():
            pass
        elif foretold is None or foretold.seq != self.view.state.seq:
            self._notice = "What follows is being worked out: wait until it is shown."
        elif foretold.impossible:
            self._notice = f"Not possible any more: {one_line(foretold.impossible)}"
        elif self._read and self._read.differs(foretold):
            self._read = foretold
            self._notice = "What follows has changed meanwhile. Read it again before you confirm."
        else:
            draft = choice.draft
            self._sent_after = self.view.newest.seq
            self._sent = Decide(
                question=self.question,
                action=draft.action,
                mode=draft.mode,
                to=draft.to,
                actor=self.actor,
                reason=self.query_one(Confirm).reason,
            )
            controls.report(self._sent)
        self._show()
