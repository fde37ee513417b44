"""Who blocks a task, and what can be done about it: wait on, end our attempt, or interfere with theirs."""

import getpass
from collections.abc import Iterator
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.style import Style
from textual.widgets import Input, Static

from console.look import STATUS, one_line
from console.recovery.choices import CONFIRM_KEY
from console.recovery.heard import Heard
from console.recovery.interventions import Offer, Shown, offers, what_waiting_does
from console.recovery.widgets import Clipped, Confirm, Hint, Hints
from console.run_view import RunView
from console.underway import Branch, aged, came_of, culprits, doing, lock_wait, tree, waiting, what_for, who
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.transitions import TaskStatus

_TITLE = 18
_KEY = 5


class LockWaitDialog(ModalScreen[None]):
    """The wait of `task`, which waits for a lock. An intervention is made against the backend as it was shown
    when it was chosen: if that has changed since, it is refused, and said."""

    DEFAULT_CSS = """
    LockWaitDialog { align: center middle;
        & #dialog { width: 94%; max-width: 120; height: auto; max-height: 92%; padding: 0 1;
                    background: $surface; border: round $status-waiting; border-title-color: $status-waiting;
                    border-title-style: bold; border-subtitle-color: $quiet;
                    &.-dangerous { border: round $error; border-title-color: $error; } }
        & #ours { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
        & #tree { height: auto; max-height: 12; scrollbar-size-vertical: 1;
                  & > Static { height: auto; text-wrap: nowrap; text-overflow: ellipsis;
                               link-color: $foreground; link-style: none; } }
        & #query { height: auto; max-height: 3; padding: 0 0 0 2; color: $quiet; }
        & #panel { height: auto; margin-top: 1; border-top: solid $frame;
                   border-title-color: $foreground; border-title-style: bold; }
        & #notice { height: auto; max-height: 4; padding: 0 1; color: $warning; text-style: bold; }
        & #offers { height: auto; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis;
                    link-color: $foreground; link-style: none; }
        & #hints { margin-top: 1; }
        &.-narrow #dialog { width: 100%; }
        &.-cramped { & #dialog { max-height: 100%; }
                     & #tree { max-height: 4; }
                     & #told { max-height: 5; }
                     & #panel, & #hints, & Input { margin: 0; } }
    }
    """
    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (96, "-wide")]  # noqa: RUF012  # declared so by Textual
    VERTICAL_BREAKPOINTS = [(0, "-cramped"), (22, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Wait on", id="lock_wait.back", show=False),
        Binding("up,k", "move(-1)", "The one above", id="lock_wait.up", show=False),
        Binding("down,j", "move(1)", "The one below", id="lock_wait.down", show=False),
        Binding("n", "next_wait", "Next wait", id="lock_wait.next", show=False),
    ]

    def __init__(self, view: RunView, task: str, *, actor: str = "") -> None:
        super().__init__()
        self.view = view
        self.actor = actor or getpass.getuser()
        self._heard_so_far = Heard()
        self._take(task)

    def _take(self, task: str) -> None:
        wait = lock_wait(self.view.state.tasks[task])
        assert wait is not None, f"{task} waits for no lock"
        self.task_id = task
        self._wait = wait
        self._pid = culprits(wait)[0].pid
        self._confirming: ev.Intervention | None = None
        self._read: Shown | None = None
        """What was shown of the chosen backend when the operator last looked at it."""
        self._sent: rep.Intervene | None = None
        self._sent_after = 0
        self._notice = ""
        self._over = False

    # -- what is shown -------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(id="ours")
            with VerticalScroll(id="tree", can_focus=False):
                yield Static(id="branches")
            yield Clipped(id="query")
            with Vertical(id="panel"):
                yield Clipped(id="notice")
                yield Static(id="offers")
                yield Confirm()
            yield Hints()

    def on_mount(self) -> None:
        self._show()

    def refresh_view(self) -> None:
        """The run has gone on: ages grow, and what blocks the task may have changed."""
        if not self.is_mounted:
            return
        self._follow()
        self._heed_answer()
        self._show()

    def _follow(self) -> None:
        now = lock_wait(self.view.state.tasks[self.task_id])
        same = now is not None and (now.attempt, now.purpose) == (self._wait.attempt, self._wait.purpose)
        self._over = not same
        if now is None or not same:
            self._confirming = None
            return
        self._wait = now
        if self._pid not in {each.pid for each in now.blockers}:
            gone, self._pid = self._pid, culprits(now)[0].pid
            if self._confirming and self._confirming != "cancel_own" and self._sent is None:
                self._confirming = None
                self._notice = f"pid {gone} does not block it any more. Nothing was done."

    def _heed_answer(self) -> None:
        """What came of what was sent."""
        sent = self._sent
        if sent is None:
            return
        for event in reversed(self.view.events):
            if event.seq <= self._sent_after:
                return
            if not isinstance(event, ev.InterventionRefused | ev.InterventionEnded):
                continue
            if (event.task, event.action, event.pid) == (sent.task, sent.action, sent.pid):
                self._sent, self._confirming, self._notice = None, None, came_of(event)[1]
                return

    @property
    def shown(self) -> Shown:
        """The chosen backend, as it is shown."""
        blocker = next(each for each in self._wait.blockers if each.pid == self._pid)
        return Shown(self.view.by_id[self.task_id], self._wait, blocker, self._since_s)

    @property
    def _since_s(self) -> float:
        return max(0.0, self.view.now_t - self._wait.t)

    @property
    def _heard(self) -> Heard:
        self._heard_so_far.listen(self.view.events)
        return self._heard_so_far

    @property
    def _offers(self) -> tuple[Offer, ...]:
        return offers(self.shown, self.view.state, self._heard.asked(self.task_id))

    @property
    def _ending(self) -> bool:
        """Whether our attempt is being ended, as an operator wanted."""
        return ("cancel_own", 0) in self._heard.asked(self.task_id)

    @property
    def _offer(self) -> Offer | None:
        """What is to be confirmed."""
        return next((offer for offer in self._offers if offer.action == self._confirming), None)

    @property
    def _idle(self) -> bool:
        return self._sent is None and not self._over

    def _show(self) -> None:
        offer = self._offer
        dialog, panel = self.query_one("#dialog"), self.query_one("#panel")
        dialog.border_title = f"{self.task_id} {self._situation()}"
        dialog.border_subtitle = self._others()
        dialog.set_class(offer is not None and offer.action != "cancel_own", "-dangerous")
        self.query_one("#ours", Static).update(self._ours())
        self.query_one("#branches", Static).update(self._branches())
        self.query_one("#tree").display = not self._over
        self._part("#query", "" if self._over or offer else _ran(self.shown.blocker))
        panel.border_title = f" Confirm: {offer.title} " if offer else "" if self._over else " What now? "
        self._part("#notice", self._standing())
        rows = self.query_one("#offers", Static)
        rows.display = offer is None and self._idle
        rows.update(self._rows())
        confirm = self.query_one(Confirm)
        confirm.display = offer is not None
        confirm.disabled = not self._idle
        if offer:
            confirm.tell(offer.meaning, offer.lines)
        self.query_one(Hints).show(self._hints())

    def _part(self, selector: str, text: str) -> None:
        part = self.query_one(selector, Clipped)
        part.tell(Content(text))
        part.display = bool(text)

    def _standing(self) -> str:
        if self._sent:
            return "Sent. The engine is doing it."
        asked = any(question.task == self.task_id for question in self.view.newest.questions.values())
        over = "A question is open about it." if asked else f"{self.task_id} waits for no lock any more."
        return " ".join(filter(None, (self._notice, over if self._over else "")))

    def _situation(self) -> str:
        if self._over:
            return "waits no more"
        return f"{'is being ended, and ' if self._ending else ''}{what_for(self._wait)}"

    def _ours(self) -> Content:
        status = self.view.state.tasks[self.task_id].status if self._over else TaskStatus.WAITING
        mark = STATUS[status]
        tries = f", try {self._wait.tries + 1}" if self._wait.tries and not self._over else ""
        purpose = "the rollback of " if self._wait.purpose == "rollback" else ""
        attempt = f"   attempt {self._wait.attempt}{tries}, pid {self._wait.pid}"
        return Content.assemble(
            (f"{mark.glyph} {purpose}{self.task_id}", f"bold ${mark.colour}"), (attempt, "$quiet")
        )

    def _branches(self) -> Content:
        first = {each.pid for each in culprits(self._wait)}
        return Content("\n").join([self._branch(branch, first) for branch in tree(self._wait)])

    def _branch(self, branch: Branch, first: set[int]) -> Content:
        blocker, chosen = branch.blocker, branch.blocker.pid == self._pid
        age = aged(blocker.age_s + self._since_s)
        told = "see above" if branch.again else f"{doing(blocker, self._since_s)} (open {age})"
        bold = "bold" if blocker.pid in first else ""
        return Content.assemble(
            ("▸ " if chosen else "  ", "bold $accent"),
            (branch.stem, "$quiet"),
            _clickable(who(blocker), f"choose({blocker.pid})", bold),
            ("  ", ""),
            (told, "$status-waiting" if bold else "$quiet"),
        )

    def _rows(self) -> Content:
        if self._over:
            return Content("")
        since, patience_s = self._heard.since(self.task_id), self.view.plan.defaults.lock_patience
        waited_s = 0.0 if since is None else max(0.0, self.view.now_t - since)
        waits = what_waiting_does(self.shown, waited_s, patience_s, ending=self._ending)
        rows = [_row("esc", "wait on", waits, "back")]
        for offer in self._offers:
            action = "" if offer.barred else f"pick('{offer.action}')"
            rows.append(_row(offer.key, offer.title, offer.barred or offer.row, action))
        return Content("\n").join(rows)

    def _others(self) -> str:
        others = [task for task in waiting(self.view.state) if task != self.task_id]
        return f"also waiting: {', '.join(others)}" if others else ""

    def _hints(self) -> Iterator[Hint]:
        if not self._idle:
            yield Hint("esc", "close", "screen.back")
        elif self._confirming is None:
            if len(self._wait.blockers) > 1:
                yield Hint("↑↓", "which one")
            yield Hint("esc", "wait on", "screen.back")
        else:
            if self.query_one(Confirm).reason_input.has_focus:
                yield Hint("enter", f"then {CONFIRM_KEY} to confirm")
            else:
                yield Hint(CONFIRM_KEY, "do it", "screen.confirm")
                yield Hint("tab", "reason")
            yield Hint("esc", "back", "screen.back")
        if self._others() and self._confirming is None:
            yield Hint("n", "next wait", "screen.next_wait")

    # -- keys ----------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        if isinstance(self.focused, Input) or not self._idle:
            return
        if self._confirming:
            if event.key == CONFIRM_KEY:
                event.stop()
                self.action_confirm()
            return
        offer = next((offer for offer in self._offers if offer.key == event.character), None)
        if offer:
            event.stop()
            self.action_pick(offer.action)

    def on_descendant_focus(self) -> None:
        if self._confirming:
            self.query_one(Hints).show(self._hints())

    @on(Input.Submitted)
    def _reasoned(self) -> None:
        if self._has_reason():
            self.query_one("#told").focus()
        self._show()

    def _has_reason(self) -> bool:
        confirm = self.query_one(Confirm)
        self._notice = "" if confirm.reason else "A reason is needed: it is recorded with what is done."
        if not confirm.reason:
            confirm.reason_input.focus()
        return bool(confirm.reason)

    def action_choose(self, pid: int) -> None:
        if self._idle and self._confirming is None and pid in {b.pid for b in self._wait.blockers}:
            self._pid, self._notice = pid, ""
            self._show()

    def action_move(self, steps: int) -> None:
        pids = list(dict.fromkeys(branch.blocker.pid for branch in tree(self._wait)))
        at = min(max(pids.index(self._pid) + steps, 0), len(pids) - 1)
        self.action_choose(pids[at])
        self.query_one("#tree").scroll_to(y=at - 1, animate=False)

    def action_next_wait(self) -> None:
        found = waiting(self.view.state)
        others = [task for task in found if task != self.task_id]
        if others and self._sent is None and self._confirming is None:
            later = found[found.index(self.task_id) + 1 :] if self.task_id in found else []
            self._take((later or others)[0])
            self.refresh_view()

    def action_pick(self, action: ev.Intervention) -> None:
        if not self._idle or self._confirming:
            return
        offer = next(offer for offer in self._offers if offer.action == action)
        if offer.barred:
            self._notice = f"Not possible: {offer.barred}."
        else:
            self._confirming, self._read, self._notice = action, self.shown, ""
            self.query_one(Confirm).display = True
            self.query_one(Confirm).ask(needed=True)
        self._show()

    def action_back(self) -> None:
        if self._confirming and self._idle:
            self._confirming, self._notice = None, ""
            self.set_focus(None)
            self._show()
        else:
            self.dismiss(None)

    def action_confirm(self) -> None:
        self._follow()  # the screen may be behind the run by a moment
        action, read, controls = self._confirming, self._read, self.view.controls
        if action is None or read is None or controls is None or not self._idle or not self._has_reason():
            self._show()
            return
        own = action == "cancel_own"
        if not own and not read.is_still(self.shown):
            self._read = self.shown
            self._notice = f"pid {self._pid} has changed meanwhile. Nothing was done: read it again."
            self._show()
            return
        blocker = read.blocker
        self._sent_after = self.view.newest.seq
        self._sent = rep.Intervene(
            task=self.task_id,
            attempt=self._wait.attempt,
            purpose=self._wait.purpose,
            action=action,
            pid=0 if own else blocker.pid,
            backend_started="" if own else blocker.started,
            actor=self.actor,
            reason=self.query_one(Confirm).reason,
            on_seq=self._sent_after,
        )
        controls.report(self._sent)
        self._show()


def _ran(blocker: ev.Blocker) -> str:
    query = one_line(blocker.query)
    return f"{'runs' if blocker.state == 'active' else 'last ran'}: {query}" if query else ""


def _row(key: str, title: str, text: str, action: str) -> Content:
    """A choice; one without an action cannot be had, and `text` says why."""
    shown = _clickable(title, action, "bold") if action else Content.styled(title, "$quiet")
    return Content.assemble(
        (f"{key:<{_KEY}}", "bold $accent" if action else "$quiet"),
        shown,
        " " * (_TITLE - len(title)),
        (text, "" if action else "$quiet"),
    )


def _clickable(text: str, action: str, style: str) -> Content:
    return Content.styled(text, style).stylize(Style.from_meta({"@click": f"screen.{action}"}))
