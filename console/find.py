"""Finding tasks by what is typed: which ones match, and which of them one stands at."""

from collections.abc import Mapping
from dataclasses import dataclass

from console.look import STATUS, one_line
from console.run_view import RunView
from engine.machine.transitions import TaskStatus
from engine.plan.waves import wave_plan

FIELDS = ("id", "name", "status", "phase", "wave")
HINT = "id, name, status, phase or wave; status:failed looks at the status only"


@dataclass(frozen=True)
class Term:
    """Text to be found in one field, or in any of them where `field` is empty."""

    text: str
    field: str = ""


def parse(text: str) -> tuple[Term, ...]:
    """The terms of a query, all of which have to be found: words, also with `status:` and the like before
    them."""
    terms = []
    for word in _plain(text).split():
        field, colon, rest = word.partition(":")
        known = bool(colon) and field in FIELDS
        terms.append(Term(rest, field) if known else Term(word))
    return tuple(term for term in terms if term.text)


def _plain(text: str) -> str:
    return one_line(text).casefold()


def _statuses(term: Term) -> frozenset[TaskStatus]:
    """The statuses that a term means, as `in_doubt` and `in-doubt` as well."""
    if term.field not in ("", "status"):
        return frozenset()
    wanted = term.text.replace("_", " ").replace("-", " ")
    return frozenset(status for status, mark in STATUS.items() if wanted in mark.word)


class Finder:
    """Finds tasks of `view`. Matches come in the order in which the graph shows them, column by column."""

    def __init__(self, view: RunView) -> None:
        self.view = view
        self.text = ""
        self.matches: list[str] = []
        self.current: str | None = None
        self._terms: tuple[Term, ...] = ()
        self._known: tuple[object, ...] = ()
        """What the matches were worked out from."""
        self._texts_of: tuple[object, Mapping[str, Mapping[str, str]]] | None = None
        self._texts_with: dict[Term, frozenset[str]] = {}

    def search(self, text: str, start: str | None) -> str | None:
        """Look for `text`, and stand at the first match from task `start` on; None where there is none."""
        self.text, self._terms = text, parse(text)
        self.refresh()
        self.current = self._from(start, 0)
        return self.current

    def step(self, by: int) -> str | None:
        """Stand at the next match, or with -1 at the one before; beyond the last comes the first."""
        self.refresh()
        self.current = self._from(self.current, by)
        return self.current

    def refresh(self) -> None:
        """Look again, if anything has changed."""
        known = self._terms, self.view.revision, self.view.state.plan_seq
        if known != self._known:
            self._known = known
            self.matches = self._matches() if self._terms else []

    @property
    def place(self) -> str:
        """`3 of 17`; where one stands at a task that does not match any more, only how many do."""
        if not self._terms:
            return ""
        if not self.matches:
            return "nothing found"
        if self.current not in self.matches:
            return f"{len(self.matches)} found"
        return f"{self.matches.index(self.current) + 1} of {len(self.matches)}"

    def _from(self, start: str | None, by: int) -> str | None:
        """The match `by` places on from task `start`, which itself need not match."""
        if not self.matches:
            return None
        number = {task: index for index, task in enumerate(self.view.graph.topological)}
        here = number.get(start or "", -1)
        ahead = [index for index, task in enumerate(self.matches) if number[task] >= here]
        at = ahead[0] if ahead else len(self.matches)
        exact = bool(ahead) and self.matches[at] == start
        if by > 0 and not exact:
            by -= 1
        return self.matches[(at + by) % len(self.matches)]

    def _matches(self) -> list[str]:
        states = self.view.state.tasks
        wanted = [(self._with_text(term), _statuses(term)) for term in self._terms]
        return [
            task
            for task in self.view.graph.topological
            if all(task in tasks or states[task].status in statuses for tasks, statuses in wanted)
        ]

    def _with_text(self, term: Term) -> frozenset[str]:
        """The tasks that a term is found in, their status aside: that never changes while the plan is one."""
        texts = self._texts()
        if term not in self._texts_with:
            fields = [term.field] if term.field else [field for field in FIELDS if field != "status"]
            self._texts_with[term] = frozenset(
                task
                for task, known in texts.items()
                if any(term.text in known.get(field, "") for field in fields)
            )
        return self._texts_with[term]

    def _texts(self) -> Mapping[str, Mapping[str, str]]:
        plan = self.view.plan
        if self._texts_of is None or self._texts_of[0] is not plan:
            self._texts_of = plan, _texts(self.view)
            self._texts_with.clear()
        return self._texts_of[1]


def _texts(view: RunView) -> dict[str, dict[str, str]]:
    """What can be found in each task, by field."""
    plan = view.plan
    in_waves = plan.model == "wave" or plan.waves or any(task.wave for task in plan.tasks)
    waves = {
        task: f"{slot.id} {_plain(slot.title)}"
        for slot in (wave_plan(plan, view.graph) if in_waves else ())
        for task in slot.tasks
    }
    return {
        task.id: {
            "id": task.id.casefold(),
            "name": _plain(task.name or ""),
            "phase": (task.phase or "").casefold(),
            "wave": waves.get(task.id, "").casefold(),
        }
        for task in plan.tasks
    }
