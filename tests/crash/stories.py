"""Runs to kill: small plans whose every effect leaves a mark that the engine knows nothing of.

Shell tasks append a line to the file `witness`; SQL tasks write a row to the table `effects` of their own
database. What the engine says of a run is held against these two.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from engine.machine.state import Question, State
from engine.machine.transitions import TaskStatus

Answer = tuple[str, str | None]


@dataclass(frozen=True)
class Story:
    """`ends`: the status that the run comes to in the end. `answers`: what the operator answers to questions
    that are not about a doubt, by task; once that was answered, by `TASK again`, if there is such a one. A
    doubt is answered by what is really there. `saved_by_hand`: a checkpoint is taken when the run stands at
    its first question. `turn`: the task whose failure brings a turn, while no engine runs: with `edits` the
    plan's file is changed, and what is pending is accepted from then on; without, the journal loses all that
    stands behind the first checkpoint, and the run goes on from there in a new one."""

    name: str
    plan: str
    ends: str = "completed"
    answers: dict[str, Answer] | None = None
    saved_by_hand: bool = False
    turn: str = ""
    edits: dict[str, str] = field(default_factory=dict)

    @property
    def forks(self) -> bool:
        return bool(self.turn) and not self.edits

    def write(self, folder: Path, *, edited: bool = False) -> None:
        text = f"wesley: 1\nname: {self.name}\n{self.plan}"
        for old, new in self.edits.items() if edited else ():
            assert old in text, old
            text = text.replace(old, new)
        (folder / "plan.yaml").write_text(text, encoding="utf-8")


class Witness:
    """What was really done, in the folder of a plan; nothing, without one. A task's rollback leaves a mark of
    its own."""

    def __init__(self, folder: Path | None = None) -> None:
        self._marks: Counter[tuple[str, str]] = Counter()
        if folder is None:
            return
        with open(folder / "witness", "a+") as file:
            file.seek(0)
            self._marks.update((what, task) for what, task in map(str.split, file))
        database = folder / "app.db"
        if database.exists() and database.stat().st_size:
            with closing(sqlite3.connect(database)) as connection:
                table = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'effects'").fetchone()
                if table:
                    self._marks.update(connection.execute("SELECT what, task FROM effects"))

    @property
    def tasks(self) -> set[str]:
        """The tasks that left a mark of any kind."""
        return {task for _, task in self._marks}

    def done(self, task: str) -> int:
        """How often the task took effect."""
        return self._marks["run", task]

    def undone(self, task: str) -> int:
        return self._marks["undo", task]

    def stands(self, task: str) -> int:
        return self.done(task) - self.undone(task)


def honest(folder: Path, story: Story) -> Callable[[State, Question], Answer]:
    """An operator who looks at what is really there before settling a doubt, once nothing runs any more."""

    def answer(state: State, question: Question) -> Answer:
        task = question.task
        if question.survivors:
            pids = [int(words.split()[1]) for words in question.survivors]
            psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=10)
            return "resume", "look_again"
        if state.tasks[task].status is TaskStatus.IN_DOUBT:
            undoing = question.about == "rollback_step"
            settled = Witness(folder).stands(task) == (0 if undoing else 1)
            return ("skip", "assert_done") if settled else ("retry", None)
        assert story.answers is not None, f"nobody should have asked: {question}"
        answer = story.answers[task]
        given = any((made.task, made.action, made.mode) == (task, *answer) for made in state.decisions)
        return story.answers.get(f"{task} again", answer) if given else answer

    return answer


def _shell(task: str, *more: str, first: str = "", undo: bool = False) -> str:
    """A shell task that leaves its mark; `first` is done before, and may end it."""
    parts = [f"id: {task}", f'run: {{shell: "{first}echo run {task} >> witness"}}']
    parts += [f'rollback: {{shell: "echo undo {task} >> witness"}}'] if undo else []
    return f"  - {{{', '.join([*parts, *more])}}}\n"


def _sql(task: str, *more: str, first: str = "", undo: bool = False) -> str:
    parts = [f"id: {task}", f"run: {{sql: \"{first}INSERT INTO effects VALUES ('run', '{task}')\", on: app}}"]
    parts += (
        [f"rollback: {{sql: \"INSERT INTO effects VALUES ('undo', '{task}')\", on: app}}"] if undo else []
    )
    return f"  - {{{', '.join([*parts, *more])}}}\n"


_HEAD = "targets: {app: {sqlite: app.db}}\nretry: {base: 10ms, cap: 10ms}\n"
_QUIET = "checkpoints: {progress: 100}\n"
_EFFECTS = "CREATE TABLE effects (what, task); "
_SEEN = "verify: {{shell: \"test \\\"$(grep ' {0}$' witness | tail -n 1)\\\" = 'run {0}'\"}}"
_ONCE = "test $WESLEY_ATTEMPT -gt 1 || exit {0}; "

STORIES = [
    Story(
        "sql in its own time",
        _HEAD
        + "workers: 2\ntasks:\n"
        + _sql("schema", first=_EFFECTS)
        + _sql("left", "needs: [schema]")
        + _sql("right", "needs: [schema]", first="CREATE TABLE t (x); INSERT INTO t VALUES (1), (2); ")
        + _sql("sum", "needs: [left, right]", "verify: {sql: 'SELECT count(*) = 2 FROM t', on: app}"),
    ),
    Story(
        "sql in waves, every checkpoint there is",
        _HEAD
        + "model: wave\nworkers: 2\nphases: [expand, contract]\n"
        + "checkpoints: {progress: 25, phases: true, before_risk: 0.7, keep: 2}\ntasks:\n"
        + _sql("schema", "wave: w1", "phase: expand", first=_EFFECTS)
        + _sql("fill", "needs: [schema]", "wave: w1", "phase: expand")
        + _sql("risky", "needs: [fill]", "wave: w2", "risk: 0.9", "phase: contract")
        + _sql("drop", "needs: [risky]", "wave: w3", "phase: contract"),
    ),
    Story(
        "shell, with what settles a doubt and without",
        "workers: 2\n"
        + _QUIET
        + "tasks:\n"
        + _shell("plain")
        + _shell("seen", _SEEN.format("seen"))
        + "  - {id: again, needs: [plain], idempotent: true, run: {shell: \"grep -qx 'run again' witness || "
        'echo run again >> witness"}}\n' + _shell("last", "needs: [seen, again]"),
    ),
    Story(
        "shell in waves, a risky task among them",
        "model: wave\nworkers: 2\ncheckpoints: {before_risk: 0.7, keep: 1}\ntasks:\n"
        + _shell("one", "wave: w1")
        + _shell("two", "wave: w1", "risk: 0.8", _SEEN.format("two"))
        + _shell("three", "wave: w2", "needs: [one]", "risk: 0.8"),
    ),
    Story(
        "shell that outlives its engine",
        "workers: 2\n"
        + _QUIET
        + "tasks:\n"
        + _shell("slow", first="sleep 0.3; ")
        + _shell("apart", _SEEN.format("apart"), first="setsid sleep 0.3; ")
        + _shell("last", "needs: [slow, apart]"),
    ),
    Story(
        "a failure that passes",
        "retry: {base: 10ms, cap: 10ms}\nworkers: 2\n"
        + _QUIET
        + "tasks:\n"
        + _shell("busy", first=_ONCE.format(75))
        + _shell("then", "needs: [busy]", _SEEN.format("then")),
    ),
    Story(
        "questions and decisions",
        "workers: 2\n"
        + _QUIET
        + "tasks:\n"
        + _shell("again", first=_ONCE.format(3))
        + _shell("aside", first="exit 3; ")
        + _shell("below", "needs: [aside]")
        + _shell("waived", first="exit 3; ")
        + _shell("after", "needs: [waived, again]")
        + "  - {id: word, run: {shell: 'echo run word >> witness; exit 3'}, "
        "verify: {shell: \"grep -qx 'run word' witness\"}}\n",
        answers={
            "again": ("retry", None),
            "aside": ("skip", "subtree"),
            "waived": ("skip", "waive"),
            "word": ("skip", "assert_done"),
        },
        saved_by_hand=True,
    ),
    Story(
        "a rollback that nobody had to ask for",
        _HEAD
        + "workers: 2\n"
        + _QUIET
        + "tasks:\n"
        + _sql("schema", first=_EFFECTS)
        + _sql("rows", "needs: [schema]", undo=True)
        + _shell("files", "needs: [schema]", _SEEN.format("files"), undo=True)
        + _shell("more", "needs: [files]", undo=True)
        + _shell("fatal", "needs: [rows, more]", "critical: true", first="exit 64; "),
        ends="rolled_back",
        answers={"fatal": ("rollback", None)},
    ),
    Story(
        "a rollback to a checkpoint that is being written",
        "workers: 2\ncheckpoints: {progress: 30}\ntasks:\n"
        + _shell("base", undo=True)
        + _shell("top", "needs: [base]", _SEEN.format("top"), undo=True)
        + _shell("fatal", "needs: [base]", "critical: true", first="exit 64; "),
        ends="rolled_back",
        answers={"fatal": ("rollback", None)},
    ),
    Story(
        "a rollback whose steps fail",
        "workers: 2\n"
        + _QUIET
        + "tasks:\n"
        + _shell("bottom", undo=True)
        + "  - {id: stuck, needs: [bottom], run: {shell: 'echo run stuck >> witness'}, rollback: "
        "{shell: 'test -e tried || { touch tried; exit 3; }; echo undo stuck >> witness'}}\n"
        + "  - {id: left, needs: [bottom], run: {shell: 'echo run left >> witness'}, "
        "rollback: {shell: 'exit 3'}}\n"
        + _shell("fatal", "needs: [stuck, left]", "critical: true", first="exit 64; "),
        ends="rolled_back",
        answers={"stuck": ("retry", None), "left": ("abort", None), "left again": ("skip", "leave_applied")},
    ),
    Story(
        "back by decision, and on again",
        "workers: 2\n"
        + _QUIET
        + "tasks:\n"
        + _shell("base", undo=True)
        + _shell("top", "needs: [base]", _SEEN.format("top"), undo=True)
        + _shell("wrong", "needs: [top]", first="test -e back || { touch back; exit 3; }; "),
        answers={"wrong": ("rollback", None)},
    ),
    Story(
        "a plan that is changed on the way",
        _HEAD
        + "workers: 2\n"
        + _QUIET
        + "tasks:\n"
        + _sql("schema", first=_EFFECTS)
        + _shell("early", "needs: [schema]", _SEEN.format("early"))
        + _shell("wrong", "needs: [early]", first="exit 3; ")
        + _sql("later", "needs: [wrong]", first="INSERT INTO nowhere VALUES (1); ")
        + _shell("gone", "needs: [wrong]", first="exit 3; "),
        answers={"wrong": ("abort", None), "wrong again": ("retry", None)},
        turn="wrong",
        edits={
            _shell("wrong", "needs: [early]", first="exit 3; "): _shell("wrong", "needs: [early]")
            + _shell("more", "needs: [wrong]", _SEEN.format("more")),
            "INSERT INTO nowhere VALUES (1); ": "",
            _shell("gone", "needs: [wrong]", first="exit 3; "): "",
        },
    ),
    Story(
        "a journal that loses its end, and a fork",
        _HEAD
        + "workers: 2\ncheckpoints: {progress: 1}\ntasks:\n"
        + _sql("schema", first=_EFFECTS, undo=True)
        + _sql("rows", "needs: [schema]", undo=True)
        + _shell("seen", "needs: [schema]", _SEEN.format("seen"))
        + _shell("plain", "needs: [seen]")
        + _shell("wrong", "needs: [rows, plain]", first="test -e mended || exit 3; "),
        answers={"wrong": ("abort", None), "wrong again": ("retry", None)},
        turn="wrong",
    ),
]
