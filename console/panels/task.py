"""The selected task: what it runs, what it waits for, its attempts, and the end of its output."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain, repeat
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.strip import Strip

from console.export import Export
from console.look import CRITICAL, STATUS, one_line, plural
from console.messages import OutputRequested
from console.panels.canvas import BOLD, Canvas, clip_middle, joined, printable
from console.panels.code import highlighted
from console.panels.locked import Radar, painted
from console.panels.timing import elapsed
from console.panels.why import why
from console.underway import (
    adjusted_words,
    aged,
    bar,
    counted,
    culprits,
    doing,
    lock_wait,
    pace_words,
    progress,
    tree,
    what_for,
    who,
)
from engine.machine.events import LockWaitChanged
from engine.machine.state import Attempt
from engine.machine.transitions import TaskStatus
from engine.plan.durations import format_duration
from engine.plan.models import Action, Task

_LABEL = 11
_BAR = 30
_LEAST_OUTPUT = 6
"""Lines of output that are shown however little room there is."""
_ATTEMPTS = 5
"""So many attempts are told one by one."""
_LONG = 1.5
"""So many times the expected length is worth a word."""
_NAMED = 12
"""So many dependants are listed."""


class TaskPanel(Canvas, panel="task"):
    HELP = """The selected task: what it runs and where, what it needs, why it waits, its attempts with the
class and rule of each failure, and the end of its output, which follows while the task runs.

**o** shows all of the output that is kept."""
    DEFAULT_CSS = """
    TaskPanel { overflow: hidden auto; scrollbar-gutter: stable; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "output", "All output", show=False, tooltip="All that is kept of what it printed"),
    ]

    task_id: str | None = None
    _lines: Sequence[Text] = ()
    _code: tuple[str, Text] | None = None

    @cached_property
    def _radar(self) -> Radar:
        return Radar()

    def select_task(self, task_id: str | None) -> None:
        if task_id != self.task_id:
            self.task_id = task_id
            self._code = None
            self.scroll_to(y=0, animate=False)
            self.refresh_view()

    def action_output(self) -> None:
        task_id = self.task_id
        attempt = self.view.state.tasks[task_id].last if task_id else None
        if task_id is None or attempt is None:
            self.notify("It has not been started, so there is no output.", timeout=3)
            return
        self.post_message(OutputRequested(task_id, attempt.number))

    def export(self) -> Export:
        """All that there is to say of the task, and all of its output."""
        task = self.view.by_id.get(self.task_id or "")
        if task is None:
            return Export("no task is selected", "task", ((),))
        shown = (self._heading(task), self._what(task, None), [Text()], self._attempts(task), [Text()],
                 self._definition(task))  # fmt: skip
        told: list[str] = [line.plain.rstrip() for part in shown for line in part]
        output: Sequence[str] = ()
        if attempt := self.view.state.tasks[task.id].last:
            output = self.view.output(task.id, attempt.number)
            told += ["", f"output of attempt {attempt.number}{'' if output else ': nothing'}"]
        return Export(f"task {task.id}", f"{self.view.state.run}-{task.id}", (told, output))

    def notify_style_update(self) -> None:
        self._code = None
        super().notify_style_update()

    # -- lines -------------------------------------------------------------------------------------

    def prepare(self) -> None:
        task = self.view.by_id.get(self.task_id or "")
        if task is None:
            self._lines = [Text("Choose a task to see it here.", style=self.ink("quiet"))]
        else:
            code = max(3, self.room.height // 4)
            first = [*self._heading(task), *self._what(task, code), Text(), *self._attempts(task), Text()]
            last = self._definition(task)
            room = max(_LEAST_OUTPUT, self.room.height - len(first) - len(last) - 2)
            self._lines = [*first, *self._output(task, room), *last]
        self.virtual_size = Size(self.room.width, len(self._lines))

    def draw_line(self, y: int) -> Strip:
        number = y + self.scroll_offset.y
        return self.text_strip(self._lines[number]) if number < len(self._lines) else self.blank()

    def _wrapped(self, text: Text, indent: int = 0) -> list[Text]:
        """`text` in as many lines as it needs, all but the first indented."""
        lines = text.wrap(self.app.console, max(10, self.room.width - indent))
        return [joined([" " * indent]) + line if number else line for number, line in enumerate(lines)]

    def _field(self, label: str, value: str, style: Style | None = None) -> list[Text]:
        """A labelled value, wrapped beside its label."""
        text = joined([(value, style or self.ink("foreground"))])
        return self._labelled(label, text.wrap(self.app.console, max(10, self.room.width - _LABEL)))

    def _labelled(self, label: str, lines: Iterable[Text]) -> list[Text]:
        heads = chain([label], repeat(""))
        quiet = self.ink("quiet")
        return [
            joined([(f"{head:<{_LABEL}}", quiet)]) + line for head, line in zip(heads, lines, strict=False)
        ]

    def _heading(self, task: Task) -> list[Text]:
        status = self.view.state.tasks[task.id].status
        mark = STATUS[status]
        title = [(f"{mark.glyph} ", self.ink(mark.colour, bold=True)), (task.id, BOLD)]
        title.append((f"  {mark.word}", self.ink(mark.colour)))
        if task.id in self.view.graph.critical:
            title.append((f"  {CRITICAL.glyph} {CRITICAL.word}", self.ink(CRITICAL.colour)))
        lines = self._wrapped(joined(title), 2)
        if task.name:
            lines += self._wrapped(joined([(one_line(task.name), self.ink("foreground"))]))
        wait = lock_wait(self.view.state.tasks[task.id])
        reason = f"{what_for(wait)}{_try(wait)}" if wait else one_line(why(self.view, task.id))
        if reason:
            colour = STATUS[TaskStatus.WAITING].colour if wait else mark.colour
            lines += self._wrapped(joined([(reason, self.ink(colour))]))
        return [*lines, *(self._blockers(wait) if wait else ()), *self._progress(task), Text()]

    def _blockers(self, wait: LockWaitChanged) -> Iterator[Text]:
        """Who blocks it, those who keep everybody waiting in bold."""
        since_s = max(0.0, self.view.now_t - wait.t)
        first = {each.pid for each in culprits(wait)}
        quiet = self.ink("quiet")
        for branch in tree(wait):
            blocker = branch.blocker
            bold = blocker.pid in first
            head = joined([(branch.stem, quiet), (who(blocker), self.ink("foreground", bold=bold))])
            yield head
            if not branch.again:
                told = f"{doing(blocker, since_s)} (open {aged(blocker.age_s + since_s)})"
                style = self.ink(STATUS[TaskStatus.WAITING].colour) if bold else quiet
                yield joined([(branch.below, quiet), (told, style)])

    def _progress(self, task: Task) -> Iterator[Text]:
        """How far it is, how fast, and how an operator has set it to go."""
        state = self.view.state.tasks[task.id]
        if told := progress(state):
            if drawn := bar(told, min(_BAR, self.room.width - len(" 100%"))):
                yield joined([(drawn, self.ink(STATUS[state.status].colour))])
            for words, colour in (
                (" · ".join(filter(None, (counted(told), pace_words(state.underway)))), "foreground"),
                (f"held: {told.held}" if told.held else "", STATUS[TaskStatus.WAITING].colour),
                (told.detail, "quiet"),
            ):
                if words:
                    yield from self._wrapped(joined([(one_line(words), self.ink(colour))]), 2)
        if made := state.adjusted:
            said = f"set by {one_line(made.actor)}: {adjusted_words(made)}"
            yield from self._wrapped(joined([(said, self.ink("quiet"))]), 2)

    def _definition(self, task: Task) -> list[Text]:
        lines: list[Text] = []
        parents, children = self.view.graph.parents[task.id], self.view.graph.children[task.id]
        for label, tasks in (("needs", parents), ("feeds", children)):
            if tasks:
                lines += self._tasks(label, tasks)
        lines += self._field("about", ", ".join(self._about(task)))
        for label, locked in self._radar.of(self.view.plan, task.id):
            told = [painted(line, self.ink, self.app.console, self.room.width - _LABEL) for line in locked]
            lines += self._labelled(label, chain.from_iterable(told))
        held = [f"lock {lock}" for lock in task.locks]
        held += [f"{units} of {pool}" for pool, units in task.uses.items()]
        if held:
            lines += self._field("holds", ", ".join(held))
        if task.rollback:
            lines += self._field("rollback", _brief(task.rollback))
        else:
            lines += self._field("rollback", "none: it cannot be undone", self.ink("status-failed"))
        if task.verify:
            lines += self._field("verify", _brief(task.verify))
        outputs = self.view.state.tasks[task.id].outputs
        for name, value in outputs.items():
            lines += self._field("gave", one_line(f"{name} = {value}"))
        return lines

    def _what(self, task: Task, most: int | None) -> list[Text]:
        """What the task runs, highlighted, behind a bar; `most` lines of it."""
        action = task.run
        if self._code is None or self._code[0] != task.id:
            self._code = task.id, highlighted(self, action)
        where = f" on {action.on}" if action.on else ""
        kind = action.kind.replace("_", " ")
        lines = [joined([(f"{kind}{where}", self.ink("quiet"))])]
        code = self._code[1].wrap(self.app.console, max(10, self.room.width - 2))
        shown = len(code) if most is None else most
        if len(code) == shown + 1:  # a line that only says so would take as much room
            shown += 1
        lines += [joined([("▏ ", self.ink("frame"))]) + line for line in code[:shown]]
        if len(code) > shown:
            lines.append(joined([(f"▏ … {len(code) - shown} more lines", self.ink("quiet"))]))
        return lines

    def _tasks(self, label: str, tasks: Sequence[str]) -> list[Text]:
        """A labelled list of tasks with their marks, in as many lines as it takes."""
        room = max(10, self.room.width - _LABEL)
        lines = [Text()]
        for task_id in tasks[:_NAMED]:
            mark = STATUS[self.view.state.tasks[task_id].status]
            chunk = joined([(f"{mark.glyph} ", self.ink(mark.colour)), f"{clip_middle(task_id, room - 2)}  "])
            if lines[-1].cell_len + chunk.cell_len - 2 > room:
                lines.append(Text())
            lines[-1].append_text(chunk)
        if len(tasks) > _NAMED:
            lines.append(joined([(f"and {len(tasks) - _NAMED} more", self.ink("quiet"))]))
        return self._labelled(label, lines)

    def _about(self, task: Task) -> Iterable[str]:
        if task.phase:
            yield f"phase {task.phase}"
        if task.wave and self.view.plan.model == "wave":
            yield f"wave {task.wave}"
        yield f"value {task.value:g}"
        yield f"risk {task.risk:g}"
        if task.critical:
            yield "critical"
        if task.idempotent:
            yield "idempotent"
        timeout = task.timeout if task.timeout is not None else self.view.plan.defaults.timeout
        if timeout is not None:
            yield f"timeout {format_duration(timeout)}"

    def _attempts(self, task: Task) -> list[Text]:
        state = self.view.state.tasks[task.id]
        expected = format_duration(self.view.graph.expected_s[task.id])
        lines = self._field("attempts", f"expected to take {expected}", self.ink("quiet"))
        earlier = len(state.attempts) - _ATTEMPTS
        if earlier > 0:
            lines.append(joined([(f"  {plural(earlier, 'earlier attempt')}", self.ink("quiet"))]))
        for attempt in state.attempts[-_ATTEMPTS:]:
            lines += self._attempt(task, attempt)
        if state.asserted_by:
            lines.append(joined([f"  done on the word of {one_line(state.asserted_by)}"]))
        return lines

    def _against_expected(self, task: Task, attempt: Attempt) -> tuple[str, Style]:
        """How far it is, while it runs; and where it takes much longer than expected, how much."""
        share = elapsed(self.view, attempt) / max(self.view.graph.expected_s[task.id], 1e-9)
        if share >= _LONG:
            return f" {share:.1f}× expected", self.ink("status-waiting")
        return (f" {share:.0%} of it" if attempt.ended_t is None else ""), self.ink("quiet")

    def _attempt(self, task: Task, attempt: Attempt) -> list[Text]:
        mark = STATUS[attempt.result]
        quiet = self.ink("quiet")
        took = format_duration(elapsed(self.view, attempt))
        head = joined(
            [
                (f"  {attempt.number} ", quiet),
                (f"{mark.glyph} {mark.word:<10}", self.ink(mark.colour)),
                (f"{took:>7}", self.ink("foreground")),
                self._against_expected(task, attempt),
                (f"  lane {attempt.lane + 1}, {attempt.started_at:%H:%M:%S}", quiet),
            ]
        )
        if not attempt.reason:
            return [head]
        kind = f"{attempt.failure_class.value.upper()}: " if attempt.failure_class else ""
        said = joined(["    ", (kind, BOLD), (one_line(attempt.reason), self.ink(mark.colour))])
        lines = [head, *self._wrapped(said, 4)]
        if attempt.rule:
            lines += self._wrapped(joined([("    rule: " + one_line(attempt.rule), quiet)]), 4)
        return lines

    def _output(self, task: Task, most: int) -> list[Text]:
        """The last `most` lines of the newest attempt's output."""
        attempt = self.view.state.tasks[task.id].last
        if attempt is None:
            return []
        lines = self.view.output(task.id, attempt.number)
        shown = lines[-most:]
        left_out = f", last {len(shown)} of {len(lines)} lines (o: all)" if len(shown) < len(lines) else ""
        nothing = "" if lines else ": nothing so far" if attempt.ended_t is None else ": nothing"
        heading = joined([(f"output of attempt {attempt.number}{left_out}{nothing}", self.ink("quiet"))])
        text = self.ink("foreground")
        said = [joined([(printable(line).rstrip("\n"), text)]) for line in shown]
        return [heading, *said, Text()]


def _try(wait: LockWaitChanged) -> str:
    return f", try {wait.tries + 1}" if wait.tries else ""


def _brief(action: Action) -> str:
    where = f" on {action.on}" if action.on else ""
    return f"{action.kind.replace('_', ' ')}{where}: {one_line(action.text)}"
